//! Why no address of a host could be connected to.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// No address of a host could be connected to; asyncio: what `all_errors=True` gives.
///
/// It is the error within the `io::Error` of [`open_connection`](crate::open_connection), whose kind is that of the
/// reasons if they agree, `TimedOut` if time was up, and `Other` if not.
///
/// ```
/// use asyncio_net::{ConnectError, open_connection};
/// use std::io::ErrorKind::ConnectionRefused;
///
/// # let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port(); // nobody listens there any more
/// let error = asyncio_runtime::run(open_connection("127.0.0.1", port)).unwrap_err();
/// assert_eq!(error.kind(), ConnectionRefused);
/// let error = error.get_ref().unwrap().downcast_ref::<ConnectError>().unwrap();
/// assert_eq!(error.host(), "127.0.0.1");
/// for (address, reason) in error.failures() {
///     println!("{address} {reason}");
/// #   assert_eq!((address.port(), reason.kind()), (port, ConnectionRefused));
/// }
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct ConnectError {
    host: String,
    port: u16,
    time_was_up: Option<Duration>,
    failures: Vec<(SocketAddr, io::Error)>,
}

impl ConnectError {
    pub(crate) fn failed(
        host: &str,
        port: u16,
        failures: Vec<(SocketAddr, io::Error)>,
    ) -> io::Error {
        let mut kinds = failures.iter().map(|(_, error)| error.kind());
        let kind = match kinds.next() {
            Some(first) if kinds.all(|kind| kind == first) => first,
            Some(_) => io::ErrorKind::Other,
            // S217
            None => io::ErrorKind::TimedOut,
        };
        let error = ConnectError {
            host: host.to_owned(),
            port,
            time_was_up: None,
            failures,
        };
        io::Error::new(kind, error)
    }

    pub(crate) fn time_was_up(
        host: &str,
        port: u16,
        limit: Duration,
        failures: Vec<(SocketAddr, io::Error)>,
    ) -> io::Error {
        let error = ConnectError {
            host: host.to_owned(),
            port,
            time_was_up: Some(limit),
            failures,
        };
        io::Error::new(io::ErrorKind::TimedOut, error)
    }

    /// The host that was asked for.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that was asked for.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The addresses that were tried, in that order, each with its reason.
    pub fn failures(&self) -> &[(SocketAddr, io::Error)] {
        &self.failures
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The host may come from anybody, and must not add lines to a log.
        let (host, port) = (self.host.escape_debug(), self.port);
        write!(f, "cannot connect to {host} port {port}")?;
        if let Some(limit) = self.time_was_up {
            write!(f, " within {limit:?}")?;
            if self.failures.is_empty() {
                return write!(f, ": the name was not resolved in that time");
            }
        }
        for (n, (address, error)) in self.failures.iter().enumerate() {
            let comma = if n > 0 { ", " } else { ": " };
            write!(f, "{comma}{address}: {error}")?;
        }
        Ok(())
    }
}

impl Error for ConnectError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(address: &str, kind: io::ErrorKind) -> (SocketAddr, io::Error) {
        (address.parse().unwrap(), io::Error::from(kind))
    }

    // S217
    #[test]
    fn the_error_names_host_port_and_every_address_with_its_reason() {
        let refused = io::ErrorKind::ConnectionRefused;
        let both = vec![
            failure("127.0.0.1:80", refused),
            failure("[::1]:80", refused),
        ];
        let error = ConnectError::failed("example", 80, both);
        assert_eq!(error.kind(), refused);
        assert_eq!(
            error.to_string(),
            "cannot connect to example port 80: 127.0.0.1:80: connection refused, [::1]:80: connection refused"
        );
        let two_reasons = vec![
            failure("127.0.0.1:80", refused),
            failure("[::1]:80", io::ErrorKind::TimedOut),
        ];
        let error = ConnectError::failed("example", 80, two_reasons);
        assert_eq!(error.kind(), io::ErrorKind::Other);
    }

    #[test]
    fn when_time_was_up_it_says_how_much_that_was_and_how_far_it_came() {
        let limit = Duration::from_secs(3);
        let error = ConnectError::time_was_up("example", 80, limit, vec![]);
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            error.to_string(),
            "cannot connect to example port 80 within 3s: the name was not resolved in that time"
        );
        let failures = vec![failure("[::1]:80", io::ErrorKind::ConnectionRefused)];
        let error = ConnectError::time_was_up("example", 80, limit, failures);
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            error.to_string(),
            "cannot connect to example port 80 within 3s: [::1]:80: connection refused"
        );
    }
}
