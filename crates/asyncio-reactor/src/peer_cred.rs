//! Who is at the other end of a Unix connection; rustix takes the number of a process to be never 0, which the kernel does not keep to.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// The process at the other end of a Unix connection when that was made, as the kernel knows it and nobody can forge it
/// (`SO_PEERCRED`). Linux only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCred {
    /// The process, if it is in this one's name space.
    pub pid: Option<u32>,
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl PeerCred {
    /// Asks the kernel.
    ///
    /// # Errors
    /// `InvalidInput` for what is no connected Unix socket.
    ///
    /// ```
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// let peer = asyncio_reactor::PeerCred::of_peer(&ours)?;
    /// assert_eq!(peer.pid, Some(std::process::id()));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn of_peer(socket: &impl AsFd) -> io::Result<PeerCred> {
        let mut found = libc::ucred {
            pid: 0,
            uid: libc::uid_t::MAX,
            gid: libc::gid_t::MAX,
        };
        let mut len = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the descriptor is open while it is borrowed; `found` is writable, `len` says how long it is, and any bytes are
        // a value of this plain structure of integers.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut found).cast(),
                &raw mut len,
            )
        };
        // Of other sockets the kernel says: nobody.
        let nobody = found.uid == libc::uid_t::MAX && found.gid == libc::gid_t::MAX;
        if result != 0 || nobody {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "only of a connected Unix socket the kernel knows who is at the other end",
            ));
        }
        Ok(PeerCred {
            pid: u32::try_from(found.pid).ok().filter(|pid| *pid != 0),
            uid: found.uid,
            gid: found.gid,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    #[test]
    fn only_a_unix_connection_has_somebody_known_at_its_other_end() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        assert_eq!(
            PeerCred::of_peer(&ours).unwrap().pid,
            Some(std::process::id())
        );
        for refused in [
            PeerCred::of_peer(&UnixDatagram::unbound().unwrap()),
            PeerCred::of_peer(&std::net::UdpSocket::bind("127.0.0.1:0").unwrap()),
            PeerCred::of_peer(&std::fs::File::open("Cargo.toml").unwrap()),
        ] {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
