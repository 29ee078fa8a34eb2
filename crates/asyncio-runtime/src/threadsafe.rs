//! A coroutine on one thread's loop, its result on another thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use asyncio_executor::{
    CancelledError, Forward, ForwardScope, PanicPayload, Task, TaskBuilder, TaskError,
};

use crate::handle::LoopHandle;

/// Runs a future as a task of a loop, from any thread; asyncio: `run_coroutine_threadsafe`.
///
/// The future need not be `Send`: only the closure travels, and makes it there, within the task. The task has a copy of
/// the calling thread's context.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use asyncio_runtime::{get_running_loop, run_coroutine_threadsafe};
///
/// asyncio_runtime::run(async {
///     let event_loop = get_running_loop();
///     let outcome = asyncio_blocking::unblock(move || {
///         let future = run_coroutine_threadsafe(|| async { 6 * 7 }, &event_loop);
///         future.result(None).unwrap() // this thread waits, the loop does not
///     });
///     assert_eq!(outcome.await.unwrap(), 42);
/// });
/// ```
#[track_caller]
pub fn run_coroutine_threadsafe<M, F>(
    make: M,
    event_loop: &LoopHandle,
) -> ConcurrentFuture<F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            outcome: None,
            waiting: Vec::new(),
        }),
        settled: Condvar::new(),
    });
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let promise = Promise(shared.clone());
    let place = Location::caller();
    // On a closed loop the closure is dropped, and with it the promise, which says so.
    let _ = event_loop.call_soon_plain(move || start(number, promise, make, place));
    ConcurrentFuture {
        shared,
        number,
        event_loop: event_loop.clone(),
    }
}

thread_local! {
    /// The tasks of this thread's loop whose futures are on other threads.
    static STARTED: RefCell<HashMap<u64, Rc<dyn Cancel>>> = RefCell::default();
}

trait Cancel {
    fn cancel(&self);
}

impl<T> Cancel for RefCell<Option<Task<T>>> {
    fn cancel(&self) {
        if let Some(task) = &*self.borrow() {
            task.cancel();
        }
    }
}

/// Its entry in `STARTED`.
struct Started(u64);

impl Drop for Started {
    fn drop(&mut self) {
        let gone = STARTED.try_with(|started| started.borrow_mut().remove(&self.0));
        drop(gone);
    }
}

fn start<M, F>(number: u64, promise: Promise<F::Output>, make: M, place: &'static Location<'static>)
where
    M: FnOnce() -> F + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    if promise.0.lock().outcome.is_some() {
        // Cancelled before it began.
        return;
    }
    let task = TaskBuilder::new()
        .spawned_at(place)
        .spawn(async move { make().await });
    let slot = Rc::new(RefCell::new(None));
    STARTED.with_borrow_mut(|started| started.insert(number, slot.clone()));
    let started = Started(number);
    let taken = slot.clone();
    task.add_done_callback(move || {
        drop(started);
        let task: Option<Task<F::Output>> = taken.take();
        if let Some(Ok(outcome)) = task.map(Task::try_take) {
            promise.settle(match outcome {
                Ok(value) => Ok(value),
                Err(TaskError::Cancelled(_)) => Err(ConcurrentError::Cancelled),
                Err(TaskError::Panicked(panic)) => Err(ConcurrentError::Panicked(panic)),
            });
        }
    });
    *slot.borrow_mut() = Some(task);
}

struct Shared<T> {
    state: Mutex<State<T>>,
    settled: Condvar,
}

struct State<T> {
    outcome: Option<Outcome<T>>,
    waiting: Vec<Waker>,
}

enum Outcome<T> {
    There(Result<T, ConcurrentError>),
    /// Cancelled by this side, or looked at: from here on it always says this.
    Cancelled,
    Taken,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code of a user's runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the outcome unless there is one; returns whether.
    fn settle(&self, outcome: Outcome<T>) -> bool {
        let waiting = {
            let mut state = self.lock();
            if state.outcome.is_some() {
                return false;
            }
            state.outcome = Some(outcome);
            std::mem::take(&mut state.waiting)
        };
        self.settled.notify_all();
        for waker in waiting {
            waker.wake();
        }
        true
    }
}

impl<T> State<T> {
    fn take(&mut self) -> Option<Result<T, ConcurrentError>> {
        match self.outcome.take()? {
            Outcome::There(Err(ConcurrentError::Cancelled)) | Outcome::Cancelled => {
                self.outcome = Some(Outcome::Cancelled);
                Some(Err(ConcurrentError::Cancelled))
            }
            Outcome::There(outcome) => {
                self.outcome = Some(Outcome::Taken);
                Some(outcome)
            }
            Outcome::Taken => {
                self.outcome = Some(Outcome::Taken);
                Some(Err(ConcurrentError::Taken))
            }
        }
    }
}

/// The loop's side: settles the future, at the latest when it is dropped.
struct Promise<T>(Arc<Shared<T>>);

impl<T> Promise<T> {
    fn settle(&self, outcome: Result<T, ConcurrentError>) {
        self.0.settle(Outcome::There(outcome));
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.settle(Err(ConcurrentError::LoopClosed));
    }
}

/// The result of a task on another thread's loop; asyncio: `concurrent.futures.Future`.
///
/// Dropping it lets the task run on. In a coroutine `await` it, or [`wrap_future`] it; elsewhere
/// [`result`](ConcurrentFuture::result) blocks the thread.
pub struct ConcurrentFuture<T> {
    shared: Arc<Shared<T>>,
    number: u64,
    event_loop: LoopHandle,
}

impl<T: Send + 'static> ConcurrentFuture<T> {
    /// Blocks this thread until the task has ended, and takes its result (S193).
    ///
    /// # Errors
    ///
    /// [`ConcurrentError`]: not within `timeout` (then the task goes on, and this can be called again), cancelled,
    /// panicked, taken before, or the loop was closed.
    ///
    /// # Panics
    ///
    /// In the loop's own thread, where it would wait for ever for itself (S193).
    #[track_caller]
    pub fn result(&self, timeout: Option<Duration>) -> Result<T, ConcurrentError> {
        assert!(
            self.done() || !self.event_loop.is_running(),
            "`ConcurrentFuture::result` was called in the thread of the loop that runs the task: it would wait for \
             itself for ever; await it instead"
        );
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.shared.lock();
        loop {
            if let Some(outcome) = state.take() {
                return outcome;
            }
            let settled = &self.shared.settled;
            state = match until {
                None => settled.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(ConcurrentError::TimedOut);
                    }
                    let (state, _) = settled
                        .wait_timeout(state, left)
                        .unwrap_or_else(PoisonError::into_inner);
                    state
                }
            };
        }
    }

    /// Cancels it, at once, and requests that the task end. False if there was an outcome.
    pub fn cancel(&self) -> bool {
        if !self.shared.settle(Outcome::Cancelled) {
            return false;
        }
        let number = self.number;
        // Behind the call that starts it. On a closed loop there is nothing left to cancel.
        let _ = self.event_loop.call_soon_plain(move || {
            let task = STARTED.with_borrow(|started| started.get(&number).cloned());
            if let Some(task) = task {
                task.cancel();
            }
        });
        true
    }
}

impl<T> ConcurrentFuture<T> {
    /// Whether there is an outcome.
    pub fn done(&self) -> bool {
        self.shared.lock().outcome.is_some()
    }

    /// Whether it was cancelled, or the task ended so.
    pub fn cancelled(&self) -> bool {
        matches!(
            self.shared.lock().outcome,
            Some(Outcome::Cancelled | Outcome::There(Err(ConcurrentError::Cancelled)))
        )
    }
}

impl<T> fmt::Debug for ConcurrentFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConcurrentFuture")
            .field("done", &self.done())
            .field("cancelled", &self.cancelled())
            .finish()
    }
}

impl<T: Send + 'static> IntoFuture for ConcurrentFuture<T> {
    type Output = Result<T, ConcurrentError>;
    type IntoFuture = WrapFuture<T>;

    fn into_future(self) -> WrapFuture<T> {
        wrap_future(self)
    }
}

/// Awaits a [`ConcurrentFuture`] on the current loop; asyncio: `wrap_future`. The same as awaiting it.
///
/// # Cancel safety
///
/// A request to the awaiting task cancels the future, and so requests that the task on the other loop end. Dropped, it
/// lets that task run on.
pub fn wrap_future<T: Send + 'static>(future: ConcurrentFuture<T>) -> WrapFuture<T> {
    WrapFuture {
        scope: ForwardScope::new(),
        future: Rc::new(future),
        raised: false,
    }
}

/// Future of [`wrap_future`].
#[must_use = "futures do nothing unless awaited"]
#[derive(Debug)]
pub struct WrapFuture<T> {
    scope: ForwardScope,
    future: Rc<ConcurrentFuture<T>>,
    raised: bool,
}

impl<T: Send + 'static> Future for WrapFuture<T> {
    type Output = Result<T, ConcurrentError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.raised {
            return Poll::Pending;
        }
        if let Some(request) = this.scope.take_request() {
            // S48: there, but not taken yet: lost to this await.
            this.raised = true;
            return request.raise_in_poll();
        }
        let outcome = {
            let mut state = this.future.shared.lock();
            let outcome = state.take();
            if outcome.is_none()
                && !state
                    .waiting
                    .iter()
                    .any(|known| known.will_wake(cx.waker()))
            {
                state.waiting.push(cx.waker().clone());
            }
            outcome
        };
        match outcome {
            None => {
                let future = &this.future;
                this.scope.suspend(cx, || future.clone());
                Poll::Pending
            }
            Some(outcome) => match (outcome, this.scope.finish()) {
                (Err(ConcurrentError::Cancelled), Some(request)) => {
                    this.raised = true;
                    request.raise_in_poll()
                }
                (outcome, _) => Poll::Ready(outcome),
            },
        }
    }
}

impl<T: Send + 'static> Forward for ConcurrentFuture<T> {
    fn forward(&self, _request: &CancelledError) -> bool {
        self.cancel()
    }

    fn is_settled(&self) -> bool {
        self.done()
    }

    fn label(&self) -> &'static str {
        "another thread"
    }
}

/// Why a [`ConcurrentFuture`] gave no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConcurrentError {
    /// The task has not ended in time; it goes on.
    TimedOut,
    /// The future was cancelled, or the task ended so.
    Cancelled,
    /// The task panicked.
    Panicked(PanicPayload),
    /// The loop was closed before the task ended, or had been closed before.
    LoopClosed,
    /// The result was taken before.
    Taken,
}

impl fmt::Display for ConcurrentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConcurrentError::TimedOut => f.write_str("the task has not ended in time: it goes on"),
            ConcurrentError::Cancelled => f.write_str("the task was cancelled"),
            ConcurrentError::Panicked(panic) => write!(f, "the task panicked: {}", panic.message()),
            ConcurrentError::LoopClosed => {
                f.write_str("the event loop is closed: the task has not ended and never will")
            }
            ConcurrentError::Taken => {
                f.write_str("the result was taken before: keep it where it is first asked for")
            }
        }
    }
}

impl std::error::Error for ConcurrentError {}
