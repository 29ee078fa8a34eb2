//! What the two ends of a connection share: the socket, what is still to be sent, and what has become of it.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use asyncio_executor::TurnEnd;
use asyncio_reactor::{Interest, Source};

use crate::changes::Changes;
use crate::error::Lost;
use crate::server::Membership;
use crate::write_buffer::WriteBuffer;

/// A task that could go on and on lets the others run after this many system calls in a row.
pub(crate) const CALLS_IN_A_ROW: u32 = 16;

const HIGH_WATER: usize = 64 * 1024;

/// A connected stream socket. The invariants:
///
/// - where there are unsent bytes, somebody will send them: the hook at the end of this turn or the flusher, a task;
/// - `source` is there until the connection is *finished*: closed here (and flushed), or aborted. A connection that the
///   other side has lost stays until it is closed here, since there may be something to read.
pub(crate) struct Connection {
    me: Weak<Connection>,
    source: RefCell<Option<Source<OwnedFd>>>,
    peer: Option<SocketAddr>,
    /// The server this belongs to.
    membership: RefCell<Option<Membership>>,

    unsent: RefCell<WriteBuffer>,
    /// Writers should wait above `high` until no more than `low` is unsent (S203).
    high: Cell<usize>,
    low: Cell<usize>,
    paused: Cell<bool>,
    /// A write has gone out directly in this turn: further ones are gathered.
    sent_in_turn: Cell<u64>,
    hooked: Cell<bool>,
    flushing: Cell<bool>,

    closing: Cell<bool>,
    end_wanted: Cell<bool>,
    end_sent: Cell<bool>,
    reader_dropped: Cell<bool>,
    writer_dropped: Cell<bool>,
    lost: RefCell<Option<Lost>>,

    /// Whoever last waited for the socket in each direction: the reactor forgets them when the socket is closed.
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
    /// Told when writing resumes, when everything is sent, when the connection is lost, and when it is finished.
    pub(crate) changes: Changes,
}

impl Connection {
    pub(crate) fn new(source: Source<OwnedFd>, peer: Option<SocketAddr>) -> Rc<Connection> {
        Rc::new_cyclic(|me| Connection {
            me: me.clone(),
            source: RefCell::new(Some(source)),
            peer,
            membership: RefCell::new(None),
            unsent: RefCell::default(),
            high: Cell::new(HIGH_WATER),
            low: Cell::new(HIGH_WATER / 4),
            paused: Cell::new(false),
            sent_in_turn: Cell::new(u64::MAX),
            hooked: Cell::new(false),
            flushing: Cell::new(false),
            closing: Cell::new(false),
            end_wanted: Cell::new(false),
            end_sent: Cell::new(false),
            reader_dropped: Cell::new(false),
            writer_dropped: Cell::new(false),
            lost: RefCell::new(None),
            reader: RefCell::new(None),
            writer: RefCell::new(None),
            changes: Changes::default(),
        })
    }

    pub(crate) fn join(&self, membership: Membership) {
        self.membership.replace(Some(membership));
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.peer.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        match &*self.source.borrow() {
            Some(source) => Ok(rustix::net::getsockname(source)?.try_into()?),
            None => Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the connection is closed",
            )),
        }
    }
}

/// Reading.
impl Connection {
    /// Pending, and the task waits, if the kernel's last word was that nothing has come; for a caller that would prepare
    /// memory for nothing.
    pub(crate) fn poll_worth_receiving(&self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = match &*self.source.borrow() {
            Some(source) if !self.closing.get() => source.poll_worth_trying(cx, Interest::Readable),
            _ => return Poll::Ready(()),
        };
        match polled {
            Poll::Pending => {
                remember(&self.reader, cx);
                Poll::Pending
            }
            // An error comes out of the attempt again.
            Poll::Ready(_) => Poll::Ready(()),
        }
    }

    /// Receives; 0 means the end, also when it was closed on this side (S201).
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let polled = {
            let source = self.source.borrow();
            match &*source {
                Some(source) if !self.closing.get() => source.poll_recv(cx, room),
                _ => return Poll::Ready(Ok(0)),
            }
        };
        match &polled {
            Poll::Pending => remember(&self.reader, cx),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => self.lose(Lost::new(error)),
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
    pub(crate) fn write(&self, data: &[u8]) {
        if data.is_empty() || !self.is_writable() {
            return; // S204
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
        if !self.is_writable() {
            return;
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
        !self.closing.get() && self.lost.borrow().is_none()
    }

    fn may_send_at_once(&self) -> bool {
        self.sent_in_turn.get() != asyncio_executor::turn_number()
            && self.unsent.borrow().is_empty()
    }

    /// The first sending of a turn; `None` when the connection is lost.
    fn send_first(
        &self,
        send: impl FnOnce(&Source<OwnedFd>) -> io::Result<usize>,
    ) -> Option<usize> {
        let result = send(self.source.borrow().as_ref()?);
        let sent = self.sent(result)?;
        self.sent_in_turn.set(asyncio_executor::turn_number());
        Some(sent)
    }

    /// What came of an attempt to send; `None` when the connection is lost.
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
        if rest.is_empty() {
            return;
        }
        let mut unsent = self.unsent.borrow_mut();
        unsent.push(rest);
        self.paused
            .set(self.paused.get() || unsent.len() > self.high.get());
        drop(unsent);
        if !self.flushing.get() {
            self.hook();
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
    }

    /// Nothing is left to send: now the end may be said, and the socket closed.
    fn all_sent(&self) {
        if self.closing.get() {
            self.finish();
        } else if self.end_wanted.get() && !self.end_sent.replace(true) {
            let result = match &*self.source.borrow() {
                Some(source) => source.shutdown(Shutdown::Write),
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
        self.flushing.set(true);
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
                Poll::Pending => {
                    remember(&self.writer, cx);
                    return Poll::Pending;
                }
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
        let Some(first) = slices.iter().find(|slice| !slice.is_empty()) else {
            return Poll::Ready(Ok(0));
        };
        if self.may_send_at_once() {
            let polled = match &*self.source.borrow() {
                Some(source) if slices.len() == 1 => source.poll_send(cx, first),
                Some(source) => source.poll_send_vectored(cx, slices),
                None => return Poll::Ready(Err(self.why_closed())),
            };
            match polled {
                Poll::Pending => {
                    remember(&self.writer, cx);
                    return Poll::Pending;
                }
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
        std::task::ready!(self.changes.poll_until(place, cx, || self.may_write_on()))?;
        let mut kept = 0;
        for slice in slices {
            let room = (self.high.get() + 1).saturating_sub(self.unsent.borrow().len());
            let part = slice.len().min(room);
            self.keep(&slice[..part]);
            kept += part;
            if part < slice.len() {
                break;
            }
        }
        Poll::Ready(Ok(kept))
    }

    /// For a caller that waits until everything is sent.
    pub(crate) fn poll_sent(
        &self,
        cx: &mut Context<'_>,
        place: &mut Option<asyncio_sync::wait_queue::Ticket>,
    ) -> Poll<io::Result<()>> {
        self.flush_now();
        self.changes.poll_until(place, cx, || match self.check() {
            Ok(()) if !self.unsent.borrow().is_empty() => None,
            result => Some(result),
        })
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
        if self.end_wanted.replace(true) || !self.is_writable() {
            return;
        }
        self.flush_now();
        if self.unsent.borrow().is_empty() {
            self.all_sent();
        }
    }

    pub(crate) fn end_wanted(&self) -> bool {
        self.end_wanted.get()
    }

    pub(crate) fn unsent(&self) -> usize {
        self.unsent.borrow().len()
    }

    pub(crate) fn set_limits(&self, high: usize, low: usize) {
        self.high.set(high);
        self.low.set(low);
        let unsent = self.unsent();
        if unsent > high {
            self.paused.set(true);
        } else if unsent <= low && self.paused.replace(false) {
            self.changes.announce();
        }
    }

    pub(crate) fn writer_dropped(&self) {
        self.writer_dropped.set(true);
        if self.reader_dropped.get() {
            self.close();
        } else {
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
        self.flush_now();
        if self.closing.replace(true) {
            return;
        }
        if self.unsent.borrow().is_empty() {
            self.finish();
        } else {
            wake(&self.reader);
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
        self.source.borrow().is_none()
    }

    /// What an operation that needs the connection fails with (S213).
    pub(crate) fn check(&self) -> io::Result<()> {
        if let Some(lost) = &*self.lost.borrow() {
            return Err(lost.to_error());
        }
        if self.is_finished() {
            return Err(self.why_closed());
        }
        Ok(())
    }

    /// The error the connection ended with, if it did not end by being closed here.
    pub(crate) fn loss(&self) -> Option<io::Error> {
        self.lost.borrow().as_ref().map(Lost::to_error)
    }

    fn why_closed(&self) -> io::Error {
        io::Error::new(
            io::ErrorKind::ConnectionReset,
            "connection lost: it was closed on this side",
        )
    }

    /// Nothing can be sent any more. What was received may still be read.
    fn lose(&self, lost: Lost) {
        self.lost.borrow_mut().get_or_insert(lost);
        self.unsent.borrow_mut().clear();
        self.paused.set(false);
        wake(&self.writer);
        if self.closing.get() {
            self.finish();
        }
        self.changes.announce();
    }

    fn give_up(&self, why: &str) {
        self.lose(Lost::message(io::ErrorKind::ConnectionAborted, why));
    }

    /// Closes the socket.
    fn finish(&self) {
        self.unsent.borrow_mut().clear();
        self.paused.set(false);
        // Where the socket is in use further up the stack (a waker that closes while it is cloned), it is closed on drop.
        let source = self
            .source
            .try_borrow_mut()
            .ok()
            .and_then(|mut source| source.take());
        drop(source);
        wake(&self.reader);
        wake(&self.writer);
        self.changes.announce();
        let membership = self.membership.take();
        drop(membership);
    }
}

/// The end of a turn in which something was written.
impl TurnEnd for Connection {
    fn turn_ended(&self) {
        self.hooked.set(false);
        self.flush_now();
        if self.writer_dropped.get() && !self.reader_dropped.get() {
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
fn after_end() -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        "cannot write after `write_eof`: the end of the stream has been said",
    )
}

/// Notes who waits. A task that waits again and again is noted once.
fn remember(place: &RefCell<Option<Waker>>, cx: &Context<'_>) {
    let mut noted = place.borrow_mut();
    if !noted
        .as_ref()
        .is_some_and(|waker| waker.will_wake(cx.waker()))
    {
        let former = noted.replace(cx.waker().clone());
        drop(noted);
        drop(former);
    }
}

fn wake(place: &RefCell<Option<Waker>>) {
    let waker = place.borrow_mut().take();
    if let Some(waker) = waker {
        waker.wake();
    }
}
