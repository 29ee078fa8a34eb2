//! The transport of a stream of bytes, and who drives it.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_executor::{call_soon, is_entered, spawn};
use asyncio_reactor::Address;
use futures_io::AsyncRead;

use crate::connection::{Connection, Observer};
use crate::scratch::Scratch;
use crate::socket_ref::SocketRef;
use crate::stream_reader::StreamReader;
use crate::stream_writer::StreamWriter;
use crate::transport::protocol::EMPTY_BUFFER;
use crate::transport::{
    Alarm, BaseTransport, ExtraInfo, Protocol, ReadTransport, WriteLimits, WriteTransport,
    contained,
};

/// How much a buffered protocol is asked to make room for.
const SIZE_HINT: usize = 64 * 1024;

/// The transport of a stream of bytes: a TCP or Unix connection, with or without TLS, or one end of a pipe.
///
/// A handle: clones stand for the same transport, which stays open without any handle until it is closed, lost, or the run
/// ends. Its methods are those of [`ReadTransport`] and [`WriteTransport`].
///
/// A task drives it (one per transport, called "transport"). Cancelling that task, as the end of `run` does to all tasks,
/// aborts the transport.
#[derive(Clone)]
pub struct SocketTransport {
    inner: Rc<Inner>,
}

impl SocketTransport {
    /// Calls another protocol from now on. It is not told of a connection that is made. asyncio: `set_protocol`.
    pub fn set_protocol(&self, protocol: Rc<dyn Protocol>) {
        if self.inner.lost.get() {
            return;
        }
        let former = self.inner.protocol.borrow_mut().replace(protocol);
        drop(former);
        // It may be of the other kind, or want to read where the former did not.
        self.inner.alarm.ring();
    }

    /// The protocol that is called; `None` after `connection_lost`. asyncio: `get_protocol`.
    pub fn get_protocol(&self) -> Option<Rc<dyn Protocol>> {
        self.inner.protocol.borrow().clone()
    }

    /// The socket, to ask it things and to set its options; `None` after it was closed. asyncio: `get_extra_info("socket")`.
    pub fn socket(&self) -> Option<SocketRef<'_>> {
        self.inner.connection.socket()
    }

    /// What was agreed on by TLS; `None` without it. asyncio: `get_extra_info("ssl_object")`.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<crate::tls::TlsInfo> {
        self.inner.connection.tls()?.info()
    }

    /// Over the ends of a stream, of which a pipe has but one. Nothing happens before the driver runs.
    pub(crate) fn new(
        reader: Option<StreamReader>,
        writer: Option<StreamWriter>,
        protocol: Rc<dyn Protocol>,
    ) -> (SocketTransport, Driver) {
        let connection = match (&reader, &writer) {
            (Some(reader), _) => reader.connection().clone(),
            (None, Some(writer)) => writer.connection().clone(),
            (None, None) => unreachable!("a stream has an end"),
        };
        let inner = Rc::new(Inner {
            reads: reader.is_some(),
            reader: RefCell::new(reader),
            writer,
            connection,
            extra: OnceCell::new(),
            protocol: RefCell::new(Some(protocol)),
            hears_hang_up: Cell::new(false),
            reading: Cell::new(true),
            ended: Cell::new(false),
            made: Cell::new(false),
            failure: RefCell::default(),
            lost: Cell::new(false),
            alarm: Alarm::default(),
        });
        let observer: Rc<dyn Observer> = inner.clone();
        inner.connection.observe(Rc::downgrade(&observer));
        let driver = Driver(inner.clone());
        (SocketTransport { inner }, driver)
    }

    /// The same, driven by a task of its own.
    pub(crate) fn start(
        reader: Option<StreamReader>,
        writer: Option<StreamWriter>,
        protocol: Rc<dyn Protocol>,
    ) -> SocketTransport {
        let (transport, driver) = SocketTransport::new(reader, writer, protocol);
        spawn(driver.run()).name("transport").detach();
        transport
    }

    /// From the driver's first step on it hears when nobody reads any more.
    pub(crate) fn hear_hang_up(&self) {
        self.inner.hears_hang_up.set(true);
    }

    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.inner.connection
    }

    /// The streams under it, which meanwhile is not driven.
    #[cfg(feature = "tls")]
    pub(crate) fn lend_streams(&self) -> io::Result<(LentReader<'_>, &StreamWriter)> {
        if self.inner.lost.get() {
            let connection = &self.inner.connection;
            return Err(connection.loss().unwrap_or_else(|| connection.why_closed()));
        }
        let reader = self.inner.reader.take();
        match (reader, &self.inner.writer) {
            (Some(reader), Some(writer)) => Ok((
                LentReader {
                    inner: &self.inner,
                    reader: Some(reader),
                },
                writer,
            )),
            (reader, _) => {
                self.inner.reader.replace(reader);
                Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "TLS needs a connection in both directions on which it is not being started already",
                ))
            }
        }
    }
}

impl BaseTransport for SocketTransport {
    fn close(&self) {
        self.inner.connection.close();
    }

    fn is_closing(&self) -> bool {
        self.inner.connection.is_closing() || self.inner.lost.get()
    }

    fn extra(&self) -> ExtraInfo {
        self.inner.extra()
    }
}

impl ReadTransport for SocketTransport {
    fn is_reading(&self) -> bool {
        self.inner.reads && self.inner.reading.get() && !self.is_closing()
    }

    fn pause_reading(&self) {
        self.inner.reading.set(false);
    }

    fn resume_reading(&self) {
        if !self.inner.reading.replace(true) {
            self.inner.alarm.ring();
        }
    }
}

impl WriteTransport for SocketTransport {
    fn write(&self, data: &[u8]) {
        self.inner.must_be_writable("write");
        self.inner.connection.write(data);
    }

    fn writelines(&self, pieces: &[&[u8]]) {
        self.inner.must_be_writable("writelines");
        let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        for slices in slices.chunks(64) {
            self.inner.connection.write_vectored(slices);
        }
    }

    fn write_eof(&self) {
        self.inner.connection.write_eof();
    }

    fn can_write_eof(&self) -> bool {
        self.inner.connection.can_end_one_direction()
    }

    fn abort(&self) {
        self.inner.connection.abort();
    }

    fn set_write_buffer_limits(&self, limits: WriteLimits) {
        self.inner
            .connection
            .set_limits(limits.get_high(), limits.get_low());
    }

    fn get_write_buffer_limits(&self) -> WriteLimits {
        let (high, low) = self.inner.connection.limits();
        WriteLimits::new(high, low)
    }

    fn get_write_buffer_size(&self) -> usize {
        self.inner.connection.unsent()
    }
}

impl fmt::Debug for SocketTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketTransport")
            .field("extra", &self.extra())
            .field("reading", &self.is_reading())
            .field("unsent", &self.get_write_buffer_size())
            .field("closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}

struct Inner {
    /// Whether there is something to read, ever.
    reads: bool,
    /// Away while TLS is being started.
    reader: RefCell<Option<StreamReader>>,
    writer: Option<StreamWriter>,
    connection: Rc<Connection>,
    extra: OnceCell<ExtraInfo>,
    /// There until `connection_lost` was called.
    protocol: RefCell<Option<Rc<dyn Protocol>>>,
    /// A pipe for writing, whose other end tells when it is gone.
    hears_hang_up: Cell<bool>,
    /// Not paused.
    reading: Cell<bool>,
    /// The peer has ended its direction.
    ended: Cell<bool>,
    /// `connection_made` has been called.
    made: Cell<bool>,
    /// Why the transport is to be aborted (S205).
    failure: RefCell<Option<io::Error>>,
    /// `connection_lost` has been called, or is in the queue.
    lost: Cell<bool>,
    alarm: Alarm,
}

impl Inner {
    fn extra(&self) -> ExtraInfo {
        if let Some(known) = self.extra.get() {
            return known.clone();
        }
        let peer = self.connection.peer_addr().ok().map(Address::from);
        let Some(socket) = self.connection.socket() else {
            return ExtraInfo::new(peer, None);
        };
        let peer = peer.or_else(|| Address::of_peer(&socket).ok());
        let found = ExtraInfo::new(peer, Address::of_socket(&socket).ok());
        self.extra.get_or_init(|| found).clone()
    }

    #[track_caller]
    fn must_be_writable(&self, what: &str) {
        assert!(
            self.writer.is_some(),
            "`{what}` on the transport of a pipe that is only read: `connect_write_pipe` makes one for writing"
        );
        assert!(
            !self.connection.end_wanted(),
            "`{what}` after `write_eof`: the end of the stream has been said"
        );
    }

    /// Calls the protocol with nothing borrowed. A panic is reported.
    fn call<R>(
        &self,
        method: &str,
        call: impl FnOnce(&dyn Protocol) -> R,
    ) -> Option<io::Result<R>> {
        let protocol = self.protocol.borrow().clone()?;
        Some(contained(method, || call(&*protocol)))
    }

    /// The same, and a panic is what the transport is aborted with (S205).
    fn call_or_fail<R>(&self, method: &str, call: impl FnOnce(&dyn Protocol) -> R) -> Option<R> {
        match self.call(method, call)? {
            Ok(result) => Some(result),
            Err(error) => {
                self.failure.replace(Some(error));
                None
            }
        }
    }

    /// Reads until the connection has ended, and says with what.
    fn poll_drive(&self, cx: &mut Context<'_>) -> Poll<Option<io::Error>> {
        self.alarm.set(cx);
        loop {
            let failure = self.failure.take();
            if let Some(error) = failure.or_else(|| self.connection.loss()) {
                self.connection.abort();
                return Poll::Ready(Some(error));
            }
            if self.connection.is_finished() {
                return Poll::Ready(None);
            }
            if self.is_pipe_nobody_reads(cx) {
                self.hung_up();
                continue;
            }
            let reading = self.reading.get() && !self.ended.get() && !self.connection.is_closing();
            if !reading || self.poll_receive(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn is_pipe_nobody_reads(&self, cx: &mut Context<'_>) -> bool {
        self.hears_hang_up.get() && self.connection.poll_hung_up(cx).is_ready()
    }

    /// As asyncio does: an error only if something could not be sent.
    fn hung_up(&self) {
        self.hears_hang_up.set(false);
        if self.connection.unsent() > 0 {
            let text = "nobody reads from the pipe any more";
            let error = io::Error::new(io::ErrorKind::BrokenPipe, text);
            self.failure.replace(Some(error));
        } else {
            self.connection.close();
        }
    }

    /// Reads once and calls the protocol with what came.
    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(protocol) = self.protocol.borrow().clone() else {
            return Poll::Pending;
        };
        match protocol.as_buffered() {
            None => {
                let mut room = Scratch::take();
                let n = std::task::ready!(self.poll_read(cx, &mut room));
                self.came(n, |n| {
                    self.call_or_fail("data_received", |protocol| {
                        protocol.data_received(&room[..n])
                    });
                });
            }
            Some(buffered) => {
                if self.has_nothing_for_sure(cx) {
                    return Poll::Pending;
                }
                let read = contained("get_buffer", || {
                    let mut room = buffered.get_buffer(SIZE_HINT);
                    assert!(!room.is_empty(), "{EMPTY_BUFFER}");
                    self.poll_read(cx, &mut room)
                });
                match read {
                    Ok(polled) => {
                        let n = std::task::ready!(polled);
                        self.came(n, |n| {
                            self.call_or_fail("buffer_updated", |_| buffered.buffer_updated(n));
                        });
                    }
                    Err(error) => {
                        self.failure.replace(Some(error));
                    }
                }
            }
        }
        Poll::Ready(())
    }

    fn has_nothing_for_sure(&self, cx: &mut Context<'_>) -> bool {
        match &*self.reader.borrow() {
            Some(reader) => {
                !reader.has_buffered() && self.connection.poll_worth_receiving(cx).is_pending()
            }
            // As in `poll_read`.
            None => true,
        }
    }

    fn poll_read(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut *self.reader.borrow_mut() {
            Some(reader) => Pin::new(reader).poll_read(cx, room),
            // TLS is being started: whoever does so rings when it is done.
            None => Poll::Pending,
        }
    }

    fn came(&self, result: io::Result<usize>, receive: impl FnOnce(usize)) {
        match result {
            Ok(0) => self.end(),
            Ok(n) => receive(n),
            // The connection is lost, in nearly all cases, and knows why.
            Err(error) => {
                let why = self.connection.loss().unwrap_or(error);
                self.failure.replace(Some(why));
            }
        }
    }

    /// The peer sends no more (S202).
    fn end(&self) {
        if self.connection.is_closing() {
            return; // the end that closing here makes
        }
        self.ended.set(true);
        let stay = self.call_or_fail("eof_received", |protocol| match protocol.as_buffered() {
            Some(buffered) => buffered.eof_received(),
            None => protocol.eof_received(),
        });
        // There is nothing left to do on a pipe.
        if stay == Some(false) || (stay.is_some() && self.writer.is_none()) {
            self.connection.close();
        }
    }

    /// The last call of the protocol.
    fn lose(&self, error: Option<io::Error>) {
        // Reported; there is nothing left to abort.
        let _ = self.call("connection_lost", |protocol| {
            protocol.connection_lost(error)
        });
        self.let_go();
    }

    /// Protocols usually hold their transport: this opens the circle.
    fn let_go(&self) {
        let (protocol, reader) = (self.protocol.take(), self.reader.take());
        drop((protocol, reader));
    }
}

/// Told by the connection.
impl Observer for Inner {
    fn writing_paused(&self) {
        let _ = self.call("pause_writing", |protocol| protocol.pause_writing());
    }

    fn writing_resumed(&self) {
        let _ = self.call("resume_writing", |protocol| protocol.resume_writing());
    }

    fn ended(&self) {
        self.alarm.ring();
    }
}

/// Whoever runs a transport. When it is dropped, be it because it was cancelled, the transport ends.
pub(crate) struct Driver(Rc<Inner>);

impl Driver {
    pub(crate) async fn run(self) {
        let transport = SocketTransport {
            inner: self.0.clone(),
        };
        self.0.made.set(true);
        // S200, S205
        let _ = self.0.call("connection_made", |protocol| {
            protocol.connection_made(&transport)
        });
        drop(transport);
        let error = poll_fn(|cx| self.0.poll_drive(cx)).await;
        self.0.lost.set(true);
        self.0.lose(error);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if self.0.lost.replace(true) {
            return;
        }
        self.0.connection.abort();
        let ending = Ending(self.0.clone());
        // Who never heard of a connection (the driver had no step) does not hear of its end.
        if self.0.made.get() && is_entered() {
            call_soon(move || ending.end());
        }
    }
}

/// The end of a transport whose driver was dropped: called by the queue, or dropped with it.
struct Ending(Rc<Inner>);

impl Ending {
    fn end(&self) {
        self.0.lose(None);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

/// The reader of a transport, which gets it back on drop.
#[cfg(feature = "tls")]
pub(crate) struct LentReader<'a> {
    inner: &'a Inner,
    reader: Option<StreamReader>,
}

#[cfg(feature = "tls")]
impl LentReader<'_> {
    pub(crate) fn get(&mut self) -> &mut StreamReader {
        self.reader.as_mut().expect("there until it is given back")
    }
}

#[cfg(feature = "tls")]
impl Drop for LentReader<'_> {
    fn drop(&mut self) {
        self.inner.reader.replace(self.reader.take());
        self.inner.alarm.ring();
    }
}
