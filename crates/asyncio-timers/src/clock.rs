//! Where the time comes from. The one file that reads the machine's clock.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::LoopTime;

/// Tells the time of a loop: the machine's monotonic clock, or a virtual one that moves only when told to.
///
/// A clone shares the clock: moving one moves all.
///
/// ```
/// use std::time::Duration;
/// use asyncio_timers::Clock;
///
/// let clock = Clock::manual();
/// let start = clock.now();
/// clock.clone().advance(Duration::from_secs(60));
/// assert_eq!(clock.now() - start, Duration::from_secs(60));
/// ```
#[derive(Clone)]
pub struct Clock {
    source: Source,
}

#[derive(Clone)]
enum Source {
    System,
    Virtual(Rc<Virtual>),
}

struct Virtual {
    now: Cell<LoopTime>,
    jumps_when_idle: bool,
}

impl Clock {
    /// The machine's monotonic clock.
    ///
    /// All system clocks of a process agree, so times of two loops may be compared. The origin is arbitrary (S12); it
    /// lies a day before the first call, for times a little before the start of the program to exist.
    ///
    /// ```
    /// # use asyncio_timers::Clock;
    /// let clock = Clock::system();
    /// assert!(clock.now() <= clock.now());
    /// assert!(!clock.is_virtual());
    /// ```
    pub fn system() -> Self {
        Clock {
            source: Source::System,
        }
    }

    /// A virtual clock that moves only by [`advance`](Clock::advance) and [`advance_to`](Clock::advance_to), and
    /// starts at [`LoopTime::ZERO`].
    ///
    /// A loop with such a clock never waits for a deadline by itself: whoever holds the clock decides.
    ///
    /// ```
    /// # use asyncio_timers::{Clock, LoopTime};
    /// let clock = Clock::manual();
    /// assert_eq!(clock.now(), LoopTime::ZERO);
    /// assert!(clock.is_virtual() && !clock.jumps_when_idle());
    /// ```
    pub fn manual() -> Self {
        Clock::starting_at_zero(false)
    }

    /// A virtual clock for a loop that, finding itself idle, jumps to the next deadline: programs run as usual, their
    /// sleeps take no time. Starts at [`LoopTime::ZERO`].
    ///
    /// The clock does not move by itself. It is the loop that asks [`jumps_when_idle`](Clock::jumps_when_idle) and then
    /// calls [`advance_to`](Clock::advance_to) where it would have slept.
    ///
    /// ```
    /// # use asyncio_timers::Clock;
    /// assert!(Clock::auto().jumps_when_idle());
    /// ```
    pub fn auto() -> Self {
        Clock::starting_at_zero(true)
    }

    /// The time now; never less than an earlier answer.
    ///
    /// ```
    /// # use asyncio_timers::Clock;
    /// let clock = Clock::system();
    /// let start = clock.now();
    /// let elapsed: std::time::Duration = clock.now() - start;
    /// # let _ = elapsed;
    /// ```
    #[inline]
    pub fn now(&self) -> LoopTime {
        match &self.source {
            Source::System => LoopTime::from_nanos(HEAD_START + machine::nanoseconds()),
            Source::Virtual(clock) => clock.now.get(),
        }
    }

    /// Whether time is simulated.
    pub fn is_virtual(&self) -> bool {
        matches!(self.source, Source::Virtual(_))
    }

    /// Whether an idle loop should move this clock to its next deadline instead of waiting.
    pub fn jumps_when_idle(&self) -> bool {
        matches!(&self.source, Source::Virtual(clock) if clock.jumps_when_idle)
    }

    /// Moves a virtual clock forward. No timer fires by this alone; the loop's next turn sees the new time.
    ///
    /// # Panics
    ///
    /// On the system clock, which nobody moves.
    ///
    /// ```
    /// # use {asyncio_timers::{Clock, LoopTime}, std::time::Duration};
    /// let clock = Clock::manual();
    /// clock.advance(Duration::from_millis(5));
    /// assert_eq!(clock.now(), LoopTime::from_nanos(5_000_000));
    /// ```
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        let clock = self.expect_virtual("advance");
        clock.now.set(clock.now.get() + duration);
    }

    /// Moves a virtual clock forward to `time`, or leaves it where it is when that has already passed.
    ///
    /// # Panics
    ///
    /// On the system clock, which nobody moves.
    ///
    /// ```
    /// # use asyncio_timers::{Clock, LoopTime};
    /// let clock = Clock::manual();
    /// clock.advance_to(LoopTime::from_nanos(50));
    /// clock.advance_to(LoopTime::from_nanos(20));
    /// assert_eq!(clock.now(), LoopTime::from_nanos(50));
    /// ```
    #[track_caller]
    pub fn advance_to(&self, time: LoopTime) {
        let clock = self.expect_virtual("advance_to");
        clock.now.set(clock.now.get().max(time));
    }

    fn starting_at_zero(jumps_when_idle: bool) -> Self {
        Clock {
            source: Source::Virtual(Rc::new(Virtual {
                now: Cell::new(LoopTime::ZERO),
                jumps_when_idle,
            })),
        }
    }

    #[track_caller]
    fn expect_virtual(&self, call: &str) -> &Virtual {
        match &self.source {
            Source::Virtual(clock) => clock,
            Source::System => panic!(
                "`Clock::{call}` moves virtual clocks only, and this is the system clock; \
                 run the loop with `Clock::manual()` or `Clock::auto()`"
            ),
        }
    }
}

/// The [system clock](Clock::system).
impl Default for Clock {
    fn default() -> Self {
        Clock::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.source {
            Source::System => "system",
            Source::Virtual(clock) if clock.jumps_when_idle => "auto",
            Source::Virtual(_) => "manual",
        };
        f.debug_struct("Clock")
            .field("kind", &kind)
            .field("now", &self.now())
            .finish()
    }
}

/// What the system clock shows at its start. With zero, `now - 2s` and `now - 1s` would both saturate to the origin in
/// the first second of a program, and timers set for the past would lose their order (S14).
const HEAD_START: u64 = 24 * 60 * 60 * 1_000_000_000;

/// The machine's monotonic clock as nanoseconds. `Instant` would do, but a loop reads it for every sleep and timeout, and
/// taking two of them apart costs half as much again as the reading.
#[cfg(unix)]
mod machine {
    use rustix::time::{ClockId, clock_gettime};

    #[inline]
    pub(super) fn nanoseconds() -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        // Never negative: it counts from the start of the machine.
        now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
    }
}

#[cfg(not(unix))]
mod machine {
    use std::sync::OnceLock;
    use std::time::Instant;

    pub(super) fn nanoseconds() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        let elapsed = START.get_or_init(Instant::now).elapsed();
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }
}
