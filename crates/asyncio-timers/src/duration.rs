//! What may be said for a length of time.

use std::time::Duration;

/// A length of time: a number of seconds, as in asyncio, or a [`Duration`].
///
/// Integers and floats are seconds. A negative number is no time at all (S18: such a sleep yields once), and what
/// exceeds [`Duration::MAX`], infinity included, is cut down to it.
///
/// ```
/// use std::time::Duration;
/// use asyncio_timers::IntoDuration;
///
/// assert_eq!(1.5.into_duration(), Duration::from_millis(1500));
/// assert_eq!(2.into_duration(), Duration::from_secs(2));
/// assert_eq!(Duration::from_millis(30).into_duration(), Duration::from_millis(30));
/// assert_eq!((-1.0).into_duration(), Duration::ZERO);
/// assert_eq!(f64::INFINITY.into_duration(), Duration::MAX);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a length of time",
    label = "expected seconds (`1.5`, `2`) or a `std::time::Duration`"
)]
pub trait IntoDuration {
    /// The length as a [`Duration`].
    ///
    /// # Panics
    ///
    /// When a float is NaN.
    fn into_duration(self) -> Duration;
}

impl IntoDuration for Duration {
    fn into_duration(self) -> Duration {
        self
    }
}

/// Seconds, rounded to the nanosecond.
impl IntoDuration for f64 {
    #[track_caller]
    fn into_duration(self) -> Duration {
        assert!(
            !self.is_nan(),
            "a length of time is a number of seconds or a `Duration`, got NaN; was it computed as 0.0 / 0.0?"
        );
        if self <= 0.0 {
            return Duration::ZERO;
        }
        // What is left to fail is being too large.
        Duration::try_from_secs_f64(self).unwrap_or(Duration::MAX)
    }
}

/// Seconds, rounded to the nanosecond.
impl IntoDuration for f32 {
    #[track_caller]
    fn into_duration(self) -> Duration {
        f64::from(self).into_duration()
    }
}

macro_rules! whole_seconds {
    ($($integer:ty)*) => {$(
        /// Whole seconds.
        impl IntoDuration for $integer {
            fn into_duration(self) -> Duration {
                if self <= 0 { Duration::ZERO } else { u64::try_from(self).map_or(Duration::MAX, Duration::from_secs) }
            }
        }
    )*};
}

whole_seconds! { i8 i16 i32 i64 i128 isize }

macro_rules! whole_unsigned_seconds {
    ($($integer:ty)*) => {$(
        /// Whole seconds.
        impl IntoDuration for $integer {
            fn into_duration(self) -> Duration {
                u64::try_from(self).map_or(Duration::MAX, Duration::from_secs)
            }
        }
    )*};
}

whole_unsigned_seconds! { u8 u16 u32 u64 u128 usize }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_number_counts_in_seconds() {
        let three = Duration::from_secs(3);
        for got in [
            3_i8.into_duration(),
            3_i64.into_duration(),
            3_u8.into_duration(),
            3_u64.into_duration(),
            3_usize.into_duration(),
            3_f32.into_duration(),
            3.0.into_duration(),
        ] {
            assert_eq!(got, three);
        }
    }

    #[test]
    fn negative_lengths_are_no_time_at_all() {
        for got in [
            (-1).into_duration(),
            i64::MIN.into_duration(),
            (-0.0).into_duration(),
            f64::NEG_INFINITY.into_duration(),
        ] {
            assert_eq!(got, Duration::ZERO);
        }
    }

    #[test]
    fn lengths_out_of_range_are_cut_down() {
        for got in [
            u128::MAX.into_duration(),
            1e300.into_duration(),
            f32::INFINITY.into_duration(),
        ] {
            assert_eq!(got, Duration::MAX);
        }
    }

    #[test]
    #[should_panic(expected = "got NaN")]
    fn nan_is_no_length_of_time() {
        let _ = f64::NAN.into_duration();
    }
}
