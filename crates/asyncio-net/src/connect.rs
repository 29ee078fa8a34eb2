//! Opening connections.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

use asyncio_reactor::Source;

use crate::connection::Connection;
use crate::resolve::resolve;
use crate::socket;
use crate::stream_reader::{DEFAULT_LIMIT, StreamReader};
use crate::stream_writer::StreamWriter;

/// Connects to a TCP port and gives the two ends of the connection; asyncio: `open_connection`.
///
/// `host` is a name or an address. A name's addresses are tried one after the other (S217); the first that answers is
/// taken. `TCP_NODELAY` is set, as asyncio does. [`ConnectOptions`] has more.
///
/// # Cancel safety
/// Dropping the future gives the attempt up; no socket is left.
///
/// # Errors
/// - `NotFound` for a name that does not resolve;
/// - when no address answers, one error that names host, port and each address with its reason. Its kind is that of the reasons,
///   if they agree, and `Other` if not.
///
/// # Panics
/// Outside a running loop, for a name.
///
/// ```
/// # use asyncio_net::{open_connection, start_server};
/// # asyncio_runtime::run(async {
/// # let server = start_server(|_reader, writer| async move { writer.write(b"welcome\n"); }, "127.0.0.1", 0).await?;
/// # let port = server.local_addrs()[0].port();
/// let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
/// assert_eq!(reader.readline().await?, "welcome\n");
/// assert_eq!(writer.peer_addr()?.port(), port);
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn open_connection(host: &str, port: u16) -> io::Result<(StreamReader, StreamWriter)> {
    ConnectOptions::new().connect(host, port).await
}

/// How to connect: the keyword arguments of asyncio's `open_connection`.
///
/// ```
/// # use asyncio_net::{ConnectOptions, start_server};
/// # asyncio_runtime::run(async {
/// # let server = start_server(|_reader, writer| async move { writer.write(b"hello"); }, "127.0.0.1", 0).await?;
/// # let port = server.local_addrs()[0].port();
/// let (reader, writer) = ConnectOptions::new()
///     .limit(1024 * 1024)
///     .local_addr("127.0.0.1:0".parse().unwrap())
///     .connect("127.0.0.1", port)
///     .await?;
/// # assert_eq!(reader.limit(), 1024 * 1024);
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `connect` is called"]
pub struct ConnectOptions {
    limit: usize,
    nodelay: bool,
    local_addr: Option<SocketAddr>,
}

impl ConnectOptions {
    /// The options of [`open_connection`].
    pub fn new() -> ConnectOptions {
        ConnectOptions {
            limit: DEFAULT_LIMIT,
            nodelay: true,
            local_addr: None,
        }
    }

    /// The most bytes [`StreamReader::readuntil`] accepts before the separator; 64 KiB at first.
    ///
    /// # Panics
    /// For 0.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> ConnectOptions {
        assert!(limit > 0, "the limit of a stream must be at least 1");
        self.limit = limit;
        self
    }

    /// Whether small writes leave at once (`TCP_NODELAY`); they do unless told otherwise.
    pub fn nodelay(mut self, nodelay: bool) -> ConnectOptions {
        self.nodelay = nodelay;
        self
    }

    /// The address to connect from. Addresses of the host that are of the other family are passed over.
    pub fn local_addr(mut self, address: SocketAddr) -> ConnectOptions {
        self.local_addr = Some(address);
        self
    }

    /// Connects, see [`open_connection`].
    ///
    /// # Cancel safety
    /// As [`open_connection`].
    ///
    /// # Errors
    /// As [`open_connection`].
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<(StreamReader, StreamWriter)> {
        let mut failures = Vec::new();
        for address in resolve(host, port).await? {
            match self.connect_to(address).await {
                Ok(source) => {
                    let connection = Connection::new(source, Some(address));
                    let reader = StreamReader::new(connection.clone(), self.limit);
                    return Ok((reader, StreamWriter::new(connection)));
                }
                Err(error) => failures.push((address, error)),
            }
        }
        Err(ConnectError::new(host, port, failures))
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<Source<std::os::fd::OwnedFd>> {
        let socket = socket::stream(&address)?;
        if let Some(local) = &self.local_addr {
            if local.is_ipv4() != address.is_ipv4() {
                let text = format!(
                    "it cannot be reached from {}, an address of the other family",
                    local.ip()
                );
                return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
            }
            socket::bind(&socket, local).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("cannot bind to the local address {local}: {error}"),
                )
            })?;
        }
        if self.nodelay {
            socket::set_nodelay(&socket)?;
        }
        let source = Source::assume_nonblocking(socket);
        source.connect(address).await?;
        Ok(source)
    }
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions::new()
    }
}

/// No address answered.
#[derive(Debug)]
struct ConnectError {
    host: String,
    port: u16,
    failures: Vec<(SocketAddr, io::Error)>,
}

impl ConnectError {
    #[allow(clippy::new_ret_no_self)]
    fn new(host: &str, port: u16, failures: Vec<(SocketAddr, io::Error)>) -> io::Error {
        let mut kinds = failures.iter().map(|(_, error)| error.kind());
        let first = kinds.next().unwrap_or(io::ErrorKind::Other);
        let kind = if kinds.all(|kind| kind == first) {
            first
        } else {
            io::ErrorKind::Other
        };
        io::Error::new(
            kind,
            ConnectError {
                host: host.to_owned(),
                port,
                failures,
            },
        )
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to {} port {}: ", self.host, self.port)?;
        for (n, (address, error)) in self.failures.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}{address}: {error}")?;
        }
        Ok(())
    }
}

impl Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::*;

    // S217
    #[test]
    fn the_error_names_host_port_and_every_address_with_its_reason() {
        let failure =
            |address: &str, kind: io::ErrorKind| (address.parse().unwrap(), io::Error::from(kind));
        let refused = io::ErrorKind::ConnectionRefused;
        let error = ConnectError::new(
            "example",
            80,
            vec![
                failure("127.0.0.1:80", refused),
                failure("[::1]:80", refused),
            ],
        );
        assert_eq!(error.kind(), refused);
        assert_eq!(
            error.to_string(),
            "cannot connect to example port 80: 127.0.0.1:80: connection refused, [::1]:80: connection refused"
        );
        let timed_out = failure("[::1]:80", io::ErrorKind::TimedOut);
        let error = ConnectError::new(
            "example",
            80,
            vec![failure("127.0.0.1:80", refused), timed_out],
        );
        assert_eq!(error.kind(), io::ErrorKind::Other);
    }
}
