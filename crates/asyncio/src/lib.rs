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
//! | `async with timeout(1): …` | `timeout(1, async { … }).await` |
//! | `async with TaskGroup() as tg: …` | [`TaskGroup::scope`] |
//! | `try: await x / except CancelledError: …` | [`catch_cancelled`] |
//! | `raise` in that block | [`CancelledError::propagate`] |
//! | `try: … finally: await cleanup()` | [`finally`] |
//! | an exception | an `Err` of an ordinary `Result` |
//! | `async with lock: …` | `let _guard = lock.acquire().await;` |
//! | `q.get_nowait()` | the same, giving a `Result` |
//! | `loop.call_soon_threadsafe` | [`LoopHandle::call_soon_threadsafe`]; the handle is `Send` |
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
//! `net` (streams and servers) and `macros` are on by default. A feature adds names and changes nothing else.
#![forbid(unsafe_code)]

// Running.
#[cfg(feature = "macros")]
pub use asyncio_macros::{main, test};
pub use asyncio_runtime::{
    EventLoop, LoopHandle, LoopStats, RunError, Runner, RunnerBuilder, TimerHandle,
    get_running_loop, run, try_running_loop,
};

// Tasks and cancellation.
pub use asyncio_executor::{
    CancelledError, CatchCancelled, Closed, ExceptionContext, ExceptionHandler, Handle, IntoTask,
    Join, JoinRef, PanicPayload, Task, TaskError, TaskInfo, TaskRef, YieldNow, all_tasks,
    cancelling, catch_cancelled, current_task, finally, raise_cancelled, spawn as create_task,
    uncancel, yield_now,
};
pub use asyncio_tasks::{
    ExceptionGroup, Future, GroupError, GroupTask, TaskGroup, Timeout, TimeoutError, Wait,
    ensure_future, gather, shield, sleep_with, timeout, timeout_at, to_thread, try_gather,
    wait_for,
};

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

#[doc(hidden)]
pub use asyncio_runtime::entry as __private;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
