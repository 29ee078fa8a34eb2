//! Tasks in the order in which they end.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio_executor::{IntoTask, Task};
use asyncio_timers::{Sleep, Timers};
use futures_core::Stream;

use crate::timeout::{IntoTimeout, TimeoutError};

/// Gives tasks back in the order in which they end (S87); asyncio: `as_completed`.
///
/// Takes anything that iterates over tasks, which it gives back, or over futures, which become tasks at the call. What
/// it gives has ended, so awaiting it does not wait. A task that failed or was cancelled is given like any other and
/// ends nothing (S90). A [`Stream`], and usable without its traits: [`next`](AsCompleted::next).
///
/// The tasks of one call are distinct, since each has one owner.
///
/// # Cancel safety
///
/// A cancelled or dropped [`next`](AsCompleted::next) loses nothing; the iteration can be gone on with, or left (S90).
/// Dropping the whole lets the tasks run on by themselves; [`into_pending`](AsCompleted::into_pending) gives them back.
///
/// # Panics
///
/// For futures, outside of a running loop.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::{as_completed, sleep_with};
///
/// asyncio_runtime::run(async {
///     let mut tasks = as_completed([0.03, 0.001, 0.015].map(|delay| sleep_with(delay, delay)));
///     let mut order = Vec::new();
///     while let Some(task) = tasks.next().await {
///         order.push(task.await.unwrap());
///     }
///     assert_eq!(order, [0.001, 0.015, 0.03]);
/// });
/// ```
#[track_caller]
pub fn as_completed<I>(awaitables: I) -> AsCompleted<<I::Item as IntoTask>::Output>
where
    I: IntoIterator,
    I::Item: IntoTask,
{
    let ends: Rc<Ends> = Rc::default();
    let items = awaitables.into_iter();
    let mut tasks = Vec::with_capacity(items.size_hint().0);
    // A loop and not `map`: in a closure the place of the call would be lost.
    for (place, item) in items.enumerate() {
        let task = item.into_task();
        let ends = ends.clone();
        task.add_done_callback(move || ends.one_ended(place));
        tasks.push(Some(task));
    }
    AsCompleted {
        left: tasks.len(),
        tasks,
        ends,
    }
}

/// Tasks in the order in which they end: see [`as_completed`].
#[must_use = "the tasks run, but nobody looks at them; call `next`"]
pub struct AsCompleted<T> {
    tasks: Vec<Option<Task<T>>>,
    /// How many were not given yet.
    left: usize,
    ends: Rc<Ends>,
}

/// What is shared with the callbacks.
#[derive(Default)]
struct Ends {
    /// Places of those that have ended, in that order.
    places: RefCell<VecDeque<usize>>,
    waker: RefCell<Option<Waker>>,
}

impl Ends {
    fn one_ended(&self, place: usize) {
        self.places.borrow_mut().push_back(place);
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> AsCompleted<T> {
    /// The next task that has ended; `None` when all were given.
    #[allow(clippy::should_implement_trait)] // The name `StreamExt::next` has, too.
    pub fn next(&mut self) -> NextCompleted<'_, AsCompleted<T>> {
        NextCompleted { stream: self }
    }

    /// Waits no longer than this altogether, counted from now (S89): then the next step gives one
    /// [`TimeoutError`], and the iteration is over. Nothing is cancelled.
    ///
    /// ```
    /// use asyncio_tasks::{TimeoutError, as_completed, sleep_with};
    ///
    /// asyncio_runtime::run(async {
    ///     let mut tasks = as_completed([0.001, 1000.0].map(|delay| sleep_with(delay, ()))).timeout(0.02);
    ///     assert!(tasks.next().await.unwrap().is_ok());
    ///     assert_eq!(tasks.next().await.unwrap().unwrap_err(), TimeoutError);
    ///     assert!(tasks.next().await.is_none());
    ///     assert_eq!(tasks.into_pending().len(), 1);
    /// });
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    pub fn timeout(self, timeout: impl IntoTimeout) -> AsCompletedWithin<T> {
        let limit = timeout.into_timeout().map(|timeout| match timeout {
            // One turn, in which what had ended before is heard of.
            Duration::ZERO => Sleep::new(Duration::ZERO),
            timeout => Sleep::until(Timers::current().now() + timeout),
        });
        AsCompletedWithin {
            tasks: self,
            limit,
            over: false,
        }
    }

    /// How many tasks were not given yet.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Whether all tasks were given.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The tasks that were not given yet, in the order of the call.
    pub fn into_pending(self) -> Vec<Task<T>> {
        self.tasks.into_iter().flatten().collect()
    }

    fn take_ended(&mut self) -> Option<Task<T>> {
        let place = self.ends.places.borrow_mut().pop_front()?;
        self.left -= 1;
        self.tasks[place].take()
    }

    fn wait(&self, cx: &Context<'_>) {
        let former = self.ends.waker.replace(Some(cx.waker().clone()));
        drop(former);
    }
}

impl<T> Stream for AsCompleted<T> {
    type Item = Task<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Task<T>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        match self.take_ended() {
            Some(task) => Poll::Ready(Some(task)),
            None => {
                self.wait(cx);
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("tasks", &self.tasks.len())
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// [`AsCompleted`] with a limit of time: see [`AsCompleted::timeout`].
#[must_use = "the tasks run, but nobody looks at them; call `next`"]
pub struct AsCompletedWithin<T> {
    tasks: AsCompleted<T>,
    limit: Option<Sleep>,
    over: bool,
}

impl<T> AsCompletedWithin<T> {
    /// The next task that has ended, or the error when the time is over first; `None` when all were given, and after
    /// the error.
    #[allow(clippy::should_implement_trait)] // The name `StreamExt::next` has, too.
    pub fn next(&mut self) -> NextCompleted<'_, AsCompletedWithin<T>> {
        NextCompleted { stream: self }
    }

    /// The tasks that were not given yet, in the order of the call.
    pub fn into_pending(self) -> Vec<Task<T>> {
        self.tasks.into_pending()
    }
}

impl<T> Stream for AsCompletedWithin<T> {
    type Item = Result<Task<T>, TimeoutError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.over || this.tasks.is_empty() {
            return Poll::Ready(None);
        }
        if let Some(task) = this.tasks.take_ended() {
            return Poll::Ready(Some(Ok(task)));
        }
        if let Some(limit) = &mut this.limit
            && Pin::new(limit).poll(cx).is_ready()
        {
            this.over = true;
            return Poll::Ready(Some(Err(TimeoutError)));
        }
        this.tasks.wait(cx);
        Poll::Pending
    }
}

impl<T> fmt::Debug for AsCompletedWithin<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompletedWithin")
            .field("tasks", &self.tasks)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Future of [`AsCompleted::next`].
///
/// # Cancel safety
///
/// Nothing is lost.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct NextCompleted<'a, S> {
    stream: &'a mut S,
}

impl<S: Stream + Unpin> Future for NextCompleted<'_, S> {
    type Output = Option<S::Item>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        Pin::new(&mut *self.stream).poll_next(cx)
    }
}
