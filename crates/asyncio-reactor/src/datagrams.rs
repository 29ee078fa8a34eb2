//! Datagrams: one at a time with all that is known of each, and many with one system call.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags};

use crate::address::Address;
use crate::ops::NO_SIGNAL;
use crate::readiness::Interest::{Readable, Writable};
use crate::source::Source;
use crate::stats::Call;

/// The most datagrams one call receives or sends.
const MOST_AT_ONCE: usize = 1024;

/// What is known of a datagram that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// How many bytes of it are in the buffer.
    pub len: usize,
    /// Whether it was longer than the buffer. The rest is lost.
    pub truncated: bool,
    /// Who sent it; `None` where the kernel does not say.
    pub from: Option<Address>,
}

/// One datagram at a time.
impl<T: AsFd> Source<T> {
    /// Receives one datagram; see [`recv_datagram`](Source::recv_datagram).
    ///
    /// # Errors
    /// As [`recv_datagram`](Source::recv_datagram).
    pub fn poll_recv_datagram(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Datagram>> {
        self.poll_op(
            cx,
            Readable,
            Some(Call::Read),
            |fd| receive(fd, buffer),
            |_| false,
        )
    }

    /// Receives one datagram: its sender's address of either family, and whether it fitted into `buffer`.
    ///
    /// # Cancel safety
    /// Nothing is lost: a datagram is taken from the socket only by the poll that returns it.
    ///
    /// # Errors
    /// The socket's. An earlier datagram that was refused may be reported here as `ConnectionRefused`.
    ///
    /// ```
    /// # use asyncio_reactor::{Reactor, Source};
    /// # use std::os::unix::net::UnixDatagram;
    /// # let reactor = Reactor::new()?;
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// let ours = Source::new(ours)?;
    /// theirs.send(b"too long")?;
    /// let datagram = reactor.block_on(ours.recv_datagram(&mut [0; 3]))?;
    /// assert_eq!((datagram.len, datagram.truncated), (3, true));
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn recv_datagram(&self, buffer: &mut [u8]) -> io::Result<Datagram> {
        poll_fn(|cx| self.poll_recv_datagram(cx, buffer)).await
    }

    /// Receives a datagram that is there now, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is none; else as [`recv_datagram`](Source::recv_datagram).
    pub fn try_recv_datagram(&self, buffer: &mut [u8]) -> io::Result<Datagram> {
        self.attempt(
            Readable,
            Some(Call::Read),
            |fd| receive(fd, buffer),
            |_| false,
        )
    }

    /// Sends one datagram; see [`send_datagram`](Source::send_datagram).
    ///
    /// # Errors
    /// As [`send_datagram`](Source::send_datagram).
    pub fn poll_send_datagram(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
        to: Option<&Address>,
    ) -> Poll<io::Result<()>> {
        self.poll_op(
            cx,
            Writable,
            Some(Call::Write),
            |fd| send(fd, data, to),
            |_| false,
        )
    }

    /// Sends one datagram, whole or not at all: to an address, or with `None` to where the socket is connected.
    ///
    /// # Cancel safety
    /// Nothing is sent by a call that did not return: the poll that sends also returns.
    ///
    /// # Errors
    /// The socket's.
    pub async fn send_datagram(&self, data: &[u8], to: Option<&Address>) -> io::Result<()> {
        poll_fn(|cx| self.poll_send_datagram(cx, data, to)).await
    }

    /// Sends one datagram if there is room for it now.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; else as [`send_datagram`](Source::send_datagram).
    pub fn try_send_datagram(&self, data: &[u8], to: Option<&Address>) -> io::Result<()> {
        self.attempt(
            Writable,
            Some(Call::Write),
            |fd| send(fd, data, to),
            |_| false,
        )
    }
}

/// Many datagrams at once.
impl<T: AsFd> Source<T> {
    /// Receives what datagrams there are; see [`recv_batch`](Source::recv_batch).
    ///
    /// # Errors
    /// As [`recv_batch`](Source::recv_batch).
    pub fn poll_recv_batch(
        &self,
        cx: &mut Context<'_>,
        batch: &mut DatagramBatch,
    ) -> Poll<io::Result<usize>> {
        self.poll_op(
            cx,
            Readable,
            Some(Call::Read),
            |fd| batch.receive(fd),
            |_| false,
        )
    }

    /// Waits for a datagram and receives it with those that are there too, as many as the batch has room for;
    /// returns how many. On Linux this is one system call (`recvmmsg`).
    ///
    /// # Cancel safety
    /// Nothing is lost: datagrams are taken from the socket only by the poll that returns.
    ///
    /// # Errors
    /// The socket's, if there was one before the first datagram.
    ///
    /// ```
    /// # use asyncio_reactor::{DatagramBatch, Reactor, Source};
    /// # use std::os::unix::net::UnixDatagram;
    /// # let reactor = Reactor::new()?;
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// let ours = Source::new(ours)?;
    /// theirs.send(b"one")?;
    /// theirs.send(b"two")?;
    /// let mut batch = DatagramBatch::new(8, 1500);
    /// assert_eq!(reactor.block_on(ours.recv_batch(&mut batch))?, 2);
    /// let data: Vec<&[u8]> = batch.iter().map(|(data, _)| data).collect();
    /// assert_eq!(data, [b"one", b"two"]);
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn recv_batch(&self, batch: &mut DatagramBatch) -> io::Result<usize> {
        poll_fn(|cx| self.poll_recv_batch(cx, batch)).await
    }

    /// Sends several datagrams; see [`send_batch`](Source::send_batch).
    ///
    /// # Errors
    /// As [`send_batch`](Source::send_batch).
    pub fn poll_send_batch(
        &self,
        cx: &mut Context<'_>,
        messages: &[(&[u8], Option<&Address>)],
    ) -> Poll<io::Result<usize>> {
        if messages.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let messages = &messages[..messages.len().min(MOST_AT_ONCE)];
        self.poll_op(
            cx,
            Writable,
            Some(Call::Write),
            |fd| send_many(fd, messages),
            |_| false,
        )
    }

    /// Sends datagrams, each to its address or to where the socket is connected, as many as there is room for but at
    /// least one; returns how many. On Linux this is one system call (`sendmmsg`) for up to 1024.
    ///
    /// # Cancel safety
    /// Nothing is sent by a call that did not return.
    ///
    /// # Errors
    /// That of the first message. That of a later one is met by the next call, which begins with it.
    pub async fn send_batch(&self, messages: &[(&[u8], Option<&Address>)]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send_batch(cx, messages)).await
    }

    /// Sends as many of several datagrams as there is room for now; see [`send_batch`](Source::send_batch).
    ///
    /// # Errors
    /// `WouldBlock` when there is no room for the first; else as [`send_batch`](Source::send_batch).
    ///
    /// ```
    /// # use asyncio_reactor::Source;
    /// # use std::os::unix::net::UnixDatagram;
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// let ours = Source::new(ours)?;
    /// assert_eq!(ours.try_send_batch(&[(b"one", None), (b"two", None)])?, 2);
    /// while ours.try_send_batch(&[(b"more", None)]).is_ok() {}
    /// assert_eq!(theirs.recv(&mut [0; 8])?, 3);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn try_send_batch(&self, messages: &[(&[u8], Option<&Address>)]) -> io::Result<usize> {
        if messages.is_empty() {
            return Ok(0);
        }
        let messages = &messages[..messages.len().min(MOST_AT_ONCE)];
        self.attempt(
            Writable,
            Some(Call::Write),
            |fd| send_many(fd, messages),
            |_| false,
        )
    }
}

/// Room for several datagrams, to be used again and again by [`Source::recv_batch`].
pub struct DatagramBatch {
    memory: Box<[u8]>,
    size: usize,
    received: Vec<Datagram>,
    #[cfg(target_os = "linux")]
    kernel: crate::mmsg::Receiver,
}

impl DatagramBatch {
    /// Room for `count` datagrams of up to `size` bytes.
    ///
    /// # Panics
    /// When either is 0, `count` is more than 1024 or the product does not fit into memory.
    pub fn new(count: usize, size: usize) -> DatagramBatch {
        assert!(
            count > 0 && count <= MOST_AT_ONCE && size > 0,
            "a batch has room for 1 to {MOST_AT_ONCE} datagrams of at least 1 byte, not for {count} of {size}"
        );
        let total = count
            .checked_mul(size)
            .expect("the room of a batch fits into memory");
        DatagramBatch {
            memory: vec![0; total].into_boxed_slice(),
            size,
            received: Vec::with_capacity(count),
            #[cfg(target_os = "linux")]
            kernel: crate::mmsg::Receiver::new(count),
        }
    }

    /// For how many datagrams there is room.
    pub fn capacity(&self) -> usize {
        self.memory.len() / self.size
    }

    /// How many datagrams the last call received.
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// The datagrams of the last call in the order in which they came, each with what is known of it.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Datagram)> {
        let rooms = self.memory.chunks_exact(self.size);
        rooms
            .zip(&self.received)
            .map(|(room, datagram)| (&room[..datagram.len], datagram))
    }

    #[cfg(target_os = "linux")]
    fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        self.received.clear();
        self.kernel
            .receive(fd, &mut self.memory, self.size, &mut self.received)
    }

    #[cfg(not(target_os = "linux"))]
    fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        self.received.clear();
        for room in self.memory.chunks_exact_mut(self.size) {
            match receive(fd, room) {
                Ok(datagram) => self.received.push(datagram),
                // Met again by the next call, as with `recvmmsg`, unless it was that of one datagram.
                Err(_) if !self.received.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(self.received.len())
    }
}

impl fmt::Debug for DatagramBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramBatch")
            .field("capacity", &self.capacity())
            .field("size", &self.size)
            .field("received", &self.received)
            .finish_non_exhaustive()
    }
}

fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Datagram> {
    let room = buffer.len();
    let mut nothing_else = RecvAncillaryBuffer::default();
    let mut slices = [IoSliceMut::new(buffer)];
    let message = rustix::net::recvmsg(fd, &mut slices, &mut nothing_else, RecvFlags::DONTWAIT)?;
    Ok(Datagram {
        len: message.bytes.min(room),
        truncated: message.flags.contains(ReturnFlags::TRUNC),
        from: message.address.and_then(Address::from_any),
    })
}

fn send(fd: BorrowedFd<'_>, data: &[u8], to: Option<&Address>) -> io::Result<()> {
    match to {
        None => rustix::net::send(fd, data, NO_SIGNAL)?,
        Some(Address::Ip(address)) => rustix::net::sendto(fd, data, NO_SIGNAL, address)?,
        Some(Address::Unix(address)) => {
            rustix::net::sendto(fd, data, NO_SIGNAL, &crate::address::to_unix(address)?)?
        }
    };
    Ok(())
}

#[cfg(target_os = "linux")]
fn send_many(fd: BorrowedFd<'_>, messages: &[(&[u8], Option<&Address>)]) -> io::Result<usize> {
    use rustix::net::{MMsgHdr, SendAncillaryBuffer};
    let mut targets = Vec::with_capacity(messages.len());
    for (_, to) in messages {
        match to.map(Address::to_any).transpose() {
            Ok(target) => targets.push(target),
            // Met by the next call, as is what the kernel says to a later message.
            Err(_) if !targets.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    let messages = &messages[..targets.len()];
    let slices: Vec<_> = messages
        .iter()
        .map(|(data, _)| [io::IoSlice::new(data)])
        .collect();
    let mut nothing_else: Vec<_> = messages
        .iter()
        .map(|_| SendAncillaryBuffer::default())
        .collect();
    let mut headers: Vec<_> = (targets.iter().zip(&slices).zip(&mut nothing_else))
        .map(|((target, slice), nothing_else)| match target {
            Some(target) => MMsgHdr::new_with_addr(target, slice, nothing_else),
            None => MMsgHdr::new(slice, nothing_else),
        })
        .collect();
    Ok(rustix::net::sendmmsg(fd, &mut headers, NO_SIGNAL)?)
}

#[cfg(not(target_os = "linux"))]
fn send_many(fd: BorrowedFd<'_>, messages: &[(&[u8], Option<&Address>)]) -> io::Result<usize> {
    for (sent, (data, to)) in messages.iter().enumerate() {
        match send(fd, data, *to) {
            Ok(()) => {}
            Err(_) if sent > 0 => return Ok(sent),
            Err(error) => return Err(error),
        }
    }
    Ok(messages.len())
}
