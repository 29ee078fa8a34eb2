//! asyncio's names for everything below: the facade of the workspace.
//!
//! One event loop per thread, tasks that need not be `Send`, cancellation as a request that leaves time to clean up,
//! task groups that never leak a child.
//!
//! ```
//! use asyncio::{create_task, gather, sleep};
//!
//! async fn say(after: f64, what: &'static str) -> &'static str {
//!     sleep(after).await; // seconds, as in asyncio, or a `Duration`
//!     what
//! }
//!
//! asyncio::run(async {
//!     let task = create_task(say(0.002, "world")); // starts when this task first waits
//!     let (hello, again) = gather((say(0.001, "hello"), say(0.001, "hello again"))).await;
//!     assert_eq!((hello, again), ("hello", "hello again"));
//!     assert_eq!(task.await.unwrap(), "world");
//! });
//! ```
//!
//! # From asyncio
//!
//! | asyncio | here |
//! |---|---|
//! | `asyncio.run(main())` | [`run`], or the attribute `#[asyncio::main]` |
//! | `await task` | `task.await`, a `Result`: [`TaskError`] says that it was cancelled or panicked |
//! | `await asyncio.sleep(0)` | [`yield_now`] |
//! | `gather(…, return_exceptions=True)`, `gather(…)` | [`gather`], [`try_gather`] |
//! | `await wait(tasks, return_when=FIRST_COMPLETED)` | `wait(tasks).return_when(ReturnWhen::FirstCompleted).await` |
//! | `async for task in as_completed(tasks): …` | `while let Some(task) = tasks.next().await { … }` with [`as_completed`] |
//! | `async with timeout(1): …` | `timeout(1, async { … }).await` |
//! | `async with timeout(1) as cm: …` | `Timeout::new(1).scope(async \|cm\| { … }).await` |
//! | `async with TaskGroup() as tg: …` | [`TaskGroup::scope`]; [`scope()`] for children that borrow |
//! | `except* ValueError` | [`ExceptionGroup::split`] |
//! | `try: await x / except CancelledError: …` | [`catch_cancelled`] |
//! | `raise` in that block | [`CancelledError::propagate`] |
//! | `try: … finally: await cleanup()` | [`finally`] |
//! | an exception | an `Err` of an ordinary `Result` |
//! | `async with lock: …` | `let _guard = lock.acquire().await;` |
//! | `q.get_nowait()` | the same, giving a `Result` |
//! | `loop.call_soon_threadsafe` | [`LoopHandle::call_soon_threadsafe`]; the handle is `Send` |
//! | `run_coroutine_threadsafe(coro(), loop)` | `run_coroutine_threadsafe(|| coro(), &loop)`: the closure travels, the future does not |
//! | `var = ContextVar("var")`, `var.set(1)` | `static VAR: ContextVar<u32> = ContextVar::new("var")`, `VAR.set(1)` |
//! | `create_task(c, context=…, eager_start=…)` | [`TaskBuilder`] |
//! | `loop.set_task_factory(eager_task_factory)` | `set_task_factory(TaskFactory::Eager)` |
//! | `tg.create_task(c, name=…)` | `tg.create_task(c).name(…)`; [`TaskGroup::builder`] for `context=` and `eager_start=` |
//! | `loop.call_later(1, f, context=c)` | `call_later_in(&c, 1, f)`, and so on |
//! | `loop.add_signal_handler(SIGTERM, f)` | `add_signal_handler(signal::SIGTERM, f)`; [`signal::signals`] for a stream |
//! | `create_subprocess_exec("ls", "-l", stdout=PIPE)` | `create_subprocess_exec("ls").arg("-l").stdout(Stdio::Piped).spawn()`: see [`subprocess`] |
//! | `loop.create_future()` | [`Future::new`] |
//! | `print_call_graph(task)` | `print_call_graph(Some(&task), &CallGraphOptions::new(), stdout())`: see [`graph`] |
//! | `python -m asyncio pstree PID` | `asyncio pstree PID` of a process started with `ASYNCIO_INSPECT=1`: see [`tools`] |
//! | `task.result()`, `task.exception()` | [`Task::try_take`], a `Result` to look at by reference; [`Task::cancelled`], [`Task::panicked`] without taking it |
//! | keyword arguments | builder methods: `create_task(f).name("worker")` |
//!
//! # From tokio or smol
//!
//! - Nothing needs `Send` or `Sync`: share with `Rc`, mutate through `Cell`. The types here are for one thread;
//!   [`to_thread`] and [`LoopHandle::call_soon_threadsafe`] are the ways across.
//! - Dropping a [`Task`] lets it run on. [`Task::cancel`] asks it to end, and it may await its cleanup first.
//! - A timeout, and a group whose child failed, wait until what they cancelled has ended.
//! - Any future of the ecosystem can be awaited; streams implement the traits of `futures-io`.
//!
//! # Features
//!
//! `net` (streams and servers), `tls`, `process` (child processes) and `macros` are on by default. `tokio-io` adds tokio's traits
//! for reading and writing to the streams, and nothing else of it; `hyper` adds what hyper 1 runs on. A feature adds names and
//! changes nothing else.
#![forbid(unsafe_code)]

// Running.
#[cfg(feature = "macros")]
pub use asyncio_macros::{main, test};
pub use asyncio_runtime::{
    ConcurrentError, ConcurrentFuture, EventLoop, GetLoop, LoopHandle, LoopStats, RunError, Runner,
    RunnerBuilder, ThreadsafeHandle, TimerHandle, WrapFuture, get_event_loop, get_running_loop,
    new_event_loop, run, run_coroutine_threadsafe, set_event_loop, try_running_loop, wrap_future,
};

// Tasks and cancellation.
pub use asyncio_executor::{
    AwaitNode, Awaited, CancelledError, CatchCancelled, Closed, ExceptionContext, ExceptionHandler,
    Handle, IntoTask, Join, JoinRef, PanicPayload, Task, TaskBuilder, TaskError, TaskFactory,
    TaskInfo, TaskRef, YieldNow, all_tasks, cancelling, catch_cancelled, current_task, finally,
    raise_cancelled, spawn as create_task, uncancel, yield_now,
};
pub use asyncio_tasks::{
    AsCompleted, AsCompletedWithin, ChildOutput, ExceptionGroup, Future, GroupError, GroupTask,
    GroupTaskBuilder, RateError, RateLimiter, RescheduleError, ReturnWhen, Scope, ScopedTask,
    Shield, TaskGroup, Timeout, TimeoutError, TryScope, Wait, WaitResult, Waiting, WithTimeout,
    as_completed, ensure_future, gather, scope, shield, sleep_with, timeout, timeout_at, to_thread,
    try_gather, try_scope, try_wait, wait, wait_for,
};

// Looking inside.
// `tools::serve`, or the environment variable `ASYNCIO_INSPECT=1`, lets `asyncio pstree PID` look from outside.
pub use asyncio_inspect::graph::{
    CallGraphOptions, FrameCallGraphEntry, FutureCallGraph, NoRunningLoop, capture_call_graph,
    format_call_graph, future_add_to_awaited_by, future_discard_from_awaited_by, print_call_graph,
};
pub use asyncio_inspect::{graph, tools};

// Context variables.
pub use asyncio_executor::{Context, ContextVar, ResetError, Token, TokenGuard, copy_context};

// Time.
pub use asyncio_timers::{
    Clock, Interval, IntoDuration, LoopTime, MissedTick, Sleep, interval, interval_at, sleep,
    sleep_until,
};

// Synchronisation.
// `threadsafe` has the same names `Send + Sync`, for use between loops and threads.
pub use asyncio_sync::{
    Barrier, BarrierPartiesError, BoundedSemaphore, BrokenBarrierError, CapacityError,
    CapacityLimiter, Condition, Event, FutureError, GetNowaitError, InvalidStateError, LifoQueue,
    Lock, LockGuard, LockReleaseError, Mutex, MutexGuard, NotifyError, OnceCell, OwnedLockGuard,
    OwnedMutexGuard, OwnedPermit, Permit, PriorityQueue, PutNowaitError, Queue, QueueEmpty,
    QueueFull, QueueShutDown, RwLock, Semaphore, SemaphoreReleaseError, TaskDoneError, broadcast,
    oneshot, threadsafe, watch,
};

// Threads.
pub use asyncio_blocking::{Job, JobError, ThreadPool as ThreadPoolExecutor};

// Networks.
#[cfg(feature = "net")]
pub use asyncio_net::*;

// Signals.
#[cfg(unix)]
pub use asyncio_runtime::{add_signal_handler, remove_signal_handler};
#[cfg(unix)]
pub use asyncio_signal as signal;

// Child processes, and the program's own standard streams.
#[cfg(all(unix, feature = "process"))]
pub use asyncio_process as subprocess;
#[cfg(all(unix, feature = "process"))]
pub use asyncio_process::{
    SubprocessProtocol, SubprocessTransport, create_subprocess_exec, create_subprocess_shell,
    stderr, stdin, stdout, subprocess_exec,
};

#[doc(hidden)]
pub use asyncio_runtime::entry as __private;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/cancellation.md")]
mod cancellation {}
