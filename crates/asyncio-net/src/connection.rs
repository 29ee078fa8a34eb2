//! What the two ends of a connection share: the socket, what is still to be sent, and what has become of it.

#[cfg(feature = "tls")]
use std::cell::RefMut;
use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use asyncio_executor::{ExceptionContext, TurnEnd};
use asyncio_reactor::{Interest, Source};

pub(crate) use observer::Observer;
pub(crate) use sendfile::is_of_the_file;

use crate::changes::Changes;
use crate::error::Lost;
use crate::server::Membership;
use crate::socket_ref::SocketRef;
#[cfg(feature = "tls")]
use crate::tls::Layer;
use crate::wire::Wire;
#[cfg(not(feature = "tls"))]
use crate::without_tls::Layer;
use crate::write_buffer::WriteBuffer;

mod observer;
mod sendfile;

/// A task that could go on and on lets the others run after this many system calls in a row.
pub(crate) const CALLS_IN_A_ROW: u32 = 16;

const HIGH_WATER: usize = 64 * 1024;

/// From which dropped write on there is a warning (S204).
const DROPPED_WRITES_BEFORE_WARNING: u32 = 5;

/// A connected stream socket. The invariants:
///
/// - where there are unsent bytes, somebody will send them: the hook at the end of this turn or the flusher, a task;
/// - `source` is there until the connection is *finished*: closed here (and flushed), or aborted. A connection that the
///   other side has lost stays until it is closed here, since there may be something to read.
pub(crate) struct Connection {
    me: Weak<Connection>,
    source: RefCell<Option<Wire>>,
    peer: Option<SocketAddr>,
    /// A pipe, or used like one: the end of writing is the end of all.
    one_way: bool,
    /// TLS, once it has been started. It stays.
    #[cfg(feature = "tls")]
    tls: OnceCell<Box<Layer>>,
    /// The server this belongs to.
    membership: Cell<Option<Membership>>,

    unsent: RefCell<WriteBuffer>,
    /// Writers should wait above `high` until no more than `low` is unsent (S203).
    high: Cell<usize>,
    low: Cell<usize>,
    paused: Cell<bool>,
    /// The transport on top, which is told of what happens here. Streams have none.
    observer: OnceCell<Weak<dyn Observer>>,
    /// A write has gone out directly in this turn: further ones are gathered.
    sent_in_turn: Cell<u64>,
    hooked: Cell<bool>,
    flushing: Cell<bool>,

    /// It is closing, lost or finished: whoever means to write or waits for room must look closer. It stays.
    ending: Cell<bool>,
    closing: Cell<bool>,
    end_wanted: Cell<bool>,
    end_sent: Cell<bool>,
    reader_dropped: Cell<bool>,
    writer_dropped: Cell<bool>,
    /// Why nothing can be sent any more. Boxed: most connections never need it.
    lost: OnceCell<Box<Lost>>,
    /// The socket is closed, or will be as soon as whoever looks at it has looked.
    finished: Cell<bool>,
    dropped_writes: Cell<u32>,

    /// Told when writing resumes, when everything is sent, when the connection is lost, and when it is finished.
    pub(crate) changes: Changes,
}

impl Connection {
    pub(crate) fn new(source: Source<OwnedFd>, peer: Option<SocketAddr>) -> Rc<Connection> {
        Connection::over(Wire::socket(source), peer, false)
    }

    /// One direction only; whoever calls this says at once that the other end was dropped.
    pub(crate) fn one_way(wire: Wire) -> Rc<Connection> {
        Connection::over(wire, None, true)
    }

    fn over(wire: Wire, peer: Option<SocketAddr>, one_way: bool) -> Rc<Connection> {
        Rc::new_cyclic(|me| Connection {
            me: me.clone(),
            source: RefCell::new(Some(wire)),
            peer,
            one_way,
            #[cfg(feature = "tls")]
            tls: OnceCell::new(),
            membership: Cell::new(None),
            unsent: RefCell::default(),
            high: Cell::new(HIGH_WATER),
            low: Cell::new(HIGH_WATER / 4),
            paused: Cell::new(false),
            observer: OnceCell::new(),
            sent_in_turn: Cell::new(u64::MAX),
            hooked: Cell::new(false),
            flushing: Cell::new(false),
            ending: Cell::new(false),
            closing: Cell::new(false),
            end_wanted: Cell::new(false),
            end_sent: Cell::new(false),
            reader_dropped: Cell::new(false),
            writer_dropped: Cell::new(false),
            lost: OnceCell::new(),
            finished: Cell::new(false),
            dropped_writes: Cell::new(0),
            changes: Changes::default(),
        })
    }

    pub(crate) fn join(&self, membership: Membership) {
        self.membership.set(Some(membership));
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer.ok_or_else(|| no_ip_address("the peer"))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match &*self.source.borrow() {
            Some(source) => rustix::net::getsockname(source)?
                .try_into()
                .map_err(|_| no_ip_address("this side")),
            None => Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the connection is closed",
            )),
        }
    }
}

/// What it consists of.
impl Connection {
    #[cfg(feature = "tls")]
    pub(crate) fn me(&self) -> Option<Rc<Connection>> {
        self.me.upgrade()
    }

    /// The TLS on this connection.
    #[cfg(feature = "tls")]
    pub(crate) fn tls(&self) -> Option<&Layer> {
        self.tls.get().map(|layer| &**layer)
    }

    #[cfg(not(feature = "tls"))]
    pub(crate) fn tls(&self) -> Option<&Layer> {
        None
    }

    /// Puts TLS on the connection.
    #[cfg(feature = "tls")]
    pub(crate) fn install(&self, layer: Layer) -> io::Result<&Layer> {
        self.check()?;
        if self.closing.get() {
            return Err(self.why_closed());
        }
        let why_not = if self.one_way {
            "TLS needs both directions, and this is a pipe"
        } else if self.end_wanted.get() {
            "TLS needs both directions, and the end of this stream has been said"
        } else if self.tls.set(Box::new(layer)).is_err() {
            "TLS has been started on this connection already"
        } else {
            return Ok(self.tls().expect("it has just been set"));
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, why_not))
    }

    /// The descriptor, to look at; `None` when it is closed.
    pub(crate) fn socket(&self) -> Option<SocketRef<'_>> {
        if self.finished.get() {
            return None;
        }
        Ref::filter_map(self.source.borrow(), Option::as_ref)
            .ok()
            .map(|wire| SocketRef::new(self, wire))
    }

    #[cfg(feature = "tls")]
    pub(crate) fn unsent_mut(&self) -> RefMut<'_, WriteBuffer> {
        self.unsent.borrow_mut()
    }
}

/// Reading.
impl Connection {
    /// Pending, and the task waits, if the kernel's last word was that nothing has come; for a caller that would prepare
    /// memory for nothing.
    pub(crate) fn poll_worth_receiving(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.closing.get() || self.tls().is_some_and(Layer::has_more) {
            return Poll::Ready(());
        }
        self.poll_wire_worth_receiving(cx)
    }

    /// The same below TLS.
    pub(crate) fn poll_wire_worth_receiving(&self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = match &*self.source.borrow() {
            Some(source) => source.poll_worth_trying(cx, Interest::Readable),
            None => return Poll::Ready(()),
        };
        // An error comes out of the attempt again.
        polled.map(drop)
    }

    /// Receives; 0 means the end, also when it was closed on this side (S201).
    #[inline]
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.closing.get() {
            return Poll::Ready(Ok(0));
        }
        match self.tls() {
            None => self.poll_wire(cx, room),
            Some(tls) => self.poll_open(tls, cx, room),
        }
    }

    /// The same below TLS, and also while the connection closes.
    #[inline]
    pub(crate) fn poll_wire(
        &self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let polled = match &*self.source.borrow() {
            Some(source) => source.poll_recv(cx, room),
            None => return Poll::Ready(Ok(0)),
        };
        if let Poll::Ready(Err(error)) = &polled {
            self.lose(Lost::new(error));
        }
        polled
    }

    pub(crate) fn reader_dropped(&self) {
        self.reader_dropped.set(true);
        if self.writer_dropped.get() {
            self.close();
        }
    }
}

/// Writing.
impl Connection {
    /// Sends what can be sent at once, if nothing has been sent in this turn, and keeps the rest.
    #[inline]
    pub(crate) fn write(&self, data: &[u8]) {
        if data.is_empty() || !self.may_write() {
            return;
        }
        if let Some(tls) = self.tls() {
            return self.seal(tls, &[IoSlice::new(data)]);
        }
        let mut rest = data;
        if self.may_send_at_once() {
            match self.send_first(|source| source.try_send(data)) {
                Some(n) => rest = &data[n..],
                None => return,
            }
        }
        self.keep(rest);
    }

    pub(crate) fn write_vectored(&self, slices: &[IoSlice<'_>]) {
        if slices.is_empty() || !self.may_write() {
            return;
        }
        if let Some(tls) = self.tls() {
            return self.seal(tls, slices);
        }
        let mut sent = 0;
        if self.may_send_at_once() && slices.iter().any(|slice| !slice.is_empty()) {
            match self.send_first(|source| source.try_send_vectored(slices)) {
                Some(n) => sent = n,
                None => return,
            }
        }
        for slice in slices {
            let skipped = sent.min(slice.len());
            sent -= skipped;
            self.keep(&slice[skipped..]);
        }
    }

    fn is_writable(&self) -> bool {
        !self.closing.get() && self.lost.get().is_none()
    }

    /// Whether a write makes sense; counts those that do not (S204).
    fn may_write(&self) -> bool {
        !self.ending.get() || {
            self.count_dropped_write();
            false
        }
    }

    #[cold]
    fn count_dropped_write(&self) {
        let dropped = self.dropped_writes.get().saturating_add(1);
        self.dropped_writes.set(dropped);
        if dropped >= DROPPED_WRITES_BEFORE_WARNING {
            let peer = match self.peer {
                Some(address) => format!(" to {address}"),
                None => String::new(),
            };
            let text = format!(
                "the connection{peer} is closed or lost, and write no. {dropped} since then was dropped: await `drain` \
                 between writes, and stop when it fails"
            );
            asyncio_executor::report(match self.lost.get() {
                Some(lost) => ExceptionContext::error(text, &lost.to_error()),
                None => ExceptionContext::new(text),
            });
        }
    }

    pub(crate) fn may_send_at_once(&self) -> bool {
        self.sent_in_turn.get() != asyncio_executor::turn_number()
            && self.unsent.borrow().is_empty()
            && !self.flushing.get()
    }

    /// The first sending of a turn; `None` when the connection is lost.
    fn send_first(&self, send: impl FnOnce(&Wire) -> io::Result<usize>) -> Option<usize> {
        let result = send(self.source.borrow().as_ref()?);
        let sent = self.sent(result)?;
        self.sent_in_turn.set(asyncio_executor::turn_number());
        Some(sent)
    }

    /// What came of an attempt to send; `None` when the connection is lost.
    #[inline]
    fn sent(&self, result: io::Result<usize>) -> Option<usize> {
        match result {
            Ok(n) => Some(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
            Err(error) => {
                self.lose(Lost::new(&error));
                None
            }
        }
    }

    /// Keeps what was not sent, and sees to it that somebody sends it.
    fn keep(&self, rest: &[u8]) {
        // Whoever was told that writing pauses may have aborted, in the middle of several pieces.
        if rest.is_empty() || self.finished.get() || self.lost.get().is_some() {
            return;
        }
        self.unsent.borrow_mut().push(rest);
        self.grown();
    }

    /// More is unsent than before, perhaps: somebody must send it, and writers may have to wait.
    pub(crate) fn grown(&self) {
        if !self.flushing.get() && !self.unsent.borrow().is_empty() {
            self.hook();
        }
        if self.unsent() > self.high.get() && !self.paused.replace(true) {
            self.tell(|observer| observer.writing_paused());
        }
    }

    /// Asks to be called when the turn ends.
    fn hook(&self) {
        if !self.hooked.replace(true)
            && let Some(me) = self.me.upgrade()
        {
            asyncio_executor::at_turn_end(me);
        }
    }

    /// Sends what is unsent as far as that is possible at once; a flusher sends the rest.
    pub(crate) fn flush_now(&self) {
        if self.flushing.get() || self.unsent.borrow().is_empty() {
            return;
        }
        let result = {
            let (source, unsent) = (self.source.borrow(), self.unsent.borrow());
            let Some(source) = &*source else { return };
            source.try_send(unsent.unsent())
        };
        if let Some(n) = self.sent(result) {
            self.note_sent(n);
            if !self.unsent.borrow().is_empty() {
                self.start_flusher();
            }
        }
    }

    /// The first sending of a turn, of what lies in the buffer.
    #[cfg(feature = "tls")]
    pub(crate) fn flush_first(&self) {
        self.sent_in_turn.set(asyncio_executor::turn_number());
        self.flush_now();
    }

    fn note_sent(&self, n: usize) {
        let mut unsent = self.unsent.borrow_mut();
        unsent.sent(n);
        let left = unsent.len();
        drop(unsent);
        let resumed = self.paused.get() && left <= self.low.get();
        if resumed {
            self.paused.set(false);
        }
        if left == 0 {
            self.all_sent();
        }
        if resumed || left == 0 {
            self.changes.announce();
        }
        if resumed {
            self.tell(|observer| observer.writing_resumed());
        }
    }

    /// Nothing is left to send: now the end may be said, and the socket closed.
    fn all_sent(&self) {
        if self.closing.get() {
            if !self.tls().is_some_and(Layer::is_parting) {
                self.finish();
            }
        } else if self.end_wanted.get() && self.tls().is_none() && !self.end_sent.replace(true) {
            let result = match &*self.source.borrow() {
                Some(source) => source.shutdown_write(),
                None => Ok(()),
            };
            if let Err(error) = result {
                self.lose(Lost::new(&error));
            }
        }
    }

    fn start_flusher(&self) {
        let Some(me) = self.me.upgrade() else { return };
        if !asyncio_executor::is_entered() {
            // Nobody will ever run it.
            return self.give_up("unsent data: no event loop runs on this thread any more");
        }
        // Whoever was told that writing resumes may have started it.
        if self.flushing.replace(true) {
            return;
        }
        let flusher = Flusher { connection: me };
        asyncio_executor::spawn(async move {
            std::future::poll_fn(|cx| flusher.connection.poll_flush(cx)).await;
        })
        .detach();
    }

    /// Sends until everything is sent, or the connection is lost or finished. For the flusher only.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..CALLS_IN_A_ROW {
            let polled = {
                let (source, unsent) = (self.source.borrow(), self.unsent.borrow());
                match &*source {
                    Some(source) if !unsent.is_empty() => source.poll_send(cx, unsent.unsent()),
                    _ => return Poll::Ready(()),
                }
            };
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(n)) => self.note_sent(n),
                Poll::Ready(Err(error)) => self.lose(Lost::new(&error)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// For a caller that waits anyway: sends without keeping anything, if nothing is unsent; keeps no more than the high
    /// water mark allows otherwise.
    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        place: &mut Option<asyncio_sync::wait_queue::Ticket>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        if self.closing.get() {
            return Poll::Ready(Err(self.why_closed()));
        }
        if self.end_wanted.get() {
            return Poll::Ready(Err(after_end()));
        }
        // From the first that has something on: the kernel takes only so many at once.
        let Some(start) = slices.iter().position(|slice| !slice.is_empty()) else {
            return Poll::Ready(Ok(0));
        };
        let slices = &slices[start..];
        if self.tls().is_none() && self.may_send_at_once() {
            let polled = match &*self.source.borrow() {
                Some(source) if slices.len() == 1 => source.poll_send(cx, &slices[0]),
                Some(source) => source.poll_send_vectored(cx, slices),
                None => return Poll::Ready(Err(self.why_closed())),
            };
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(n)) => {
                    self.sent_in_turn.set(asyncio_executor::turn_number());
                    return Poll::Ready(Ok(n));
                }
                Poll::Ready(Err(error)) => {
                    self.lose(Lost::new(&error));
                    return Poll::Ready(Err(error));
                }
            }
        }
        std::task::ready!(self.changes.poll_until(place, cx, || {
            match self.tls().is_some_and(Layer::is_handshaking) {
                true => self.check().err().map(Err),
                false => self.may_write_on(),
            }
        }))?;
        let room = (self.high.get() + 1).saturating_sub(self.unsent());
        Poll::Ready(Ok(self.keep_some(slices, room)))
    }

    /// Keeps up to `room` bytes, encrypted where there is TLS; says how many.
    fn keep_some(&self, slices: &[IoSlice<'_>], room: usize) -> usize {
        let mut parts = [IoSlice::new(&[]); 16];
        let (mut count, mut kept) = (0, 0);
        let slices = slices.iter().filter(|slice| !slice.is_empty());
        for (part, slice) in parts.iter_mut().zip(slices) {
            let n = slice.len().min(room - kept);
            *part = IoSlice::new(&slice[..n]);
            (count, kept) = (count + 1, kept + n);
        }
        match self.tls() {
            Some(tls) => self.seal(tls, &parts[..count]),
            None => parts[..count].iter().for_each(|part| self.keep(part)),
        }
        kept
    }

    /// For a caller that waits until everything is sent.
    pub(crate) fn poll_sent(
        &self,
        cx: &mut Context<'_>,
        place: &mut Option<asyncio_sync::wait_queue::Ticket>,
    ) -> Poll<io::Result<()>> {
        self.flush_now();
        self.changes.poll_until(place, cx, || match self.check() {
            Ok(()) if self.unsent() > 0 => None,
            result => Some(result),
        })
    }

    /// Whether nothing stands in a writer's way, and nothing is left to do.
    pub(crate) fn is_drained(&self) -> bool {
        !self.ending.get() && self.unsent() == 0
    }

    /// Whether a writer may go on: an answer once writing is not paused.
    pub(crate) fn may_write_on(&self) -> Option<io::Result<()>> {
        match self.check() {
            Ok(()) if self.paused.get() => None,
            result => Some(result),
        }
    }

    /// Says the end of the stream once everything is sent.
    pub(crate) fn write_eof(&self) {
        if self.one_way {
            return self.close();
        }
        if self.end_wanted.replace(true) || !self.is_writable() {
            return;
        }
        if let Some(tls) = self.tls() {
            return self.end_sealed(tls);
        }
        self.flush_now();
        self.end_if_all_sent();
    }

    /// Says the end, if it is wanted and nobody is sending: not the flusher, and not a file.
    fn end_if_all_sent(&self) {
        let idle = !self.flushing.get() && self.unsent.borrow().is_empty();
        if self.end_wanted.get() && idle && !self.closing.get() {
            self.all_sent();
        }
    }

    pub(crate) fn can_end_one_direction(&self) -> bool {
        !self.one_way && self.tls().is_none()
    }

    /// Whether nobody has said yet that this should end, and nothing has ended it.
    pub(crate) fn is_unclosed(&self) -> bool {
        self.is_writable() && !self.end_wanted.get()
    }

    pub(crate) fn end_wanted(&self) -> bool {
        self.end_wanted.get()
    }

    /// How much is unsent, or waits until it can be encrypted.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.borrow().len() + self.tls().map_or(0, Layer::backlog)
    }

    pub(crate) fn set_limits(&self, high: usize, low: usize) {
        self.high.set(high);
        self.low.set(low);
        self.look_at_marks();
    }

    /// The marks: high, low.
    pub(crate) fn limits(&self) -> (usize, usize) {
        (self.high.get(), self.low.get())
    }

    /// Whether writers should wait may have changed.
    pub(crate) fn look_at_marks(&self) {
        let unsent = self.unsent();
        if unsent > self.high.get() {
            if !self.paused.replace(true) {
                self.tell(|observer| observer.writing_paused());
            }
        } else if unsent <= self.low.get() && self.paused.replace(false) {
            self.changes.announce();
            self.tell(|observer| observer.writing_resumed());
        }
    }

    pub(crate) fn writer_dropped(&self) {
        self.writer_dropped.set(true);
        if self.reader_dropped.get() {
            self.close();
        } else if !self.one_way {
            // Usually the reader is dropped next, and one system call does for both: wait for it until the turn ends.
            self.hook();
        }
    }
}

/// Ending.
impl Connection {
    /// Stops reading, sends what is unsent, closes (S201).
    pub(crate) fn close(&self) {
        if self.closing.get() {
            return;
        }
        let answered = match self.tls() {
            Some(tls) if self.is_writable() => self.say_goodbye(tls),
            _ => false,
        };
        self.flush_now();
        self.ending.set(true);
        if self.closing.replace(true) {
            return;
        }
        match self.tls() {
            Some(tls) if answered && self.lost.get().is_none() => {
                self.wake_waiting();
                self.await_goodbye(tls);
            }
            _ if self.unsent.borrow().is_empty() => self.finish(),
            _ => self.wake_waiting(),
        }
    }

    /// After waiting for the other side's goodbye.
    #[cfg(feature = "tls")]
    pub(crate) fn finish_if_all_sent(&self) {
        if self.closing.get() && self.unsent.borrow().is_empty() {
            self.finish();
        }
    }

    /// Closes without sending what is unsent.
    pub(crate) fn abort(&self) {
        self.closing.set(true);
        self.finish();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.get()
    }

    /// What an operation that needs the connection fails with (S213).
    pub(crate) fn check(&self) -> io::Result<()> {
        if !self.ending.get() {
            return Ok(());
        }
        if let Some(lost) = self.lost.get() {
            return Err(lost.to_error());
        }
        if self.is_finished() {
            return Err(self.why_closed());
        }
        Ok(())
    }

    /// The error the connection ended with, if it did not end by being closed here.
    pub(crate) fn loss(&self) -> Option<io::Error> {
        self.lost.get().map(|lost| lost.to_error())
    }

    pub(crate) fn why_closed(&self) -> io::Error {
        io::Error::new(
            io::ErrorKind::ConnectionReset,
            "connection lost: it was closed on this side",
        )
    }

    /// Nothing can be sent any more. What was received may still be read.
    pub(crate) fn lose(&self, lost: Lost) {
        self.ending.set(true);
        // The first reason stays.
        let _ = self.lost.set(Box::new(lost));
        self.unsent.borrow_mut().clear();
        self.paused.set(false);
        self.wake_waiting();
        if self.closing.get() {
            self.finish();
        }
        self.changes.announce();
        self.tell(|observer| observer.ended());
    }

    fn give_up(&self, why: &str) {
        self.lose(Lost::message(io::ErrorKind::ConnectionAborted, why));
    }

    /// Closes the socket.
    fn finish(&self) {
        self.unsent.borrow_mut().clear();
        self.paused.set(false);
        self.ending.set(true);
        self.finished.set(true);
        self.wake_waiting();
        self.changes.announce();
        let membership = self.membership.take();
        drop(membership);
        self.tell(|observer| observer.ended());
    }

    /// Has those who wait for the socket look again; closes it, once it is finished.
    fn wake_waiting(&self) {
        if let Some(source) = &*self.source.borrow() {
            source.wake_all();
        }
        // Also where it has been finished only now, by one of those.
        if self.finished.get() {
            self.close_socket();
        }
    }

    /// Where the socket is in use further up the stack (somebody looks at it; a waker closes while it is cloned), it is
    /// closed by who looks, or on drop.
    pub(crate) fn close_socket(&self) {
        let source = self
            .source
            .try_borrow_mut()
            .ok()
            .and_then(|mut source| source.take());
        drop(source);
    }
}

/// The end of a turn in which something was written.
impl TurnEnd for Connection {
    fn turn_ended(&self) {
        self.hooked.set(false);
        self.flush_now();
        if self.writer_dropped.get() && !self.reader_dropped.get() && !self.one_way {
            self.write_eof();
        }
    }
}

/// Sends what is left; from when it is made to when it is dropped the connection counts as flushing.
struct Flusher {
    connection: Rc<Connection>,
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.connection.flushing.set(false);
        if !self.connection.unsent.borrow().is_empty() {
            // Cancelled, by the end of the run or by whoever cancels every task.
            self.connection
                .give_up("unsent data: the task that sent them was cancelled");
        }
    }
}

/// The error of a write after the end.
pub(crate) fn after_end() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "cannot write after `write_eof`: the end of the stream has been said",
    )
}

fn no_ip_address(who: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        format!(
            "{who} has no IP address, as this is no TCP connection; `StreamWriter::socket` tells of Unix sockets"
        ),
    )
}
