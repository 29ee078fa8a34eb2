//! Timeouts: a scope that asks its own body to end when its time is over.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_executor::{
    CancelledError, CatchCancelled, Handle, call_soon, cancelling, catch_cancelled, is_entered,
    uncancel,
};
use asyncio_timers::{IntoDuration, LoopTime, Sleep, Timers};
use pin_project_lite::pin_project;

/// The time was over; asyncio: `TimeoutError`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeoutError;

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl std::error::Error for TimeoutError {}

impl From<TimeoutError> for std::io::Error {
    fn from(error: TimeoutError) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::TimedOut, error)
    }
}

/// A delay, or `None` for no limit.
pub trait IntoTimeout {
    /// The delay; `None` never ends.
    fn into_timeout(self) -> Option<Duration>;
}

macro_rules! delays {
    ($($delay:ty)*) => { $(
        impl IntoTimeout for $delay {
            fn into_timeout(self) -> Option<Duration> {
                Some(self.into_duration())
            }
        }
    )* };
}

delays! { f32 f64 i32 i64 u32 u64 usize Duration }

impl<D: IntoDuration> IntoTimeout for Option<D> {
    fn into_timeout(self) -> Option<Duration> {
        self.map(IntoDuration::into_duration)
    }
}

/// Awaits a future, but no longer than `delay` (seconds, `Duration`, or `None` for no limit); asyncio: `timeout`.
///
/// When the time is over the body is *asked* to end (S105): it may clean up, with awaits, and this waits for that, so
/// the whole may take longer than `delay`. Then the await gives `Err(TimeoutError)`. If the body swallows the request
/// and returns a value, that is the result (S107). A body that is ready without suspending is never disturbed, however
/// late it is (S104). The time counts from the first poll.
///
/// # Cancel safety
///
/// A request from outside goes to the body, as if this were not here, and wins over the timeout (S106). Dropping this
/// drops the body; nobody hears of it.
///
/// # Panics
///
/// If the body suspends outside of a running loop.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::{TimeoutError, timeout};
///
/// asyncio_runtime::run(async {
///     assert_eq!(timeout(1.0, async { "in time" }).await, Ok("in time"));
///     assert_eq!(timeout(0.001, std::future::pending::<()>()).await, Err(TimeoutError));
/// });
/// ```
pub fn timeout<F: IntoFuture>(delay: impl IntoTimeout, future: F) -> Timeout<F::IntoFuture> {
    Timeout::new(
        match delay.into_timeout() {
            Some(delay) => Limit::After(delay),
            None => Limit::Never,
        },
        future,
    )
}

/// The same with a time of the loop's clock; asyncio: `timeout_at`.
///
/// # Cancel safety
///
/// As [`timeout`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// asyncio_runtime::run(async {
///     let soon = asyncio_runtime::get_running_loop().time() + Duration::from_millis(1);
///     assert!(asyncio_tasks::timeout_at(soon, std::future::pending::<()>()).await.is_err());
/// });
/// ```
pub fn timeout_at<F: IntoFuture>(when: LoopTime, future: F) -> Timeout<F::IntoFuture> {
    Timeout::new(Limit::At(when), future)
}

/// Awaits a future or a task, but no longer than `delay`; asyncio: `wait_for`.
///
/// The same as [`timeout`] under the name that takes tasks: at the end of the time a task given by value is asked to
/// end, and this waits until it has (S92). If it returned a value nevertheless, that is the result (S93). A task that
/// must go on is given as `shield(&mut task)`.
///
/// # Cancel safety
///
/// As [`timeout`].
///
/// # Examples
///
/// ```
/// use asyncio_executor::spawn;
/// use asyncio_tasks::{TimeoutError, shield, wait_for};
///
/// asyncio_runtime::run(async {
///     let mut task = spawn(asyncio_tasks::sleep_with(0.002, "done"));
///     assert_eq!(wait_for(shield(&mut task), 0.001).await.unwrap_err(), TimeoutError);
///     assert_eq!(wait_for(task, None::<f64>).await.unwrap().unwrap(), "done");
/// });
/// ```
pub fn wait_for<F: IntoFuture>(future: F, delay: impl IntoTimeout) -> Timeout<F::IntoFuture> {
    timeout(delay, future)
}

pin_project! {
    /// Future of [`timeout`], [`timeout_at`] and [`wait_for`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        body: CatchCancelled<F>,
        limit: Limit,
        // The task's count of requests when the body was first polled (S106, S109).
        entered_with: u32,
        // The body was asked to end by this timeout.
        expired: bool,
    }
}

enum Limit {
    Never,
    /// Not polled yet.
    After(Duration),
    /// Not polled yet.
    At(LoopTime),
    /// Polled, outside of any loop: good as long as the body does not suspend.
    NoLoop,
    /// The time was over before the body began (S104).
    Over(Alarm),
    /// The body runs its first step.
    Until(LoopTime, Timers),
    /// The body has suspended.
    Armed(Sleep),
    /// A request went on outwards; nothing is left to do here.
    Raised,
}

/// A callback of the next turn, taken back when the body ends before (S5).
struct Alarm {
    callback: Handle,
    rang: Rc<Cell<bool>>,
}

impl Alarm {
    fn set(cx: &Context<'_>) -> Alarm {
        let rang = Rc::new(Cell::new(false));
        let (ring, waker) = (rang.clone(), cx.waker().clone());
        let callback = call_soon(move || {
            ring.set(true);
            waker.wake();
        });
        Alarm { callback, rang }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.callback.cancel();
    }
}

impl Limit {
    /// The first poll, before the body's first step: a step that blocks counts. False if there was one before.
    #[inline]
    fn begin(&mut self, cx: &Context<'_>) -> bool {
        match *self {
            Limit::After(Duration::ZERO) if is_entered() => *self = Limit::Over(Alarm::set(cx)),
            Limit::After(delay) => {
                *self = match Timers::try_current() {
                    Some(timers) => Limit::Until(timers.now() + delay, timers),
                    None => Limit::NoLoop,
                }
            }
            Limit::At(when) => {
                *self = match Timers::try_current() {
                    Some(timers) if when > timers.now() => Limit::Until(when, timers),
                    Some(_) => Limit::Over(Alarm::set(cx)),
                    None => Limit::NoLoop,
                }
            }
            _ => return false,
        }
        true
    }
}

impl<F: Future> Timeout<F> {
    fn new(
        limit: Limit,
        future: impl IntoFuture<IntoFuture = F, Output = F::Output>,
    ) -> Timeout<F> {
        Timeout {
            body: catch_cancelled(future),
            limit,
            entered_with: 0,
            expired: false,
        }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, TimeoutError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        match this.limit {
            Limit::Raised => return Poll::Pending,
            Limit::Armed(timer) => {
                if !*this.expired && Pin::new(timer).poll(cx).is_ready() {
                    *this.expired = true;
                    // As in a callback of asyncio's: what was asked here goes on in the next turn, and not before
                    // what it was passed on to.
                    this.body.as_mut().request(CancelledError::new());
                    return Poll::Pending;
                }
            }
            // S104: by a callback that was queued when the body began, so what was ready then has its turn first.
            Limit::Over(alarm) => {
                if !*this.expired && alarm.rang.get() {
                    *this.expired = true;
                    this.body.as_mut().request(CancelledError::new());
                }
            }
            _ => {
                if this.limit.begin(cx) {
                    *this.entered_with = cancelling();
                }
            }
        }
        loop {
            match this.body.as_mut().poll(cx) {
                Poll::Ready(ended) => {
                    // S105: what this timeout asked for it takes back.
                    let left = if *this.expired {
                        Some(uncancel())
                    } else {
                        None
                    };
                    return match (ended, left) {
                        (Ok(value), _) => Poll::Ready(Ok(value)),
                        (Err(_), Some(left)) if left <= *this.entered_with => {
                            Poll::Ready(Err(TimeoutError))
                        }
                        (Err(cancelled), _) => {
                            *this.limit = Limit::Raised;
                            cancelled.raise_in_poll()
                        }
                    };
                }
                Poll::Pending => match this.limit {
                    Limit::Until(..) => {
                        if let Limit::Until(when, timers) =
                            std::mem::replace(this.limit, Limit::Never)
                        {
                            *this.limit = Limit::Armed(Sleep::armed(when, timers, cx));
                        }
                        return Poll::Pending;
                    }
                    Limit::NoLoop => {
                        // Panics with the name of what is missing.
                        Timers::current();
                    }
                    _ => return Poll::Pending,
                },
            }
        }
    }
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("expired", &self.expired)
            .finish_non_exhaustive()
    }
}
