//! Promises where a task is expected.

use asyncio_executor::{IntoTask, Task, spawn};
use asyncio_sync::FutureError;

use crate::future::Future;

/// A promise in [`gather`](crate::gather), [`as_completed`](crate::as_completed), [`shield`](crate::shield()) and the
/// like: a task that awaits it, which takes one turn more than the promise alone.
impl<T: Clone + 'static> IntoTask for Future<T> {
    type Output = Result<T, FutureError>;

    #[track_caller]
    fn into_task(self) -> Task<Result<T, FutureError>> {
        spawn(self.into_future())
    }
}

/// The same by reference; the promise is a handle.
impl<T: Clone + 'static> IntoTask for &Future<T> {
    type Output = Result<T, FutureError>;

    #[track_caller]
    fn into_task(self) -> Task<Result<T, FutureError>> {
        spawn(self.into_future())
    }
}
