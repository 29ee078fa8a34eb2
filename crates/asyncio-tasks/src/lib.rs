//! Structured concurrency: groups, gathering, timeouts, shielding.
//!
//! What asyncio's `tasks`, `taskgroups`, `timeouts`, `threads` and `futures` modules give, built on the executor's
//! tasks and scopes. Everything here finds its leaf through that leaf's own current handle; nothing here knows the
//! loop.
//!
//! # How requests for cancellation travel
//!
//! A [`timeout`] and a [`TaskGroup`] are scopes with a body: a request meets whatever is innermost in it. An awaited
//! [`Future`], a [`gather`] and an awaited task are scopes without one: they pass a request on and wait. [`shield`],
//! [`wait`](wait()) and [`as_completed`](as_completed()) pass nothing on. A [`scope`](scope()) is a scope for its body and one for each
//! child. What *dropping* each of them does is said on each of them.
//!
//! # Examples
//!
//! ```
//! use asyncio_tasks::{gather, timeout};
//!
//! asyncio_runtime::run(async {
//!     let (a, b) = gather((async { 1 }, async { "two" })).await;
//!     assert_eq!((a, b), (1, "two"));
//!
//!     let late = timeout(0.001, std::future::pending::<()>()).await;
//!     assert!(late.is_err());
//! });
//! ```
#![forbid(unsafe_code)]

mod as_completed;
mod awaitable;
mod exception_group;
mod future;
mod gather;
mod group;
mod group_builder;
mod group_task;
pub mod kinds;
mod rate_limiter;
mod request;
mod scope;
mod settle;
mod shield;
mod sleep;
mod thread;
mod timeout;
mod timeout_scope;
mod wait;

pub use as_completed::{AsCompleted, AsCompletedWithin, NextCompleted, as_completed};
pub use exception_group::{ExceptionGroup, GroupError, IntoLeaves, Leaves};
pub use future::{Future, Wait};
#[doc(hidden)]
pub use gather::Early;
pub use gather::{Gather, Gathering, TryGather, TryGathering, gather, try_gather};
pub use group::TaskGroup;
pub use group_builder::GroupTaskBuilder;
pub use group_task::{ChildOutput, GroupJoin, GroupTask};
pub use rate_limiter::{RateError, RateLimiter};
pub use scope::{Scope, ScopedTask, TryScope, scope, try_scope};
pub use shield::{Shield, Shieldable, Shielding, shield};
pub use sleep::{ensure_future, sleep_with};
pub use thread::to_thread;
pub use timeout::{IntoTimeout, TimeoutError, WaitFor, WithTimeout, timeout, timeout_at, wait_for};
pub use timeout_scope::{RescheduleError, Timeout};
pub use wait::{ReturnWhen, TryWaitable, WaitResult, Waitable, Waiting, try_wait, wait};
