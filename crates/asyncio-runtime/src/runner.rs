//! Running a program: one loop for one or several futures, and an orderly end.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use asyncio_blocking::ThreadPool;
use asyncio_executor::{Context, ExceptionContext, Task};
use asyncio_timers::Sleep;

use crate::error::RunError;
use crate::event_loop::{EventLoop, running};

/// How long the end of a run waits for blocking calls that are still running (S177).
const POOL_LIMIT: Duration = Duration::from_secs(300);

type LoopFactory = Box<dyn FnOnce() -> io::Result<EventLoop>>;

/// Makes a loop, runs a future on it, cancels what is left and waits for its cleanup, closes the loop; asyncio: `run`.
///
/// On Ctrl-C the main task is cancelled, so that cleanup runs; if it ends so, everything else is ended too, the standard
/// output of `std` is flushed, and the process leaves with the signal's exit status. The stack of `main` is not unwound:
/// other buffers are to be flushed by cleanup. A second Ctrl-C ends it at once (S181).
///
/// # Panics
///
/// - inside a running loop, with a message saying what to do instead (S175); [`Runner`] gives an error instead;
/// - when the future panicked (the same panic) or was cancelled;
/// - when the system refuses the loop's descriptors.
///
/// # Examples
///
/// ```
/// let sum = asyncio_runtime::run(async {
///     let task = asyncio_executor::spawn(async { 20 });
///     22 + task.await.unwrap()
/// });
/// assert_eq!(sum, 42);
/// ```
#[track_caller]
pub fn run<F>(future: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    run_once(Runner::new(), future)
}

/// One run, and the end of the runner, with whatever came of it.
#[track_caller]
pub(crate) fn run_once<F>(mut runner: Runner, future: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    let outcome = runner.run(future);
    // Everything is shut down before a panic or a signal leaves from here.
    let closed = runner.close();
    match outcome {
        Ok(output) => {
            if let Err(error) = closed {
                panic!("{error}");
            }
            output
        }
        Err(RunError::Panicked(panic)) => panic.resume(),
        #[cfg(unix)]
        Err(RunError::Interrupted) => crate::interrupt::leave_with_the_signals_status(),
        Err(error) => panic!("{error}"),
    }
}

/// Several runs on one loop; asyncio: `Runner`.
///
/// The loop is made when first needed. [`close`](Runner::close), or dropping the runner, ends what is left.
///
/// # Examples
///
/// ```
/// use asyncio_runtime::{RunError, Runner};
///
/// let mut runner = Runner::new();
/// assert_eq!(runner.run(async { 1 })?, 1);
/// assert_eq!(runner.run(async { 2 })?, 2);
/// runner.close()?;
/// assert!(matches!(runner.run(async { 3 }), Err(RunError::Closed)));
/// # Ok::<(), RunError>(())
/// ```
pub struct Runner {
    state: State,
    debug: Option<bool>,
    /// What the main futures so far have set (S180); `None` if nothing.
    context: Option<Context>,
}

enum State {
    /// No run yet; what makes the loop.
    New(LoopFactory),
    Open(EventLoop),
    Closed,
}

/// Options of a [`Runner`].
#[must_use = "a builder does nothing until `build` is called"]
#[derive(Default)]
pub struct RunnerBuilder {
    loop_factory: Option<LoopFactory>,
    debug: Option<bool>,
}

impl RunnerBuilder {
    /// Makes the runner's loop; asyncio: `loop_factory`. By default [`EventLoop::new`].
    pub fn loop_factory(
        mut self,
        factory: impl FnOnce() -> io::Result<EventLoop> + 'static,
    ) -> RunnerBuilder {
        self.loop_factory = Some(Box::new(factory));
        self
    }

    /// Turns the loop's debug mode on or off (S233); not called, the loop is left as it was made.
    pub fn debug(mut self, on: bool) -> RunnerBuilder {
        self.debug = Some(on);
        self
    }

    /// Makes the runner.
    pub fn build(self) -> Runner {
        Runner {
            debug: self.debug,
            context: None,
            state: State::New(
                self.loop_factory
                    .unwrap_or_else(|| Box::new(EventLoop::new)),
            ),
        }
    }
}

impl fmt::Debug for RunnerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunnerBuilder")
            .field("loop_factory", &self.loop_factory.is_some())
            .field("debug", &self.debug)
            .finish()
    }
}

impl Runner {
    /// A runner whose loop is made at the first run (S180).
    pub fn new() -> Runner {
        Runner::builder().build()
    }

    /// Options for a runner.
    pub fn builder() -> RunnerBuilder {
        RunnerBuilder::default()
    }

    /// The runner's loop, made now if it was not.
    ///
    /// # Errors
    ///
    /// [`RunError::Closed`] after `close`; [`RunError::Io`] when the loop could not be made.
    pub fn get_loop(&mut self) -> Result<&EventLoop, RunError> {
        if let State::New(_) = self.state {
            match std::mem::replace(&mut self.state, State::Closed) {
                State::New(factory) => match factory() {
                    Ok(event_loop) => {
                        if let Some(on) = self.debug {
                            event_loop.set_debug(on);
                        }
                        self.state = State::Open(event_loop);
                    }
                    Err(error) => {
                        // The next call tries again, with the default loop.
                        self.state = State::New(Box::new(EventLoop::new));
                        return Err(error.into());
                    }
                },
                other => self.state = other,
            }
        }
        match &self.state {
            State::Open(event_loop) => Ok(event_loop),
            _ => Err(RunError::Closed),
        }
    }

    /// Runs a future to its end on the runner's loop. Tasks that are left stay for the next run, and so do context
    /// variables that the future sets (S180).
    ///
    /// In the main thread the first Ctrl-C cancels the future's task; if it then ends cancelled this gives
    /// [`RunError::Interrupted`] (S181). So it does, and the output is dropped, if the future returned before it could hear
    /// of the Ctrl-C.
    ///
    /// # Errors
    ///
    /// [`RunError`]: inside a running loop (S175), after `close` (S180), when the future was cancelled, interrupted or
    /// panicked, or the loop was stopped.
    #[track_caller]
    pub fn run<F>(&mut self, future: F) -> Result<F::Output, RunError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        // Checked before anything is made (S175).
        if running().is_some() {
            return Err(RunError::AlreadyRunning);
        }
        let context = self.context.clone();
        let event_loop = self.get_loop()?;
        let mut task = match context {
            None => event_loop.create_task(future),
            Some(context) => event_loop.create_task_in(&context, Location::caller(), future),
        };
        let main = event_loop.reference(&task);
        let outcome = run_interruptibly(event_loop, &mut task);
        if let Some(context) = main.map(|main| main.context())
            && !context.is_empty()
        {
            self.context = Some(context);
        }
        if matches!(outcome, Err(RunError::Stopped)) {
            task.detach();
        }
        outcome
    }

    /// Ends everything, in the order of S177: cancels every task that is left and waits for all of them together,
    /// lets running blocking calls end (300 s at most), closes the loop. Does nothing the second time.
    ///
    /// A task that never ends keeps this waiting (S179).
    ///
    /// # Errors
    ///
    /// [`RunError::AlreadyRunning`] inside a running loop; [`RunError::Io`] when the reactor fails.
    pub fn close(&mut self) -> Result<(), RunError> {
        if running().is_some() {
            return Err(RunError::AlreadyRunning);
        }
        let State::Open(event_loop) = std::mem::replace(&mut self.state, State::Closed) else {
            return Ok(());
        };
        let pool = event_loop.pool();
        let left = event_loop.all_tasks();
        for task in &left {
            task.cancel();
        }
        let ended = event_loop.run_until_complete(async move {
            for task in left {
                wait_until_done(&task).await;
            }
            if !shut_down(&pool, Some(POOL_LIMIT)).await {
                asyncio_executor::report(ExceptionContext::error(
                    "blocking calls did not end within 300 seconds; their threads are left behind",
                    &io::Error::from(io::ErrorKind::TimedOut),
                ));
            }
        });
        event_loop.close()?;
        match ended {
            Ok(()) => Ok(()),
            Err(RunError::Io(error)) => Err(error.into()),
            // A `stop()` during the cleanup, or a panic of ours: the loop is closed all the same.
            Err(error) => {
                event_loop.report(ExceptionContext::error(
                    "the end of the run was cut short",
                    &error,
                ));
                Ok(())
            }
        }
    }
}

impl Default for Runner {
    fn default() -> Runner {
        Runner::new()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Unwinding: no more user code than the drops of what is left.
            return;
        }
        if let Err(error) = self.close() {
            ExceptionContext::error("a `Runner` could not be closed when it was dropped", &error)
                .print();
        }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::New(_) => "new",
            State::Open(_) => "open",
            State::Closed => "closed",
        };
        f.debug_struct("Runner").field("state", &state).finish()
    }
}

#[cfg(unix)]
fn run_interruptibly<T: 'static>(
    event_loop: &EventLoop,
    task: &mut Task<T>,
) -> Result<T, RunError> {
    let interrupt = crate::interrupt::Interrupt::install(event_loop, task)?;
    let outcome = event_loop.run_task(task);
    match (outcome, interrupt) {
        // S181: only if no other request is outstanding.
        (Err(RunError::Cancelled(_)), Some(interrupt)) if interrupt.is_the_only_request() => {
            Err(RunError::Interrupted)
        }
        (Ok(_), Some(interrupt)) if interrupt.came_too_late() => Err(RunError::Interrupted),
        (outcome, _) => outcome,
    }
}

#[cfg(not(unix))]
fn run_interruptibly<T: 'static>(
    event_loop: &EventLoop,
    task: &mut Task<T>,
) -> Result<T, RunError> {
    event_loop.run_task(task)
}

async fn wait_until_done(task: &asyncio_executor::TaskRef) {
    let mut registered = false;
    poll_fn(|cx| {
        if task.done() {
            return Poll::Ready(());
        }
        if !registered {
            registered = true;
            let waker = cx.waker().clone();
            task.add_done_callback(move || waker.wake());
        }
        Poll::Pending
    })
    .await;
}

/// Closes a pool and waits until its running jobs have ended; false after the limit.
pub(crate) async fn shut_down(pool: &ThreadPool, limit: Option<Duration>) -> bool {
    pool.close();
    let mut closed = pin!(pool.wait_closed());
    let mut timer = limit.map(Sleep::new);
    poll_fn(|cx| {
        if closed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        match timer.as_mut().map(|timer| Pin::new(timer).poll(cx)) {
            Some(Poll::Ready(())) => Poll::Ready(false),
            _ => Poll::Pending,
        }
    })
    .await
}
