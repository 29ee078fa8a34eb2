//! A datagram socket whose operations are awaited.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use asyncio_reactor::{Address, Datagram, DatagramBatch, Source};
use rustix::net::{SocketType, sockopt};

use crate::datagram::{DatagramOptions, Patience};

/// A socket for datagrams, UDP or Unix, connected or not.
///
/// asyncio has only [`create_datagram_endpoint`](crate::create_datagram_endpoint), which calls a protocol; this is the same
/// with operations that are awaited. All of them take `&self`: one task may receive while others send, through an `Rc`.
/// Dropping it closes the socket.
///
/// ```
/// use asyncio_net::DatagramSocket;
///
/// # asyncio_runtime::run(async {
/// let server = DatagramSocket::bind("127.0.0.1", 0).await?;
/// let client = DatagramSocket::connect("127.0.0.1", server.local_addr()?.ip().unwrap().port()).await?;
/// client.send(b"ping").await?;
/// let mut buffer = [0; 1500];
/// let ping = server.recv_from(&mut buffer).await?;
/// server.send_to(&buffer[..ping.len], ping.from.unwrap()).await?;
/// assert_eq!(client.recv(&mut buffer).await?, 4);
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub struct DatagramSocket {
    source: Source<OwnedFd>,
}

/// Making one.
impl DatagramSocket {
    /// Binds to an address of this machine, to receive from anybody; port 0 means any free one.
    ///
    /// [`DatagramOptions`] has more: connecting at the same time, broadcasts, a port that is shared.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Errors
    /// `AddrInUse` and the like; `NotFound` for a name that does not resolve.
    pub async fn bind(host: &str, port: u16) -> io::Result<DatagramSocket> {
        DatagramOptions::new().local_addr(host, port).open().await
    }

    /// Fixes the peer: [`send`](DatagramSocket::send) sends there, and only what comes from there is received.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    ///
    /// # Errors
    /// `NotFound` for a name that does not resolve; `NetworkUnreachable` and the like. Whether anybody listens there
    /// shows only later, as `ConnectionRefused` when receiving or sending.
    pub async fn connect(host: &str, port: u16) -> io::Result<DatagramSocket> {
        DatagramOptions::new().remote_addr(host, port).open().await
    }

    /// Binds a Unix datagram socket to a path. A socket that somebody left there is removed first, as asyncio does; the
    /// file stays when this is dropped.
    ///
    /// # Errors
    /// `AddrInUse` when there is something else; `InvalidInput` for a path that is too long.
    ///
    /// ```
    /// # use asyncio_net::{Address, DatagramSocket};
    /// # asyncio_runtime::run(async {
    /// let path = std::env::temp_dir().join(format!("asyncio-doc-{}.socket", std::process::id()));
    /// let server = DatagramSocket::bind_unix(&path)?;
    /// DatagramSocket::unbound_unix()?.send_to(b"hello", Address::unix(&path)?).await?;
    /// assert_eq!(server.recv(&mut [0; 16]).await?, 5);
    /// std::fs::remove_file(&path)?;
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn bind_unix(path: impl AsRef<Path>) -> io::Result<DatagramSocket> {
        DatagramOptions::new().local_path(path.as_ref()).open_unix()
    }

    /// A Unix datagram socket that is connected to a path, and has no address of its own: the peer cannot answer.
    ///
    /// # Errors
    /// `NotFound` and `ConnectionRefused` when nobody is bound there.
    pub fn connect_unix(path: impl AsRef<Path>) -> io::Result<DatagramSocket> {
        DatagramOptions::new()
            .remote_path(path.as_ref())
            .open_unix()
    }

    /// A Unix datagram socket without an address, to send from.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub fn unbound_unix() -> io::Result<DatagramSocket> {
        DatagramSocket::from_fd(std::os::unix::net::UnixDatagram::unbound()?)
    }

    /// Two Unix datagram sockets that are connected to each other.
    ///
    /// # Errors
    /// Out of descriptors or memory.
    pub fn pair() -> io::Result<(DatagramSocket, DatagramSocket)> {
        let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((
            DatagramSocket::from_fd(one)?,
            DatagramSocket::from_fd(other)?,
        ))
    }

    /// Takes over a datagram socket of the standard library, or any other, and switches it to non-blocking mode.
    ///
    /// # Errors
    /// `InvalidInput` for what is no datagram socket.
    ///
    /// ```
    /// # use asyncio_net::DatagramSocket;
    /// let socket = DatagramSocket::from_fd(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
    /// assert!(DatagramSocket::from_fd(std::net::TcpListener::bind("127.0.0.1:0")?).is_err());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn from_fd(socket: impl Into<OwnedFd>) -> io::Result<DatagramSocket> {
        let socket = socket.into();
        match sockopt::socket_type(&socket) {
            Ok(SocketType::DGRAM) => {}
            Ok(_) => return Err(not_datagrams("a socket of another kind")),
            Err(error) => {
                return Err(not_datagrams(&format!(
                    "a descriptor that is no socket ({error})"
                )));
            }
        }
        Ok(DatagramSocket {
            source: Source::new(socket)?,
        })
    }
}

/// Receiving and sending.
impl DatagramSocket {
    /// Receives one datagram and gives its length, of what fits into `buffer`; see
    /// [`recv_from`](DatagramSocket::recv_from).
    ///
    /// # Cancel safety
    /// As [`recv_from`](DatagramSocket::recv_from).
    ///
    /// # Errors
    /// As [`recv_from`](DatagramSocket::recv_from).
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.source.recv(buffer).await
    }

    /// Receives one datagram: how long it is, whether it was cut off because `buffer` was too small, and who sent it.
    ///
    /// An empty datagram has length 0; it means no end of anything.
    ///
    /// # Cancel safety
    /// Nothing is lost: a datagram is taken only by the poll that returns it.
    ///
    /// # Errors
    /// The socket's. An earlier datagram that was refused may be reported here as `ConnectionRefused`; the socket can be
    /// used on.
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<Datagram> {
        self.source.recv_datagram(buffer).await
    }

    /// Waits for a datagram and receives it with those that are there too, as many as the batch has room for; gives their
    /// number. One system call on Linux.
    ///
    /// # Cancel safety
    /// As [`recv_from`](DatagramSocket::recv_from).
    ///
    /// # Errors
    /// As [`recv_from`](DatagramSocket::recv_from).
    ///
    /// ```
    /// use asyncio_net::{DatagramBatch, DatagramSocket};
    ///
    /// # asyncio_runtime::run(async {
    /// let (ours, theirs) = DatagramSocket::pair()?;
    /// assert_eq!(theirs.send_many(&[(b"one", None), (b"two", None)]).await?, 2);
    /// let mut batch = DatagramBatch::new(64, 1500);
    /// assert_eq!(ours.recv_many(&mut batch).await?, 2);
    /// for (data, datagram) in batch.iter() {
    ///     assert!(data.len() == 3 && !datagram.truncated);
    /// }
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn recv_many(&self, batch: &mut DatagramBatch) -> io::Result<usize> {
        self.source.recv_batch(batch).await
    }

    /// Sends one datagram, whole or not at all, to the peer of a connected socket.
    ///
    /// # Cancel safety
    /// Nothing is sent by a call that did not return.
    ///
    /// # Errors
    /// The socket's: `NotConnected` for one that is not; `EMSGSIZE` for a datagram that is too long;
    /// `ConnectionRefused` when an earlier one was.
    pub async fn send(&self, data: &[u8]) -> io::Result<()> {
        self.source.send_datagram(data, None).await
    }

    /// Sends one datagram, whole or not at all, to an address.
    ///
    /// For a Unix socket that others have filled it tries again every 1 to 50 milliseconds, since the kernel does not tell when
    /// there is room; [`send`](DatagramSocket::send) on a connected socket is told.
    ///
    /// # Cancel safety
    /// Nothing is sent by a call that did not return.
    ///
    /// # Errors
    /// As [`send`](DatagramSocket::send); `PermissionDenied` for a broadcast that was not
    /// [allowed](DatagramSocket::set_broadcast).
    pub async fn send_to(&self, data: &[u8], address: impl Into<Address>) -> io::Result<()> {
        let address = address.into();
        if !Patience::is_needed_for(Some(&address)) {
            return self.source.send_datagram(data, Some(&address)).await;
        }
        let mut patience = Patience::default();
        let attempt = || self.source.try_send_datagram(data, Some(&address));
        poll_fn(|cx| patience.poll(cx, attempt)).await
    }

    /// Sends datagrams, each to its address or, with `None`, to the peer: as many as there is room for, but at least one;
    /// gives their number. One system call on Linux for up to 1024. When there is no room for the first, it waits as
    /// [`send_to`](DatagramSocket::send_to) does.
    ///
    /// # Cancel safety
    /// Nothing is sent by a call that did not return.
    ///
    /// # Errors
    /// That of the first. That of a later one is met by the next call, if it begins with it.
    pub async fn send_many(&self, messages: &[(&[u8], Option<&Address>)]) -> io::Result<usize> {
        if !messages
            .first()
            .is_some_and(|(_, to)| Patience::is_needed_for(*to))
        {
            return self.source.send_batch(messages).await;
        }
        let mut patience = Patience::default();
        poll_fn(|cx| patience.poll(cx, || self.source.try_send_batch(messages))).await
    }

    /// Receives a datagram that is there now.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<Datagram> {
        self.source.try_recv_datagram(buffer)
    }
}

/// Addresses and options.
impl DatagramSocket {
    /// The address of this side.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> io::Result<Address> {
        Address::of_socket(&self.source)
    }

    /// The peer of a connected socket.
    ///
    /// # Errors
    /// `NotConnected` where there is none.
    pub fn peer_addr(&self) -> io::Result<Address> {
        Address::of_peer(&self.source)
    }

    /// Whether datagrams may be sent to broadcast addresses; not at first.
    ///
    /// # Errors
    /// The system's, as for all the options below: `Unsupported` and the like for Unix sockets.
    pub fn set_broadcast(&self, allowed: bool) -> io::Result<()> {
        Ok(sockopt::set_socket_broadcast(&self.source, allowed)?)
    }

    /// Over how many routers what is sent may go.
    ///
    /// # Errors
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_ttl(&self.source, ttl)?)
    }

    /// Receives what is sent to a multicast group, on one interface, or with `UNSPECIFIED` on one that the system chooses.
    ///
    /// # Errors
    /// `InvalidInput` for an address that is no group; `AddrInUse` when it is received already.
    ///
    /// ```
    /// # use asyncio_net::DatagramSocket;
    /// # use std::net::Ipv4Addr;
    /// # asyncio_runtime::run(async {
    /// let socket = DatagramSocket::bind("0.0.0.0", 0).await?;
    /// let group = Ipv4Addr::new(239, 255, 0, 1);
    /// socket.join_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
    /// socket.leave_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        Ok(sockopt::set_ip_add_membership(
            &self.source,
            &group,
            &interface,
        )?)
    }

    /// Ends what [`join_multicast_v4`](DatagramSocket::join_multicast_v4) began.
    ///
    /// # Errors
    /// `AddrNotAvailable` when it is not received.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        Ok(sockopt::set_ip_drop_membership(
            &self.source,
            &group,
            &interface,
        )?)
    }

    /// Receives what is sent to an IPv6 multicast group, on the interface with that number, or with 0 on one that the
    /// system chooses.
    ///
    /// # Errors
    /// As [`join_multicast_v4`](DatagramSocket::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        Ok(sockopt::set_ipv6_add_membership(
            &self.source,
            &group,
            interface,
        )?)
    }

    /// Ends what [`join_multicast_v6`](DatagramSocket::join_multicast_v6) began.
    ///
    /// # Errors
    /// As [`leave_multicast_v4`](DatagramSocket::leave_multicast_v4).
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        Ok(sockopt::set_ipv6_drop_membership(
            &self.source,
            &group,
            interface,
        )?)
    }

    /// Whether this machine receives what this socket sends to a multicast group; it does at first.
    ///
    /// # Errors
    /// The system's.
    pub fn set_multicast_loop_v4(&self, looped: bool) -> io::Result<()> {
        Ok(sockopt::set_ip_multicast_loop(&self.source, looped)?)
    }

    /// Over how many routers what is sent to a multicast group may go; over none (1) at first.
    ///
    /// # Errors
    /// The system's.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        Ok(sockopt::set_ip_multicast_ttl(&self.source, ttl)?)
    }

    /// Takes the socket out of its loop; it stays in non-blocking mode.
    ///
    /// # Errors
    /// When the kernel refuses to forget the descriptor, which it has no reason to.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        self.source.into_inner()
    }

    pub(crate) fn assume_nonblocking(socket: OwnedFd) -> DatagramSocket {
        DatagramSocket {
            source: Source::assume_nonblocking(socket),
        }
    }

    /// Connecting a datagram socket takes no time.
    pub(super) fn start_connecting(&self, address: &Address) -> io::Result<()> {
        self.source.try_connect(address)
    }

    pub(crate) fn into_source(self) -> Source<OwnedFd> {
        self.source
    }
}

fn not_datagrams(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "a datagram socket was expected, got {what}: give a `UdpSocket` or a `UnixDatagram`"
        ),
    )
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramSocket")
            .field("local_addr", &self.local_addr().ok())
            .field("peer_addr", &self.peer_addr().ok())
            .finish()
    }
}
