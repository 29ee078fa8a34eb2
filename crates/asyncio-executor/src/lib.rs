//! Runs ready tasks in order on one thread, with cancellation as a request; told how to wake a sleeper, knows nothing of I/O or time.
//!
//! An [`Executor`] holds one queue of steps and callbacks, first in, first out (S1). Tasks need not be `Send`: a task
//! is stepped, and its future dropped, on the executor's thread only; a waker used on another thread sends the task
//! home through an injector and calls the *pender*, a closure by which the owner of the executor is told to get up.
//!
//! # Implementation
//!
//! Tasks are `async-task` cells with a zero-sized schedule function; what belongs to a task beside its future lies in
//! the same allocation (`meta.rs`, which also says why that is sound). A step costs two atomic operations, a wake and
//! the waker it needs three more; a spawn costs none of its own (`shared.rs`).
//!
//! # Cancellation
//!
//! [`Task::cancel`] is a request: the task hears of it where it waits, may await its cleanup, and may go on. Scopes
//! ([`catch_cancelled`], [`finally`], an awaited [`Task`]) say where in a task a request arrives; `cancel/mod.rs` has
//! the protocol. A task without scopes is simply dropped at its next turn.
//!
//! # Examples
//!
//! Tasks without reactor and timers:
//!
//! ```
//! use asyncio_executor::{Executor, catch_cancelled, spawn, yield_now};
//!
//! let executor = Executor::new();
//! executor.run(async {
//!     let worker = spawn(async {
//!         if catch_cancelled(std::future::pending::<()>()).await.is_err() {
//!             yield_now().await; // cleanup may await
//!         }
//!         "cleaned up"
//!     });
//!     yield_now().await; // lets it start
//!     worker.cancel();
//!     assert_eq!(worker.await.unwrap(), "cleaned up");
//! }).unwrap();
//! ```
#![deny(unsafe_op_in_unsafe_fn)]

mod await_edges;
mod callback;
mod cancel;
mod context;
mod current;
mod debug;
mod exception;
mod executor;
mod injector;
mod local;
mod meta;
mod place;
mod pulse;
mod root;
mod run_queue;
mod shared;
mod stats;
mod sync;
mod task;
mod task_builder;
mod task_ref;
mod trace;

pub use await_edges::{
    AwaitEdge, AwaitNode, Awaited, Awaits, Snapshot, TaskSnapshot, TaskState, Watch, Watched,
    snapshot,
};
pub use callback::Handle;
pub use cancel::{
    CancelledError, CatchCancelled, Forward, ForwardScope, PanicPayload, TaskError,
    catch_cancelled, finally, raise_cancelled,
};
pub use context::{Context, ContextVar, ResetError, Token, TokenGuard, copy_context};
pub use current::{
    YieldNow, all_tasks, at_turn_end, call_soon, cancellation_pending, cancelling, current_remote,
    current_task, is_debug, is_entered, report, set_pulse, spawn, turn_number, uncancel, yield_now,
};
pub use debug::Debug;
pub use exception::{ExceptionContext, ExceptionHandler};
pub use executor::Executor;
pub use local::TurnEnd;
pub use pulse::{Activity, Pulse};
pub use shared::{Closed, Remote};
pub use stats::Stats;
pub use task::{IntoTask, Join, JoinRef, Task, TaskInfo};
pub use task_builder::{TaskBuilder, TaskFactory};
pub use task_ref::TaskRef;
pub use trace::{TaskTrace, trace_waiting};
