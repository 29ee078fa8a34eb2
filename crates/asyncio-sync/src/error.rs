//! What can go wrong, in small types that give back what was refused.

use std::error::Error;
use std::fmt;

/// A future was asked for something that its state does not allow.
///
/// ```
/// let future = asyncio_sync::Future::new();
/// future.set_result(1).unwrap();
/// let error = future.set_result(2).unwrap_err();
/// assert!(error.to_string().contains("already done: it finished with a result"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidStateError {
    pub(crate) found: FutureState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FutureState {
    Pending,
    Cancelled,
    Finished,
    Failed,
}

/// A full queue refused an item; here it is back.
///
/// ```
/// use asyncio_sync::{PutNowaitError, Queue, QueueFull};
///
/// let queue = Queue::bounded(1);
/// queue.put_nowait("first").unwrap();
/// let refused = queue.put_nowait("second");
/// assert!(matches!(refused, Err(PutNowaitError::Full(QueueFull("second")))));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QueueFull<T>(pub T);

/// There was no item to get without waiting.
///
/// ```
/// use asyncio_sync::{GetNowaitError, Queue, QueueEmpty};
///
/// assert_eq!(Queue::<u8>::new().get_nowait(), Err(GetNowaitError::Empty(QueueEmpty)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueEmpty;

/// The queue was shut down. A refused item comes back in it; where there is none, `T` is `()`.
///
/// ```
/// use asyncio_sync::{Queue, QueueShutDown};
///
/// let queue = Queue::new();
/// queue.shutdown(false);
/// assert_eq!(futures_lite::future::block_on(queue.put("late")), Err(QueueShutDown("late")));
/// assert_eq!(futures_lite::future::block_on(queue.get()), Err(QueueShutDown(())));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct QueueShutDown<T = ()>(pub T);

/// Why `put_nowait` refused an item.
///
/// ```
/// use asyncio_sync::Queue;
///
/// let queue = Queue::bounded(1);
/// queue.put_nowait('a').unwrap();
/// assert_eq!(queue.put_nowait('b').unwrap_err().into_inner(), 'b');
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PutNowaitError<T> {
    /// No room now; there may be later.
    Full(QueueFull<T>),
    /// No room ever again.
    ShutDown(QueueShutDown<T>),
}

/// Why `get_nowait` had nothing to give.
///
/// ```
/// use asyncio_sync::{GetNowaitError, Queue, QueueShutDown};
///
/// let queue = Queue::<u8>::new();
/// queue.shutdown(false);
/// assert_eq!(queue.get_nowait(), Err(GetNowaitError::ShutDown(QueueShutDown(()))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetNowaitError {
    /// No item now; there may be later.
    Empty(QueueEmpty),
    /// No item ever again.
    ShutDown(QueueShutDown),
}

/// A lock was released that nobody held.
///
/// ```
/// assert!(asyncio_sync::Lock::new().release().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockReleaseError;

/// A bounded semaphore was released more often than it was acquired.
///
/// ```
/// let error = asyncio_sync::BoundedSemaphore::new(2).release().unwrap_err();
/// assert!(error.to_string().contains("2 of its 2 units"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SemaphoreReleaseError {
    pub(crate) bound: usize,
}

/// `task_done` was called more often than items were put.
///
/// ```
/// assert!(asyncio_sync::Queue::<u8>::new().task_done().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskDoneError;

/// A condition was notified while nobody held its lock.
///
/// ```
/// let error = asyncio_sync::Condition::new().notify(1).unwrap_err();
/// assert!(error.to_string().contains("nobody holds the lock"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotifyError;

/// The barrier was reset or aborted: `asyncio.BrokenBarrierError`.
///
/// ```
/// use asyncio_sync::{Barrier, BrokenBarrierError};
///
/// let barrier = Barrier::new(2).unwrap();
/// barrier.abort();
/// assert_eq!(futures_lite::future::block_on(barrier.wait()), Err(BrokenBarrierError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokenBarrierError;

/// A barrier for nobody was asked for.
///
/// ```
/// let error = asyncio_sync::Barrier::new(0).unwrap_err();
/// assert!(error.to_string().contains("at least 1 party"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierPartiesError;

/// A limiter without tokens was asked for.
///
/// ```
/// let error = asyncio_sync::CapacityLimiter::new(0).unwrap_err();
/// assert!(error.to_string().contains("at least 1 token"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityError;

impl<T> PutNowaitError<T> {
    /// The item that was refused.
    ///
    /// ```
    /// use asyncio_sync::{PutNowaitError, QueueFull};
    /// assert_eq!(PutNowaitError::Full(QueueFull(7)).into_inner(), 7);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            PutNowaitError::Full(QueueFull(item))
            | PutNowaitError::ShutDown(QueueShutDown(item)) => item,
        }
    }
}

impl fmt::Display for InvalidStateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = match self.found {
            FutureState::Pending => {
                return f.write_str("the future is not done yet: await it, or ask `done()` before asking for its outcome");
            }
            FutureState::Cancelled => "it was cancelled",
            FutureState::Finished => "it finished with a result",
            FutureState::Failed => "it finished with an exception",
        };
        write!(
            f,
            "the future is already done: {how}; it can be completed once, so ask `done()` first where somebody else may complete it"
        )
    }
}

impl<T> fmt::Display for QueueFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full: `put(item).await` waits for room")
    }
}

impl fmt::Display for QueueEmpty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is empty: `get().await` waits for an item")
    }
}

impl<T> fmt::Display for QueueShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue was shut down: it takes no more items, and what it held has been taken or dropped")
    }
}

impl<T> fmt::Display for PutNowaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutNowaitError::Full(error) => error.fmt(f),
            PutNowaitError::ShutDown(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for GetNowaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GetNowaitError::Empty(error) => error.fmt(f),
            GetNowaitError::ShutDown(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for LockReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the lock is not held, so it cannot be released: dropping a guard releases already; call `release()` once for each guard that was forgotten",
        )
    }
}

impl fmt::Display for SemaphoreReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = self.bound;
        write!(
            f,
            "the bounded semaphore has {bound} of its {bound} units, so none can be released: dropping a permit releases already; call `release()` once for each permit that was forgotten"
        )
    }
}

impl fmt::Display for TaskDoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no item of the queue is unfinished: call `task_done()` once for each item that `get` gave, not more")
    }
}

impl fmt::Display for NotifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a condition is notified by whoever holds its lock, and nobody holds the lock: acquire it, change what the others wait for, then notify",
        )
    }
}

impl fmt::Display for BrokenBarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the barrier was reset or aborted before this party got through: after an abort, `reset()` makes it usable again")
    }
}

impl fmt::Display for BarrierPartiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a barrier needs at least 1 party, and 0 came: say how many tasks have to meet")
    }
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a capacity limiter needs at least 1 token, and 0 came: say how many may be at work at the same time")
    }
}

// By hand: what was refused need not be printable.
impl<T> fmt::Debug for QueueFull<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueFull(..)")
    }
}

impl<T> fmt::Debug for QueueShutDown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("QueueShutDown(..)")
    }
}

impl<T> fmt::Debug for PutNowaitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutNowaitError::Full(error) => error.fmt(f),
            PutNowaitError::ShutDown(error) => error.fmt(f),
        }
    }
}

impl Error for InvalidStateError {}
impl<T> Error for QueueFull<T> {}
impl Error for QueueEmpty {}
impl<T> Error for QueueShutDown<T> {}
impl<T> Error for PutNowaitError<T> {}
impl Error for GetNowaitError {}
impl Error for LockReleaseError {}
impl Error for SemaphoreReleaseError {}
impl Error for TaskDoneError {}
impl Error for NotifyError {}
impl Error for BrokenBarrierError {}
impl Error for BarrierPartiesError {}
impl Error for CapacityError {}
