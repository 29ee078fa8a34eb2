//! Panics are outcomes of tasks and reports about callbacks, never the end of the loop.

use std::panic::panic_any;
use std::rc::Rc;

use asyncio_executor::{Executor, TaskError, report, spawn, yield_now};

use crate::support::{Drops, OnDrop, Trace, reports, settle, turn};

#[test]
fn a_panic_in_a_task_is_the_outcome_of_the_task() {
    let executor = Executor::new();
    let seen = reports(&executor);
    let drops = Drops::default();
    let token = drops.token();
    let task = executor.spawn(async move {
        let _token = token;
        yield_now().await;
        let number = std::hint::black_box(1);
        panic!("boom {number}");
    });
    settle(&executor);
    assert!(task.done() && !task.cancelled());
    assert_eq!(drops.count(), 1);
    let Ok(Err(TaskError::Panicked(panic))) = task.try_take() else {
        unreachable!("it has ended by a panic")
    };
    assert_eq!(panic.message(), "boom 1");
    assert_eq!(
        panic.into_inner().downcast_ref::<String>().unwrap(),
        "boom 1"
    );
    assert_eq!(seen.take(), [""; 0], "somebody looked at it");
}

#[test]
fn a_panic_nobody_can_look_at_is_reported_once() {
    let executor = Executor::new();
    let seen = reports(&executor);
    // Detached before it ends.
    executor.spawn(async { panic!("early") }).detach();
    settle(&executor);
    assert_eq!(
        seen.take(),
        ["a task panicked and nobody awaited it: the task panicked: early"]
    );
    // The handle is dropped after the end.
    let task = executor.spawn(async { panic!("late") });
    settle(&executor);
    assert_eq!(seen.take(), [""; 0]);
    executor.enter(|| drop(task));
    assert_eq!(
        seen.take(),
        ["a task panicked and nobody awaited it: the task panicked: late"]
    );
    // The handle is dropped by the panicking body itself.
    let slot: Rc<std::cell::RefCell<Option<asyncio_executor::Task<()>>>> = Rc::default();
    let own = slot.clone();
    let task = executor.spawn(async move {
        drop(own.take());
        panic!("own handle");
    });
    *slot.borrow_mut() = Some(task);
    settle(&executor);
    assert_eq!(
        seen.take(),
        ["a task panicked and nobody awaited it: the task panicked: own handle"]
    );
}

#[test]
fn an_awaited_panic_is_not_reported() {
    let executor = Executor::new();
    let seen = reports(&executor);
    let outcome = executor.run(async {
        let task = spawn(async { panic!("boom") });
        task.await.unwrap_err().is_panic()
    });
    assert!(outcome.unwrap());
    settle(&executor);
    assert_eq!(seen.take(), [""; 0]);
}

#[test]
fn a_panic_in_a_callback_is_reported_and_the_rest_of_the_queue_runs() {
    // S6, S27
    let executor = Executor::new();
    let (seen, trace) = (reports(&executor), Trace::default());
    let task = executor.spawn(async {});
    task.add_done_callback(|| panic!("done callback"));
    let log = trace.clone();
    task.add_done_callback(move || log.log("second done callback"));
    executor.call_soon(|| panic!("callback"));
    let log = trace.clone();
    executor.call_soon(move || log.log("next callback"));
    settle(&executor);
    assert_eq!(trace.take(), ["next callback", "second done callback"]);
    assert_eq!(
        seen.take(),
        [
            "panic in a callback of the event loop: callback",
            "panic in a callback of the event loop: done callback",
        ]
    );
}

#[test]
fn a_panic_in_the_destructor_of_a_future_is_the_outcome_of_its_task() {
    let executor = Executor::new();
    for cancel in [false, true] {
        let task = executor.spawn(async move {
            let _bomb = OnDrop::new(|| panic!("destructor"));
            if cancel {
                std::future::pending::<()>().await;
            }
            // Held across the end by the future's own drop, not by the body.
            let mut polled = false;
            std::future::poll_fn(move |cx| {
                if std::mem::replace(&mut polled, true) {
                    return std::task::Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
        });
        turn(&executor);
        if cancel {
            assert!(task.cancel());
        }
        settle(&executor);
        let Ok(Err(TaskError::Panicked(panic))) = task.try_take() else {
            unreachable!("cancel: {cancel}")
        };
        assert_eq!(panic.message(), "destructor");
    }
}

#[test]
fn the_destructor_of_an_outcome_nobody_takes_may_panic() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("outcome");
        }
    }
    let executor = Executor::new();
    let seen = reports(&executor);
    executor.spawn(async { Bomb }).detach();
    settle(&executor);
    assert_eq!(
        seen.take(),
        ["panic in the destructor of a task's outcome: outcome"]
    );
    executor.spawn(async { panic_any(Bomb) }).detach();
    settle(&executor);
    assert_eq!(
        seen.take(),
        [
            "a task panicked and nobody awaited it: the task panicked: a panic whose payload is not text",
            "panic in the destructor of a task's outcome: outcome",
        ]
    );
    assert_eq!(executor.stats().living, 0);
}

#[test]
fn a_panicking_exception_handler_is_survived() {
    // S184
    let executor = Executor::new();
    executor.set_exception_handler(Some(Rc::new(|_| panic!("handler"))));
    executor.spawn(async { panic!("task") }).detach();
    executor.call_soon(|| panic!("callback"));
    assert_eq!(settle(&executor), 1);
    assert_eq!(executor.run(async { 1 }).unwrap(), 1);
}

#[test]
fn a_handler_can_be_replaced_by_itself_and_put_back() {
    let executor = Rc::new(Executor::new());
    let trace = Trace::default();
    let (log, weak) = (trace.clone(), Rc::downgrade(&executor));
    executor.set_exception_handler(Some(Rc::new(move |context| {
        log.log(format!("first: {}", context.message));
        let log = log.clone();
        let former = weak.upgrade().unwrap().set_exception_handler(Some(Rc::new(
            move |context: &asyncio_executor::ExceptionContext| {
                log.log(format!("second: {}", context.message));
            },
        )));
        assert!(former.is_some());
    })));
    executor.call_soon(|| panic!("1"));
    executor.call_soon(|| panic!("2"));
    settle(&executor);
    assert_eq!(
        trace.take(),
        [
            "first: panic in a callback of the event loop",
            "second: panic in a callback of the event loop",
        ]
    );
    let error = std::io::Error::other("by hand");
    executor.enter(|| report(asyncio_executor::ExceptionContext::error("told", &error)));
    assert_eq!(trace.take(), ["second: told"]);
}

#[test]
fn a_panic_that_was_looked_at_is_not_reported_when_the_handle_goes() {
    let executor = Executor::new();
    let reports = reports(&executor);
    let mut task = executor.spawn(async { panic!("seen") });
    settle(&executor);
    assert!(matches!(task.peek(), Some(Err(error)) if error.is_panic()));
    drop(task);
    assert!(reports.take().is_empty());
}
