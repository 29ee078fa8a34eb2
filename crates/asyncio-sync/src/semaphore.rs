//! A count of units that tasks take and give back.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::error::SemaphoreReleaseError;
use crate::guard::{Family, Guard, Local};
use crate::wait_queue::{Left, Ticket, Turn, WaitQueue, Wakers};

/// A count of units that tasks take and give back, in order of arrival: `asyncio.Semaphore`, and with `BOUNDED`
/// `asyncio.BoundedSemaphore`, which refuses to rise above its initial value.
///
/// A release with somebody in line hands the unit over at once: the value does not rise, nobody overtakes.
///
/// ```
/// use asyncio_sync::Semaphore;
///
/// let connections = Semaphore::new(2);
/// futures_lite::future::block_on(async {
///     let _one = connections.acquire().await;
///     let _two = connections.acquire().await;
///     assert!(connections.locked());
/// });
/// assert!(!connections.locked());
/// ```
pub struct Semaphore<F: Family, const BOUNDED: bool> {
    state: F::Guarded<State>,
    /// The initial value where it is a bound, else `usize::MAX`.
    bound: usize,
}

/// One unit of a [`Semaphore`]; dropping it gives the unit back. `P` is how the semaphore is held: `&Semaphore` or a
/// counted pointer.
///
/// ```
/// let semaphore = asyncio_sync::Semaphore::new(1);
/// drop(semaphore.try_acquire().unwrap());
/// assert!(semaphore.try_acquire().is_some());
/// ```
#[must_use = "the unit goes back as soon as the permit is dropped: bind it, `let _permit = semaphore.acquire().await;`"]
pub struct Permit<P, F, const BOUNDED: bool>
where
    P: Deref<Target = Semaphore<F, BOUNDED>>,
    F: Family,
{
    /// Empty once forgotten.
    semaphore: Option<P>,
    family: PhantomData<fn() -> F>,
}

/// Waits for a unit of a [`Semaphore`]: see [`Semaphore::acquire`].
#[must_use = "the unit is acquired by awaiting: write `let _permit = semaphore.acquire().await;`"]
pub struct Acquire<P, F, const BOUNDED: bool>
where
    P: Deref<Target = Semaphore<F, BOUNDED>>,
    F: Family,
{
    /// Moves into the permit.
    semaphore: Option<P>,
    ticket: Option<Ticket>,
    family: PhantomData<fn() -> F>,
}

/// Every notified waiter owns one unit that `value` does not count.
/// If `value` is not 0 while somebody waits, somebody else is notified and will see to it when it runs or goes.
struct State {
    value: usize,
    waiters: WaitQueue,
}

impl<F: Family, const BOUNDED: bool> Semaphore<F, BOUNDED> {
    /// A semaphore with `value` units; 0 is legal.
    ///
    /// ```
    /// assert!(asyncio_sync::Semaphore::new(0).locked());
    /// ```
    pub fn new(value: usize) -> Self {
        let bound = if BOUNDED { value } else { usize::MAX };
        Semaphore {
            state: F::Guarded::new(State {
                value,
                waiters: WaitQueue::new(),
            }),
            bound,
        }
    }

    /// Whether an acquire would have to wait: there is no unit, or somebody is in line for it.
    ///
    /// ```
    /// let semaphore = asyncio_sync::Semaphore::new(1);
    /// assert!(!semaphore.locked());
    /// let _permit = semaphore.try_acquire();
    /// assert!(semaphore.locked());
    /// ```
    #[inline]
    pub fn locked(&self) -> bool {
        self.state.with(|state| state.locked())
    }

    /// Waits for its turn and takes one unit. A unit that nobody is in line for is taken without suspending.
    ///
    /// # Cancel safety
    ///
    /// Dropping it before it is ready gives up its place in line, nothing else: a unit that had just been handed to it
    /// goes to the next one in line.
    ///
    /// ```
    /// let semaphore = asyncio_sync::Semaphore::new(1);
    /// let permit = futures_lite::future::block_on(semaphore.acquire());
    /// assert!(semaphore.locked());
    /// # drop(permit);
    /// ```
    #[inline]
    pub fn acquire(&self) -> Acquire<&Self, F, BOUNDED> {
        Acquire {
            semaphore: Some(self),
            ticket: None,
            family: PhantomData,
        }
    }

    /// Takes one unit if there is one and nobody is in line.
    ///
    /// ```
    /// let semaphore = asyncio_sync::Semaphore::new(1);
    /// let permit = semaphore.try_acquire().expect("one unit");
    /// assert!(semaphore.try_acquire().is_none());
    /// # drop(permit);
    /// ```
    #[inline]
    #[must_use = "the unit goes back as soon as the permit is dropped: bind it"]
    pub fn try_acquire(&self) -> Option<Permit<&Self, F, BOUNDED>> {
        self.take_if_free().then(|| Permit {
            semaphore: Some(self),
            family: PhantomData,
        })
    }

    #[inline]
    fn take_if_free(&self) -> bool {
        self.state.with(|state| {
            let free = !state.locked();
            state.value -= usize::from(free);
            free
        })
    }

    fn wait_in_line(&self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<()> {
        let (turn, next) = self.state.with(|state| {
            let turn = state.waiters.poll(ticket, cx.waker());
            // Units that were released while this waiter was on its way had nobody to go to but those behind it.
            let next = if let Turn::Arrived = turn {
                state.hand_out()
            } else {
                Wakers::new()
            };
            (turn, next)
        });
        next.wake();
        match turn {
            Turn::Arrived => Poll::Ready(()),
            Turn::Waiting { .. } => Poll::Pending,
        }
    }

    /// A waiter goes away before it took its unit.
    fn give_up(&self, ticket: Ticket) {
        let (left, next) = self.state.with(|state| {
            let left = state.waiters.leave(ticket);
            let next = if let Left::Notified = left {
                state.value += 1;
                state.hand_out()
            } else {
                Wakers::new()
            };
            (left, next)
        });
        drop(left);
        next.wake();
    }

    /// Gives one unit back, or says that it would be one too many.
    #[inline]
    fn release_one(&self) -> Result<(), SemaphoreReleaseError> {
        let next = self.state.with(|state| {
            if state.value >= self.bound {
                return Err(SemaphoreReleaseError { bound: self.bound });
            }
            let next = state.waiters.notify_one();
            state.value += usize::from(next.is_none());
            Ok(next)
        })?;
        if let Some(waker) = next {
            waker.wake();
        }
        Ok(())
    }
}

impl<F: Family> Semaphore<F, false> {
    /// Gives one unit back, or adds one: to the first in line if there is one.
    ///
    /// Dropping a [`Permit`] does this already; call it for a permit that was [forgotten](Permit::forget).
    ///
    /// # Panics
    ///
    /// When there are `usize::MAX` units.
    ///
    /// ```
    /// let semaphore = asyncio_sync::Semaphore::new(0);
    /// semaphore.release();
    /// assert!(semaphore.try_acquire().is_some());
    /// ```
    pub fn release(&self) {
        assert!(
            self.release_one().is_ok(),
            "a semaphore counts to usize::MAX, and is there"
        );
    }

    /// Adds `count` units, as that many releases would: the first in line get them, in order.
    ///
    /// # Panics
    ///
    /// When there would be more than `usize::MAX` units.
    ///
    /// ```
    /// let semaphore = asyncio_sync::Semaphore::new(0);
    /// semaphore.add_permits(2);
    /// let (a, b) = (semaphore.try_acquire(), semaphore.try_acquire());
    /// assert!(a.is_some() && b.is_some() && semaphore.locked());
    /// ```
    pub fn add_permits(&self, count: usize) {
        let wakers = self.state.with(|state| {
            let value = state.value.checked_add(count);
            state.value = value.expect("a semaphore counts to usize::MAX, and this would be more");
            state.hand_out()
        });
        wakers.wake();
    }
}

impl<F: Family> Semaphore<F, true> {
    /// Gives one unit back: to the first in line if there is one.
    ///
    /// Dropping a [`Permit`] does this already; call it for a permit that was [forgotten](Permit::forget).
    ///
    /// # Errors
    ///
    /// When the value is what it was initially; it stays so. A unit handed to somebody in line counts as taken.
    ///
    /// ```
    /// let semaphore = asyncio_sync::BoundedSemaphore::new(1);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert!(semaphore.release().is_ok());
    /// assert!(semaphore.release().is_err());
    /// ```
    pub fn release(&self) -> Result<(), SemaphoreReleaseError> {
        self.release_one()
    }
}

impl<const BOUNDED: bool> Semaphore<Local, BOUNDED> {
    /// As [`acquire`](Self::acquire), for a permit that keeps the semaphore alive and can leave the scope.
    ///
    /// # Cancel safety
    ///
    /// As [`acquire`](Self::acquire): its place in line, nothing else.
    ///
    /// ```
    /// use asyncio_sync::{OwnedPermit, Semaphore};
    /// use std::rc::Rc;
    ///
    /// let semaphore = Rc::new(Semaphore::new(1));
    /// let permit: OwnedPermit = futures_lite::future::block_on(semaphore.acquire_owned());
    /// assert!(semaphore.locked());
    /// # drop(permit);
    /// ```
    pub fn acquire_owned(self: &Rc<Self>) -> Acquire<Rc<Self>, Local, BOUNDED> {
        Acquire {
            semaphore: Some(self.clone()),
            ticket: None,
            family: PhantomData,
        }
    }

    /// As [`try_acquire`](Self::try_acquire), for a permit that keeps the semaphore alive.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// let semaphore = Rc::new(asyncio_sync::Semaphore::new(1));
    /// assert!(semaphore.try_acquire_owned().is_some());
    /// ```
    #[must_use = "the unit goes back as soon as the permit is dropped: bind it"]
    pub fn try_acquire_owned(self: &Rc<Self>) -> Option<Permit<Rc<Self>, Local, BOUNDED>> {
        self.take_if_free().then(|| Permit {
            semaphore: Some(self.clone()),
            family: PhantomData,
        })
    }
}

impl State {
    #[inline]
    fn locked(&self) -> bool {
        self.value == 0 || !self.waiters.is_idle()
    }

    /// Gives the units there are to those who wait, in order.
    fn hand_out(&mut self) -> Wakers {
        let mut wakers = Wakers::new();
        while self.value > 0 {
            let Some(waker) = self.waiters.notify_one() else {
                break;
            };
            self.value -= 1;
            wakers.push(waker);
        }
        wakers
    }
}

impl<P, F, const BOUNDED: bool> Permit<P, F, BOUNDED>
where
    P: Deref<Target = Semaphore<F, BOUNDED>>,
    F: Family,
{
    /// Does not give the unit back; a later `release` may.
    ///
    /// ```
    /// let semaphore = asyncio_sync::Semaphore::new(1);
    /// semaphore.try_acquire().unwrap().forget();
    /// assert!(semaphore.locked());
    /// ```
    pub fn forget(mut self) {
        self.semaphore = None;
    }
}

impl<P, F, const BOUNDED: bool> Drop for Permit<P, F, BOUNDED>
where
    P: Deref<Target = Semaphore<F, BOUNDED>>,
    F: Family,
{
    #[inline]
    fn drop(&mut self) {
        if let Some(semaphore) = &self.semaphore {
            // An error means that somebody called `release` on top of this permit: the unit is back already.
            let _ = semaphore.release_one();
        }
    }
}

impl<P, F, const BOUNDED: bool> Future for Acquire<P, F, BOUNDED>
where
    P: Deref<Target = Semaphore<F, BOUNDED>>,
    F: Family,
{
    type Output = Permit<P, F, BOUNDED>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let semaphore = this
            .semaphore
            .as_ref()
            .expect("`Acquire` was polled again after it gave its permit: await it once");
        if (this.ticket.is_none() && semaphore.take_if_free())
            || semaphore.wait_in_line(&mut this.ticket, cx).is_ready()
        {
            return Poll::Ready(Permit {
                semaphore: this.semaphore.take(),
                family: PhantomData,
            });
        }
        Poll::Pending
    }
}

impl<P, F, const BOUNDED: bool> Drop for Acquire<P, F, BOUNDED>
where
    P: Deref<Target = Semaphore<F, BOUNDED>>,
    F: Family,
{
    #[inline]
    fn drop(&mut self) {
        if let (Some(semaphore), Some(ticket)) = (&self.semaphore, self.ticket) {
            semaphore.give_up(ticket);
        }
    }
}

// Nothing in it is ever pinned.
impl<P, F, const BOUNDED: bool> Unpin for Acquire<P, F, BOUNDED>
where
    P: Deref<Target = Semaphore<F, BOUNDED>>,
    F: Family,
{
}

impl<F: Family, const BOUNDED: bool> fmt::Debug for Semaphore<F, BOUNDED> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, waiting) = self
            .state
            .with(|state| (state.value, state.waiters.waiting()));
        let name = if BOUNDED {
            "BoundedSemaphore"
        } else {
            "Semaphore"
        };
        f.debug_struct(name)
            .field("value", &value)
            .field("waiting", &waiting)
            .finish()
    }
}

impl<P, F, const BOUNDED: bool> fmt::Debug for Permit<P, F, BOUNDED>
where
    P: Deref<Target = Semaphore<F, BOUNDED>>,
    F: Family,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

impl<P, F, const BOUNDED: bool> fmt::Debug for Acquire<P, F, BOUNDED>
where
    P: Deref<Target = Semaphore<F, BOUNDED>>,
    F: Family,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("in_line", &self.ticket.is_some())
            .finish()
    }
}
