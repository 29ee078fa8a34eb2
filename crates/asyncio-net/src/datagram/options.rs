//! How to make a datagram socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use asyncio_reactor::Address;
use rustix::net::sockopt;

use crate::datagram::DatagramSocket;
use crate::resolve::{IpFamily, resolve};
use crate::socket;

/// How to make a datagram socket: the keyword arguments of asyncio's `create_datagram_endpoint`.
///
/// Give [`open`](DatagramOptions::open) or [`create_datagram_endpoint`](crate::create_datagram_endpoint) at least an
/// address of this side or the peer's; with the peer's the socket is connected.
///
/// ```
/// use asyncio_net::DatagramOptions;
///
/// # asyncio_runtime::run(async {
/// let socket = DatagramOptions::new()
///     .local_addr("0.0.0.0", 0)
///     .allow_broadcast(true)
///     .open()
///     .await?;
/// # assert_ne!(socket.local_addr()?.ip().unwrap().port(), 0);
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Default)]
#[must_use = "options do nothing until they are opened"]
pub struct DatagramOptions {
    local: Option<Place>,
    remote: Option<Place>,
    family: Option<IpFamily>,
    reuse_port: bool,
    allow_broadcast: bool,
    sock: Option<OwnedFd>,
}

#[derive(Debug)]
enum Place {
    Host(String, u16),
    Path(PathBuf),
}

impl DatagramOptions {
    /// No addresses yet.
    pub fn new() -> DatagramOptions {
        DatagramOptions::default()
    }

    /// The address of this side, a name or an address; `""` for all interfaces, port 0 for any free one.
    pub fn local_addr(mut self, host: &str, port: u16) -> DatagramOptions {
        self.local = Some(Place::Host(host.to_owned(), port));
        self
    }

    /// The peer, a name or an address. Only what comes from there is received.
    pub fn remote_addr(mut self, host: &str, port: u16) -> DatagramOptions {
        self.remote = Some(Place::Host(host.to_owned(), port));
        self
    }

    /// The path of this side: a Unix socket. A socket that was left there is removed first.
    pub fn local_path(mut self, path: impl AsRef<Path>) -> DatagramOptions {
        self.local = Some(Place::Path(path.as_ref().to_owned()));
        self
    }

    /// The path of the peer: a Unix socket.
    pub fn remote_path(mut self, path: impl AsRef<Path>) -> DatagramOptions {
        self.remote = Some(Place::Path(path.as_ref().to_owned()));
        self
    }

    /// Takes only addresses of this family.
    pub fn family(mut self, family: IpFamily) -> DatagramOptions {
        self.family = Some(family);
        self
    }

    /// Whether other sockets may be bound to the same port (`SO_REUSEPORT`); not at first.
    pub fn reuse_port(mut self, reuse_port: bool) -> DatagramOptions {
        self.reuse_port = reuse_port;
        self
    }

    /// Whether datagrams may be sent to broadcast addresses; not at first.
    pub fn allow_broadcast(mut self, allow_broadcast: bool) -> DatagramOptions {
        self.allow_broadcast = allow_broadcast;
        self
    }

    /// A socket that exists already. It is taken as it is, so this goes with no other option.
    pub fn sock(mut self, sock: impl Into<OwnedFd>) -> DatagramOptions {
        self.sock = Some(sock.into());
        self
    }

    /// Makes the socket: of the addresses that are found, the first with which it works.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Errors
    /// `InvalidInput` for options that contradict each other, or where there is no address; `NotFound` for a name that
    /// does not resolve; that of the first address, if none works, naming it.
    pub async fn open(self) -> io::Result<DatagramSocket> {
        let is_path = |place: &Option<Place>| matches!(place, Some(Place::Path(_)));
        if self.sock.is_some() || is_path(&self.local) || is_path(&self.remote) {
            return self.open_unix();
        }
        let locals = self.addresses(&self.local).await?;
        let remotes = self.addresses(&self.remote).await?;
        let mut pairs = Vec::new();
        match (locals, remotes) {
            (None, None) => {
                return misuse(
                    "a datagram socket needs an address: `local_addr(\"0.0.0.0\", 0)` is any on this side, \
                     `remote_addr(host, port)` a peer",
                );
            }
            (Some(locals), None) => {
                pairs.extend(locals.into_iter().map(|local| (Some(local), None)))
            }
            (None, Some(remotes)) => {
                pairs.extend(remotes.into_iter().map(|remote| (None, Some(remote))))
            }
            (Some(locals), Some(remotes)) => {
                for &remote in &remotes {
                    let of_its_family = |local: &&SocketAddr| local.is_ipv4() == remote.is_ipv4();
                    pairs.extend(
                        locals
                            .iter()
                            .filter(of_its_family)
                            .map(|&local| (Some(local), Some(remote))),
                    );
                }
            }
        }
        let mut first = None;
        for (local, remote) in pairs {
            match self.try_open(local, remote).await {
                Ok(socket) => return Ok(socket),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or_else(|| {
            let text =
                "no address of this side goes with one of the peer, or is of the wanted family";
            io::Error::new(io::ErrorKind::AddrNotAvailable, text)
        }))
    }

    async fn addresses(&self, place: &Option<Place>) -> io::Result<Option<Vec<SocketAddr>>> {
        let Some(Place::Host(host, port)) = place else {
            return Ok(None);
        };
        let mut addresses = if host.is_empty() {
            vec![
                (Ipv4Addr::UNSPECIFIED, *port).into(),
                (Ipv6Addr::UNSPECIFIED, *port).into(),
            ]
        } else {
            resolve(host, *port).await?
        };
        if let Some(family) = self.family {
            addresses.retain(|address| IpFamily::of(address) == family);
        }
        Ok(Some(addresses))
    }

    async fn try_open(
        &self,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
    ) -> io::Result<DatagramSocket> {
        let about = |what: &'static str, address: SocketAddr| {
            move |error: io::Error| {
                io::Error::new(error.kind(), format!("cannot {what} {address}: {error}"))
            }
        };
        let family_of = local
            .or(remote)
            .unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
        let socket = socket::datagram(&family_of)?;
        if self.reuse_port {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        if self.allow_broadcast {
            sockopt::set_socket_broadcast(&socket, true)?;
        }
        if let Some(local) = local {
            socket::bind(&socket, &local).map_err(about("bind a datagram socket to", local))?;
        }
        let socket = DatagramSocket::assume_nonblocking(socket);
        if let Some(remote) = remote {
            socket
                .start_connecting(&remote.into())
                .map_err(about("connect a datagram socket to", remote))?;
        }
        Ok(socket)
    }

    /// The part of [`open`](DatagramOptions::open) that has nothing to wait for.
    pub(crate) fn open_unix(self) -> io::Result<DatagramSocket> {
        if let Some(sock) = self.sock {
            if self.local.is_some()
                || self.remote.is_some()
                || self.family.is_some()
                || self.reuse_port
                || self.allow_broadcast
            {
                return misuse("`sock` is taken as it is: set its addresses and options before");
            }
            return DatagramSocket::from_fd(sock);
        }
        if self.reuse_port || self.allow_broadcast || self.family.is_some() {
            return misuse(
                "`family`, `reuse_port` and `allow_broadcast` are for IP addresses, not for paths",
            );
        }
        // All of it is looked at before a file is touched.
        let path = |place: Option<Place>| match place {
            None => Ok(None),
            Some(Place::Path(path)) => Ok(Some(path)),
            Some(Place::Host(..)) => misuse("one address is a path, so the other must be one too"),
        };
        let (local, remote) = (path(self.local)?, path(self.remote)?);
        let socket = DatagramSocket::unbound_unix()?;
        for (path, local) in [(&local, true), (&remote, false)] {
            let Some(path) = path else { continue };
            let result = if local {
                bind_to_path(&socket, path)
            } else {
                socket.start_connecting(&Address::unix(path)?)
            };
            result.map_err(|error| {
                let what = if local {
                    "bind a datagram socket to"
                } else {
                    "connect a datagram socket to"
                };
                io::Error::new(
                    error.kind(),
                    format!("cannot {what} {}: {error}", path.display()),
                )
            })?;
        }
        Ok(socket)
    }
}

fn bind_to_path(socket: &DatagramSocket, path: &Path) -> io::Result<()> {
    // As asyncio does: what a socket that is gone has left would be in the way for ever.
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        std::fs::remove_file(path)?;
    }
    Ok(rustix::net::bind(
        socket,
        &rustix::net::SocketAddrUnix::new(path)?,
    )?)
}

fn misuse<R>(text: &str) -> io::Result<R> {
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}
