//! The handle of a task, and how tasks are made.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use async_task::{Builder, Runnable};

use crate::await_edges::{AwaitNode, Awaited, JoinEdge};
use crate::cancel::raise::raise_here;
use crate::cancel::request;
use crate::cancel::scopes::ForwardScope;
use crate::cancel::{CancelledError, TaskError};
use crate::context;
use crate::local::{Local, schedule};
use crate::meta::{Meta, flag};
use crate::root::{Outcome, Root, report_unseen};
use crate::run_queue::Entry;
use crate::shared::Remote;
use crate::task_builder::TaskFactory;
use crate::task_ref::TaskRef;

/// A task: a future the executor drives, and the right to its outcome; asyncio: `Task`.
///
/// - `task.await` gives `Result<T, TaskError>`. While it waits, a request to the awaiting task is passed on to this
///   task, and the await ends when this task has (S62 to S64).
/// - `(&mut task).await` gives the same but passes nothing on: the task is somebody else's.
/// - Dropping it lets the task run on by itself. A panic nobody can look at any more is then reported to the
///   executor's exception handler.
///
/// Once the outcome was taken by reference the handle is spent: [`done`](Task::done) is true, anything else that is asked
/// of it panics, as the task is gone.
///
/// A task stays on its thread, and so do its handles:
///
/// ```compile_fail
/// fn must_be_send<T: Send>() {}
/// must_be_send::<asyncio_executor::Task<()>>();
/// ```
#[must_use = "a dropped `Task` runs on unobserved; call `detach()` to say so, or await it"]
pub struct Task<T> {
    /// `None` only after the outcome was taken or the handle given up.
    raw: Option<async_task::Task<Outcome<T>, Meta>>,
    /// The metadata's cells belong to one thread.
    _here: PhantomData<Rc<()>>,
}

impl<T> Task<T> {
    fn meta(&self) -> &Meta {
        match &self.raw {
            Some(raw) => raw.metadata(),
            None => panic!(
                "`Task` used after its outcome was taken: ask it before, or keep a `TaskRef`"
            ),
        }
    }

    /// Requests that the task end (S43). False if it has ended already; true otherwise, also when repeated.
    ///
    /// Runs none of the task's code: the task hears of it where it waits, when its turn comes (S44). It may clean up,
    /// with awaits, and may even go on; one that was never stepped is dropped unpolled (S45).
    pub fn cancel(&self) -> bool {
        request::request(self.meta(), CancelledError::new())
    }

    /// The same with a message, which the `CancelledError` carries (S60).
    pub fn cancel_with(&self, message: &str) -> bool {
        request::request(self.meta(), CancelledError::with_message(message))
    }

    /// How many requests were made and not taken back (S53).
    pub fn cancelling(&self) -> u32 {
        self.meta().cancelling()
    }

    /// Takes one request back and returns how many are left; at 0 a request nobody took yet is withdrawn (S56).
    pub fn uncancel(&self) -> u32 {
        request::uncancel(self.meta())
    }

    /// Whether it has ended; true also after the outcome was taken.
    pub fn done(&self) -> bool {
        let raw = self.raw.as_ref();
        raw.is_none_or(|raw| raw.metadata().is_done())
    }

    /// Whether it ended cancelled (S46).
    pub fn cancelled(&self) -> bool {
        self.meta().has(flag::CANCELLED)
    }

    /// Whether it ended by a panic. What [`try_take`](Task::try_take) would say, without taking it.
    pub fn panicked(&self) -> bool {
        self.meta().has(flag::PANICKED)
    }

    /// The context it runs in; asyncio: `get_context`. Made now if it has no variables.
    pub fn context(&self) -> crate::Context {
        self.meta().context()
    }

    /// A handle of its executor for other threads.
    pub fn remote(&self) -> Remote {
        // SAFETY: a metadata keeps it alive.
        unsafe { Remote::new(self.meta().shared) }
    }

    /// Its name: the one given, or `Task-N` (S40).
    pub fn get_name(&self) -> String {
        self.meta().name()
    }

    /// Names it and gives the handle back: `create_task(work()).name("worker")`.
    pub fn name(self, name: &str) -> Task<T> {
        self.set_name(name);
        self
    }

    /// Gives it another name.
    pub fn set_name(&self, name: &str) {
        self.meta().set_name(name);
    }

    /// Its number, unique in the process.
    pub fn id(&self) -> u64 {
        self.meta().id()
    }

    /// Where it was spawned.
    pub fn spawn_location(&self) -> &'static Location<'static> {
        self.meta().location()
    }

    /// Runs a callback when the task has ended, through the ready queue, never at once (S24).
    ///
    /// It runs in a copy of the context that is current now (S245).
    ///
    /// Returns an id for [`remove_done_callback`](Task::remove_done_callback). On a task that has ended the callback
    /// is queued right away (S25), and the id is 0.
    pub fn add_done_callback(&self, callback: impl FnOnce() + 'static) -> u64 {
        add_done_callback(self.meta(), context::copy_current(), callback)
    }

    /// The same for a callback that runs in the given context itself, not in a copy of the current one; asyncio:
    /// `add_done_callback(…, context=…)` (S246).
    pub fn add_done_callback_in(
        &self,
        context: &crate::Context,
        callback: impl FnOnce() + 'static,
    ) -> u64 {
        add_done_callback(self.meta(), Some(context.clone()), callback)
    }

    /// Drops a callback that was not queued yet. False if the id is unknown (S26).
    pub fn remove_done_callback(&self, id: u64) -> bool {
        self.meta().remove_done_callback(id)
    }

    /// The outcome, if it has ended; otherwise the handle comes back.
    pub fn try_take(mut self) -> Result<Result<T, TaskError>, Task<T>> {
        if self.done()
            && let Poll::Ready(outcome) = self.poll_outcome(&mut Context::from_waker(Waker::noop()))
        {
            return Ok(outcome);
        }
        Err(self)
    }

    /// The outcome, if it has ended; it stays the handle's, to be taken or awaited later.
    ///
    /// ```
    /// use asyncio_executor::{Executor, spawn, yield_now};
    ///
    /// Executor::new().run(async {
    ///     let mut task = spawn(async { Err::<(), _>("failed") });
    ///     assert!(task.peek().is_none());
    ///     yield_now().await;
    ///     assert!(matches!(task.peek(), Some(Ok(Err("failed")))));
    ///     assert_eq!(task.await.unwrap(), Err("failed"));
    /// }).unwrap();
    /// ```
    pub fn peek(&mut self) -> Option<&Result<T, TaskError>> {
        if !self.done() {
            return None;
        }
        if !self.meta().has(flag::SEEN)
            && let Some(raw) = &mut self.raw
            && let Poll::Ready(outcome) =
                Pin::new(raw).poll(&mut Context::from_waker(Waker::noop()))
        {
            let seen = Seen::new(outcome.map_err(|error| *error));
            let meta = self.meta();
            meta.with_new_extra(|extra| extra.seen = Some(seen));
            meta.set(flag::SEEN);
        }
        let seen = self.meta().with_extra(|extra| {
            let seen = extra.seen.as_ref()?;
            // SAFETY: `Seen::new` was given a value of this type by this very handle, of which there is one. It stays
            // where it is until the handle takes it out, for which it must be borrowed or owned again.
            Some(unsafe { seen.get::<Result<T, TaskError>>().as_ref() })
        });
        seen.flatten()
    }

    /// The outcome that [`peek`](Task::peek) has laid aside.
    #[cold]
    fn take_seen(meta: &Meta) -> Option<Result<T, TaskError>> {
        meta.unset(flag::SEEN);
        let seen = meta.with_extra(|extra| extra.seen.take()).flatten()?;
        // SAFETY: as in `peek`; it is out of its place, so this is the only one who has it.
        Some(unsafe { seen.into::<Result<T, TaskError>>() })
    }

    /// Lets it run on by itself: the same as dropping the handle, said in a word.
    pub fn detach(self) {}

    /// A reference without the right to the outcome: for lists of tasks, and for cancelling from elsewhere.
    ///
    /// For a task that was never stepped this looks through the whole ready queue once.
    pub fn as_ref(&self) -> Option<TaskRef> {
        TaskRef::of(self.meta())
    }

    /// Looks for the outcome, and takes it if it is there; afterwards the handle is spent.
    ///
    /// The leaf under `.await` and under everything that awaits tasks its own way. Passes no request on.
    pub fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, TaskError>> {
        let Some(raw) = &mut self.raw else {
            panic!("`Task` polled after its outcome was taken");
        };
        if raw.metadata().has(flag::SEEN)
            && let Some(outcome) = Task::take_seen(raw.metadata())
        {
            if let Some(raw) = self.raw.take() {
                raw.detach();
            }
            return Poll::Ready(outcome);
        }
        match Pin::new(raw).poll(cx) {
            Poll::Pending => {
                if Local::current().is_some_and(|local| local.is_current(self.meta())) {
                    panic!(
                        "a task cannot await itself: it would wait for its own end for ever (S39)"
                    );
                }
                Poll::Pending
            }
            Poll::Ready(outcome) => {
                // Its output is out; what is left of the cell goes here. Not dropped: that would try to cancel first.
                if let Some(raw) = self.raw.take() {
                    raw.detach();
                }
                Poll::Ready(outcome.map_err(|error| *error))
            }
        }
    }
}

/// What can be made a task: a future, or a task that exists; asyncio: the argument of `ensure_future`.
pub trait IntoTask {
    /// What the task gives.
    type Output;

    /// Spawns a future on the current executor; a task comes back as it is.
    ///
    /// # Panics
    ///
    /// For a future, where no executor is entered on this thread.
    #[track_caller]
    fn into_task(self) -> Task<Self::Output>;
}

impl<F> IntoTask for F
where
    F: Future + 'static,
    F::Output: 'static,
{
    type Output = F::Output;

    #[track_caller]
    fn into_task(self) -> Task<F::Output> {
        crate::spawn(self)
    }
}

impl<T> IntoTask for Task<T> {
    type Output = T;

    fn into_task(self) -> Task<T> {
        self
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        let Some(raw) = self.raw.take() else {
            return;
        };
        let meta = raw.metadata();
        if meta.has(flag::SEEN) {
            let outcome = Task::<T>::take_seen(meta);
            raw.detach();
            return drop(outcome);
        }
        if meta.has(flag::PANICKED) {
            return drop_panicked(raw);
        }
        if !meta.is_done() {
            meta.set(flag::DETACHED);
        }
        // Not dropped: async-task's own drop would cancel.
        raw.detach();
    }
}

/// An outcome that was looked at, without its type: beside the handle and not in it, as few handles ever look.
pub(crate) struct Seen(NonNull<()>);

impl Seen {
    fn new<O>(outcome: O) -> Seen {
        Seen(NonNull::from(Box::leak(Box::new(outcome))).cast())
    }

    fn get<O>(&self) -> NonNull<O> {
        self.0.cast()
    }

    /// # Safety
    ///
    /// `O` is the type it was made with.
    unsafe fn into<O>(self) -> O {
        // SAFETY: `new` boxed a value of this type, and `self` is used up.
        unsafe { *Box::from_raw(self.0.cast::<O>().as_ptr()) }
    }
}

/// Nobody can look at the panic any more.
#[cold]
fn drop_panicked<T>(mut raw: async_task::Task<Outcome<T>, Meta>) {
    if let Poll::Ready(Err(error)) =
        Pin::new(&mut raw).poll(&mut Context::from_waker(Waker::noop()))
    {
        match Local::of(raw.metadata().shared) {
            Some(local) => report_unseen(local, raw.metadata(), &error),
            None => crate::exception::ExceptionContext::error(
                "a task panicked and nobody awaited it",
                &*error,
            )
            .print(),
        }
    }
}

impl<T> AwaitNode for Task<T> {
    fn await_node(&self) -> Awaited {
        Awaited::Task(self.id())
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.raw {
            Some(raw) => write!(f, "Task({})", TaskInfo::of(raw.metadata())),
            None => f.write_str("Task(outcome taken)"),
        }
    }
}

impl<T> IntoFuture for Task<T> {
    type Output = Result<T, TaskError>;
    type IntoFuture = Join<T>;

    fn into_future(self) -> Join<T> {
        Join {
            scope: ForwardScope::new(),
            task: self,
            raised: false,
        }
    }
}

impl<'a, T> IntoFuture for &'a mut Task<T> {
    type Output = Result<T, TaskError>;
    type IntoFuture = JoinRef<'a, T>;

    fn into_future(self) -> JoinRef<'a, T> {
        JoinRef {
            edge: JoinEdge::new(),
            task: self,
        }
    }
}

/// Future of `task.await`: waits for the end, and passes a request on to the task (S62 to S64).
///
/// # Cancel safety
///
/// A request to the awaiting task goes on to the awaited one; this await then ends when that task has: raised on if it
/// ended cancelled, its value if it returned one. Dropping the future lets the task run on by itself.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Join<T> {
    // Before `task`: the scope refers to the task's metadata and must leave the tree first.
    scope: ForwardScope,
    task: Task<T>,
    raised: bool,
}

impl<T> Join<T> {
    /// The task that is awaited.
    ///
    /// # Panics
    ///
    /// After the await has ended.
    pub fn task(&self) -> &Task<T> {
        &self.task
    }
}

impl<T> Future for Join<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.raised {
            return Poll::Pending;
        }
        let raise = match this.scope.take_request() {
            Some(request) => request,
            None => match this.task.poll_outcome(cx) {
                Poll::Ready(outcome) => match (outcome, this.scope.finish()) {
                    // S62: it ended as it was asked to through this await, so the request goes on from here.
                    (Err(TaskError::Cancelled(error)), Some(_)) => error,
                    (outcome, _) => return Poll::Ready(outcome),
                },
                Poll::Pending => {
                    let meta: *const Meta = this.task.meta();
                    // SAFETY: `this.task` keeps the metadata alive, and the field order drops the scope first.
                    unsafe { this.scope.suspend_on_task(cx, meta) };
                    return Poll::Pending;
                }
            },
        };
        this.raised = true;
        raise_here(raise);
        Poll::Pending
    }
}

/// Future of `(&mut task).await`: waits for the end, and passes nothing on.
///
/// # Cancel safety
///
/// Cancelled or dropped, it leaves the task and its outcome alone; the handle can be awaited again. After it gave the
/// outcome the handle is spent.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct JoinRef<'a, T> {
    /// Shows what is awaited.
    edge: JoinEdge,
    task: &'a mut Task<T>,
}

impl<T> Future for JoinRef<'_, T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let polled = this.task.poll_outcome(cx);
        match polled {
            Poll::Pending => this.edge.set(this.task.meta()),
            Poll::Ready(_) => this.edge.unset(),
        }
        polled
    }
}

/// The context is that of the registration (S245).
pub(crate) fn add_done_callback(
    meta: &Meta,
    context: Option<crate::Context>,
    callback: impl FnOnce() + 'static,
) -> u64 {
    let call = crate::callback::once(callback, context, meta.location());
    if !meta.is_done() {
        return meta.add_done_callback(call);
    }
    if let Some(local) = Local::of(meta.shared) {
        local.push(Entry::Call(call));
    }
    0
}

#[cold]
fn start_oddly(local: &Local, runnable: Runnable<Meta>, how: Launch) {
    let meta = runnable.metadata();
    // S243; S246 for one that was given.
    if let Some(context) = how.context.or_else(context::copy_current) {
        meta.set_context(context);
    }
    if let Some(name) = how.name {
        meta.set_name(&name);
    }
    if local.is_closing() {
        meta.set(flag::CLOSING);
        return local.step(runnable);
    }
    let eager = how
        .eager
        .unwrap_or(local.task_factory() == TaskFactory::Eager);
    // S242: where the loop does not run the first step is scheduled.
    if eager && local.is_running() {
        // S237: within this call, with `current_task()` being the new one.
        local.step(runnable);
    } else {
        local.push_task(runnable);
    }
}

/// What is known of a task, as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where it was spawned.
    pub spawned_at: &'static Location<'static>,
    /// The task that spawned it.
    pub parent: Option<u64>,
}

impl TaskInfo {
    /// The name of a task that was given none (S40).
    pub(crate) fn default_name(id: u64) -> String {
        format!("Task-{id}")
    }

    pub(crate) fn of(meta: &Meta) -> TaskInfo {
        TaskInfo {
            id: meta.id(),
            name: meta.name(),
            spawned_at: meta.location(),
            parent: meta.parent(),
        }
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} spawned at {}", self.name, self.spawned_at)
    }
}

/// Makes the task and queues its first step (S35).
///
/// On a closed or closing executor the future is dropped at once and the task has ended cancelled.
#[inline]
pub(crate) fn spawn<F>(
    local: &Local,
    future: F,
    location: &'static Location<'static>,
) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    launch(local, future, location, Launch::default())
}

/// How to start a task.
#[derive(Default)]
pub(crate) struct Launch {
    /// The context itself; a copy of the current one if `None`.
    pub(crate) context: Option<crate::Context>,
    /// Whether the first step runs at once; as the executor's factory says if `None`.
    pub(crate) eager: Option<bool>,
    pub(crate) name: Option<Box<str>>,
}

impl Launch {
    #[inline]
    fn is_odd(&self) -> bool {
        self.context.is_some() || self.name.is_some() || self.eager == Some(true)
    }
}

#[inline(always)] // The usual `spawn` asks for nothing, and then nothing of that is left.
pub(crate) fn launch<F>(
    local: &Local,
    future: F,
    location: &'static Location<'static>,
    how: Launch,
) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let parent = local.current_meta().map_or(0, Meta::id);
    let meta = Meta::new(local.shared, location, local.next_id(), parent);
    local.count_new_meta();
    // SAFETY:
    // - The future and its output need not be `Send`: the runnable is run on the loop's thread only (`Local::step`),
    //   foreign threads push it home or forget it (`Shared::send_home`), and before the loop goes it ends every task
    //   (`Executor::close`). The output is reached through `Task`, which is `!Send`.
    // - Both are 'static.
    // - `schedule` is a function item: `Send`, `Sync`, 'static.
    // - The metadata may be dropped on any thread, see `Meta`.
    let (runnable, raw) = unsafe {
        Builder::new()
            .metadata(meta)
            .spawn_unchecked(move |_| Root::new(future), schedule)
    };
    local.count_spawned();
    if local.spawns_oddly() || how.is_odd() {
        start_oddly(local, runnable, how);
    } else {
        local.push_task(runnable);
    }
    Task {
        raw: Some(raw),
        _here: PhantomData,
    }
}
