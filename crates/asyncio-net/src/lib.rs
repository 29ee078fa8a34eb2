//! Sockets, buffered streams and servers on the loop.
//!
//! [`open_connection`] gives the two ends of a TCP connection: a [`StreamReader`] and a [`StreamWriter`].
//! [`start_server`] listens, and runs a callback with such a pair as a task for each client. [`open_unix_connection`] and
//! [`start_unix_server`] are the same for Unix sockets.
//!
//! # How it works
//!
//! - The two ends share one socket (`connection.rs`), which is read on demand, straight into the reader's buffer or the
//!   caller's: there is no task behind a connection and nothing is read ahead, so back-pressure is the kernel's own.
//! - [`StreamWriter::write`] is not awaited. The first write of a turn of the loop goes to the kernel at once; what is written
//!   later in that turn is gathered and leaves with one system call when it ends, or at [`drain`](StreamWriter::drain). What
//!   the kernel does not take is sent by a task that exists only as long as there is such a remainder.
//! - A connection that waits holds no buffer: buffers are lent by the thread while there is something in them.
//! - TLS (`StreamWriter::start_tls`, `ConnectOptions::tls`, `ServerOptions::tls`) is a layer within the connection: the
//!   reader and the writer stay what they are.
//! - Transports and protocols ([`create_connection`], [`create_server`]) are callbacks on top of the same connections; one task
//!   drives each. Datagrams come both ways: [`DatagramSocket`] is awaited, [`create_datagram_endpoint`] calls a protocol.
//! - Files leave by [`sendfile`]; descriptors of one's own are for [`add_reader`] and the `sock_` functions.
//! - Names are resolved by threads of their own, and answers kept for a moment ([`resolve`]). Connecting has its time limits and
//!   Happy Eyeballs ([`ConnectOptions`]); a timeout around a read or a write is the caller's.
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
//! | the only end of a pipe | what was written is sent, then the descriptor is closed |
//! | both | what was written is sent (in the background, as long as the loop runs), then the socket is closed; |
//! | | with TLS `close_notify` comes in between, and the answer to it is waited for |
//! | the future of a `start_tls` | the connection is closed, once the handshake has begun |
//! | [`Server`] | it stops listening, and removes its Unix socket's file; its connections stay |
//! | [`SocketTransport`], [`DatagramTransport`] | nothing: the loop keeps it until it is closed or lost, or the run ends |
//! | [`DatagramSocket`] | the socket is closed |
//! | the future of [`open_connection`] | the attempt is given up |
//!
//! With TLS the end of the stream is said by `close_notify`. A socket that is closed with unread data in it makes the kernel
//! reset the connection: read to the end first.
//!
//! # Features
//!
//! None is on by default, and none changes what the rest does: `tls` (rustls), `tokio-io` (tokio's traits for reading and
//! writing on [`SocketStream`] and its halves, without its runtime), `hyper` (what hyper 1 needs of a runtime).
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
#[cfg(any(feature = "hyper", feature = "tokio-io"))]
mod compat;
mod connect;
mod connect_error;
mod connection;
mod datagram;
mod error;
mod feed;
mod lines;
mod low_level;
mod pipe;
pub mod resolve;
mod scratch;
mod sendfile;
mod server;
mod server_options;
mod socket;
mod socket_ref;
mod socket_stream;
mod spare;
mod staggered;
mod stream_reader;
mod stream_writer;
#[cfg(feature = "tls")]
mod tls;
mod transport;
mod unix;
mod wire;
#[cfg(not(feature = "tls"))]
mod without_tls;
mod write_buffer;

pub use accept::Outcome;
pub use asyncio_reactor::{Address, Datagram, DatagramBatch};
#[cfg(feature = "hyper")]
pub use compat::hyper::LocalExecutor;
pub use connect::{ConnectOptions, open_connection};
pub use connect_error::ConnectError;
pub use datagram::{
    DatagramOptions, DatagramProtocol, DatagramSocket, DatagramTransport, create_datagram_endpoint,
};
pub use error::{IncompleteReadError, LimitOverrunError, StreamError};
pub use feed::StreamFeeder;
pub use lines::Lines;
pub use low_level::sockets::{
    sock_accept, sock_connect, sock_recv, sock_recv_into, sock_recvfrom, sock_recvfrom_into,
    sock_sendall, sock_sendto,
};
pub use low_level::{add_reader, add_writer, remove_reader, remove_writer};
#[doc(hidden)]
pub use pipe::{read_as_it_is, write_as_it_is};
pub use pipe::{read_pipe, write_pipe};
pub use resolve::{getaddrinfo, getnameinfo};
#[cfg(feature = "tls")]
pub use rustls;
pub use sendfile::{
    SendfileNotAvailableError, SendfileTarget, sendfile, sendfile_native, sock_sendfile,
    sock_sendfile_native,
};
pub use server::{Server, ServerSocket};
pub use server_options::{Hosts, ServerOptions, start_server};
pub use socket_ref::SocketRef;
pub use socket_stream::SocketStream;
pub use staggered::staggered_race;
pub use stream_reader::StreamReader;
pub use stream_writer::StreamWriter;
#[cfg(feature = "tls")]
pub use tls::{TlsError, TlsInfo, TlsOptions};
#[cfg(feature = "tls")]
pub use transport::start_tls;
pub use transport::{
    BaseProtocol, BaseTransport, Buffered, BufferedProtocol, ExtraInfo, Protocol, ReadTransport,
    SocketTransport, Transport, WriteLimits, WriteTransport, connect_accepted_socket,
    connect_read_pipe, connect_write_pipe, create_connection, create_server, create_server_on,
    create_unix_connection, create_unix_server,
};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use unix::PeerCred;
pub use unix::{open_unix_connection, start_unix_server};
