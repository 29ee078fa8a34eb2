//! What is known of a process, as plain data.

use std::fmt;
use std::time::Duration;

use asyncio_executor::{Activity, Awaited, TaskSnapshot, TaskState};

/// The loops of a process, as they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessReport {
    /// Its number.
    pub pid: u32,
    /// Its loops, in the order in which they were made.
    pub loops: Vec<LoopReport>,
}

/// One event loop and its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoopReport {
    /// The thread it belongs to.
    pub thread: ThreadReport,
    /// Whether it turns.
    pub state: LoopState,
    /// Its tasks, oldest first; none are known of a loop that does not turn.
    pub tasks: Vec<TaskReport>,
    /// How many further tasks were left out, because there were too many.
    pub left_out: usize,
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThreadReport {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its number with the system; 0 where that has none.
    pub id: u32,
}

/// Whether a loop turns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoopState {
    /// It answers.
    Turning,
    /// It does not answer because one step or callback has been going on for so long.
    Stuck {
        /// How long.
        since: Duration,
        /// What the thread does meanwhile.
        doing: ThreadState,
        /// In what.
        inside: Occupation,
    },
    /// It does not answer because nobody runs it, for so long.
    NotRun {
        /// How long.
        since: Duration,
    },
}

/// What a thread is about, as far as the system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThreadState {
    /// It computes.
    Busy,
    /// It sits in a call that blocks.
    Blocked,
    /// It was stopped, by a signal or a debugger.
    Stopped,
    /// The system does not tell.
    Unknown,
}

/// What keeps a loop from turning.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Occupation {
    /// A step of a task.
    Task {
        /// Its number.
        id: u64,
        /// Its name.
        name: String,
        /// Where it was spawned.
        spawned_at: String,
    },
    /// A callback.
    Callback {
        /// Where it was scheduled.
        scheduled_at: String,
    },
    /// A waker of somebody's.
    Waker,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskReport {
    /// Its number, unique in the process.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Where it was spawned.
    pub spawned_at: String,
    /// What it is about.
    pub state: TaskState,
    /// The task that spawned it.
    pub parent: Option<u64>,
    /// Requests for its cancellation not taken back.
    pub cancelling: u32,
    /// What it waits for, as far as that is tasks and promises.
    pub awaits: Vec<EdgeReport>,
    /// By which calls it waits, innermost first: one stack for each place where it does. Only if they were asked for.
    pub stacks: Vec<Vec<StackFrame>>,
}

/// A call by which a task waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackFrame {
    /// The function, without type arguments; for those of this runtime the module. Empty for an `async fn` of a program
    /// without full debug information.
    pub function: String,
    /// Where in its source; empty for those of this runtime, and in a program without debug information.
    pub place: String,
}

/// One reason why a task waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EdgeReport {
    /// By what: `task`, `Future`, `gather`, `shield`, `wait`, `TaskGroup`, …
    pub label: String,
    /// For what.
    pub on: Vec<Awaited>,
}

/// The longest text that is taken over: names and labels may be a stranger's.
const LONGEST_TEXT: usize = 256;

impl ProcessReport {
    /// One that is put together by hand, as tests do.
    pub fn new(pid: u32, loops: Vec<LoopReport>) -> ProcessReport {
        ProcessReport { pid, loops }
    }
}

impl LoopReport {
    /// A loop that turns, with these tasks.
    pub fn new(thread: ThreadReport, tasks: Vec<TaskReport>) -> LoopReport {
        LoopReport {
            thread,
            state: LoopState::Turning,
            tasks,
            left_out: 0,
        }
    }
}

impl ThreadReport {
    /// A thread by name and number.
    pub fn new(name: &str, id: u32) -> ThreadReport {
        ThreadReport {
            name: short(name),
            id,
        }
    }
}

impl TaskReport {
    /// A task that waits for nothing known.
    pub fn new(id: u64, name: &str, spawned_at: &str) -> TaskReport {
        TaskReport {
            id,
            name: short(name),
            spawned_at: short(spawned_at),
            state: TaskState::Waiting,
            parent: None,
            cancelling: 0,
            awaits: Vec::new(),
            stacks: Vec::new(),
        }
    }

    /// The same, waiting for these.
    pub fn awaiting(mut self, label: &str, on: impl IntoIterator<Item = Awaited>) -> TaskReport {
        self.awaits.push(EdgeReport {
            label: short(label),
            on: on.into_iter().collect(),
        });
        self
    }
}

impl StackFrame {
    /// A call of a function at a place.
    pub fn new(function: &str, place: &str) -> StackFrame {
        StackFrame {
            function: short(function),
            place: short(place),
        }
    }
}

impl From<&TaskSnapshot> for TaskReport {
    fn from(task: &TaskSnapshot) -> TaskReport {
        let info = &task.info;
        let awaits = task.awaits.iter().map(|edge| EdgeReport {
            label: short(edge.label),
            on: edge.on.clone(),
        });
        TaskReport {
            state: task.state,
            parent: info.parent,
            cancelling: task.cancelling,
            awaits: awaits.collect(),
            ..TaskReport::new(info.id, &info.name, &info.spawned_at.to_string())
        }
    }
}

impl Occupation {
    /// What an executor that does not answer is in; `None` if in nothing.
    pub(crate) fn of(activity: &Activity) -> Option<Occupation> {
        Some(match activity {
            Activity::Task(info) => Occupation::Task {
                id: info.id,
                name: short(&info.name),
                spawned_at: short(&info.spawned_at.to_string()),
            },
            Activity::Callback(place) => Occupation::Callback {
                scheduled_at: short(&place.to_string()),
            },
            Activity::Waker => Occupation::Waker,
            _ => return None,
        })
    }
}

impl fmt::Display for LoopState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoopState::Turning => f.write_str("turns"),
            LoopState::NotRun { since } => {
                write!(f, "nobody has run it for {:.1} s", since.as_secs_f64())
            }
            LoopState::Stuck {
                since,
                doing,
                inside,
            } => {
                write!(
                    f,
                    "has not turned for {:.1} s, in {inside}",
                    since.as_secs_f64()
                )?;
                match doing {
                    ThreadState::Busy => f.write_str(
                        ", which computes: give the others a turn with `sleep(0)`, or move it to `to_thread`",
                    ),
                    ThreadState::Blocked => f.write_str(
                        ", which sits in a call that blocks: await instead, or move it to `to_thread`",
                    ),
                    ThreadState::Stopped => f.write_str(", in a thread that was stopped"),
                    ThreadState::Unknown => Ok(()),
                }
            }
        }
    }
}

impl fmt::Display for Occupation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Occupation::Task {
                id,
                name,
                spawned_at,
            } => write!(
                f,
                "{} [{id}] spawned at {}",
                printable(name),
                printable(spawned_at)
            ),
            Occupation::Callback { scheduled_at } => {
                write!(f, "a callback scheduled at {}", printable(scheduled_at))
            }
            Occupation::Waker => f.write_str("a waker"),
        }
    }
}

impl fmt::Display for ThreadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.name {
            "" => write!(f, "thread {}", self.id),
            name => write!(f, "thread {} ({})", self.id, printable(name)),
        }
    }
}

/// The word for a state.
pub(crate) fn state_word(state: TaskState) -> &'static str {
    match state {
        TaskState::Running => "running",
        TaskState::Ready => "ready",
        TaskState::Waiting => "waiting",
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Text of another process on its way to a terminal: without what a terminal would act on.
pub(crate) fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}
