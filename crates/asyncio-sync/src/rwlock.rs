//! Many may read, or one may write.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::guard::{Family, Guard, Local, Threadsafe};
use crate::wait_queue::{Left, Ticket, WaitQueue, Wakers};

/// Many may read, or one may write; in order of arrival.
///
/// Nobody overtakes: a reader that arrives after a waiting writer waits behind it, so writers do not starve; readers that
/// stand in line next to each other go in together. A task that reads and waits to read once more may hang behind a writer
/// between the two: hold one guard instead. A panic while it is locked does not poison it.
///
/// The value lives behind a counted pointer, of which each reader has a copy and the writer has the only one: that is what
/// keeps this free of unsafe code.
///
/// ```
/// use asyncio_sync::RwLock;
///
/// let config = RwLock::new("old");
/// futures_lite::future::block_on(async {
///     {
///         let (one, two) = (config.read().await, config.read().await);
///         assert_eq!(*one, *two);
///     }
///     *config.write().await = "new";
/// });
/// assert_eq!(config.into_inner(), "new");
/// ```
pub struct RwLock<T, F: Family> {
    state: F::Guarded<State<T, F>>,
}

/// A look at what a [`RwLock`] holds; dropping it ends the look. `P` is how the lock is held: `&RwLock` or a counted
/// pointer.
///
/// ```
/// let lock = asyncio_sync::RwLock::new(7);
/// let guard = lock.try_read().unwrap();
/// assert_eq!(*guard, 7);
/// assert!(lock.try_write().is_none());
/// ```
#[must_use = "others may write as soon as the guard is dropped: bind it, `let value = lock.read().await;`"]
pub struct ReadGuard<P, T, F>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    lock: P,
    /// Empty once it is dropped.
    value: Option<F::Shared<T>>,
}

/// Sole access to what a [`RwLock`] holds; dropping it ends the access. `P` is how the lock is held: `&RwLock` or a
/// counted pointer.
///
/// ```
/// let lock = asyncio_sync::RwLock::new(7);
/// *lock.try_write().unwrap() += 1;
/// assert_eq!(lock.into_inner(), 8);
/// ```
#[must_use = "others may read and write as soon as the guard is dropped: bind it, `let mut value = lock.write().await;`"]
pub struct WriteGuard<P, T, F>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    /// Empty once it was downgraded.
    lock: Option<P>,
    /// Empty once it is dropped.
    value: Option<F::Shared<T>>,
}

/// Waits for its turn at a [`RwLock`]: see [`RwLock::read`] and [`RwLock::write`].
///
/// ```
/// use asyncio_sync::{Local, RwLock, rwlock::Acquire};
///
/// let lock = RwLock::new(7);
/// let read: Acquire<&RwLock<u32>, u32, Local, false> = lock.read();
/// assert_eq!(*futures_lite::future::block_on(read), 7);
/// ```
#[must_use = "the lock is taken by awaiting: write `let value = lock.read().await;`"]
pub struct Acquire<P, T, F, const WRITES: bool>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    /// Moves into the guard.
    lock: Option<P>,
    ticket: Option<Ticket>,
}

/// Who is notified counts as reading or writing already. Where somebody waits, the first in line could not go in.
struct State<T, F: Family> {
    /// Empty while somebody writes: the guard has it.
    value: Option<F::Shared<T>>,
    readers: usize,
    writing: bool,
    line: WaitQueue<Waiter>,
}

struct Waiter {
    waker: Waker,
    writes: bool,
}

impl<T, F: Family> RwLock<T, F> {
    /// A lock that is free and holds `value`.
    ///
    /// ```
    /// assert_eq!(asyncio_sync::RwLock::new(7).into_inner(), 7);
    /// ```
    pub fn new(value: T) -> Self {
        let state = State {
            value: Some(F::share(value)),
            readers: 0,
            writing: false,
            line: WaitQueue::new(),
        };
        RwLock {
            state: F::Guarded::new(state),
        }
    }

    /// Waits for its turn to read. If nobody writes and nobody is in line it does not suspend.
    ///
    /// # Cancel safety
    ///
    /// Dropping it before it is ready gives up its place in line, nothing else.
    ///
    /// ```
    /// let lock = asyncio_sync::RwLock::new(7);
    /// assert_eq!(*futures_lite::future::block_on(lock.read()), 7);
    /// ```
    #[inline]
    pub fn read(&self) -> Acquire<&Self, T, F, false> {
        Acquire {
            lock: Some(self),
            ticket: None,
        }
    }

    /// Waits for its turn to write. If nobody reads or writes and nobody is in line it does not suspend.
    ///
    /// # Cancel safety
    ///
    /// Dropping it before it is ready gives up its place in line, nothing else; readers who waited behind it go in.
    ///
    /// ```
    /// let lock = asyncio_sync::RwLock::new(7);
    /// *futures_lite::future::block_on(lock.write()) = 8;
    /// assert_eq!(lock.into_inner(), 8);
    /// ```
    #[inline]
    pub fn write(&self) -> Acquire<&Self, T, F, true> {
        Acquire {
            lock: Some(self),
            ticket: None,
        }
    }

    /// Reads if nobody writes and nobody is in line.
    ///
    /// ```
    /// let lock = asyncio_sync::RwLock::new(7);
    /// assert_eq!(*lock.try_read().unwrap(), 7);
    /// ```
    #[inline]
    #[must_use = "others may write as soon as the guard is dropped: bind it"]
    pub fn try_read(&self) -> Option<ReadGuard<&Self, T, F>> {
        let value = self.state.with(State::try_read)?;
        Some(ReadGuard::new(self, value))
    }

    /// Writes if nobody reads or writes and nobody is in line.
    ///
    /// ```
    /// let lock = asyncio_sync::RwLock::new(7);
    /// assert!(lock.try_write().is_some());
    /// ```
    #[inline]
    #[must_use = "others may read and write as soon as the guard is dropped: bind it"]
    pub fn try_write(&self) -> Option<WriteGuard<&Self, T, F>> {
        let value = self.state.with(State::try_write)?;
        Some(WriteGuard::new(self, value))
    }

    /// What it holds, for one who has the lock alone.
    ///
    /// ```
    /// let mut lock = asyncio_sync::RwLock::new(7);
    /// *lock.get_mut() = 8;
    /// assert_eq!(lock.into_inner(), 8);
    /// ```
    ///
    /// # Panics
    ///
    /// When a guard was leaked, with [`std::mem::forget`].
    pub fn get_mut(&mut self) -> &mut T {
        let value = self.state.get_mut().value.as_mut();
        value.and_then(F::sole_mut).expect(LEAKED)
    }

    /// Gives back what it holds.
    ///
    /// ```
    /// assert_eq!(asyncio_sync::RwLock::new(7).into_inner(), 7);
    /// ```
    ///
    /// # Panics
    ///
    /// When a guard was leaked, with [`std::mem::forget`].
    pub fn into_inner(self) -> T {
        let value = self.state.into_inner().value;
        value
            .and_then(|value| F::try_last(value).ok())
            .expect(LEAKED)
    }

    /// One poll of somebody who wants to read or to write: the value, once it is its turn.
    #[inline]
    fn poll_turn(
        &self,
        writes: bool,
        ticket: &mut Option<Ticket>,
        cx: &Context<'_>,
    ) -> Poll<F::Shared<T>> {
        let (value, _replaced) = self.state.with(|state| {
            let Some(place) = *ticket else {
                let value = if writes {
                    state.try_write()
                } else {
                    state.try_read()
                };
                if value.is_none() {
                    let waker = cx.waker().clone();
                    *ticket = Some(state.line.push(Waiter { waker, writes }));
                }
                return (value, None);
            };
            if let Some(waiter) = state.line.waker_mut(place) {
                let same = waiter.waker.will_wake(cx.waker());
                let replaced =
                    (!same).then(|| std::mem::replace(&mut waiter.waker, cx.waker().clone()));
                return (None, replaced);
            }
            let left = state.line.leave(place);
            debug_assert!(matches!(left, Left::Notified));
            *ticket = None;
            let value = if writes {
                state.value.take()
            } else {
                state.value.clone()
            };
            (Some(value.expect(LEAKED)), None)
        });
        value.map_or(Poll::Pending, Poll::Ready)
    }

    #[cold]
    fn give_up(&self, writes: bool, ticket: Ticket) {
        let (left, wakers) = self.state.with(|state| {
            let left = state.line.leave(ticket);
            if let Left::Notified = left {
                state.ends(writes);
            }
            // Even one who only waited may have been all that kept those behind it out.
            (left, state.admit())
        });
        drop(left);
        wake(wakers);
    }
}

const LEAKED: &str =
    "the value is with a guard that was leaked: drop guards instead of forgetting them";
const NEVER_EMPTY: &str = "a guard has its value until it is dropped";

impl<T, F: Family> State<T, F> {
    #[inline]
    fn try_read(&mut self) -> Option<F::Shared<T>> {
        if self.writing || self.line.waiting() > 0 {
            return None;
        }
        self.readers += 1;
        self.value.clone()
    }

    #[inline]
    fn try_write(&mut self) -> Option<F::Shared<T>> {
        if self.writing || self.readers > 0 || self.line.waiting() > 0 {
            return None;
        }
        self.writing = true;
        self.value.take()
    }

    #[inline]
    fn ends(&mut self, writes: bool) {
        if writes {
            self.writing = false;
        } else {
            self.readers -= 1;
        }
    }

    /// Lets in whoever may go in now, in order.
    #[inline]
    fn admit(&mut self) -> Option<Wakers<Waiter>> {
        if self.line.waiting() == 0 {
            return None;
        }
        let mut wakers = Wakers::new();
        while let Some(first) = self.line.first() {
            if self.writing || (first.writes && self.readers > 0) {
                break;
            }
            if first.writes {
                self.writing = true;
            } else {
                self.readers += 1;
            }
            self.line
                .notify_one()
                .into_iter()
                .for_each(|w| wakers.push(w));
        }
        Some(wakers)
    }
}

fn wake(wakers: Option<Wakers<Waiter>>) {
    for waiter in wakers.into_iter().flatten() {
        waiter.waker.wake();
    }
}

macro_rules! owned {
    ($family:ident, $module:literal, $pointer:ident, $path:literal) => {
        impl<T> RwLock<T, $family> {
            /// As [`read`](Self::read), for a guard that keeps the lock alive and can leave the scope.
            ///
            /// # Cancel safety
            ///
            /// As [`read`](Self::read): its place in line, nothing else.
            ///
            /// ```
            #[doc = concat!("use std::", $module, "::", stringify!($pointer), ";")]
            ///
            #[doc = concat!("let lock = ", stringify!($pointer), "::new(", $path, "::RwLock::new(7));")]
            /// assert_eq!(*futures_lite::future::block_on(lock.read_owned()), 7);
            /// ```
            pub fn read_owned(self: &$pointer<Self>) -> Acquire<$pointer<Self>, T, $family, false> {
                Acquire {
                    lock: Some(self.clone()),
                    ticket: None,
                }
            }

            /// As [`write`](Self::write), for a guard that keeps the lock alive and can leave the scope.
            ///
            /// # Cancel safety
            ///
            /// As [`write`](Self::write): its place in line, nothing else.
            ///
            /// ```
            #[doc = concat!("use std::", $module, "::", stringify!($pointer), ";")]
            ///
            #[doc = concat!("let lock = ", stringify!($pointer), "::new(", $path, "::RwLock::new(7));")]
            /// *futures_lite::future::block_on(lock.write_owned()) = 8;
            /// assert_eq!(*lock.try_read().unwrap(), 8);
            /// ```
            pub fn write_owned(self: &$pointer<Self>) -> Acquire<$pointer<Self>, T, $family, true> {
                Acquire {
                    lock: Some(self.clone()),
                    ticket: None,
                }
            }
        }
    };
}

owned!(Local, "rc", Rc, "asyncio_sync");
owned!(Threadsafe, "sync", Arc, "asyncio_sync::threadsafe");

impl<P, T, F> ReadGuard<P, T, F>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    #[inline]
    fn new(lock: P, value: F::Shared<T>) -> Self {
        ReadGuard {
            lock,
            value: Some(value),
        }
    }
}

impl<P, T, F> WriteGuard<P, T, F>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    #[inline]
    fn new(lock: P, value: F::Shared<T>) -> Self {
        WriteGuard {
            lock: Some(lock),
            value: Some(value),
        }
    }

    /// Goes on reading, so that nobody writes between; readers next in line go in too.
    ///
    /// ```
    /// let lock = asyncio_sync::RwLock::new(7);
    /// let mut value = lock.try_write().unwrap();
    /// *value += 1;
    /// let value = value.downgrade();
    /// assert_eq!((*value, *lock.try_read().unwrap()), (8, 8));
    /// ```
    pub fn downgrade(mut self) -> ReadGuard<P, T, F> {
        let lock = self.lock.take().expect(NEVER_EMPTY);
        let value = self.value.take().expect(NEVER_EMPTY);
        let wakers = lock.state.with(|state| {
            state.value = Some(value.clone());
            state.writing = false;
            state.readers += 1;
            state.admit()
        });
        wake(wakers);
        ReadGuard::new(lock, value)
    }
}

impl<P, T, F> Deref for ReadGuard<P, T, F>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value.as_ref().expect(NEVER_EMPTY)
    }
}

impl<P, T, F> Deref for WriteGuard<P, T, F>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value.as_ref().expect(NEVER_EMPTY)
    }
}

impl<P, T, F> DerefMut for WriteGuard<P, T, F>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        let value = self.value.as_mut().and_then(F::sole_mut);
        value.expect("readers give their copies back before a writer goes in")
    }
}

impl<P, T, F> Drop for ReadGuard<P, T, F>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    #[inline]
    fn drop(&mut self) {
        // First, so that a writer finds the lock's own copy to be the only one.
        self.value = None;
        let wakers = self.lock.state.with(|state| {
            state.ends(false);
            state.admit()
        });
        wake(wakers);
    }
}

impl<P, T, F> Drop for WriteGuard<P, T, F>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    #[inline]
    fn drop(&mut self) {
        let Some(lock) = &self.lock else { return };
        let value = self.value.take();
        let wakers = lock.state.with(|state| {
            state.value = value;
            state.ends(true);
            state.admit()
        });
        wake(wakers);
    }
}

const AGAIN: &str = "`Acquire` was polled again after it gave its guard: await it once";

impl<P, T, F> Future for Acquire<P, T, F, false>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    type Output = ReadGuard<P, T, F>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let lock = this.lock.as_deref().expect(AGAIN);
        lock.poll_turn(false, &mut this.ticket, cx)
            .map(|value| ReadGuard::new(this.lock.take().expect(AGAIN), value))
    }
}

impl<P, T, F> Future for Acquire<P, T, F, true>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    type Output = WriteGuard<P, T, F>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let lock = this.lock.as_deref().expect(AGAIN);
        lock.poll_turn(true, &mut this.ticket, cx)
            .map(|value| WriteGuard::new(this.lock.take().expect(AGAIN), value))
    }
}

impl<P, T, F, const WRITES: bool> Drop for Acquire<P, T, F, WRITES>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    #[inline]
    fn drop(&mut self) {
        if let (Some(lock), Some(ticket)) = (&self.lock, self.ticket) {
            lock.give_up(WRITES, ticket);
        }
    }
}

// Nothing in it is ever pinned.
impl<P, T, F, const WRITES: bool> Unpin for Acquire<P, T, F, WRITES>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
}

impl<T: Default, F: Family> Default for RwLock<T, F> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T, F: Family> From<T> for RwLock<T, F> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T, F: Family> fmt::Debug for RwLock<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (readers, writing, waiting) = self
            .state
            .with(|state| (state.readers, state.writing, state.line.waiting()));
        f.debug_struct("RwLock")
            .field("readers", &readers)
            .field("writing", &writing)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

impl<P, T, F> fmt::Debug for ReadGuard<P, T, F>
where
    P: Deref<Target = RwLock<T, F>>,
    T: fmt::Debug,
    F: Family,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadGuard").field(&&**self).finish()
    }
}

impl<P, T, F> fmt::Debug for WriteGuard<P, T, F>
where
    P: Deref<Target = RwLock<T, F>>,
    T: fmt::Debug,
    F: Family,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteGuard").field(&&**self).finish()
    }
}

impl<P, T, F, const WRITES: bool> fmt::Debug for Acquire<P, T, F, WRITES>
where
    P: Deref<Target = RwLock<T, F>>,
    F: Family,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("writes", &WRITES)
            .field("in_line", &self.ticket.is_some())
            .finish()
    }
}
