//! Waiting for something to become true of what a lock protects.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

use crate::error::{LockReleaseError, NotifyError};
use crate::guard::{Family, Guard};
use crate::lock::{self, Lock, LockGuard};
use crate::mutex::{Mutex, MutexGuard};
use crate::wait_queue::{Left, Ticket, Turn, WaitQueue, Wakers};

/// Waiting for something to become true of what a lock protects: `asyncio.Condition`.
///
/// A wait takes the guard of the lock, gives the lock up while it waits, and comes back with the guard. So the types say
/// who holds the lock: before and after the wait it is you; if the wait is dropped, for a timeout or because its task was
/// cancelled, it is not, and no guard comes out. (asyncio acquires the lock again before `CancelledError` leaves `wait`,
/// because there a `with` block around it will release it; here no block is left to do so.)
///
/// `P` is how the lock is held: `&Lock`, `&Mutex<T>` or a counted pointer to one. Several conditions may share a lock.
///
/// ```
/// use asyncio_sync::{Condition, Mutex};
/// use futures_lite::future::{block_on, zip};
///
/// let stock = Mutex::new(0);
/// let (arrived, sold) = (Condition::with_lock(&stock), Condition::with_lock(&stock));
/// let shop = async {
///     let stock = stock.lock().await;
///     let mut stock = arrived.wait_for(stock, |stock| *stock >= 3).await;
///     *stock -= 3;
///     sold.notify_all().unwrap();
/// };
/// let supplier = async {
///     let mut stock = stock.lock().await;
///     *stock += 3;
///     arrived.notify(1).unwrap();
///     let stock = sold.wait(stock).await;
///     assert_eq!(*stock, 0);
/// };
/// block_on(zip(shop, supplier));
/// ```
pub struct Condition<P, F: Family> {
    lock: P,
    line: F::Guarded<WaitQueue>,
}

/// Waits for a notification of a [`Condition`]: see [`Condition::wait`].
///
/// ```
/// use asyncio_sync::{Condition, Local, LockGuard, condition::Wait};
///
/// let condition = Condition::new();
/// let guard = condition.lock().try_acquire().unwrap();
/// let wait: Wait<'_, Local, LockGuard<'_>> = condition.wait(guard);
/// drop(wait); // gives the lock up
/// assert!(!condition.locked());
/// ```
#[must_use = "a wait does nothing until it is awaited, and the lock comes back from it: write `guard = condition.wait(guard).await`"]
pub struct Wait<'a, F: Family, G: Held<F>> {
    line: &'a F::Guarded<WaitQueue>,
    stage: Stage<F, G>,
}

enum Stage<F: Family, G: Held<F>> {
    /// Not polled yet; the lock is held.
    Holding(G),
    /// The lock was given up; in the condition's line.
    InLine(Ticket, G::Again),
    /// Notified; in the lock's line. If it goes away somebody else must hear of the notification.
    Notified(G::Again),
    /// The guard came out.
    Over,
}

/// Possession of a lock that a condition can give up and get back: [`LockGuard`] or [`MutexGuard`]. Sealed.
///
/// ```
/// use asyncio_sync::{Local, Lock, condition::Held};
///
/// fn is_held(_: impl Held<Local>) {}
/// is_held(Lock::new().try_acquire().unwrap());
/// ```
pub trait Held<F: Family>: sealed::Held<F> {
    /// What the lock protects: `()` for a [`Lock`], `T` for a [`Mutex<T>`](Mutex).
    type Data;
    /// Runs `f` on what the lock protects.
    fn with_data<R>(&mut self, f: impl FnOnce(&mut Self::Data) -> R) -> R;
}

/// What a condition can be made for: [`Lock`] or [`Mutex`]. Sealed.
///
/// ```
/// use asyncio_sync::{Condition, Lock};
///
/// let lock = Lock::new();
/// assert!(!Condition::with_lock(&lock).locked());
/// ```
pub trait Lockable<F: Family>: sealed::Lockable<F> {}

impl<F: Family> Condition<F::Shared<Lock<F>>, F> {
    /// A condition with a lock of its own.
    ///
    /// ```
    /// let condition = asyncio_sync::Condition::new();
    /// futures_lite::future::block_on(async {
    ///     let _guard = condition.acquire().await;
    ///     condition.notify_all().unwrap();
    /// });
    /// ```
    pub fn new() -> Self {
        Self::with_lock(F::share(Lock::new()))
    }
}

impl<P, F> Condition<P, F>
where
    P: Deref,
    P::Target: Lockable<F>,
    F: Family,
{
    /// A condition for this lock; several may share one.
    ///
    /// ```
    /// use asyncio_sync::{Condition, Lock};
    /// use std::rc::Rc;
    ///
    /// let lock = Rc::new(Lock::new());
    /// let (full, empty) = (Condition::with_lock(lock.clone()), Condition::with_lock(lock.clone()));
    /// let _guard = lock.try_acquire();
    /// assert!(full.locked() && empty.locked());
    /// ```
    pub fn with_lock(lock: P) -> Self {
        Condition {
            lock,
            line: F::Guarded::new(WaitQueue::new()),
        }
    }

    /// Whether somebody holds the lock.
    ///
    /// ```
    /// assert!(!asyncio_sync::Condition::new().locked());
    /// ```
    pub fn locked(&self) -> bool {
        sealed::Lockable::is_locked(&*self.lock)
    }

    /// Gives the lock up, waits to be notified, acquires the lock again and gives the guard back.
    ///
    /// What one waits for may have ceased to be true by then: test it again, or use [`wait_for`](Self::wait_for).
    ///
    /// # Panics
    ///
    /// When the guard is of another lock than this condition's.
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives up the lock, if it had not been given up yet, and its place in line; a notification that had just
    /// been given to it goes to the next in line. No guard comes out: whoever needs the lock then acquires it anew.
    ///
    /// ```
    /// use asyncio_sync::Condition;
    /// use futures_lite::future::{block_on, zip};
    ///
    /// let condition = Condition::new();
    /// let wait = async {
    ///     let guard = condition.acquire().await;
    ///     let guard = condition.wait(guard).await;
    ///     assert!(condition.locked());
    ///     drop(guard);
    /// };
    /// let notify = async {
    ///     let _guard = condition.acquire().await;
    ///     condition.notify(1).unwrap();
    /// };
    /// block_on(zip(wait, notify));
    /// ```
    pub fn wait<G: Held<F>>(&self, guard: G) -> Wait<'_, F, G> {
        assert!(
            ptr::addr_eq(guard.of(), ptr::from_ref(&*self.lock)),
            "a condition waits with the guard of its own lock, and this guard is of another one: \
             make the condition with `Condition::with_lock(that lock)`, or acquire the condition's"
        );
        Wait {
            line: &self.line,
            stage: Stage::Holding(guard),
        }
    }

    /// Waits until `predicate` is true, tested under the lock: first at once, then after each notification.
    ///
    /// # Panics
    ///
    /// When the guard is of another lock than this condition's.
    ///
    /// # Cancel safety
    ///
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// use asyncio_sync::{Condition, Mutex};
    ///
    /// let numbers = Mutex::new(vec![1]);
    /// let condition = Condition::with_lock(&numbers);
    /// futures_lite::future::block_on(async {
    ///     let numbers = numbers.lock().await;
    ///     let mut numbers = condition.wait_for(numbers, |numbers| !numbers.is_empty()).await;
    ///     assert_eq!(numbers.pop(), Some(1));
    /// });
    /// ```
    pub async fn wait_for<G: Held<F>>(
        &self,
        guard: G,
        mut predicate: impl FnMut(&mut G::Data) -> bool,
    ) -> G {
        let found = |data: &mut G::Data| predicate(data).then_some(());
        self.wait_for_value(guard, found).await.0
    }

    /// As [`wait_for`](Self::wait_for), for a predicate that gives what it found.
    ///
    /// # Panics
    ///
    /// When the guard is of another lock than this condition's.
    ///
    /// # Cancel safety
    ///
    /// As [`wait`](Self::wait). What the predicate gave is handed out at once, without an await between.
    ///
    /// ```
    /// use asyncio_sync::{Condition, Mutex};
    ///
    /// let jobs = Mutex::new(vec!["wash"]);
    /// let condition = Condition::with_lock(&jobs);
    /// futures_lite::future::block_on(async {
    ///     let guard = jobs.lock().await;
    ///     let (_guard, job) = condition.wait_for_value(guard, |jobs| jobs.pop()).await;
    ///     assert_eq!(job, "wash");
    /// });
    /// ```
    pub async fn wait_for_value<G: Held<F>, R>(
        &self,
        mut guard: G,
        mut predicate: impl FnMut(&mut G::Data) -> Option<R>,
    ) -> (G, R) {
        loop {
            if let Some(found) = guard.with_data(&mut predicate) {
                return (guard, found);
            }
            guard = self.wait(guard).await;
        }
    }

    /// Wakes up to `n` of those who wait, oldest first. If there are fewer, nothing is remembered.
    ///
    /// # Errors
    ///
    /// When nobody holds the lock.
    ///
    /// ```
    /// let condition = asyncio_sync::Condition::new();
    /// assert!(condition.notify(1).is_err());
    /// let _guard = futures_lite::future::block_on(condition.acquire());
    /// assert!(condition.notify(1).is_ok());
    /// ```
    pub fn notify(&self, n: usize) -> Result<(), NotifyError> {
        self.wake(|line| {
            let mut wakers = Wakers::new();
            (0..n)
                .map_while(|_| line.notify_one())
                .for_each(|waker| wakers.push(waker));
            wakers
        })
    }

    /// Wakes everybody who waits now, oldest first.
    ///
    /// # Errors
    ///
    /// When nobody holds the lock.
    ///
    /// ```
    /// let condition = asyncio_sync::Condition::new();
    /// assert!(condition.notify_all().is_err());
    /// ```
    pub fn notify_all(&self) -> Result<(), NotifyError> {
        self.wake(WaitQueue::notify_all)
    }

    fn wake(&self, whom: impl FnOnce(&mut WaitQueue) -> Wakers) -> Result<(), NotifyError> {
        if !self.locked() {
            return Err(NotifyError);
        }
        self.line.with(whom).wake();
        Ok(())
    }
}

impl<P, F> Condition<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
    /// Acquires the condition's lock: see [`Lock::acquire`].
    ///
    /// # Cancel safety
    ///
    /// As [`Lock::acquire`]: its place in line, nothing else.
    ///
    /// ```
    /// let condition = asyncio_sync::Condition::new();
    /// let _guard = futures_lite::future::block_on(condition.acquire());
    /// assert!(condition.locked());
    /// ```
    pub fn acquire(&self) -> lock::Acquire<&Lock<F>, F> {
        self.lock.acquire()
    }

    /// Releases the condition's lock when its guard was [forgotten](LockGuard::forget): see [`Lock::release`].
    ///
    /// # Errors
    ///
    /// When nobody holds the lock.
    ///
    /// ```
    /// assert!(asyncio_sync::Condition::new().release().is_err());
    /// ```
    pub fn release(&self) -> Result<(), LockReleaseError> {
        self.lock.release()
    }

    /// The lock, to share it.
    ///
    /// ```
    /// use asyncio_sync::Condition;
    ///
    /// let full = Condition::new();
    /// let empty = Condition::with_lock(full.lock().clone());
    /// let _guard = full.lock().try_acquire();
    /// assert!(empty.locked());
    /// ```
    pub fn lock(&self) -> &P {
        &self.lock
    }
}

impl<F: Family, G: Held<F>> Future for Wait<'_, F, G> {
    type Output = G;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<G> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Holding(_) => {
                    // In line before the lock is free: whoever takes it then may notify this one.
                    let ticket = this.line.with(|line| line.push(cx.waker().clone()));
                    let Stage::Holding(guard) = std::mem::replace(&mut this.stage, Stage::Over)
                    else {
                        unreachable!("it was holding a moment ago")
                    };
                    this.stage = Stage::InLine(ticket, guard.let_go());
                    return Poll::Pending;
                }
                Stage::InLine(ticket, _) => {
                    let place = &mut Some(*ticket);
                    let turn = this.line.with(|line| line.poll(place, cx.waker()));
                    if let Turn::Waiting { .. } = turn {
                        return Poll::Pending;
                    }
                    let Stage::InLine(_, again) = std::mem::replace(&mut this.stage, Stage::Over)
                    else {
                        unreachable!("it was in line a moment ago")
                    };
                    this.stage = Stage::Notified(again);
                }
                Stage::Notified(again) => {
                    let poll = Pin::new(again).poll(cx);
                    if poll.is_ready() {
                        this.stage = Stage::Over;
                    }
                    return poll;
                }
                Stage::Over => {
                    panic!("`Wait` was polled again after it gave its guard: await it once")
                }
            }
        }
    }
}

impl<F: Family, G: Held<F>> Drop for Wait<'_, F, G> {
    fn drop(&mut self) {
        let pass_on = |line: &mut WaitQueue, left| match left {
            Left::Notified => (Left::Notified, line.notify_one()),
            left => (left, None),
        };
        let (_left, next) = match &self.stage {
            Stage::Holding(_) | Stage::Over => return,
            Stage::InLine(ticket, _) => self.line.with(|line| {
                let left = line.leave(*ticket);
                pass_on(line, left)
            }),
            Stage::Notified(_) => self.line.with(|line| pass_on(line, Left::Notified)),
        };
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

mod sealed {
    use super::{Family, Future};

    #[allow(unnameable_types, reason = "that is what seals it")]
    pub trait Held<F: Family>: Sized {
        /// What acquires the lock again.
        type Again: Future<Output = Self> + Unpin;
        /// Where the lock lies whose guard this is.
        fn of(&self) -> *const ();
        fn let_go(self) -> Self::Again;
    }

    #[allow(unnameable_types, reason = "that is what seals it")]
    pub trait Lockable<F: Family> {
        fn is_locked(&self) -> bool;
    }
}

impl<P, F> Held<F> for LockGuard<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
    type Data = ();

    fn with_data<R>(&mut self, f: impl FnOnce(&mut ()) -> R) -> R {
        f(&mut ())
    }
}

impl<P, F> sealed::Held<F> for LockGuard<P, F>
where
    P: Deref<Target = Lock<F>>,
    F: Family,
{
    type Again = lock::Acquire<P, F>;

    fn of(&self) -> *const () {
        ptr::from_ref(self.lock()).cast()
    }

    fn let_go(self) -> Self::Again {
        self.let_go()
    }
}

impl<P, T, F> Held<F> for MutexGuard<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
    type Data = T;

    fn with_data<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> R {
        f(self)
    }
}

impl<P, T, F> sealed::Held<F> for MutexGuard<P, T, F>
where
    P: Deref<Target = Mutex<T, F>>,
    F: Family,
{
    type Again = crate::mutex::Acquire<P, T, F>;

    fn of(&self) -> *const () {
        ptr::from_ref(self.mutex()).cast()
    }

    fn let_go(self) -> Self::Again {
        self.let_go()
    }
}

impl<F: Family> Lockable<F> for Lock<F> {}

impl<F: Family> sealed::Lockable<F> for Lock<F> {
    fn is_locked(&self) -> bool {
        self.locked()
    }
}

impl<T, F: Family> Lockable<F> for Mutex<T, F> {}

impl<T, F: Family> sealed::Lockable<F> for Mutex<T, F> {
    fn is_locked(&self) -> bool {
        self.locked()
    }
}

// Nothing in it is ever pinned.
impl<F: Family, G: Held<F>> Unpin for Wait<'_, F, G> {}

impl<F: Family> Default for Condition<F::Shared<Lock<F>>, F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P, F: Family> fmt::Debug for Condition<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("waiting", &self.line.with(|line| line.waiting()))
            .finish_non_exhaustive()
    }
}

impl<F: Family, G: Held<F>> fmt::Debug for Wait<'_, F, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Holding(_) => "holding the lock",
            Stage::InLine(..) => "waiting",
            Stage::Notified(_) => "acquiring the lock again",
            Stage::Over => "over",
        };
        f.debug_struct("Wait").field("stage", &stage).finish()
    }
}
