//! A non-blocking descriptor and its place in a reactor.

use std::cell::OnceCell;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use rustix::fs::OFlags;

use crate::reactor::{Inner, Reactor, Token, find_flow};
use crate::readiness::{Flow, Interest, Readiness};
use crate::source_state::SourceState;
use crate::stats::Call;
use crate::sys::Backend;

/// A non-blocking socket, pipe or other descriptor that can be waited for, with the operations that
/// wait.
///
/// A source is not bound to a reactor until an operation first has to wait; then it belongs to the
/// one that is current, for life. It is `!Send`, as its reactor is. All operations take `&self`:
/// one task may receive while another sends. When two tasks wait for the same direction both are
/// woken, and who comes first gets what there is.
///
/// Every operation comes as an async function (`recv`), as a poll function (`poll_recv`) and, where
/// that makes sense, as one attempt that never waits (`try_recv`, with `WouldBlock` as error).
///
/// # Dropping
///
/// Dropping a source drops the object within, which for a socket means closing it. Whoever still
/// waits for it is not woken. If the object does not own its descriptor alone (an `Rc<TcpStream>`,
/// or a stream with a `try_clone` somewhere), call [`into_inner`](Source::into_inner) instead:
/// otherwise the reactor may go on seeing (and ignoring) its events.
///
/// ```compile_fail
/// fn must_be_send<T: Send>(_: T) {}
/// fn sources_stay_on_their_thread(socket: std::net::UdpSocket) {
///     must_be_send(asyncio_reactor::Source::new(socket).unwrap());
/// }
/// ```
pub struct Source<T> {
    // The order of these two fields is load-bearing: the registration is dropped while the
    // descriptor is still open.
    registration: OnceCell<Registration>,
    io: T,
    flow: Flow,
    exclusive: bool,
}

impl<T: AsFd> Source<T> {
    /// Wraps an object and switches its descriptor to non-blocking mode.
    ///
    /// # Errors
    /// When the mode cannot be changed. That a descriptor cannot be waited for (a regular file)
    /// shows only when an operation first has to wait, which such a descriptor never makes one
    /// do.
    ///
    /// ```
    /// # use asyncio_reactor::Source;
    /// let source = Source::new(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
    /// assert_ne!(source.get_ref().local_addr()?.port(), 0);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn new(io: T) -> io::Result<Source<T>> {
        let flags = rustix::fs::fcntl_getfl(&io)?;
        if !flags.contains(OFlags::NONBLOCK) {
            rustix::fs::fcntl_setfl(&io, flags | OFlags::NONBLOCK)?;
        }
        Ok(Source::assume_nonblocking(io))
    }

    /// Wraps an object whose descriptor is in non-blocking mode already, as those from
    /// [`accept`](Source::accept) are, and saves the system calls of [`new`](Source::new).
    ///
    /// If it is not, operations block the thread; nothing worse happens.
    pub fn assume_nonblocking(io: T) -> Source<T> {
        Source {
            registration: OnceCell::new(),
            io,
            flow: Flow::Unknown,
            exclusive: false,
        }
    }

    /// The same for what is known to carry bytes (a stream socket, a pipe): saves asking the kernel once.
    ///
    /// For anything else, operations may wait though there is a message to be had.
    ///
    /// ```
    /// # use asyncio_reactor::{Reactor, Source};
    /// # let reactor = Reactor::new()?;
    /// # reactor.block_on(async {
    /// let listener = Source::new(std::net::TcpListener::bind("127.0.0.1:0")?)?;
    /// let _client = std::net::TcpStream::connect(listener.get_ref().local_addr()?)?;
    /// let (accepted, _peer) = listener.accept().await?;
    /// let connection = Source::assume_stream(accepted);
    /// # connection.send(b"x").await?;
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn assume_stream(io: T) -> Source<T> {
        Source {
            flow: Flow::Bytes,
            ..Source::assume_nonblocking(io)
        }
    }

    /// For a listening socket that several loops accept from, each with a descriptor of its own for it: a client that comes
    /// wakes one of those that sleep, and not all (`EPOLLEXCLUSIVE`). Only reading can be waited for then.
    ///
    /// To be called before the source first has to wait. Without effect on systems other than Linux. Give such a source up by
    /// [`into_inner`](Source::into_inner): where it is only dropped, it goes on taking wakes from the others.
    ///
    /// ```
    /// # use asyncio_reactor::Source;
    /// # use std::net::TcpListener;
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let for_another_loop = listener.try_clone()?;
    /// let source = Source::new(listener)?.exclusive();
    /// # std::io::Result::Ok(())
    /// ```
    pub fn exclusive(mut self) -> Source<T> {
        self.exclusive = true;
        self
    }

    /// The object within. To read or write through it, use [`try_io`](Source::try_io): an event
    /// that is consumed behind the source's back is an event the source waits for in vain.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Takes the source out of its reactor and gives back the object, still in non-blocking mode.
    ///
    /// # Errors
    /// When the kernel refuses to forget the descriptor, which it has no reason to. The object is
    /// dropped then.
    ///
    /// ```
    /// # use asyncio_reactor::Source;
    /// let source = Source::new(std::net::UdpSocket::bind("127.0.0.1:0")?)?;
    /// let socket: std::net::UdpSocket = source.into_inner()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn into_inner(self) -> io::Result<T> {
        let Source {
            mut registration,
            io,
            flow: _,
            exclusive: _,
        } = self;
        if let Some(registration) = registration.take() {
            registration.cancel(io.as_fd())?;
        }
        Ok(io)
    }

    /// Waits until the kernel says that there is something to read, and consumes nothing.
    ///
    /// This is for objects with operations of their own; see [`io`](Source::io), which is safer.
    /// The readiness stays until an operation would block, or
    /// [`clear_readiness`](Source::clear_readiness).
    ///
    /// # Errors
    /// `NotConnected` when no loop runs on this thread or the source's loop is closed,
    /// `Unsupported` for regular files.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx, Interest::Readable)
    }

    /// Ready if an operation is worth trying: nothing was tried yet, or the kernel has spoken since one found nothing.
    /// Otherwise the task waits, as if it had tried. For callers that would prepare memory for nothing.
    ///
    /// # Errors
    /// As [`poll_readable`](Source::poll_readable).
    pub fn poll_worth_trying(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<io::Result<()>> {
        match self.state() {
            Some(state) if !state.worth_trying(interest) => self.poll_park(cx, interest),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Waits until the kernel says that there is room to write, or that a connection attempt has
    /// ended.
    ///
    /// # Errors
    /// As [`poll_readable`](Source::poll_readable).
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_ready(cx, Interest::Writable)
    }

    /// Waits until the kernel says that there is something to read; see
    /// [`poll_readable`](Source::poll_readable).
    ///
    /// # Cancel safety
    /// Nothing is lost: readiness stays.
    ///
    /// ```
    /// # use asyncio_reactor::{Interest, Reactor, Source};
    /// # use std::{io::{Read, Write}, os::unix::net::UnixStream};
    /// # let reactor = Reactor::new()?;
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let ours = Source::new(ours)?;
    /// theirs.write_all(b"x")?;
    /// reactor.block_on(ours.readable())?;
    /// assert_eq!(ours.try_io(Interest::Readable, |mut stream| stream.read(&mut [0; 8]))?, 1);
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_readable(cx)).await
    }

    /// Waits until the kernel says that there is room to write; see
    /// [`poll_writable`](Source::poll_writable).
    ///
    /// # Cancel safety
    /// Nothing is lost: readiness stays.
    pub async fn writable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_writable(cx)).await
    }

    /// Forgets that the descriptor was ready: the next wait in this direction sleeps until there is
    /// a new event.
    ///
    /// Only for whoever has seen an operation say `WouldBlock`; anybody else may wait for ever.
    pub fn clear_readiness(&self, interest: Interest) {
        if let Some(state) = self.state() {
            state.clear(interest);
        }
    }

    /// Wakes whoever waits in either direction, so that they look again: for an owner that is about to close the source
    /// under them, which by itself tells nobody.
    ///
    /// ```
    /// # use asyncio_reactor::{Reactor, Source};
    /// # use std::{os::unix::net::UnixStream, pin::pin};
    /// # use std::task::{Context, Waker};
    /// # let reactor = Reactor::new()?;
    /// # let _entered = reactor.enter();
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let ours = Source::new(ours)?;
    /// let mut buffer = [0; 8];
    /// let mut receiving = pin!(ours.recv(&mut buffer));
    /// assert!(receiving.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    /// ours.wake_all(); // whoever polls `receiving` looks again
    /// # std::io::Result::Ok(())
    /// ```
    pub fn wake_all(&self) {
        if let Some(state) = self.state() {
            state.wake_all();
        }
    }

    /// Makes one attempt at an operation of the caller's own, and takes note if it would block.
    ///
    /// The closure should make one system call; it may be called again if that was interrupted.
    ///
    /// # Errors
    /// Those of the closure; `WouldBlock` among them.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut operation = operation;
        self.attempt(interest, None, |_| operation(&self.io), |_| false)
    }

    /// Attempts an operation of the caller's own, and where it says `WouldBlock` waits for the next
    /// event.
    ///
    /// # Errors
    /// Those of the closure but `WouldBlock`, and those of
    /// [`poll_readable`](Source::poll_readable).
    pub fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let mut operation = operation;
        self.poll_op(cx, interest, None, |_| operation(&self.io), |_| false)
    }

    /// Attempts an operation of the caller's own until it does not say `WouldBlock`.
    ///
    /// # Cancel safety
    /// Nothing is lost if the closure is one system call: either it has happened, and this has
    /// returned, or not.
    ///
    /// # Errors
    /// As [`poll_io`](Source::poll_io).
    ///
    /// ```
    /// # use asyncio_reactor::{Interest, Reactor, Source};
    /// # use std::os::unix::net::UnixDatagram;
    /// # let reactor = Reactor::new()?;
    /// let (ours, theirs) = UnixDatagram::pair()?;
    /// let ours = Source::new(ours)?;
    /// theirs.send(b"hello")?;
    /// let mut buffer = [0; 16];
    /// let (n, _sender) = reactor.block_on(ours.io(Interest::Readable, |socket| socket.recv_from(&mut buffer)))?;
    /// assert_eq!(&buffer[..n], b"hello");
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn io<R>(
        &self,
        interest: Interest,
        operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let mut operation = operation;
        poll_fn(|cx| self.poll_io(cx, interest, &mut operation)).await
    }

    /// Tries first, unless the kernel's last word was that it would block; parks where it would.
    pub(crate) fn poll_op<R>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        call: Option<Call>,
        operation: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
        drained: impl Fn(&R) -> bool,
    ) -> Poll<io::Result<R>> {
        if let Some(state) = self.state()
            && !state.worth_trying(interest)
        {
            return self.poll_park(cx, interest);
        }
        match self.attempt(interest, call, operation, drained) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.poll_park(cx, interest),
            result => Poll::Ready(result),
        }
    }

    /// One attempt, repeated only if a signal interrupted it. `drained` says whether the result
    /// shows that there is no more.
    pub(crate) fn attempt<R>(
        &self,
        interest: Interest,
        call: Option<Call>,
        mut operation: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
        drained: impl Fn(&R) -> bool,
    ) -> io::Result<R> {
        let state = self.state();
        let fd = self.io.as_fd();
        loop {
            if let Some(call) = call {
                match state {
                    Some(state) => state.counters.count(call),
                    None => Reactor::count_on_current(call),
                }
            }
            let result = operation(fd);
            match (&result, state) {
                (Err(error), _) if error.kind() == io::ErrorKind::Interrupted => continue,
                (Err(error), Some(state)) if error.kind() == io::ErrorKind::WouldBlock => {
                    state.clear(interest);
                }
                (Ok(value), Some(state)) if drained(value) => {
                    // Asked once in a descriptor's life.
                    if state.flow.get() == Flow::Unknown {
                        state.flow.set(find_flow(fd, &state.counters));
                    }
                    if state.flow.get() == Flow::Bytes {
                        state.clear_after_short(interest);
                    }
                }
                _ => {}
            }
            return result;
        }
    }

    /// Ready when the kernel said so; an assumption is not enough.
    fn poll_ready(&self, cx: &mut Context<'_>, interest: Interest) -> Poll<io::Result<()>> {
        if let Some(state) = self.state()
            && state.is_ready(interest)
        {
            return Poll::Ready(Ok(()));
        }
        self.poll_park(cx, interest)
    }

    /// Waits for the next event; never ready but with an error.
    pub(crate) fn poll_park<R>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<io::Result<R>> {
        let registration = self.register(interest)?;
        if registration.state.is_closed() {
            return Poll::Ready(Err(loop_is_closed()));
        }
        registration.state.park(interest, cx.waker());
        if Backend::NEEDS_ARMING {
            registration.reactor()?.arm(
                &registration.state,
                self.io.as_fd(),
                registration.token,
            )?;
        }
        Poll::Pending
    }

    /// Waits for room to write after a connection attempt has begun, with nothing assumed.
    pub(crate) fn begin_connecting(&self) -> io::Result<()> {
        let registration = self.register(Interest::Writable)?;
        if registration.state.is_closed() {
            return Err(loop_is_closed());
        }
        registration.state.reset();
        Ok(())
    }

    /// The registration; made now if there is none, with `tried` known not to be ready. What
    /// happened since it was tried is reported by the kernel as the first event.
    fn register(&self, tried: Interest) -> io::Result<&Registration> {
        if let Some(registration) = self.registration.get() {
            return Ok(registration);
        }
        let reactor = Reactor::current()?;
        let fd = self.io.as_fd();
        let (state, token) = reactor.inner.register_source(
            fd,
            Readiness::assumed_after(tried),
            self.flow,
            self.exclusive,
        )?;
        Ok(self.registration.get_or_init(|| Registration {
            state,
            reactor: Rc::downgrade(&reactor.inner),
            token,
            fd: fd.as_raw_fd(),
            // What needs no drop does not close anything: the descriptor lives on elsewhere.
            delete: !std::mem::needs_drop::<T>(),
        }))
    }

    /// What is known of it, if it has had to wait.
    pub(crate) fn state(&self) -> Option<&SourceState> {
        Some(&*self.registration.get()?.state)
    }
}

impl<T: AsFd> AsFd for Source<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl<T: AsFd> AsRawFd for Source<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_fd().as_raw_fd()
    }
}

impl<T: fmt::Debug> fmt::Debug for Source<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("io", &self.io)
            .field("registered", &self.registration.get().is_some())
            .finish()
    }
}

fn loop_is_closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "the event loop this descriptor was waiting on is closed; a descriptor stays with the loop on which it first had to wait",
    )
}

/// A place in a reactor's table, freed on drop.
struct Registration {
    /// The table has the same.
    state: Rc<SourceState>,
    reactor: Weak<Inner>,
    token: Token,
    fd: RawFd,
    /// Whether the kernel must be told when this is dropped, because the descriptor may not be
    /// closed then.
    delete: bool,
}

impl Registration {
    fn reactor(&self) -> io::Result<Rc<Inner>> {
        self.reactor.upgrade().ok_or_else(loop_is_closed)
    }

    /// Frees the place and has the kernel forget the descriptor, which lives on.
    fn cancel(mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        match std::mem::take(&mut self.reactor).upgrade() {
            Some(reactor) => reactor.remove(self.token, fd, true),
            None => Ok(()), // the event queue is closed, and knows nobody any more
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let Some(reactor) = self.reactor.upgrade() else {
            return;
        };
        // SAFETY: `Source` declares its registration before the object that owns the descriptor and
        // never lends that object mutably, so the descriptor is still the one that was
        // registered, and open.
        let fd = unsafe { BorrowedFd::borrow_raw(self.fd) };
        let delete = self.delete || !Backend::CLOSE_DEREGISTERS;
        // An error can only mean that the kernel does not know the descriptor, which is what is
        // wanted.
        let _ = reactor.remove(self.token, fd, delete);
    }
}
