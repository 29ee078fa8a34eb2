//! What is known about a descriptor: a byte of flags, and who waits for more.

use std::task::Waker;

/// One of the two directions in which a descriptor can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interest {
    /// There is something to read: data, a connection to accept, the end of the stream, or an
    /// error.
    Readable,
    /// There is room to write, a connection attempt has ended, or there is an error.
    Writable,
}

/// What the kernel has told about a descriptor, and what is merely assumed.
///
/// | bit | set | cleared |
/// |---|---|---|
/// | `READABLE`, `WRITABLE` | by an event | by a would-block, or by a short read or write |
/// | `TRY_READ`, `TRY_WRITE` | at registration, for the direction nobody has tried | with its neighbour above |
/// | `READ_ON` | by `RDHUP`, `HUP`, an error or urgent data | never (by `connect`) |
///
/// The `TRY_*` bits let an operation try first and ask later; raw readiness does not believe them.
/// `READ_ON` switches the short-read rule off: behind what was read there is the end of the stream, or what follows an urgent
/// byte, across which the kernel does not read; with edges there will be no second event for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readiness(u8);

impl Readiness {
    pub(crate) const NONE: Readiness = Readiness(0);
    pub(crate) const READABLE: Readiness = Readiness(1);
    pub(crate) const WRITABLE: Readiness = Readiness(1 << 1);
    pub(crate) const READ_ON: Readiness = Readiness(1 << 2);
    const TRY_READ: Readiness = Readiness(1 << 3);
    const TRY_WRITE: Readiness = Readiness(1 << 4);

    /// What a fresh registration may assume after `tried` was found not ready.
    pub(crate) fn assumed_after(tried: Interest) -> Readiness {
        match tried {
            Interest::Readable => Readiness::TRY_WRITE,
            Interest::Writable => Readiness::TRY_READ,
        }
    }

    pub(crate) fn insert(&mut self, other: Readiness) {
        self.0 |= other.0;
    }

    pub(crate) fn with(mut self, other: Readiness, on: bool) -> Readiness {
        if on {
            self.insert(other);
        }
        self
    }

    fn intersects(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the kernel said so.
    pub(crate) fn is_ready(self, interest: Interest) -> bool {
        self.intersects(match interest {
            Interest::Readable => Readiness::READABLE,
            Interest::Writable => Readiness::WRITABLE,
        })
    }

    /// Whether an operation is worth its system call.
    pub(crate) fn worth_trying(self, interest: Interest) -> bool {
        self.intersects(match interest {
            Interest::Readable => Readiness(Self::READABLE.0 | Self::TRY_READ.0),
            Interest::Writable => Readiness(Self::WRITABLE.0 | Self::TRY_WRITE.0),
        })
    }

    /// The kernel said it would block.
    pub(crate) fn clear(&mut self, interest: Interest) {
        self.0 &= !match interest {
            Interest::Readable => Self::READABLE.0 | Self::TRY_READ.0,
            Interest::Writable => Self::WRITABLE.0 | Self::TRY_WRITE.0,
        };
    }

    /// The kernel gave or took less than was offered: nothing is left for now, unless something
    /// hides behind what was read.
    pub(crate) fn clear_after_short(&mut self, interest: Interest) {
        if interest == Interest::Writable || !self.intersects(Self::READ_ON) {
            self.clear(interest);
        }
    }
}

/// Whether a short read proves that the descriptor is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Nobody has asked yet.
    #[default]
    Unknown,
    /// A byte stream (stream socket, pipe): a short read means drained.
    Bytes,
    /// Messages, lines, counters (datagram socket, terminal, eventfd): only a would-block means
    /// drained.
    Messages,
}

/// The wakers parked in one direction of one descriptor.
///
/// Almost always none or one. Two tasks that wait for the same direction are both kept, and both
/// woken: the alternative, where the later replaces (and therefore has to wake) the earlier, makes
/// them chase each other out of the only seat for as long as nothing happens.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    first: Option<Waker>,
    // Boxed because it is almost never there: a null pointer in each of two directions of every
    // descriptor.
    #[allow(clippy::box_collection)]
    others: Option<Box<Vec<Waker>>>,
}

impl Waiters {
    /// The most wakers kept besides the first. A combinator that polls with a new waker each time
    /// leaves old ones behind; this bounds them.
    const MAX_OTHERS: usize = 32;

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether a wake would already reach this task.
    pub(crate) fn contains(&self, waker: &Waker) -> bool {
        let mut parked = self
            .first
            .iter()
            .chain(self.others.iter().flat_map(|others| others.iter()));
        parked.any(|parked| parked.will_wake(waker))
    }

    /// Adds a waker. Where there are too many, the oldest is returned: the caller must wake it,
    /// with no borrow held, so that whoever it belongs to can come back.
    #[must_use]
    pub(crate) fn push(&mut self, waker: Waker) -> Option<Waker> {
        let previous = self.first.replace(waker)?;
        let others = self.others.get_or_insert_default();
        others.push(previous);
        (others.len() > Self::MAX_OTHERS).then(|| others.remove(0))
    }

    /// Hands every waker to `each`, the one parked longest first.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Waker)) {
        if let Some(first) = self.first.take() {
            if let Some(others) = self.others.take() {
                others.into_iter().for_each(&mut each);
            }
            each(first);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn an_assumption_is_worth_trying_but_is_not_readiness() {
        let mut readiness = Readiness::assumed_after(Interest::Readable);
        assert!(readiness.worth_trying(Interest::Writable));
        assert!(!readiness.is_ready(Interest::Writable));
        assert!(!readiness.worth_trying(Interest::Readable));
        readiness.clear(Interest::Writable);
        assert_eq!(readiness, Readiness::NONE);
    }

    #[test]
    fn a_short_read_clears_readable_unless_the_end_is_near() {
        let mut readiness = Readiness::READABLE;
        readiness.clear_after_short(Interest::Readable);
        assert!(!readiness.is_ready(Interest::Readable));

        let mut readiness = Readiness::READABLE.with(Readiness::READ_ON, true);
        readiness.clear_after_short(Interest::Readable);
        assert!(readiness.is_ready(Interest::Readable));
        readiness.clear(Interest::Readable);
        assert!(!readiness.is_ready(Interest::Readable));
    }

    #[test]
    fn every_parked_waker_is_woken_once_and_the_same_task_is_kept_once() {
        let counts: Vec<_> = (0..3)
            .map(|_| Arc::new(Count(AtomicUsize::new(0))))
            .collect();
        let wakers: Vec<Waker> = counts.iter().map(|count| count.clone().into()).collect();
        let mut waiters = Waiters::default();
        for waker in &wakers {
            assert!(!waiters.contains(waker));
            assert!(waiters.push(waker.clone()).is_none());
            assert!(waiters.contains(waker));
        }
        let mut order = Vec::new();
        waiters.drain(|waker| order.push(waker));
        assert!(
            order.iter().zip(&wakers).all(|(a, b)| a.will_wake(b)),
            "longest parked first"
        );
        order.into_iter().for_each(Waker::wake);
        assert!(
            counts
                .iter()
                .all(|count| count.0.load(Ordering::Relaxed) == 1)
        );
        assert!(waiters.is_empty());
    }

    #[test]
    fn a_crowd_of_wakers_is_bounded_and_the_one_pushed_out_is_handed_back() {
        let mut waiters = Waiters::default();
        let mut pushed_out = 0;
        for _ in 0..100 {
            let waker: Waker = Arc::new(Count(AtomicUsize::new(0))).into();
            pushed_out += usize::from(waiters.push(waker).is_some());
        }
        assert_eq!(pushed_out, 100 - 1 - Waiters::MAX_OTHERS);
    }
}
