//! Debug mode: slow steps and callbacks.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use asyncio_executor::{Debug, Executor, is_debug, yield_now};

use crate::support::{Trace, settle};

/// An executor in debug mode, the clock it is told, and its reports.
fn watched() -> (Executor, Rc<Cell<Duration>>, Trace) {
    let executor = Executor::new();
    let now = Rc::new(Cell::new(Duration::ZERO));
    let clock = now.clone();
    let debug = Debug::new(Duration::from_millis(100), move || clock.get());
    executor.set_debug(Some(debug));
    let trace = Trace::default();
    let log = trace.clone();
    executor.set_exception_handler(Some(Rc::new(move |context| {
        let task = context.task.as_ref().map(|task| task.name.as_str());
        let file = context.scheduled_at.map(|place| place.file());
        log.log(format!("{}; {task:?}; {file:?}", context.message));
    })));
    (executor, now, trace)
}

fn pass(now: &Cell<Duration>, millis: u64) {
    now.set(now.get() + Duration::from_millis(millis));
}

#[test]
fn a_slow_step_is_reported_with_its_task_and_a_slow_callback_with_its_place() {
    // S234
    let (executor, now, trace) = watched();
    let time = now.clone();
    executor
        .spawn(async move {
            pass(&time, 99);
            yield_now().await;
            pass(&time, 250);
        })
        .name("slow")
        .detach();
    let time = now.clone();
    executor.call_soon(move || pass(&time, 100));
    settle(&executor);
    let place = Some(file!());
    assert_eq!(
        trace.take(),
        [
            format!(
                "executing a callback took 0.100 seconds: nothing else could run meanwhile; None; {place:?}"
            ),
            "executing slow took 0.250 seconds: nothing else could run meanwhile; Some(\"slow\"); None"
                .to_owned(),
        ]
    );
    assert_eq!(executor.stats().polls, 2);
}

#[test]
fn switched_off_nothing_is_watched() {
    let (executor, now, trace) = watched();
    assert!(executor.is_debug() && executor.enter(is_debug) && !is_debug());
    executor.set_debug(None);
    assert!(!executor.is_debug());
    executor.call_soon(move || pass(&now, 1000));
    settle(&executor);
    assert!(trace.take().is_empty());
}

#[test]
fn a_turn_in_debug_mode_runs_exactly_what_was_ready() {
    // S2
    let (executor, _, _) = watched();
    executor.spawn(yield_now()).detach();
    executor.call_soon(|| ());
    assert_eq!(executor.run_ready(), 2);
    assert_eq!(executor.run_ready(), 1);
    assert_eq!(executor.run_ready(), 0);
}
