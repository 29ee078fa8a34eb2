//! So many in so much time.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use asyncio_sync::Lock;
use asyncio_timers::{IntoDuration, LoopTime, Sleep, Timers};

/// Lets through so many permits in so much time: a leaky bucket, first come, first served.
///
/// Each permit pours its cost (1, or what [`acquire_many`](RateLimiter::acquire_many) says) into a bucket that leaks
/// `rate` in each `period` and holds `burst`. One that does not fit waits until it does, and all behind it wait too. A
/// cost above `burst` is let through when the bucket is empty, and those behind it wait the longer. The bucket begins
/// empty. With a burst of 1, the default, permits are evenly spaced.
///
/// A handle: clones are the same limiter. It bounds how many *begin* in some time; how many are at work at once is the
/// matter of a semaphore.
///
/// # Examples
///
/// 50 requests a second:
///
/// ```
/// use asyncio_runtime::EventLoop;
/// use asyncio_tasks::{RateLimiter, gather};
/// use asyncio_timers::Clock;
///
/// let event_loop = EventLoop::builder().clock(Clock::auto()).build().unwrap(); // virtual time
/// event_loop.run_until_complete(async {
///     let limiter = RateLimiter::new(50, 1.0).unwrap();
///     let begin = asyncio_runtime::get_running_loop().time();
///     gather((0..1000).map(|_| {
///         let limiter = limiter.clone();
///         async move { limiter.acquire().await } // then the request
///     })).await;
///     // The first at once, then one every 20 milliseconds.
///     assert_eq!((asyncio_runtime::get_running_loop().time() - begin).as_secs_f64(), 19.98);
/// }).unwrap();
/// ```
#[derive(Clone)]
pub struct RateLimiter {
    shared: Rc<Shared>,
}

struct Shared {
    /// How long the bucket leaks for a cost of 1, in nanoseconds.
    interval: f64,
    burst: Cell<u32>,
    /// When the bucket will be empty; a time that has passed if it is.
    empty_at: Cell<LoopTime>,
    /// Held by the first in line, who waits for room; the others wait for it.
    line: Lock,
}

impl RateLimiter {
    /// `rate` permits in each `period` (seconds or `Duration`), evenly spaced.
    ///
    /// # Errors
    ///
    /// [`RateError`] for a rate or a period that is zero, negative or not finite.
    pub fn new(rate: impl Into<f64>, period: impl IntoDuration) -> Result<RateLimiter, RateError> {
        let (rate, period) = (rate.into(), period.into_duration());
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(RateError::Rate(rate));
        }
        if period.is_zero() || period == Duration::MAX {
            return Err(RateError::Period(period));
        }
        Ok(RateLimiter {
            shared: Rc::new(Shared {
                interval: period.as_nanos() as f64 / rate,
                burst: Cell::new(1),
                empty_at: Cell::new(LoopTime::ZERO),
                line: Lock::new(),
            }),
        })
    }

    /// How much the bucket holds: so much may go at once after a pause.
    ///
    /// # Errors
    ///
    /// [`RateError`] for a burst of zero.
    pub fn burst(self, burst: u32) -> Result<RateLimiter, RateError> {
        if burst == 0 {
            return Err(RateError::Burst);
        }
        self.shared.burst.set(burst);
        Ok(self)
    }

    /// Waits for its turn.
    ///
    /// # Cancel safety
    ///
    /// Gives up its place in line; those behind move up, and nothing was poured in.
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    pub async fn acquire(&self) {
        self.acquire_many(1).await;
    }

    /// Waits for a permit that costs so much. A cost of 0 waits its turn and takes nothing.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](RateLimiter::acquire).
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    pub async fn acquire_many(&self, cost: u32) {
        let shared = &*self.shared;
        let _first_in_line = shared.line.acquire().await;
        let room_at = shared.room_at(cost);
        if room_at > Timers::current().now() {
            Sleep::until(room_at).await;
        }
        shared.pour(cost, Timers::current().now());
    }

    /// Takes a permit if that needs no waiting; false, and nothing taken, if it does.
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    pub fn try_acquire(&self) -> bool {
        self.try_acquire_many(1)
    }

    /// The same with a cost.
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    pub fn try_acquire_many(&self, cost: u32) -> bool {
        let now = Timers::current().now();
        let free = !self.shared.line.locked() && self.shared.room_at(cost) <= now;
        if free {
            self.shared.pour(cost, now);
        }
        free
    }
}

impl Shared {
    fn leaks_for(&self, cost: u32) -> Duration {
        // Rounded up: never more than the rate.
        Duration::from_nanos((self.interval * f64::from(cost)).ceil() as u64)
    }

    /// When the bucket has room for so much.
    fn room_at(&self, cost: u32) -> LoopTime {
        let spare = self.burst.get().saturating_sub(cost);
        self.empty_at.get().saturating_sub(self.leaks_for(spare))
    }

    fn pour(&self, cost: u32, now: LoopTime) {
        let empty_at = self.empty_at.get().max(now);
        self.empty_at
            .set(empty_at.saturating_add(self.leaks_for(cost)));
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field(
                "interval",
                &Duration::from_nanos(self.shared.interval as u64),
            )
            .field("burst", &self.shared.burst.get())
            .finish_non_exhaustive()
    }
}

/// Why there is no such [`RateLimiter`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateError {
    /// The rate is zero, negative, infinite or NaN: nothing, or everything, would pass.
    Rate(f64),
    /// The period is no time at all, or without an end.
    Period(Duration),
    /// The bucket holds nothing.
    Burst,
}

impl fmt::Display for RateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RateError::Rate(rate) => {
                write!(
                    f,
                    "a rate is a positive number of permits in a period, got {rate}"
                )
            }
            RateError::Period(period) => {
                write!(f, "a period is a positive and finite time, got {period:?}")
            }
            RateError::Burst => f.write_str("a bucket holds at least 1, got a burst of 0"),
        }
    }
}

impl Error for RateError {}
