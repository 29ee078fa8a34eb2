//! Datagrams: sockets whose operations are awaited, and endpoints that call a protocol.

mod options;
mod patience;
mod socket;
mod transport;

pub use options::DatagramOptions;
pub(crate) use patience::Patience;
pub use socket::DatagramSocket;
pub use transport::{DatagramProtocol, DatagramTransport, create_datagram_endpoint};
