//! Transports and protocols: asyncio's layer of callbacks, over the same connections as the streams.

#[cfg(feature = "tls")]
pub use tls::start_tls;

pub use create::{
    connect_accepted_socket, connect_read_pipe, connect_write_pipe, create_connection,
    create_server, create_server_on, create_unix_connection, create_unix_server,
};
pub use limits::WriteLimits;
pub use protocol::{BaseProtocol, Buffered, BufferedProtocol, Protocol};
pub use socket::SocketTransport;
pub use stream_reader_protocol::StreamReaderProtocol;
pub use traits::{BaseTransport, ExtraInfo, ReadTransport, Transport, WriteTransport};

pub(crate) use alarm::Alarm;
pub(crate) use protocol::contained;

mod alarm;
mod create;
mod limits;
mod protocol;
mod socket;
mod stream_reader_protocol;
#[cfg(feature = "tls")]
mod tls;
mod traits;
