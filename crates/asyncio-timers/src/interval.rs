//! Waking up again and again.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::{IntoDuration, LoopTime, Sleep, Timers};

/// Ticks every `period`: seconds, or a [`Duration`]. The first tick comes at once, where it is first awaited.
///
/// # Panics
///
/// When the period is zero or less, which would never let anything else run, or NaN.
///
/// ```
/// use std::task::{Context, Poll, Waker};
/// use asyncio_timers::{Clock, LoopTime, Timers, interval};
///
/// let timers = Timers::new(Clock::manual());
/// let _entered = timers.enter();
/// let mut cx = Context::from_waker(Waker::noop());
///
/// let mut ticks = interval(0.5);
/// assert_eq!(ticks.poll_tick(&mut cx), Poll::Ready(LoopTime::ZERO));
/// assert_eq!(ticks.poll_tick(&mut cx), Poll::Pending);
/// assert_eq!(timers.next_deadline(), Some(LoopTime::from_secs_f64(0.5)));
/// ```
#[track_caller]
pub fn interval(period: impl IntoDuration) -> Interval {
    Interval::starting(None, period.into_duration())
}

/// Ticks every `period` from `start` on: the first tick comes at `start`.
///
/// # Panics
///
/// When the period is zero or less, or NaN.
///
/// ```
/// # use std::task::{Context, Poll, Waker};
/// # use asyncio_timers::{Clock, LoopTime, Timers, interval_at};
/// # let timers = Timers::new(Clock::manual());
/// # let _entered = timers.enter();
/// # let mut cx = Context::from_waker(Waker::noop());
/// let mut ticks = interval_at(LoopTime::from_secs_f64(2.0), 1);
/// assert_eq!(ticks.poll_tick(&mut cx), Poll::Pending);
/// assert_eq!(timers.next_deadline(), Some(LoopTime::from_secs_f64(2.0)));
/// ```
#[track_caller]
pub fn interval_at(start: LoopTime, period: impl IntoDuration) -> Interval {
    Interval::starting(Some(start), period.into_duration())
}

/// Ticks at even distances. Made by [`interval`] and [`interval_at`].
///
/// The distances are kept whatever happens between the ticks: a tick is scheduled one period after the time the former
/// one *was scheduled for*, not after it was taken. What to do when whole ticks were missed is a [`MissedTick`].
///
/// Dropping it cancels its timer.
#[derive(Debug)]
pub struct Interval {
    /// Until the next tick; `None` before the first one of an `interval` without a start.
    next: Option<Sleep>,
    period: Duration,
    missed_tick: MissedTick,
}

/// What an [`Interval`] does when a whole period or more has passed since the time of a tick before it was taken.
///
/// A tick that is less than a period late changes nothing in any of them: the next one comes when it always would have.
///
/// For a period of 1 s and a consumer that is busy from 1.0 to 3.5, taking the tick of 2.0 at 3.5:
///
/// | | ticks are taken at |
/// |---|---|
/// | `Burst` | 0, 1, 3.5, 3.5, 4, 5 |
/// | `Delay` | 0, 1, 3.5, 4.5, 5.5 |
/// | `Skip`  | 0, 1, 3.5, 4, 5 |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum MissedTick {
    /// Makes up for them: tick after tick comes at once, until the schedule is caught up with.
    #[default]
    Burst,
    /// Starts a new schedule: the next tick comes a period after the late one was taken.
    Delay,
    /// Leaves them out: the next tick comes at the next time that is due by the old schedule.
    Skip,
}

impl Interval {
    /// Waits for the next tick, and returns the time it was scheduled for.
    ///
    /// # Panics
    ///
    /// When polled where no loop runs.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: a tick that was not taken is there for the next call.
    ///
    /// ```no_run
    /// async fn heartbeat() {
    ///     let mut ticks = asyncio_timers::interval(1.0);
    ///     loop {
    ///         println!("{:.1}", ticks.tick().await);
    ///     }
    /// }
    /// ```
    pub async fn tick(&mut self) -> LoopTime {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Polls for the next tick; what [`tick`](Interval::tick) awaits, for use in a hand-written future.
    ///
    /// # Panics
    ///
    /// When polled where no loop runs.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<LoopTime> {
        let (scheduled, now) = match &mut self.next {
            Some(next) => {
                ready!(Pin::new(&mut *next).poll(cx));
                let scheduled = next
                    .deadline()
                    .expect("a sleep until some time has a deadline");
                (scheduled, Timers::with_current(Timers::now))
            }
            None => {
                let now = Timers::with_current(Timers::now);
                (now, now)
            }
        };
        let next = self.missed_tick.next(scheduled, now, self.period);
        self.wait_until(next);
        Poll::Ready(scheduled)
    }

    /// The length between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Starts anew: the next tick comes a period from now.
    ///
    /// # Panics
    ///
    /// Where no loop runs.
    #[track_caller]
    pub fn reset(&mut self) {
        let now = Timers::with_current(Timers::now);
        self.wait_until(now + self.period);
    }

    /// Starts anew: the next tick comes at `when`, and others follow at the same period.
    pub fn reset_at(&mut self, when: LoopTime) {
        self.wait_until(when);
    }

    /// What happens when ticks are missed.
    pub fn missed_tick(&self) -> MissedTick {
        self.missed_tick
    }

    /// Sets what happens when ticks are missed.
    ///
    /// ```
    /// # use asyncio_timers::{MissedTick, interval};
    /// let mut ticks = interval(1.0);
    /// ticks.set_missed_tick(MissedTick::Skip);
    /// assert_eq!(ticks.missed_tick(), MissedTick::Skip);
    /// ```
    pub fn set_missed_tick(&mut self, missed_tick: MissedTick) {
        self.missed_tick = missed_tick;
    }

    #[track_caller]
    fn starting(start: Option<LoopTime>, period: Duration) -> Self {
        assert!(
            !period.is_zero(),
            "the period of an interval is zero; it must be longer than that, or its ticks would leave no time for \
             anything else"
        );
        Interval {
            next: start.map(Sleep::until),
            period,
            missed_tick: MissedTick::default(),
        }
    }

    fn wait_until(&mut self, when: LoopTime) {
        match &mut self.next {
            Some(next) => next.reset(when),
            None => self.next = Some(Sleep::until(when)),
        }
    }
}

impl MissedTick {
    /// The time of the tick after the one that was scheduled for `scheduled` and taken at `now`.
    fn next(self, scheduled: LoopTime, now: LoopTime, period: Duration) -> LoopTime {
        let in_time = scheduled + period;
        if now < in_time {
            return in_time;
        }
        match self {
            MissedTick::Burst => in_time,
            MissedTick::Delay => now + period,
            MissedTick::Skip => {
                // A period of centuries does not get here: its `in_time` has not come.
                let into_period = (now - scheduled).as_nanos() % period.as_nanos();
                now + period - Duration::from_nanos(into_period as u64)
            }
        }
    }
}
