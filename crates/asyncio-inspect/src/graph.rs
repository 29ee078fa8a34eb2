//! Who awaits a task, from within the program; asyncio: `asyncio.graph`.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt::{self, Write as _};
use std::io;
use std::panic::Location;

use asyncio_executor::{
    AwaitNode, Awaited, TaskInfo, TaskRef, TaskSnapshot, TaskState, current_task, is_entered,
    snapshot,
};

/// What [`capture_call_graph`] tells of.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallGraphOptions {
    /// How many of the innermost entries of the first call stack are left out.
    pub depth: usize,
    /// How many entries a call stack has at most, from the outermost on; `None` for all. With 0 there are no call
    /// stacks, and who awaits is told all the same (S249).
    pub limit: Option<usize>,
}

impl CallGraphOptions {
    /// Everything.
    pub fn new() -> CallGraphOptions {
        CallGraphOptions::default()
    }

    /// Leaves out so many of the innermost entries of the first call stack.
    pub fn depth(mut self, depth: usize) -> CallGraphOptions {
        self.depth = depth;
        self
    }

    /// At most so many entries in a call stack, from the outermost on.
    pub fn limit(mut self, limit: usize) -> CallGraphOptions {
        self.limit = Some(limit);
        self
    }
}

/// A task or promise, and who awaits it; asyncio: `FutureCallGraph`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FutureCallGraph {
    /// What it is.
    pub future: Awaited,
    /// The task, unless it is none or has ended.
    pub task: Option<TaskInfo>,
    /// Where the task hangs, innermost first. Not the calls between, which a suspended Rust future does not show: by what
    /// it waits, as far as that leads to tasks and promises, and where it was spawned.
    pub call_stack: Vec<FrameCallGraphEntry>,
    /// Who awaits it, oldest first. A task that was told of before is not told again, and has nobody here.
    pub awaited_by: Vec<FutureCallGraph>,
}

/// A place in a call stack; asyncio: `FrameCallGraphEntry`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameCallGraphEntry {
    /// Where in the program, if that is known.
    pub location: Option<&'static Location<'static>>,
    /// By what it waits there: `gather`, `TaskGroup`, `task`, …; `spawned` for the outermost.
    pub label: &'static str,
}

/// There is no running loop whose tasks could be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRunningLoop;

impl fmt::Display for NoRunningLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no running event loop: a call graph can be captured inside `asyncio::run(async { … })` only",
        )
    }
}

impl Error for NoRunningLoop {}

/// A chain of awaiters is followed so far.
const DEEPEST: usize = 256;

/// Who awaits a task or promise, or, given `None`, the current task; asyncio: `capture_call_graph`.
///
/// `Ok(None)` in a plain callback, where there is no current task (S249). For a task of another thread's loop the graph
/// is empty.
///
/// # Errors
///
/// [`NoRunningLoop`] outside of one.
///
/// # Examples
///
/// ```
/// use asyncio_inspect::graph::{CallGraphOptions, capture_call_graph};
/// use asyncio_tasks::TaskGroup;
///
/// asyncio_runtime::run(async {
///     TaskGroup::<()>::scope(async |group| {
///         group.spawn(async {
///             asyncio_executor::yield_now().await;
///             let graph = capture_call_graph(None, &CallGraphOptions::new()).unwrap().unwrap();
///             let parent = &graph.awaited_by[0];
///             assert_eq!(parent.call_stack[0].label, "TaskGroup");
///         });
///         Ok(())
///     })
///     .await
///     .unwrap();
/// });
/// ```
pub fn capture_call_graph(
    of: Option<&dyn AwaitNode>,
    options: &CallGraphOptions,
) -> Result<Option<FutureCallGraph>, NoRunningLoop> {
    if !is_entered() {
        return Err(NoRunningLoop);
    }
    let node = match of {
        Some(node) => node.await_node(),
        None => match current_task() {
            Some(task) => task.await_node(),
            None => return Ok(None),
        },
    };
    let tasks = snapshot(usize::MAX).tasks;
    let mut awaiters: HashMap<Awaited, Vec<&TaskSnapshot>> = HashMap::new();
    for task in &tasks {
        for awaited in task.awaits.iter().flat_map(|edge| &edge.on) {
            let known = awaiters.entry(*awaited).or_default();
            if known.last().is_none_or(|last| last.info.id != task.info.id) {
                known.push(task);
            }
        }
    }
    let mut capture = Capture {
        awaiters,
        told: HashSet::from([node]),
        limit: options.limit,
    };
    let task = tasks
        .iter()
        .find(|task| node == Awaited::Task(task.info.id));
    let mut graph = capture.graph(node, task, 0);
    let left_out = options.depth.min(graph.call_stack.len());
    graph.call_stack.drain(..left_out);
    Ok(Some(graph))
}

/// Shows in call graphs that a task waits for a task or promise; asyncio: `future_add_to_awaited_by`.
///
/// For awaitables of one's own: what is awaited by tasks, promises, `gather`, groups and the like is seen by itself. The
/// edge is there once, however often it is added, until [`future_discard_from_awaited_by`] or the end of the waiter, which
/// is always a task here. For a waiter that has ended nothing happens. Cancellation does not go along it.
///
/// # Examples
///
/// ```
/// use asyncio_executor::{current_task, spawn};
/// use asyncio_inspect::graph::{
///     CallGraphOptions, capture_call_graph, future_add_to_awaited_by, future_discard_from_awaited_by,
/// };
///
/// asyncio_runtime::run(async {
///     let worker = spawn(std::future::pending::<()>());
///     let me = current_task().unwrap();
///     future_add_to_awaited_by(&worker, &me);
///     let graph = capture_call_graph(Some(&worker), &CallGraphOptions::new()).unwrap().unwrap();
///     assert_eq!(graph.awaited_by[0].task.as_ref().unwrap().id, me.id());
///     future_discard_from_awaited_by(&worker, &me);
///     let graph = capture_call_graph(Some(&worker), &CallGraphOptions::new()).unwrap().unwrap();
///     assert!(graph.awaited_by.is_empty());
///     worker.cancel();
/// });
/// ```
pub fn future_add_to_awaited_by(future: &dyn AwaitNode, waiter: &TaskRef) {
    waiter.add_awaited(future);
}

/// Takes back what [`future_add_to_awaited_by`] showed; asyncio: `future_discard_from_awaited_by`.
///
/// Nothing happens if it is not there. Edges of other making are left alone.
pub fn future_discard_from_awaited_by(future: &dyn AwaitNode, waiter: &TaskRef) {
    waiter.discard_awaited(future);
}

struct Capture<'a> {
    awaiters: HashMap<Awaited, Vec<&'a TaskSnapshot>>,
    told: HashSet<Awaited>,
    limit: Option<usize>,
}

impl Capture<'_> {
    fn graph(
        &mut self,
        node: Awaited,
        task: Option<&TaskSnapshot>,
        depth: usize,
    ) -> FutureCallGraph {
        let awaiters = match depth {
            DEEPEST => Vec::new(),
            _ => self.awaiters.get(&node).cloned().unwrap_or_default(),
        };
        let awaited_by = awaiters
            .into_iter()
            .map(|awaiter| {
                let node = Awaited::Task(awaiter.info.id);
                // Where tasks await each other in a circle this is its end.
                let below = if self.told.insert(node) {
                    depth + 1
                } else {
                    DEEPEST
                };
                self.graph(node, Some(awaiter), below)
            })
            .collect();
        let mut call_stack = task.map(call_stack).unwrap_or_default();
        if let Some(limit) = self.limit {
            call_stack.drain(..call_stack.len().saturating_sub(limit));
        }
        FutureCallGraph {
            future: node,
            task: task.map(|task| task.info.clone()),
            call_stack,
            awaited_by,
        }
    }
}

fn call_stack(task: &TaskSnapshot) -> Vec<FrameCallGraphEntry> {
    let running = (task.state == TaskState::Running).then_some("running");
    let waits = task.awaits.iter().map(|edge| edge.label);
    running
        .into_iter()
        .chain(waits)
        .map(|label| FrameCallGraphEntry {
            location: None,
            label,
        })
        .chain([FrameCallGraphEntry {
            location: Some(task.info.spawned_at),
            label: "spawned",
        }])
        .collect()
}

/// The same as text; asyncio: `format_call_graph`. Empty in a plain callback (S249).
///
/// # Errors
///
/// As [`capture_call_graph`].
pub fn format_call_graph(
    of: Option<&dyn AwaitNode>,
    options: &CallGraphOptions,
) -> Result<String, NoRunningLoop> {
    let graph = capture_call_graph(of, options)?;
    Ok(graph.map(|graph| graph.to_string()).unwrap_or_default())
}

/// The same, written somewhere, with a line break at its end; asyncio: `print_call_graph`.
///
/// # Errors
///
/// Those of the writer; [`NoRunningLoop`] inside an [`io::Error`] of kind `Other`.
///
/// # Examples
///
/// ```
/// use asyncio_inspect::graph::{CallGraphOptions, print_call_graph};
///
/// asyncio_runtime::run(async {
///     let mut out = Vec::new();
///     print_call_graph(None, &CallGraphOptions::new(), &mut out).unwrap();
///     assert!(out.starts_with(b"* Task(name='Task-"));
/// });
/// ```
pub fn print_call_graph(
    of: Option<&dyn AwaitNode>,
    options: &CallGraphOptions,
    mut out: impl io::Write,
) -> io::Result<()> {
    let text = format_call_graph(of, options).map_err(io::Error::other)?;
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}

impl fmt::Display for FutureCallGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &mut String::new(), true)
    }
}

impl FutureCallGraph {
    fn write(&self, f: &mut fmt::Formatter<'_>, indent: &mut String, first: bool) -> fmt::Result {
        if !first {
            f.write_char('\n')?;
        }
        match (&self.task, &self.future) {
            (Some(task), _) => write!(f, "{indent}* Task(name='{}', id={})", task.name, task.id)?,
            (None, Awaited::Task(id)) => write!(f, "{indent}* Task(ended, id={id})")?,
            (None, _) => write!(f, "{indent}* Future")?,
        }
        if !self.call_stack.is_empty() {
            write!(f, "\n{indent}  + Call stack:")?;
        }
        for entry in &self.call_stack {
            match entry.location {
                Some(place) => write!(f, "\n{indent}  |   {} at {place}", entry.label)?,
                None => write!(f, "\n{indent}  |   {}", entry.label)?,
            }
        }
        if !self.awaited_by.is_empty() {
            write!(f, "\n{indent}  + Awaited by:")?;
            let length = indent.len();
            indent.push_str("    ");
            for awaiter in &self.awaited_by {
                awaiter.write(f, indent, false)?;
            }
            indent.truncate(length);
        }
        Ok(())
    }
}
