//! Task groups: no child outlives the block.

use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_executor::{
    AwaitNode, Awaited, Awaits, CancelledError, ExceptionContext, Handle, TaskBuilder, TaskRef,
    Watch, Watched, cancelling, catch_cancelled, current_task, is_entered, report, spawn, uncancel,
};
use slab::Slab;

use crate::exception_group::{ExceptionGroup, GroupError};
use crate::group_builder::GroupTaskBuilder;
use crate::group_task::{Child, ChildOutput, Fallible, GroupTask, Judge, Nested, Plain};
use crate::request::Request;

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
///         let other = group.spawn(std::future::pending::<()>());
///         other.await; // cancelled here, because its sibling failed
///         Ok(())
///     })
///     .await;
///     assert_eq!(failed.unwrap_err().to_string(), "1 failure in a task group\n└── -1 is negative");
/// });
/// ```
///
/// Clones are the same group: a child may take one along and add children of its own.
///
/// Children are tasks and own what they use. Children that borrow from the caller are for [`scope`](crate::scope()).
pub struct TaskGroup<E: 'static> {
    state: Rc<State<E>>,
}

pub(crate) struct State<E: 'static> {
    /// Children that have not ended.
    running: Cell<usize>,
    /// Children that have ended and whose callback is queued: the group hears of it one turn later (S135).
    unheard: Cell<usize>,
    /// The children that have suspended. One that has not begun is in the ready queue only, and looks at `aborting`
    /// when its turn comes; one that ends in its first step costs the group no more than two counts.
    suspended: RefCell<Slab<TaskRef>>,
    errors: RefCell<Vec<GroupError<E>>>,
    /// The children were asked to end; no more are taken in.
    aborting: Cell<bool>,
    /// By [`TaskGroup::cancel`], not by a failure.
    cancelled: Cell<bool>,
    /// What the group does, its body or the wait for its children, is to be asked to end (S117).
    body_asked: Cell<bool>,
    /// What it was asked, to be taken back.
    asked: Cell<Option<Request>>,
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
                running: Cell::new(0),
                unheard: Cell::new(0),
                suspended: RefCell::new(Slab::new()),
                errors: RefCell::new(Vec::new()),
                aborting: Cell::new(false),
                cancelled: Cell::new(false),
                body_asked: Cell::new(false),
                asked: Cell::new(None),
                closed: Cell::new(false),
                waker: RefCell::new(None),
            }),
        };
        let state = &group.state;
        let abandon = Abandon(state);
        let mut watch = Watch::new();
        let ended = match state.run_body(body(&group), &mut watch).await {
            // The panic that says so: outside of a loop nobody would ever tell of a child's end.
            Err(panic) if !is_entered() => resume_unwind(panic),
            ended => ended,
        };

        let mut outside = match &ended {
            Ok(Err(cancelled)) => Some(cancelled.clone()),
            _ => None,
        };
        if !matches!(ended, Ok(Ok(Ok(_)))) {
            state.abort();
        }
        while state.live() > 0 {
            if let Err(cancelled) = state.as_scope(state.children_ended(), &mut watch).await
                && !state.aborting.get()
            {
                outside = Some(cancelled);
                state.abort();
            }
            // S128: a request that comes while the group aborts already shows in the count only.
        }
        drop(watch);
        // S127: what the group asked of its own task it takes back; if nobody else asked, it ends here.
        let asked = state.asked.take();
        let by_us = asked.is_some();
        if asked.is_some_and(|mut request| request.take_back() == Some(0)) {
            outside = None;
        }
        drop(abandon);

        let mut errors = state.errors.take();
        let value = match ended {
            Err(panic) => resume_unwind(panic),
            Ok(Ok(Ok(value))) => Some(value),
            Ok(Ok(Err(error))) => {
                errors.push(GroupError::of(error));
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
            (None, None) if by_us && state.cancelled.get() => {
                Err(ExceptionGroup::new(vec![GroupError::Cancelled]))
            }
            // The body was cancelled and nobody asked: it raised by itself, which goes on outwards.
            (None, None) => CancelledError::new().propagate().await,
        }
    }

    /// Adds a child that returns a `Result` with the group's error type; an `Err` or a panic makes the group fail.
    ///
    /// Some plain values (numbers, text, collections) are taken too; [`spawn`](TaskGroup::spawn) takes any.
    ///
    /// When the group is ending already, the future is dropped unrun and the child counts as cancelled (S129).
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    #[inline]
    #[track_caller]
    pub fn create_task<F>(&self, future: F) -> GroupTask<<F::Output as ChildOutput<E>>::Value>
    where
        F: Future + 'static,
        F::Output: ChildOutput<E>,
    {
        self.add::<F, Fallible>(future)
    }

    /// Adds a child that returns a plain value of any type. A `Result` is a value like any other here: only a panic
    /// makes the group fail.
    ///
    /// When the group is ending already, the future is dropped unrun and the child counts as cancelled (S129).
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_tasks::TaskGroup;
    ///
    /// struct Page(String);
    ///
    /// asyncio_runtime::run(async {
    ///     let length = TaskGroup::<String>::scope(async |group| {
    ///         let page = group.spawn(async { Page("<html>".to_owned()) });
    ///         Ok(page.await.0.len())
    ///     });
    ///     assert_eq!(length.await.unwrap(), 6);
    /// });
    /// ```
    #[inline]
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> GroupTask<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.add::<F, Plain>(future)
    }

    /// Adds a child that runs a group of its own with the same error type: its failure becomes a
    /// [group in the group](GroupError::Group).
    ///
    /// When the group is ending already, the future is dropped unrun and the child counts as cancelled (S129).
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_tasks::TaskGroup;
    ///
    /// asyncio_runtime::run(async {
    ///     let failed = TaskGroup::<&str>::scope(async |outer| {
    ///         outer.spawn_group(TaskGroup::scope(async |inner| {
    ///             inner.create_task(async { Err::<(), _>("deep") });
    ///             Ok(())
    ///         }));
    ///         Ok(())
    ///     })
    ///     .await
    ///     .unwrap_err();
    ///     assert_eq!(failed.leaves().count(), 1);
    ///     assert_eq!(failed.to_string().lines().count(), 3);
    /// });
    /// ```
    #[track_caller]
    pub fn spawn_group<F, T>(&self, future: F) -> GroupTask<T>
    where
        F: Future<Output = Result<T, ExceptionGroup<E>>> + 'static,
        T: 'static,
    {
        self.add::<F, Nested>(future)
    }

    #[inline]
    #[track_caller]
    fn add<F, J>(&self, future: F) -> GroupTask<J::Value>
    where
        F: Future + 'static,
        J: Judge<F::Output, E>,
    {
        let state = &self.state;
        if state.aborting.get() || state.closed.get() {
            return GroupTask::refused();
        }
        // Counted first: on a closing loop the child ends inside `spawn`.
        state.running.set(state.running.get() + 1);
        GroupTask::new(spawn(Child::<F, J, E>::new(future, state.clone())))
    }

    #[track_caller]
    pub(crate) fn add_with<F, J>(&self, task: TaskBuilder, future: F) -> GroupTask<J::Value>
    where
        F: Future + 'static,
        J: Judge<F::Output, E>,
    {
        let state = &self.state;
        if state.aborting.get() || state.closed.get() {
            return GroupTask::refused();
        }
        state.running.set(state.running.get() + 1);
        GroupTask::new(task.spawn(Child::<F, J, E>::new(future, state.clone())))
    }

    /// Options for one child: its name, its context, whether it starts at once; asyncio: the keyword arguments of
    /// `TaskGroup.create_task`.
    pub fn builder(&self) -> GroupTaskBuilder<'_, E> {
        GroupTaskBuilder::new(self)
    }

    /// Ends the group early: asks every child and the body to end; asyncio 3.15: `TaskGroup.cancel`.
    ///
    /// The block waits for all of them as ever, and then raises nothing: [`scope`](TaskGroup::scope) gives the body's
    /// value if it has one (it had ended before, or swallowed the request), or else an error that
    /// [is cancelled](ExceptionGroup::is_cancelled). Children that fail in their cleanup come out as failures. Without
    /// effect on a group that is ending already.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_tasks::TaskGroup;
    ///
    /// asyncio_runtime::run(async {
    ///     let found = TaskGroup::<()>::scope(async |group| {
    ///         for n in 0..10 {
    ///             let group = group.clone();
    ///             group.clone().spawn(async move {
    ///                 asyncio_timers::sleep(0.001 * f64::from(n + 1)).await;
    ///                 group.cancel(); // the first one ends the search
    ///             });
    ///         }
    ///         Ok("found")
    ///     });
    ///     assert_eq!(found.await.unwrap(), "found");
    /// });
    /// ```
    pub fn cancel(&self) {
        let state = &self.state;
        if state.closed.get() || state.aborting.get() {
            return;
        }
        state.cancelled.set(true);
        state.abort();
        state.ask_body();
    }

    /// How many children have not ended.
    pub fn live(&self) -> usize {
        self.state.live()
    }
}

impl<E: 'static> State<E> {
    /// The body up to its end: its panic goes through the group as well.
    async fn run_body<T>(
        self: &Rc<Self>,
        body: impl Future<Output = Result<T, E>>,
        watch: &mut Watch,
    ) -> BodyEnd<T, E> {
        let mut body = pin!(self.as_scope(body, watch));
        poll_fn(
            |cx| match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(ended)) => Poll::Ready(Ok(ended)),
                Err(panic) => Poll::Ready(Err(panic)),
            },
        )
        .await
    }

    /// Polls what the group does as a scope, and asks it to end when a child failed.
    ///
    /// Meanwhile `watch` shows the children as awaited by the task that polls (S248).
    async fn as_scope<T>(
        self: &Rc<Self>,
        body: impl Future<Output = T>,
        watch: &mut Watch,
    ) -> Result<T, CancelledError> {
        let mut body = pin!(catch_cancelled(body));
        poll_fn(|cx| {
            self.watch(cx);
            watch.set("TaskGroup", || Watched::Live(self.clone()));
            loop {
                if self.body_asked.take() {
                    self.asked.set(Some(Request::count()));
                    let _polled_at_once = body.as_mut().request(CancelledError::new());
                }
                match body.as_mut().poll(cx) {
                    // The body asked itself to end: it hears of it where it suspends (S50).
                    Poll::Pending if self.body_asked.get() => {}
                    polled => return polled,
                }
            }
        })
        .await
    }

    async fn children_ended(&self) {
        poll_fn(|_| match self.live() {
            0 => Poll::Ready(()),
            _ => Poll::Pending,
        })
        .await;
    }

    fn live(&self) -> usize {
        self.running.get() + self.unheard.get()
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

    #[inline]
    pub(crate) fn is_aborting(&self) -> bool {
        self.aborting.get()
    }

    /// A child, the current task, suspends for the first time: the group can ask it to end from now on.
    ///
    /// Returns its place, unless there is no task: a loop that closes.
    #[inline]
    pub(crate) fn child_suspends(&self) -> Option<usize> {
        let task = current_task()?;
        if self.aborting.get() {
            // In its own first step.
            task.cancel();
        }
        Some(self.suspended.borrow_mut().insert(task))
    }

    /// The child in this place will have ended in a moment.
    #[inline]
    pub(crate) fn child_leaves(&self, place: usize) {
        let task = self.suspended.borrow_mut().try_remove(place);
        drop(task);
    }

    /// A child has ended, and not by a failure.
    ///
    /// In asyncio each child has a done callback. A callback that would only count down is not queued here: what it
    /// does cannot be seen while others run. The last one's can.
    #[inline]
    pub(crate) fn child_ended(self: &Rc<Self>) {
        self.running.set(self.running.get() - 1);
        if self.running.get() == 0 {
            self.hear(None);
        }
    }

    /// A child has failed.
    pub(crate) fn child_failed(self: &Rc<Self>, failure: GroupError<E>) {
        self.running.set(self.running.get() - 1);
        self.hear(Some(failure));
    }

    /// Queues the done callback of a child (S135).
    #[cold]
    fn hear(self: &Rc<Self>, failure: Option<GroupError<E>>) {
        self.unheard.set(self.unheard.get() + 1);
        let state = self.clone();
        Handle::unscheduled(move || state.heard(failure)).schedule();
    }

    fn heard(&self, failure: Option<GroupError<E>>) {
        self.unheard.set(self.unheard.get() - 1);
        match failure {
            None => {}
            Some(GroupError::Panicked(panic)) if self.closed.get() => {
                report(ExceptionContext::panic(
                    "a task of a group that was dropped panicked",
                    panic.into_inner(),
                    None,
                    None,
                ));
            }
            Some(_) if self.closed.get() => report(ExceptionContext::new(format!(
                "a task of a group that was dropped failed, and nobody is left to be given its error, a `{}`",
                type_name::<E>()
            ))),
            Some(failure) => {
                self.errors.borrow_mut().push(failure);
                if !self.aborting.get() {
                    self.abort();
                    self.ask_body();
                }
            }
        }
        if self.live() == 0 {
            self.wake();
        }
    }

    fn ask_body(&self) {
        self.body_asked.set(true);
        self.wake();
    }

    /// Asks every child to end, in the order of creation (S118).
    fn abort(&self) {
        if self.aborting.replace(true) {
            return;
        }
        // Copied: a request may run code of the user's (the hooks of a future that is cancelled), which may look at the
        // group.
        let mut tasks: Vec<TaskRef> = {
            let suspended = self.suspended.borrow();
            suspended.iter().map(|(_, task)| task.clone()).collect()
        };
        tasks.sort_by_key(TaskRef::id);
        for task in tasks {
            task.cancel();
        }
    }
}

impl<E: 'static> Awaits for State<E> {
    fn each_awaited(&self, each: &mut dyn FnMut(Awaited)) {
        if let Ok(suspended) = self.suspended.try_borrow() {
            suspended
                .iter()
                .for_each(|(_, task)| each(task.await_node()));
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
        let asked = self.0.asked.take();
        drop(asked);
        if self.0.live() > 0 {
            self.0.abort();
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
