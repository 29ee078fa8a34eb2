//! Fair waiting, and the primitives built on it; works on any executor.
//!
//! Everything here is state plus one line of waiters. The line is [`WaitQueue`]: first come, first served, a place can be
//! given up from the middle at no cost, and a waiter that was notified and then goes away passes the notification on.
//! There is no loop, no time and no thread in this crate: a primitive knows the [`Waker`](std::task::Waker) of who waits,
//! nothing else, so it works under any executor.
//!
//! | | |
//! |---|---|
//! | as in asyncio | [`Lock`], [`Event`], [`Condition`], [`Semaphore`], [`BoundedSemaphore`], [`Barrier`], [`Queue`], [`PriorityQueue`], [`LifoQueue`], [`Future`] |
//! | with data inside | [`Mutex`], [`RwLock`], [`OnceCell`] |
//! | channels | [`oneshot`], [`broadcast`], [`watch`] |
//! | for threads | [`CapacityLimiter`] |
//!
//! # Two families
//!
//! The names at the root are loop-local, as asyncio's are: state in cells, no atomics, not `Send`. [`threadsafe`] has the
//! same names `Send` and `Sync`, for tasks of different loops and for threads. There is one implementation behind both:
//! each module holds its type generic over a [`Family`], which says how state is guarded and shared.
//!
//! ```
//! use asyncio_sync::Queue;
//! use futures_lite::future::{block_on, zip};
//!
//! let queue = Queue::bounded(1);
//! let produce = async {
//!     for n in 1..=3 {
//!         queue.put(n).await.unwrap();
//!     }
//!     queue.shutdown(false);
//! };
//! let consume = async {
//!     let mut sum = 0;
//!     while let Ok(n) = queue.get().await {
//!         sum += n;
//!     }
//!     sum
//! };
//! assert_eq!(block_on(zip(produce, consume)).1, 6);
//! ```
//!
//! # Under any executor
//!
//! The same program, which knows only the primitives,
//!
//! ```
//! # mod program {
//! use std::rc::Rc;
//!
//! use asyncio_sync::{Event, Semaphore};
//!
//! /// Waits until it may begin, then takes one of two permits.
//! pub async fn worker(begin: Rc<Event>, permits: Rc<Semaphore>) -> usize {
//!     begin.wait().await;
//!     let _permit = permits.acquire().await;
//!     permits.value()
//! }
//! # }
//! # use program::worker;
//! # use std::rc::Rc;
//! # use asyncio_sync::{Event, Semaphore};
//! let begin = Rc::new(Event::new());
//! let permits = Rc::new(Semaphore::new(2));
//! # let state = || (begin.clone(), permits.clone());
//!
//! // on a loop of this project,
//! let (b, p) = state();
//! let left = asyncio_runtime::run(async move {
//!     let task = asyncio_executor::spawn(worker(b.clone(), p));
//!     b.set();
//!     task.await.unwrap()
//! });
//! assert_eq!(left, 1);
//!
//! // with a bare `block_on`,
//! let (b, p) = state();
//! let left = futures_lite::future::block_on(worker(b, p));
//! assert_eq!(left, 1);
//!
//! // and under tokio.
//! let (b, p) = state();
//! let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
//! let left = runtime.block_on(tokio::task::LocalSet::new().run_until(async move {
//!     tokio::task::spawn_local(worker(b, p)).await.unwrap()
//! }));
//! assert_eq!(left, 1);
//! ```
//!
//! # Cancel safety
//!
//! Dropping any future of this crate before it is ready gives up its place in line, nothing else: what it had been
//! granted goes to the next one in line. A [`Queue::put`](queue::Queue::put) takes its item with it.
//!
//! # Two rules the code keeps
//!
//! 1. Nobody is woken, and no waker is dropped, while the state is guarded: wakers are carried out first.
//! 2. A waiter suspends with one clone of its waker and is woken once; a line that has been this long before does not
//!    allocate.

#![forbid(unsafe_code)]

pub mod barrier;
pub mod broadcast;
pub mod condition;
pub mod discipline;
pub mod error;
pub mod event;
pub mod future;
pub mod guard;
pub mod limiter;
pub mod lock;
pub mod mutex;
pub mod once_cell;
pub mod oneshot;
pub mod queue;
pub mod rwlock;
pub mod semaphore;
pub mod threadsafe;
pub mod wait_queue;
pub mod watch;

#[cfg(all(test, loom))]
mod loom_tests;

use std::rc::Rc;

pub use error::{
    BarrierPartiesError, BrokenBarrierError, CapacityError, GetNowaitError, InvalidStateError,
    LockReleaseError, NotifyError, PutNowaitError, QueueEmpty, QueueFull, QueueShutDown,
    SemaphoreReleaseError, TaskDoneError,
};
pub use future::HookId;
pub use guard::{Family, Local, Threadsafe};
pub use wait_queue::WaitQueue;

/// A value that comes later, loop-local: see [`future::Future`].
///
/// ```
/// let future = asyncio_sync::Future::new();
/// future.set_result(7).unwrap();
/// assert_eq!(futures_lite::future::block_on(future).unwrap(), 7);
/// ```
pub type Future<T> = future::Future<T, Local>;
/// Why a [`Future`] has no value: see [`future::FutureError`].
///
/// ```
/// use asyncio_sync::{Future, FutureError};
///
/// let error = Future::<u8>::new().result().unwrap_err();
/// assert!(matches!(error, FutureError::InvalidState(_)));
/// ```
pub type FutureError = future::FutureError<Local>;
/// A flag one can wait for, loop-local: see [`event::Event`].
///
/// ```
/// let event = asyncio_sync::Event::new();
/// event.set();
/// futures_lite::future::block_on(event.wait());
/// ```
pub type Event = event::Event<Local>;
/// Mutual exclusion in order of arrival, loop-local: see [`lock::Lock`].
///
/// ```
/// let lock = asyncio_sync::Lock::new();
/// let guard = futures_lite::future::block_on(lock.acquire());
/// assert!(lock.locked());
/// # drop(guard);
/// ```
pub type Lock = lock::Lock<Local>;
/// Possession of a [`Lock`], borrowed from it.
///
/// ```
/// use asyncio_sync::{Lock, LockGuard};
///
/// let lock = Lock::new();
/// let guard: Option<LockGuard<'_>> = lock.try_acquire();
/// assert!(guard.is_some());
/// ```
pub type LockGuard<'a> = lock::LockGuard<&'a Lock, Local>;
/// Possession of a [`Lock`] behind an `Rc`.
///
/// ```
/// use asyncio_sync::{Lock, OwnedLockGuard};
/// use std::rc::Rc;
///
/// let guard: Option<OwnedLockGuard> = Rc::new(Lock::new()).try_acquire_owned();
/// assert!(guard.is_some());
/// ```
pub type OwnedLockGuard = lock::LockGuard<Rc<Lock>, Local>;
/// A [`Lock`] that holds what it protects, loop-local: see [`mutex::Mutex`].
///
/// ```
/// let count = asyncio_sync::Mutex::new(1);
/// *futures_lite::future::block_on(count.lock()) += 1;
/// assert_eq!(count.into_inner(), 2);
/// ```
pub type Mutex<T> = mutex::Mutex<T, Local>;
/// Access to what a [`Mutex`] holds, borrowed from it.
///
/// ```
/// use asyncio_sync::{Mutex, MutexGuard};
///
/// let count = Mutex::new(1);
/// let guard: Option<MutexGuard<'_, u32>> = count.try_lock();
/// assert_eq!(guard.map(|count| *count), Some(1));
/// ```
pub type MutexGuard<'a, T> = mutex::MutexGuard<&'a Mutex<T>, T, Local>;
/// Access to what a [`Mutex`] behind an `Rc` holds.
///
/// ```
/// use asyncio_sync::{Mutex, OwnedMutexGuard};
/// use std::rc::Rc;
///
/// let guard: Option<OwnedMutexGuard<u32>> = Rc::new(Mutex::new(1)).try_lock_owned();
/// assert_eq!(guard.map(|count| *count), Some(1));
/// ```
pub type OwnedMutexGuard<T> = mutex::MutexGuard<Rc<Mutex<T>>, T, Local>;
/// Many may read or one may write, loop-local: see [`rwlock::RwLock`].
///
/// ```
/// let level = asyncio_sync::RwLock::new(1);
/// *futures_lite::future::block_on(level.write()) += 1;
/// assert_eq!(*futures_lite::future::block_on(level.read()), 2);
/// ```
pub type RwLock<T> = rwlock::RwLock<T, Local>;
/// Waiting for something to become true of what a lock protects, loop-local: see [`condition::Condition`].
///
/// ```
/// use asyncio_sync::{Condition, Mutex};
///
/// let jobs = Mutex::new(vec!["wash"]);
/// let arrived = Condition::with_lock(&jobs);
/// futures_lite::future::block_on(async {
///     let guard = jobs.lock().await;
///     let (_guard, job) = arrived.wait_for_value(guard, |jobs| jobs.pop()).await;
///     assert_eq!(job, "wash");
/// });
/// ```
pub type Condition<P = Rc<Lock>> = condition::Condition<P, Local>;
/// A count of units, loop-local: see [`semaphore::Semaphore`].
///
/// ```
/// let semaphore = asyncio_sync::Semaphore::new(1);
/// let permit = futures_lite::future::block_on(semaphore.acquire());
/// assert!(semaphore.locked());
/// # drop(permit);
/// ```
pub type Semaphore = semaphore::Semaphore<Local, false>;
/// A [`Semaphore`] that refuses to rise above its initial value.
///
/// ```
/// let semaphore = asyncio_sync::BoundedSemaphore::new(1);
/// assert!(semaphore.release().is_err());
/// ```
pub type BoundedSemaphore = semaphore::Semaphore<Local, true>;
/// One unit of a [`Semaphore`], borrowed from it.
///
/// ```
/// use asyncio_sync::{Permit, Semaphore};
///
/// let semaphore = Semaphore::new(1);
/// let permit: Option<Permit<'_>> = semaphore.try_acquire();
/// assert!(permit.is_some());
/// ```
pub type Permit<'a> = semaphore::Permit<&'a Semaphore, Local, false>;
/// One unit of a [`Semaphore`] behind an `Rc`.
///
/// ```
/// use asyncio_sync::{OwnedPermit, Semaphore};
/// use std::rc::Rc;
///
/// let permit: Option<OwnedPermit> = Rc::new(Semaphore::new(1)).try_acquire_owned();
/// assert!(permit.is_some());
/// ```
pub type OwnedPermit = semaphore::Permit<Rc<Semaphore>, Local, false>;
/// How many may be at work at the same time, loop-local: see [`limiter::CapacityLimiter`].
///
/// ```
/// let limiter = asyncio_sync::CapacityLimiter::new(2).unwrap();
/// let token = futures_lite::future::block_on(limiter.acquire());
/// assert_eq!(limiter.available_tokens(), 1);
/// # drop(token);
/// ```
pub type CapacityLimiter = limiter::CapacityLimiter<Local>;
/// A place where tasks wait for each other, loop-local: see [`barrier::Barrier`].
///
/// ```
/// let barrier = asyncio_sync::Barrier::new(1).unwrap();
/// assert_eq!(futures_lite::future::block_on(barrier.wait()), Ok(0));
/// ```
pub type Barrier = barrier::Barrier<Local>;
/// A value that is made once, by whoever needs it first, loop-local: see [`once_cell::OnceCell`].
///
/// ```
/// let cell = asyncio_sync::OnceCell::new();
/// assert_eq!(futures_lite::future::block_on(cell.get_or_init(async || 7)), &7);
/// ```
pub type OnceCell<T> = once_cell::OnceCell<T, Local>;
/// Items handed from task to task, first in, first out, loop-local: see [`queue::Queue`].
///
/// ```
/// let queue = asyncio_sync::Queue::bounded(2);
/// queue.put_nowait("first").unwrap();
/// assert_eq!(futures_lite::future::block_on(queue.get()), Ok("first"));
/// ```
pub type Queue<T> = queue::Queue<discipline::Fifo<T>, Local>;
/// A [`Queue`] that gives the smallest item first; equals in order.
///
/// ```
/// let queue = asyncio_sync::PriorityQueue::new();
/// queue.put_nowait((2, "rest")).unwrap();
/// queue.put_nowait((1, "work")).unwrap();
/// assert_eq!(queue.get_nowait(), Ok((1, "work")));
/// ```
pub type PriorityQueue<T> = queue::Queue<discipline::Priority<T>, Local>;
/// A [`Queue`] that gives the newest item first.
///
/// ```
/// let queue = asyncio_sync::LifoQueue::new();
/// queue.put_nowait("old").unwrap();
/// queue.put_nowait("new").unwrap();
/// assert_eq!(queue.get_nowait(), Ok("new"));
/// ```
pub type LifoQueue<T> = queue::Queue<discipline::Lifo<T>, Local>;
