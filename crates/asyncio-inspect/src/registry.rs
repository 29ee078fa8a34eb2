//! The loops of this process, and how they are asked.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use asyncio_executor::{Executor, Pulse, Remote, TaskTrace, snapshot, trace_waiting};

use crate::report::{LoopReport, LoopState, Occupation, TaskReport, ThreadReport};
use crate::stack::{frames, innermost};
use crate::thread_state::{this_thread, thread_state};
use crate::wire;

/// Tasks of one loop that are told of.
const MOST_TASKS: usize = 100_000;
/// Tasks of one loop that are polled for where they wait.
const MOST_TRACES: usize = 1000;

/// The loops of this process, in the order in which they were made, and whether there is an endpoint.
static LOOPS: Mutex<Loops> = Mutex::new(Loops {
    all: Vec::new(),
    served: false,
});

struct Loops {
    all: Vec<Arc<Known>>,
    served: bool,
}

/// A loop as the thread that serves knows it.
pub(crate) struct Known {
    remote: Remote,
    thread: ThreadReport,
    pulse: Arc<Pulse>,
    mail: Mutex<Mail>,
    answered: Condvar,
}

/// A question on its way to the loop, and the answer: one at a time, so that a loop that does not turn is not sent one
/// after the other.
#[derive(Default)]
struct Mail {
    asked: bool,
    answer: Option<Answer>,
}

/// What a loop says. The stacks are read, which takes long, by the thread that asked.
type Answer = (LoopReport, Vec<TaskTrace>);

/// Keeps a loop among those that can be asked; from [`register`].
#[derive(Debug)]
#[must_use = "the loop is forgotten when this is dropped"]
pub struct Registration {
    remote: Remote,
}

/// Makes a loop one of those that [`tools`](crate::tools) tell of. To be called on the loop's thread by whoever makes
/// one; the first call starts the endpoint if the environment variable `ASYNCIO_INSPECT` is set, and neither empty nor
/// `0`.
///
/// ```
/// let executor = asyncio_executor::Executor::new();
/// let registration = asyncio_inspect::register(&executor);
/// drop(registration);
/// ```
pub fn register(executor: &Executor) -> Registration {
    serve_if_wanted();
    let remote = executor.remote();
    let known = Arc::new(Known {
        remote: remote.clone(),
        thread: ThreadReport::new(thread::current().name().unwrap_or_default(), this_thread()),
        pulse: Arc::default(),
        mail: Mutex::default(),
        answered: Condvar::new(),
    });
    let mut loops = lock(&LOOPS);
    if loops.served {
        executor.set_pulse(Some(known.pulse.clone()));
    }
    loops.all.push(known);
    Registration { remote }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut loops = lock(&LOOPS);
        let place = loops
            .all
            .iter()
            .position(|known| known.remote.same_executor(&self.remote));
        let known = place.map(|place| loops.all.remove(place));
        drop(loops);
        drop(known);
    }
}

/// Once in the life of a process.
fn serve_if_wanted() {
    static ASKED: OnceLock<()> = OnceLock::new();
    ASKED.get_or_init(|| {
        let wanted = std::env::var_os("ASYNCIO_INSPECT");
        if wanted.is_some_and(|value| !value.is_empty() && value != "0")
            && let Err(error) = crate::tools::serve()
        {
            eprintln!("asyncio: ASYNCIO_INSPECT is set, but there can be no endpoint: {error}");
        }
    });
}

/// From now on loops keep a pulse: those there are as soon as they turn.
pub(crate) fn keep_pulses() {
    let mut loops = lock(&LOOPS);
    loops.served = true;
    for known in &loops.all {
        let pulse = known.pulse.clone();
        // A loop that is closed needs none.
        let _ = known
            .remote
            .call(move || asyncio_executor::set_pulse(Some(pulse)));
    }
}

/// Asks every loop, all at once, and gives what each has said after `patience` at the latest.
pub(crate) fn ask_all(patience: Duration, stacks: bool) -> Vec<String> {
    let all: Vec<Arc<Known>> = lock(&LOOPS).all.clone();
    let open: Vec<Arc<Known>> = all.into_iter().filter(|known| known.ask(stacks)).collect();
    let deadline = Instant::now() + patience;
    open.iter().map(|known| known.answer(deadline)).collect()
}

impl Known {
    /// Sends the question unless one is on its way; false if the loop is closed.
    fn ask(self: &Arc<Self>, stacks: bool) -> bool {
        if self.remote.is_closed() {
            return false;
        }
        let mut mail = lock(&self.mail);
        mail.answer = None;
        if mail.asked {
            return true;
        }
        mail.asked = true;
        drop(mail);
        let known = self.clone();
        let sent = self.remote.call(move || {
            // What a task waits for is asked of its futures, which may be a user's code.
            let report = catch_unwind(AssertUnwindSafe(|| known.report_here()));
            match report {
                Ok(report) if stacks => {
                    trace_waiting(MOST_TRACES, move |traces| {
                        known.deliver(Some((report, traces)))
                    });
                }
                report => known.deliver(report.ok().map(|report| (report, Vec::new()))),
            }
        });
        sent.is_ok()
    }

    fn deliver(&self, answer: Option<Answer>) {
        let mut mail = lock(&self.mail);
        mail.asked = false;
        mail.answer = answer;
        self.answered.notify_all();
    }

    /// What the loop says, or else what its pulse says of it.
    fn answer(&self, deadline: Instant) -> String {
        let mut mail = lock(&self.mail);
        loop {
            if let Some((mut report, traces)) = mail.answer.take() {
                drop(mail);
                add_stacks(&mut report, &traces);
                return wire::encode_loop(&report);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(mail);
                return wire::encode_loop(&self.silent_report());
            }
            mail = match self.answered.wait_timeout(mail, left) {
                Ok((mail, _)) => mail,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// On the loop's thread.
    fn report_here(&self) -> LoopReport {
        let tasks = snapshot();
        let left_out = tasks.len().saturating_sub(MOST_TASKS);
        let told = tasks.iter().take(MOST_TASKS).map(TaskReport::from);
        LoopReport {
            left_out,
            ..LoopReport::new(self.thread.clone(), told.collect())
        }
    }

    fn silent_report(&self) -> LoopReport {
        let (activity, since) = self.pulse.activity();
        let since = since.elapsed();
        let state = match Occupation::of(&activity) {
            None => LoopState::NotRun { since },
            Some(inside) => LoopState::Stuck {
                since,
                doing: thread_state(self.thread.id),
                inside,
            },
        };
        LoopReport {
            state,
            ..LoopReport::new(self.thread.clone(), Vec::new())
        }
    }
}

fn add_stacks(report: &mut LoopReport, traces: &[TaskTrace]) {
    let of: HashMap<u64, &TaskTrace> = traces.iter().map(|trace| (trace.id, trace)).collect();
    for task in &mut report.tasks {
        if let Some(trace) = of.get(&task.id) {
            task.stacks = innermost(trace.stacks.iter().map(frames).collect());
        }
    }
}

/// Nothing panics while one of these is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
