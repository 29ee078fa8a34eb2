//! Making sockets: non-blocking, closed on exec, with asyncio's options.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketType, sockopt};

/// A socket for one connection.
pub(crate) fn stream(address: &SocketAddr) -> io::Result<OwnedFd> {
    socket(address)
}

pub(crate) fn set_nodelay(socket: &OwnedFd) -> io::Result<()> {
    Ok(sockopt::set_tcp_nodelay(socket, true)?)
}

pub(crate) fn bind(socket: &OwnedFd, address: &SocketAddr) -> io::Result<()> {
    Ok(rustix::net::bind(socket, address)?)
}

/// A socket that listens. Its connections inherit `TCP_NODELAY` from it, which saves a system call for each.
pub(crate) fn listener(
    address: &SocketAddr,
    backlog: u32,
    reuse_port: bool,
    nodelay: bool,
) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if reuse_port {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if nodelay {
        set_nodelay(&socket)?;
    }
    bind(&socket, address)?;
    rustix::net::listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(TcpListener::from(socket))
}

fn family(address: &SocketAddr) -> AddressFamily {
    match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    }
}

#[cfg(not(target_vendor = "apple"))]
fn socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(rustix::net::socket_with(
        family(address),
        SocketType::STREAM,
        flags,
        None,
    )?)
}

#[cfg(target_vendor = "apple")]
fn socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(family(address), SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_sockets_inherit_nodelay_from_their_listener() {
        for nodelay in [true, false] {
            let listener = listener(&"127.0.0.1:0".parse().unwrap(), 1, false, nodelay).unwrap();
            listener.set_nonblocking(false).unwrap();
            let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(accepted.nodelay().unwrap(), nodelay);
        }
    }
}
