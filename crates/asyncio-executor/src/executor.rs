//! The executor itself: entering, running, closing.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::thread::{self, Thread};

use crate::callback::{self, Handle};
use crate::cancel::TaskError;
use crate::context::{self, Apart, Context};
use crate::debug::Debug;
use crate::exception::{ExceptionContext, ExceptionHandler};
use crate::local::{Entered, Local};
use crate::meta::flag;
use crate::pulse::Pulse;
use crate::run_queue::Entry;
use crate::shared::Remote;
use crate::stats::Stats;
use crate::task::{Task, spawn};
use crate::task_builder::TaskFactory;
use crate::task_ref::TaskRef;

/// Runs tasks and callbacks in the order they became ready, on the thread that made it.
///
/// An event loop owns one and lets it take turns with its timers and its reactor ([`run_ready`](Executor::run_ready));
/// alone, [`run`](Executor::run) drives a future to its end and parks the thread while nothing is ready.
///
/// Dropping it closes it, see [`close`](Executor::close).
///
/// # Examples
///
/// ```
/// use asyncio_executor::{Executor, spawn, yield_now};
///
/// let executor = Executor::new();
/// let sum = executor.run(async {
///     let tasks: Vec<_> = (1..=3).map(|n| spawn(async move { yield_now().await; n * 10 })).collect();
///     let mut sum = 0;
///     for task in tasks {
///         sum += task.await.unwrap();
///     }
///     sum
/// });
/// assert_eq!(sum.unwrap(), 60);
/// ```
pub struct Executor {
    local: Rc<Local>,
    closed: Cell<bool>,
    /// The thread `run` parks; `None` with a pender of the user's.
    parked: Option<Thread>,
}

impl Executor {
    /// An executor that unparks the current thread when another thread has something for it.
    pub fn new() -> Executor {
        let thread = thread::current();
        let unpark = thread.clone();
        Executor {
            local: Local::new(Box::new(move || unpark.unpark())),
            closed: Cell::new(false),
            parked: Some(thread),
        }
    }

    /// An executor that calls `pender`, on the foreign thread, when another thread has something for it.
    ///
    /// The pender must make a loop that sleeps, or is about to, come back to [`take_foreign`](Executor::take_foreign).
    /// It is not called again before the loop did.
    pub fn with_pender(pender: impl Fn() + Send + Sync + 'static) -> Executor {
        Executor {
            local: Local::new(Box::new(pender)),
            closed: Cell::new(false),
            parked: None,
        }
    }

    /// Makes this the current executor of the thread for the length of a closure.
    ///
    /// Inside, [`spawn`](crate::spawn) and the like find it, and wakes take the short way. Nests.
    pub fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        let _entered: Entered = self.local.enter();
        f()
    }

    /// Makes a task; its first step is queued (S35).
    ///
    /// On a closed executor the future is dropped and the task has ended cancelled.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let location = Location::caller();
        self.enter(|| spawn(&self.local, future, location))
    }

    /// Queues a callback (S1). On a closed executor it is dropped.
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Handle {
        let context = context::copy_current();
        call_soon_on(&self.local, callback, context, Location::caller())
    }

    /// Queues a callback that runs in the given context itself, not in a copy of the current one; asyncio:
    /// `call_soon(…, context=…)`.
    #[track_caller]
    pub fn call_soon_in(&self, context: &Context, callback: impl FnOnce() + 'static) -> Handle {
        let context = Some(context.clone());
        call_soon_on(&self.local, callback, context, Location::caller())
    }

    /// Queues a wake: the waker is woken when its turn comes, as a callback would be, without the callback (S19).
    pub fn wake_soon(&self, waker: Waker) {
        if !self.local.is_closing() {
            self.local.push(Entry::Wake(waker));
        }
    }

    /// How many entries are ready to run.
    #[inline]
    pub fn ready_len(&self) -> usize {
        self.local.ready_len()
    }

    /// Whether another thread has announced something. One relaxed load.
    #[inline]
    pub fn foreign_announced(&self) -> bool {
        self.local.foreign_announced()
    }

    /// Moves what other threads sent into the ready queue; returns how much.
    #[inline]
    pub fn take_foreign(&self) -> usize {
        self.local.take_foreign()
    }

    /// Runs exactly what is ready now; what becomes ready meanwhile waits for the next call (S2). Returns how many
    /// entries ran. Enters the executor if it is not the one entered.
    #[inline]
    pub fn run_ready(&self) -> usize {
        if !self.local.is_plain() {
            return self.run_ready_with_care();
        }
        self.local.begin_turn();
        let ran = self.local.run(self.local.ready_len());
        self.local.end_turn();
        ran
    }

    /// The executor is not entered, or in a context, or in debug mode.
    #[cold]
    fn run_ready_with_care(&self) -> usize {
        // A step finds its executor through the thread's current one: with none, or with another, it would take
        // somebody else's task for its own.
        let _entered = self.local.enter();
        // The caller's context is not that of the tasks.
        let _apart = Apart::set(&self.local);
        self.local.begin_turn();
        let ready = self.local.ready_len();
        let ran = match (self.local.debug(), self.local.pulse()) {
            (None, None) => self.local.run(ready),
            (debug, pulse) => self
                .local
                .run_watched(ready, debug.as_ref(), pulse.as_deref()),
        };
        self.local.end_turn();
        ran
    }

    /// Drives a future, as a task, to its end, parking the thread while nothing is ready.
    ///
    /// Other tasks run meanwhile; those left when it ends stay for the next `run`. Use it where no event loop does:
    /// nothing here waits for time or descriptors.
    ///
    /// # Errors
    ///
    /// [`TaskError`] if the future was cancelled or panicked.
    ///
    /// # Panics
    ///
    /// On an executor with a pender of its own, and on another thread than it was made on: the wake would go astray.
    #[track_caller]
    pub fn run<F>(&self, future: F) -> Result<F::Output, TaskError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        assert!(
            self.parked
                .as_ref()
                .is_some_and(|thread| thread.id() == thread::current().id()),
            "`Executor::run` parks the thread that called `Executor::new`; with a pender, write the loop around \
             `run_ready` yourself"
        );
        let mut task = self.spawn(future);
        self.enter(|| {
            loop {
                match task.try_take() {
                    Ok(outcome) => return outcome,
                    Err(unfinished) => task = unfinished,
                }
                self.take_foreign();
                if self.run_ready() == 0 && !self.foreign_announced() {
                    thread::park();
                }
            }
        })
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote {
        // SAFETY: the executor keeps it alive.
        unsafe { Remote::new(self.local.shared) }
    }

    /// Tasks that have not ended, oldest first (S42).
    pub fn all_tasks(&self) -> Vec<TaskRef> {
        self.enter(|| all_tasks_on(&self.local))
    }

    /// Replaces the exception handler; `None` puts the default back, which prints to standard error.
    pub fn set_exception_handler(
        &self,
        handler: Option<ExceptionHandler>,
    ) -> Option<ExceptionHandler> {
        self.local.set_handler(handler)
    }

    /// The exception handler that was set, if any.
    pub fn exception_handler(&self) -> Option<ExceptionHandler> {
        self.local.handler()
    }

    /// How tasks are started from now on, where their builder does not say.
    pub fn set_task_factory(&self, factory: TaskFactory) {
        self.local.set_task_factory(factory);
    }

    /// How tasks are started.
    pub fn task_factory(&self) -> TaskFactory {
        self.local.task_factory()
    }

    /// Turns debug mode on or off. A run that is on goes over with the next turn.
    ///
    /// Off, it costs nothing.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc, time::Duration};
    /// use asyncio_executor::{Debug, Executor};
    ///
    /// let executor = Executor::new();
    /// let now = Rc::new(Cell::new(Duration::ZERO));
    /// let clock = now.clone();
    /// executor.set_debug(Some(Debug::new(Duration::from_millis(100), move || clock.get())));
    ///
    /// let reports = Rc::new(Cell::new(0));
    /// let count = reports.clone();
    /// executor.set_exception_handler(Some(Rc::new(move |_| count.set(count.get() + 1))));
    /// executor.run(async move { now.set(Duration::from_secs(1)) }).unwrap();
    /// assert_eq!(reports.get(), 1);
    /// ```
    pub fn set_debug(&self, debug: Option<Debug>) {
        self.local.set_debug(debug);
    }

    /// Whether debug mode is on.
    pub fn is_debug(&self) -> bool {
        self.local.debug().is_some()
    }

    /// From the next turn on says in `pulse` what it runs, for other threads to see; `None` ends that. Off, it costs
    /// nothing; on, about 0.1 us for each step.
    pub fn set_pulse(&self, pulse: Option<Arc<Pulse>>) {
        self.local.set_pulse(pulse);
    }

    /// Hands a report to the exception handler; asyncio: `loop.call_exception_handler`.
    pub fn report(&self, context: crate::ExceptionContext) {
        self.local.report(context);
    }

    /// Counters since the executor was made.
    pub fn stats(&self) -> Stats {
        self.local.stats()
    }

    /// Whether [`close`](Executor::close) was called.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Ends everything: every task's future is dropped where it stands, queued callbacks are dropped unrun (S11).
    ///
    /// Nothing can be scheduled afterwards. Tasks get no request and no async cleanup here: cancel them and run the
    /// executor until they ended before closing it. Does nothing the second time.
    ///
    /// A waker that another thread is using at this very moment may hold on to its task's future; close waits for it,
    /// up to a second, and otherwise leaves the future undropped, because dropping it elsewhere would be unsound.
    ///
    /// # Panics
    ///
    /// When called from within one of its own tasks or callbacks.
    pub fn close(&self) {
        if self.closed.get() {
            return;
        }
        self.enter(|| {
            let local = &*self.local;
            assert!(
                local.current_meta().is_none() && !local.is_running(),
                "an executor cannot be closed by one of its own tasks or callbacks: return from the run first"
            );
            // Before the reports: their handler may close again.
            self.closed.set(true);
            // S36: Python's report for a pending task that goes, made at the one place where ours go.
            for task in self.all_tasks() {
                local.report_of(
                    task.meta(),
                    ExceptionContext {
                        task: Some(task.info()),
                        ..ExceptionContext::new("a task was destroyed but it is pending")
                    },
                );
            }
            local.start_closing();
            // SAFETY: the bias, which `Local` gives up when it is dropped.
            let injector = unsafe { &local.shared.as_ref().injector };

            let mut patience = 1000;
            loop {
                local.each_suspended(|meta| {
                    meta.set(flag::CLOSING);
                    meta.wake();
                });
                local.take_foreign();
                let ran = local.run_closing();
                if local.living() == 0 || patience == 0 {
                    break;
                }
                if ran == 0 {
                    // Every task left is neither queued nor can be woken by us: a foreign thread has marked it as
                    // scheduled and is about to push it.
                    patience -= 1;
                    thread::sleep(std::time::Duration::from_millis(1));
                }
            }
            // Streams flush what they gathered.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| local.end_turn())) {
                local.report(crate::ExceptionContext::panic(
                    "panic at the end of the last turn of an event loop",
                    panic,
                    None,
                    None,
                ));
            }
            injector.close();
            injector.drain(|item| local.push_foreign(item));
            local.run_closing();
            // A push that was past the closed check when we closed.
            injector.drain(|item| local.push_foreign(item));
            local.run_closing();
        });
    }
}

impl Default for Executor {
    fn default() -> Executor {
        Executor::new()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor")
            .field("living", &self.local.living())
            .field("ready", &self.local.ready_len())
            .field("closed", &self.closed.get())
            .finish()
    }
}

pub(crate) fn call_soon_on(
    local: &Local,
    callback: impl FnOnce() + 'static,
    context: Option<Context>,
    location: &'static Location<'static>,
) -> Handle {
    let call = callback::once(callback, context, location);
    if local.is_closing() {
        call.cancel();
    } else {
        local.push(Entry::Call(call.clone()));
    }
    Handle { call }
}

pub(crate) fn all_tasks_on(local: &Local) -> Vec<TaskRef> {
    oldest_tasks_on(local, usize::MAX)
}

/// The tasks that suspended first, at most so many, oldest first. Takes no longer however many there are.
pub(crate) fn oldest_tasks_on(local: &Local, limit: usize) -> Vec<TaskRef> {
    // A task is in the ready queue once: these are enough, be they new or in the list already.
    local.keep_new_tasks(limit);
    let mut tasks = Vec::with_capacity(local.living().min(limit));
    let _ = local.try_each_suspended(|meta| {
        if tasks.len() == limit {
            return ControlFlow::Break(());
        }
        tasks.extend(TaskRef::of(meta));
        ControlFlow::Continue(())
    });
    tasks.sort_unstable_by_key(TaskRef::id);
    tasks
}
