//! Making sockets, non-blocking and closed on exec, and looking at those of others.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketType, sockopt};

/// A socket for one connection to an address.
pub(crate) fn stream(address: &SocketAddr) -> io::Result<OwnedFd> {
    socket(family(address), SocketType::STREAM)
}

/// A socket for datagrams of an address's family.
pub(crate) fn datagram(address: &SocketAddr) -> io::Result<OwnedFd> {
    socket(family(address), SocketType::DGRAM)
}

/// A socket for one Unix connection.
pub(crate) fn unix_stream() -> io::Result<OwnedFd> {
    socket(AddressFamily::UNIX, SocketType::STREAM)
}

/// A Unix socket for messages.
pub(crate) fn unix_datagram() -> io::Result<OwnedFd> {
    socket(AddressFamily::UNIX, SocketType::DGRAM)
}

pub(crate) fn set_nodelay(socket: impl AsFd) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(socket, true)?)
}

pub(crate) fn bind(socket: &OwnedFd, address: &SocketAddr) -> io::Result<()> {
    Ok(rustix::net::bind(socket, address)?)
}

pub(crate) fn listen(socket: impl AsFd, backlog: u32) -> io::Result<()> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    Ok(rustix::net::listen(socket, backlog)?)
}

/// What is set on a listening socket; its connections inherit the last two, which saves system calls for each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenerOptions {
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) ipv6_only: bool,
    pub(crate) nodelay: bool,
    pub(crate) keep_alive: bool,
}

/// A socket that is bound, and does not listen yet.
pub(crate) fn listener(address: &SocketAddr, options: ListenerOptions) -> io::Result<OwnedFd> {
    let socket = stream(address)?;
    if options.reuse_address {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if options.reuse_port {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, options.ipv6_only)?;
    }
    set_inherited(&socket, options)?;
    bind(&socket, address)?;
    Ok(socket)
}

/// Sets what connections inherit from their listener.
pub(crate) fn set_inherited(socket: impl AsFd, options: ListenerOptions) -> io::Result<()> {
    if options.nodelay {
        set_nodelay(&socket)?;
    }
    if options.keep_alive {
        sockopt::set_socket_keepalive(&socket, true)?;
    }
    Ok(())
}

/// Refuses what is no stream socket; asyncio does the same for `sock=`.
pub(crate) fn must_be_stream(socket: impl AsFd) -> io::Result<()> {
    let other = match sockopt::socket_type(socket) {
        Ok(SocketType::STREAM) => return Ok(()),
        Ok(SocketType::DGRAM) => "a datagram socket".to_owned(),
        Ok(other) => format!("a socket of type {}", other.as_raw()),
        Err(error) => format!("a descriptor that is no socket ({error})"),
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "a stream socket was expected, got {other}: give a `TcpStream`, `UnixStream` or a listener of these"
        ),
    ))
}

fn family(address: &SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

#[cfg(not(target_vendor = "apple"))]
fn socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(family, kind, flags, None)?)
}

#[cfg(target_vendor = "apple")]
fn socket(family: AddressFamily, kind: SocketType) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(family, kind, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn accepted_sockets_inherit_nodelay_and_keep_alive_from_their_listener() {
        for set in [true, false] {
            let options = ListenerOptions {
                reuse_address: true,
                reuse_port: false,
                ipv6_only: true,
                nodelay: set,
                keep_alive: set,
            };
            let socket = listener(&"127.0.0.1:0".parse().unwrap(), options).unwrap();
            listen(&socket, 1).unwrap();
            let listener = TcpListener::from(socket);
            listener.set_nonblocking(false).unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(accepted.nodelay().unwrap(), set);
            assert_eq!(sockopt::socket_keepalive(&accepted).unwrap(), set);
        }
    }
}
