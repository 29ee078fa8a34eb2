//! The reactor: a table of descriptors, a backend that waits for them, and who is to be told.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::ThreadId;
use std::time::Duration;

use slab::Slab;

use crate::notifier::Notifier;
use crate::readiness::{Flow, Readiness};
use crate::source_state::SourceState;
use crate::stats::{Call, Counters, Stats};
use crate::sys::Backend;
use crate::watch::Watchers;

/// A handle to the place where one loop waits for descriptors; cheap to clone, bound to its thread.
///
/// The loop calls [`wait`](Reactor::wait) when it has nothing better to do, and now and then when
/// it has. Everything else happens through [`Source`](crate::Source)s, which find the reactor by
/// [`current`](Reactor::current) when they first have to wait. [`close`](Reactor::close), or dropping the
/// last handle, ends it.
///
/// ```
/// use asyncio_reactor::{Reactor, Source};
/// use std::os::unix::net::UnixStream;
///
/// let reactor = Reactor::new()?;
/// let (left, right) = UnixStream::pair()?;
/// let (left, right) = (Source::new(left)?, Source::new(right)?);
/// reactor.block_on(async {
///     left.send(b"hello").await?;
///     let mut buffer = [0; 16];
///     let n = right.recv(&mut buffer).await?;
///     assert_eq!(&buffer[..n], b"hello");
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Reactor {
    pub(crate) inner: Rc<Inner>,
}

thread_local! {
    static CURRENT: RefCell<Option<Reactor>> = const { RefCell::new(None) };
}

impl Reactor {
    /// Makes a reactor with an event queue of its own.
    ///
    /// # Errors
    /// When the process or the system is out of descriptors or memory.
    pub fn new() -> io::Result<Reactor> {
        let backend = Backend::new()?;
        let notifier = Notifier::new(backend.bell());
        Ok(Reactor {
            inner: Rc::new(Inner {
                backend,
                slots: RefCell::default(),
                generation: Cell::new(0),
                notifier,
                counters: Rc::default(),
                watched: RefCell::default(),
                deliveries: Cell::default(),
                closed: Cell::new(false),
            }),
        })
    }

    /// Makes this the thread's current reactor until the guard is dropped, which brings the
    /// previous one back.
    ///
    /// Guards are to be dropped in the reverse order of their making, as local variables are.
    ///
    /// ```
    /// # use asyncio_reactor::Reactor;
    /// let reactor = Reactor::new()?;
    /// assert!(Reactor::try_current().is_none());
    /// let entered = reactor.enter();
    /// assert!(Reactor::try_current().is_some());
    /// drop(entered);
    /// assert!(Reactor::try_current().is_none());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn enter(&self) -> Entered {
        let previous = CURRENT.with(|current| current.replace(Some(self.clone())));
        Entered { previous }
    }

    /// The reactor of the loop that runs on this thread.
    ///
    /// # Errors
    /// `NotConnected` when no loop runs here, with a message that says what to do about it.
    ///
    /// ```
    /// let error = asyncio_reactor::Reactor::current().unwrap_err();
    /// assert!(error.to_string().contains("no running event loop"));
    /// ```
    pub fn current() -> io::Result<Reactor> {
        Reactor::try_current().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotConnected,
                "no running event loop: waiting for a descriptor needs one; call this inside `asyncio::run(async { … })`",
            )
        })
    }

    /// The reactor of the loop that runs on this thread, if there is one.
    pub fn try_current() -> Option<Reactor> {
        // `try_with`: a source may be dropped by the destructor of another thread-local.
        CURRENT
            .try_with(|current| current.borrow().clone())
            .ok()
            .flatten()
    }

    /// Counts a call of a source that is not bound yet.
    pub(crate) fn count_on_current(call: Call) {
        let _ = CURRENT.try_with(|current| {
            if let Some(reactor) = &*current.borrow() {
                reactor.inner.counters.count(call);
            }
        });
    }

    /// Waits for events and delivers them: at most one wait in the kernel, then wakers and watches
    /// in the order of the events.
    ///
    /// `None` sleeps until there is an event or a notification; `Some(Duration::ZERO)` never sleeps
    /// and takes at most 128 events, so that a burst cannot flood a busy loop; anything else
    /// sleeps at most that long. The call *may return early*, with 0 events: because of a
    /// signal, a notification, or because a long timeout is waited for in two steps (a coarse
    /// one, then a precise one of less than 2 ms). The caller looks at its clock, and comes back.
    ///
    /// When it returns, whatever other threads published before [`Notifier::notify`] is visible,
    /// and their notifications are used up: look at the inbox after each wait.
    ///
    /// Returns the number of readiness events delivered.
    ///
    /// # Errors
    /// `NotConnected` once the reactor is closed. What the kernel reports, which means the event queue itself is broken;
    /// an interrupted call is not an error.
    ///
    /// # Panics
    /// When a waker or a watch does; the others of the same wait are delivered nevertheless.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<usize> {
        self.inner.wait(timeout)
    }

    /// Ends all waiting: watches and parked wakers are dropped, and later waits, of the reactor itself and on its sources,
    /// fail with an error that says so. Dropping the last handle does the same.
    ///
    /// What never waits still works on its sources. Does nothing the second time; the reactor's own few descriptors
    /// stay until the last handle is dropped. What a dropped callback owns may use the reactor, which takes
    /// nothing in any more.
    ///
    /// ```
    /// # use asyncio_reactor::{Interest, Reactor};
    /// # use std::{os::fd::AsFd, os::unix::net::UnixStream, rc::Rc};
    /// let reactor = Reactor::new()?;
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// let owned = Rc::new(());
    /// let callback = { let owned = owned.clone(); Rc::new(move || drop(owned.clone())) };
    /// let watch = reactor.watch(ours.as_fd(), Interest::Readable, callback)?;
    /// reactor.close();
    /// assert_eq!(Rc::strong_count(&owned), 1);
    /// assert!(!watch.remove(), "it is not in force any more");
    /// assert!(reactor.watch(ours.as_fd(), Interest::Readable, Rc::new(|| ())).is_err());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn close(&self) {
        self.inner.close();
    }

    /// A handle with which any thread can end this reactor's [`wait`](Reactor::wait).
    pub fn notifier(&self) -> Notifier {
        self.inner.notifier.clone()
    }

    /// What this reactor has done so far.
    pub fn stats(&self) -> Stats {
        self.inner.counters.snapshot(self.inner.notifier.rings())
    }

    /// Runs one future to its end, sleeping in this reactor while it waits. A loop for tests and
    /// small programs: no tasks, no timers.
    ///
    /// # Panics
    /// When [`wait`](Reactor::wait) fails.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _entered = self.enter();
        let signal = Arc::new(Signal {
            woken: AtomicBool::new(false),
            home: std::thread::current().id(),
            notifier: self.notifier(),
        });
        let waker = Waker::from(signal.clone());
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            // Acquire: partner of the Release in `Signal::wake_by_ref`.
            while !signal.woken.swap(false, Ordering::Acquire) {
                self.wait(None)
                    .expect("the event queue of this thread is broken");
            }
        }
    }
}

impl std::fmt::Debug for Reactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let descriptors = self.inner.slots.try_borrow().map(|slots| slots.len()).ok();
        f.debug_struct("Reactor")
            .field("descriptors", &descriptors)
            .field("stats", &self.stats())
            .finish()
    }
}

/// Keeps a reactor current; see [`Reactor::enter`].
#[derive(Debug)]
#[must_use = "the reactor is current only as long as this guard lives: bind it with `let _entered = …`"]
pub struct Entered {
    previous: Option<Reactor>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let previous = self.previous.take();
        // The one that was current may be the last handle: dropped here, outside of the borrow.
        drop(CURRENT.try_with(|current| current.replace(previous)));
    }
}

/// The waker of `block_on`: on its own thread it sets a flag, from another one it also wakes the
/// loop.
struct Signal {
    woken: AtomicBool,
    home: ThreadId,
    notifier: Notifier,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: partner of the Acquire in `block_on`.
        self.woken.store(true, Ordering::Release);
        if std::thread::current().id() != self.home {
            self.notifier.notify();
        }
    }
}

/// The key under which the kernel reports a descriptor: its place in the table, and which of the
/// place's tenants it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token(u64);

impl Token {
    fn new(index: usize, generation: u32) -> Token {
        Token(index as u64 | u64::from(generation) << 32)
    }

    pub(crate) fn index(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl Token {
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Token {
        Token(bits)
    }
}

/// Two directions at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Directions {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Directions {
    pub(crate) const NONE: Directions = Directions {
        readable: false,
        writable: false,
    };
}

/// What the handles share.
pub(crate) struct Inner {
    pub(crate) backend: Backend,
    pub(crate) slots: RefCell<Slab<Slot>>,
    generation: Cell<u32>,
    notifier: Notifier,
    pub(crate) counters: Rc<Counters>,
    /// The watched descriptors: both directions of one share a slot.
    pub(crate) watched: RefCell<HashMap<RawFd, Token>>,
    /// The empty list of the last wait, kept for its memory.
    deliveries: Cell<VecDeque<Delivery>>,
    /// Nothing is waited for any more, and the table is empty.
    closed: Cell<bool>,
}

/// One registered descriptor.
pub(crate) struct Slot {
    generation: u32,
    /// The number of the descriptor. It is open as long as the slot exists if the slot belongs to
    /// a source.
    pub(crate) fd: RawFd,
    pub(crate) tenant: Tenant,
}

pub(crate) enum Tenant {
    Source(Rc<SourceState>),
    /// Boxed: rare, and large beside a source.
    Watch(Box<Watchers>),
}

/// What an event leads to, once no borrow is held.
enum Delivery {
    Wake(Waker),
    Call(Rc<dyn Fn()>),
}

/// Deliveries in order. What a panicking one leaves behind is delivered while unwinding; the memory
/// goes back where it came from.
struct Deliveries<'a> {
    queue: VecDeque<Delivery>,
    home: &'a Cell<VecDeque<Delivery>>,
}

impl Deliveries<'_> {
    fn run(&mut self) {
        while let Some(delivery) = self.queue.pop_front() {
            match delivery {
                Delivery::Wake(waker) => waker.wake(),
                Delivery::Call(callback) => callback(),
            }
        }
    }
}

impl Drop for Deliveries<'_> {
    fn drop(&mut self) {
        self.run();
        self.home.set(std::mem::take(&mut self.queue));
    }
}

impl Inner {
    fn wait(&self, timeout: Option<Duration>) -> io::Result<usize> {
        if self.closed.get() {
            return Err(closed());
        }
        let doorbell = self.notifier.doorbell();
        let may_sleep = timeout != Some(Duration::ZERO) && doorbell.fall_asleep();
        let result = self.backend.wait(
            if may_sleep {
                timeout
            } else {
                Some(Duration::ZERO)
            },
            &self.counters,
        );
        doorbell.wake_up();
        match result {
            Ok(()) => Ok(self.deliver()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Writes down what the events of the last wait say, then tells everybody concerned, with no
    /// borrow held: a waker may do anything, down to dropping sources or calling `wait`.
    fn deliver(&self) -> usize {
        let mut deliveries = Deliveries {
            queue: self.deliveries.take(),
            home: &self.deliveries,
        };
        let queue = &mut deliveries.queue;
        let mut events = 0;
        let mut slots = self.slots.borrow_mut();
        self.backend.take_events(|token, news| {
            // Where the generation differs the descriptor was closed, but somebody holds a
            // duplicate that keeps its registration alive.
            let Some(slot) = tenant_of(&mut slots, token) else {
                return;
            };
            events += 1;
            match &mut slot.tenant {
                Tenant::Source(source) => {
                    source.ready(news, |waker| queue.push_back(Delivery::Wake(waker)))
                }
                Tenant::Watch(watchers) => {
                    watchers.ready(news, |callback| queue.push_back(Delivery::Call(callback)))
                }
            }
            if Backend::NEEDS_ARMING {
                self.rearm(slot, token, |waker| queue.push_back(Delivery::Wake(waker)));
            }
        });
        drop(slots);
        self.counters.count_events(events);
        deliveries.run();
        events
    }

    /// A oneshot registration has been used up: ask again on behalf of those who still wait.
    fn rearm(&self, slot: &mut Slot, token: Token, wake: impl FnMut(Waker)) {
        // SAFETY: a source keeps its descriptor open as long as its slot exists. A watched
        // descriptor is kept open by the caller of `watch`; if it was closed too early its
        // number is only passed to the poller, which reports an error.
        let fd = unsafe { BorrowedFd::borrow_raw(slot.fd) };
        match &mut slot.tenant {
            Tenant::Source(source) => {
                source.armed.set(Directions::NONE);
                if let Err(_broken) = self.arm(source, fd, token) {
                    // Let them try, so that they see the error for themselves.
                    source.ready(Readiness::READABLE.with(Readiness::WRITABLE, true), wake);
                }
            }
            Tenant::Watch(watchers) => {
                self.counters.count(Call::Control);
                // An error means that the descriptor is gone, and with it the reason to ask.
                let _ = self.backend.set_level(fd, token, watchers.directions());
            }
        }
    }

    /// Asks the portable backend for what is waited for.
    pub(crate) fn arm(
        &self,
        source: &SourceState,
        fd: BorrowedFd<'_>,
        token: Token,
    ) -> io::Result<()> {
        let wanted = source.wanted();
        if wanted != Directions::NONE && wanted != source.armed.get() {
            self.counters.count(Call::Control);
            self.backend.arm(fd, token, wanted)?;
            source.armed.set(wanted);
        }
        Ok(())
    }

    /// Takes a place in the table and the registration that goes with it. `add` is given the
    /// place's token.
    pub(crate) fn insert(
        &self,
        fd: BorrowedFd<'_>,
        tenant: Tenant,
        add: impl Fn(&Backend, Token) -> io::Result<()>,
    ) -> io::Result<Token> {
        if self.closed.get() {
            return Err(closed());
        }
        let mut slots = self.slots.borrow_mut();
        let generation = self.next_generation();
        let entry = slots.vacant_entry();
        let token = Token::new(entry.key(), generation);
        let fd_number = fd.as_raw_fd();
        entry.insert(Slot {
            generation,
            fd: fd_number,
            tenant,
        });
        self.counters.count(Call::Control);
        let mut result = add(&self.backend, token);
        if result
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
        {
            // Either a live tenant holds this descriptor, or a source that has been dropped shared
            // it with somebody who kept it open, and left its registration behind.
            result = if slots
                .iter()
                .any(|(key, slot)| slot.fd == fd_number && key != token.index())
            {
                Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "this descriptor is already waited for: it belongs to another `Source`, transport or watch",
                ))
            } else {
                self.counters.count(Call::Control);
                self.counters.count(Call::Control);
                self.backend
                    .delete(fd)
                    .and_then(|()| add(&self.backend, token))
            };
        }
        match result {
            Ok(()) => Ok(token),
            Err(error) => {
                let slot = slots.remove(token.index());
                drop(slots);
                drop(slot);
                Err(explain(error))
            }
        }
    }

    fn next_generation(&self) -> u32 {
        if Backend::CLOSE_DEREGISTERS || usize::BITS >= 64 {
            self.generation.set(self.generation.get().wrapping_add(1));
        } // else the poller's keys have room for the index only, and deleting before closing leaves no stale events
        self.generation.get()
    }

    pub(crate) fn register_source(
        &self,
        fd: BorrowedFd<'_>,
        readiness: Readiness,
        flow: Flow,
        exclusive: bool,
    ) -> io::Result<(Rc<SourceState>, Token)> {
        let state = SourceState::new(readiness, flow, self.counters.clone());
        let token = self.insert(fd, Tenant::Source(state.clone()), |backend, token| {
            if exclusive {
                backend.add_exclusive(fd, token)
            } else {
                backend.add(fd, token)
            }
        })?;
        self.forget_closed_watch(fd.as_raw_fd(), token);
        Ok((state, token))
    }

    /// Frees the place. With `delete` the kernel is told as well.
    pub(crate) fn remove(&self, token: Token, fd: BorrowedFd<'_>, delete: bool) -> io::Result<()> {
        let mut slots = self.slots.borrow_mut();
        if tenant_of(&mut slots, token).is_none() {
            return Ok(());
        }
        let slot = slots.remove(token.index());
        drop(slots);
        // Wakers and callbacks of the slot are dropped only now: they may own sources of their own.
        drop(slot);
        if delete {
            self.counters.count(Call::Control);
            self.backend.delete(fd)?;
        }
        Ok(())
    }
}

impl Inner {
    fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        for (_, slot) in self.slots.borrow().iter() {
            // SAFETY: as in `rearm`: the descriptor of a source is open, and the number of a watched one that was closed
            // is only looked up in this reactor's own list.
            let fd = unsafe { BorrowedFd::borrow_raw(slot.fd) };
            self.counters.count(Call::Control);
            // An error means that the descriptor was closed first. The queue stays open for as long as there are handles:
            // what is left in it would go on taking wakes that are for one loop of several.
            let _ = self.backend.delete(fd);
        }
        self.empty();
    }

    /// Drops whoever waits.
    fn empty(&self) {
        let slots = self.slots.take();
        self.watched.take();
        let waiting: Vec<_> = slots
            .iter()
            .filter_map(|(_, slot)| match &slot.tenant {
                Tenant::Source(source) => Some(source.close()),
                Tenant::Watch(_) => None,
            })
            .collect();
        // Only now, when each source knows and no borrow is held: a waker or a callback may own anything, and use it.
        drop(waiting);
        drop(slots);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The kernel forgets everybody when the queue is closed.
        self.closed.set(true);
        self.empty();
    }
}

fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "this event loop is closed: nothing can be waited for on it any more; wait on one that runs",
    )
}

/// Whether a descriptor carries bytes or messages.
pub(crate) fn find_flow(fd: BorrowedFd<'_>, counters: &Counters) -> Flow {
    counters.count(Call::Other);
    match rustix::net::sockopt::socket_type(fd) {
        Ok(rustix::net::SocketType::STREAM) => Flow::Bytes,
        Ok(_) => Flow::Messages,
        Err(_not_a_socket) => {
            counters.count(Call::Other);
            match rustix::fs::fstat(fd) {
                Ok(stat)
                    if rustix::fs::FileType::from_raw_mode(stat.st_mode)
                        == rustix::fs::FileType::Fifo =>
                {
                    Flow::Bytes
                }
                _ => Flow::Messages,
            }
        }
    }
}

/// The slot a token stands for, unless that tenant has moved out.
pub(crate) fn tenant_of(slots: &mut Slab<Slot>, token: Token) -> Option<&mut Slot> {
    slots
        .get_mut(token.index())
        .filter(|slot| slot.generation == token.generation())
}

/// Says in words what `epoll_ctl` says in a number.
fn explain(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied => io::Error::new(
            io::ErrorKind::Unsupported,
            "regular files and directories cannot be waited for, they are always ready; use `asyncio::fs`",
        ),
        _ => error,
    }
}
