//! A count of units that tasks take and give back.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::error::SemaphoreReleaseError;
use crate::guard::{Family, Guard, Local, Threadsafe, Word};
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
    /// The value in units of `ONE`, and `BUSY`. While `BUSY` is set it changes only under the guard of `line`.
    word: F::Word,
    /// Every notified waiter owns one unit that the value does not count. If the value is not 0 while somebody waits,
    /// somebody else is notified and will see to it when it runs or goes.
    line: F::Guarded<WaitQueue>,
    /// The initial value where it is a bound, else the highest value there is.
    bound: usize,
}

/// Somebody is in line or on its way from there.
const BUSY: usize = 1;
/// One unit.
const ONE: usize = 2;
/// The highest value.
const MOST: usize = usize::MAX / ONE;

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
///
/// ```
/// use asyncio_sync::{Local, Semaphore, semaphore::Acquire};
///
/// let semaphore = Semaphore::new(1);
/// let acquire: Acquire<&Semaphore, Local, false> = semaphore.acquire();
/// drop(futures_lite::future::block_on(acquire));
/// ```
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

impl<F: Family, const BOUNDED: bool> Semaphore<F, BOUNDED> {
    /// A semaphore with `value` units; 0 is legal.
    ///
    /// # Panics
    ///
    /// When `value` is more than `usize::MAX / 2`.
    ///
    /// ```
    /// assert!(asyncio_sync::Semaphore::new(0).locked());
    /// ```
    pub fn new(value: usize) -> Self {
        assert!(value <= MOST, "{TOO_MANY}, not {value}");
        Semaphore {
            word: F::Word::new(value * ONE),
            line: F::Guarded::new(WaitQueue::new()),
            bound: if BOUNDED { value } else { MOST },
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
        let word = self.word.load();
        word & BUSY != 0 || word < ONE
    }

    /// How many units lie there. Those handed to somebody who is on its way do not count.
    ///
    /// ```
    /// let semaphore = asyncio_sync::Semaphore::new(2);
    /// let _permit = semaphore.try_acquire();
    /// assert_eq!(semaphore.value(), 1);
    /// ```
    #[inline]
    pub fn value(&self) -> usize {
        self.word.load() / ONE
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
        Acquire::of(self)
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
        Permit::try_of(self)
    }

    #[inline]
    fn take_if_free(&self) -> bool {
        loop {
            let word = self.word.load();
            if word & BUSY != 0 || word < ONE {
                return false;
            }
            if self.word.replace_if(word, word - ONE) {
                return true;
            }
        }
    }

    fn wait_in_line(&self, ticket: &mut Option<Ticket>, cx: &Context<'_>) -> Poll<()> {
        let (turn, more) = self.line.with(|line| {
            if ticket.is_none() && self.take_or_announce() {
                return (Turn::Arrived, None);
            }
            let turn = line.poll(ticket, cx.waker());
            let more = match turn {
                // Units that were released while it was on its way had nobody to go to but those behind it.
                Turn::Arrived => self.hand_out(line, 0),
                Turn::Waiting { .. } => None,
            };
            (turn, more)
        });
        if let Some(wakers) = more {
            wakers.wake();
        }
        match turn {
            Turn::Arrived => Poll::Ready(()),
            Turn::Waiting { .. } => Poll::Pending,
        }
    }

    /// Under the guard: takes a unit that became free, or makes sure that who releases one will look at the line.
    fn take_or_announce(&self) -> bool {
        loop {
            let word = self.word.load();
            if word & BUSY != 0 {
                return false;
            }
            let (taken, next) = if word >= ONE {
                (true, word - ONE)
            } else {
                (false, word | BUSY)
            };
            if self.word.replace_if(word, next) {
                return taken;
            }
        }
    }

    /// Under the guard, with `BUSY` set: adds units and gives those there are to those who wait, in order.
    #[inline]
    fn hand_out(&self, line: &mut WaitQueue, units: usize) -> Option<Wakers> {
        let mut value = self.word.load() / ONE + units;
        let mut wakers = None;
        if value > 0 && line.waiting() > 0 {
            let wakers = wakers.insert(Wakers::new());
            while value > 0
                && let Some(waker) = line.notify_one()
            {
                value -= 1;
                wakers.push(waker);
            }
        }
        let busy = if line.is_idle() { 0 } else { BUSY };
        self.word.store((value * ONE) | busy);
        wakers
    }

    /// A waiter goes away before it took its unit.
    #[cold]
    fn give_up(&self, ticket: Ticket) {
        let (left, next) = self.line.with(|line| {
            let left = line.leave(ticket);
            let units = usize::from(matches!(left, Left::Notified));
            (left, self.hand_out(line, units))
        });
        drop(left);
        if let Some(wakers) = next {
            wakers.wake();
        }
    }

    /// Gives one unit back, or says that it would be one too many.
    #[inline]
    fn release_one(&self) -> Result<(), SemaphoreReleaseError> {
        let word = self.word.load();
        if word & BUSY == 0 && word / ONE < self.bound && self.word.replace_if(word, word + ONE) {
            return Ok(());
        }
        self.release_units(1)
    }

    /// Adds units to the value, or gives them to those who wait; refuses all when that would be too many.
    fn release_units(&self, units: usize) -> Result<(), SemaphoreReleaseError> {
        let next = self.line.with(|line| {
            loop {
                let word = self.word.load();
                let value = word / ONE;
                if value > self.bound || units > self.bound - value {
                    return Err(SemaphoreReleaseError { bound: self.bound });
                }
                if word & BUSY != 0 {
                    return Ok(match units {
                        // The usual case: one unit, for one waiter.
                        1 if value == 0 && line.waiting() > 0 => Next::One(line.notify_one()),
                        _ => Next::Some(self.hand_out(line, units)),
                    });
                }
                if self.word.replace_if(word, word + units * ONE) {
                    return Ok(Next::One(None));
                }
            }
        })?;
        match next {
            Next::One(Some(waker)) => waker.wake(),
            Next::Some(Some(wakers)) => wakers.wake(),
            Next::One(None) | Next::Some(None) => {}
        }
        Ok(())
    }
}

/// Who has to be woken.
enum Next {
    One(Option<Waker>),
    Some(Option<Wakers>),
}

const TOO_MANY: &str = "a semaphore counts to usize::MAX / 2";

impl<F: Family> Semaphore<F, false> {
    /// Gives one unit back, or adds one: to the first in line if there is one.
    ///
    /// Dropping a [`Permit`] does this already; call it for a permit that was [forgotten](Permit::forget).
    ///
    /// # Panics
    ///
    /// When there would be more than `usize::MAX / 2` units.
    ///
    /// ```
    /// let semaphore = asyncio_sync::Semaphore::new(0);
    /// semaphore.release();
    /// assert!(semaphore.try_acquire().is_some());
    /// ```
    pub fn release(&self) {
        assert!(self.release_one().is_ok(), "{TOO_MANY}, and is there");
    }

    /// Adds `count` units, as that many releases would: the first in line get them, in order.
    ///
    /// # Panics
    ///
    /// When there would be more than `usize::MAX / 2` units.
    ///
    /// ```
    /// let semaphore = asyncio_sync::Semaphore::new(0);
    /// semaphore.add_permits(2);
    /// let (a, b) = (semaphore.try_acquire(), semaphore.try_acquire());
    /// assert!(a.is_some() && b.is_some() && semaphore.locked());
    /// ```
    pub fn add_permits(&self, count: usize) {
        assert!(
            self.release_units(count).is_ok(),
            "{TOO_MANY}, and {count} units more are too many"
        );
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

macro_rules! owned {
    ($family:ident, $module:literal, $pointer:ident, $path:literal) => {
        impl<const BOUNDED: bool> Semaphore<$family, BOUNDED> {
            /// As [`acquire`](Self::acquire), for a permit that keeps the semaphore alive and can leave the scope.
            ///
            /// # Cancel safety
            ///
            /// As [`acquire`](Self::acquire): its place in line, nothing else.
            ///
            /// ```
            #[doc = concat!("use ", $path, "::{OwnedPermit, Semaphore};")]
            #[doc = concat!("use std::", $module, "::", stringify!($pointer), ";")]
            ///
            #[doc = concat!("let semaphore = ", stringify!($pointer), "::new(Semaphore::new(1));")]
            /// let permit: OwnedPermit = futures_lite::future::block_on(semaphore.acquire_owned());
            /// assert!(semaphore.locked());
            /// # drop(permit);
            /// ```
            #[inline]
            pub fn acquire_owned(
                self: &$pointer<Self>,
            ) -> Acquire<$pointer<Self>, $family, BOUNDED> {
                Acquire::of(self.clone())
            }

            /// As [`try_acquire`](Self::try_acquire), for a permit that keeps the semaphore alive.
            ///
            /// ```
            #[doc = concat!("use std::", $module, "::", stringify!($pointer), ";")]
            ///
            #[doc = concat!("let semaphore = ", stringify!($pointer), "::new(", $path, "::Semaphore::new(1));")]
            /// assert!(semaphore.try_acquire_owned().is_some());
            /// ```
            #[inline]
            #[must_use = "the unit goes back as soon as the permit is dropped: bind it"]
            pub fn try_acquire_owned(
                self: &$pointer<Self>,
            ) -> Option<Permit<$pointer<Self>, $family, BOUNDED>> {
                Permit::try_of(self.clone())
            }
        }
    };
}

owned!(Local, "rc", Rc, "asyncio_sync");
owned!(Threadsafe, "sync", Arc, "asyncio_sync::threadsafe");

impl<P, F, const BOUNDED: bool> Permit<P, F, BOUNDED>
where
    P: Deref<Target = Semaphore<F, BOUNDED>>,
    F: Family,
{
    pub(crate) fn try_of(semaphore: P) -> Option<Self> {
        semaphore.take_if_free().then(|| Permit {
            semaphore: Some(semaphore),
            family: PhantomData,
        })
    }

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

impl<P, F, const BOUNDED: bool> Acquire<P, F, BOUNDED>
where
    P: Deref<Target = Semaphore<F, BOUNDED>>,
    F: Family,
{
    #[inline]
    pub(crate) fn of(semaphore: P) -> Self {
        Acquire {
            semaphore: Some(semaphore),
            ticket: None,
            family: PhantomData,
        }
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
        let name = if BOUNDED {
            "BoundedSemaphore"
        } else {
            "Semaphore"
        };
        f.debug_struct(name)
            .field("value", &self.value())
            .field("waiting", &self.line.with(|line| line.waiting()))
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
