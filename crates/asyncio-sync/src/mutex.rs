//! Mutual exclusion that holds what it protects.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::guard::{Family, Guard, Local, Threadsafe};
use crate::wait_queue::{Left, Ticket, Turn, WaitQueue};

/// A [`Lock`](crate::lock::Lock) that holds the data it protects: the guard is the way to it.
///
/// As fair as the lock: first come, first served, nobody overtakes. A panic while it is locked does not poison it.
///
/// The value lives in a box of its own, which moves into the guard and back: that is what keeps this free of unsafe code,
/// and what makes locking a large value as cheap as locking a small one.
///
/// ```
/// use asyncio_sync::Mutex;
///
/// let names = Mutex::new(vec!["ada"]);
/// futures_lite::future::block_on(async {
///     names.lock().await.push("grace");
///     assert_eq!(*names.lock().await, ["ada", "grace"]);
/// });
/// ```
pub struct Mutex<T, F: Family> {
    state: F::Guarded<State<T>>,
}

/// Access to what a [`Mutex`] holds; dropping it unlocks. `P` is how the mutex is held: `&Mutex` or a counted pointer.
///
/// ```
/// let count = asyncio_sync::Mutex::new(1);
/// {
///     let mut guard = count.try_lock().unwrap();
///     *guard += 1;
/// }
/// assert_eq!(count.into_inner(), 2);
/// ```
#[must_use = "the mutex is unlocked as soon as the guard is dropped: bind it, `let guard = mutex.lock().await;`"]
pub struct MutexGuard<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
    /// Empty once it was let go.
    held: Option<Held<P, T>>,
}

/// Waits for a [`Mutex`]: see [`Mutex::lock`].
///
/// ```
/// use asyncio_sync::{Local, Mutex, mutex::Acquire};
///
/// let mutex = Mutex::new(7);
/// let acquire: Acquire<&Mutex<u32>, u32, Local> = mutex.lock();
/// assert_eq!(*futures_lite::future::block_on(acquire), 7);
/// ```
#[must_use = "the mutex is locked by awaiting: write `let guard = mutex.lock().await;`"]
pub struct Acquire<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
    /// Moves into the guard.
    mutex: Option<P>,
    ticket: Option<Ticket>,
}

/// If the value is there and somebody waits, exactly one is notified.
struct State<T> {
    /// Empty while it is locked: the guard has it.
    value: Option<Box<T>>,
    line: WaitQueue,
}

struct Held<P, T> {
    mutex: P,
    value: Box<T>,
}

impl<T, F: Family> Mutex<T, F> {
    /// A mutex that is free and holds `value`.
    ///
    /// ```
    /// assert_eq!(asyncio_sync::Mutex::new(7).into_inner(), 7);
    /// ```
    pub fn new(value: T) -> Self {
        let state = State {
            value: Some(Box::new(value)),
            line: WaitQueue::new(),
        };
        Mutex {
            state: F::Guarded::new(state),
        }
    }

    /// Waits for its turn and locks. A free mutex with nobody in line is locked without suspending.
    ///
    /// # Cancel safety
    ///
    /// Dropping it before it is ready gives up its place in line, nothing else.
    ///
    /// ```
    /// let count = asyncio_sync::Mutex::new(1);
    /// *futures_lite::future::block_on(count.lock()) += 1;
    /// assert_eq!(count.into_inner(), 2);
    /// ```
    #[inline]
    pub fn lock(&self) -> Acquire<&Self, T, F> {
        Acquire {
            mutex: Some(self),
            ticket: None,
        }
    }

    /// Locks if it is free and nobody is in line.
    ///
    /// ```
    /// let mutex = asyncio_sync::Mutex::new(1);
    /// let guard = mutex.try_lock().expect("a new mutex is free");
    /// assert!(mutex.try_lock().is_none());
    /// # drop(guard);
    /// ```
    #[inline]
    #[must_use = "the mutex is unlocked as soon as the guard is dropped: bind it"]
    pub fn try_lock(&self) -> Option<MutexGuard<&Self, T, F>> {
        let value = self.take_if_free()?;
        Some(MutexGuard::of(self, value))
    }

    /// Whether somebody holds it. False between an unlock and the moment in which the next waiter runs.
    ///
    /// ```
    /// let mutex = asyncio_sync::Mutex::new(1);
    /// let guard = mutex.try_lock();
    /// assert!(mutex.locked());
    /// # drop(guard);
    /// ```
    #[inline]
    pub fn locked(&self) -> bool {
        self.state.with(|state| state.value.is_none())
    }

    /// What it holds, for one who has the mutex alone.
    ///
    /// ```
    /// let mut mutex = asyncio_sync::Mutex::new(1);
    /// *mutex.get_mut() = 2;
    /// assert_eq!(mutex.into_inner(), 2);
    /// ```
    ///
    /// # Panics
    ///
    /// When a guard was leaked, with [`std::mem::forget`]: the value is in it.
    pub fn get_mut(&mut self) -> &mut T {
        self.state.get_mut().value.as_deref_mut().expect(LEAKED)
    }

    /// Gives back what it holds.
    ///
    /// ```
    /// assert_eq!(asyncio_sync::Mutex::new(7).into_inner(), 7);
    /// ```
    ///
    /// # Panics
    ///
    /// When a guard was leaked, with [`std::mem::forget`]: the value is in it.
    pub fn into_inner(self) -> T {
        *self.state.into_inner().value.expect(LEAKED)
    }

    #[inline]
    fn take_if_free(&self) -> Option<Box<T>> {
        self.state.with(State::take_if_free)
    }

    /// One poll of somebody who wants to lock: the value, once it is its turn.
    #[inline]
    fn poll_lock(&self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<Box<T>> {
        let (value, _replaced) = self.state.with(|state| {
            if ticket.is_none()
                && let Some(value) = state.take_if_free()
            {
                return (Some(value), None);
            }
            match state.line.poll(ticket, cx.waker()) {
                Turn::Arrived => (state.value.take(), None),
                Turn::Waiting { replaced } => (None, replaced),
            }
        });
        value.map_or(Poll::Pending, Poll::Ready)
    }

    #[inline]
    fn unlock(&self, value: Box<T>) {
        let next = self.state.with(|state| {
            state.value = Some(value);
            state.line.notify_one()
        });
        if let Some(waker) = next {
            waker.wake();
        }
    }

    /// A waiter goes away before it got the value.
    #[cold]
    fn give_up(&self, ticket: Ticket) {
        let (left, next) = self.state.with(|state| {
            let left = state.line.leave(ticket);
            let next = match left {
                Left::Notified => state.line.notify_one(),
                Left::Waiting(_) | Left::Nothing => None,
            };
            (left, next)
        });
        drop(left);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl<T> State<T> {
    #[inline]
    fn take_if_free(&mut self) -> Option<Box<T>> {
        if self.line.is_idle() {
            self.value.take()
        } else {
            None
        }
    }
}

const LEAKED: &str =
    "the value left with a guard that was leaked: drop guards instead of forgetting them";
const NEVER_EMPTY: &str = "only `let_go` and `drop` empty a guard, and they end it";

macro_rules! owned {
    ($family:ident, $module:literal, $pointer:ident, $path:literal) => {
        impl<T> Mutex<T, $family> {
            /// As [`lock`](Self::lock), for a guard that keeps the mutex alive and can leave the scope.
            ///
            /// # Cancel safety
            ///
            /// As [`lock`](Self::lock): its place in line, nothing else.
            ///
            /// ```
            #[doc = concat!("use ", $path, "::{Mutex, OwnedMutexGuard};")]
            #[doc = concat!("use std::", $module, "::", stringify!($pointer), ";")]
            ///
            #[doc = concat!("let count = ", stringify!($pointer), "::new(Mutex::new(1));")]
            /// let mut guard: OwnedMutexGuard<u32> = futures_lite::future::block_on(count.lock_owned());
            /// *guard += 1;
            /// ```
            #[inline]
            pub fn lock_owned(self: &$pointer<Self>) -> Acquire<$pointer<Self>, T, $family> {
                Acquire {
                    mutex: Some(self.clone()),
                    ticket: None,
                }
            }

            /// As [`try_lock`](Self::try_lock), for a guard that keeps the mutex alive.
            ///
            /// ```
            #[doc = concat!("use std::", $module, "::", stringify!($pointer), ";")]
            ///
            #[doc = concat!("let mutex = ", stringify!($pointer), "::new(", $path, "::Mutex::new(1));")]
            /// assert!(mutex.try_lock_owned().is_some());
            /// ```
            #[inline]
            #[must_use = "the mutex is unlocked as soon as the guard is dropped: bind it"]
            pub fn try_lock_owned(
                self: &$pointer<Self>,
            ) -> Option<MutexGuard<$pointer<Self>, T, $family>> {
                let value = self.take_if_free()?;
                Some(MutexGuard::of(self.clone(), value))
            }
        }
    };
}

owned!(Local, "rc", Rc, "asyncio_sync");
owned!(Threadsafe, "sync", Arc, "asyncio_sync::threadsafe");

impl<P, T, F> MutexGuard<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
    #[inline]
    fn of(mutex: P, value: Box<T>) -> Self {
        MutexGuard {
            held: Some(Held { mutex, value }),
        }
    }

    /// The mutex this guard is of.
    #[inline]
    pub(crate) fn mutex(&self) -> &Mutex<T, F> {
        &self.held.as_ref().expect(NEVER_EMPTY).mutex
    }

    /// Unlocks and gives what will lock again, through the same handle.
    pub(crate) fn let_go(mut self) -> Acquire<P, T, F> {
        let Held { mutex, value } = self.held.take().expect(NEVER_EMPTY);
        mutex.unlock(value);
        Acquire {
            mutex: Some(mutex),
            ticket: None,
        }
    }
}

impl<P, T, F> Deref for MutexGuard<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.held.as_ref().expect(NEVER_EMPTY).value
    }
}

impl<P, T, F> DerefMut for MutexGuard<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.held.as_mut().expect(NEVER_EMPTY).value
    }
}

impl<P, T, F> Drop for MutexGuard<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
    #[inline]
    fn drop(&mut self) {
        if let Some(Held { mutex, value }) = self.held.take() {
            mutex.unlock(value);
        }
    }
}

impl<P, T, F> Future for Acquire<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
    type Output = MutexGuard<P, T, F>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const AGAIN: &str = "`Acquire` was polled again after it gave its guard: await it once";
        let this = self.get_mut();
        let mutex = this.mutex.as_deref().expect(AGAIN);
        mutex
            .poll_lock(&mut this.ticket, cx)
            .map(|value| MutexGuard::of(this.mutex.take().expect(AGAIN), value))
    }
}

impl<P, T, F> Drop for Acquire<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
    #[inline]
    fn drop(&mut self) {
        if let (Some(mutex), Some(ticket)) = (&self.mutex, self.ticket) {
            mutex.give_up(ticket);
        }
    }
}

// Nothing in it is ever pinned.
impl<P, T, F> Unpin for Acquire<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
}

impl<T: Default, F: Family> Default for Mutex<T, F> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T, F: Family> From<T> for Mutex<T, F> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T, F: Family> fmt::Debug for Mutex<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (locked, waiting) = self
            .state
            .with(|state| (state.value.is_none(), state.line.waiting()));
        f.debug_struct("Mutex")
            .field("locked", &locked)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

impl<P, T, F> fmt::Debug for MutexGuard<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    T: fmt::Debug,
    F: Family,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MutexGuard").field(&&**self).finish()
    }
}

impl<P, T, F> fmt::Debug for Acquire<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("in_line", &self.ticket.is_some())
            .finish()
    }
}
