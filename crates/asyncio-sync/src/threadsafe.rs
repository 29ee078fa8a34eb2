//! The same names, `Send` and `Sync`: for tasks of different loops, and for threads.
//!
//! Who waits is still a task: a thread without a loop waits with any `block_on`, and what does not wait (`put_nowait`,
//! `set`, `release`, `try_lock`) can be called from anywhere.
//!
//! ```
//! use asyncio_sync::threadsafe::Queue;
//! use futures_lite::future::block_on;
//! use std::{sync::Arc, thread};
//!
//! let numbers = Arc::new(Queue::bounded(2));
//! let producer = thread::spawn({
//!     let numbers = numbers.clone();
//!     move || block_on(async {
//!         for n in 1..=100 {
//!             numbers.put(n).await.unwrap();
//!         }
//!         numbers.shutdown(false);
//!     })
//! });
//! let mut sum = 0;
//! while let Ok(n) = block_on(numbers.get()) {
//!     sum += n;
//! }
//! producer.join().unwrap();
//! assert_eq!(sum, 5050);
//! ```

use std::sync::Arc;

use crate::guard::Threadsafe;
use crate::{
    barrier, condition, discipline, event, future, limiter, lock, mutex, once_cell, queue, rwlock,
    semaphore,
};

pub use crate::error::*;
pub use crate::future::HookId;
pub use crate::wait_queue::WaitQueue;

/// A value that comes later: see [`future::Future`].
///
/// ```
/// let future = asyncio_sync::threadsafe::Future::new();
/// future.set_result(7).unwrap();
/// assert_eq!(futures_lite::future::block_on(future).unwrap(), 7);
/// ```
pub type Future<T> = future::Future<T, Threadsafe>;
/// Why a [`Future`] has no value: see [`future::FutureError`].
///
/// ```
/// use asyncio_sync::threadsafe::{Future, FutureError};
///
/// let error = Future::<u8>::new().result().unwrap_err();
/// assert!(matches!(error, FutureError::InvalidState(_)));
/// ```
pub type FutureError = future::FutureError<Threadsafe>;
/// A flag one can wait for: see [`event::Event`].
///
/// ```
/// let event = asyncio_sync::threadsafe::Event::new();
/// event.set();
/// futures_lite::future::block_on(event.wait());
/// ```
pub type Event = event::Event<Threadsafe>;
/// Mutual exclusion in order of arrival: see [`lock::Lock`].
///
/// ```
/// let lock = asyncio_sync::threadsafe::Lock::new();
/// let guard = futures_lite::future::block_on(lock.acquire());
/// assert!(lock.locked());
/// # drop(guard);
/// ```
pub type Lock = lock::Lock<Threadsafe>;
/// Possession of a [`Lock`], borrowed from it.
///
/// ```
/// use asyncio_sync::threadsafe::{Lock, LockGuard};
///
/// let lock = Lock::new();
/// let guard: Option<LockGuard<'_>> = lock.try_acquire();
/// assert!(guard.is_some());
/// ```
pub type LockGuard<'a> = lock::LockGuard<&'a Lock, Threadsafe>;
/// Possession of a [`Lock`] behind an `Arc`.
///
/// ```
/// use asyncio_sync::threadsafe::{Lock, OwnedLockGuard};
/// use std::sync::Arc;
///
/// let guard: Option<OwnedLockGuard> = Arc::new(Lock::new()).try_acquire_owned();
/// assert!(guard.is_some());
/// ```
pub type OwnedLockGuard = lock::LockGuard<Arc<Lock>, Threadsafe>;
/// A [`Lock`] that holds what it protects: see [`mutex::Mutex`].
///
/// ```
/// let count = asyncio_sync::threadsafe::Mutex::new(1);
/// *futures_lite::future::block_on(count.lock()) += 1;
/// assert_eq!(count.into_inner(), 2);
/// ```
pub type Mutex<T> = mutex::Mutex<T, Threadsafe>;
/// Access to what a [`Mutex`] holds, borrowed from it.
///
/// ```
/// use asyncio_sync::threadsafe::{Mutex, MutexGuard};
///
/// let count = Mutex::new(1);
/// let guard: Option<MutexGuard<'_, u32>> = count.try_lock();
/// assert_eq!(guard.map(|count| *count), Some(1));
/// ```
pub type MutexGuard<'a, T> = mutex::MutexGuard<&'a Mutex<T>, T, Threadsafe>;
/// Access to what a [`Mutex`] behind an `Arc` holds.
///
/// ```
/// use asyncio_sync::threadsafe::{Mutex, OwnedMutexGuard};
/// use std::sync::Arc;
///
/// let guard: Option<OwnedMutexGuard<u32>> = Arc::new(Mutex::new(1)).try_lock_owned();
/// assert_eq!(guard.map(|count| *count), Some(1));
/// ```
pub type OwnedMutexGuard<T> = mutex::MutexGuard<Arc<Mutex<T>>, T, Threadsafe>;
/// Many may read or one may write: see [`rwlock::RwLock`].
///
/// ```
/// let level = asyncio_sync::threadsafe::RwLock::new(1);
/// *futures_lite::future::block_on(level.write()) += 1;
/// assert_eq!(*futures_lite::future::block_on(level.read()), 2);
/// ```
pub type RwLock<T> = rwlock::RwLock<T, Threadsafe>;
/// Waiting for something to become true of what a lock protects: see [`condition::Condition`].
///
/// ```
/// use asyncio_sync::threadsafe::{Condition, Mutex};
///
/// let jobs = Mutex::new(vec!["wash"]);
/// let arrived = Condition::with_lock(&jobs);
/// futures_lite::future::block_on(async {
///     let guard = jobs.lock().await;
///     let (_guard, job) = arrived.wait_for_value(guard, |jobs| jobs.pop()).await;
///     assert_eq!(job, "wash");
/// });
/// ```
pub type Condition<P = Arc<Lock>> = condition::Condition<P, Threadsafe>;
/// A count of units: see [`semaphore::Semaphore`].
///
/// ```
/// let semaphore = asyncio_sync::threadsafe::Semaphore::new(1);
/// let permit = futures_lite::future::block_on(semaphore.acquire());
/// assert!(semaphore.locked());
/// # drop(permit);
/// ```
pub type Semaphore = semaphore::Semaphore<Threadsafe, false>;
/// A [`Semaphore`] that refuses to rise above its initial value.
///
/// ```
/// let semaphore = asyncio_sync::threadsafe::BoundedSemaphore::new(1);
/// assert!(semaphore.release().is_err());
/// ```
pub type BoundedSemaphore = semaphore::Semaphore<Threadsafe, true>;
/// One unit of a [`Semaphore`], borrowed from it.
///
/// ```
/// use asyncio_sync::threadsafe::{Permit, Semaphore};
///
/// let semaphore = Semaphore::new(1);
/// let permit: Option<Permit<'_>> = semaphore.try_acquire();
/// assert!(permit.is_some());
/// ```
pub type Permit<'a> = semaphore::Permit<&'a Semaphore, Threadsafe, false>;
/// One unit of a [`Semaphore`] behind an `Arc`.
///
/// ```
/// use asyncio_sync::threadsafe::{OwnedPermit, Semaphore};
/// use std::sync::Arc;
///
/// let permit: Option<OwnedPermit> = Arc::new(Semaphore::new(1)).try_acquire_owned();
/// assert!(permit.is_some());
/// ```
pub type OwnedPermit = semaphore::Permit<Arc<Semaphore>, Threadsafe, false>;
/// How many may be at work at the same time: see [`limiter::CapacityLimiter`].
///
/// ```
/// let limiter = asyncio_sync::threadsafe::CapacityLimiter::new(2).unwrap();
/// let token = futures_lite::future::block_on(limiter.acquire());
/// assert_eq!(limiter.available_tokens(), 1);
/// # drop(token);
/// ```
pub type CapacityLimiter = limiter::CapacityLimiter<Threadsafe>;
/// A place where tasks wait for each other: see [`barrier::Barrier`].
///
/// ```
/// let barrier = asyncio_sync::threadsafe::Barrier::new(1).unwrap();
/// assert_eq!(futures_lite::future::block_on(barrier.wait()), Ok(0));
/// ```
pub type Barrier = barrier::Barrier<Threadsafe>;
/// A value that is made once, by whoever needs it first: see [`once_cell::OnceCell`].
///
/// ```
/// let cell = asyncio_sync::threadsafe::OnceCell::new();
/// assert_eq!(futures_lite::future::block_on(cell.get_or_init(async || 7)), &7);
/// ```
pub type OnceCell<T> = once_cell::OnceCell<T, Threadsafe>;
/// Items handed from task to task, first in, first out: see [`queue::Queue`].
///
/// ```
/// let queue = asyncio_sync::threadsafe::Queue::bounded(2);
/// queue.put_nowait("first").unwrap();
/// assert_eq!(futures_lite::future::block_on(queue.get()), Ok("first"));
/// ```
pub type Queue<T> = queue::Queue<discipline::Fifo<T>, Threadsafe>;
/// A [`Queue`] that gives the smallest item first; equals in order.
///
/// ```
/// let queue = asyncio_sync::threadsafe::PriorityQueue::new();
/// queue.put_nowait((2, "rest")).unwrap();
/// queue.put_nowait((1, "work")).unwrap();
/// assert_eq!(queue.get_nowait(), Ok((1, "work")));
/// ```
pub type PriorityQueue<T> = queue::Queue<discipline::Priority<T>, Threadsafe>;
/// A [`Queue`] that gives the newest item first.
///
/// ```
/// let queue = asyncio_sync::threadsafe::LifoQueue::new();
/// queue.put_nowait("old").unwrap();
/// queue.put_nowait("new").unwrap();
/// assert_eq!(queue.get_nowait(), Ok("new"));
/// ```
pub type LifoQueue<T> = queue::Queue<discipline::Lifo<T>, Threadsafe>;

/// One value from one task to another. See [`crate::oneshot`].
pub mod oneshot {
    use crate::guard::Threadsafe;
    use crate::oneshot;

    pub use crate::oneshot::{RecvError, TryRecvError};

    /// The sending end: see [`oneshot::Sender`].
    ///
    /// ```
    /// use asyncio_sync::threadsafe::oneshot;
    ///
    /// let (end, _) = oneshot::channel::<u32>();
    /// let _: oneshot::Sender<u32> = end;
    /// ```
    pub type Sender<T> = oneshot::Sender<T, Threadsafe>;
    /// The receiving end: see [`oneshot::Receiver`].
    ///
    /// ```
    /// use asyncio_sync::threadsafe::oneshot;
    ///
    /// let (_, end) = oneshot::channel::<u32>();
    /// let _: oneshot::Receiver<u32> = end;
    /// ```
    pub type Receiver<T> = oneshot::Receiver<T, Threadsafe>;

    /// A channel: see [`oneshot::channel`].
    ///
    /// ```
    /// use asyncio_sync::threadsafe::oneshot;
    ///
    /// let (sender, receiver) = oneshot::channel();
    /// std::thread::spawn(|| sender.send(7));
    /// assert_eq!(futures_lite::future::block_on(receiver), Ok(7));
    /// ```
    pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
        oneshot::channel_in()
    }
}

/// Every value to every receiver. See [`crate::broadcast`].
pub mod broadcast {
    use crate::broadcast;
    use crate::guard::Threadsafe;

    pub use crate::broadcast::{RecvError, SendError, TryRecvError};

    /// The sending end: see [`broadcast::Sender`].
    ///
    /// ```
    /// use asyncio_sync::threadsafe::broadcast;
    ///
    /// let (end, _) = broadcast::channel::<u32>(4);
    /// let _: broadcast::Sender<u32> = end;
    /// ```
    pub type Sender<T> = broadcast::Sender<T, Threadsafe>;
    /// The receiving end: see [`broadcast::Receiver`].
    ///
    /// ```
    /// use asyncio_sync::threadsafe::broadcast;
    ///
    /// let (_, end) = broadcast::channel::<u32>(4);
    /// let _: broadcast::Receiver<u32> = end;
    /// ```
    pub type Receiver<T> = broadcast::Receiver<T, Threadsafe>;

    /// A channel that keeps `capacity` values: see [`broadcast::channel`].
    ///
    /// # Panics
    ///
    /// When `capacity` is 0.
    ///
    /// ```
    /// use asyncio_sync::threadsafe::broadcast;
    ///
    /// let (sender, mut receiver) = broadcast::channel(4);
    /// std::thread::spawn(move || sender.send(7));
    /// assert_eq!(futures_lite::future::block_on(receiver.recv()), Ok(7));
    /// ```
    pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        broadcast::channel_in(capacity)
    }
}

/// The latest value, and word when it changes. See [`crate::watch`].
pub mod watch {
    use crate::guard::Threadsafe;
    use crate::watch;

    pub use crate::watch::{RecvError, SendError};

    /// The sending end: see [`watch::Sender`].
    ///
    /// ```
    /// use asyncio_sync::threadsafe::watch;
    ///
    /// let (end, _) = watch::channel(7);
    /// let _: watch::Sender<u32> = end;
    /// ```
    pub type Sender<T> = watch::Sender<T, Threadsafe>;
    /// The receiving end: see [`watch::Receiver`].
    ///
    /// ```
    /// use asyncio_sync::threadsafe::watch;
    ///
    /// let (_, end) = watch::channel(7);
    /// let _: watch::Receiver<u32> = end;
    /// ```
    pub type Receiver<T> = watch::Receiver<T, Threadsafe>;
    /// The value as it was when one looked: see [`watch::Ref`].
    ///
    /// ```
    /// use asyncio_sync::threadsafe::watch;
    ///
    /// let (sender, _receiver) = watch::channel(7);
    /// let value: watch::Ref<u32> = sender.borrow();
    /// assert_eq!(*value, 7);
    /// ```
    pub type Ref<T> = watch::Ref<T, Threadsafe>;

    /// A channel: see [`watch::channel`].
    ///
    /// ```
    /// use asyncio_sync::threadsafe::watch;
    ///
    /// let (sender, mut receiver) = watch::channel(1);
    /// std::thread::spawn(move || sender.send(2));
    /// futures_lite::future::block_on(receiver.changed()).unwrap();
    /// ```
    pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
        watch::channel_in(value)
    }
}
