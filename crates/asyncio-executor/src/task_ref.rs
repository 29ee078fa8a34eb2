//! A reference to a task of any type.

use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::Waker;

use crate::await_edges::{AwaitEdge, AwaitNode, Awaited, add_by_hand, discard_by_hand, edges_of};
use crate::cancel::{CancelledError, request};
use crate::context::{self, Context};
use crate::local::Local;
use crate::meta::{Meta, flag};
use crate::shared::Remote;
use crate::task::{TaskInfo, add_done_callback};

/// A task without the right to its outcome: what `current_task()` and `all_tasks()` give.
///
/// Holding one keeps the task's memory, not the task, alive. asyncio: `Task`, seen from elsewhere.
#[derive(Clone)]
pub struct TaskRef {
    meta: NonNull<Meta>,
    /// A waker of the task: its reference is what keeps `meta` alive.
    _claim: Waker,
    /// The metadata's cells belong to one thread.
    _here: std::marker::PhantomData<Rc<()>>,
}

impl TaskRef {
    /// # Safety
    ///
    /// `claim` is a waker of the task `meta` belongs to.
    unsafe fn new(meta: &Meta, claim: Waker) -> TaskRef {
        TaskRef {
            meta: NonNull::from(meta),
            _claim: claim,
            _here: std::marker::PhantomData,
        }
    }

    /// A reference to a living task; `None` for one that has ended.
    pub(crate) fn of(meta: &Meta) -> Option<TaskRef> {
        let local = Local::of(meta.shared)?;
        if local.is_current(meta) {
            return TaskRef::current(local);
        }
        if meta.is_done() {
            return None;
        }
        if !meta.has_waker() {
            local.keep_new_tasks(usize::MAX);
        }
        let claim = meta.clone_waker()?;
        // SAFETY: the metadata's own waker.
        Some(unsafe { TaskRef::new(meta, claim) })
    }

    /// The task being stepped.
    pub(crate) fn current(local: &Local) -> Option<TaskRef> {
        let meta = local.current_meta()?;
        let claim = local.current_waker()?.clone();
        // SAFETY: `Root::poll` sets the waker of the step, and `Local::step` the metadata of the same runnable.
        Some(unsafe { TaskRef::new(meta, claim) })
    }

    pub(crate) fn meta(&self) -> &Meta {
        // SAFETY: the claim keeps the allocation alive.
        unsafe { self.meta.as_ref() }
    }

    /// Requests that the task end, see [`Task::cancel`](crate::Task::cancel).
    pub fn cancel(&self) -> bool {
        request::request(self.meta(), CancelledError::new())
    }

    /// The same with a message (S60).
    pub fn cancel_with(&self, message: &str) -> bool {
        request::request(self.meta(), CancelledError::with_message(message))
    }

    /// How many requests were made and not taken back.
    pub fn cancelling(&self) -> u32 {
        self.meta().cancelling()
    }

    /// Takes one request back, see [`Task::uncancel`](crate::Task::uncancel).
    pub fn uncancel(&self) -> u32 {
        request::uncancel(self.meta())
    }

    /// Whether it has ended.
    pub fn done(&self) -> bool {
        self.meta().is_done()
    }

    /// Whether it ended cancelled.
    pub fn cancelled(&self) -> bool {
        self.meta().has(flag::CANCELLED)
    }

    /// The context it runs in; asyncio: `get_context`. Made now if it has no variables.
    pub fn context(&self) -> Context {
        self.meta().context()
    }

    /// A handle of its executor for other threads.
    pub fn remote(&self) -> Remote {
        // SAFETY: a metadata keeps it alive.
        unsafe { Remote::new(self.meta().shared) }
    }

    /// Whether it ended by a panic.
    pub fn panicked(&self) -> bool {
        self.meta().has(flag::PANICKED)
    }

    /// Its name.
    pub fn get_name(&self) -> String {
        self.meta().name()
    }

    /// Gives it another name.
    pub fn set_name(&self, name: &str) {
        self.meta().set_name(name);
    }

    /// Its number, unique in the process.
    pub fn id(&self) -> u64 {
        self.meta().id()
    }

    /// The number of the task that spawned it.
    pub fn parent_id(&self) -> Option<u64> {
        self.meta().parent()
    }

    /// Where it was spawned.
    pub fn spawn_location(&self) -> &'static Location<'static> {
        self.meta().location()
    }

    /// Number, name, place and parent as plain data.
    pub fn info(&self) -> TaskInfo {
        TaskInfo::of(self.meta())
    }

    /// What it waits for, as far as that is tasks and promises; empty for one that has ended.
    pub fn awaits(&self) -> Vec<AwaitEdge> {
        edges_of(self.meta())
    }

    /// Shows that it waits for something, which nobody would see otherwise; asyncio: `future_add_to_awaited_by`.
    ///
    /// For awaitables of one's own that are driven by a task or promise and not by polling it. It has no part in
    /// cancellation. Twice is the same as once; the edge goes with [`discard_awaited`](TaskRef::discard_awaited), or when
    /// this task ends. Nothing happens if it has ended.
    ///
    /// ```
    /// use asyncio_executor::{AwaitNode, Executor, current_task, spawn};
    ///
    /// Executor::new().run(async {
    ///     let worker = spawn(std::future::pending::<()>());
    ///     let me = current_task().unwrap();
    ///     me.add_awaited(&worker);
    ///     assert_eq!(me.awaits()[0].on, [worker.await_node()]);
    ///     me.discard_awaited(&worker);
    ///     assert!(me.awaits().is_empty());
    ///     worker.cancel();
    /// }).unwrap();
    /// ```
    pub fn add_awaited(&self, what: &dyn AwaitNode) {
        add_by_hand(self.meta(), what.await_node());
    }

    /// Takes back what [`add_awaited`](TaskRef::add_awaited) showed; nothing if that is not there.
    pub fn discard_awaited(&self, what: &dyn AwaitNode) {
        discard_by_hand(self.meta(), what.await_node());
    }

    /// Runs a callback when the task has ended, see [`Task::add_done_callback`](crate::Task::add_done_callback).
    pub fn add_done_callback(&self, callback: impl FnOnce() + 'static) -> u64 {
        add_done_callback(self.meta(), context::copy_current(), callback)
    }

    /// The same for a callback that runs in the given context itself, see
    /// [`Task::add_done_callback_in`](crate::Task::add_done_callback_in).
    pub fn add_done_callback_in(
        &self,
        context: &Context,
        callback: impl FnOnce() + 'static,
    ) -> u64 {
        add_done_callback(self.meta(), Some(context.clone()), callback)
    }

    /// Drops a callback that was not queued yet.
    pub fn remove_done_callback(&self, id: u64) -> bool {
        self.meta().remove_done_callback(id)
    }
}

impl AwaitNode for TaskRef {
    fn await_node(&self) -> Awaited {
        Awaited::Task(self.id())
    }
}

impl PartialEq for TaskRef {
    fn eq(&self, other: &TaskRef) -> bool {
        self.meta == other.meta
    }
}

impl Eq for TaskRef {}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskRef({})", self.info())
    }
}
