//! What the tests share: a loop whose time is virtual, a trace, a handler that keeps what it is told.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use asyncio::{Clock, EventLoop, ExceptionContext, get_running_loop};

/// A loop whose clock jumps to the next deadline whenever there is nothing else to do.
pub(crate) fn new_loop() -> EventLoop {
    EventLoop::builder().clock(Clock::auto()).build().unwrap()
}

/// A loop whose time stands still, and the clock that moves it.
pub(crate) fn loop_with_manual_clock() -> (EventLoop, Clock) {
    let clock = Clock::manual();
    let event_loop = EventLoop::builder().clock(clock.clone()).build().unwrap();
    (event_loop, clock)
}

/// Runs a program to its end in virtual time.
#[track_caller]
pub(crate) fn run<F>(program: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    let event_loop = new_loop();
    let output = event_loop.run_until_complete(program).unwrap();
    event_loop.close().unwrap();
    output
}

/// Runs a program that keeps a trace, and gives the trace.
#[track_caller]
pub(crate) fn traced<F, Fut>(program: F) -> Trace
where
    F: FnOnce(Trace) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let trace = Trace::default();
    run(program(trace.clone()));
    trace
}

/// Lets the loop run what is ready now, without waiting.
pub(crate) fn turn(event_loop: &EventLoop) {
    event_loop.turn(Some(Duration::ZERO)).unwrap();
}

/// The order of events. Compared with a literal list.
#[derive(Clone, Default)]
pub(crate) struct Trace {
    lines: Rc<RefCell<Vec<String>>>,
}

impl Trace {
    pub(crate) fn log(&self, line: impl Into<String>) {
        self.lines.borrow_mut().push(line.into());
    }

    /// A callback that logs one line.
    pub(crate) fn logs(&self, line: &str) -> impl FnOnce() + use<> {
        let (trace, line) = (self.clone(), line.to_owned());
        move || trace.log(line)
    }

    /// A guard that logs one line when it is dropped.
    pub(crate) fn on_drop(&self, line: &str) -> impl Drop + use<> {
        OnDrop {
            trace: self.clone(),
            line: line.to_owned(),
        }
    }

    /// What was logged since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        self.lines.take()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.borrow().is_empty()
    }
}

struct OnDrop {
    trace: Trace,
    line: String,
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.trace.log(std::mem::take(&mut self.line));
    }
}

impl<const N: usize> PartialEq<[&str; N]> for Trace {
    fn eq(&self, expected: &[&str; N]) -> bool {
        *self.lines.borrow() == expected
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.borrow().fmt(f)
    }
}

/// An exception handler that keeps the reports, as `message: exception`.
pub(crate) fn collect_reports(event_loop: &EventLoop) -> Trace {
    let trace = Trace::default();
    let reports = trace.clone();
    event_loop.set_exception_handler(Some(Rc::new(move |context: &ExceptionContext| {
        reports.log(match &context.exception {
            Some(exception) => format!("{}: {exception}", context.message),
            None => context.message.clone(),
        });
    })));
    trace
}

/// Counts turns of the loop: how many lie between a trigger and what follows from it.
#[derive(Clone, Default)]
pub(crate) struct Hops {
    count: Rc<Cell<u32>>,
    counting: Rc<Cell<bool>>,
}

impl Hops {
    /// To be called by the trigger, before it acts: so the count comes first in every later turn.
    pub(crate) fn start(&self) {
        self.counting.set(true);
        self.tick_in_the_next_turn();
    }

    fn tick_in_the_next_turn(&self) {
        let hops = self.clone();
        get_running_loop().call_soon(move || {
            if hops.counting.get() {
                hops.count.set(hops.count.get() + 1);
                hops.tick_in_the_next_turn();
            }
        });
    }

    pub(crate) fn stop(&self) -> u32 {
        self.counting.set(false);
        self.count.get()
    }
}

/// Lets everything that is ready run, `turns` times.
pub(crate) async fn settle(turns: usize) {
    for _ in 0..turns {
        asyncio::sleep(0).await;
    }
}

/// The text of a panic.
pub(crate) fn panic_message(f: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).expect_err("no panic");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&'static str>().expect("no text")).to_owned(),
    }
}

/// Prints a line that every run shows: written past the capture of the test harness.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
}
