//! The portable backend: `polling::Poller` as it is, with kqueue, event ports or poll behind it.
//!
//! Registrations are oneshot and armed again when somebody waits. Arming looks at the present
//! state, so no event can be missed between a short read and the wait, on every system the same
//! way; it costs one system call per wait, which is what the Linux backend saves. To build and test
//! it on Linux: `RUSTFLAGS="--cfg asyncio_polling_backend"`.

use std::cell::RefCell;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use polling::{Event, Events, PollMode, Poller};

use crate::reactor::{Directions, Token};
use crate::readiness::Readiness;
use crate::stats::{Call, Counters};

/// Events taken by a wait that may sleep.
const EVENTS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// Events taken by a look around while there is other work to do: a burst must not flood the ready
/// queue.
const EVENTS_WHILE_BUSY: NonZeroUsize = NonZeroUsize::new(128).unwrap();

/// Wakes the sleeping loop by the poller's own means.
#[derive(Clone, Debug)]
pub(crate) struct Bell(Arc<Poller>);

impl Bell {
    pub(crate) fn ring(&self) {
        // Fails only if the poller is broken, and then the loop hears of it from its wait.
        let _ = self.0.notify();
    }
}

pub(crate) struct Backend {
    poller: Arc<Poller>,
    level: PollMode,
    events: RefCell<Events>,
    events_while_busy: RefCell<Events>,
}

impl Backend {
    /// Every wait has to be asked for anew. (A level-triggered watch only where the poller does not
    /// know levels; it is asked for again in any case, which does no harm.)
    pub(crate) const NEEDS_ARMING: bool = true;
    /// A poller may keep its own list of descriptors: it must be told before one is closed.
    pub(crate) const CLOSE_DEREGISTERS: bool = false;

    pub(crate) fn new() -> io::Result<Backend> {
        let poller = Poller::new()?;
        Ok(Backend {
            level: if poller.supports_level() {
                PollMode::Level
            } else {
                PollMode::Oneshot
            },
            poller: Arc::new(poller),
            events: RefCell::new(Events::with_capacity(EVENTS)),
            events_while_busy: RefCell::new(Events::with_capacity(EVENTS_WHILE_BUSY)),
        })
    }

    pub(crate) fn bell(&self) -> Bell {
        Bell(self.poller.clone())
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        self.add_with(fd, token, Directions::NONE, PollMode::Oneshot)
    }

    /// `polling` has nothing like it: all hear of an event.
    pub(crate) fn add_exclusive(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        self.add(fd, token)
    }

    /// Asks to hear, once, of these directions.
    pub(crate) fn arm(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        directions: Directions,
    ) -> io::Result<()> {
        self.poller
            .modify_with_mode(fd, event(token, directions), PollMode::Oneshot)
    }

    pub(crate) fn add_level(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        directions: Directions,
    ) -> io::Result<()> {
        self.add_with(fd, token, directions, self.level)
    }

    pub(crate) fn set_level(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        directions: Directions,
    ) -> io::Result<()> {
        self.poller
            .modify_with_mode(fd, event(token, directions), self.level)
    }

    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.poller.delete(fd)
    }

    /// One `Poller::wait`; [`take_events`](Backend::take_events) then hands over what it brought.
    pub(crate) fn wait(&self, timeout: Option<Duration>, counters: &Counters) -> io::Result<()> {
        counters.count(Call::Wait);
        let mut events = match timeout {
            Some(Duration::ZERO) => self.events_while_busy.borrow_mut(),
            _ => self.events.borrow_mut(),
        };
        self.poller.wait(&mut events, timeout)?;
        Ok(())
    }

    /// Calls `each` with the events of the last wait, in their order.
    pub(crate) fn take_events(&self, mut each: impl FnMut(Token, Readiness)) {
        for events in [&self.events, &self.events_while_busy] {
            let mut events = events.borrow_mut();
            for event in events.iter() {
                let failed = event.is_interrupt() || event.is_err() == Some(true);
                let readiness = Readiness::NONE
                    .with(Readiness::READABLE, event.readable || failed)
                    .with(Readiness::WRITABLE, event.writable || failed)
                    .with(Readiness::READ_ON, failed);
                each(Token::from_bits(event.key as u64), readiness);
            }
            events.clear();
        }
    }

    fn add_with(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        directions: Directions,
        mode: PollMode,
    ) -> io::Result<()> {
        // SAFETY: `Poller::add` asks that the descriptor be deleted from the poller before it is
        // closed. For a `Source` its `Registration` upholds that: it is dropped before the
        // object that owns the descriptor. For a `Watch` the descriptor is the caller's,
        // who may close it early against the advice of the documentation; then the poller
        // has a stale *number* in its list, which makes its system calls report an error or events
        // nobody asked for, and can neither read, write nor close anything.
        unsafe {
            self.poller
                .add_with_mode(fd.as_raw_fd(), event(token, directions), mode)
        }
    }
}

fn event(token: Token, directions: Directions) -> Event {
    Event::new(
        token.bits() as usize,
        directions.readable,
        directions.writable,
    )
}
