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
    MemoryConn,
    Processes,
    /// Messages of one size on so many connections.
    Echo(Message, usize),
    Connects,
    Hello,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Small,
    Large,
}

/// Bytes of a small message.
pub(crate) const SMALL: usize = 64;

impl Message {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Small => SMALL,
            Self::Large => 16 * 1024,
        }
    }

    /// What its server reads at a time, the same for every runtime.
    fn buffer(self) -> usize {
        match self {
            Self::Small => 4 * 1024,
            Self::Large => 64 * 1024,
        }
    }
}

/// What a server does with its connections.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Service {
    /// Sends back what came, read into a buffer of so many bytes.
    Echo { buffer: usize },
    /// hyper's HTTP/1 server, which says hello to everybody.
    Hello,
}

pub(crate) const CELLS: [Cell; 30] = [
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
    Cell::MemoryConn,
    Cell::Processes,
    Cell::Echo(Message::Small, 1),
    Cell::Echo(Message::Small, 64),
    Cell::Echo(Message::Small, 512),
    Cell::Echo(Message::Large, 1),
    Cell::Echo(Message::Large, 64),
    Cell::Echo(Message::Large, 512),
    Cell::Connects,
    Cell::Hello,
];

impl Cell {
    /// Whether a thread beside the loop takes part, so that both need a core of their own.
    pub(crate) fn has_raiser(self) -> bool {
        matches!(self, Cell::Wake | Cell::WakeAsleep | Cell::WakeBurst)
    }

    /// What its server does, if it is a server in one process and a load in another.
    pub(crate) fn service(self) -> Option<Service> {
        match self {
            Cell::Echo(message, _) => Some(Service::Echo {
                buffer: message.buffer(),
            }),
            Cell::Connects => Some(Service::Echo {
                buffer: Message::Small.buffer(),
            }),
            Cell::Hello => Some(Service::Hello),
            _ => None,
        }
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
            (Cell::Group, "smol" | "monoio" | "compio" | "glommio") => Remark::Nearest(
                "smol, monoio, compio and glommio have no group of tasks: spawned tasks in a `FuturesUnordered`",
            ),
            (Cell::Yield, "compio") => {
                Remark::Nearest("compio has no yield of its own: a future that wakes itself")
            }
            (Cell::Yield | Cell::Contended, "monoio") => Remark::Exempt(
                "does not compete: monoio has no yield of its own, and puts a task that wakes itself at the \
                 front of its queue, so the task that yields is polled again at once and nobody else runs",
            ),
            (Cell::Lock, "monoio" | "compio" | "glommio") => {
                Remark::Nearest("local-sync and glommio have no mutex: a semaphore with one permit")
            }
            (Cell::Contended, "compio") => {
                Remark::Nearest("local-sync has no mutex: a semaphore with one permit")
            }
            (Cell::Contended, "glommio") => Remark::Nearest(
                "glommio has no mutex: a semaphore with one permit, which its holder gets again before those who wait",
            ),
            (Cell::Oneshot | Cell::MemoryWait, "smol" | "glommio") => {
                Remark::Nearest("smol and glommio have no oneshot: a channel for one value")
            }
            (Cell::Watch, "smol" | "monoio" | "compio" | "glommio") => {
                Remark::Lacks("smol, local-sync and glommio have no watch")
            }
            (Cell::Processes, "monoio" | "glommio") => {
                Remark::Lacks("monoio and glommio have no child processes")
            }
            (Cell::Hello, "monoio") => Remark::Nearest(
                "monoio's connections are polled for hyper (`poll-io`): readiness, also under io_uring",
            ),
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
            Cell::MemoryConn => "memory-conn",
            Cell::Processes => "processes",
            Cell::Echo(Message::Small, connections) => return write!(f, "echo-{connections}"),
            Cell::Echo(Message::Large, connections) => return write!(f, "echo16k-{connections}"),
            Cell::Connects => "connects",
            Cell::Hello => "hyper",
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

/// The metrics of a load, for each of its exchanges (a message, a connection, a request).
pub(crate) const LOAD_CPU: &str = "cpu";
pub(crate) const LOAD_RATE: &str = "rate";
pub(crate) const LOAD_CALLS: &str = "calls";

/// Microseconds of the server's processor time.
const fn cpu(cell: Cell, title: &'static str) -> Row {
    row(cell, LOAD_CPU, title, "us", Better::Lower, 2)
}

const fn rate(cell: Cell, title: &'static str, unit: &'static str) -> Row {
    row(cell, LOAD_RATE, title, unit, Better::Higher, 0)
}

/// The server's system calls.
const fn calls(cell: Cell, title: &'static str) -> Row {
    row(cell, LOAD_CALLS, title, "calls", Better::Lower, 2)
}

pub(crate) static ROWS: [Row; 53] = [
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
        Cell::MemoryConn,
        "heap",
        "idle connection with its task, heap",
        "B",
        Better::Lower,
        0,
    ),
    row(
        Cell::MemoryConn,
        "beside",
        "idle connection beside its task, heap",
        "B",
        Better::Lower,
        0,
    ),
    row(
        Cell::MemoryConn,
        "rss",
        "idle connection with its task, resident",
        "B",
        Better::Lower,
        0,
    ),
    row(
        Cell::Processes,
        "cpu",
        "500 processes, 16 at a time, parent's CPU",
        "us",
        Better::Lower,
        0,
    ),
    row(
        Cell::Processes,
        "wall",
        "500 processes, 16 at a time, wall",
        "us",
        Better::Lower,
        0,
    ),
    cpu(
        Cell::Echo(Message::Small, 1),
        "echo 64 B, 1 connection, server CPU",
    ),
    rate(
        Cell::Echo(Message::Small, 1),
        "echo 64 B, 1 connection",
        "msg/s",
    ),
    calls(
        Cell::Echo(Message::Small, 1),
        "echo 64 B, 1 connection, system calls",
    ),
    cpu(
        Cell::Echo(Message::Small, 64),
        "echo 64 B, 64 connections, server CPU",
    ),
    rate(
        Cell::Echo(Message::Small, 64),
        "echo 64 B, 64 connections",
        "msg/s",
    ),
    calls(
        Cell::Echo(Message::Small, 64),
        "echo 64 B, 64 connections, system calls",
    ),
    cpu(
        Cell::Echo(Message::Small, 512),
        "echo 64 B, 512 connections, server CPU",
    ),
    rate(
        Cell::Echo(Message::Small, 512),
        "echo 64 B, 512 connections",
        "msg/s",
    ),
    calls(
        Cell::Echo(Message::Small, 512),
        "echo 64 B, 512 connections, system calls",
    ),
    cpu(
        Cell::Echo(Message::Large, 1),
        "echo 16 KiB, 1 connection, server CPU",
    ),
    rate(
        Cell::Echo(Message::Large, 1),
        "echo 16 KiB, 1 connection",
        "msg/s",
    ),
    calls(
        Cell::Echo(Message::Large, 1),
        "echo 16 KiB, 1 connection, system calls",
    ),
    cpu(
        Cell::Echo(Message::Large, 64),
        "echo 16 KiB, 64 connections, server CPU",
    ),
    rate(
        Cell::Echo(Message::Large, 64),
        "echo 16 KiB, 64 connections",
        "msg/s",
    ),
    calls(
        Cell::Echo(Message::Large, 64),
        "echo 16 KiB, 64 connections, system calls",
    ),
    cpu(
        Cell::Echo(Message::Large, 512),
        "echo 16 KiB, 512 connections, server CPU",
    ),
    rate(
        Cell::Echo(Message::Large, 512),
        "echo 16 KiB, 512 connections",
        "msg/s",
    ),
    calls(
        Cell::Echo(Message::Large, 512),
        "echo 16 KiB, 512 connections, system calls",
    ),
    cpu(Cell::Connects, "connection made and closed, server CPU"),
    rate(Cell::Connects, "connections made and closed", "conn/s"),
    calls(Cell::Connects, "connection made and closed, system calls"),
    cpu(Cell::Hello, "hyper, 64 connections, server CPU"),
    rate(Cell::Hello, "hyper, 64 connections", "req/s"),
    calls(Cell::Hello, "hyper, 64 connections, system calls"),
];
