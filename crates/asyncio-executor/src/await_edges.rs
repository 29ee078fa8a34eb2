//! What a task waits for, read off its scopes when somebody asks.
//!
//! Nothing is kept for it where a request for cancellation has to find the same thing anyway: an awaited task, a promise,
//! a `gather` have a scope that leads there. What passes no request on (a shield, a `wait`) and what has children beside
//! its body (a group) leaves a [`Watch`]; `(&mut task).await`, the commonest of these, two numbers in a table.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;

use slab::Slab;

use crate::cancel::scopes::Scopes;
use crate::executor::oldest_tasks_on;
use crate::local::Local;
use crate::meta::Meta;
use crate::task::TaskInfo;
use crate::task_ref::TaskRef;

/// Something that is awaited: a node of the await graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Awaited {
    /// A task, by its number.
    Task(u64),
    /// A promise, by a number that no other one has at the same time.
    Future(usize),
}

/// One reason why a task waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AwaitEdge {
    /// By what: `task`, `Future`, `gather`, `shield`, `wait`, `TaskGroup`, …
    pub label: &'static str,
    /// For what; things that have ended may be among it.
    pub on: Vec<Awaited>,
}

/// What can be asked who awaits it: a task, by whatever handle, and a promise.
///
/// ```
/// use asyncio_executor::{AwaitNode, Awaited, Executor, spawn};
///
/// Executor::new().run(async {
///     let task = spawn(async {});
///     assert_eq!(task.await_node(), Awaited::Task(task.id()));
/// }).unwrap();
/// ```
pub trait AwaitNode {
    /// Its place in the graph.
    fn await_node(&self) -> Awaited;
}

impl<N: AwaitNode + ?Sized> AwaitNode for &N {
    fn await_node(&self) -> Awaited {
        (**self).await_node()
    }
}

impl<N: AwaitNode + ?Sized> AwaitNode for &mut N {
    fn await_node(&self) -> Awaited {
        (**self).await_node()
    }
}

/// Something that knows at any time what is awaited through it, for a [`Watch`].
pub trait Awaits {
    /// Calls `each` with everything that is awaited.
    fn each_awaited(&self, each: &mut dyn FnMut(Awaited));
}

/// What a [`Watch`] shows.
pub enum Watched {
    /// One thing.
    One(Awaited),
    /// Several.
    Many(Vec<Awaited>),
    /// What this says when it is asked.
    Live(Rc<dyn Awaits>),
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Watched::One(one) => write!(f, "One({one:?})"),
            Watched::Many(many) => write!(f, "Many({many:?})"),
            Watched::Live(_) => f.write_str("Live"),
        }
    }
}

/// Shows that a task waits for something, for as long as this lives: for futures that pass no request on.
///
/// It has no part in cancellation.
///
/// ```
/// use asyncio_executor::{AwaitNode, Executor, Watch, Watched, current_task, spawn, yield_now};
///
/// Executor::new().run(async {
///     let other = spawn(std::future::pending::<()>());
///     let node = other.await_node();
///     let waiter = spawn(async move {
///         let mut watch = Watch::new();
///         watch.set("example", || Watched::One(node));
///         std::future::pending::<()>().await;
///     });
///     yield_now().await;
///     let edges = waiter.as_ref().unwrap().awaits();
///     assert_eq!((edges[0].label, &edges[0].on[..]), ("example", &[node][..]));
///     waiter.cancel();
///     other.cancel();
/// }).unwrap();
/// ```
#[derive(Default)]
pub struct Watch {
    place: Option<(Rc<Scopes>, usize)>,
}

impl Watch {
    /// One that shows nothing yet.
    pub const fn new() -> Watch {
        Watch { place: None }
    }

    /// From now on the task being stepped is shown to wait for this. To be called where a poll is about to return
    /// `Pending`; `what` is asked once for each task that polls.
    pub fn set(&mut self, label: &'static str, what: impl FnOnce() -> Watched) {
        let task = Local::current().and_then(Local::current_meta);
        if let Some((scopes, _)) = &self.place {
            if task.is_some_and(|task| scopes.are_of(task)) {
                return;
            }
            self.unset();
        }
        if let Some(task) = task {
            let scopes = task.scopes();
            let entry = Entry {
                label,
                what: what(),
                by_hand: false,
            };
            let key = scopes.watches.borrow_mut().insert(entry);
            self.place = Some((scopes, key));
        }
    }

    /// It waits no longer.
    pub fn unset(&mut self) {
        if let Some((scopes, key)) = self.place.take() {
            // Not there when the task has ended. Dropped with no borrow held.
            let entry = scopes.watches.borrow_mut().try_remove(key);
            drop(entry);
        }
    }
}

impl Drop for Watch {
    #[inline]
    fn drop(&mut self) {
        if self.place.is_some() {
            self.unset();
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("set", &self.place.is_some())
            .finish()
    }
}

/// A [`Watch`] in the task's table.
pub(crate) struct Entry {
    label: &'static str,
    what: Watched,
    /// Added by [`TaskRef::add_awaited`](crate::TaskRef::add_awaited): no [`Watch`] takes it away.
    by_hand: bool,
}

impl Entry {
    fn is_by_hand(&self, node: Awaited) -> bool {
        self.by_hand && matches!(self.what, Watched::One(one) if one == node)
    }

    /// What is to be asked with no borrow of the table held: it may be a user's code.
    pub(crate) fn ask(&self) -> Box<dyn FnOnce() -> AwaitEdge> {
        let label = self.label;
        match &self.what {
            Watched::One(one) => {
                let on = vec![*one];
                Box::new(move || AwaitEdge { label, on })
            }
            Watched::Many(many) => {
                let on = many.clone();
                Box::new(move || AwaitEdge { label, on })
            }
            Watched::Live(live) => {
                let live = live.clone();
                Box::new(move || {
                    let mut on = Vec::new();
                    live.each_awaited(&mut |awaited| on.push(awaited));
                    AwaitEdge { label, on }
                })
            }
        }
    }
}

/// Shows that a task waits for something, once, until it ends or this is taken back.
pub(crate) fn add_by_hand(task: &Meta, node: Awaited) {
    if task.is_done() {
        return;
    }
    let scopes = task.scopes();
    let mut watches = scopes.watches.borrow_mut();
    if watches.iter().all(|(_, entry)| !entry.is_by_hand(node)) {
        watches.insert(Entry {
            label: "awaitable",
            what: Watched::One(node),
            by_hand: true,
        });
    }
}

/// Takes it back; nothing if it is not there.
pub(crate) fn discard_by_hand(task: &Meta, node: Awaited) {
    if let Some(scopes) = task.existing_scopes() {
        let mut watches = scopes.watches.borrow_mut();
        // A number alone: nothing of a user's is dropped within the borrow.
        watches.retain(|_, entry| !entry.is_by_hand(node));
    }
}

thread_local! {
    /// Who awaits whom by `(&mut task).await`, by number, on all executors of the thread.
    static JOINS: RefCell<Slab<Join>> = const { RefCell::new(Slab::new()) };
}

struct Join {
    awaiter: u64,
    awaited: u64,
}

/// A table that had more places than this gives them back when it is empty.
const KEEP: usize = 1024;

/// What a [`Watch`] is, for a task that awaits one other task: no allocation, and nothing of the task is touched.
///
/// Stays on its thread, as the handle does that is awaited.
#[derive(Debug, Default)]
pub(crate) struct JoinEdge {
    /// Its place in the table, counted from 1; 0 for none.
    place: usize,
}

impl JoinEdge {
    pub(crate) const fn new() -> JoinEdge {
        JoinEdge { place: 0 }
    }

    /// From now on the task being stepped is shown to wait for this one.
    #[inline]
    pub(crate) fn set(&mut self, awaited: &Meta) {
        let Some(task) = Local::current().and_then(Local::current_meta) else {
            return self.unset();
        };
        let awaiter = task.id();
        // Fails only where the thread ends, and nobody looks any more.
        let _ = JOINS.try_with(|joins| {
            let mut joins = joins.borrow_mut();
            match self.place {
                0 => {
                    let awaited = awaited.id();
                    self.place = joins.insert(Join { awaiter, awaited }) + 1;
                }
                // Another task may poll it now.
                place => joins[place - 1].awaiter = awaiter,
            }
        });
    }

    /// It waits no longer.
    #[inline]
    pub(crate) fn unset(&mut self) {
        if self.place != 0 {
            self.leave();
        }
    }

    #[inline(never)]
    fn leave(&mut self) {
        let place = std::mem::take(&mut self.place);
        let _ = JOINS.try_with(|joins| {
            let mut joins = joins.borrow_mut();
            joins.remove(place - 1);
            if joins.is_empty() && joins.capacity() > KEEP {
                *joins = Slab::new();
            }
        });
    }
}

impl Drop for JoinEdge {
    #[inline]
    fn drop(&mut self) {
        self.unset();
    }
}

/// What these tasks await by `(&mut task).await`, each with the number of its awaiter.
fn joins(of: impl Fn(u64) -> bool) -> Vec<(u64, AwaitEdge)> {
    let found = JOINS.try_with(|joins| {
        let joins = joins.borrow();
        let asked = joins.iter().filter(|(_, join)| of(join.awaiter));
        let edges = asked.map(|(_, join)| {
            let edge = AwaitEdge {
                label: "task",
                on: vec![Awaited::Task(join.awaited)],
            };
            (join.awaiter, edge)
        });
        edges.collect()
    });
    found.unwrap_or_default()
}

/// What one task waits for; nothing once it has ended.
pub(crate) fn edges_of(task: &Meta) -> Vec<AwaitEdge> {
    let number = task.id();
    let joins = joins(|awaiter| awaiter == number).into_iter();
    edges_with(task, joins.map(|(_, edge)| edge).collect())
}

fn edges_with(task: &Meta, joins: Vec<AwaitEdge>) -> Vec<AwaitEdge> {
    if task.is_done() {
        // The future of such an await may be kept by somebody else.
        return Vec::new();
    }
    let scopes = task.existing_scopes();
    let mut edges = scopes.map(|scopes| scopes.edges()).unwrap_or_default();
    edges.extend(joins);
    edges
}

/// What a task is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It is being stepped.
    Running,
    /// It is in the ready queue.
    Ready,
    /// It has suspended and nobody has woken it.
    Waiting,
}

/// A task as it stands, as plain data; from [`snapshot`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskSnapshot {
    /// Its number, name, place and parent.
    pub info: TaskInfo,
    /// What it is about.
    pub state: TaskState,
    /// Requests for its cancellation not taken back.
    pub cancelling: u32,
    /// What it waits for. What it waits for otherwise (a lock, time, a socket) is not known.
    pub awaits: Vec<AwaitEdge>,
}

/// The tasks of an executor, or so many of them as were asked for; from [`snapshot`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Snapshot {
    /// The tasks, oldest first.
    pub tasks: Vec<TaskSnapshot>,
    /// How many others there are.
    pub left_out: usize,
}

/// The tasks of the current executor that have not ended, but no more than `limit`: those that have waited longest. None
/// where no executor is entered.
///
/// However many tasks there are, what is made is bounded by `limit`. Of the others it takes a look at those in the ready
/// queue, which is far less than a turn, and at two numbers each of those that await a task by reference.
///
/// A child of a group, or a task that is waited for, is shown so from its first suspension on, as before that it was
/// not looked at by anybody.
///
/// ```
/// use asyncio_executor::{Executor, TaskState, snapshot, spawn, yield_now};
///
/// Executor::new().run(async {
///     let child = spawn(std::future::pending::<()>());
///     yield_now().await;
///     let tasks = snapshot(usize::MAX).tasks;
///     assert_eq!(tasks.len(), 2);
///     assert_eq!((tasks[0].state, tasks[1].state), (TaskState::Running, TaskState::Waiting));
///     assert_eq!(tasks[1].info.parent, Some(tasks[0].info.id));
///     assert_eq!(snapshot(1).left_out, 1);
///     child.cancel();
/// }).unwrap();
/// ```
pub fn snapshot(limit: usize) -> Snapshot {
    let Some(local) = Local::current() else {
        return Snapshot::default();
    };
    let tasks = oldest_tasks_on(local, limit);
    let left_out = local.living().saturating_sub(tasks.len());
    let told: HashSet<u64> = tasks.iter().map(TaskRef::id).collect();
    let ready = local.ready_among(&told);
    let mut joined: HashMap<u64, Vec<AwaitEdge>> = HashMap::new();
    for (awaiter, edge) in joins(|awaiter| told.contains(&awaiter)) {
        joined.entry(awaiter).or_default().push(edge);
    }
    let tasks = tasks.iter().map(|task| TaskSnapshot {
        info: task.info(),
        state: if local.is_current(task.meta()) {
            TaskState::Running
        } else if ready.contains(&task.id()) {
            TaskState::Ready
        } else {
            TaskState::Waiting
        },
        cancelling: task.cancelling(),
        awaits: edges_with(task.meta(), joined.remove(&task.id()).unwrap_or_default()),
    });
    Snapshot {
        tasks: tasks.collect(),
        left_out,
    }
}
