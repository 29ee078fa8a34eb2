//! Waiting for some of several tasks, whatever becomes of them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio_executor::{AwaitNode, Task, TaskRef, Watch, Watched};
use asyncio_sync::HookId;
use asyncio_timers::{Sleep, Timers};

use crate::timeout::{Alarm, IntoTimeout};

/// When [`wait`] is over; asyncio: `FIRST_COMPLETED`, `FIRST_EXCEPTION`, `ALL_COMPLETED`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnWhen {
    /// As soon as one has ended, in whatever way (S81).
    FirstCompleted,
    /// As soon as one has failed, or when all have ended (S82). A cancelled one has not failed. What counts as failure:
    /// a panic, the exception of a [`Future`](crate::Future), and under [`try_wait`] an `Err`.
    FirstException,
    /// When all have ended.
    #[default]
    AllCompleted,
}

/// What [`wait`] gives: all that was given to it, in the same order (S80).
#[derive(Debug)]
pub struct WaitResult<I> {
    /// Those that have ended.
    pub done: Vec<I>,
    /// Those that have not.
    pub pending: Vec<I>,
}

/// Waits for tasks, or some of them, and gives them back sorted by whether they have ended; asyncio: `wait`.
///
/// It never raises what became of a task and never cancels one, also not when its own time is over (S80, S84). It takes
/// tasks and [`Future`](crate::Future)s, by value or by reference, and [`TaskRef`]s where they are of different types;
/// `wait(&tasks)` leaves them where they are. Even if all have ended already it lets the loop turn (S86).
///
/// The tasks of one call are distinct, since each has one owner.
///
/// # Cancel safety
///
/// Cancelled or dropped, it leaves every task running (S85). Those given by value go on by themselves; give references
/// to keep them.
///
/// # Panics
///
/// Without anything to wait for (S79); and when awaited outside of a running loop.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::{ReturnWhen, sleep_with, wait};
/// use asyncio_executor::spawn;
///
/// asyncio_runtime::run(async {
///     let tasks = [0.03, 0.001, 0.02].map(|delay| spawn(sleep_with(delay, delay)));
///     let result = wait(tasks).return_when(ReturnWhen::FirstCompleted).await;
///     assert_eq!((result.done.len(), result.pending.len()), (1, 2));
///     for task in result.done {
///         assert_eq!(task.await.unwrap(), 0.001); // it has ended: this does not wait
///     }
///
///     let rest = wait(&result.pending).timeout(1.0).await;
///     assert!(rest.pending.is_empty());
/// });
/// ```
///
/// A coroutine is not a task yet:
///
/// ```compile_fail
/// asyncio_runtime::run(async { asyncio_tasks::wait([async {}]).await });
/// ```
#[track_caller]
pub fn wait<W>(tasks: W) -> Waiting<W::Item>
where
    W: IntoIterator,
    W::Item: Waitable,
{
    Waiting::new(tasks.into_iter().collect(), W::Item::failed)
}

/// [`wait`] for tasks of `Result`s: an `Err` counts as failure for [`ReturnWhen::FirstException`] (S82).
///
/// The tasks keep their outcomes: those in `done` are awaited as ever.
///
/// # Cancel safety
///
/// As [`wait`].
///
/// # Panics
///
/// As [`wait`].
///
/// # Examples
///
/// ```
/// use asyncio_tasks::{ReturnWhen, sleep_with, try_wait};
/// use asyncio_executor::spawn;
///
/// asyncio_runtime::run(async {
///     let outcomes = [(0.001, Ok(1)), (0.002, Err("no")), (1000.0, Ok(3))];
///     let tasks = outcomes.map(|(delay, outcome)| spawn(sleep_with(delay, outcome)));
///     let mut result = try_wait(tasks).return_when(ReturnWhen::FirstException).await;
///     assert_eq!((result.done.len(), result.pending.len()), (2, 1));
///     assert_eq!(result.done.pop().unwrap().await.unwrap(), Err("no"));
/// });
/// ```
#[track_caller]
pub fn try_wait<W>(tasks: W) -> Waiting<W::Item>
where
    W: IntoIterator,
    W::Item: TryWaitable,
{
    Waiting::new(tasks.into_iter().collect(), W::Item::erred)
}

/// What [`wait`] takes. Not meant to be implemented elsewhere.
#[diagnostic::on_unimplemented(
    message = "`wait` cannot wait for `{Self}`",
    label = "expected a task: `create_task(…)` makes one of a future"
)]
pub trait Waitable: AwaitNode {
    /// Names a registered callback.
    #[doc(hidden)]
    type Id;

    /// Whether it has ended.
    #[doc(hidden)]
    fn ended(&self) -> bool;

    /// Whether it has ended by a failure.
    #[doc(hidden)]
    fn failed(&mut self) -> bool;

    #[doc(hidden)]
    fn on_end(&self, callback: Box<dyn FnOnce()>) -> Self::Id;

    #[doc(hidden)]
    fn forget(&self, id: Self::Id);
}

/// What [`try_wait`] takes: tasks of `Result`s.
pub trait TryWaitable: Waitable {
    /// Whether it has ended by a failure or an `Err`.
    #[doc(hidden)]
    fn erred(&mut self) -> bool;
}

macro_rules! waitable_task {
    ($([$($generics:tt)*] $handle:ty,)*) => { $(
        impl<$($generics)*> Waitable for $handle {
            type Id = u64;

            fn ended(&self) -> bool {
                self.done()
            }

            fn failed(&mut self) -> bool {
                self.panicked()
            }

            fn on_end(&self, callback: Box<dyn FnOnce()>) -> u64 {
                self.add_done_callback(callback)
            }

            fn forget(&self, id: u64) {
                self.remove_done_callback(id);
            }
        }
    )* };
}

waitable_task! {
    [T] Task<T>,
    [T] &Task<T>,
    [T] &mut Task<T>,
    [] TaskRef,
    [] &TaskRef,
}

macro_rules! waitable_future {
    ($($handle:ty,)*) => { $(
        impl<T: 'static> Waitable for $handle {
            type Id = HookId;

            fn ended(&self) -> bool {
                self.done()
            }

            fn failed(&mut self) -> bool {
                matches!(self.exception(), Ok(Some(_)))
            }

            fn on_end(&self, callback: Box<dyn FnOnce()>) -> HookId {
                self.add_done_callback(|_| callback())
            }

            fn forget(&self, id: HookId) {
                self.remove_done_callback(id);
            }
        }
    )* };
}

waitable_future! { crate::Future<T>, &crate::Future<T>, }

impl<T, E> TryWaitable for Task<Result<T, E>> {
    fn erred(&mut self) -> bool {
        self.panicked() || matches!(self.peek(), Some(Ok(Err(_))))
    }
}

impl<T, E> TryWaitable for &mut Task<Result<T, E>> {
    fn erred(&mut self) -> bool {
        (**self).erred()
    }
}

/// Future of [`wait`] and [`try_wait`], and their options.
#[must_use = "futures do nothing unless awaited"]
pub struct Waiting<I: Waitable> {
    items: Vec<I>,
    return_when: ReturnWhen,
    timeout: Option<Duration>,
    failed: fn(&mut I) -> bool,
    /// Set by the first poll.
    begun: Option<Begun<I::Id>>,
    /// Shows what is awaited.
    watch: Watch,
}

struct Begun<Id> {
    ends: Rc<Ends>,
    callbacks: Vec<Id>,
    timer: Option<Timer>,
}

enum Timer {
    At(Sleep),
    /// There was no time at all: over in the next turn.
    NextTurn(Alarm),
}

/// What is shared with the callbacks.
struct Ends {
    left: Cell<usize>,
    /// Whether each end is of interest, or only the last.
    each: bool,
    /// Places of those whose callback ran since the waiter last looked.
    heard: RefCell<Vec<usize>>,
    waker: RefCell<Option<Waker>>,
}

impl Ends {
    fn one_ended(&self, place: usize) {
        self.left.set(self.left.get() - 1);
        if self.each {
            self.heard.borrow_mut().push(place);
        }
        if self.each || self.left.get() == 0 {
            let waker = self.waker.take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<I: Waitable> Waiting<I> {
    #[track_caller]
    fn new(items: Vec<I>, failed: fn(&mut I) -> bool) -> Waiting<I> {
        assert!(
            !items.is_empty(),
            "`wait` was given no tasks, it would have nothing to wait for; ask `is_empty()` before"
        );
        Waiting {
            items,
            return_when: ReturnWhen::default(),
            timeout: None,
            failed,
            begun: None,
            watch: Watch::new(),
        }
    }

    /// Waits no longer than this (seconds, `Duration`, or `None`): gives what there is then, and cancels nothing (S84).
    ///
    /// The time counts from the first poll.
    pub fn timeout(mut self, timeout: impl IntoTimeout) -> Waiting<I> {
        self.timeout = timeout.into_timeout();
        self
    }

    /// When it is over; [`ReturnWhen::AllCompleted`] unless said.
    pub fn return_when(mut self, return_when: ReturnWhen) -> Waiting<I> {
        self.return_when = return_when;
        self
    }

    fn begin(&mut self, cx: &Context<'_>) {
        let timer = self.timeout.map(|timeout| match timeout {
            Duration::ZERO => Timer::NextTurn(Alarm::set(cx.waker().clone())),
            timeout => {
                let timers = Timers::current();
                let when = timers.now() + timeout;
                Timer::At(Sleep::armed(when, timers, cx))
            }
        });
        let ends = Rc::new(Ends {
            left: Cell::new(self.items.len()),
            each: self.return_when != ReturnWhen::AllCompleted,
            heard: RefCell::new(Vec::new()),
            waker: RefCell::new(Some(cx.waker().clone())),
        });
        let mut callbacks = Vec::with_capacity(self.items.len());
        for (place, item) in self.items.iter().enumerate() {
            let ends = ends.clone();
            callbacks.push(item.on_end(Box::new(move || ends.one_ended(place))));
        }
        self.begun = Some(Begun {
            ends,
            callbacks,
            timer,
        });
    }

    fn show(&mut self) {
        let items = &self.items;
        self.watch.set("wait", || {
            Watched::Many(items.iter().map(AwaitNode::await_node).collect())
        });
    }

    fn unregister(&mut self) {
        if let Some(begun) = self.begun.take() {
            for (item, id) in self.items.iter().zip(begun.callbacks) {
                item.forget(id);
            }
        }
    }
}

// Nothing in it is pinned.
impl<I: Waitable> Unpin for Waiting<I> {}

impl<I: Waitable> Future for Waiting<I> {
    type Output = WaitResult<I>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WaitResult<I>> {
        let this = &mut *self;
        assert!(!this.items.is_empty(), "`wait` polled after it was over");
        let Some(begun) = &mut this.begun else {
            this.begin(cx);
            this.show();
            return Poll::Pending;
        };
        let former = begun.ends.waker.replace(Some(cx.waker().clone()));
        drop(former);
        let heard = begun.ends.heard.take();
        let over = begun.ends.left.get() == 0
            || match this.return_when {
                ReturnWhen::AllCompleted => false,
                ReturnWhen::FirstCompleted => !heard.is_empty(),
                ReturnWhen::FirstException => heard
                    .into_iter()
                    .any(|place| (this.failed)(&mut this.items[place])),
            }
            || match &mut begun.timer {
                None => false,
                Some(Timer::At(sleep)) => Pin::new(sleep).poll(cx).is_ready(),
                Some(Timer::NextTurn(alarm)) => alarm.rang(),
            };
        if !over {
            this.show();
            return Poll::Pending;
        }
        this.watch.unset();
        this.unregister();
        // S83: by what has ended now, not by what woke this.
        let (done, pending) = mem::take(&mut this.items)
            .into_iter()
            .partition(Waitable::ended);
        Poll::Ready(WaitResult { done, pending })
    }
}

impl<I: Waitable> Drop for Waiting<I> {
    fn drop(&mut self) {
        self.unregister();
    }
}

impl<I: Waitable> fmt::Debug for Waiting<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("tasks", &self.items.len())
            .field("return_when", &self.return_when)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
