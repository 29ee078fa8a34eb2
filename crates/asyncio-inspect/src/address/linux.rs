//! Where a process can be asked: an abstract name, which goes with the process and leaves no file behind.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

fn address(pid: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("asyncio-inspect-{pid}"))
}

pub(crate) fn listen(pid: u32) -> io::Result<UnixListener> {
    UnixListener::bind_addr(&address(pid)?)
}

pub(crate) fn connect(pid: u32) -> io::Result<UnixStream> {
    UnixStream::connect_addr(&address(pid)?)
}

/// Whether whoever connected may look: the same user, or root.
pub(crate) fn may_look(stream: &UnixStream) -> bool {
    socket_peercred(stream).is_ok_and(|peer| peer.uid == geteuid() || peer.uid.is_root())
}

/// Whether it is this process that answers, and one of this user's: anybody may take an abstract name.
pub(crate) fn is_answered_by(stream: &UnixStream, pid: u32) -> bool {
    socket_peercred(stream).is_ok_and(|peer| {
        let same_user = peer.uid == geteuid() || geteuid().is_root();
        same_user && u32::try_from(peer.pid.as_raw_nonzero().get()) == Ok(pid)
    })
}
