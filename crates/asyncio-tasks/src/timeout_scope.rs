//! The object form of a timeout: one that can be looked at and moved while its body runs.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Waker};

use asyncio_timers::{LoopTime, Sleep, Timers};

use crate::timeout::{Alarm, Control, IntoTimeout, Limit, TimeoutError, WithTimeout};

/// A timeout that can be looked at and moved while its body runs; asyncio: `async with timeout(…) as cm`.
///
/// The same rules as [`timeout`](crate::timeout), which is all most programs need. A handle: clones are the same timeout.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::Timeout;
/// use asyncio_timers::sleep;
/// use std::time::Duration;
///
/// asyncio_runtime::run(async {
///     // As long as data comes in, it may go on.
///     let idle = Timeout::new(0.05);
///     let received = idle
///         .scope(async |cm| {
///             for _ in 0..3 {
///                 sleep(0.03).await; // a piece of data
///                 let later = cm.when().unwrap() + Duration::from_millis(50);
///                 cm.reschedule(later).unwrap();
///             }
///             3
///         })
///         .await;
///     assert_eq!(received, Ok(3));
///     assert!(!idle.expired());
/// });
/// ```
#[derive(Clone)]
pub struct Timeout {
    shared: Rc<Shared>,
}

struct Shared {
    stage: Cell<Stage>,
    /// When the time is over; `None`: never.
    when: Cell<Option<LoopTime>>,
    /// Before the scope is entered: how it will begin. While it runs: what `reschedule` armed, until the scope looks.
    limit: Cell<Option<Limit>>,
    /// Of whoever polls the scope.
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Created,
    Active,
    /// The time is over and the body was asked to end.
    Expiring,
    /// The scope has ended after its time was over.
    Expired,
    /// The scope has ended in time.
    Ended,
}

impl Timeout {
    /// A timeout of `delay` (seconds, `Duration`, or `None` for no limit) from now (S103).
    ///
    /// Outside of a running loop the time counts from the entry.
    pub fn new(delay: impl IntoTimeout) -> Timeout {
        match (delay.into_timeout(), Timers::try_current()) {
            (None, _) => Timeout::made(None, Limit::Never),
            (Some(delay), Some(timers)) => Timeout::at(timers.now() + delay),
            (Some(delay), None) => Timeout::made(None, Limit::After(delay)),
        }
    }

    /// A timeout that is over at a time of the loop's clock.
    pub fn at(when: LoopTime) -> Timeout {
        Timeout::made(Some(when), Limit::At(when))
    }

    fn made(when: Option<LoopTime>, limit: Limit) -> Timeout {
        Timeout {
            shared: Rc::new(Shared {
                stage: Cell::new(Stage::Created),
                when: Cell::new(when),
                limit: Cell::new(Some(limit)),
                waker: RefCell::new(None),
            }),
        }
    }

    /// Runs a body under this timeout: [`timeout`](crate::timeout) with the timeout itself in the body's hands.
    ///
    /// # Errors
    ///
    /// [`TimeoutError`] when the time was over and the body ended by the request (S105, S106).
    ///
    /// # Cancel safety
    ///
    /// As [`timeout`](crate::timeout): a request from outside goes to the body and wins; dropping this drops the body.
    ///
    /// # Panics
    ///
    /// When it was entered before (S115), and if the body suspends outside of a running loop.
    pub async fn scope<T>(&self, body: impl AsyncFnOnce(&Timeout) -> T) -> Result<T, TimeoutError> {
        let shared = &self.shared;
        let limit = match (shared.stage.get(), shared.limit.take()) {
            (Stage::Created, Some(limit)) => limit,
            _ => panic!("a `Timeout` can be entered once; make a new one"),
        };
        shared.stage.set(Stage::Active);
        let _leave = Leave(shared);
        WithTimeout::controlled(limit, body(self), Strings(shared)).await
    }

    /// When the time is over, on the loop's clock; `None`: never.
    pub fn when(&self) -> Option<LoopTime> {
        self.shared.when.get()
    }

    /// Whether the time was over while the body ran: true from that moment, already inside the body (S114), and also
    /// if the body then ended normally (S107).
    pub fn expired(&self) -> bool {
        matches!(self.shared.stage.get(), Stage::Expiring | Stage::Expired)
    }

    /// Moves the end of the time: later, earlier, `None` for no end, and a time that has passed for the next turn
    /// (S113).
    ///
    /// # Errors
    ///
    /// [`RescheduleError`] unless the scope runs and its time is not over.
    pub fn reschedule(&self, when: impl Into<Option<LoopTime>>) -> Result<(), RescheduleError> {
        let shared = &self.shared;
        if shared.stage.get() != Stage::Active {
            return Err(RescheduleError {
                stage: shared.stage.get(),
            });
        }
        let when = when.into();
        shared.when.set(when);
        let waker = shared.waker.borrow().clone();
        let limit = match (when, waker, Timers::try_current()) {
            (Some(when), Some(waker), Some(timers)) if when > timers.now() => {
                Limit::Armed(Sleep::armed(when, timers, &Context::from_waker(&waker)))
            }
            (Some(_), Some(waker), Some(_)) => Limit::Over(Alarm::set(waker)),
            (None, ..) => Limit::Never,
            // Polled outside of any loop: good as long as the body does not suspend.
            _ => Limit::NoLoop,
        };
        // The former is dropped here, and with it its timer.
        let former = shared.limit.replace(Some(limit));
        drop(former);
        Ok(())
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("stage", &self.shared.stage.get())
            .field("when", &self.when())
            .finish()
    }
}

/// Why a [`Timeout`] could not be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RescheduleError {
    stage: Stage,
}

impl fmt::Display for RescheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = match self.stage {
            Stage::Created => "has not been entered",
            Stage::Active => "is active",
            Stage::Expiring => "is over and its body was asked to end",
            Stage::Expired => "has expired",
            Stage::Ended => "has ended",
        };
        write!(
            f,
            "`Timeout::reschedule` needs an active timeout, this one {found}; call it inside `scope`, before the time is over"
        )
    }
}

impl Error for RescheduleError {}

/// The scope's end of the strings.
struct Strings<'a>(&'a Shared);

impl Control for Strings<'_> {
    fn polled(&self, waker: &Waker) {
        let mut kept = self.0.waker.borrow_mut();
        match &mut *kept {
            Some(kept) => kept.clone_from(waker),
            None => *kept = Some(waker.clone()),
        }
    }

    fn take_limit(&self) -> Option<Limit> {
        self.0.limit.take()
    }

    fn begins(&self, limit: &Limit) {
        if let (None, Limit::Until(when, _)) = (self.0.when.get(), limit) {
            self.0.when.set(Some(*when));
        }
    }

    fn expires(&self) {
        self.0.stage.set(Stage::Expiring);
    }

    fn ends(&self) {
        self.0.end();
    }
}

impl Shared {
    fn end(&self) {
        self.stage.set(match self.stage.get() {
            Stage::Expiring | Stage::Expired => Stage::Expired,
            _ => Stage::Ended,
        });
        let (limit, waker) = (self.limit.take(), self.waker.take());
        drop((limit, waker));
    }
}

/// Ends the scope also when it is dropped before its time.
struct Leave<'a>(&'a Shared);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
