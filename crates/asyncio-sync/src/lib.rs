//! Fair waiting, and the primitives built on it; works on any executor.
//!
//! Everything here is state plus one line of waiters. The line is [`WaitQueue`]: first come, first served, a place can be
//! given up from the middle at no cost, and a waiter that was notified and then goes away passes the notification on.
//! There is no loop, no time and no thread in this crate: a primitive knows the [`Waker`](std::task::Waker) of who waits,
//! nothing else, so it works under any executor.
//!
//! The names at the root are the loop-local family, as asyncio's are: state in cells, no atomics, not `Send`.
//! The modules hold the same types generic over their [`Family`], which says how state is guarded and shared.
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

pub mod discipline;
pub mod error;
pub mod event;
pub mod future;
pub mod guard;
pub mod lock;
pub mod queue;
pub mod semaphore;
pub mod wait_queue;

use std::rc::Rc;

pub use error::{
    GetNowaitError, InvalidStateError, LockReleaseError, PutNowaitError, QueueEmpty, QueueFull,
    QueueShutDown, SemaphoreReleaseError, TaskDoneError,
};
pub use future::HookId;
pub use guard::{Family, Local};
pub use wait_queue::WaitQueue;

/// A value that comes later, loop-local: see [`future::Future`].
pub type Future<T> = future::Future<T, Local>;
/// Why a [`Future`] has no value: see [`future::FutureError`].
pub type FutureError = future::FutureError<Local>;
/// A flag one can wait for, loop-local: see [`event::Event`].
pub type Event = event::Event<Local>;
/// Mutual exclusion in order of arrival, loop-local: see [`lock::Lock`].
pub type Lock = lock::Lock<Local>;
/// Possession of a [`Lock`], borrowed from it.
pub type LockGuard<'a> = lock::LockGuard<&'a Lock, Local>;
/// Possession of a [`Lock`] behind an `Rc`.
pub type OwnedLockGuard = lock::LockGuard<Rc<Lock>, Local>;
/// A count of units, loop-local: see [`semaphore::Semaphore`].
pub type Semaphore = semaphore::Semaphore<Local, false>;
/// A [`Semaphore`] that refuses to rise above its initial value.
pub type BoundedSemaphore = semaphore::Semaphore<Local, true>;
/// One unit of a [`Semaphore`], borrowed from it.
pub type Permit<'a> = semaphore::Permit<&'a Semaphore, Local, false>;
/// One unit of a [`Semaphore`] behind an `Rc`.
pub type OwnedPermit = semaphore::Permit<Rc<Semaphore>, Local, false>;
/// Items handed from task to task, first in first out, loop-local: see [`queue::Queue`].
pub type Queue<T> = queue::Queue<discipline::Fifo<T>, Local>;
