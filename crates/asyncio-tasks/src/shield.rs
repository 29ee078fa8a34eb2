//! Awaiting without passing a request on.

use std::borrow::BorrowMut;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_executor::{AwaitNode, IntoTask, Task, TaskError, Watch, Watched, spawn};

use crate::kinds;

/// Awaits a task, and passes no request on to it; asyncio: `shield` (S98).
///
/// - `shield(&mut task)`: the task stays the caller's; it can be awaited again after a timeout.
/// - `shield(task)` and `shield(future)`: if the awaiting task is cancelled, the shielded one runs on by itself.
///
/// The [`Shield`] is a handle, as a task is: it can be awaited, and given to [`timeout`](crate::timeout),
/// [`wait_for`](crate::wait_for) and [`gather`](crate::gather). Where a `Future` is asked for, as by `select` and `join`,
/// give `shield(…).into_future()`.
///
/// # Cancel safety
///
/// The await ends at once; the task goes on. Dropping the shield is the same.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::{shield, wait_for};
///
/// asyncio_runtime::run(async {
///     let mut task = asyncio_executor::spawn(asyncio_tasks::sleep_with(0.002, 5));
///     assert!(wait_for(shield(&mut task), 0.001).await.is_err());
///     assert!(!task.done());
///     assert_eq!(task.await.unwrap(), 5);
/// });
/// ```
#[track_caller]
pub fn shield<Kind, S: Shieldable<Kind>>(awaitable: S) -> S::Shielded {
    awaitable.shielded()
}

/// What [`shield`] takes: a task, a task by reference, or a future, which becomes a task. `Kind` only tells them apart.
pub trait Shieldable<Kind> {
    /// What to await.
    type Shielded: IntoFuture;

    /// Shields it.
    #[track_caller]
    fn shielded(self) -> Self::Shielded;
}

impl<S: IntoTask> Shieldable<kinds::Owned> for S
where
    S::Output: 'static,
{
    type Shielded = Shield<S::Output>;

    #[track_caller]
    fn shielded(self) -> Shield<S::Output> {
        Shield::new(self.into_task())
    }
}

impl<'a, T: 'static> Shieldable<kinds::Borrowed> for &'a mut Task<T> {
    type Shielded = Shield<T, &'a mut Task<T>>;

    fn shielded(self) -> Shield<T, &'a mut Task<T>> {
        Shield::new(self)
    }
}

/// A task behind a shield, of its own or of the caller's; from [`shield`].
///
/// A handle: what is behind it runs whether it is awaited or not. So `wait_for` takes the outcome of one that is done
/// also without any time (S95).
#[must_use = "what is shielded runs, but nobody waits for it; await it"]
pub struct Shield<T: 'static, P: BorrowMut<Task<T>> = Task<T>> {
    task: P,
    _output: PhantomData<fn() -> T>,
}

impl<T: 'static, P: BorrowMut<Task<T>>> Shield<T, P> {
    fn new(task: P) -> Shield<T, P> {
        Shield {
            task,
            _output: PhantomData,
        }
    }
}

impl<T: 'static, P: BorrowMut<Task<T>>> IntoFuture for Shield<T, P> {
    type Output = Result<T, TaskError>;
    type IntoFuture = Shielding<T, P>;

    fn into_future(self) -> Shielding<T, P> {
        Shielding {
            watch: Watch::new(),
            task: self.task,
            end: None,
            _output: PhantomData,
        }
    }
}

/// In [`gather`](crate::gather) and the like: a task that awaits the shield, so that what is behind it is not asked.
impl<T: 'static> IntoTask for Shield<T> {
    type Output = Result<T, TaskError>;

    #[track_caller]
    fn into_task(self) -> Task<Result<T, TaskError>> {
        spawn(self.into_future())
    }
}

impl<T: 'static, P: BorrowMut<Task<T>>> fmt::Debug for Shield<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task: &Task<T> = self.task.borrow();
        f.debug_struct("Shield").field("task", task).finish()
    }
}

/// Future of awaiting a [`Shield`].
///
/// Wakes one turn after an await of the task itself would, as asyncio's does: there, too, a callback at the end of the
/// task is what ends the shield.
///
/// # Cancel safety
///
/// The await ends at once; the task goes on. Dropping this is the same.
#[must_use = "futures do nothing unless awaited"]
pub struct Shielding<T: 'static, P: BorrowMut<Task<T>> = Task<T>> {
    /// Shows what is awaited.
    watch: Watch,
    task: P,
    /// Registered with the task when this first had to wait.
    end: Option<End>,
    _output: PhantomData<fn() -> T>,
}

struct End {
    state: Rc<EndState>,
    callback: u64,
}

struct EndState {
    came: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

// Nothing in it is pinned.
impl<T: 'static, P: BorrowMut<Task<T>>> Unpin for Shielding<T, P> {}

impl<T: 'static, P: BorrowMut<Task<T>>> Future for Shielding<T, P> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let task = this.task.borrow_mut();
        match &this.end {
            // S100: what is done already is taken at once.
            None if task.done() => return task.poll_outcome(cx),
            None => {
                let state = Rc::new(EndState {
                    came: Cell::new(false),
                    waker: RefCell::new(Some(cx.waker().clone())),
                });
                let told = state.clone();
                let callback = task.add_done_callback(move || {
                    told.came.set(true);
                    let waker = told.waker.take();
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                });
                this.end = Some(End { state, callback });
            }
            Some(end) if end.state.came.get() => {
                this.end = None;
                this.watch.unset();
                return task.poll_outcome(cx);
            }
            Some(end) => {
                let former = end.state.waker.replace(Some(cx.waker().clone()));
                drop(former);
            }
        }
        this.watch.set("shield", || Watched::One(task.await_node()));
        Poll::Pending
    }
}

impl<T: 'static, P: BorrowMut<Task<T>>> Drop for Shielding<T, P> {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            // The task may be shielded many times over; each leaves nothing behind.
            let waker = end.state.waker.take();
            drop(waker);
            let task: &Task<T> = self.task.borrow();
            task.remove_done_callback(end.callback);
        }
    }
}

impl<T: 'static, P: BorrowMut<Task<T>>> fmt::Debug for Shielding<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let task: &Task<T> = self.task.borrow();
        f.debug_struct("Shielding").field("task", task).finish()
    }
}
