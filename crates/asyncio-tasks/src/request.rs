//! A request that something made of its own task, until it is taken back.

use asyncio_executor::{TaskRef, current_task};

/// What a timeout or a group asked of its task, to be taken back (S105, S127); also when it is dropped before its body
/// has ended.
pub(crate) struct Request(Option<TaskRef>);

impl Request {
    /// For the current task, of which a request is about to be made.
    pub(crate) fn count() -> Request {
        Request(current_task())
    }

    /// Returns how many requests of others are left; `None` if it was taken back before.
    pub(crate) fn take_back(&mut self) -> Option<u32> {
        self.0.take().map(|task| task.uncancel())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.take_back();
    }
}
