//! Blocking calls beside the loop.

use asyncio_blocking::{JobError, unblock};
use asyncio_executor::copy_context;

/// Runs a blocking call on the loop's thread pool and awaits its result; asyncio: `to_thread`.
///
/// The call is handed over when this is first polled, with a copy of the context variables: what it sets does not come
/// back (S187). A panic in it goes on in the awaiting task.
///
/// # Cancel safety
///
/// A call that has not started never runs, and its closure is dropped; one that runs goes on to its end, and its result
/// is dropped (S188).
///
/// # Panics
///
/// Outside of a running loop; after `shutdown_default_executor` (S189); and when the call panicked, with its panic.
///
/// # Examples
///
/// ```
/// let sum = asyncio_runtime::run(async {
///     asyncio_tasks::to_thread(|| (1..=1000u64).sum::<u64>()).await
/// });
/// assert_eq!(sum, 500_500);
/// ```
pub async fn to_thread<F, T>(call: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let context = copy_context();
    match unblock(move || context.run(call)).await {
        Ok(value) => value,
        Err(JobError::Panicked(panic)) => panic.resume(),
        Err(error) => panic!("`to_thread`: {error}"),
    }
}
