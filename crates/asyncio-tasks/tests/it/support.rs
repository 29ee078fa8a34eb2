//! A loop on virtual time, a trace, and small futures.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::rc::Rc;

use asyncio_executor::{call_soon, catch_cancelled, yield_now};
use asyncio_runtime::{EventLoop, get_running_loop};
use asyncio_timers::{Clock, LoopTime, sleep};

/// Runs a program to its end; the clock jumps whenever there is nothing else to do.
#[track_caller]
pub(crate) fn run<F>(program: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    let event_loop = EventLoop::builder().clock(Clock::auto()).build().unwrap();
    let output = event_loop.run_until_complete(program).unwrap();
    event_loop.close().unwrap();
    output
}

/// Seconds on the loop's clock.
pub(crate) fn now() -> f64 {
    time().as_secs_f64()
}

pub(crate) fn time() -> LoopTime {
    get_running_loop().time()
}

/// Lets everything that is ready run, `turns` times.
pub(crate) async fn settle(turns: usize) {
    for _ in 0..turns {
        yield_now().await;
    }
}

/// Sleeps, then gives a value.
pub(crate) async fn after<T>(seconds: f64, value: T) -> T {
    sleep(seconds).await;
    value
}

/// Hangs until it is asked to end, and needs `seconds` to clean up.
pub(crate) async fn cleans_up<T>(trace: Trace, name: &'static str, seconds: f64) -> T {
    let Err(cancelled) = catch_cancelled(std::future::pending::<()>()).await else {
        unreachable!()
    };
    trace.log(format!("{name} cleans up"));
    sleep(seconds).await;
    trace.log(format!("{name} is clean"));
    cancelled.propagate().await
}

/// Turns of the loop that the caller of `make` waits.
pub(crate) async fn turns_of<F: IntoFuture>(make: impl FnOnce() -> F) -> (u32, F::Output) {
    let turns: Rc<Cell<Option<u32>>> = Rc::new(Cell::new(Some(0)));
    count(turns.clone());
    let output = make().await;
    (turns.take().unwrap(), output)
}

fn count(turns: Rc<Cell<Option<u32>>>) {
    call_soon(move || {
        if let Some(count_so_far) = turns.get() {
            turns.set(Some(count_so_far + 1));
            count(turns);
        }
    });
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

    /// A guard that logs one line when it is dropped.
    pub(crate) fn on_drop(&self, line: &str) -> impl Drop + use<> {
        OnDrop {
            trace: self.clone(),
            line: line.to_owned(),
        }
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
