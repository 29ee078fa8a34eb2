//! Mutual exclusion between tasks.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::error::LockReleaseError;
use crate::guard::{Family, Guard, Local};
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
    state: F::Guarded<State>,
}

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

/// While `locked` is true nobody is notified; while it is false and somebody waits, exactly one is.
#[derive(Default)]
struct State {
    locked: bool,
    waiters: WaitQueue,
}

impl<F: Family> Lock<F> {
    /// A lock that is free.
    ///
    /// ```
    /// assert!(!asyncio_sync::Lock::new().locked());
    /// ```
    pub fn new() -> Self {
        Lock {
            state: F::Guarded::new(State::default()),
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
        self.state.with(|state| state.locked)
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
        let next = self.state.with(|state| {
            if !state.locked {
                return Err(LockReleaseError);
            }
            state.locked = false;
            Ok(state.waiters.notify_one())
        })?;
        if let Some(waker) = next {
            waker.wake();
        }
        Ok(())
    }

    #[inline]
    fn take_if_free(&self) -> bool {
        self.state.with(|state| {
            let free = !state.locked && state.waiters.is_idle();
            state.locked |= free;
            free
        })
    }

    fn wait_in_line(&self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<()> {
        let turn = self.state.with(|state| {
            let turn = state.waiters.poll(ticket, cx.waker());
            if let Turn::Arrived = turn {
                debug_assert!(!state.locked, "a notified waiter finds the lock free");
                state.locked = true;
            }
            turn
        });
        match turn {
            Turn::Arrived => Poll::Ready(()),
            Turn::Waiting { .. } => Poll::Pending,
        }
    }

    /// A waiter goes away before it got the lock.
    fn give_up(&self, ticket: Ticket) {
        let (left, next) = self.state.with(|state| {
            let left = state.waiters.leave(ticket);
            let next = if let Left::Notified = left {
                state.waiters.notify_one()
            } else {
                None
            };
            (left, next)
        });
        drop(left);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl Lock<Local> {
    /// As [`acquire`](Self::acquire), for a guard that keeps the lock alive and can leave the scope.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire): its place in line, nothing else.
    ///
    /// ```
    /// use asyncio_sync::{Lock, OwnedLockGuard};
    /// use std::rc::Rc;
    ///
    /// let lock = Rc::new(Lock::new());
    /// let guard: OwnedLockGuard = futures_lite::future::block_on(lock.acquire_owned());
    /// assert!(lock.locked());
    /// # drop(guard);
    /// ```
    pub fn acquire_owned(self: &Rc<Self>) -> Acquire<Rc<Self>, Local> {
        Acquire {
            lock: Some(self.clone()),
            ticket: None,
            family: PhantomData,
        }
    }

    /// As [`try_acquire`](Self::try_acquire), for a guard that keeps the lock alive.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// let lock = Rc::new(asyncio_sync::Lock::new());
    /// assert!(lock.try_acquire_owned().is_some());
    /// ```
    #[must_use = "the lock is released as soon as the guard is dropped: bind it"]
    pub fn try_acquire_owned(self: &Rc<Self>) -> Option<LockGuard<Rc<Self>, Local>> {
        self.take_if_free().then(|| LockGuard {
            lock: Some(self.clone()),
            family: PhantomData,
        })
    }
}

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
        if (this.ticket.is_none() && lock.take_if_free())
            || lock.wait_in_line(&mut this.ticket, cx).is_ready()
        {
            return Poll::Ready(LockGuard {
                lock: this.lock.take(),
                family: PhantomData,
            });
        }
        Poll::Pending
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
        let (locked, waiting) = self
            .state
            .with(|state| (state.locked, state.waiters.waiting()));
        f.debug_struct("Lock")
            .field("locked", &locked)
            .field("waiting", &waiting)
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
