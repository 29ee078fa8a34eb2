//! Sockets, buffered streams and servers on the loop.
//!
//! [`open_connection`] gives the two ends of a TCP connection: a [`StreamReader`] and a [`StreamWriter`].
//! [`start_server`] listens, and runs a callback with such a pair as a task for each client. [`open_unix_connection`] and
//! [`start_unix_server`] are the same for Unix sockets.
//!
#![doc = include_str!("overview.md")]
#![forbid(unsafe_code)]
#![cfg(unix)]

mod accept;
mod buffer;
mod changes;
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
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use asyncio_reactor::PeerCred;
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
pub use low_level::{
    add_reader, add_writer, remove_reader, remove_writer, sock_accept, sock_connect, sock_recv,
    sock_recv_into, sock_recvfrom, sock_recvfrom_into, sock_sendall, sock_sendto,
};
#[doc(hidden)]
pub use pipe::{read_as_it_is, write_as_it_is};
pub use pipe::{read_pipe, write_pipe};
pub use resolve::{getaddrinfo, getnameinfo};
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
pub use tls::{TlsError, TlsInfo, TlsOptions, rustls};
#[cfg(feature = "tls")]
pub use transport::start_tls;
pub use transport::{
    BaseProtocol, BaseTransport, Buffered, BufferedProtocol, ExtraInfo, Protocol, ReadTransport,
    SocketTransport, StreamReaderProtocol, Transport, WriteLimits, WriteTransport,
    connect_accepted_socket, connect_read_pipe, connect_write_pipe, create_connection,
    create_server, create_server_on, create_unix_connection, create_unix_server,
};
pub use unix::{open_unix_connection, start_unix_server};
