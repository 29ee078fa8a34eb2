//! When writers are asked to stop, and to go on.

/// The marks of flow control in bytes: writing pauses above `high` unsent bytes, and resumes when no more than `low` are
/// left (S203). asyncio: the arguments of `set_write_buffer_limits`.
///
/// ```
/// use asyncio_net::WriteLimits;
///
/// assert_eq!(WriteLimits::default(), WriteLimits::new(64 * 1024, 16 * 1024));
/// assert_eq!(WriteLimits::high(1000), WriteLimits::new(1000, 250));
/// assert_eq!(WriteLimits::low(1000), WriteLimits::new(4000, 1000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteLimits {
    high: usize,
    low: usize,
}

impl WriteLimits {
    /// Both marks.
    ///
    /// # Panics
    /// When `low` is more than `high`.
    #[track_caller]
    pub fn new(high: usize, low: usize) -> WriteLimits {
        assert!(
            low <= high,
            "the low water mark ({low}) must not be above the high one ({high})"
        );
        WriteLimits { high, low }
    }

    /// The high mark; the low one is a quarter of it.
    pub fn high(high: usize) -> WriteLimits {
        WriteLimits {
            high,
            low: high / 4,
        }
    }

    /// The low mark; the high one is four times as much.
    pub fn low(low: usize) -> WriteLimits {
        WriteLimits {
            high: low.saturating_mul(4),
            low,
        }
    }

    /// Above how many unsent bytes writing pauses.
    pub fn get_high(self) -> usize {
        self.high
    }

    /// Down to how many unsent bytes writing stays paused.
    pub fn get_low(self) -> usize {
        self.low
    }
}

impl Default for WriteLimits {
    /// 64 KiB and 16 KiB.
    fn default() -> WriteLimits {
        WriteLimits::high(64 * 1024)
    }
}
