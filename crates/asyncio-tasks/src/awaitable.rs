//! Promises where a task is expected.

use asyncio_executor::{IntoTask, Task, TaskBuilder};
use asyncio_sync::FutureError;

use crate::future::Future;

/// A promise in [`gather`](crate::gather), [`as_completed`](crate::as_completed), [`shield`](crate::shield()) and the
/// like: a task that awaits it, which takes one turn more than the promise alone. Of one that is done it is a task that
/// is done.
impl<T: Clone + 'static> IntoTask for Future<T> {
    type Output = Result<T, FutureError>;

    #[track_caller]
    fn into_task(self) -> Task<Result<T, FutureError>> {
        (&self).into_task()
    }
}

/// The same by reference; the promise is a handle.
impl<T: Clone + 'static> IntoTask for &Future<T> {
    type Output = Result<T, FutureError>;

    #[track_caller]
    fn into_task(self) -> Task<Result<T, FutureError>> {
        // Its first step runs nobody's code but ours.
        let task = TaskBuilder::new().eager_start(self.done());
        task.spawn(self.into_future())
    }
}
