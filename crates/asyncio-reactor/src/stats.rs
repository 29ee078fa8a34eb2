//! Counting system calls, so that a test can hold the reactor to its budget.

use std::cell::Cell;

/// What a [`Reactor`](crate::Reactor) has done since it was made: plain counters, never reset.
///
/// They count what *this crate* asked the kernel for on the loop's own thread. Calls made by a
/// closure given to [`Source::try_io`](crate::Source::try_io) are invisible here, and so is the
/// write with which another thread wakes the loop (`notifies` tells of those).
///
/// ```
/// use std::time::Duration;
/// let reactor = asyncio_reactor::Reactor::new()?;
/// let before = reactor.stats();
/// reactor.wait(Some(Duration::ZERO))?;
/// let after = reactor.stats();
/// assert_eq!(after.waits - before.waits, 1);
/// assert_eq!(after.syscalls - before.syscalls, 1);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Calls that wait for events, whether or not they slept. (The portable backend's `Poller`
    /// makes several system calls for each of these; they are counted as one.)
    pub waits: u64,
    /// Calls that tell the kernel what to watch: `epoll_ctl`, arming the timer.
    pub controls: u64,
    /// `recv`, `recvfrom`, `read`.
    pub reads: u64,
    /// `send`, `sendto`, `sendmsg`, `write`, `writev`.
    pub writes: u64,
    /// `accept4`.
    pub accepts: u64,
    /// Everything else: `connect`, `getsockopt`, `shutdown`, …
    pub others: u64,
    /// All of the above together.
    pub syscalls: u64,
    /// Readiness events handed to somebody; events of closed descriptors, timers and notifications
    /// are not among them.
    pub events: u64,
    /// How often a [`Notifier`](crate::Notifier) had to wake the sleeping loop with a system call
    /// of its own.
    pub notifies: u64,
}

/// The kinds of system call that are told apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Wait,
    Control,
    Read,
    Write,
    Accept,
    Other,
}

/// The live counters of one reactor.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    calls: [Cell<u64>; 6],
    events: Cell<u64>,
}

impl Counters {
    pub(crate) fn count(&self, call: Call) {
        let counter = &self.calls[call as usize];
        counter.set(counter.get() + 1);
    }

    pub(crate) fn count_events(&self, events: usize) {
        self.events.set(self.events.get() + events as u64);
    }

    pub(crate) fn snapshot(&self, notifies: u64) -> Stats {
        let of = |call: Call| self.calls[call as usize].get();
        Stats {
            waits: of(Call::Wait),
            controls: of(Call::Control),
            reads: of(Call::Read),
            writes: of(Call::Write),
            accepts: of(Call::Accept),
            others: of(Call::Other),
            syscalls: self.calls.iter().map(Cell::get).sum(),
            events: self.events.get(),
            notifies,
        }
    }
}
