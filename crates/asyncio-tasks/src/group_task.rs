//! A child of a group: the future that runs in its task, and the handle to its value.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_executor::{
    AwaitNode, Awaited, CancelledError, IntoTask, Join, JoinRef, PanicPayload, Task, TaskBuilder,
    TaskError,
};
use pin_project_lite::pin_project;

use crate::exception_group::{ExceptionGroup, GroupError};
use crate::group::State;

/// A child of a [`TaskGroup`](crate::TaskGroup): awaiting it gives the value itself.
///
/// If the child fails there is no value: the group asks the body to end, at this await (S124). Where no value will come
/// and nobody asks (the child was cancelled; the body went on; another task awaits it, outside of the group) the await
/// raises [`CancelledError`]: it never hangs.
///
/// Dropping the handle changes nothing; the group waits for the child all the same.
///
/// # Cancel safety
///
/// Awaited by value, it passes a request to the awaiting task on to the child and waits for its end, as an awaited
/// [`Task`] does (S62). Awaited by `&mut`, it passes nothing on and nothing is lost.
pub struct GroupTask<T> {
    /// `None` for a child that a group which was ending refused.
    task: Option<Task<Option<T>>>,
}

impl<T> GroupTask<T> {
    #[inline]
    pub(crate) fn new(task: Task<Option<T>>) -> GroupTask<T> {
        GroupTask { task: Some(task) }
    }

    pub(crate) fn refused() -> GroupTask<T> {
        GroupTask { task: None }
    }

    /// Asks this child to end; false if it has ended. The group goes on (S122).
    pub fn cancel(&self) -> bool {
        self.task.as_ref().is_some_and(Task::cancel)
    }

    /// The same with a message (S60).
    pub fn cancel_with(&self, message: &str) -> bool {
        let task = self.task.as_ref();
        task.is_some_and(|task| task.cancel_with(message))
    }

    /// Whether it has ended, in whatever way.
    pub fn done(&self) -> bool {
        self.task.as_ref().is_none_or(Task::done)
    }

    /// Whether it ended cancelled, or was refused by a group that was ending.
    pub fn cancelled(&self) -> bool {
        self.task.as_ref().is_none_or(Task::cancelled)
    }

    /// Names it: `group.create_task(work()).name("worker")`.
    pub fn name(self, name: &str) -> GroupTask<T> {
        self.set_name(name);
        self
    }

    /// Gives it another name.
    pub fn set_name(&self, name: &str) {
        if let Some(task) = &self.task {
            task.set_name(name);
        }
    }

    /// Its name: the one given, or `Task-N`; empty for a refused one.
    pub fn get_name(&self) -> String {
        self.task.as_ref().map(Task::get_name).unwrap_or_default()
    }

    /// Its number, unique in the process; 0 for a refused one.
    pub fn id(&self) -> u64 {
        self.task.as_ref().map_or(0, Task::id)
    }

    /// Runs a callback when the child has ended, through the ready queue; after the group has heard of it if the child
    /// failed. Dropped unrun for a refused child.
    pub fn add_done_callback(&self, callback: impl FnOnce() + 'static) {
        if let Some(task) = &self.task {
            task.add_done_callback(callback);
        }
    }
}

impl<T> AwaitNode for GroupTask<T> {
    fn await_node(&self) -> Awaited {
        Awaited::Task(self.id())
    }
}

impl<T> fmt::Debug for GroupTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.task {
            Some(task) => f.debug_tuple("GroupTask").field(task).finish(),
            None => f.write_str("GroupTask(refused: the group was ending)"),
        }
    }
}

impl<T> IntoFuture for GroupTask<T> {
    type Output = T;
    type IntoFuture = GroupJoin<Join<Option<T>>>;

    fn into_future(self) -> Self::IntoFuture {
        GroupJoin {
            join: self.task.map(Task::into_future),
        }
    }
}

impl<'a, T> IntoFuture for &'a mut GroupTask<T> {
    type Output = T;
    type IntoFuture = GroupJoin<JoinRef<'a, Option<T>>>;

    fn into_future(self) -> Self::IntoFuture {
        GroupJoin {
            join: self.task.as_mut().map(|task| task.into_future()),
        }
    }
}

/// For `gather` and the like: a task that awaits the child. Of one that is done it is a task that is done.
impl<T: 'static> IntoTask for GroupTask<T> {
    type Output = T;

    #[track_caller]
    fn into_task(self) -> Task<T> {
        let task = TaskBuilder::new().eager_start(self.done());
        task.spawn(self.into_future())
    }
}

/// Future of an awaited [`GroupTask`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct GroupJoin<J> {
    /// `None` for a refused child, and once no value will come.
    join: Option<J>,
}

impl<T, J> Future for GroupJoin<J>
where
    J: Future<Output = Result<Option<T>, TaskError>> + Unpin,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let error = match &mut self.join {
            None => CancelledError::with_message("the task group was ending already"),
            Some(join) => match Pin::new(join).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(Some(value))) => return Poll::Ready(value),
                Poll::Ready(Ok(None)) => {
                    CancelledError::with_message("the awaited child of a task group failed")
                }
                Poll::Ready(Err(TaskError::Cancelled(error))) => error,
                Poll::Ready(Err(TaskError::Panicked(panic))) => panic.resume(),
            },
        };
        self.join = None;
        error.raise_in_poll()
    }
}

/// What a child of a group may return: a `Result` with the group's error type, or a plain
/// value, which never fails.
pub trait ChildOutput<E>: 'static {
    /// The value of a child that succeeded.
    type Value: 'static;

    /// Value or failure.
    ///
    /// # Errors
    ///
    /// The failure, as it becomes a member of the group's [`ExceptionGroup`].
    fn into_result(self) -> Result<Self::Value, GroupError<E>>;
}

impl<T: 'static, E: 'static> ChildOutput<E> for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, GroupError<E>> {
        self.map_err(GroupError::of)
    }
}

macro_rules! plain_values {
    ($([$($generics:ident)*] $value:ty,)*) => { $(
        impl<Failure, $($generics: 'static),*> ChildOutput<Failure> for $value {
            type Value = $value;

            fn into_result(self) -> Result<$value, GroupError<Failure>> {
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

/// How the output of a child becomes its value or the group's failure.
pub(crate) trait Judge<O, E>: 'static {
    type Value: 'static;

    fn judge(output: O) -> Result<Self::Value, GroupError<E>>;
}

/// By what the output is: an `Err` fails.
pub(crate) struct Fallible;

impl<O: ChildOutput<E>, E> Judge<O, E> for Fallible {
    type Value = O::Value;

    #[inline]
    fn judge(output: O) -> Result<O::Value, GroupError<E>> {
        output.into_result()
    }
}

/// Any output is a value.
pub(crate) struct Plain;

impl<O: 'static, E> Judge<O, E> for Plain {
    type Value = O;

    #[inline]
    fn judge(output: O) -> Result<O, GroupError<E>> {
        Ok(output)
    }
}

/// The output is that of a group.
pub(crate) struct Nested;

impl<T: 'static, E: 'static> Judge<Result<T, ExceptionGroup<E>>, E> for Nested {
    type Value = T;

    #[inline]
    fn judge(output: Result<T, ExceptionGroup<E>>) -> Result<T, GroupError<E>> {
        output.map_err(GroupError::Group)
    }
}

/// Where a child is in its life.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Not polled yet.
    New,
    /// It has suspended; with its place in the group's list.
    Suspended(Option<usize>),
    /// The group knows how it ended.
    Ended,
}

pin_project! {
    /// The future in the task of a child. Tells the group how it ends, also when it is dropped before it returned.
    ///
    /// Its output is `None` when the child failed: the failure is the group's then.
    pub(crate) struct Child<F: Future, J, E: 'static> {
        #[pin]
        future: Option<F>,
        group: Rc<State<E>>,
        stage: Stage,
        _judge: PhantomData<J>,
    }

    impl<F: Future, J, E: 'static> PinnedDrop for Child<F, J, E> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if *this.stage == Stage::Ended {
                return;
            }
            // Cancelled (S122). The future first: an end is told when nothing of the child is left.
            leave(this.group, *this.stage);
            *this.stage = Stage::Ended;
            match catch_unwind(AssertUnwindSafe(|| this.future.set(None))) {
                Ok(()) => this.group.child_ended(),
                Err(panic) => {
                    this.group.child_failed(GroupError::Panicked(PanicPayload::new(panic)));
                }
            }
        }
    }
}

impl<F: Future, J, E: 'static> Child<F, J, E> {
    #[inline]
    pub(crate) fn new(future: F, group: Rc<State<E>>) -> Child<F, J, E> {
        Child {
            future: Some(future),
            group,
            stage: Stage::New,
            _judge: PhantomData,
        }
    }
}

#[inline]
fn leave<E: 'static>(group: &State<E>, stage: Stage) {
    if let Stage::Suspended(Some(place)) = stage {
        group.child_leaves(place);
    }
}

impl<F, J, E> Future for Child<F, J, E>
where
    F: Future,
    J: Judge<F::Output, E>,
    E: 'static,
{
    type Output = Option<J::Value>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if *this.stage == Stage::New && this.group.is_aborting() {
            // S45: asked to end before it began.
            return CancelledError::new().raise_in_poll();
        }
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let polled = match this.future.as_mut().as_pin_mut() {
                Some(future) => future.poll(cx),
                None => Poll::Pending,
            };
            if mem::needs_drop::<F>() && polled.is_ready() {
                // Here, where its panic is a failure of the child.
                this.future.set(None);
            }
            polled
        }));
        let judged = match polled {
            Ok(Poll::Pending) => {
                if *this.stage == Stage::New {
                    *this.stage = Stage::Suspended(this.group.child_suspends());
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(output)) => J::judge(output),
            Err(panic) => Err(GroupError::Panicked(PanicPayload::new(panic))),
        };
        leave(this.group, *this.stage);
        *this.stage = Stage::Ended;
        match judged {
            Ok(value) => {
                this.group.child_ended();
                Poll::Ready(Some(value))
            }
            Err(failure) => {
                this.group.child_failed(failure);
                Poll::Ready(None)
            }
        }
    }
}
