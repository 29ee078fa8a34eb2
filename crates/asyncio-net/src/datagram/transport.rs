//! A datagram socket that calls a protocol: asyncio's datagram endpoints.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_executor::{ExceptionContext, call_soon, is_entered, report, spawn, yield_now};
use asyncio_reactor::{Address, Source};

use crate::connection::CALLS_IN_A_ROW;
use crate::datagram::{DatagramOptions, Patience};
use crate::scratch::Scratch;
use crate::transport::{Alarm, BaseProtocol, BaseTransport, ExtraInfo, WriteLimits, contained};

/// What a kept datagram counts beside its bytes: otherwise empty ones could be kept without end.
const HEADER: usize = 8;

/// From which dropped datagram on there is a warning (S204).
const DROPPED_BEFORE_WARNING: u32 = 5;

/// A protocol for datagrams; asyncio: `DatagramProtocol`.
///
/// Its `connection_made`, `pause_writing` and so on are those of [`BaseProtocol`].
pub trait DatagramProtocol: BaseProtocol<DatagramTransport> {
    /// A datagram came; `from` is `None` where the sender has no address or the system does not say. One that is longer
    /// than 256 KiB is cut off. A panic is reported, and the endpoint stays.
    fn datagram_received(&self, data: &[u8], from: Option<&Address>);

    /// Receiving or sending failed, often because an earlier datagram was refused. The endpoint stays. A panic is
    /// reported.
    fn error_received(&self, error: io::Error) {
        let _ = error;
    }
}

/// Makes a datagram socket that calls the protocol which `factory` makes; asyncio: `loop.create_datagram_endpoint`.
///
/// `connection_made` has been called when this returns. The endpoint stays open, also without a handle, until it is closed
/// or the run ends.
///
/// # Cancel safety
/// Dropping the future closes what was opened.
///
/// # Errors
/// Those of [`DatagramOptions::open`].
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// use asyncio_net::{
///     Address, BaseProtocol, BaseTransport, DatagramOptions, DatagramProtocol, DatagramTransport, create_datagram_endpoint,
/// };
/// use std::cell::{Cell, OnceCell};
///
/// #[derive(Default)]
/// struct Echo(OnceCell<DatagramTransport>);
///
/// impl BaseProtocol<DatagramTransport> for Echo {
///     fn connection_made(&self, transport: &DatagramTransport) {
///         let _ = self.0.set(transport.clone());
///     }
/// }
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(&self, data: &[u8], from: Option<&Address>) {
///         self.0.get().unwrap().sendto(data, from);
///     }
/// }
///
/// # asyncio_runtime::run(async {
/// let (transport, _protocol) =
///     create_datagram_endpoint(Echo::default, DatagramOptions::new().local_addr("127.0.0.1", 0)).await?;
/// let port = transport.extra().sockname.unwrap().ip().unwrap().port();
/// let client = asyncio_net::DatagramSocket::connect("127.0.0.1", port).await?;
/// client.send(b"hello").await?;
/// assert_eq!(client.recv(&mut [0; 16]).await?, 5);
/// transport.close();
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn create_datagram_endpoint<P: DatagramProtocol + 'static>(
    factory: impl FnOnce() -> P,
    options: DatagramOptions,
) -> io::Result<(DatagramTransport, Rc<P>)> {
    let socket = options.open().await?;
    let peer = socket.peer_addr().ok();
    let protocol = Rc::new(factory());
    let transport = DatagramTransport::new(socket.into_source(), peer, protocol.clone());
    let closing = CloseOnDrop(Some(&transport));
    // S200: by the queue, and before this returns.
    yield_now().await;
    closing.disarm();
    Ok((transport, protocol))
}

/// The socket of a datagram endpoint; asyncio: `DatagramTransport`. A handle: clones stand for the same endpoint.
#[derive(Clone)]
pub struct DatagramTransport {
    inner: Rc<Inner>,
}

impl DatagramTransport {
    /// Sends a datagram, to `to` or, with `None`, to the peer of a connected endpoint: at once, or when there is room
    /// again. Until then it is kept, and the protocol is asked to pause when too much is (S203). For a Unix socket that others
    /// have filled it tries again every 1 to 50 milliseconds, as [`DatagramSocket::send_to`](crate::DatagramSocket::send_to).
    ///
    /// An error of the socket goes to [`error_received`](DatagramProtocol::error_received). A datagram may be empty.
    /// After the endpoint was closed, datagrams are dropped (S204).
    ///
    /// # Panics
    /// When the endpoint is connected and `to` is another address than its peer's.
    pub fn sendto(&self, data: impl AsRef<[u8]>, to: Option<&Address>) {
        self.inner.sendto(data.as_ref(), to);
    }

    /// Closes at once, and drops what is kept; `connection_lost(None)` follows.
    pub fn abort(&self) {
        self.inner.kept.borrow_mut().clear();
        self.inner.kept_bytes.set(0);
        self.inner.close();
    }

    /// Sets the marks of flow control (S203).
    pub fn set_write_buffer_limits(&self, limits: WriteLimits) {
        self.inner.limits.set(limits);
        self.inner.look_at_the_marks();
    }

    /// The marks of flow control.
    pub fn get_write_buffer_limits(&self) -> WriteLimits {
        self.inner.limits.get()
    }

    /// How much is kept: the bytes of the datagrams that could not be sent yet, and 8 for each.
    pub fn get_write_buffer_size(&self) -> usize {
        self.inner.kept_bytes.get()
    }

    /// Calls another protocol from now on; asyncio: `set_protocol`. After `connection_lost` it does nothing.
    pub fn set_protocol(&self, protocol: Rc<dyn DatagramProtocol>) {
        if self.inner.protocol.borrow().is_none() {
            return;
        }
        let former = self.inner.protocol.borrow_mut().replace(protocol);
        drop(former);
    }

    /// The protocol that is called; `None` after `connection_lost`. asyncio: `get_protocol`.
    pub fn get_protocol(&self) -> Option<Rc<dyn DatagramProtocol>> {
        self.inner.protocol.borrow().clone()
    }

    fn new(
        source: Source<OwnedFd>,
        peer: Option<Address>,
        protocol: Rc<dyn DatagramProtocol>,
    ) -> DatagramTransport {
        let sockname = Address::of_socket(&source).ok();
        let inner = Rc::new(Inner {
            source: RefCell::new(Some(Rc::new(source))),
            extra: ExtraInfo::new(peer, sockname),
            protocol: RefCell::new(Some(protocol)),
            kept: RefCell::default(),
            kept_bytes: Cell::new(0),
            patience: RefCell::default(),
            limits: Cell::default(),
            paused: Cell::new(false),
            closing: Cell::new(false),
            made: Cell::new(false),
            written_after: Cell::new(0),
            alarm: Alarm::default(),
        });
        let transport = DatagramTransport { inner };
        let driver = Driver(transport.inner.clone());
        let made = transport.clone();
        let driving = async move {
            driver.0.made.set(true);
            driver.0.call("connection_made", |protocol| {
                protocol.connection_made(&made)
            });
            drop(made);
            poll_fn(|cx| driver.0.poll_drive(cx)).await;
        };
        spawn(driving).name("datagram endpoint").detach();
        transport
    }
}

impl BaseTransport for DatagramTransport {
    /// Receives no more, sends what is kept, and then calls `connection_lost(None)` (S201).
    fn close(&self) {
        self.inner.close();
    }

    fn is_closing(&self) -> bool {
        self.inner.closing.get()
    }

    fn extra(&self) -> ExtraInfo {
        self.inner.extra.clone()
    }
}

impl fmt::Debug for DatagramTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramTransport")
            .field("extra", &self.inner.extra)
            .field("kept", &self.get_write_buffer_size())
            .field("closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}

struct Inner {
    /// Shared, so that it can be used with no borrow held.
    source: RefCell<Option<Rc<Source<OwnedFd>>>>,
    extra: ExtraInfo,
    /// There until `connection_lost` was called.
    protocol: RefCell<Option<Rc<dyn DatagramProtocol>>>,
    /// What could not be sent at once.
    kept: RefCell<VecDeque<(Vec<u8>, Option<Address>)>>,
    kept_bytes: Cell<usize>,
    /// For the first of what is kept.
    patience: RefCell<Patience>,
    limits: Cell<WriteLimits>,
    paused: Cell<bool>,
    closing: Cell<bool>,
    /// `connection_made` has been called.
    made: Cell<bool>,
    written_after: Cell<u32>,
    alarm: Alarm,
}

impl Inner {
    fn sendto(&self, data: &[u8], to: Option<&Address>) {
        if let (Some(peer), Some(to)) = (&self.extra.peername, to) {
            assert!(
                to == peer,
                "`sendto` to {to} on an endpoint that is connected to {peer}: give `None`, or do not connect it"
            );
        }
        if self.closing.get() {
            self.note_write_after();
            return;
        }
        let Some(source) = self.source.borrow().clone() else {
            return;
        };
        let to = if self.extra.peername.is_some() {
            None
        } else {
            to
        };
        if self.kept.borrow().is_empty() {
            match source.try_send_datagram(data, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(()) => return,
                Err(error) => return self.error(error),
            }
        }
        self.kept
            .borrow_mut()
            .push_back((data.to_vec(), to.cloned()));
        self.kept_bytes
            .set(self.kept_bytes.get() + data.len() + HEADER);
        self.alarm.ring();
        self.look_at_the_marks();
    }

    fn note_write_after(&self) {
        self.written_after
            .set(self.written_after.get().saturating_add(1));
        let dropped = self.written_after.get();
        if dropped >= DROPPED_BEFORE_WARNING {
            report(ExceptionContext::new(format!(
                "the datagram endpoint is closed, and datagram no. {dropped} since then was dropped: look at `is_closing`"
            )));
        }
    }

    /// Pauses or resumes the protocol (S203).
    fn look_at_the_marks(&self) {
        let (kept, limits) = (self.kept_bytes.get(), self.limits.get());
        if kept > limits.get_high() && !self.paused.replace(true) {
            self.call("pause_writing", |protocol| protocol.pause_writing());
        } else if kept <= limits.get_low() && self.paused.replace(false) {
            self.call("resume_writing", |protocol| protocol.resume_writing());
        }
    }

    fn close(&self) {
        self.closing.set(true);
        self.alarm.ring();
    }

    fn error(&self, error: io::Error) {
        self.call("error_received", |protocol| protocol.error_received(error));
    }

    /// Calls the protocol with no borrow held.
    fn call(&self, method: &str, call: impl FnOnce(&dyn DatagramProtocol)) {
        let protocol = self.protocol.borrow().clone();
        if let Some(protocol) = protocol {
            // Reported; there is nothing else that could be done about it.
            let _ = contained(method, || call(&*protocol));
        }
    }

    /// Receives and sends until the endpoint is closed and everything sent.
    fn poll_drive(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.alarm.set(cx);
        let Some(source) = self.source.borrow().clone() else {
            return Poll::Ready(());
        };
        self.send_kept(cx, &source);
        let mut in_a_row = 0;
        while !self.closing.get() {
            if in_a_row == CALLS_IN_A_ROW {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            in_a_row += 1;
            let mut room = Scratch::take();
            match source.poll_recv_datagram(cx, &mut room) {
                Poll::Pending => break,
                Poll::Ready(Ok(datagram)) => {
                    let (data, from) = (&room[..datagram.len], datagram.from.as_ref());
                    self.call("datagram_received", |protocol| {
                        protocol.datagram_received(data, from)
                    });
                }
                Poll::Ready(Err(error)) => self.error(error),
            }
        }
        let left = !self.kept.borrow().is_empty();
        if self.closing.get() && !left {
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Sends what was kept, as far as there is room, but not for ever.
    fn send_kept(&self, cx: &mut Context<'_>, source: &Source<OwnedFd>) {
        for _ in 0..CALLS_IN_A_ROW {
            // Taken out: the protocol may send, close or abort while it is told of an error.
            let Some((data, to)) = self.kept.borrow_mut().pop_front() else {
                return;
            };
            let polled = if Patience::is_needed_for(to.as_ref()) {
                let attempt = || source.try_send_datagram(&data, to.as_ref());
                self.patience.borrow_mut().poll(cx, attempt)
            } else {
                source.poll_send_datagram(cx, &data, to.as_ref())
            };
            match polled {
                Poll::Pending => return self.kept.borrow_mut().push_front((data, to)),
                Poll::Ready(result) => {
                    self.kept_bytes
                        .set(self.kept_bytes.get() - data.len() - HEADER);
                    if let Err(error) = result {
                        self.error(error);
                    }
                    self.look_at_the_marks();
                }
            }
        }
        cx.waker().wake_by_ref();
    }

    /// The last call of the protocol, and the end of the socket.
    fn lose(&self) {
        self.call("connection_lost", |protocol| protocol.connection_lost(None));
        self.let_go();
    }

    /// Protocols usually hold their transport: this opens the circle.
    fn let_go(&self) {
        let (protocol, source) = (self.protocol.take(), self.source.take());
        drop((protocol, source));
    }
}

/// Whoever runs the endpoint. When it is dropped, be it because it was cancelled, the endpoint ends.
struct Driver(Rc<Inner>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.closing.set(true);
        self.0.kept.borrow_mut().clear();
        self.0.kept_bytes.set(0);
        self.0.patience.borrow_mut().reset();
        let ending = Ending(self.0.clone());
        // Who never heard of an endpoint (the driver had no step) does not hear of its end.
        if self.0.made.get() && is_entered() {
            call_soon(move || ending.end());
        }
    }
}

/// The end of an endpoint: called by the queue, or dropped with it.
struct Ending(Rc<Inner>);

impl Ending {
    fn end(&self) {
        self.0.lose();
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

/// Closes an endpoint whose maker has gone before it was handed over.
struct CloseOnDrop<'a>(Option<&'a DatagramTransport>);

impl CloseOnDrop<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(transport) = self.0 {
            transport.close();
        }
    }
}
