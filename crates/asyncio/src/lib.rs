//! asyncio's names for everything below: the facade of the workspace.
#![forbid(unsafe_code)]

pub use asyncio_blocking::{Job, JobError, ThreadPool as ThreadPoolExecutor};
pub use asyncio_executor::{
    CancelledError, CatchCancelled, Closed, ExceptionContext, ExceptionHandler, Handle, IntoTask,
    Join, JoinRef, PanicPayload, Task, TaskError, TaskInfo, TaskRef, YieldNow, all_tasks,
    catch_cancelled, current_task, finally, raise_cancelled, spawn as create_task, yield_now,
};
#[cfg(feature = "macros")]
pub use asyncio_macros::{main, test};
#[cfg(feature = "net")]
pub use asyncio_net::*;
pub use asyncio_runtime::{
    EventLoop, LoopHandle, LoopStats, RunError, Runner, RunnerBuilder, TimerHandle,
    get_running_loop, run, try_running_loop,
};
pub use asyncio_sync::error::InvalidStateError;
pub use asyncio_sync::{Event, FutureError, Lock, Queue, Semaphore};
pub use asyncio_tasks::{
    ExceptionGroup, Future, GroupError, GroupTask, TaskGroup, Timeout, TimeoutError, ensure_future,
    gather, shield, sleep_with, timeout, timeout_at, to_thread, try_gather, wait_for,
};
pub use asyncio_timers::{Clock, Interval, IntoDuration, LoopTime, Sleep, interval, sleep};

#[doc(hidden)]
pub use asyncio_runtime::entry as __private;
