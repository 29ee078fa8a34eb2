//! The Linux backend: edge-triggered epoll through rustix, on the epoll descriptor of a
//! `polling::Poller`.
//!
//! Why not `Poller::wait`: in polling 3.11 it makes five system calls each time (1.3 us against
//! 0.12 us for a bare `epoll_wait`), and its edge mode cannot ask for `RDHUP`, without which "a
//! short read means drained" loses an end of stream that arrived together with data. So the poller
//! is never waited on here; only its epoll descriptor is used.
//!
//! **Timeouts.** `epoll_wait` counts milliseconds and is subject to timer slack (50 us, or a
//! thousandth of the timeout). So a far deadline is waited for with a millisecond timeout that ends
//! *early*, the caller comes back with what is left, and the last stretch is timed by a timerfd,
//! which knows no slack. A loop whose deadlines are far or absent never touches it.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use polling::Poller;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, clock_gettime,
    timerfd_create, timerfd_settime,
};

use crate::reactor::{Directions, Token};
use crate::readiness::Readiness;
use crate::stats::{Call, Counters};

/// Events taken by a wait that may sleep.
const EVENTS: usize = 1024;
/// Events taken by a look around while there is other work to do: a burst must not flood the ready
/// queue.
const EVENTS_WHILE_BUSY: usize = 128;

/// Keys that are not tokens. (Tokens hold a slab index in their low half, which never gets near
/// these.)
const BELL: u64 = u64::MAX - 1;
const TIMER: u64 = u64::MAX - 2;
/// The key of the poller's own eventfd and timerfd, which are not used here.
const POLLER: u64 = usize::MAX as u64;

/// Below this the timerfd times the wait, above it epoll does.
const FINE: Duration = Duration::from_millis(2);
/// An armed timer that is off by no more than this is left as it is.
const SAME: u64 = 5_000;

/// Wakes the sleeping loop: an edge-triggered eventfd that is only ever written. Each write is a
/// new edge, so nobody has to read it, and 2^64 writes do not overflow it.
#[derive(Clone, Debug)]
pub(crate) struct Bell(Arc<OwnedFd>);

impl Bell {
    pub(crate) fn ring(&self) {
        // The only error an eventfd can give here is a full counter, which takes longer than the
        // hardware will last.
        let _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

pub(crate) struct Backend {
    poller: Poller,
    bell: Bell,
    /// Made when first needed; `None` where the system refuses one.
    timer: OnceCell<Option<OwnedFd>>,
    /// When the timer will go off, in nanoseconds of the monotonic clock; 0 when it is not armed.
    armed: Cell<u64>,
    events: RefCell<Box<[epoll::Event]>>,
    /// How many of `events` the last wait filled and nobody has taken.
    taken: Cell<usize>,
}

impl Backend {
    /// Edges come by themselves; nothing has to be asked for again.
    pub(crate) const NEEDS_ARMING: bool = false;
    /// Closing the last descriptor of an open file removes it from the epoll set.
    pub(crate) const CLOSE_DEREGISTERS: bool = true;

    pub(crate) fn new() -> io::Result<Backend> {
        let poller = Poller::new()?;
        let bell: OwnedFd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(
            &poller,
            &bell,
            epoll::EventData::new_u64(BELL),
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        )?;
        Ok(Backend {
            poller,
            bell: Bell(Arc::new(bell)),
            timer: OnceCell::new(),
            armed: Cell::new(0),
            events: RefCell::new(
                vec![
                    epoll::Event {
                        flags: epoll::EventFlags::empty(),
                        data: epoll::EventData::new_u64(0)
                    };
                    EVENTS
                ]
                .into(),
            ),
            taken: Cell::new(0),
        })
    }

    pub(crate) fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Registers a descriptor for edges in both directions, once and for all.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        Ok(epoll::add(
            &self.poller,
            fd,
            epoll::EventData::new_u64(token.bits()),
            EDGES,
        )?)
    }

    /// The same for reading alone, where one of several sets that have the file is to hear of an event. (The kernel allows no
    /// `RDHUP` with it, which a listener has no use for.)
    pub(crate) fn add_exclusive(&self, fd: BorrowedFd<'_>, token: Token) -> io::Result<()> {
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET | epoll::EventFlags::EXCLUSIVE;
        let data = epoll::EventData::new_u64(token.bits());
        Ok(epoll::add(&self.poller, fd, data, flags)?)
    }

    pub(crate) fn arm(
        &self,
        _fd: BorrowedFd<'_>,
        _token: Token,
        _directions: Directions,
    ) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn add_level(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        directions: Directions,
    ) -> io::Result<()> {
        Ok(epoll::add(
            &self.poller,
            fd,
            epoll::EventData::new_u64(token.bits()),
            levels(directions),
        )?)
    }

    pub(crate) fn set_level(
        &self,
        fd: BorrowedFd<'_>,
        token: Token,
        directions: Directions,
    ) -> io::Result<()> {
        Ok(epoll::modify(
            &self.poller,
            fd,
            epoll::EventData::new_u64(token.bits()),
            levels(directions),
        )?)
    }

    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(epoll::delete(&self.poller, fd)?)
    }

    /// One `epoll_wait`; [`take_events`](Backend::take_events) then hands over what it brought.
    pub(crate) fn wait(&self, timeout: Option<Duration>, counters: &Counters) -> io::Result<()> {
        let (timeout, room) = match timeout {
            None => (None, EVENTS),
            Some(Duration::ZERO) => (Some(Timespec::default()), EVENTS_WHILE_BUSY),
            Some(left) if left >= FINE => (Some(coarse(left)), EVENTS),
            Some(left) => (self.fine(left, counters)?, EVENTS),
        };
        counters.count(Call::Wait);
        self.taken.set(0);
        let taken = epoll::wait(
            &self.poller,
            &mut self.events.borrow_mut()[..room],
            timeout.as_ref(),
        )?;
        self.taken.set(taken);
        Ok(())
    }

    /// Calls `each` with the events of the last wait, in their order.
    pub(crate) fn take_events(&self, mut each: impl FnMut(Token, Readiness)) {
        for event in &self.events.borrow()[..self.taken.take()] {
            match event.data.u64() {
                BELL | POLLER => {}
                TIMER => self.armed.set(0),
                bits => each(Token::from_bits(bits), readiness(event.flags)),
            }
        }
    }

    /// Arms the timer for a wait of `left` and returns the timeout epoll itself should use: none,
    /// because the timer's event ends the wait, or a rounded one where there is no timer to be
    /// had.
    fn fine(&self, left: Duration, counters: &Counters) -> io::Result<Option<Timespec>> {
        let Some(timer) = self.timer.get_or_init(|| self.make_timer().ok()) else {
            return Ok(Timespec::try_from(left).ok());
        };
        let now = clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
        let due = now + left.as_nanos() as u64; // `left` is below FINE
        if self.armed.get().abs_diff(due) > SAME {
            counters.count(Call::Control);
            let spec = Itimerspec {
                it_interval: Timespec::default(),
                it_value: Timespec {
                    tv_sec: (due / 1_000_000_000) as _,
                    tv_nsec: (due % 1_000_000_000) as _,
                },
            };
            timerfd_settime(timer, TimerfdTimerFlags::ABSTIME, &spec)?;
            self.armed.set(due);
        }
        Ok(None)
    }

    fn make_timer(&self) -> Result<OwnedFd, Errno> {
        let timer = timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        // Edge-triggered and never read: each expiry is an edge, and setting the time forgets the
        // expiries before it.
        epoll::add(
            &self.poller,
            &timer,
            epoll::EventData::new_u64(TIMER),
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        )?;
        Ok(timer)
    }
}

/// `PRI`, since the kernel does not read across an urgent byte: without it a short read would be taken for the last one.
const EDGES: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::PRI)
    .union(epoll::EventFlags::OUT)
    .union(epoll::EventFlags::RDHUP)
    .union(epoll::EventFlags::ET);

fn levels(directions: Directions) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    flags.set(
        epoll::EventFlags::IN | epoll::EventFlags::RDHUP,
        directions.readable,
    );
    flags.set(epoll::EventFlags::OUT, directions.writable);
    flags
}

/// A millisecond timeout that is over, slack included, before `left` is.
fn coarse(left: Duration) -> Timespec {
    // The kernel may be late by a thousandth of the timeout (a two-hundredth for a process with a
    // positive nice value), at least 50 us and at most 100 ms.
    let slack = (left / 200).clamp(Duration::from_micros(100), Duration::from_millis(100));
    // rustix passes what fits into 31 bits of milliseconds to the old system call, which every
    // kernel has.
    let millis = (left - slack).as_millis().clamp(1, i32::MAX as u128) as i64;
    Timespec {
        tv_sec: millis / 1000,
        tv_nsec: (millis % 1000 * 1_000_000) as _,
    }
}

fn readiness(flags: epoll::EventFlags) -> Readiness {
    use epoll::EventFlags as F;
    // A hang-up or an error is news for both directions: whoever waits has to try, and be told by
    // the kernel.
    Readiness::NONE
        .with(
            Readiness::READABLE,
            flags.intersects(F::IN | F::RDHUP | F::HUP | F::ERR),
        )
        .with(
            Readiness::WRITABLE,
            flags.intersects(F::OUT | F::HUP | F::ERR),
        )
        .with(
            Readiness::READ_ON,
            flags.intersects(F::RDHUP | F::HUP | F::ERR | F::PRI),
        )
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_coarse_timeout_ends_early_and_never_busily() {
        for micros in [
            2_000,
            2_050,
            2_999,
            3_000,
            10_500,
            999_999,
            60_000_000,
            u64::MAX / 2,
        ] {
            let left = Duration::from_micros(micros);
            let timeout = Duration::try_from(coarse(left)).unwrap();
            assert!(timeout < left, "{timeout:?} is not early for {left:?}");
            assert!(timeout >= Duration::from_millis(1));
        }
    }

    #[test]
    fn an_end_of_stream_is_told_apart_from_data() {
        use epoll::EventFlags as F;
        let data = readiness(F::IN | F::OUT);
        let end = readiness(F::IN | F::OUT | F::RDHUP);
        assert_ne!(data, end);
        assert_eq!(end, data.with(Readiness::READ_ON, true));
    }
}
