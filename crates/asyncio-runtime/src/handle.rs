//! Handles: of the loop, for every thread, and of a timer.

use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use asyncio_blocking::{Job, ThreadPool};
use asyncio_executor::{
    Closed, Context, ExceptionContext, ExceptionHandler, Handle, Remote, Task, TaskFactory,
};
use asyncio_timers::{IntoDuration, LoopTime, TimerKey, Timers};

use crate::event_loop::{Inner, running};
use crate::stats::LoopStats;
use crate::threadsafe_handle::ThreadsafeHandle;

/// A handle to an event loop; asyncio: what `get_running_loop()` returns.
///
/// `Send + Sync`: [`call_soon_threadsafe`](LoopHandle::call_soon_threadsafe) and
/// [`is_closed`](LoopHandle::is_closed) work on every thread. Everything else acts on the running loop of this
/// thread, and says so when called elsewhere (S235).
#[derive(Clone)]
pub struct LoopHandle {
    remote: Remote,
}

/// The loop this runs on; asyncio: `get_running_loop`.
///
/// # Panics
///
/// Outside of a running loop; [`try_running_loop`] asks.
#[track_caller]
pub fn get_running_loop() -> LoopHandle {
    try_running_loop().expect(
        "no running event loop: `get_running_loop` must be called inside `asyncio::run(async { … })`",
    )
}

/// The loop this runs on, if any.
pub fn try_running_loop() -> Option<LoopHandle> {
    running().map(|inner| LoopHandle::new(inner.remote.clone()))
}

impl LoopHandle {
    pub(crate) fn new(remote: Remote) -> LoopHandle {
        LoopHandle { remote }
    }

    /// The loop, if it is the one running on this thread.
    #[track_caller]
    pub(crate) fn here(&self, what: &str) -> Rc<Inner> {
        match running() {
            Some(inner) if inner.remote.same_executor(&self.remote) => inner,
            Some(_) => panic!(
                "`{what}` was called on the handle of another event loop than the one running in this thread: use \
                 `call_soon_threadsafe` to reach it"
            ),
            None => panic!(
                "`{what}` was called outside of its running event loop: call it inside `asyncio::run(async {{ … }})`, \
                 or reach the loop from another thread with `call_soon_threadsafe`"
            ),
        }
    }

    /// Queues a callback from any thread and wakes the loop (S191). Calls from one thread keep their order. It runs in a
    /// copy of the calling thread's context.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the loop is closed; the callback is dropped on the calling thread.
    pub fn call_soon_threadsafe(
        &self,
        callback: impl FnOnce() + Send + 'static,
    ) -> Result<ThreadsafeHandle, Closed> {
        let (handle, run) = ThreadsafeHandle::new(callback);
        self.call_soon_plain(run)?;
        Ok(handle)
    }

    /// The same without a handle to take it back.
    pub(crate) fn call_soon_plain(
        &self,
        callback: impl FnOnce() + Send + 'static,
    ) -> Result<(), Closed> {
        if let Some(inner) = running()
            && inner.remote.same_executor(&self.remote)
        {
            // On the loop itself it is one of the calls of this thread, and keeps its place among them (S191).
            inner.executor.call_soon(callback);
            return Ok(());
        }
        self.remote.call(callback)
    }

    /// Queues a callback (S1).
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Handle {
        self.here("call_soon").call_soon(callback)
    }

    /// Queues a callback that runs in the given context itself, not in a copy of the current one; asyncio:
    /// `call_soon(…, context=…)` (S246).
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn call_soon_in(&self, context: &Context, callback: impl FnOnce() + 'static) -> Handle {
        self.here("call_soon_in").call_soon_in(context, callback)
    }

    /// Runs a callback after a delay, in seconds or as a `Duration` (S13).
    ///
    /// # Panics
    ///
    /// Outside of this running loop, or when the delay is not a number.
    #[track_caller]
    pub fn call_later(
        &self,
        delay: impl IntoDuration,
        callback: impl FnOnce() + 'static,
    ) -> TimerHandle {
        let inner = self.here("call_later");
        let when = inner.timers.now() + delay.into_duration();
        inner.call_at(when, callback)
    }

    /// Runs a callback at a time of the loop's clock (S14, S16).
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn call_at(&self, when: LoopTime, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.here("call_at").call_at(when, callback)
    }

    /// [`call_later`](LoopHandle::call_later) for a callback that runs in the given context itself, not in a copy of the
    /// current one; asyncio: `call_later(…, context=…)` (S246).
    ///
    /// # Panics
    ///
    /// As [`call_later`](LoopHandle::call_later).
    #[track_caller]
    pub fn call_later_in(
        &self,
        context: &Context,
        delay: impl IntoDuration,
        callback: impl FnOnce() + 'static,
    ) -> TimerHandle {
        let inner = self.here("call_later_in");
        let when = inner.timers.now() + delay.into_duration();
        inner.schedule_at(when, Handle::unscheduled_in(context, callback))
    }

    /// [`call_at`](LoopHandle::call_at) for a callback that runs in the given context itself (S246).
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn call_at_in(
        &self,
        context: &Context,
        when: LoopTime,
        callback: impl FnOnce() + 'static,
    ) -> TimerHandle {
        self.here("call_at_in")
            .schedule_at(when, Handle::unscheduled_in(context, callback))
    }

    /// Seconds of the loop's clock, from an arbitrary origin (S12).
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn time(&self) -> LoopTime {
        self.here("time").timers.now()
    }

    /// Makes a task; its first step runs when the caller suspends (S35).
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn create_task<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.here("create_task").executor.spawn(future)
    }

    /// Runs a blocking call on the loop's pool. The call starts at once, not when the job is awaited (S186).
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn run_in_executor<F, T>(&self, f: F) -> Job<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.here("run_in_executor").pool.borrow().submit(f)
    }

    /// Refuses new blocking calls and waits until the running ones have ended (S189).
    ///
    /// Gives up after `timeout` and returns false; `None` waits without limit.
    ///
    /// # Cancel safety
    ///
    /// The pool stays closed; nothing else is lost.
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    pub async fn shutdown_default_executor(&self, timeout: Option<Duration>) -> bool {
        let pool: ThreadPool = self.here("shutdown_default_executor").pool.borrow().clone();
        crate::runner::shut_down(&pool, timeout).await
    }

    /// Lets the run end with the turn it is in (S8).
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn stop(&self) {
        self.here("stop").stopping.set(true);
    }

    /// Whether this loop runs on this thread.
    pub fn is_running(&self) -> bool {
        running().is_some_and(|inner| inner.remote.same_executor(&self.remote))
    }

    /// Whether the loop was closed, asked from any thread.
    pub fn is_closed(&self) -> bool {
        self.remote.is_closed()
    }

    /// Replaces the exception handler; `None` puts the default back (S182, S183).
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn set_exception_handler(&self, handler: Option<ExceptionHandler>) {
        self.here("set_exception_handler")
            .executor
            .set_exception_handler(handler);
    }

    /// The exception handler that was set, if any.
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn get_exception_handler(&self) -> Option<ExceptionHandler> {
        self.here("get_exception_handler")
            .executor
            .exception_handler()
    }

    /// What happens to a report where no handler is set, and what a handler may do with what it does not want: prints
    /// it to standard error (S183).
    pub fn default_exception_handler(&self, context: &ExceptionContext) {
        context.print();
    }

    /// How tasks are started from now on where their builder does not say, see [`EventLoop::set_task_factory`].
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    ///
    /// [`EventLoop::set_task_factory`]: crate::EventLoop::set_task_factory
    #[track_caller]
    pub fn set_task_factory(&self, factory: TaskFactory) {
        self.here("set_task_factory")
            .executor
            .set_task_factory(factory);
    }

    /// How tasks are started.
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn get_task_factory(&self) -> TaskFactory {
        self.here("get_task_factory").executor.task_factory()
    }

    /// Turns debug mode on or off, see [`EventLoop::set_debug`](crate::EventLoop::set_debug).
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn set_debug(&self, on: bool) {
        self.here("set_debug").set_debug(on);
    }

    /// Whether debug mode is on.
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn get_debug(&self) -> bool {
        self.here("get_debug").executor.is_debug()
    }

    /// What debug mode reports as slow.
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn slow_callback_duration(&self) -> Duration {
        self.here("slow_callback_duration").slow_callback_duration()
    }

    /// Sets what debug mode reports as slow; asyncio: the attribute `slow_callback_duration`.
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn set_slow_callback_duration(&self, duration: impl IntoDuration) {
        self.here("set_slow_callback_duration")
            .set_slow_callback_duration(duration.into_duration());
    }

    /// Hands a report to the exception handler.
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn call_exception_handler(&self, context: ExceptionContext) {
        self.here("call_exception_handler").executor.report(context);
    }

    /// Figures since the loop was made.
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn stats(&self) -> LoopStats {
        self.here("stats").stats()
    }
}

impl PartialEq for LoopHandle {
    fn eq(&self, other: &LoopHandle) -> bool {
        self.remote.same_executor(&other.remote)
    }
}

impl Eq for LoopHandle {}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle")
            .field("running_here", &self.is_running())
            .finish_non_exhaustive()
    }
}

/// A callback waiting for its time; asyncio: `TimerHandle`.
///
/// Dropping it leaves the callback scheduled.
#[derive(Clone)]
pub struct TimerHandle {
    handle: Handle,
    timers: Timers,
    key: TimerKey,
    when: LoopTime,
}

impl TimerHandle {
    pub(crate) fn new(
        handle: Handle,
        timers: Timers,
        key: TimerKey,
        when: LoopTime,
    ) -> TimerHandle {
        TimerHandle {
            handle,
            timers,
            key,
            when,
        }
    }

    /// Takes the callback back, also when its time has come but not its turn (S5). Leaves nothing behind (S17).
    pub fn cancel(&self) {
        self.timers.cancel(self.key);
        self.handle.cancel();
    }

    /// Whether [`cancel`](TimerHandle::cancel) was called.
    pub fn cancelled(&self) -> bool {
        self.handle.cancelled()
    }

    /// The time it was set for; also after it fired or was cancelled (S17).
    pub fn when(&self) -> LoopTime {
        self.when
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle")
            .field("when", &self.when)
            .field("handle", &self.handle)
            .finish()
    }
}
