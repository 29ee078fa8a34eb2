//! Mutual exclusion between tasks.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::error::LockReleaseError;
use crate::guard::{Family, Guard, Local, Threadsafe, Word};
use crate::wait_queue::{Left, Ticket, Turn, WaitQueue};

/// Mutual exclusion between tasks, in order of arrival: `asyncio.Lock`.
///
/// Nobody overtakes: while somebody is in line, a newcomer queues behind, even in the gap between a release and the moment
/// in which the first waiter runs. In that gap the lock shows unlocked. It is not reentrant, and it belongs to nobody:
/// any task may release it.
///
/// ```
/// use asyncio_sync::Lock;
///
/// let lock = Lock::new();
/// futures_lite::future::block_on(async {
///     let guard = lock.acquire().await;
///     assert!(lock.locked());
///     drop(guard);
///     assert!(!lock.locked());
/// });
/// ```
pub struct Lock<F: Family> {
    /// `LOCKED` and `BUSY`. While `BUSY` is set it changes only under the guard of `line`.
    word: F::Word,
    line: F::Guarded<WaitQueue>,
}

/// Somebody holds the lock. Then nobody is notified.
const LOCKED: usize = 1;
/// Somebody is in line; if the lock is free, exactly one of them is notified.
const BUSY: usize = 2;

/// Possession of a [`Lock`]; dropping it releases the lock. `P` is how the lock is held: `&Lock` or a counted pointer.
///
/// ```
/// let lock = asyncio_sync::Lock::new();
/// {
///     let _guard = lock.try_acquire().unwrap();
///     assert!(lock.try_acquire().is_none());
/// }
/// assert!(lock.try_acquire().is_some());
/// ```
#[must_use = "the lock is released as soon as the guard is dropped: bind it, `let _guard = lock.acquire().await;`"]
pub struct LockGuard<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
    /// Empty once forgotten.
    lock: Option<P>,
    family: PhantomData<fn() -> F>,
}

/// Waits for a [`Lock`]: see [`Lock::acquire`].
///
/// ```
/// use asyncio_sync::{Local, Lock, lock::Acquire};
///
/// let lock = Lock::new();
/// let acquire: Acquire<&Lock, Local> = lock.acquire();
/// drop(futures_lite::future::block_on(acquire));
/// ```
#[must_use = "the lock is acquired by awaiting: write `let _guard = lock.acquire().await;`"]
pub struct Acquire<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
    /// Moves into the guard.
    lock: Option<P>,
    ticket: Option<Ticket>,
    family: PhantomData<fn() -> F>,
}

impl<F: Family> Lock<F> {
    /// A lock that is free.
    ///
    /// ```
    /// assert!(!asyncio_sync::Lock::new().locked());
    /// ```
    pub fn new() -> Self {
        Lock {
            word: F::Word::new(0),
            line: F::Guarded::new(WaitQueue::new()),
        }
    }

    /// Whether somebody holds the lock. False between a release and the moment in which the next waiter runs.
    ///
    /// ```
    /// let lock = asyncio_sync::Lock::new();
    /// let _guard = lock.try_acquire();
    /// assert!(lock.locked());
    /// ```
    #[inline]
    pub fn locked(&self) -> bool {
        self.word.load() & LOCKED != 0
    }

    /// Waits for its turn and takes the lock. A free lock with nobody in line is taken without suspending.
    ///
    /// # Cancel safety
    ///
    /// Dropping it before it is ready gives up its place in line, nothing else: if the lock had just been handed to it,
    /// the next one in line gets it.
    ///
    /// ```
    /// let lock = asyncio_sync::Lock::new();
    /// let guard = futures_lite::future::block_on(lock.acquire());
    /// assert!(lock.locked());
    /// # drop(guard);
    /// ```
    #[inline]
    pub fn acquire(&self) -> Acquire<&Self, F> {
        Acquire {
            lock: Some(self),
            ticket: None,
            family: PhantomData,
        }
    }

    /// Takes the lock if it is free and nobody is in line.
    ///
    /// ```
    /// let lock = asyncio_sync::Lock::new();
    /// let guard = lock.try_acquire().expect("a new lock is free");
    /// assert!(lock.try_acquire().is_none());
    /// # drop(guard);
    /// ```
    #[inline]
    #[must_use = "the lock is released as soon as the guard is dropped: bind it"]
    pub fn try_acquire(&self) -> Option<LockGuard<&Self, F>> {
        self.take_if_free().then(|| LockGuard {
            lock: Some(self),
            family: PhantomData,
        })
    }

    /// Releases a lock whose guard was [forgotten](LockGuard::forget), and lets the next one in line run.
    ///
    /// # Errors
    ///
    /// When nobody holds the lock.
    ///
    /// ```
    /// let lock = asyncio_sync::Lock::new();
    /// lock.try_acquire().unwrap().forget();
    /// assert_eq!(lock.release(), Ok(()));
    /// assert!(lock.release().unwrap_err().to_string().contains("not held"));
    /// ```
    #[inline]
    pub fn release(&self) -> Result<(), LockReleaseError> {
        if self.word.replace_if(LOCKED, 0) {
            Ok(())
        } else {
            self.release_to_next()
        }
    }

    /// Takes the lock if it is free and nobody is in line.
    #[inline]
    fn take_if_free(&self) -> bool {
        self.word.replace_if(0, LOCKED)
    }

    /// One poll of somebody who wants the lock.
    #[inline]
    fn poll_acquire(&self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<()> {
        if ticket.is_none() && self.take_if_free() {
            return Poll::Ready(());
        }
        self.wait_in_line(ticket, cx)
    }

    fn release_to_next(&self) -> Result<(), LockReleaseError> {
        let next = self.line.with(|line| {
            loop {
                let word = self.word.load();
                if word & LOCKED == 0 {
                    return Err(LockReleaseError);
                }
                if word & BUSY != 0 {
                    self.word.store(BUSY);
                    return Ok(line.notify_one());
                }
                // Whoever was in line has left it meanwhile.
                if self.word.replace_if(LOCKED, 0) {
                    return Ok(None);
                }
            }
        })?;
        if let Some(waker) = next {
            waker.wake();
        }
        Ok(())
    }

    fn wait_in_line(&self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<()> {
        let turn = self.line.with(|line| {
            if ticket.is_none() && self.take_or_announce() {
                return Turn::Arrived;
            }
            let turn = line.poll(ticket, cx.waker());
            if let Turn::Arrived = turn {
                debug_assert!(!self.locked(), "a notified waiter finds the lock free");
                self.word.store(if line.is_idle() {
                    LOCKED
                } else {
                    LOCKED | BUSY
                });
            }
            turn
        });
        match turn {
            Turn::Arrived => Poll::Ready(()),
            Turn::Waiting { .. } => Poll::Pending,
        }
    }

    /// Under the guard: takes a lock that became free, or makes sure that its holder will look at the line.
    fn take_or_announce(&self) -> bool {
        loop {
            let word = self.word.load();
            if word & BUSY != 0 {
                return false;
            }
            let (taken, next) = match word {
                0 => (true, LOCKED),
                _ => (false, LOCKED | BUSY),
            };
            if self.word.replace_if(word, next) {
                return taken;
            }
        }
    }

    /// A waiter goes away before it got the lock.
    #[cold]
    fn give_up(&self, ticket: Ticket) {
        let (left, next) = self.line.with(|line| {
            let left = line.leave(ticket);
            let next = match left {
                Left::Notified => line.notify_one(),
                Left::Waiting(_) | Left::Nothing => None,
            };
            if line.is_idle() {
                self.word.store(self.word.load() & LOCKED);
            }
            (left, next)
        });
        drop(left);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

macro_rules! owned {
    ($family:ident, $module:literal, $pointer:ident, $path:literal) => {
        impl Lock<$family> {
            /// As [`acquire`](Self::acquire), for a guard that keeps the lock alive and can leave the scope.
            ///
            /// # Cancel safety
            ///
            /// As [`acquire`](Self::acquire): its place in line, nothing else.
            ///
            /// ```
            #[doc = concat!("use ", $path, "::{Lock, OwnedLockGuard};")]
            #[doc = concat!("use std::", $module, "::", stringify!($pointer), ";")]
            ///
            #[doc = concat!("let lock = ", stringify!($pointer), "::new(Lock::new());")]
            /// let guard: OwnedLockGuard = futures_lite::future::block_on(lock.acquire_owned());
            /// assert!(lock.locked());
            /// # drop(guard);
            /// ```
            #[inline]
            pub fn acquire_owned(self: &$pointer<Self>) -> Acquire<$pointer<Self>, $family> {
                Acquire {
                    lock: Some(self.clone()),
                    ticket: None,
                    family: PhantomData,
                }
            }

            /// As [`try_acquire`](Self::try_acquire), for a guard that keeps the lock alive.
            ///
            /// ```
            #[doc = concat!("use std::", $module, "::", stringify!($pointer), ";")]
            ///
            #[doc = concat!("let lock = ", stringify!($pointer), "::new(", $path, "::Lock::new());")]
            /// assert!(lock.try_acquire_owned().is_some());
            /// ```
            #[inline]
            #[must_use = "the lock is released as soon as the guard is dropped: bind it"]
            pub fn try_acquire_owned(
                self: &$pointer<Self>,
            ) -> Option<LockGuard<$pointer<Self>, $family>> {
                self.take_if_free().then(|| LockGuard {
                    lock: Some(self.clone()),
                    family: PhantomData,
                })
            }
        }
    };
}

owned!(Local, "rc", Rc, "asyncio_sync");
owned!(Threadsafe, "sync", Arc, "asyncio_sync::threadsafe");

const NEVER_EMPTY: &str = "only `forget` and `let_go` empty a guard, and they end it";

impl<P, F> LockGuard<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
    /// Keeps the lock locked; [`Lock::release`] will have to be called.
    ///
    /// ```
    /// let lock = asyncio_sync::Lock::new();
    /// lock.try_acquire().unwrap().forget();
    /// assert!(lock.locked());
    /// ```
    pub fn forget(mut self) {
        self.lock = None;
    }

    /// The lock this guard is of.
    #[inline]
    pub(crate) fn lock(&self) -> &Lock<F> {
        self.lock.as_deref().expect(NEVER_EMPTY)
    }

    /// Releases the lock and gives what will acquire it again, through the same handle.
    pub(crate) fn let_go(mut self) -> Acquire<P, F> {
        let lock = self.lock.take().expect(NEVER_EMPTY);
        // As in `drop`.
        let _ = lock.release();
        Acquire {
            lock: Some(lock),
            ticket: None,
            family: PhantomData,
        }
    }
}

impl<P, F> Drop for LockGuard<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
    #[inline]
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            // An error means that somebody called `release` on top of this guard: the lock is free, as the drop wants it.
            let _ = lock.release();
        }
    }
}

impl<P, F> Future for Acquire<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
    type Output = LockGuard<P, F>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let lock = this
            .lock
            .as_ref()
            .expect("`Acquire` was polled again after it gave its guard: await it once");
        lock.poll_acquire(&mut this.ticket, cx).map(|()| LockGuard {
            lock: this.lock.take(),
            family: PhantomData,
        })
    }
}

impl<P, F> Drop for Acquire<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
    #[inline]
    fn drop(&mut self) {
        if let (Some(lock), Some(ticket)) = (&self.lock, self.ticket) {
            lock.give_up(ticket);
        }
    }
}

// Nothing in it is ever pinned.
impl<P, F> Unpin for Acquire<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
}

impl<F: Family> Default for Lock<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Family> fmt::Debug for Lock<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("locked", &self.locked())
            .field("waiting", &self.line.with(|line| line.waiting()))
            .finish()
    }
}

impl<P, F> fmt::Debug for LockGuard<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").finish_non_exhaustive()
    }
}

impl<P, F> fmt::Debug for Acquire<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("in_line", &self.ticket.is_some())
            .finish()
    }
}
