//! The timers of a loop: wakers and callbacks by deadline, and which timers are this thread's current ones.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem;
use std::rc::Rc;
use std::task::Waker;

use crate::deadlines::{Deadlines, Key, Round};
use crate::{Clock, LoopTime};

/// The timers of one loop.
///
/// A handle: a clone means the same timers. The loop keeps one and [enters](Timers::enter) it while it runs; futures
/// find it by [`with_current`](Timers::with_current).
///
/// ```
/// use std::{cell::RefCell, rc::Rc, time::Duration};
/// use asyncio_timers::{Clock, Timers};
///
/// let timers = Timers::new(Clock::manual());
/// let trace = Rc::new(RefCell::new(Vec::new()));
/// let note = |word: &'static str| {
///     let trace = trace.clone();
///     Box::new(move || trace.borrow_mut().push(word))
/// };
///
/// let now = timers.now();
/// timers.call_at(now + Duration::from_millis(20), note("b"));
/// timers.call_at(now + Duration::from_millis(10), note("a"));
/// let never = timers.call_at(now + Duration::from_millis(15), note("never"));
/// assert!(timers.cancel(never));
///
/// timers.clock().advance(Duration::from_millis(20));
/// assert_eq!(timers.fire(timers.now()), 2);
/// assert_eq!(*trace.borrow(), ["a", "b"]);
/// ```
///
/// Timers stay on the thread of their loop:
///
/// ```compile_fail
/// let timers = asyncio_timers::Timers::new(asyncio_timers::Clock::system());
/// std::thread::spawn(move || timers.now());
/// ```
#[derive(Clone)]
pub struct Timers {
    shared: Rc<Shared>,
}

/// Names one timer. It finds nothing once the timer has fired or was cancelled, and is never reused.
///
/// A key means something only to the [`Timers`] that gave it out.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerKey(Key);

struct Shared {
    clock: Clock,
    /// Never borrowed while foreign code runs: a waker or a callback that is called, cloned or dropped may come back here.
    deadlines: RefCell<Deadlines<Action>>,
    /// Entries before this did not fire if they are gone, but may have been dropped by `clear`.
    cleared: Cell<Option<Round>>,
}

enum Action {
    /// Woken while the timers fire.
    Wake(Waker),
    /// Handed to the loop, which wakes it in a turn of its queue.
    Resume(Waker),
    Call(Box<dyn FnOnce()>),
}

thread_local! {
    static CURRENT: RefCell<Option<Timers>> = const { RefCell::new(None) };
}

const NO_LOOP: &str =
    "no running event loop: `sleep` needs one; call it inside `asyncio::run(async { … })`";

impl Timers {
    /// No timers yet, on the given clock.
    pub fn new(clock: Clock) -> Self {
        Timers {
            shared: Rc::new(Shared {
                clock,
                deadlines: RefCell::new(Deadlines::new()),
                cleared: Cell::new(None),
            }),
        }
    }

    /// The clock that deadlines are read on.
    ///
    /// ```
    /// # use asyncio_timers::{Clock, Timers};
    /// assert!(Timers::new(Clock::auto()).clock().is_virtual());
    /// ```
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The time now. The same as `self.clock().now()`.
    #[inline]
    pub fn now(&self) -> LoopTime {
        self.shared.clock.now()
    }

    /// Makes these the thread's current timers until the guard is dropped, which restores the former ones.
    ///
    /// Guards are to be dropped in the reverse order of their making, as scopes do by themselves.
    ///
    /// # Panics
    ///
    /// Inside [`with_current`](Timers::with_current).
    ///
    /// ```
    /// # use asyncio_timers::{Clock, Timers};
    /// let timers = Timers::new(Clock::manual());
    /// let entered = timers.enter();
    /// assert!(Timers::try_current().is_some());
    /// drop(entered);
    /// assert!(Timers::try_current().is_none());
    /// ```
    #[track_caller]
    pub fn enter(&self) -> Entered {
        let previous = CURRENT.with(|current| match current.try_borrow_mut() {
            Ok(mut current) => current.replace(self.clone()),
            Err(_) => panic!("`Timers::enter` was called inside `Timers::with_current`"),
        });
        Entered { previous }
    }

    /// The thread's current timers.
    ///
    /// # Panics
    ///
    /// When no loop runs on this thread.
    ///
    /// ```should_panic
    /// asyncio_timers::Timers::current(); // no running event loop
    /// ```
    #[track_caller]
    pub fn current() -> Timers {
        match Timers::try_current() {
            Some(timers) => timers,
            None => panic!("{NO_LOOP}"),
        }
    }

    /// The thread's current timers, if a loop runs on it.
    pub fn try_current() -> Option<Timers> {
        // No loop either where the thread is already tearing down its locals.
        CURRENT
            .try_with(|current| current.borrow().clone())
            .ok()
            .flatten()
    }

    /// Calls `f` with the thread's current timers, without cloning the handle.
    ///
    /// # Panics
    ///
    /// When no loop runs on this thread. [`enter`](Timers::enter) panics inside `f`, and so does dropping its guard.
    ///
    /// ```
    /// # use asyncio_timers::{Clock, LoopTime, Timers};
    /// let timers = Timers::new(Clock::manual());
    /// let _entered = timers.enter();
    /// assert_eq!(Timers::with_current(|timers| timers.now()), LoopTime::ZERO);
    /// ```
    #[track_caller]
    pub fn with_current<R>(f: impl FnOnce(&Timers) -> R) -> R {
        // The closure would not carry `track_caller` on, so it reports and the panic happens out here.
        let result = CURRENT
            .try_with(|current| current.borrow().as_ref().map(f))
            .ok()
            .flatten();
        match result {
            Some(result) => result,
            None => panic!("{NO_LOOP}"),
        }
    }

    /// Sets `callback` to be called by [`fire`](Timers::fire) once `when` has come.
    ///
    /// A deadline in the past is due at the next `fire`, still in order with others (S13, S14).
    ///
    /// ```
    /// # use asyncio_timers::{Clock, LoopTime, Timers};
    /// let timers = Timers::new(Clock::manual());
    /// timers.call_at(LoopTime::from_nanos(5), Box::new(|| println!("five nanoseconds have passed")));
    /// assert_eq!(timers.fire(LoopTime::from_nanos(5)), 1);
    /// ```
    pub fn call_at(&self, when: LoopTime, callback: Box<dyn FnOnce()>) -> TimerKey {
        self.insert(when, Action::Call(callback))
    }

    /// Sets `waker` to be woken by [`fire`](Timers::fire) once `when` has come.
    ///
    /// ```
    /// # use asyncio_timers::{Clock, LoopTime, Timers};
    /// use std::task::Waker;
    /// let timers = Timers::new(Clock::manual());
    /// timers.wake_at(LoopTime::from_nanos(5), Waker::noop().clone());
    /// assert_eq!(timers.next_deadline(), Some(LoopTime::from_nanos(5)));
    /// ```
    pub fn wake_at(&self, when: LoopTime, waker: Waker) -> TimerKey {
        self.insert(when, Action::Wake(waker))
    }

    /// Sets `waker` to be woken once `when` has come, as asyncio resumes who sleeps: not while the timers fire but by the
    /// loop, in a turn of its queue ([`fire_with`](Timers::fire_with), S19). What [`Sleep`](crate::Sleep) uses.
    ///
    /// ```
    /// # use asyncio_timers::{Clock, LoopTime, Timers};
    /// # use std::task::Waker;
    /// let timers = Timers::new(Clock::manual());
    /// timers.resume_at(LoopTime::from_nanos(5), Waker::noop().clone());
    /// assert_eq!(timers.next_deadline(), Some(LoopTime::from_nanos(5)));
    /// ```
    pub fn resume_at(&self, when: LoopTime, waker: Waker) -> TimerKey {
        self.insert(when, Action::Resume(waker))
    }

    /// Takes a timer out unfired and drops its waker or callback; false when it has already fired or was cancelled.
    ///
    /// ```
    /// # use asyncio_timers::{Clock, LoopTime, Timers};
    /// let timers = Timers::new(Clock::manual());
    /// let key = timers.call_at(LoopTime::from_nanos(5), Box::new(|| unreachable!()));
    /// assert!(timers.cancel(key));
    /// assert!(!timers.cancel(key));
    /// ```
    pub fn cancel(&self, key: TimerKey) -> bool {
        // The borrow ends with the statement; only then is the action dropped.
        let action = self.shared.deadlines.borrow_mut().remove(key.0);
        action.is_some()
    }

    /// The deadline of a timer that has neither fired nor been cancelled.
    pub fn when(&self, key: TimerKey) -> Option<LoopTime> {
        self.shared.deadlines.borrow().when(key.0)
    }

    /// Moves a timer to another deadline, earlier or later; false when it has already fired or was cancelled.
    ///
    /// Its key stays valid. Among equal deadlines it goes last, as if set anew.
    ///
    /// ```
    /// # use asyncio_timers::{Clock, LoopTime, Timers};
    /// let timers = Timers::new(Clock::manual());
    /// let key = timers.call_at(LoopTime::from_nanos(5), Box::new(|| {}));
    /// assert!(timers.reschedule(key, LoopTime::from_nanos(9)));
    /// assert_eq!(timers.when(key), Some(LoopTime::from_nanos(9)));
    /// ```
    pub fn reschedule(&self, key: TimerKey, when: LoopTime) -> bool {
        self.shared.deadlines.borrow_mut().reschedule(key.0, when)
    }

    /// The earliest deadline: how long a loop with nothing else to do may sleep.
    #[inline]
    pub fn next_deadline(&self) -> Option<LoopTime> {
        self.shared.deadlines.borrow().next()
    }

    /// Fires what is due: takes out each timer whose deadline is not later than `now`, earliest first and in the order
    /// of setting where deadlines are equal, and wakes or calls it. Returns how many.
    ///
    /// Wakers and callbacks may set, move and cancel timers meanwhile:
    ///
    /// - a timer cancelled, or moved beyond `now`, before its turn does not fire;
    /// - a timer set meanwhile waits for the next call, however early its deadline. So a round is bounded by the timers
    ///   there were at its beginning, and a timer that always sets its successor does not starve the loop (S2).
    ///
    /// # Panics
    ///
    /// When a waker or callback panics. Those that have not had their turn are still there, for the next call.
    ///
    /// ```
    /// # use asyncio_timers::{Clock, LoopTime, Timers};
    /// let timers = Timers::new(Clock::manual());
    /// timers.call_at(LoopTime::from_nanos(5), Box::new(|| {}));
    /// assert_eq!(timers.fire(LoopTime::from_nanos(4)), 0);
    /// assert_eq!(timers.fire(LoopTime::from_nanos(5)), 1);
    /// ```
    pub fn fire(&self, now: LoopTime) -> usize {
        self.fire_with(now, Waker::wake)
    }

    /// The same, but hands those who are to be resumed ([`resume_at`](Timers::resume_at)) to `resume`, for a loop that
    /// wakes them in a turn of its queue (S19).
    ///
    /// # Panics
    ///
    /// As [`fire`](Timers::fire); `resume` counts as a waker.
    ///
    /// ```
    /// # use asyncio_timers::{Clock, LoopTime, Timers};
    /// # use std::task::Waker;
    /// let timers = Timers::new(Clock::manual());
    /// timers.resume_at(LoopTime::from_nanos(5), Waker::noop().clone());
    /// let mut due = Vec::new();
    /// assert_eq!(timers.fire_with(LoopTime::from_nanos(5), |waker| due.push(waker)), 1);
    /// assert_eq!(due.len(), 1);
    /// ```
    pub fn fire_with(&self, now: LoopTime, mut resume: impl FnMut(Waker)) -> usize {
        let deadlines = &self.shared.deadlines;
        let round = deadlines.borrow().round();
        let mut fired = 0;
        loop {
            let due = deadlines.borrow_mut().pop_due_of(round, now);
            match due {
                Some((_, Action::Wake(waker))) => waker.wake(),
                Some((_, Action::Resume(waker))) => resume(waker),
                Some((_, Action::Call(callback))) => callback(),
                None => return fired,
            }
            fired += 1;
        }
    }

    /// How many timers are set.
    pub fn len(&self) -> usize {
        self.shared.deadlines.borrow().len()
    }

    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        self.shared.deadlines.borrow().is_empty()
    }

    /// Drops all timers without firing them, as a loop does at its end (S11).
    ///
    /// Dropping a waker or callback may set new timers; those stay. A [`Sleep`](crate::Sleep) that was waiting here has
    /// not elapsed: polled once more before its deadline, it sets its timer again.
    ///
    /// ```
    /// # use asyncio_timers::{Clock, LoopTime, Timers};
    /// let timers = Timers::new(Clock::manual());
    /// timers.call_at(LoopTime::from_nanos(5), Box::new(|| unreachable!()));
    /// timers.clear();
    /// assert_eq!(timers.fire(LoopTime::MAX), 0);
    /// ```
    pub fn clear(&self) {
        let dropped = {
            let mut deadlines = self.shared.deadlines.borrow_mut();
            self.shared.cleared.set(Some(deadlines.round()));
            deadlines.take()
        };
        drop(dropped);
    }

    /// What a [`Sleep`](crate::Sleep) must know when it is polled while its timer is set: whether it still is, and
    /// then who to wake. One look-up for all of it, and no look at the clock.
    pub(crate) fn refresh_waker(&self, key: TimerKey, waker: &Waker) -> Fate {
        match self.shared.deadlines.borrow().get(key.0) {
            Some(Action::Wake(current) | Action::Resume(current)) if current.will_wake(waker) => {
                return Fate::Waiting;
            }
            Some(_) => {}
            None if self
                .shared
                .cleared
                .get()
                .is_some_and(|round| key.0.is_before(round)) =>
            {
                return Fate::Unknown;
            }
            None => return Fate::Fired,
        }
        // A waker's clone and drop are foreign code, so the borrow is let go for both.
        let new = waker.clone();
        let mut deadlines = self.shared.deadlines.borrow_mut();
        let old = match deadlines.get_mut(key.0) {
            Some(Action::Wake(current) | Action::Resume(current)) => {
                Some(mem::replace(current, new))
            }
            // The clone above is foreign code too, and may have taken the timer out.
            _ => None,
        };
        drop(deadlines);
        drop(old);
        Fate::Waiting
    }

    /// Whether a timer that nobody has cancelled has fired.
    pub(crate) fn fate(&self, key: TimerKey) -> Fate {
        if self.shared.deadlines.borrow().contains(key.0) {
            Fate::Waiting
        } else if self
            .shared
            .cleared
            .get()
            .is_some_and(|round| key.0.is_before(round))
        {
            Fate::Unknown
        } else {
            Fate::Fired
        }
    }

    fn insert(&self, when: LoopTime, action: Action) -> TimerKey {
        TimerKey(self.shared.deadlines.borrow_mut().insert(when, action))
    }
}

/// What became of a timer that its owner has not cancelled.
pub(crate) enum Fate {
    Waiting,
    Fired,
    /// The timers were cleared since; it may have fired before that or never.
    Unknown,
}

/// Keeps some [`Timers`] current for this thread, and restores the former ones when dropped.
#[must_use = "the timers are current only while the guard lives: `let _entered = timers.enter();`"]
pub struct Entered {
    previous: Option<Timers>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let previous = self.previous.take();
        // Where the thread's locals are already gone there is nothing to restore. What was current until now is dropped
        // outside of the borrow: it may be the last handle, and then takes its wakers along.
        let entered =
            CURRENT.try_with(|current| mem::replace(&mut *current.borrow_mut(), previous));
        drop(entered);
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers")
            .field("clock", &self.shared.clock)
            .field("len", &self.len())
            .field("next_deadline", &self.next_deadline())
            .finish()
    }
}

/// Opaque, apart from telling keys apart.
impl fmt::Debug for TimerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timer{:?}", self.0)
    }
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}
