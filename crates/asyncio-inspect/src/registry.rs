//! The loops of this process, and how they are asked.

use std::collections::HashMap;
use std::panic::catch_unwind;
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
    /// Whether the latest question is for stacks, too; the one on its way may be an earlier one that nobody waits for.
    stacks: bool,
    answer: Option<Answer>,
}

/// What a loop says. The stacks are read, which takes long, by the thread that asked.
pub(crate) struct Answer {
    report: LoopReport,
    traces: Vec<TaskTrace>,
}

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
///
/// Nothing is made of it before all have answered: while a stack is read no loop can take one, as the standard library
/// does only one of both at a time.
pub(crate) fn ask_all(patience: Duration, stacks: bool) -> Vec<Answer> {
    let all: Vec<Arc<Known>> = lock(&LOOPS).all.clone();
    let open: Vec<Arc<Known>> = all.into_iter().filter(|known| known.ask(stacks)).collect();
    let deadline = Instant::now() + patience;
    open.iter().map(|known| known.answer(deadline)).collect()
}

impl Answer {
    fn of(report: LoopReport) -> Answer {
        let traces = Vec::new();
        Answer { report, traces }
    }

    /// As lines, with the stacks read.
    pub(crate) fn encode(mut self) -> String {
        let tasks = self.report.tasks.iter().enumerate();
        let places: HashMap<u64, usize> = tasks.map(|(place, task)| (task.id, place)).collect();
        // One after the other: a stack that was read is far larger than one that was not.
        for trace in self.traces {
            if let Some(place) = places.get(&trace.id) {
                let stacks = trace.stacks.into_iter();
                let read = stacks.map(|stack| frames(&stack)).collect();
                self.report.tasks[*place].stacks = innermost(read);
            }
        }
        wire::encode_loop(&self.report)
    }
}

impl Known {
    /// Sends the question unless one is on its way; false if the loop is closed.
    fn ask(self: &Arc<Self>, stacks: bool) -> bool {
        if self.remote.is_closed() {
            return false;
        }
        let mut mail = lock(&self.mail);
        mail.answer = None;
        mail.stacks = stacks;
        if mail.asked {
            return true;
        }
        mail.asked = true;
        drop(mail);
        let known = self.clone();
        let sent = self.remote.call(move || {
            let report = known.report_here();
            if !lock(&known.mail).stacks {
                return known.deliver(Answer::of(report));
            }
            trace_waiting(MOST_TRACES, move |traces| {
                known.deliver(Answer { report, traces })
            });
        });
        sent.is_ok()
    }

    fn deliver(&self, answer: Answer) {
        let mut mail = lock(&self.mail);
        mail.asked = false;
        mail.answer = Some(answer);
        self.answered.notify_all();
    }

    /// What the loop says, or else what its pulse says of it.
    fn answer(&self, deadline: Instant) -> Answer {
        let mut mail = lock(&self.mail);
        loop {
            if let Some(answer) = mail.answer.take() {
                return answer;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(mail);
                return Answer::of(self.silent_report());
            }
            mail = match self.answered.wait_timeout(mail, left) {
                Ok((mail, _)) => mail,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// On the loop's thread.
    fn report_here(&self) -> LoopReport {
        // What a task waits for is asked of its futures, which may be a user's code. The panic was told of by its hook.
        // Without any task nobody's code is asked.
        let seen = catch_unwind(|| snapshot(MOST_TASKS)).unwrap_or_else(|_| snapshot(0));
        let told = seen.tasks.iter().map(TaskReport::from);
        LoopReport {
            left_out: seen.left_out,
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

/// Nothing panics while one of these is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::poll_fn;
    use std::rc::Rc;
    use std::task::{Poll, Waker};

    use asyncio_executor::{Awaited, Awaits, Watch, Watched};

    use super::*;

    /// A loop with a task that suspends as others do, and what is known of it.
    fn loop_with_a_task() -> (Executor, Registration, Arc<Known>) {
        let executor = Executor::new();
        let registration = register(&executor);
        let kept: RefCell<Option<Waker>> = RefCell::default();
        let waits = poll_fn(move |cx| {
            kept.replace(Some(cx.waker().clone()));
            Poll::<()>::Pending
        });
        executor.spawn(waits).detach();
        turn(&executor);
        let loops = lock(&LOOPS);
        let known = loops.all.iter().find(|known| {
            let remote = &known.remote;
            remote.same_executor(&registration.remote)
        });
        let known = known.unwrap().clone();
        drop(loops);
        (executor, registration, known)
    }

    fn turn(executor: &Executor) {
        executor.enter(|| {
            executor.take_foreign();
            while executor.run_ready() > 0 {}
        });
    }

    #[test]
    fn who_asks_for_stacks_gets_them_also_when_an_earlier_question_is_still_on_its_way() {
        let (executor, _registration, known) = loop_with_a_task();
        assert!(known.ask(false));
        let silent = known.answer(Instant::now());
        assert!(matches!(silent.report.state, LoopState::NotRun { .. }));
        assert!(known.ask(true));
        turn(&executor);
        let answer = known.answer(Instant::now());
        assert_eq!((answer.report.tasks.len(), answer.traces.len()), (1, 1));
        // And the other way round.
        assert!(known.ask(true));
        assert!(known.ask(false));
        turn(&executor);
        assert!(known.answer(Instant::now()).traces.is_empty());
    }

    #[test]
    fn a_loop_whose_tasks_cannot_be_asked_turns_and_says_how_many_they_are() {
        struct Panics;
        impl Awaits for Panics {
            fn each_awaited(&self, _each: &mut dyn FnMut(Awaited)) {
                std::panic::resume_unwind(Box::new("a panic, for this test"));
            }
        }
        let (executor, _registration, known) = loop_with_a_task();
        let mut watch = Watch::new();
        let shows = poll_fn(move |_| {
            watch.set("panics", || Watched::Live(Rc::new(Panics)));
            Poll::<()>::Pending
        });
        executor.spawn(shows).detach();
        turn(&executor);
        for stacks in [false, true] {
            assert!(known.ask(stacks));
            turn(&executor);
            let answer = known.answer(Instant::now());
            assert_eq!(answer.report.state, LoopState::Turning);
            assert_eq!((answer.report.tasks.len(), answer.report.left_out), (0, 2));
        }
    }
}
