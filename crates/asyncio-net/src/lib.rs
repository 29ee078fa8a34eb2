//! Sockets, buffered streams and servers on the loop.
//!
//! [`open_connection`] gives the two ends of a TCP connection: a [`StreamReader`] and a [`StreamWriter`].
//! [`start_server`] listens, and runs a callback with such a pair as a task for each client.
//!
//! # How it works
//!
//! - The two ends share one socket (`connection.rs`), which is read on demand, straight into the reader's buffer or the
//!   caller's: there is no task behind a connection and nothing is read ahead, so back-pressure is the kernel's own.
//! - [`StreamWriter::write`] is not awaited. The first write of a turn of the loop goes to the kernel at once; what is written
//!   later in that turn is gathered and leaves with one system call when it ends, or at [`drain`](StreamWriter::drain). What
//!   the kernel does not take is sent by a task that exists only as long as there is such a remainder.
//! - A connection that waits holds no buffer: buffers are lent by the thread while there is something in them.
//! - Names are resolved on the loop's thread pool. This crate knows no time: put a timeout around what may last too long.
//!
//! One echo on a connection that is alone costs its server three system calls: wait, receive, send.
//!
//! # What dropping does on the wire
//!
//! | dropped | effect |
//! |---|---|
//! | the future of a read, a drain, a wait | nothing: progress lies in the stream |
//! | the writer | what was written is sent, then the end of the stream; reading goes on |
//! | the reader | nothing |
//! | both | what was written is sent (in the background, as long as the loop runs), then the socket is closed |
//! | [`Server`] | it stops listening; its connections stay |
//! | the future of [`open_connection`] | the attempt is given up |
//!
//! A socket that is closed with unread data in it makes the kernel reset the connection: read to the end first.
//!
//! # Example
//!
//! ```
//! use asyncio_net::{open_connection, start_server};
//!
//! asyncio_runtime::run(async {
//!     let server = start_server(
//!         |mut reader, writer| async move {
//!             while let Ok(line) = reader.readline().await && !line.is_empty() {
//!                 writer.write(&line);
//!             }
//!         },
//!         "127.0.0.1",
//!         0,
//!     )
//!     .await?;
//!     let (mut reader, writer) = open_connection("127.0.0.1", server.local_addrs()[0].port()).await?;
//!     writer.write(b"hello\n");
//!     assert_eq!(reader.readline().await?, "hello\n");
//!     writer.close();
//!     server.close();
//!     server.wait_closed().await;
//!     std::io::Result::Ok(())
//! })?;
//! # std::io::Result::Ok(())
//! ```
#![forbid(unsafe_code)]
#![cfg(unix)]

mod accept;
mod buffer;
mod changes;
mod connect;
mod connection;
mod error;
mod resolve;
mod server;
mod socket;
mod spare;
mod stream_reader;
mod stream_writer;
mod write_buffer;

pub use accept::Outcome;
pub use connect::{ConnectOptions, open_connection};
pub use error::{IncompleteReadError, LimitOverrunError, StreamError};
pub use server::{Server, ServerOptions, start_server};
pub use stream_reader::StreamReader;
pub use stream_writer::StreamWriter;
