//! Waiting for a point in time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::timers::Fate;
use crate::{IntoDuration, LoopTime, TimerKey, Timers};

/// Waits for `delay`: seconds, or a [`Duration`]. Short for [`Sleep::new`].
///
/// # Cancel safety
///
/// Nothing is lost: dropping the future cancels its timer, and a new one waits its full delay.
///
/// # Panics
///
/// When given NaN; when polled where no loop runs.
///
/// ```no_run
/// use std::time::Duration;
/// use asyncio_timers::sleep;
///
/// async fn blink() {
///     sleep(0.5).await;
///     sleep(Duration::from_millis(500)).await;
/// }
/// ```
#[track_caller]
pub fn sleep(delay: impl IntoDuration) -> Sleep {
    Sleep::new(delay)
}

/// Waits until `when` on the loop's clock. Short for [`Sleep::until`].
///
/// # Cancel safety
///
/// Nothing is lost: dropping the future cancels its timer, and a new one waits until the same time.
///
/// # Panics
///
/// When polled where no loop runs.
///
/// ```no_run
/// use asyncio_timers::{LoopTime, sleep_until};
///
/// async fn wait_for_the_start(start: LoopTime) {
///     sleep_until(start).await;
/// }
/// ```
pub fn sleep_until(when: LoopTime) -> Sleep {
    Sleep::until(when)
}

/// Waits for a point in time.
///
/// Made by [`new`](Sleep::new) or [`until`](Sleep::until). Belongs to no loop until it is polled first; then to the one
/// that is [current](Timers::current) there, whose [`fire`](Timers::fire) ends the wait. Done, it may be polled again
/// and stays ready, until it is [reset](Sleep::reset).
///
/// # Panics
///
/// When polled where no loop runs.
///
/// # Cancel safety
///
/// Nothing is lost: dropping it cancels its timer, wherever and however late that happens, and waiting goes on with a
/// `Sleep::until` the same time.
///
/// ```
/// use std::{future::Future, pin::Pin, task::{Context, Poll, Waker}};
/// use asyncio_timers::{Clock, Sleep, Timers};
///
/// let timers = Timers::new(Clock::manual());
/// let _entered = timers.enter();
/// let mut cx = Context::from_waker(Waker::noop());
///
/// let mut sleep = Sleep::new(1.5);
/// assert_eq!(Pin::new(&mut sleep).poll(&mut cx), Poll::Pending);
///
/// timers.clock().advance_to(timers.next_deadline().unwrap());
/// timers.fire(timers.now());
/// assert_eq!(Pin::new(&mut sleep).poll(&mut cx), Poll::Ready(()));
/// ```
#[must_use = "a sleep does nothing until it is awaited: `sleep(1.0).await`"]
pub struct Sleep {
    state: State,
}

enum State {
    /// Not polled yet; the delay counts from the first poll.
    Delay(Duration),
    /// No timer set. The next poll decides whether one is needed.
    Until(LoopTime),
    /// The timer is set, or it has fired and we have not been polled since. Dropping must cancel it.
    Waiting {
        until: LoopTime,
        timers: Timers,
        key: TimerKey,
    },
    /// Woken for the end of the wait; nothing set, nothing left to do. There is no deadline after a sleep of no length.
    Elapsed(Option<LoopTime>),
}

impl Sleep {
    /// A sleep of the given length: seconds, or a [`Duration`].
    ///
    /// It counts from the first poll, as a coroutine does that runs from its first `await`. A length of zero, or less,
    /// gives the other tasks of the loop one turn and touches no timer (S18); it needs no loop either.
    ///
    /// # Panics
    ///
    /// When given NaN.
    #[track_caller]
    pub fn new(delay: impl IntoDuration) -> Self {
        Sleep {
            state: State::Delay(delay.into_duration()),
        }
    }

    /// A sleep until `when` on the loop's clock. Where that has already come the first poll is ready, without yielding
    /// and without a timer.
    ///
    /// ```
    /// # use std::{future::Future, pin::Pin, task::{Context, Waker}};
    /// # use asyncio_timers::{Clock, LoopTime, Sleep, Timers};
    /// # let timers = Timers::new(Clock::manual());
    /// # let _entered = timers.enter();
    /// # let mut cx = Context::from_waker(Waker::noop());
    /// let mut sleep = Sleep::until(timers.now());
    /// assert!(Pin::new(&mut sleep).poll(&mut cx).is_ready());
    /// ```
    pub fn until(when: LoopTime) -> Self {
        Sleep {
            state: State::Until(when),
        }
    }

    /// A sleep until `when` whose timer is set now, for the task behind `cx`, without a look at the clock: a time that
    /// has come fires in the next turn, and wakes the task at once. For timeouts, which have looked already, and in
    /// asyncio act in the timer's own callback.
    ///
    /// ```
    /// # use std::{future::Future, pin::Pin, task::{Context, Waker}};
    /// # use asyncio_timers::{Clock, LoopTime, Sleep, Timers};
    /// # let timers = Timers::new(Clock::manual());
    /// # let _entered = timers.enter();
    /// # let mut cx = Context::from_waker(Waker::noop());
    /// let mut sleep = Sleep::armed(LoopTime::from_nanos(5), Timers::current(), &cx);
    /// assert_eq!(timers.next_deadline(), Some(LoopTime::from_nanos(5)));
    /// assert!(Pin::new(&mut sleep).poll(&mut cx).is_pending());
    /// ```
    #[inline]
    pub fn armed(when: LoopTime, timers: Timers, cx: &Context<'_>) -> Self {
        let key = timers.wake_at(when, cx.waker().clone());
        Sleep {
            state: State::Waiting {
                until: when,
                timers,
                key,
            },
        }
    }

    /// When the wait ends, or ended; `None` while the delay of [`Sleep::new`] has not begun to count, and for a delay
    /// of zero.
    ///
    /// ```
    /// # use asyncio_timers::{LoopTime, Sleep};
    /// assert_eq!(Sleep::until(LoopTime::from_nanos(5)).deadline(), Some(LoopTime::from_nanos(5)));
    /// assert_eq!(Sleep::new(1.0).deadline(), None);
    /// ```
    pub fn deadline(&self) -> Option<LoopTime> {
        match self.state {
            State::Delay(_) => None,
            State::Until(when) | State::Waiting { until: when, .. } => Some(when),
            State::Elapsed(when) => when,
        }
    }

    /// Whether the wait is over: its timer has fired, or a poll found the deadline reached.
    pub fn is_elapsed(&self) -> bool {
        match &self.state {
            State::Delay(_) | State::Until(_) => false,
            State::Waiting { until, timers, key } => match timers.fate(*key) {
                Fate::Waiting => false,
                Fate::Fired => true,
                Fate::Unknown => *until <= timers.now(),
            },
            State::Elapsed(_) => true,
        }
    }

    /// Waits for `when` from now on, whether the former wait is over or not.
    ///
    /// A timer that is set moves to the new deadline and keeps its waker, so a task that hangs in this sleep needs no
    /// poll to notice. Otherwise the next poll starts the wait.
    ///
    /// ```
    /// # use std::{future::Future, pin::Pin, task::{Context, Waker}};
    /// # use asyncio_timers::{Clock, LoopTime, Sleep, Timers};
    /// # let timers = Timers::new(Clock::manual());
    /// # let _entered = timers.enter();
    /// # let mut cx = Context::from_waker(Waker::noop());
    /// let mut idle = Sleep::until(LoopTime::from_nanos(10));
    /// assert!(Pin::new(&mut idle).poll(&mut cx).is_pending());
    /// idle.reset(LoopTime::from_nanos(30));
    /// assert_eq!(timers.next_deadline(), Some(LoopTime::from_nanos(30)));
    /// ```
    pub fn reset(&mut self, when: LoopTime) {
        if let State::Waiting { until, timers, key } = &mut self.state
            && timers.reschedule(*key, when)
        {
            *until = when;
        } else {
            self.state = State::Until(when);
        }
    }

    fn poll_until(
        &mut self,
        when: LoopTime,
        now: LoopTime,
        timers: Timers,
        cx: &Context<'_>,
    ) -> Poll<()> {
        if when <= now {
            self.state = State::Elapsed(Some(when));
            return Poll::Ready(());
        }
        let key = timers.resume_at(when, cx.waker().clone());
        self.state = State::Waiting {
            until: when,
            timers,
            key,
        };
        Poll::Pending
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &self.state {
            State::Elapsed(_) => Poll::Ready(()),
            State::Delay(Duration::ZERO) => {
                // Waking oneself is the yield: the loop comes back here after everyone else who is ready.
                self.state = State::Elapsed(None);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            State::Delay(delay) => {
                let delay = *delay;
                let timers = Timers::current();
                let now = timers.now();
                self.poll_until(now + delay, now, timers, cx)
            }
            State::Until(when) => {
                let when = *when;
                let timers = Timers::current();
                let now = timers.now();
                self.poll_until(when, now, timers, cx)
            }
            State::Waiting { until, timers, key } => {
                let (until, fate) = (*until, timers.refresh_waker(*key, cx.waker()));
                match fate {
                    Fate::Waiting => Poll::Pending,
                    Fate::Fired => {
                        self.state = State::Elapsed(Some(until));
                        Poll::Ready(())
                    }
                    Fate::Unknown => {
                        let timers = timers.clone();
                        let now = timers.now();
                        self.poll_until(until, now, timers, cx)
                    }
                }
            }
        }
    }
}

impl Drop for Sleep {
    #[inline]
    fn drop(&mut self) {
        // Its own timers, not the current ones: it may be dropped after its loop, or in the middle of another.
        if let State::Waiting { timers, key, .. } = &self.state {
            timers.cancel(*key);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline())
            .field("is_elapsed", &self.is_elapsed())
            .finish()
    }
}
