//! A point in a loop's time.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

/// A point in a loop's time: nanoseconds since an arbitrary origin.
///
/// Only differences mean something, and only between times of the same clock: the origin of a virtual clock has nothing
/// to do with that of the machine's. Loops on the [system clock](crate::Clock::system) share their origin, so their
/// times may be compared within one process.
///
/// Arithmetic saturates. Time before the origin is [`ZERO`](LoopTime::ZERO), and a sum beyond 584 years stays at
/// [`MAX`](LoopTime::MAX), which serves as "never": a timeout of infinite length needs no special case.
///
/// ```
/// use std::time::Duration;
/// use asyncio_timers::LoopTime;
///
/// let start = LoopTime::from_secs_f64(10.0);
/// let later = start + Duration::from_millis(500);
/// assert_eq!(later - start, Duration::from_millis(500));
/// assert_eq!(start - later, Duration::ZERO);
/// assert_eq!(start + Duration::MAX, LoopTime::MAX);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoopTime {
    nanos: u64,
}

impl LoopTime {
    /// The origin, and where saturating subtraction ends.
    pub const ZERO: LoopTime = LoopTime { nanos: 0 };

    /// The latest time there is, some 584 years after the origin; in practice, never.
    pub const MAX: LoopTime = LoopTime { nanos: u64::MAX };

    /// The time that lies `nanos` nanoseconds after the origin.
    ///
    /// ```
    /// # use asyncio_timers::LoopTime;
    /// assert_eq!(LoopTime::from_nanos(1_500_000_000).as_secs_f64(), 1.5);
    /// ```
    pub const fn from_nanos(nanos: u64) -> Self {
        LoopTime { nanos }
    }

    /// Nanoseconds since the origin.
    ///
    /// ```
    /// # use asyncio_timers::LoopTime;
    /// assert_eq!(LoopTime::from_nanos(7).as_nanos(), 7);
    /// ```
    pub const fn as_nanos(self) -> u64 {
        self.nanos
    }

    /// The time that lies `secs` seconds after the origin, as `loop.time()` of asyncio would print it.
    ///
    /// Negative seconds give [`ZERO`](LoopTime::ZERO), infinite ones [`MAX`](LoopTime::MAX).
    ///
    /// # Panics
    ///
    /// When `secs` is NaN.
    ///
    /// ```
    /// # use asyncio_timers::LoopTime;
    /// assert_eq!(LoopTime::from_secs_f64(0.25).as_nanos(), 250_000_000);
    /// assert_eq!(LoopTime::from_secs_f64(f64::INFINITY), LoopTime::MAX);
    /// ```
    #[track_caller]
    pub fn from_secs_f64(secs: f64) -> Self {
        assert!(
            !secs.is_nan(),
            "a point in time is a number of seconds, got NaN"
        );
        // Casting from float to integer saturates, negative numbers at zero; whole seconds apart from their fraction
        // keep the nanoseconds exact where secs * 1e9 would have rounded them away.
        let whole = (secs.trunc() as u64).saturating_mul(NANOS_PER_SEC);
        let fraction = (secs.fract() * NANOS_PER_SEC as f64).round() as u64;
        LoopTime {
            nanos: whole.saturating_add(fraction),
        }
    }

    /// Seconds since the origin, rounded to what an `f64` can hold.
    ///
    /// ```
    /// # use asyncio_timers::LoopTime;
    /// assert_eq!(LoopTime::from_nanos(2_000_000_000).as_secs_f64(), 2.0);
    /// ```
    pub fn as_secs_f64(self) -> f64 {
        (self.nanos / NANOS_PER_SEC) as f64
            + (self.nanos % NANOS_PER_SEC) as f64 / NANOS_PER_SEC as f64
    }

    /// The time `duration` later, or [`MAX`](LoopTime::MAX) if that is out of range. The same as `+`.
    ///
    /// ```
    /// # use {asyncio_timers::LoopTime, std::time::Duration};
    /// assert_eq!(LoopTime::MAX.saturating_add(Duration::from_secs(1)), LoopTime::MAX);
    /// ```
    pub fn saturating_add(self, duration: Duration) -> Self {
        LoopTime {
            nanos: self.nanos.saturating_add(saturating_nanos(duration)),
        }
    }

    /// The time `duration` earlier, or [`ZERO`](LoopTime::ZERO) if that lies before the origin. The same as `-`.
    ///
    /// ```
    /// # use {asyncio_timers::LoopTime, std::time::Duration};
    /// assert_eq!(LoopTime::from_nanos(5).saturating_sub(Duration::from_secs(1)), LoopTime::ZERO);
    /// ```
    pub fn saturating_sub(self, duration: Duration) -> Self {
        LoopTime {
            nanos: self.nanos.saturating_sub(saturating_nanos(duration)),
        }
    }

    /// How long after `earlier` this time is; zero when it is not later at all. The same as `-`.
    ///
    /// ```
    /// # use {asyncio_timers::LoopTime, std::time::Duration};
    /// let (a, b) = (LoopTime::from_nanos(10), LoopTime::from_nanos(30));
    /// assert_eq!(b.saturating_duration_since(a), Duration::from_nanos(20));
    /// assert_eq!(a.saturating_duration_since(b), Duration::ZERO);
    /// ```
    pub fn saturating_duration_since(self, earlier: LoopTime) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(earlier.nanos))
    }
}

/// Saturates at [`LoopTime::MAX`].
impl Add<Duration> for LoopTime {
    type Output = LoopTime;

    fn add(self, duration: Duration) -> LoopTime {
        self.saturating_add(duration)
    }
}

/// Saturates at [`LoopTime::MAX`].
impl AddAssign<Duration> for LoopTime {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

/// Saturates at [`LoopTime::ZERO`].
impl Sub<Duration> for LoopTime {
    type Output = LoopTime;

    fn sub(self, duration: Duration) -> LoopTime {
        self.saturating_sub(duration)
    }
}

/// Saturates at [`LoopTime::ZERO`].
impl SubAssign<Duration> for LoopTime {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

/// Zero when the right side is the later one.
impl Sub<LoopTime> for LoopTime {
    type Output = Duration;

    fn sub(self, earlier: LoopTime) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// Seconds with their nanoseconds, as in `LoopTime(12.500000000s)`.
impl fmt::Debug for LoopTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoopTime({self}s)")
    }
}

/// Seconds, with nine decimals unless a precision says otherwise: `{:.3}` prints milliseconds (cut off, not rounded).
impl fmt::Display for LoopTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, nanos) = (self.nanos / NANOS_PER_SEC, self.nanos % NANOS_PER_SEC);
        match f.precision().unwrap_or(9).min(9) {
            0 => write!(f, "{secs}"),
            decimals => write!(
                f,
                "{secs}.{:0decimals$}",
                nanos / 10_u64.pow(9 - decimals as u32)
            ),
        }
    }
}

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A duration as nanoseconds, at most `u64::MAX` of them.
fn saturating_nanos(duration: Duration) -> u64 {
    // Not `as_nanos()`: its u128 costs a call where this is two instructions.
    duration
        .as_secs()
        .saturating_mul(NANOS_PER_SEC)
        .saturating_add(u64::from(duration.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printing_keeps_leading_zeros_of_the_fraction() {
        let time = LoopTime::from_nanos(12_003_400_000);
        assert_eq!(time.to_string(), "12.003400000");
        assert_eq!(format!("{time:.3}"), "12.003");
        assert_eq!(format!("{time:.0}"), "12");
        assert_eq!(format!("{time:?}"), "LoopTime(12.003400000s)");
    }

    #[test]
    fn seconds_survive_the_way_to_nanoseconds_and_back() {
        for secs in [0.0, 1e-9, 0.1, 1.0 / 3.0, 86_400.000_000_1, 4e9] {
            let back = LoopTime::from_secs_f64(secs).as_secs_f64();
            assert!(
                (back - secs).abs() < 1e-9_f64.max(secs * f64::EPSILON),
                "{secs} became {back}"
            );
        }
        assert_eq!(LoopTime::from_secs_f64(-1.5), LoopTime::ZERO);
        assert_eq!(LoopTime::from_secs_f64(1e30), LoopTime::MAX);
    }

    #[test]
    #[should_panic(expected = "got NaN")]
    fn nan_is_no_point_in_time() {
        let _ = LoopTime::from_secs_f64(f64::NAN);
    }

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let mut time = LoopTime::from_nanos(5);
        time += Duration::MAX;
        assert_eq!(time, LoopTime::MAX);
        time -= Duration::MAX;
        assert_eq!(time, LoopTime::ZERO);
    }
}
