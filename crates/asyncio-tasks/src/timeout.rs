//! Timeouts: a scope that asks its own body to end when its time is over.

use std::borrow::BorrowMut;
use std::cell::Cell;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio_executor::{
    CancelledError, CatchCancelled, Handle, Task, call_soon, cancelling, catch_cancelled,
    is_entered,
};
use asyncio_timers::{IntoDuration, LoopTime, Sleep, Timers};
use pin_project_lite::pin_project;

use crate::group_task::GroupTask;
use crate::kinds;
use crate::request::Request;

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
/// late it is (S104). The time counts from the first poll. [`Timeout`](crate::Timeout) is the form that can be moved
/// while the body runs.
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
pub fn timeout<F: IntoFuture>(delay: impl IntoTimeout, future: F) -> WithTimeout<F::IntoFuture> {
    WithTimeout::new(
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
pub fn timeout_at<F: IntoFuture>(when: LoopTime, future: F) -> WithTimeout<F::IntoFuture> {
    WithTimeout::new(Limit::At(when), future)
}

/// Awaits a future or a task, but no longer than `delay`; asyncio: `wait_for`.
///
/// The same as [`timeout`] under the name that takes tasks: at the end of the time a task given by value is asked to
/// end, and this waits until it has (S92). If it returned a value nevertheless, that is the result (S93). A task that
/// must go on is given as `shield(&mut task)`.
///
/// With a delay of zero or less (S95) a task or [`Future`](crate::Future) that is done gives its result, and one that
/// is not is cancelled; a [`shield`](crate::shield()) gives that of the task behind it, which is not disturbed if it is
/// not done. Anything else, any `impl std::future::Future`, is not polled at all: what never started never starts, and
/// the result is `Err(TimeoutError)`. `timeout(0, …)` polls it once.
///
/// What else can be awaited is given as `it.into_future()`.
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
pub fn wait_for<Kind, F: WaitFor<Kind>>(
    future: F,
    delay: impl IntoTimeout,
) -> WithTimeout<F::IntoFuture> {
    match delay.into_timeout() {
        Some(Duration::ZERO) if F::HAS_BEGUN => WithTimeout::new(Limit::Now, future),
        // As many turns as in asyncio, where a task is made of it, cancelled and awaited.
        Some(Duration::ZERO) => WithTimeout::new(Limit::TooLate(3), future),
        Some(delay) => WithTimeout::new(Limit::After(delay), future),
        None => WithTimeout::new(Limit::Never, future),
    }
}

/// What [`wait_for`] takes: any future, or a handle of something that runs already. `Kind` only tells them apart.
///
/// Not meant to be implemented elsewhere.
#[diagnostic::on_unimplemented(
    message = "`wait_for` cannot wait for `{Self}`",
    label = "expected a future, a task or a promise; `.into_future()` makes one of what can be awaited"
)]
pub trait WaitFor<Kind>: IntoFuture {
    /// Whether it runs without being polled: then it is not too late for its result, however little time there is.
    #[doc(hidden)]
    const HAS_BEGUN: bool;
}

impl<F: Future> WaitFor<kinds::Unstarted> for F {
    const HAS_BEGUN: bool = false;
}

macro_rules! handles {
    ($([$($generics:tt)*] $handle:ty,)*) => { $(
        impl<$($generics)*> WaitFor<kinds::Handle> for $handle {
            const HAS_BEGUN: bool = true;
        }
    )* };
}

handles! {
    [T] Task<T>,
    [T] &mut Task<T>,
    [T: Clone + 'static] crate::Future<T>,
    [T: Clone + 'static] &crate::Future<T>,
    [T] GroupTask<T>,
    [T] &mut GroupTask<T>,
    [T: 'static, P: BorrowMut<Task<T>>] crate::Shield<T, P>,
}

pin_project! {
    /// Future of [`timeout`], [`timeout_at`] and [`wait_for`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct WithTimeout<F, C = ()> {
        #[pin]
        body: CatchCancelled<F>,
        limit: Limit,
        // The task's count of requests when the body was first polled (S106, S109).
        entered_with: u32,
        control: C,
    }
}

/// The strings from a timeout to whoever may move it; the plain functions have none.
pub(crate) trait Control {
    /// The timeout is polled, and will be polled again when this waker is woken.
    #[inline]
    fn polled(&self, _waker: &Waker) {}

    /// The time to go by from now on, if it was changed.
    #[inline]
    fn take_limit(&self) -> Option<Limit> {
        None
    }

    /// The body is about to begin.
    #[inline]
    fn begins(&self, _limit: &Limit) {}

    /// The time is over.
    #[inline]
    fn expires(&self) {}

    /// The body has ended.
    #[inline]
    fn ends(&self) {}
}

impl Control for () {}

pub(crate) enum Limit {
    Never,
    /// Not polled yet: a task or promise that is asked to end if it is not done (S95).
    Now,
    /// After so many turns the time is over, and nothing is polled any more (S95).
    TooLate(u8),
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
    /// The time is over and the body was asked to end.
    Expired(Request),
    /// There never was any time, and the body was asked to end.
    Refused(Request),
    /// A request went on outwards; nothing is left to do here.
    Raised,
}

/// A callback of the next turn, taken back when the body ends before (S5).
pub(crate) struct Alarm {
    callback: Handle,
    rang: Rc<Cell<bool>>,
}

impl Alarm {
    pub(crate) fn set(waker: Waker) -> Alarm {
        let rang = Rc::new(Cell::new(false));
        let ring = rang.clone();
        let callback = call_soon(move || {
            ring.set(true);
            waker.wake();
        });
        Alarm { callback, rang }
    }
}

impl Alarm {
    pub(crate) fn rang(&self) -> bool {
        self.rang.get()
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
            Limit::After(Duration::ZERO) if is_entered() => {
                *self = Limit::Over(Alarm::set(cx.waker().clone()))
            }
            Limit::After(delay) => {
                *self = match Timers::try_current() {
                    Some(timers) => Limit::Until(timers.now() + delay, timers),
                    None => Limit::NoLoop,
                }
            }
            Limit::At(when) => {
                *self = match Timers::try_current() {
                    Some(timers) if when > timers.now() => Limit::Until(when, timers),
                    Some(_) => Limit::Over(Alarm::set(cx.waker().clone())),
                    None => Limit::NoLoop,
                }
            }
            _ => return false,
        }
        true
    }
}

impl<F: Future> WithTimeout<F> {
    fn new(
        limit: Limit,
        future: impl IntoFuture<IntoFuture = F, Output = F::Output>,
    ) -> WithTimeout<F> {
        WithTimeout::controlled(limit, future, ())
    }
}

impl<F: Future, C> WithTimeout<F, C> {
    pub(crate) fn controlled(
        limit: Limit,
        future: impl IntoFuture<IntoFuture = F, Output = F::Output>,
        control: C,
    ) -> WithTimeout<F, C> {
        WithTimeout {
            body: catch_cancelled(future),
            limit,
            entered_with: 0,
            control,
        }
    }
}

#[allow(private_bounds)] // `C` is inferred; nobody names another.
impl<F: Future, C: Control> Future for WithTimeout<F, C> {
    type Output = Result<F::Output, TimeoutError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        this.control.polled(cx.waker());
        if let Some(limit) = this.control.take_limit() {
            *this.limit = limit;
        }
        match this.limit {
            Limit::Raised => return Poll::Pending,
            Limit::Armed(timer) => {
                if Pin::new(timer).poll(cx).is_ready() {
                    *this.limit = Limit::Expired(Request::count());
                    this.control.expires();
                    // As in a callback of asyncio's: what was asked here goes on in the next turn, and not before
                    // what it was passed on to.
                    if !this.body.as_mut().request(CancelledError::new()) {
                        return Poll::Pending;
                    }
                }
            }
            // S104: by a callback that was queued when the body began, so what was ready then has its turn first.
            Limit::Over(alarm) => {
                if alarm.rang() {
                    *this.limit = Limit::Expired(Request::count());
                    this.control.expires();
                    let _polled_at_once = this.body.as_mut().request(CancelledError::new());
                }
            }
            Limit::TooLate(0) => {
                *this.limit = Limit::Raised;
                return Poll::Ready(Err(TimeoutError));
            }
            Limit::TooLate(turns) => {
                *turns -= 1;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Limit::Now => *this.entered_with = cancelling(),
            _ => {
                if this.limit.begin(cx) {
                    *this.entered_with = cancelling();
                    this.control.begins(this.limit);
                }
            }
        }
        // asyncio hears of the end by a callback: one turn more, and another one before if it ends inside the request.
        let mut turns_more = 0;
        loop {
            match this.body.as_mut().poll(cx) {
                Poll::Ready(ended) => {
                    this.control.ends();
                    // S105: what this timeout asked for it takes back.
                    let left = match this.limit {
                        Limit::Expired(request) | Limit::Refused(request) => request.take_back(),
                        _ => None,
                    };
                    return match (ended, left) {
                        (Ok(value), _) => Poll::Ready(Ok(value)),
                        (Err(_), Some(left)) if left <= *this.entered_with => {
                            if let Limit::Refused(_) = this.limit {
                                *this.limit = Limit::TooLate(turns_more);
                                cx.waker().wake_by_ref();
                                return Poll::Pending;
                            }
                            Poll::Ready(Err(TimeoutError))
                        }
                        (Err(cancelled), _) => {
                            *this.limit = Limit::Raised;
                            cancelled.raise_in_poll()
                        }
                    };
                }
                Poll::Pending => {
                    if let Some(limit) = this.control.take_limit() {
                        *this.limit = limit;
                    }
                    match this.limit {
                        Limit::Until(..) => {
                            if let Limit::Until(when, timers) =
                                std::mem::replace(this.limit, Limit::Never)
                            {
                                *this.limit = Limit::Armed(Sleep::armed(when, timers, cx));
                            }
                            return Poll::Pending;
                        }
                        Limit::Now => {
                            *this.limit = Limit::Refused(Request::count());
                            turns_more = 1;
                            if !this.body.as_mut().request(CancelledError::new()) {
                                return Poll::Pending;
                            }
                        }
                        Limit::NoLoop => {
                            // Panics with the name of what is missing.
                            Timers::current();
                        }
                        _ => return Poll::Pending,
                    }
                }
            }
        }
    }
}

impl<F, C> fmt::Debug for WithTimeout<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithTimeout")
            .field("expired", &matches!(self.limit, Limit::Expired(_)))
            .finish_non_exhaustive()
    }
}
