//! What is asked: the cells (one child process each) and the rows they fill.

use std::fmt;
use std::str::FromStr;

use crate::runtimes::THREADSAFE;

/// The work of one child process. Some fill more than one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    Spawn,
    Group,
    Yield,
    PingPong,
    Lock,
    Semaphore,
    Contended,
    Bounded,
    FanIn,
    Oneshot,
    Watch,
    Timeout,
    TimeoutReady,
    Sleeps,
    Precision,
    Wake,
    WakeAsleep,
    WakeBurst,
    Memory,
    MemoryWait,
    Echo(usize),
}

pub(crate) const CELLS: [Cell; 23] = [
    Cell::Spawn,
    Cell::Group,
    Cell::Yield,
    Cell::PingPong,
    Cell::Lock,
    Cell::Semaphore,
    Cell::Contended,
    Cell::Bounded,
    Cell::FanIn,
    Cell::Oneshot,
    Cell::Watch,
    Cell::Timeout,
    Cell::TimeoutReady,
    Cell::Sleeps,
    Cell::Precision,
    Cell::Wake,
    Cell::WakeAsleep,
    Cell::WakeBurst,
    Cell::Memory,
    Cell::MemoryWait,
    Cell::Echo(1),
    Cell::Echo(64),
    Cell::Echo(512),
];

impl Cell {
    /// Whether a thread beside the loop takes part, so that both need a core of their own.
    pub(crate) fn has_raiser(self) -> bool {
        matches!(self, Cell::Wake | Cell::WakeAsleep | Cell::WakeBurst)
    }

    /// Whether it asks about locks and queues: all that `ours-threadsafe` is for.
    pub(crate) fn is_sync(self) -> bool {
        use Cell::*;
        matches!(
            self,
            PingPong | Lock | Semaphore | Contended | Bounded | FanIn | Oneshot | Watch
        )
    }

    /// What is to be said of a runtime in this cell, if anything.
    pub(crate) fn remark(self, runtime: &str) -> Option<Remark> {
        // Both of monoio's drivers are one runtime here, as are all of tokio's.
        let family = runtime.split('-').next().unwrap_or(runtime);
        Some(match (self, family) {
            (cell, _) if runtime == THREADSAFE && !cell.is_sync() => {
                Remark::Lacks("ours-threadsafe is there for locks and queues only")
            }
            (Cell::Group, "smol" | "monoio" | "glommio") => Remark::Nearest(
                "smol, monoio and glommio have no group of tasks: spawned tasks in a `FuturesUnordered`",
            ),
            (Cell::Yield | Cell::Contended, "monoio") => Remark::Exempt(
                "does not compete: monoio has no yield of its own, and puts a task that wakes itself at the \
                 front of its queue, so the task that yields is polled again at once and nobody else runs",
            ),
            (Cell::Lock, "monoio" | "glommio") => {
                Remark::Nearest("local-sync and glommio have no mutex: a semaphore with one permit")
            }
            (Cell::Contended, "glommio") => Remark::Nearest(
                "glommio has no mutex: a semaphore with one permit, which its holder gets again before those who wait",
            ),
            (Cell::Oneshot | Cell::MemoryWait, "smol" | "glommio") => {
                Remark::Nearest("smol and glommio have no oneshot: a channel for one value")
            }
            (Cell::Watch, "smol" | "monoio" | "glommio") => {
                Remark::Lacks("smol, local-sync and glommio have no watch")
            }
            _ => return None,
        })
    }
}

/// What is said below the table of a runtime in a cell.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Remark {
    /// Its figure is shown and does not compete.
    Exempt(&'static str),
    /// It competes with something that comes near to what is asked.
    Nearest(&'static str),
    /// It has nothing of the kind and is not asked.
    Lacks(&'static str),
}

impl Remark {
    pub(crate) fn text(self) -> &'static str {
        let (Self::Exempt(text) | Self::Nearest(text) | Self::Lacks(text)) = self;
        text
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cell::Spawn => "spawn",
            Cell::Group => "group",
            Cell::Yield => "yield",
            Cell::PingPong => "pingpong",
            Cell::Lock => "lock",
            Cell::Semaphore => "semaphore",
            Cell::Contended => "contended",
            Cell::Bounded => "bounded",
            Cell::FanIn => "fan-in",
            Cell::Oneshot => "oneshot",
            Cell::Watch => "watch",
            Cell::Timeout => "timeout",
            Cell::TimeoutReady => "timeout-ready",
            Cell::Sleeps => "sleeps",
            Cell::Precision => "precision",
            Cell::Wake => "wake",
            Cell::WakeAsleep => "wake-asleep",
            Cell::WakeBurst => "wake-burst",
            Cell::Memory => "memory",
            Cell::MemoryWait => "memory-wait",
            Cell::Echo(connections) => return write!(f, "echo-{connections}"),
        })
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = || CELLS.map(|cell| cell.to_string()).join(", ");
        CELLS
            .into_iter()
            .find(|cell| cell.to_string() == name)
            .ok_or_else(|| format!("no row is called {name}; there are {}", known()))
    }
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) cell: Cell,
    /// The name under which the child reports the figure.
    pub(crate) metric: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) decimals: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
}

const fn row(
    cell: Cell,
    metric: &'static str,
    title: &'static str,
    unit: &'static str,
    better: Better,
    decimals: usize,
) -> Row {
    Row {
        cell,
        metric,
        title,
        unit,
        better,
        decimals,
    }
}

/// The metrics of the echo cells, which `load.rs` reports.
pub(crate) const ECHO_CPU: &str = "cpu";
pub(crate) const ECHO_RATE: &str = "rate";

pub(crate) static ROWS: [Row; 30] = [
    row(
        Cell::Spawn,
        "ns",
        "spawn and join a task",
        "ns",
        Better::Lower,
        0,
    ),
    row(
        Cell::Group,
        "ns",
        "group of 1000 tasks, per task",
        "ns",
        Better::Lower,
        0,
    ),
    row(
        Cell::Yield,
        "ns",
        "yield, 1000 tasks",
        "ns",
        Better::Lower,
        1,
    ),
    row(
        Cell::PingPong,
        "ns",
        "ping-pong, per message",
        "ns",
        Better::Lower,
        1,
    ),
    row(
        Cell::Lock,
        "ns",
        "lock and unlock, nobody waits",
        "ns",
        Better::Lower,
        1,
    ),
    row(
        Cell::Semaphore,
        "ns",
        "semaphore, nobody waits",
        "ns",
        Better::Lower,
        1,
    ),
    row(
        Cell::Contended,
        "ns",
        "lock, 1000 tasks wait, per turn",
        "ns",
        Better::Lower,
        1,
    ),
    row(
        Cell::Bounded,
        "ns",
        "bounded queue, per item",
        "ns",
        Better::Lower,
        1,
    ),
    row(
        Cell::FanIn,
        "ns",
        "bounded queue, 1000 producers, per item",
        "ns",
        Better::Lower,
        1,
    ),
    row(
        Cell::Oneshot,
        "ns",
        "oneshot made, sent, awaited",
        "ns",
        Better::Lower,
        1,
    ),
    row(
        Cell::Watch,
        "ns",
        "watch, 10 watchers, per update seen",
        "ns",
        Better::Lower,
        1,
    ),
    row(
        Cell::Timeout,
        "ns",
        "timeout made and cancelled",
        "ns",
        Better::Lower,
        0,
    ),
    row(
        Cell::TimeoutReady,
        "ns",
        "timeout of a ready future",
        "ns",
        Better::Lower,
        1,
    ),
    row(
        Cell::Sleeps,
        "cpu",
        "100k sleeps, CPU per sleep",
        "ns",
        Better::Lower,
        0,
    ),
    row(
        Cell::Sleeps,
        "wall",
        "100k sleeps of 1 to 50 ms, wall",
        "ms",
        Better::Lower,
        1,
    ),
    row(
        Cell::Precision,
        "median",
        "1 ms sleep, late by (median)",
        "us",
        Better::Lower,
        0,
    ),
    row(
        Cell::Precision,
        "p99",
        "1 ms sleep, late by (99%)",
        "us",
        Better::Lower,
        0,
    ),
    row(
        Cell::Wake,
        "ns",
        "wakes from a thread, back to back",
        "ns",
        Better::Lower,
        0,
    ),
    row(
        Cell::WakeAsleep,
        "us",
        "wake from a thread, loop asleep (median)",
        "us",
        Better::Lower,
        1,
    ),
    row(
        Cell::WakeBurst,
        "ns",
        "wakes from a thread, bursts of 1000",
        "ns",
        Better::Lower,
        0,
    ),
    row(
        Cell::Memory,
        "heap",
        "idle task, heap",
        "B",
        Better::Lower,
        0,
    ),
    row(
        Cell::Memory,
        "rss",
        "idle task, resident",
        "B",
        Better::Lower,
        0,
    ),
    row(
        Cell::MemoryWait,
        "heap",
        "task awaiting a oneshot, heap",
        "B",
        Better::Lower,
        0,
    ),
    row(
        Cell::MemoryWait,
        "rss",
        "task awaiting a oneshot, resident",
        "B",
        Better::Lower,
        0,
    ),
    row(
        Cell::Echo(1),
        ECHO_CPU,
        "echo, 1 connection, server CPU",
        "us",
        Better::Lower,
        2,
    ),
    row(
        Cell::Echo(1),
        ECHO_RATE,
        "echo, 1 connection",
        "msg/s",
        Better::Higher,
        0,
    ),
    row(
        Cell::Echo(64),
        ECHO_CPU,
        "echo, 64 connections, server CPU",
        "us",
        Better::Lower,
        2,
    ),
    row(
        Cell::Echo(64),
        ECHO_RATE,
        "echo, 64 connections",
        "msg/s",
        Better::Higher,
        0,
    ),
    row(
        Cell::Echo(512),
        ECHO_CPU,
        "echo, 512 connections, server CPU",
        "us",
        Better::Lower,
        2,
    ),
    row(
        Cell::Echo(512),
        ECHO_RATE,
        "echo, 512 connections",
        "msg/s",
        Better::Higher,
        0,
    ),
];
