//! Operations on sockets of the user's own: asyncio's `loop.sock_*`.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use asyncio_reactor::{Address, Interest, Reactor, Source, Watch};
use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::connection::CALLS_IN_A_ROW;
use crate::datagram::Patience;
use crate::low_level::refused;
use crate::scratch::{self, Scratch};

/// Receives up to `n` bytes or one message; empty at the end of a stream. asyncio: `loop.sock_recv`.
///
/// `sock` is any socket of the standard library, or another object with a socket's descriptor. As for all `sock_`
/// functions, it must be in non-blocking mode (in debug mode that is checked; otherwise a blocking one stops the loop),
/// the call is tried at once, and waited for only if it would block (S196). Of two that wait for one socket in the same
/// direction the later takes the place of the earlier, which goes on waiting for nothing (S197): have one reader.
///
/// # Cancel safety
/// Nothing is lost: bytes are taken only by the poll that returns them, and the descriptor is not waited for any more.
///
/// # Errors
/// The socket's; `InvalidInput` in debug mode for a blocking socket; `AlreadyExists` for one that belongs to an open
/// transport or stream; `NotConnected` when it has to wait outside a running loop.
///
/// ```
/// use asyncio_net::{sock_recv, sock_sendall};
/// use std::os::unix::net::UnixStream;
///
/// # asyncio_runtime::run(async {
/// let (ours, theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// theirs.set_nonblocking(true)?;
/// sock_sendall(&theirs, b"hello").await?;
/// assert_eq!(sock_recv(&ours, 100).await?, b"hello");
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn sock_recv(sock: &impl AsFd, n: usize) -> io::Result<Vec<u8>> {
    let mut operation = Operation::new(sock.as_fd(), Interest::Readable, "sock_recv")?;
    let receive = |socket: &Socket<'_>| {
        received(n, |room| {
            let n = socket.try_recv(room)?;
            Ok((n, n))
        })
    };
    Ok(operation.perform(receive).await?.0)
}

/// Receives bytes or one message into `buffer`; 0 at the end of a stream. asyncio: `loop.sock_recv_into`.
///
/// # Cancel safety
/// As [`sock_recv`].
///
/// # Errors
/// As [`sock_recv`].
///
/// ```
/// # use asyncio_net::sock_recv_into;
/// # use std::{io::Write, os::unix::net::UnixStream};
/// # asyncio_runtime::run(async {
/// # let (ours, mut theirs) = UnixStream::pair()?;
/// # ours.set_nonblocking(true)?;
/// theirs.write_all(b"hello")?;
/// let mut buffer = [0; 100];
/// assert_eq!(sock_recv_into(&ours, &mut buffer).await?, 5);
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn sock_recv_into(sock: &impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let mut operation = Operation::new(sock.as_fd(), Interest::Readable, "sock_recv_into")?;
    operation.perform(|socket| socket.try_recv(buffer)).await
}

/// Receives one datagram, of which up to `n` bytes are kept, and its sender's address, where the kernel tells one.
/// asyncio: `loop.sock_recvfrom`.
///
/// # Cancel safety
/// As [`sock_recv`].
///
/// # Errors
/// As [`sock_recv`].
///
/// ```
/// # use asyncio_net::{sock_recvfrom, sock_sendto};
/// # use std::net::UdpSocket;
/// # asyncio_runtime::run(async {
/// let ours = UdpSocket::bind("127.0.0.1:0")?;
/// ours.set_nonblocking(true)?;
/// sock_sendto(&ours, b"to myself", ours.local_addr()?).await?;
/// let (data, from) = sock_recvfrom(&ours, 1500).await?;
/// assert_eq!(data, b"to myself");
/// assert_eq!(from, Some(ours.local_addr()?.into()));
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn sock_recvfrom(sock: &impl AsFd, n: usize) -> io::Result<(Vec<u8>, Option<Address>)> {
    let mut operation = Operation::new(sock.as_fd(), Interest::Readable, "sock_recvfrom")?;
    let receive = |socket: &Socket<'_>| {
        received(n, |room| {
            let datagram = socket.try_recv_datagram(room)?;
            Ok((datagram.len, datagram.from))
        })
    };
    operation.perform(receive).await
}

/// Receives one datagram into `buffer`, and its sender's address; what does not fit is lost.
/// asyncio: `loop.sock_recvfrom_into`.
///
/// # Cancel safety
/// As [`sock_recv`].
///
/// # Errors
/// As [`sock_recv`].
pub async fn sock_recvfrom_into(
    sock: &impl AsFd,
    buffer: &mut [u8],
) -> io::Result<(usize, Option<Address>)> {
    let mut operation = Operation::new(sock.as_fd(), Interest::Readable, "sock_recvfrom_into")?;
    let datagram = operation
        .perform(|socket| socket.try_recv_datagram(buffer))
        .await?;
    Ok((datagram.len, datagram.from))
}

/// Sends all of `data`. asyncio: `loop.sock_sendall`.
///
/// # Cancel safety
/// Not safe: how much was sent cannot be known (S196). Do not use the stream any more.
///
/// # Errors
/// As [`sock_recv`]. Here too it is not known how much was sent.
pub async fn sock_sendall(sock: &impl AsFd, data: &[u8]) -> io::Result<()> {
    let mut operation = Operation::new(sock.as_fd(), Interest::Writable, "sock_sendall")?;
    let (mut rest, mut in_a_row) = (data, 0);
    while !rest.is_empty() {
        let sent = operation.perform(|socket| socket.try_send(rest)).await?;
        rest = &rest[sent..];
        in_a_row += 1;
        if in_a_row == CALLS_IN_A_ROW {
            in_a_row = 0;
            asyncio_executor::yield_now().await;
        }
    }
    Ok(())
}

/// Sends one datagram to an address, whole or not at all. asyncio: `loop.sock_sendto`.
///
/// It waits for room as [`DatagramSocket::send_to`](crate::DatagramSocket::send_to) does.
///
/// # Cancel safety
/// Nothing is sent by a call that did not return.
///
/// # Errors
/// As [`sock_recv`].
pub async fn sock_sendto(
    sock: &impl AsFd,
    data: &[u8],
    address: impl Into<Address>,
) -> io::Result<()> {
    let mut operation = Operation::new(sock.as_fd(), Interest::Writable, "sock_sendto")?;
    let address = address.into();
    let attempt = |socket: &Socket<'_>| socket.try_send_datagram(data, Some(&address));
    if Patience::is_needed_for(Some(&address)) {
        operation.perform_patiently(attempt).await
    } else {
        operation.perform(attempt).await
    }
}

/// Connects a socket. asyncio: `loop.sock_connect`.
///
/// A Unix server whose backlog is full is waited for, as by [`open_unix_connection`](crate::open_unix_connection) (asyncio
/// takes such a socket for a connected one).
///
/// # Cancel safety
/// The attempt goes on in the kernel: close the socket.
///
/// # Errors
/// That of the attempt (S197): `ConnectionRefused`, `TimedOut` and so on; else as [`sock_recv`].
///
/// ```
/// # use asyncio_net::{Address, sock_accept, sock_connect};
/// # use std::{net::{SocketAddr, TcpListener, TcpStream}, os::fd::OwnedFd};
/// # asyncio_runtime::run(async {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// listener.set_nonblocking(true)?;
/// # let socket: OwnedFd = rustix::net::socket_with(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, rustix::net::SocketFlags::NONBLOCK, None)?;
/// // `socket`: any socket that is not connected yet
/// sock_connect(&socket, listener.local_addr()?).await?;
/// let (accepted, peer) = sock_accept(&listener).await?;
/// let accepted = TcpStream::from(accepted);
/// assert_eq!(accepted.peer_addr().ok(), peer);
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn sock_connect(sock: &impl AsFd, address: impl Into<Address>) -> io::Result<()> {
    let mut operation = Operation::new(sock.as_fd(), Interest::Writable, "sock_connect")?;
    let address = address.into();
    let mut pause = Duration::from_millis(1);
    loop {
        match begin_connecting(sock.as_fd(), &address) {
            // An interrupted `connect` goes on by itself.
            Err(error) if is_one_of(&error, [Errno::INPROGRESS, Errno::INTR, Errno::ALREADY]) => {
                break;
            }
            // The backlog is full, and the kernel tells nobody when it is not.
            Err(error)
                if matches!(address, Address::Unix(_)) && is_one_of(&error, [Errno::AGAIN]) =>
            {
                asyncio_timers::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            result => return result,
        }
    }
    operation.wait().await?;
    Ok(rustix::net::sockopt::socket_error(sock)??)
}

/// Accepts a connection from a socket that listens: a non-blocking descriptor (S197), to be turned into a `TcpStream` or a
/// `UnixStream`, and the peer's IP address, if it has one. asyncio: `loop.sock_accept`.
///
/// # Cancel safety
/// Nothing is lost: a connection is taken only by the poll that returns it.
///
/// # Errors
/// Out of descriptors or memory; else as [`sock_recv`].
pub async fn sock_accept(sock: &impl AsFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let mut operation = Operation::new(sock.as_fd(), Interest::Readable, "sock_accept")?;
    operation.perform(|socket| socket.try_accept()).await
}

/// A borrowed socket with the reactor's operations, of which only those that never wait are used: it is waited for as the
/// user's own descriptors are, so that one task may receive while another sends.
type Socket<'a> = Source<BorrowedFd<'a>>;

/// One operation on a socket that may have to wait more than once.
pub(crate) struct Operation<'a> {
    socket: Socket<'a>,
    interest: Interest,
    call: &'static str,
    waiting: Option<Waiting>,
}

/// The descriptor is watched as long as this lives.
struct Waiting {
    news: Rc<News>,
    #[expect(dead_code, reason = "dropping it ends the watch")]
    watch: Watch,
}

#[derive(Default)]
struct News {
    ready: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl<'a> Operation<'a> {
    pub(crate) fn new(
        sock: BorrowedFd<'a>,
        interest: Interest,
        call: &'static str,
    ) -> io::Result<Operation<'a>> {
        if asyncio_executor::is_debug()
            && !rustix::fs::fcntl_getfl(sock)?.contains(OFlags::NONBLOCK)
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "`{call}` on a blocking socket, which would stop the whole loop: call `set_nonblocking(true)` on it \
                     first"
                ),
            ));
        }
        Ok(Operation {
            socket: Source::assume_nonblocking(sock),
            interest,
            call,
            waiting: None,
        })
    }

    /// Tries, and waits and tries again as long as that would block.
    pub(crate) async fn perform<R>(
        &mut self,
        mut attempt: impl FnMut(&Socket<'a>) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            match attempt(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait().await?,
                result => return result,
            }
        }
    }

    /// Tries with pauses in between, where no event would tell when to try.
    pub(crate) async fn perform_patiently<R>(
        &self,
        attempt: impl Fn(&Socket<'a>) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut patience = Patience::default();
        poll_fn(|cx| patience.poll(cx, || attempt(&self.socket))).await
    }

    async fn wait(&mut self) -> io::Result<()> {
        let waiting = match &mut self.waiting {
            Some(waiting) => waiting,
            none => none.insert(begin_waiting(
                self.socket.as_fd(),
                self.interest,
                self.call,
            )?),
        };
        let news = &waiting.news;
        news.ready.set(false);
        poll_fn(|cx| {
            if news.ready.get() {
                return Poll::Ready(Ok(()));
            }
            let former = news.waker.replace(Some(cx.waker().clone()));
            drop(former);
            Poll::Pending
        })
        .await
    }
}

fn begin_waiting(fd: BorrowedFd<'_>, interest: Interest, call: &str) -> io::Result<Waiting> {
    let news = Rc::<News>::default();
    let told = news.clone();
    let tell = move || {
        told.ready.set(true);
        let waker = told.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    };
    let watch = Reactor::current()?
        .watch(fd, interest, Rc::new(tell))
        .map_err(|error| refused(error, fd, call))?;
    Ok(Waiting { news, watch })
}

fn begin_connecting(fd: BorrowedFd<'_>, address: &Address) -> io::Result<()> {
    Source::assume_nonblocking(fd).try_connect(address)
}

fn is_one_of<const N: usize>(error: &io::Error, errors: [Errno; N]) -> bool {
    errors
        .iter()
        .any(|one| error.raw_os_error() == Some(one.raw_os_error()))
}

/// Receives up to `n` bytes by way of the thread's buffer, so that what is kept is no larger than what came.
fn received<R>(
    n: usize,
    receive: impl FnOnce(&mut [u8]) -> io::Result<(usize, R)>,
) -> io::Result<(Vec<u8>, R)> {
    if n <= scratch::SIZE {
        let mut room = Scratch::take();
        let (came, rest) = receive(&mut room[..n])?;
        return Ok((room[..came].to_vec(), rest));
    }
    let mut room = vec![0; n];
    let (came, rest) = receive(&mut room)?;
    room.truncate(came);
    Ok((room, rest))
}
