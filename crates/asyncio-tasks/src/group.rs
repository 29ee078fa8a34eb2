//! Task groups: no child outlives the block.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_executor::{
    CancelledError, Task, TaskError, cancelling, catch_cancelled, current_task, spawn, uncancel,
};

use crate::exception_group::{ExceptionGroup, GroupError};

/// A group of tasks that ends together; asyncio: `TaskGroup`.
///
/// ```
/// use asyncio_tasks::TaskGroup;
///
/// async fn double(n: i32) -> Result<i32, String> {
///     if n < 0 { Err(format!("{n} is negative")) } else { Ok(2 * n) }
/// }
///
/// asyncio_runtime::run(async {
///     let sum = TaskGroup::scope(async |group| {
///         let a = group.create_task(double(1));
///         let b = group.create_task(double(2));
///         Ok(a.await + b.await)
///     })
///     .await;
///     assert_eq!(sum.unwrap(), 6);
///
///     let failed = TaskGroup::scope(async |group| {
///         group.create_task(double(-1));
///         let other = group.create_task(async { std::future::pending::<Result<(), String>>().await });
///         other.await; // cancelled here, because its sibling failed
///         Ok(())
///     })
///     .await;
///     assert_eq!(failed.unwrap_err().to_string(), "1 failure in a task group\n└── -1 is negative");
/// });
/// ```
///
/// Clones are the same group: a child may take one along and add children of its own.
pub struct TaskGroup<E: 'static> {
    state: Rc<State<E>>,
}

/// A child's task: its value went to its slot, its error is the group's.
type Child<E> = Task<Result<(), E>>;

struct State<E: 'static> {
    /// In the order of creation; the place of a child whose end was noticed is empty.
    children: RefCell<Vec<Option<Child<E>>>>,
    live: Cell<usize>,
    errors: RefCell<Vec<GroupError<E>>>,
    /// The children were asked to end; no more are taken in.
    aborting: Cell<bool>,
    /// A child failed while the body ran: it is to be asked to end (S117).
    body_asked: Cell<bool>,
    body_over: Cell<bool>,
    /// The block has ended, or was dropped.
    closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl<E: 'static> TaskGroup<E> {
    /// Runs a body that may spawn children into the group, and waits until all of them have ended (S116).
    ///
    /// When a child fails (an `Err`, a panic) the others and the body are asked to end; when the body returns an `Err`
    /// the children are. All are waited for, and the failures come out together. A child that was cancelled by itself
    /// is no failure (S122). If the body panics, the children are asked to end and waited for, and the panic goes on.
    ///
    /// # Cancel safety
    ///
    /// A request goes to the body, then to the children; all are waited for, then it goes on outwards (S125). If
    /// children fail in their cleanup, their failures come out instead, and the request meets the next await (S126).
    /// *Dropping* this (a losing arm of a `select`) drops the body, asks every child to end, and leaves them to the
    /// loop: nothing can be waited for in a `Drop` (S137).
    ///
    /// # Errors
    ///
    /// [`ExceptionGroup`] with every failure, the body's last.
    ///
    /// # Panics
    ///
    /// When the body does.
    pub async fn scope<T, F>(body: F) -> Result<T, ExceptionGroup<E>>
    where
        F: AsyncFnOnce(&TaskGroup<E>) -> Result<T, E>,
    {
        let group = TaskGroup {
            state: Rc::new(State {
                children: RefCell::new(Vec::new()),
                live: Cell::new(0),
                errors: RefCell::new(Vec::new()),
                aborting: Cell::new(false),
                body_asked: Cell::new(false),
                body_over: Cell::new(false),
                closed: Cell::new(false),
                waker: RefCell::new(None),
            }),
        };
        let state = &*group.state;
        let abandon = Abandon(state);
        let (ended, asked) = state.run_body(body(&group)).await;
        state.body_over.set(true);

        let mut outside = match &ended {
            Ok(Err(cancelled)) => Some(cancelled.clone()),
            _ => None,
        };
        // S127: what the group asked of its own task it takes back; if nobody else asked, it ends here.
        if asked && uncancel() == 0 {
            outside = None;
        }
        if !matches!(ended, Ok(Ok(Ok(_)))) {
            state.abort();
        }
        while state.live.get() > 0 {
            if let Err(cancelled) = catch_cancelled(state.children_ended()).await
                && !state.aborting.get()
            {
                outside = Some(cancelled);
                state.abort();
            }
            // S128: a request that comes while the group aborts already shows in the count only.
        }
        drop(abandon);

        let mut errors = state.errors.take();
        let value = match ended {
            Err(panic) => resume_unwind(panic),
            Ok(Ok(Ok(value))) => Some(value),
            Ok(Ok(Err(error))) => {
                errors.push(GroupError::Error(error));
                None
            }
            Ok(Err(_)) => None,
        };
        if !errors.is_empty() {
            if cancelling() > 0 {
                // S126: asked from outside, but the failures come out: the request meets the next await.
                uncancel();
                if let Some(task) = current_task() {
                    task.cancel();
                }
            }
            return Err(ExceptionGroup::new(errors));
        }
        match (outside, value) {
            (None, Some(value)) => Ok(value),
            (Some(cancelled), _) => cancelled.propagate().await,
            // The body was cancelled and nobody asked: it raised by itself, which goes on outwards.
            (None, None) => CancelledError::new().propagate().await,
        }
    }

    /// Adds a child (S129). It may return a plain value or a `Result` with the group's error type; an `Err` or a panic
    /// makes the group fail.
    ///
    /// When the group is ending already, the future is dropped unrun and the child counts as cancelled.
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    #[track_caller]
    pub fn create_task<F>(&self, future: F) -> GroupTask<<F::Output as ChildOutput<E>>::Value, E>
    where
        F: Future + 'static,
        F::Output: ChildOutput<E>,
    {
        let slot = Rc::new(Slot {
            value: Cell::new(None),
            state: Cell::new(SlotState::Running),
        });
        let handle = GroupTask {
            slot: slot.clone(),
            group: self.state.clone(),
            place: self.state.children.borrow().len(),
        };
        if self.state.aborting.get() || self.state.closed.get() {
            slot.state.set(SlotState::Gone);
            return handle;
        }
        let child = spawn(run_child(future, Settle(slot)));
        let (state, place) = (self.state.clone(), handle.place);
        child.add_done_callback(move || state.child_ended(place));
        self.state.live.set(self.state.live.get() + 1);
        self.state.children.borrow_mut().push(Some(child));
        handle
    }

    /// How many children have not ended.
    pub fn live(&self) -> usize {
        self.state.live.get()
    }
}

impl<E: 'static> State<E> {
    /// Polls the body as a scope, asking it to end when a child failed. Also says whether it was asked.
    async fn run_body<T>(&self, body: impl Future<Output = Result<T, E>>) -> (BodyEnd<T, E>, bool) {
        let mut body = pin!(catch_cancelled(body));
        let mut asked = false;
        poll_fn(|cx| {
            self.watch(cx);
            if self.body_asked.take() {
                asked = true;
                body.as_mut().request(CancelledError::new());
            }
            match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(ended)) => Poll::Ready((Ok(ended), asked)),
                Err(panic) => Poll::Ready((Err(panic), asked)),
            }
        })
        .await
    }

    async fn children_ended(&self) {
        poll_fn(|cx| {
            if self.live.get() == 0 {
                return Poll::Ready(());
            }
            self.watch(cx);
            Poll::Pending
        })
        .await;
    }

    fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    fn wake(&self) {
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A child's done callback: one turn after its end (S135).
    fn child_ended(&self, place: usize) {
        let child = self
            .children
            .borrow_mut()
            .get_mut(place)
            .and_then(Option::take);
        let Some(child) = child else {
            // The group was abandoned.
            return;
        };
        let failure = match child.try_take() {
            Ok(Ok(Err(error))) => Some(GroupError::Error(error)),
            Ok(Err(TaskError::Panicked(panic))) => Some(GroupError::Panicked(panic)),
            // S122: cancelled is no failure.
            Ok(_) => None,
            Err(_) => unreachable!("a done callback runs after the end"),
        };
        self.live.set(self.live.get() - 1);
        if let Some(failure) = failure {
            self.errors.borrow_mut().push(failure);
            if !self.aborting.get() {
                self.abort();
                if !self.body_over.get() {
                    self.body_asked.set(true);
                    self.wake();
                }
            }
        }
        if self.live.get() == 0 {
            self.wake();
        }
    }

    /// Asks every child to end, in the order of creation (S118).
    fn abort(&self) {
        if self.aborting.replace(true) {
            return;
        }
        let count = self.children.borrow().len();
        for place in 0..count {
            // Taken out meanwhile: a request may run code of the user's (the hooks of a future that is cancelled),
            // which may look at the group. Its own callback cannot come in between, that goes through the queue.
            let child = self.children.borrow_mut()[place].take();
            if let Some(child) = child {
                child.cancel();
                self.children.borrow_mut()[place] = Some(child);
            }
        }
    }
}

/// How a body ended: a panic, a request, or its result.
type BodyEnd<T, E> = Result<Result<Result<T, E>, CancelledError>, Box<dyn std::any::Any + Send>>;

/// Ends the group; if the scope is dropped before its time, also asks the children to end and lets them go (S137).
struct Abandon<'a, E: 'static>(&'a State<E>);

impl<E: 'static> Drop for Abandon<'_, E> {
    fn drop(&mut self) {
        self.0.closed.set(true);
        if self.0.live.get() > 0 {
            self.0.abort();
            let children = self.0.children.take();
            drop(children);
        }
    }
}

impl<E: 'static> Clone for TaskGroup<E> {
    fn clone(&self) -> TaskGroup<E> {
        TaskGroup {
            state: self.state.clone(),
        }
    }
}

impl<E: 'static> fmt::Debug for TaskGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskGroup")
            .field("live", &self.live())
            .field("aborting", &self.state.aborting.get())
            .finish_non_exhaustive()
    }
}

/// What a child of a group may return: a `Result` with the group's error type, or a plain value, which never fails.
pub trait ChildOutput<E>: 'static {
    /// The value of a child that succeeded.
    type Value: 'static;

    /// Value or failure.
    fn into_result(self) -> Result<Self::Value, E>;
}

impl<T: 'static, E: 'static> ChildOutput<E> for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, E> {
        self
    }
}

macro_rules! plain_values {
    ($([$($generics:ident)*] $value:ty,)*) => { $(
        impl<Failure, $($generics: 'static),*> ChildOutput<Failure> for $value {
            type Value = $value;

            fn into_result(self) -> Result<$value, Failure> {
                Ok(self)
            }
        }
    )* };
}

plain_values! {
    [] (), [] bool, [] char, [] u8, [] u16, [] u32, [] u64, [] u128, [] usize,
    [] i8, [] i16, [] i32, [] i64, [] i128, [] isize, [] f32, [] f64,
    [] String, [] &'static str,
    [T] Option<T>, [T] Vec<T>, [T] Box<T>, [T] Rc<T>, [A] (A,), [A B] (A, B), [A B C] (A, B, C),
}

/// A child of a [`TaskGroup`]: awaiting it gives the value itself.
///
/// If the child fails there is no value: the group asks the body to end, at this await (S124). Dropping the handle
/// changes nothing; the group waits for the child all the same.
///
/// # Cancel safety
///
/// Awaited by `&mut`, nothing is lost; the child goes on.
pub struct GroupTask<T, E: 'static> {
    slot: Rc<Slot<T>>,
    group: Rc<State<E>>,
    place: usize,
}

struct Slot<T> {
    value: Cell<Option<T>>,
    state: Cell<SlotState>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SlotState {
    Running,
    /// The value is there, or was taken.
    Done,
    /// It returned an `Err`, which is the group's.
    Failed,
    /// It was cancelled, panicked, or never ran.
    Gone,
}

impl<T, E: 'static> GroupTask<T, E> {
    /// Asks this child to end; false if it has ended. The group goes on (S122).
    pub fn cancel(&self) -> bool {
        self.with_task(|task| task.cancel()).unwrap_or(false)
    }

    /// Whether it has ended.
    pub fn done(&self) -> bool {
        self.slot.state.get() != SlotState::Running
    }

    /// Names it.
    pub fn name(self, name: &str) -> GroupTask<T, E> {
        self.with_task(|task| task.set_name(name));
        self
    }

    fn with_task<R>(&self, f: impl FnOnce(&Child<E>) -> R) -> Option<R> {
        match self.group.children.borrow().get(self.place) {
            Some(Some(task)) => Some(f(task)),
            _ => None,
        }
    }
}

impl<T, E: 'static> Future for GroupTask<T, E> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let slot = &self.slot;
        match slot.state.get() {
            SlotState::Done => match slot.value.take() {
                Some(value) => return Poll::Ready(value),
                None => panic!("`GroupTask` polled after it gave its value"),
            },
            SlotState::Gone => return CancelledError::new().raise_in_poll(),
            // The body went on after it had been asked to end: no value will come.
            SlotState::Failed if self.group.aborting.get() && !self.group.body_asked.get() => {
                return CancelledError::new().raise_in_poll();
            }
            SlotState::Failed | SlotState::Running => {}
        }
        // The task itself tells of its end, and does so after it queued the group's callback: the group has heard of
        // the end when the body goes on (S124), and a body that then returns waits for this child no more.
        let mut children = self.group.children.borrow_mut();
        if let Some(Some(task)) = children.get_mut(self.place)
            && !task.done()
        {
            let outcome = task.poll_outcome(cx);
            debug_assert!(outcome.is_pending());
        }
        Poll::Pending
    }
}

impl<T, E: 'static> fmt::Debug for GroupTask<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupTask")
            .field("done", &self.done())
            .finish_non_exhaustive()
    }
}

/// The child's side of its slot; says `Gone` if the child is dropped before it returned.
struct Settle<T>(Rc<Slot<T>>);

impl<T> Settle<T> {
    fn settle(&self, state: SlotState) {
        self.0.state.set(state);
    }
}

impl<T> Drop for Settle<T> {
    fn drop(&mut self) {
        if self.0.state.get() == SlotState::Running {
            self.settle(SlotState::Gone);
        }
    }
}

async fn run_child<F, E>(
    future: F,
    settle: Settle<<F::Output as ChildOutput<E>>::Value>,
) -> Result<(), E>
where
    F: Future,
    F::Output: ChildOutput<E>,
{
    match future.await.into_result() {
        Ok(value) => {
            settle.0.value.set(Some(value));
            settle.settle(SlotState::Done);
            Ok(())
        }
        Err(error) => {
            // There is no value: the group's callback asks the body to end (S124).
            settle.0.state.set(SlotState::Failed);
            Err(error)
        }
    }
}
