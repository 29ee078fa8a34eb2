//! Small functions with one thought each: a sleep that brings a value, the task behind anything awaitable.

use asyncio_executor::{IntoTask, Task};
use asyncio_timers::{IntoDuration, Sleep};

/// Sleeps and gives a value; asyncio: `sleep(delay, result)` (S18).
///
/// # Cancel safety
///
/// The value is lost; the timer is taken back.
///
/// # Examples
///
/// ```
/// let seven = asyncio_runtime::run(async { asyncio_tasks::sleep_with(0.001, 7).await });
/// assert_eq!(seven, 7);
/// ```
pub async fn sleep_with<T>(delay: impl IntoDuration, value: T) -> T {
    Sleep::new(delay).await;
    value
}

/// The task behind something awaitable: a task as it is, a future spawned; asyncio: `ensure_future`.
///
/// # Panics
///
/// For a future, outside of a running loop.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::ensure_future;
///
/// asyncio_runtime::run(async {
///     let task = ensure_future(async { 1 });
///     let id = task.id();
///     assert_eq!(ensure_future(task).id(), id);
/// });
/// ```
#[track_caller]
pub fn ensure_future<T: IntoTask>(awaitable: T) -> Task<T::Output> {
    awaitable.into_task()
}
