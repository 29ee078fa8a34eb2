//! Addresses of sockets of either family.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::net::SocketAddr as UnixSocketAddr;
use std::path::Path;

use rustix::net::{SocketAddrAny, SocketAddrUnix};

/// The address of a socket: IP and port, or that of a Unix socket.
///
/// Where an operation takes an address it takes either of the two types of the standard library.
///
/// ```
/// use asyncio_reactor::Address;
/// use std::net::SocketAddr;
///
/// let ip: SocketAddr = "127.0.0.1:80".parse().unwrap();
/// assert_eq!(Address::from(ip).ip(), Some(ip));
/// let path = Address::unix("/run/some.socket")?;
/// assert_eq!(path.to_string(), "/run/some.socket");
/// assert!(path.ip().is_none());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
pub enum Address {
    /// An IP address with a port.
    Ip(SocketAddr),
    /// The address of a Unix socket: a path, on Linux also an abstract name, or nothing.
    Unix(UnixSocketAddr),
}

impl Address {
    /// The address of the Unix socket at a path.
    ///
    /// # Errors
    /// `InvalidInput` for a path that is too long for a socket's address (107 bytes is the most on Linux) or has a zero byte in it.
    pub fn unix(path: impl AsRef<Path>) -> io::Result<Address> {
        Ok(Address::Unix(UnixSocketAddr::from_pathname(path)?))
    }

    /// The IP address, if it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Address::Ip(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }

    /// The path of a Unix socket that has one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Address::Ip(_) => None,
            Address::Unix(address) => address.as_pathname(),
        }
    }

    /// The address a socket is bound to (`getsockname`).
    ///
    /// # Errors
    /// For what is no socket, or one of another family.
    ///
    /// ```
    /// # use asyncio_reactor::Address;
    /// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// assert_eq!(Address::of_socket(&socket)?, socket.local_addr()?.into());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn of_socket(socket: &impl AsFd) -> io::Result<Address> {
        known(rustix::net::getsockname(socket)?)
    }

    /// The address a socket is connected to (`getpeername`).
    ///
    /// # Errors
    /// `NotConnected` where there is no connection; else as [`of_socket`](Address::of_socket).
    pub fn of_peer(socket: &impl AsFd) -> io::Result<Address> {
        known(rustix::net::getpeername(socket)?.ok_or(io::ErrorKind::NotConnected)?)
    }

    pub(crate) fn from_any(any: SocketAddrAny) -> Option<Address> {
        if let Ok(ip) = SocketAddr::try_from(any.clone()) {
            return Some(Address::Ip(ip));
        }
        Some(Address::Unix(from_unix(
            &SocketAddrUnix::try_from(any).ok()?,
        )?))
    }

    pub(crate) fn to_any(&self) -> io::Result<SocketAddrAny> {
        Ok(match self {
            Address::Ip(SocketAddr::V4(address)) => (*address).into(),
            Address::Ip(SocketAddr::V6(address)) => (*address).into(),
            Address::Unix(address) => to_unix(address)?.into(),
        })
    }
}

fn known(any: SocketAddrAny) -> io::Result<Address> {
    Address::from_any(any).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::Unsupported,
            "the socket is of a family this crate does not know",
        )
    })
}

fn from_unix(address: &SocketAddrUnix) -> Option<UnixSocketAddr> {
    use std::os::unix::ffi::OsStrExt;
    #[cfg(target_os = "linux")]
    if let Some(name) = address.abstract_name() {
        return <UnixSocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
            .ok();
    }
    // An empty path stands for a socket without a name.
    let path = address.path();
    let bytes = path.as_ref().map_or(&[][..], |path| path.to_bytes());
    UnixSocketAddr::from_pathname(std::ffi::OsStr::from_bytes(bytes)).ok()
}

pub(crate) fn to_unix(address: &UnixSocketAddr) -> io::Result<SocketAddrUnix> {
    if let Some(path) = address.as_pathname() {
        return Ok(SocketAddrUnix::new(path)?);
    }
    #[cfg(target_os = "linux")]
    if let Some(name) = std::os::linux::net::SocketAddrExt::as_abstract_name(address) {
        return Ok(SocketAddrUnix::new_abstract_name(name)?);
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "an unnamed Unix socket cannot be connected or sent to: it has no address",
    ))
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Ip(address)
    }
}

impl From<UnixSocketAddr> for Address {
    fn from(address: UnixSocketAddr) -> Address {
        Address::Unix(address)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Address) -> bool {
        match (self, other) {
            (Address::Ip(one), Address::Ip(other)) => one == other,
            (Address::Unix(one), Address::Unix(other)) => {
                one.as_pathname() == other.as_pathname()
                    && abstract_name(one) == abstract_name(other)
            }
            _ => false,
        }
    }
}

impl Eq for Address {}

#[cfg(target_os = "linux")]
fn abstract_name(address: &UnixSocketAddr) -> Option<&[u8]> {
    std::os::linux::net::SocketAddrExt::as_abstract_name(address)
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &UnixSocketAddr) -> Option<&[u8]> {
    None
}

/// The path of a Unix socket, its abstract name after an `@`, `(unnamed)` where it has neither.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Unix(address) => match (address.as_pathname(), abstract_name(address)) {
                (Some(path), _) => path.display().fmt(f),
                (None, Some(name)) => write!(f, "@{}", name.escape_ascii()),
                (None, None) => f.write_str("(unnamed)"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(address: &Address) -> Address {
        Address::from_any(address.to_any().unwrap()).unwrap()
    }

    #[test]
    fn every_kind_of_address_survives_the_way_to_the_kernel_and_back() {
        let mut addresses = vec![
            Address::Ip("127.0.0.1:80".parse().unwrap()),
            Address::Ip("[fe80::1%7]:80".parse().unwrap()),
            Address::unix("/tmp/a socket").unwrap(),
        ];
        #[cfg(target_os = "linux")]
        addresses.push(Address::Unix(
            <UnixSocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name("a\0b")
                .unwrap(),
        ));
        for address in addresses {
            assert_eq!(there_and_back(&address), address);
        }
    }

    #[test]
    fn an_unnamed_socket_has_no_address_to_send_to() {
        let unnamed = from_unix(&SocketAddrUnix::new_unnamed()).unwrap();
        assert!(unnamed.is_unnamed());
        let error = Address::Unix(unnamed).to_any().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
