//! The operations of a source: one system call each, tried first, repeated when there is news.
//!
//! Sockets are read and written by `recv`, `send` and their relatives, other descriptors by `read`
//! and `write`. None of these ever raises `SIGPIPE` on a socket; a write to a pipe nobody reads
//! would, but Rust programs ignore that signal from the start.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::SocketAddr as UnixSocketAddr;
use std::task::{Context, Poll};

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrAny};

use crate::address::{Address, to_unix};
use crate::reactor::Reactor;
use crate::readiness::Interest::{Readable, Writable};
use crate::source::Source;
use crate::stats::Call;

/// The most slices one call may be given on Linux; more are left for the next call.
const MAX_SLICES: usize = 1024;

/// How much room `recv_buf` and `read_buf` make in a buffer that has none.
const ROOM: usize = 4096;

/// A socket whose peer is gone gives an error, never a signal; and no call blocks, even where the socket may not be switched
/// to non-blocking mode because others use it, too.
#[cfg(not(target_vendor = "apple"))]
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);
#[cfg(target_vendor = "apple")]
pub(crate) const NO_SIGNAL: SendFlags = SendFlags::DONTWAIT;

/// Receiving from sockets.
impl<T: AsFd> Source<T> {
    /// Receives bytes or one message; 0 means the end of the stream (or that `buffer` is empty).
    /// See [`recv`](Source::recv).
    ///
    /// # Errors
    /// As [`recv`](Source::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = buffer.len();
        self.poll_op(
            cx,
            Readable,
            Some(Call::Read),
            |fd| recv(fd, buffer, RecvFlags::empty()),
            |&n| n < room,
        )
    }

    /// Receives bytes or one message; 0 means the end of the stream (or that `buffer` is empty).
    ///
    /// # Cancel safety
    /// Nothing is lost: bytes are taken from the socket only by the poll that returns them.
    ///
    /// # Errors
    /// The socket's (`ConnectionReset` and the like); `NotConnected` when it has to wait where no
    /// loop runs, or its loop is closed.
    ///
    /// ```
    /// # use asyncio_reactor::{Reactor, Source};
    /// # use std::{io::Write, os::unix::net::UnixStream};
    /// # let reactor = Reactor::new()?;
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let ours = Source::new(ours)?;
    /// theirs.write_all(b"last words")?;
    /// drop(theirs);
    /// let mut buffer = [0; 64];
    /// assert_eq!(reactor.block_on(ours.recv(&mut buffer))?, 10);
    /// assert_eq!(reactor.block_on(ours.recv(&mut buffer))?, 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_recv(cx, buffer)).await
    }

    /// Receives what is there now, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; else as [`recv`](Source::recv).
    pub fn try_recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        self.attempt(
            Readable,
            Some(Call::Read),
            |fd| recv(fd, buffer, RecvFlags::empty()),
            |&n| n < room,
        )
    }

    /// Receives into the spare capacity of a vector; see [`recv_buf`](Source::recv_buf).
    ///
    /// # Errors
    /// As [`recv`](Source::recv).
    pub fn poll_recv_buf(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let room = make_room(buffer);
        let receive = |fd: BorrowedFd<'_>| {
            Ok(rustix::net::recv(fd, spare_capacity(buffer), RecvFlags::DONTWAIT)?.0)
        };
        self.poll_op(cx, Readable, Some(Call::Read), receive, |&n| n < room)
    }

    /// Receives into the spare capacity of a vector, which grows by what came, and need not be
    /// zeroed for it; 0 means the end of the stream. A vector without spare capacity is given 4
    /// KiB.
    ///
    /// # Cancel safety
    /// Nothing is lost, as with [`recv`](Source::recv).
    ///
    /// # Errors
    /// As [`recv`](Source::recv).
    ///
    /// ```
    /// # use asyncio_reactor::{Reactor, Source};
    /// # use std::{io::Write, os::unix::net::UnixStream};
    /// # let reactor = Reactor::new()?;
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let ours = Source::new(ours)?;
    /// theirs.write_all(b"world")?;
    /// let mut buffer = b"hello ".to_vec();
    /// assert_eq!(reactor.block_on(ours.recv_buf(&mut buffer))?, 5);
    /// assert_eq!(buffer, b"hello world");
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn recv_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| self.poll_recv_buf(cx, buffer)).await
    }

    /// Receives into the spare capacity of a vector what is there now, without waiting.
    ///
    /// # Errors
    /// As [`try_recv`](Source::try_recv).
    pub fn try_recv_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let room = make_room(buffer);
        let receive = |fd: BorrowedFd<'_>| {
            Ok(rustix::net::recv(fd, spare_capacity(buffer), RecvFlags::DONTWAIT)?.0)
        };
        self.attempt(Readable, Some(Call::Read), receive, |&n| n < room)
    }

    /// Looks at what [`recv`](Source::recv) would bring, and leaves it there.
    ///
    /// # Errors
    /// As [`recv`](Source::recv).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        // Never drained: what was seen is still there.
        self.poll_op(
            cx,
            Readable,
            Some(Call::Read),
            |fd| recv(fd, buffer, RecvFlags::PEEK),
            |_| false,
        )
    }

    /// Looks at what [`recv`](Source::recv) would bring, and leaves it there.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Errors
    /// As [`recv`](Source::recv).
    pub async fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_peek(cx, buffer)).await
    }

    /// Receives one datagram and its sender's address; see [`recv_from`](Source::recv_from).
    ///
    /// # Errors
    /// As [`recv`](Source::recv).
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, Option<SocketAddr>)>> {
        self.poll_op(
            cx,
            Readable,
            Some(Call::Read),
            |fd| recv_from(fd, buffer),
            |_| false,
        )
    }

    /// Receives one datagram and its sender's address; what does not fit into `buffer` is thrown
    /// away by the kernel.
    ///
    /// The address is `None` where the sender has none or it is not an IP address;
    /// [`recv_datagram`](Source::recv_datagram) knows both families, and tells of truncation.
    ///
    /// # Cancel safety
    /// Nothing is lost, as with [`recv`](Source::recv).
    ///
    /// # Errors
    /// As [`recv`](Source::recv). An earlier datagram that was refused may be reported here as
    /// `ConnectionRefused`.
    ///
    /// ```
    /// # use asyncio_reactor::{Reactor, Source};
    /// # use std::net::UdpSocket;
    /// # let reactor = Reactor::new()?;
    /// let ours = Source::new(UdpSocket::bind("127.0.0.1:0")?)?;
    /// let theirs = Source::new(UdpSocket::bind("127.0.0.1:0")?)?;
    /// reactor.block_on(async {
    ///     theirs.send_to(b"ping", ours.get_ref().local_addr()?).await?;
    ///     let mut buffer = [0; 16];
    ///     let (n, sender) = ours.recv_from(&mut buffer).await?;
    ///     assert_eq!((&buffer[..n], sender), (&b"ping"[..], Some(theirs.get_ref().local_addr()?)));
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        poll_fn(|cx| self.poll_recv_from(cx, buffer)).await
    }

    /// Receives a datagram that is there now, without waiting.
    ///
    /// # Errors
    /// As [`try_recv`](Source::try_recv).
    pub fn try_recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
        self.attempt(
            Readable,
            Some(Call::Read),
            |fd| recv_from(fd, buffer),
            |_| false,
        )
    }
}

/// Sending to sockets.
impl<T: AsFd> Source<T> {
    /// Sends bytes or one message; see [`send`](Source::send).
    ///
    /// # Errors
    /// As [`send`](Source::send).
    pub fn poll_send(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_op(
            cx,
            Writable,
            Some(Call::Write),
            |fd| send(fd, data),
            |&n| n < data.len(),
        )
    }

    /// Sends bytes, as many as there is room for, or one message; returns how many.
    ///
    /// # Cancel safety
    /// Nothing is sent by a call that did not return: the poll that sends also returns.
    ///
    /// # Errors
    /// The socket's (`BrokenPipe` when the other side is closed; never a signal); `NotConnected`
    /// when it has to wait where no loop runs, or its loop is closed.
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send(cx, data)).await
    }

    /// Sends what there is room for now, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; else as [`send`](Source::send).
    pub fn try_send(&self, data: &[u8]) -> io::Result<usize> {
        self.attempt(
            Writable,
            Some(Call::Write),
            |fd| send(fd, data),
            |&n| n < data.len(),
        )
    }

    /// Sends several slices as if they were one; see [`send_vectored`](Source::send_vectored).
    ///
    /// # Errors
    /// As [`send`](Source::send).
    pub fn poll_send_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = limited(slices);
        self.poll_op(
            cx,
            Writable,
            Some(Call::Write),
            |fd| send_vectored(fd, slices),
            |&n| n < total(slices),
        )
    }

    /// Sends several slices as if they were one, as many bytes as there is room for, in one system
    /// call; returns how many.
    ///
    /// Slices after the 1024th are left for the next call.
    ///
    /// # Cancel safety
    /// As [`send`](Source::send).
    ///
    /// # Errors
    /// As [`send`](Source::send).
    ///
    /// ```
    /// # use asyncio_reactor::{Reactor, Source};
    /// # use std::{io::{IoSlice, Read}, os::unix::net::UnixStream};
    /// # let reactor = Reactor::new()?;
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let ours = Source::new(ours)?;
    /// let n = reactor.block_on(ours.send_vectored(&[IoSlice::new(b"head"), IoSlice::new(b"body")]))?;
    /// let mut buffer = [0; 16];
    /// assert_eq!(theirs.read(&mut buffer)?, n);
    /// assert_eq!(&buffer[..n], b"headbody");
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send_vectored(cx, slices)).await
    }

    /// Sends of several slices what there is room for now, without waiting.
    ///
    /// # Errors
    /// As [`try_send`](Source::try_send).
    pub fn try_send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices = limited(slices);
        self.attempt(
            Writable,
            Some(Call::Write),
            |fd| send_vectored(fd, slices),
            |&n| n < total(slices),
        )
    }

    /// Sends one datagram to an address; see [`send_to`](Source::send_to).
    ///
    /// # Errors
    /// As [`send`](Source::send).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        address: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.poll_op(
            cx,
            Writable,
            Some(Call::Write),
            |fd| send_to(fd, data, address),
            |_| false,
        )
    }

    /// Sends one datagram to an address, whole or not at all.
    ///
    /// # Cancel safety
    /// As [`send`](Source::send).
    ///
    /// # Errors
    /// As [`send`](Source::send).
    pub async fn send_to(&self, data: &[u8], address: SocketAddr) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send_to(cx, data, address)).await
    }

    /// Sends one datagram if there is room for it now.
    ///
    /// # Errors
    /// As [`try_send`](Source::try_send).
    pub fn try_send_to(&self, data: &[u8], address: SocketAddr) -> io::Result<usize> {
        self.attempt(
            Writable,
            Some(Call::Write),
            |fd| send_to(fd, data, address),
            |_| false,
        )
    }

    /// Closes one direction of a connection, or both: after `Shutdown::Write` the other side reads
    /// the end of the stream.
    ///
    /// # Errors
    /// `NotConnected` where there is no connection.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.count_other();
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(self.as_fd(), how)?)
    }
}

/// Making connections.
impl<T: AsFd> Source<T> {
    /// Accepts a connection; see [`accept`](Source::accept).
    ///
    /// # Errors
    /// As [`accept`](Source::accept).
    pub fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(OwnedFd, Option<SocketAddr>)>> {
        self.poll_op(cx, Readable, Some(Call::Accept), accept, |_| false)
    }

    /// Accepts a connection: a descriptor that is non-blocking and closed on exec, ready for
    /// [`assume_nonblocking`](Source::assume_nonblocking), and the peer's address, if it has one
    /// and it is an IP address.
    ///
    /// A connection that was given up while it waited in the backlog is skipped.
    ///
    /// # Cancel safety
    /// Nothing is lost: a connection is taken only by the poll that returns it.
    ///
    /// # Errors
    /// Out of descriptors (`EMFILE`, `ENFILE`) or memory: the connection stays in the backlog, and
    /// the next `accept` tries again *at once*, so wait a little, or close something, before
    /// it. `NotConnected` when it has to wait where no loop runs.
    pub async fn accept(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Accepts a connection that is there now.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; else as [`accept`](Source::accept).
    pub fn try_accept(&self) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
        self.attempt(Readable, Some(Call::Accept), accept, |_| false)
    }

    /// Connects a socket to an IP address, and waits until that has succeeded or failed.
    ///
    /// # Cancel safety
    /// The attempt goes on in the kernel: drop the source, or call this again, which waits for the
    /// same attempt.
    ///
    /// # Errors
    /// The socket's: `ConnectionRefused`, `TimedOut`, `NetworkUnreachable` and so on.
    ///
    /// ```
    /// # use asyncio_reactor::{Reactor, Source};
    /// # use std::net::{TcpListener, UdpSocket};
    /// # let reactor = Reactor::new()?;
    /// let there = UdpSocket::bind("127.0.0.1:0")?;
    /// let here = Source::new(UdpSocket::bind("127.0.0.1:0")?)?;
    /// reactor.block_on(here.connect(there.local_addr()?))?;
    /// assert_eq!(here.get_ref().peer_addr()?, there.local_addr()?);
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn connect(&self, address: SocketAddr) -> io::Result<()> {
        self.connect_by(|fd| rustix::net::connect(fd, &address))
            .await
    }

    /// Connects a Unix socket to a path or an abstract name.
    ///
    /// # Cancel safety
    /// As [`connect`](Source::connect).
    ///
    /// # Errors
    /// The socket's; `WouldBlock` when the listener's backlog is full, which cannot be waited for;
    /// `InvalidInput` for the address of an unnamed socket.
    pub async fn connect_unix(&self, address: &UnixSocketAddr) -> io::Result<()> {
        let address = to_unix(address)?;
        self.connect_by(|fd| rustix::net::connect(fd, &address))
            .await
    }

    /// Begins to connect a socket to an address of either family, and does not wait.
    ///
    /// # Errors
    /// `EINPROGRESS` where the attempt goes on: when the socket is writable it has ended, and `SO_ERROR` says how. Else
    /// as [`connect`](Source::connect) and [`connect_unix`](Source::connect_unix).
    pub fn try_connect(&self, address: &Address) -> io::Result<()> {
        self.count_other();
        match address {
            Address::Ip(address) => rustix::net::connect(self.as_fd(), address)?,
            Address::Unix(address) => rustix::net::connect(self.as_fd(), &to_unix(address)?)?,
        }
        Ok(())
    }

    async fn connect_by(
        &self,
        connect: impl Fn(BorrowedFd<'_>) -> rustix::io::Result<()>,
    ) -> io::Result<()> {
        self.count_other();
        match connect(self.as_fd()) {
            Ok(()) => return Ok(()),
            // An interrupted `connect` goes on by itself.
            Err(Errno::INPROGRESS | Errno::INTR | Errno::ALREADY) => {}
            Err(error) => return Err(error.into()),
        }
        self.begin_connecting()?;
        self.writable().await?;
        self.count_other();
        Ok(rustix::net::sockopt::socket_error(self.as_fd())??)
    }

    fn count_other(&self) {
        match self.state() {
            Some(state) => state.counters.count(Call::Other),
            None => Reactor::count_on_current(Call::Other),
        }
    }
}

/// Reading and writing what is not a socket: pipes, terminals, eventfds and so on.
impl<T: AsFd> Source<T> {
    /// Reads by `read(2)`; see [`read`](Source::read).
    ///
    /// # Errors
    /// As [`read`](Source::read).
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let room = buffer.len();
        self.poll_op(
            cx,
            Readable,
            Some(Call::Read),
            |fd| read(fd, buffer),
            |&n| n < room,
        )
    }

    /// Reads by `read(2)`; 0 means the end (or that `buffer` is empty).
    ///
    /// # Cancel safety
    /// Nothing is lost: bytes are taken only by the poll that returns them.
    ///
    /// # Errors
    /// The descriptor's; `NotConnected` when it has to wait where no loop runs, or its loop is
    /// closed.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read(cx, buffer)).await
    }

    /// Reads what is there now, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing; else as [`read`](Source::read).
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len();
        self.attempt(
            Readable,
            Some(Call::Read),
            |fd| read(fd, buffer),
            |&n| n < room,
        )
    }

    /// Reads by `read(2)` into the spare capacity of a vector; see [`recv_buf`](Source::recv_buf).
    ///
    /// # Errors
    /// As [`read`](Source::read).
    pub fn poll_read_buf(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        let room = make_room(buffer);
        let read = |fd: BorrowedFd<'_>| Ok(rustix::io::read(fd, spare_capacity(buffer))?);
        self.poll_op(cx, Readable, Some(Call::Read), read, |&n| n < room)
    }

    /// Reads by `read(2)` into the spare capacity of a vector, which grows by what came; 0 means
    /// the end. A vector without spare capacity is given 4 KiB.
    ///
    /// # Cancel safety
    /// As [`read`](Source::read).
    ///
    /// # Errors
    /// As [`read`](Source::read).
    pub async fn read_buf(&self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_buf(cx, buffer)).await
    }

    /// Writes by `write(2)`; see [`write`](Source::write).
    ///
    /// # Errors
    /// As [`write`](Source::write).
    pub fn poll_write(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_op(
            cx,
            Writable,
            Some(Call::Write),
            |fd| Ok(rustix::io::write(fd, data)?),
            |&n| n < data.len(),
        )
    }

    /// Writes by `write(2)`, as many bytes as there is room for; returns how many.
    ///
    /// # Cancel safety
    /// Nothing is written by a call that did not return: the poll that writes also returns.
    ///
    /// # Errors
    /// The descriptor's (`BrokenPipe` when nobody will read); `NotConnected` when it has to wait
    /// where no loop runs, or its loop is closed.
    ///
    /// ```
    /// # use asyncio_reactor::{Reactor, Source};
    /// # let reactor = Reactor::new()?;
    /// let (reader, writer) = std::io::pipe()?;
    /// let (reader, writer) = (Source::new(reader)?, Source::new(writer)?);
    /// reactor.block_on(async {
    ///     writer.write(b"through the pipe").await?;
    ///     let mut buffer = Vec::new();
    ///     reader.read_buf(&mut buffer).await?;
    ///     assert_eq!(buffer, b"through the pipe");
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn write(&self, data: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write(cx, data)).await
    }

    /// Writes what there is room for now, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; else as [`write`](Source::write).
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.attempt(
            Writable,
            Some(Call::Write),
            |fd| Ok(rustix::io::write(fd, data)?),
            |&n| n < data.len(),
        )
    }

    /// Writes several slices by `writev(2)`; see [`write_vectored`](Source::write_vectored).
    ///
    /// # Errors
    /// As [`write`](Source::write).
    pub fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = limited(slices);
        let write = |fd: BorrowedFd<'_>| Ok(rustix::io::writev(fd, slices)?);
        self.poll_op(cx, Writable, Some(Call::Write), write, |&n| {
            n < total(slices)
        })
    }

    /// Writes several slices as if they were one, as many bytes as there is room for; returns how
    /// many.
    ///
    /// # Cancel safety
    /// As [`write`](Source::write).
    ///
    /// # Errors
    /// As [`write`](Source::write).
    pub async fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_write_vectored(cx, slices)).await
    }
}

fn recv(fd: BorrowedFd<'_>, buffer: &mut [u8], flags: RecvFlags) -> io::Result<usize> {
    Ok(rustix::net::recv(fd, buffer, flags | RecvFlags::DONTWAIT)?.0)
}

fn recv_from(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<SocketAddr>)> {
    let (n, _untruncated, address) = rustix::net::recvfrom(fd, buffer, RecvFlags::DONTWAIT)?;
    Ok((n, address.and_then(ip_address)))
}

fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, buffer)?)
}

fn send(fd: BorrowedFd<'_>, data: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(fd, data, NO_SIGNAL)?)
}

fn send_vectored(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(rustix::net::sendmsg(
        fd,
        slices,
        &mut SendAncillaryBuffer::default(),
        NO_SIGNAL,
    )?)
}

fn send_to(fd: BorrowedFd<'_>, data: &[u8], address: SocketAddr) -> io::Result<usize> {
    Ok(rustix::net::sendto(fd, data, NO_SIGNAL, &address)?)
}

fn accept(fd: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    loop {
        match accept_nonblocking(fd) {
            // The peer gave up while it waited in the backlog: nothing the caller could do about
            // it.
            Err(Errno::CONNABORTED) => continue,
            result => {
                let (connection, address) = result?;
                return Ok((connection, address.and_then(ip_address)));
            }
        }
    }
}

#[cfg(not(target_vendor = "apple"))]
fn accept_nonblocking(fd: BorrowedFd<'_>) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    use rustix::net::SocketFlags;
    rustix::net::acceptfrom_with(fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

#[cfg(target_vendor = "apple")]
fn accept_nonblocking(fd: BorrowedFd<'_>) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (connection, address) = rustix::net::acceptfrom(fd)?;
    rustix::io::fcntl_setfd(&connection, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&connection, true)?;
    Ok((connection, address))
}

fn ip_address(address: SocketAddrAny) -> Option<SocketAddr> {
    SocketAddr::try_from(address).ok()
}

fn limited<'a, 'b>(slices: &'a [IoSlice<'b>]) -> &'a [IoSlice<'b>] {
    &slices[..slices.len().min(MAX_SLICES)]
}

fn total(slices: &[IoSlice<'_>]) -> usize {
    slices.iter().map(|slice| slice.len()).sum()
}

/// Makes sure that there is spare capacity, and says how much.
fn make_room(buffer: &mut Vec<u8>) -> usize {
    if buffer.capacity() == buffer.len() {
        buffer.reserve(ROOM);
    }
    buffer.capacity() - buffer.len()
}
