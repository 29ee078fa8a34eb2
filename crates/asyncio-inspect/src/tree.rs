//! `pstree`: who waits for whom, as a tree.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::fmt;

use asyncio_executor::{Awaited, TaskState};

use crate::links::Links;
use crate::report::{
    LoopReport, LoopState, ProcessReport, StackFrame, TaskReport, ThreadReport, printable,
    state_word,
};
use crate::stack::frame_line;

/// The tree of one loop; from [`build_async_tree`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AsyncTree {
    /// The thread of the loop.
    pub thread: ThreadReport,
    /// Whether the loop turns.
    pub state: LoopState,
    /// The nodes from top to bottom: each is followed by what it waits for.
    pub nodes: Vec<TreeNode>,
    /// How many further tasks were left out, because there were too many.
    pub left_out: usize,
}

/// A line of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TreeNode {
    /// How deep it lies: 0 for a task that no task waits for.
    pub depth: usize,
    /// Whether it is the last one of its parent.
    pub last: bool,
    /// By what its parent waits for it; empty at depth 0.
    pub label: String,
    /// What it is.
    pub kind: NodeType,
}

/// What a node of a tree is; asyncio: `NodeType`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeType {
    /// A task.
    Task {
        /// Its number.
        id: u64,
        /// Its name.
        name: String,
        /// What it is about.
        state: TaskState,
        /// Where it was spawned.
        spawned_at: String,
        /// By which calls it waits, innermost first, if that was asked for.
        stacks: Vec<Vec<StackFrame>>,
    },
    /// A task that was shown further up, with what it waits for.
    Above {
        /// Its number.
        id: u64,
        /// Its name.
        name: String,
    },
    /// Something that is no task.
    Other,
    /// What lies deeper is not shown.
    Deeper,
}

/// Tasks wait for each other in a circle; asyncio: `CycleFoundException` (S250).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CycleFound {
    /// Each circle: the tasks in it by number and name, each waiting for the next one and the last for the first. The
    /// first few, if there are many.
    pub cycles: Vec<Vec<(u64, String)>>,
}

impl fmt::Display for CycleFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tasks wait for each other in a circle, so none of them can go on until one is cancelled:")?;
        for cycle in &self.cycles {
            f.write_str("\n  ")?;
            for (id, name) in cycle {
                write!(f, "{} [{id}] → ", printable(name))?;
            }
            if let Some((id, name)) = cycle.first() {
                write!(f, "{} [{id}]", printable(name))?;
            }
        }
        Ok(())
    }
}

impl Error for CycleFound {}

/// Deeper nodes are left out: a line is as wide as its depth.
const DEEPEST: usize = 100;
/// So many circles are told of.
const MOST_CYCLES: usize = 10;

/// A tree for each loop: every task below the one that waits for it; asyncio: `build_async_tree` (S250).
///
/// # Errors
///
/// [`CycleFound`] if tasks wait for each other in a circle, which would be a tree without a root.
///
/// # Examples
///
/// ```
/// use asyncio_executor::Awaited;
/// use asyncio_inspect::tools::{LoopReport, ProcessReport, TaskReport, ThreadReport, build_async_tree};
///
/// let task = |id, name: &str, awaited| TaskReport::new(id, name, "main.rs:3:5").awaiting("task", [Awaited::Task(awaited)]);
/// let thread = ThreadReport::new("main", 4711);
/// let tasks = LoopReport::new(thread, vec![task(1, "a", 2), task(2, "b", 1)]);
/// let error = build_async_tree(&ProcessReport::new(4711, vec![tasks])).unwrap_err();
/// assert!(error.to_string().ends_with("a [1] → b [2] → a [1]"));
/// ```
pub fn build_async_tree(report: &ProcessReport) -> Result<Vec<AsyncTree>, CycleFound> {
    let links = Links::of(report);
    let cycles = find_cycles(report, &links);
    if !cycles.is_empty() {
        return Err(CycleFound { cycles });
    }
    let mut shown = HashSet::new();
    let trees = report
        .loops
        .iter()
        .map(|report| AsyncTree {
            thread: report.thread.clone(),
            state: report.state.clone(),
            nodes: nodes(report, &links, &mut shown),
            left_out: report.left_out,
        })
        .collect();
    Ok(trees)
}

/// A node that is still to be put down.
struct Next<'a> {
    depth: usize,
    last: bool,
    label: &'a str,
    what: Option<&'a TaskReport>,
}

fn nodes<'a>(report: &'a LoopReport, links: &Links<'a>, shown: &mut HashSet<u64>) -> Vec<TreeNode> {
    let mut nodes = Vec::new();
    let is_root = |task: &&TaskReport| links.awaited_by(task).is_empty();
    let roots: Vec<&TaskReport> = report.tasks.iter().filter(is_root).collect();
    let mut stack: Vec<Next<'_>> = Vec::new();
    let last = roots.len();
    for (at, task) in roots.into_iter().enumerate().rev() {
        stack.push(Next {
            depth: 0,
            last: at + 1 == last,
            label: "",
            what: Some(task),
        });
    }
    while let Some(next) = stack.pop() {
        let mut put = |kind| {
            nodes.push(TreeNode {
                depth: next.depth,
                last: next.last,
                label: next.label.to_owned(),
                kind,
            });
        };
        let Some(task) = next.what else {
            put(NodeType::Other);
            continue;
        };
        if next.depth >= DEEPEST {
            put(NodeType::Deeper);
            continue;
        }
        let (id, name) = (task.id, task.name.clone());
        if !shown.insert(id) {
            put(NodeType::Above { id, name });
            continue;
        }
        put(NodeType::Task {
            id,
            name,
            state: task.state,
            spawned_at: task.spawned_at.clone(),
            stacks: task.stacks.clone(),
        });
        let is_task = |awaited: &Awaited| matches!(awaited, Awaited::Task(_));
        let others = task
            .awaits
            .iter()
            .filter(|edge| !edge.on.iter().any(is_task))
            .map(|edge| (&*edge.label, None));
        let below = links.awaited(task).into_iter();
        let below: Vec<_> = below
            .map(|(label, task)| (label, Some(task)))
            .chain(others)
            .collect();
        let last = below.len();
        for (at, (label, what)) in below.into_iter().enumerate().rev() {
            stack.push(Next {
                depth: next.depth + 1,
                last: at + 1 == last,
                label,
                what,
            });
        }
    }
    nodes
}

/// Goes down from every task, with a stack of its own: a chain of tasks may be as long as it likes.
fn find_cycles(report: &ProcessReport, links: &Links<'_>) -> Vec<Vec<(u64, String)>> {
    let mut cycles = Vec::new();
    // Where on the path a task is; `None` when it was left.
    let mut places: HashMap<u64, Option<usize>> = HashMap::new();
    for top in report.loops.iter().flat_map(|report| &report.tasks) {
        if places.contains_key(&top.id) {
            continue;
        }
        places.insert(top.id, Some(0));
        let mut path = vec![(top, links.awaited(top).into_iter())];
        while let Some((_, below)) = path.last_mut() {
            let Some((_, task)) = below.next() else {
                if let Some((task, _)) = path.pop() {
                    places.insert(task.id, None);
                }
                continue;
            };
            match places.get(&task.id) {
                None => {
                    places.insert(task.id, Some(path.len()));
                    path.push((task, links.awaited(task).into_iter()));
                }
                Some(None) => {}
                Some(Some(from)) => {
                    let cycle = path[*from..].iter();
                    cycles.push(
                        cycle
                            .map(|(task, _)| (task.id, task.name.clone()))
                            .collect(),
                    );
                    if cycles.len() == MOST_CYCLES {
                        return cycles;
                    }
                }
            }
        }
    }
    cycles
}

/// A tree as text.
pub fn format_async_tree(tree: &AsyncTree) -> String {
    let mut text = format!("{}: the loop {}\n", tree.thread, tree.state);
    // For each depth whether the parents there have siblings below.
    let mut open: Vec<bool> = Vec::new();
    let indent = |text: &mut String, open: &[bool]| {
        for open in open {
            text.push_str(if *open { "│   " } else { "    " });
        }
    };
    let mut nodes = tree.nodes.iter().peekable();
    while let Some(node) = nodes.next() {
        open.truncate(node.depth);
        indent(&mut text, &open);
        text.push_str(if node.last {
            "└── "
        } else {
            "├── "
        });
        open.push(!node.last);
        if !node.label.is_empty() {
            text.push_str(&printable(&node.label));
            if node.kind != NodeType::Other {
                text.push_str(": ");
            }
        }
        match &node.kind {
            NodeType::Task {
                id,
                name,
                state,
                spawned_at,
                stacks,
            } => {
                text.push_str(&format!(
                    "{} [{id}] {}, spawned at {}",
                    printable(name),
                    state_word(*state),
                    printable(spawned_at)
                ));
                let below = nodes.peek().is_some_and(|next| next.depth > node.depth);
                for frame in stacks.iter().flatten() {
                    text.push('\n');
                    indent(&mut text, &open);
                    text.push_str(if below { "│   " } else { "    " });
                    text.push_str(&frame_line(frame));
                }
            }
            NodeType::Above { id, name } => {
                text.push_str(&format!("{} [{id}], see above", printable(name)));
            }
            NodeType::Other => {}
            NodeType::Deeper => text.push('…'),
        }
        text.push('\n');
    }
    if tree.left_out > 0 {
        text.push_str(&format!("and {} further tasks\n", tree.left_out));
    }
    text
}
