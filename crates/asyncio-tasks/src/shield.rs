//! Awaiting without passing a request on.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_executor::{IntoTask, JoinRef, Task, TaskError};

use crate::kinds;

/// Awaits a task, and passes no request on to it; asyncio: `shield` (S98).
///
/// - `shield(&mut task)`: the task stays the caller's; it can be awaited again after a timeout.
/// - `shield(task)` and `shield(future)`: if the awaiting task is cancelled, the shielded one runs on by itself.
///
/// # Cancel safety
///
/// The await ends at once; the task goes on. Dropping the shield is the same.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::{shield, wait_for};
///
/// asyncio_runtime::run(async {
///     let mut task = asyncio_executor::spawn(asyncio_tasks::sleep_with(0.002, 5));
///     assert!(wait_for(shield(&mut task), 0.001).await.is_err());
///     assert!(!task.done());
///     assert_eq!(task.await.unwrap(), 5);
/// });
/// ```
#[track_caller]
pub fn shield<Kind, S: Shieldable<Kind>>(awaitable: S) -> S::Shielded {
    awaitable.shielded()
}

/// What [`shield`] takes: a task, a task by reference, or a future, which becomes a task. `Kind` only tells them apart.
pub trait Shieldable<Kind> {
    /// The future to await.
    type Shielded: Future;

    /// Shields it.
    #[track_caller]
    fn shielded(self) -> Self::Shielded;
}

impl<S: IntoTask> Shieldable<kinds::Owned> for S {
    type Shielded = Shield<S::Output>;

    #[track_caller]
    fn shielded(self) -> Shield<S::Output> {
        Shield {
            task: self.into_task(),
        }
    }
}

impl<'a, T> Shieldable<kinds::Borrowed> for &'a mut Task<T> {
    type Shielded = JoinRef<'a, T>;

    fn shielded(self) -> JoinRef<'a, T> {
        self.into_future()
    }
}

/// Future of [`shield`] for a task of its own.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Shield<T> {
    task: Task<T>,
}

impl<T> Future for Shield<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.task.poll_outcome(cx)
    }
}
