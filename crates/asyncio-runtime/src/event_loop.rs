//! The loop as an object: making, running, stopping, closing.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use asyncio_blocking::{Job, ThreadPool};
use asyncio_executor::{
    Context, ExceptionContext, Executor, Handle, Remote, Task, TaskBuilder, TaskFactory, TaskRef,
};
use asyncio_inspect::Registration;
use asyncio_reactor::Reactor;
use asyncio_timers::{Clock, IntoDuration, LoopTime, Timers};

use crate::debug::{self, SlowCallbacks};
use crate::error::RunError;
use crate::handle::{LoopHandle, TimerHandle};
use crate::stats::LoopStats;
use crate::turn::Pace;

/// An event loop; asyncio: `EventLoop`.
///
/// Belongs to the thread that made it. [`run`](crate::run) and [`Runner`](crate::Runner) make, use and close one for
/// you; take it into your own hands to run several things on one loop or to turn it from another main loop.
///
/// Dropping it closes it; in debug mode that is reported, as it is asyncio's to say so (S236).
///
/// # Examples
///
/// ```
/// use asyncio_runtime::EventLoop;
///
/// let event_loop = EventLoop::new()?;
/// let three = event_loop.run_until_complete(async { 1 + 2 })?;
/// assert_eq!(three, 3);
/// event_loop.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EventLoop {
    inner: Rc<Inner>,
}

/// What the loop and its handles share.
pub(crate) struct Inner {
    pub(crate) executor: Executor,
    pub(crate) timers: Timers,
    pub(crate) reactor: Reactor,
    /// The default executor for blocking calls; its threads start when first needed.
    pub(crate) pool: RefCell<ThreadPool>,
    pub(crate) remote: Remote,
    pub(crate) clock_is_virtual: bool,
    pub(crate) running: Cell<bool>,
    pub(crate) stopping: Cell<bool>,
    pub(crate) closed: Cell<bool>,
    pub(crate) pace: Pace,
    pub(crate) slow: SlowCallbacks,
    #[cfg(unix)]
    pub(crate) signal_handlers: crate::signal_handlers::SignalHandlers,
    /// Where it was made.
    made_at: &'static Location<'static>,
    /// Lets `asyncio ps` and `asyncio pstree` ask it.
    _registration: Registration,
}

thread_local! {
    /// The loop that runs on this thread.
    static RUNNING: RefCell<Option<Rc<Inner>>> = const { RefCell::new(None) };
}

/// The loop that runs on this thread.
pub(crate) fn running() -> Option<Rc<Inner>> {
    RUNNING.with_borrow(Clone::clone)
}

/// Options of a loop; from [`EventLoop::builder`].
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    clock: Option<Clock>,
    pool: Option<ThreadPool>,
    debug: Option<bool>,
}

impl Builder {
    /// The clock of `time()`, sleeps and timeouts; [`Clock::auto`] makes time jump whenever the loop is idle.
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.clock = Some(clock);
        self
    }

    /// The pool behind `to_thread` and `run_in_executor`; by default one of its own, of
    /// [`ThreadPool::default_size`] threads at most.
    pub fn default_executor(mut self, pool: ThreadPool) -> Builder {
        self.pool = Some(pool);
        self
    }

    /// Debug mode, whatever the environment variable `ASYNCIO_DEBUG` says (S233). See [`EventLoop::set_debug`].
    pub fn debug(mut self, on: bool) -> Builder {
        self.debug = Some(on);
        self
    }

    /// Makes the loop.
    ///
    /// # Errors
    ///
    /// When the system refuses the descriptors the reactor needs (an epoll instance, an eventfd and a timer on Linux).
    #[track_caller]
    pub fn build(self) -> io::Result<EventLoop> {
        let reactor = Reactor::new()?;
        let notifier = reactor.notifier();
        let executor = Executor::with_pender(move || notifier.notify());
        let clock = self.clock.unwrap_or_else(Clock::system);
        let now = clock.now();
        let pool = self
            .pool
            .unwrap_or_else(|| ThreadPool::new(ThreadPool::default_size()));
        let event_loop = EventLoop {
            inner: Rc::new(Inner {
                remote: executor.remote(),
                made_at: Location::caller(),
                _registration: asyncio_inspect::register(&executor),
                executor,
                clock_is_virtual: clock.is_virtual(),
                timers: Timers::new(clock),
                reactor,
                pool: RefCell::new(pool),
                running: Cell::new(false),
                stopping: Cell::new(false),
                closed: Cell::new(false),
                pace: Pace::new(now),
                slow: SlowCallbacks::default(),
                #[cfg(unix)]
                signal_handlers: Default::default(),
            }),
        };
        if self.debug.unwrap_or_else(debug::wanted_by_environment) {
            event_loop.set_debug(true);
        }
        Ok(event_loop)
    }
}

impl EventLoop {
    /// A loop with the system's clock and a thread pool of its own; asyncio: `new_event_loop`.
    ///
    /// # Errors
    ///
    /// See [`Builder::build`].
    #[track_caller]
    pub fn new() -> io::Result<EventLoop> {
        EventLoop::builder().build()
    }

    /// Options for a loop.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A handle to this loop, also for other threads.
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::new(self.inner.remote.clone())
    }

    /// Runs a future, as a task, to its end and gives its result (S9).
    ///
    /// Other tasks run meanwhile; those that are left stay for the next run.
    ///
    /// # Errors
    ///
    /// [`RunError`]: the loop is closed or one is running; `stop()` came first; the future was cancelled or panicked.
    #[track_caller]
    pub fn run_until_complete<F>(&self, future: F) -> Result<F::Output, RunError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.check_can_run()?;
        let mut task = self.inner.executor.spawn(future);
        match self.run_task(&mut task) {
            Ok(output) => Ok(output),
            Err(error) => {
                // The task may go on in another run; its outcome is nobody's then.
                task.detach();
                Err(error)
            }
        }
    }

    /// The same for a task that exists: it can be run again after `stop()` (S9).
    ///
    /// # Errors
    ///
    /// As [`run_until_complete`](EventLoop::run_until_complete). After the outcome was given the task is spent.
    pub fn run_task<T: 'static>(&self, task: &mut Task<T>) -> Result<T, RunError> {
        self.check_can_run()?;
        let inner = self.inner.clone();
        let callback = task.add_done_callback(move || inner.stopping.set(true));
        let stopped = self.run_forever();
        if !task.done() {
            task.remove_done_callback(callback);
            stopped?;
            return Err(RunError::Stopped);
        }
        stopped?;
        match task.poll_outcome(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
            std::task::Poll::Ready(outcome) => Ok(outcome?),
            std::task::Poll::Pending => Err(RunError::Stopped),
        }
    }

    /// Runs until `stop()` is called; the turn in which that happens is finished (S8).
    ///
    /// # Errors
    ///
    /// The loop is closed, one is running in this thread, or the reactor failed.
    pub fn run_forever(&self) -> Result<(), RunError> {
        self.check_can_run()?;
        self.entered(|inner| {
            // S8: a stop that came before the run lets one turn pass.
            let outcome = loop {
                if let Err(error) = inner.turn(None) {
                    break Err(error);
                }
                if inner.stopping.get() {
                    break Ok(());
                }
            };
            inner.stopping.set(false);
            outcome
        })?;
        Ok(())
    }

    /// One turn, for those who have a main loop already: waits at most `max_wait` for something to do (`None`: without
    /// limit), takes in what became ready, runs exactly that, and returns how many steps and callbacks ran.
    ///
    /// # Errors
    ///
    /// As [`run_forever`](EventLoop::run_forever).
    pub fn turn(&self, max_wait: Option<Duration>) -> Result<usize, RunError> {
        self.check_can_run()?;
        Ok(self.entered(|inner| inner.turn(max_wait))?)
    }

    /// Makes the loop and its leaves current for the length of `f`.
    fn entered<R>(&self, f: impl FnOnce(&Inner) -> R) -> R {
        /// Also when a turn panics.
        struct Leave<'a>(&'a Inner);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.running.set(false);
                RUNNING.with_borrow_mut(Option::take);
            }
        }
        let inner = &self.inner;
        inner.running.set(true);
        RUNNING.with_borrow_mut(|running| *running = Some(inner.clone()));
        let _leave = Leave(inner);
        let pool = inner.pool.borrow().clone();
        let _pool = pool.enter();
        let _timers = inner.timers.enter();
        let _reactor = inner.reactor.enter();
        inner.executor.enter(|| f(inner))
    }

    fn check_can_run(&self) -> Result<(), RunError> {
        if self.inner.closed.get() {
            return Err(RunError::Closed);
        }
        if self.inner.running.get() || running().is_some() {
            return Err(RunError::AlreadyRunning);
        }
        Ok(())
    }

    /// Lets the run end with the turn it is in, or the next run after one turn (S8).
    pub fn stop(&self) {
        self.inner.stopping.set(true);
    }

    /// Whether it is running now.
    pub fn is_running(&self) -> bool {
        self.inner.running.get()
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.inner.closed.get()
    }

    /// Closes the loop: drops queued callbacks, timers, the futures of tasks that are left, and the callbacks of
    /// `add_reader`, `add_writer` and signals with all they own, and lets the pool's threads go without waiting for them
    /// (S11). Does nothing the second time.
    ///
    /// Children that still run are left to the next loop that starts one, or waits for them.
    ///
    /// Tasks get no chance to clean up here; [`Runner::close`](crate::Runner::close) cancels them first.
    ///
    /// # Errors
    ///
    /// [`RunError::AlreadyRunning`] while it runs.
    pub fn close(&self) -> Result<(), RunError> {
        if self.inner.closed.get() {
            return Ok(());
        }
        if self.inner.running.get() {
            return Err(RunError::AlreadyRunning);
        }
        self.inner.closed.set(true);
        // Futures dropped here may deregister from the leaves, so these are current once more.
        let _timers = self.inner.timers.enter();
        let _reactor = self.inner.reactor.enter();
        #[cfg(unix)]
        self.inner.signal_handlers.clear();
        self.inner.executor.close();
        self.inner.timers.clear();
        self.inner.pool.borrow().close();
        self.inner.reactor.close();
        Ok(())
    }

    /// Seconds of the loop's clock, from an arbitrary origin (S12).
    pub fn time(&self) -> LoopTime {
        self.inner.timers.now()
    }

    /// Queues a callback (S1).
    ///
    /// # Panics
    ///
    /// When the loop is closed (S10).
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Handle {
        self.inner.call_soon(callback)
    }

    /// Queues a callback that runs in the given context itself, not in a copy of the current one; asyncio:
    /// `call_soon(…, context=…)` (S246).
    ///
    /// # Panics
    ///
    /// When the loop is closed.
    #[track_caller]
    pub fn call_soon_in(&self, context: &Context, callback: impl FnOnce() + 'static) -> Handle {
        self.inner.call_soon_in(context, callback)
    }

    /// Runs a callback after a delay, in seconds or as a `Duration` (S13).
    ///
    /// # Panics
    ///
    /// When the loop is closed, or the delay is not a number.
    #[track_caller]
    pub fn call_later(
        &self,
        delay: impl IntoDuration,
        callback: impl FnOnce() + 'static,
    ) -> TimerHandle {
        self.inner
            .call_at(self.time() + delay.into_duration(), callback)
    }

    /// Runs a callback at a time of the loop's clock; same times keep their order (S14, S16).
    ///
    /// # Panics
    ///
    /// When the loop is closed.
    #[track_caller]
    pub fn call_at(&self, when: LoopTime, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.inner.call_at(when, callback)
    }

    /// [`call_later`](EventLoop::call_later) for a callback that runs in the given context itself, not in a copy of the
    /// current one; asyncio: `call_later(…, context=…)` (S246).
    ///
    /// # Panics
    ///
    /// As [`call_later`](EventLoop::call_later).
    #[track_caller]
    pub fn call_later_in(
        &self,
        context: &Context,
        delay: impl IntoDuration,
        callback: impl FnOnce() + 'static,
    ) -> TimerHandle {
        self.call_at_in(context, self.time() + delay.into_duration(), callback)
    }

    /// [`call_at`](EventLoop::call_at) for a callback that runs in the given context itself (S246).
    ///
    /// # Panics
    ///
    /// When the loop is closed.
    #[track_caller]
    pub fn call_at_in(
        &self,
        context: &Context,
        when: LoopTime,
        callback: impl FnOnce() + 'static,
    ) -> TimerHandle {
        self.inner
            .schedule_at(when, Handle::unscheduled_in(context, callback))
    }

    /// Makes a task; its first step runs when the loop does (S35).
    ///
    /// # Panics
    ///
    /// When the loop is closed.
    #[track_caller]
    pub fn create_task<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.inner.check_open("create_task");
        self.inner.executor.spawn(future)
    }

    /// Runs a blocking call on the loop's pool. The call starts at once, not when the job is awaited (S186).
    pub fn run_in_executor<F, T>(&self, f: F) -> Job<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.inner.pool.borrow().submit(f)
    }

    /// Replaces the pool behind `run_in_executor` and, from the next run on, `to_thread` (S190). The former one is handed
    /// back, and not shut down.
    pub fn set_default_executor(&self, pool: ThreadPool) -> ThreadPool {
        self.inner.pool.replace(pool)
    }

    /// Replaces the handler for what nobody else can hear of: panics in callbacks, outcomes nobody looked at (S182).
    /// `None` puts the default back, which prints to standard error (S183).
    pub fn set_exception_handler(&self, handler: Option<asyncio_executor::ExceptionHandler>) {
        self.inner.executor.set_exception_handler(handler);
    }

    /// The handler that was set, if any.
    pub fn get_exception_handler(&self) -> Option<asyncio_executor::ExceptionHandler> {
        self.inner.executor.exception_handler()
    }

    /// How tasks are started from now on where their builder does not say: lazily, or eagerly (S237, S242).
    pub fn set_task_factory(&self, factory: TaskFactory) {
        self.inner.executor.set_task_factory(factory);
    }

    /// How tasks are started.
    pub fn get_task_factory(&self) -> TaskFactory {
        self.inner.executor.task_factory()
    }

    /// Turns debug mode on or off (S233). At first it is what the environment variable `ASYNCIO_DEBUG` says.
    ///
    /// In debug mode every step and callback that takes [`slow_callback_duration`](EventLoop::slow_callback_duration)
    /// or longer, by the loop's clock, is reported to the exception handler, with its name and place (S234). Off, it
    /// costs nothing.
    pub fn set_debug(&self, on: bool) {
        self.inner.set_debug(on);
    }

    /// Whether debug mode is on.
    pub fn get_debug(&self) -> bool {
        self.inner.executor.is_debug()
    }

    /// What debug mode reports as slow: 0.1 s, unless it was set.
    pub fn slow_callback_duration(&self) -> Duration {
        self.inner.slow_callback_duration()
    }

    /// Sets what debug mode reports as slow; asyncio: the attribute `slow_callback_duration`.
    pub fn set_slow_callback_duration(&self, duration: impl IntoDuration) {
        self.inner
            .set_slow_callback_duration(duration.into_duration());
    }

    /// Tasks that have not ended, oldest first (S42).
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.inner.executor.all_tasks()
    }

    /// Figures since the loop was made.
    pub fn stats(&self) -> LoopStats {
        self.inner.stats()
    }

    #[cfg(unix)]
    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn reactor(&self) -> &Reactor {
        &self.inner.reactor
    }

    /// Makes a task that runs in a context itself (S180).
    pub(crate) fn create_task_in<F>(
        &self,
        context: &Context,
        place: &'static Location<'static>,
        future: F,
    ) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.inner.check_open("create_task");
        let builder = TaskBuilder::new().context(context).spawned_at(place);
        self.inner.executor.enter(|| builder.spawn(future))
    }

    pub(crate) fn reference<T>(&self, task: &Task<T>) -> Option<TaskRef> {
        self.inner.executor.enter(|| task.as_ref())
    }

    pub(crate) fn pool(&self) -> ThreadPool {
        self.inner.pool.borrow().clone()
    }

    pub(crate) fn report(&self, context: ExceptionContext) {
        self.inner.executor.report(context);
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        if self.get_debug() && !self.is_closed() && !std::thread::panicking() {
            let mut context = ExceptionContext::new("an event loop was dropped and not closed");
            context.created_at = Some(self.inner.made_at);
            self.report(context);
        }
        // A loop that is running is borrowed by its run and cannot be dropped; the error is not reachable.
        let _ = self.close();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop")
            .field("running", &self.is_running())
            .field("closed", &self.is_closed())
            .field("executor", &self.inner.executor)
            .finish_non_exhaustive()
    }
}

impl Inner {
    #[track_caller]
    pub(crate) fn check_open(&self, what: &str) {
        assert!(
            !self.closed.get(),
            "`{what}` on a closed event loop: nothing can be scheduled on it any more"
        );
    }

    #[track_caller]
    pub(crate) fn call_soon(&self, callback: impl FnOnce() + 'static) -> Handle {
        self.check_open("call_soon");
        self.executor.call_soon(callback)
    }

    #[track_caller]
    pub(crate) fn call_soon_in(
        &self,
        context: &Context,
        callback: impl FnOnce() + 'static,
    ) -> Handle {
        self.check_open("call_soon_in");
        self.executor.call_soon_in(context, callback)
    }

    #[track_caller]
    pub(crate) fn call_at(&self, when: LoopTime, callback: impl FnOnce() + 'static) -> TimerHandle {
        self.schedule_at(when, Handle::unscheduled(callback))
    }

    #[track_caller]
    pub(crate) fn schedule_at(&self, when: LoopTime, handle: Handle) -> TimerHandle {
        self.check_open("call_at");
        // Through the timers even when the time has come (S13).
        let queued = handle.clone();
        let key = self
            .timers
            .call_at(when, Box::new(move || queued.schedule()));
        TimerHandle::new(handle, self.timers.clone(), key, when)
    }

    pub(crate) fn stats(&self) -> LoopStats {
        LoopStats {
            executor: self.executor.stats(),
            reactor: self.reactor.stats(),
            timers: self.timers.len(),
        }
    }
}
