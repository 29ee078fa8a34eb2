//! Bad use is answered by words that say what to do, and hurts nobody else.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::thread;

use asyncio::{
    EventLoop, ExceptionContext, Future as Promise, RunError, Runner, catch_cancelled, create_task,
    gather, get_running_loop, raise_cancelled, sleep, timeout,
};

use crate::harness::{Trace, collect_reports, new_loop, panic_message, run, settle, turn};

/// Polls a future once, where no loop runs.
fn poll_outside(future: impl Future) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

// --- no loop ---

#[test]
fn a_sleep_outside_of_a_loop_says_how_to_get_one() {
    let message = panic_message(|| poll_outside(sleep(1)));
    assert_eq!(
        message,
        "no running event loop: `sleep` needs one; call it inside `asyncio::run(async { … })`"
    );
}

#[test]
fn a_timeout_outside_of_a_loop_says_so_when_its_body_suspends() {
    poll_outside(timeout(1, async {})); // needs none
    let message = panic_message(|| poll_outside(timeout(1, pending::<()>())));
    assert!(message.starts_with("no running event loop"), "{message}");
}

#[test]
fn a_task_made_outside_of_a_loop_says_how_to_get_one() {
    for message in [
        panic_message(|| drop(create_task(async {}))),
        panic_message(|| drop(gather([async {}]))),
    ] {
        assert!(
            message.starts_with(
                "no running event loop: `create_task` needs one; call it inside `asyncio::run("
            ),
            "{message}"
        );
    }
}

#[test]
fn asking_for_the_running_loop_outside_of_one_says_how_to_get_one() {
    // S41
    assert!(asyncio::try_running_loop().is_none());
    let message = panic_message(|| drop(get_running_loop()));
    assert_eq!(
        message,
        "no running event loop: `get_running_loop` must be called inside `asyncio::run(async { … })`"
    );
}

#[test]
fn a_cancellation_raised_outside_of_a_task_says_what_is_missing() {
    // S37
    let message = panic_message(|| poll_outside(raise_cancelled::<()>()));
    assert_eq!(
        message,
        "a cancellation can be raised only inside a task: spawn the future that awaits this"
    );
}

#[test]
fn a_cancellation_caught_outside_of_a_task_only_awaits() {
    poll_outside(async { assert!(catch_cancelled(async { 1 }).await.is_ok()) });
}

// --- a loop within a loop ---

#[test]
fn run_inside_run_says_to_await_instead() {
    // S10
    run(async {
        let message = panic_message(|| asyncio::run(async {}));
        assert_eq!(
            message,
            "an event loop is running in this thread already: await the future (or `create_task` it) instead of \
             calling `run` inside `run`"
        );
        sleep(1).await; // the loop is none the worse for it
    });
}

#[test]
fn a_runner_inside_a_run_is_refused_and_can_be_used_afterwards() {
    // S10
    let runner = run(async {
        let mut runner = Runner::new();
        let refused = runner.run(async {});
        assert!(matches!(refused, Err(RunError::AlreadyRunning)));
        assert!(matches!(runner.close(), Err(RunError::AlreadyRunning)));
        runner
    });
    let mut runner = runner;
    assert_eq!(runner.run(async { 1 }).unwrap(), 1);
    runner.close().unwrap();
}

#[test]
fn a_closed_runner_says_to_make_a_new_one() {
    // S10
    let mut runner = Runner::new();
    runner.run(async {}).unwrap();
    runner.close().unwrap();
    runner.close().unwrap();
    let error = runner.run(async {}).unwrap_err();
    assert!(matches!(error, RunError::Closed));
    assert_eq!(
        error.to_string(),
        "the event loop is closed: make a new `Runner` or `EventLoop` for another run"
    );
    assert!(matches!(runner.get_loop(), Err(RunError::Closed)));
}

// --- a closed loop ---

#[test]
fn scheduling_on_a_closed_loop_names_the_call() {
    // S10
    let event_loop = new_loop();
    event_loop.close().unwrap();
    let messages = [
        panic_message(|| drop(event_loop.call_soon(|| ()))),
        panic_message(|| drop(event_loop.call_later(1, || ()))),
        panic_message(|| drop(event_loop.create_task(async {}))),
    ];
    for (message, call) in messages.iter().zip(["call_soon", "call_at", "create_task"]) {
        assert_eq!(
            *message,
            format!("`{call}` on a closed event loop: nothing can be scheduled on it any more")
        );
    }
}

#[test]
fn a_threadsafe_call_on_a_closed_loop_is_an_error_and_drops_its_callback() {
    // S10
    let event_loop = new_loop();
    let handle = event_loop.handle();
    event_loop.close().unwrap();
    let (callback, caller) = std::sync::mpsc::channel::<()>();
    let error = handle
        .call_soon_threadsafe(move || drop(callback))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the event loop is closed: nothing can be scheduled on it any more"
    );
    assert!(caller.recv().is_err()); // the sender went with the callback
}

// --- the wrong thread, the wrong loop ---

#[test]
fn a_handle_used_on_another_thread_says_to_use_the_threadsafe_call() {
    // S10
    let event_loop = new_loop();
    let handle = event_loop.handle();
    let message = thread::spawn(move || panic_message(|| drop(handle.call_soon(|| ()))))
        .join()
        .unwrap();
    assert_eq!(
        message,
        "`call_soon` was called outside of its running event loop: call it inside `asyncio::run(async { … })`, or \
         reach the loop from another thread with `call_soon_threadsafe`"
    );
}

#[test]
fn the_handle_of_another_loop_says_so() {
    let other = new_loop();
    let handle = other.handle();
    run(async move {
        let message = panic_message(|| drop(handle.create_task(async {})));
        assert_eq!(
            message,
            "`create_task` was called on the handle of another event loop than the one running in this thread: use \
             `call_soon_threadsafe` to reach it"
        );
    });
}

// --- outcomes set twice ---

#[test]
fn a_second_result_is_refused_and_says_what_is_there_already() {
    // S22
    let future = Promise::new();
    future.set_result(1).unwrap();
    assert_eq!(
        future.set_result(2).unwrap_err().to_string(),
        "the future is already done: it finished with a result; it can be completed once, so ask `done()` first where \
         somebody else may complete it"
    );
    let cancelled = Promise::<()>::new();
    cancelled.cancel();
    let text = cancelled.set_result(()).unwrap_err().to_string();
    assert!(
        text.starts_with("the future is already done: it was cancelled;"),
        "{text}"
    );
}

#[test]
fn the_result_of_a_pending_future_says_to_await_it() {
    // S21
    assert_eq!(
        Promise::<()>::new().result().unwrap_err().to_string(),
        "the future is not done yet: await it, or ask `done()` before asking for its outcome"
    );
}

// --- panics ---

struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        panic!("panic in a destructor");
    }
}

/// Runs a program between two neighbours, and gives the reports. The neighbours must not notice.
fn beside_neighbours(program: impl AsyncFnOnce() + 'static) -> Trace {
    let event_loop = new_loop();
    let reports = collect_reports(&event_loop);
    let neighbour = async || {
        for _ in 0..5 {
            sleep(0).await;
        }
        sleep(1).await;
        "unharmed"
    };
    let before = event_loop.create_task(neighbour());
    event_loop
        .run_until_complete(async move {
            program().await;
            let after = create_task(neighbour());
            settle(3).await;
            assert_eq!(before.await.unwrap(), "unharmed");
            assert_eq!(after.await.unwrap(), "unharmed");
        })
        .unwrap();
    event_loop.close().unwrap();
    reports
}

#[test]
fn a_panicking_task_nobody_awaits_is_reported() {
    // S37
    let reports = beside_neighbours(async || drop(create_task(async { panic!("lost") })));
    assert_eq!(
        reports,
        ["a task panicked and nobody awaited it: the task panicked: lost"]
    );
}

#[test]
fn a_panicking_task_whose_handle_is_dropped_later_is_reported_too() {
    // S37
    let reports = beside_neighbours(async || {
        let task = create_task(async { panic!("lost") });
        settle(1).await;
        assert!(task.done());
        drop::<asyncio::Task<()>>(task);
    });
    assert_eq!(
        reports,
        ["a task panicked and nobody awaited it: the task panicked: lost"]
    );
}

#[test]
fn a_panic_somebody_awaits_is_theirs_and_not_reported() {
    // S37
    let reports = beside_neighbours(async || {
        let task: asyncio::Task<()> = create_task(async { panic!("awaited") });
        assert!(task.await.unwrap_err().is_panic());
    });
    assert!(reports.is_empty());
}

#[test]
fn a_panicking_destructor_of_a_cancelled_task_is_its_own_affair() {
    // S37
    let reports = beside_neighbours(async || {
        let task = create_task(async {
            let _guard = PanicsWhenDropped;
            pending::<()>().await;
        });
        settle(1).await;
        task.cancel();
        let outcome = task.await;
        assert!(outcome.unwrap_err().is_panic());
    });
    assert!(reports.is_empty());
}

#[test]
fn a_panicking_destructor_of_a_task_that_returned_is_its_own_affair() {
    // S37
    let reports = beside_neighbours(async || {
        let task = create_task(async {
            let _guard = PanicsWhenDropped;
        });
        assert!(task.await.unwrap_err().is_panic());
    });
    assert!(reports.is_empty());
}

#[test]
fn a_panicking_destructor_of_a_value_nobody_wants_is_reported() {
    // S37
    let reports = beside_neighbours(async || {
        create_task(async { PanicsWhenDropped }).detach();
        settle(2).await;
    });
    assert_eq!(
        reports,
        ["panic in the destructor of a task's outcome: panic in a destructor"]
    );
}

#[test]
fn a_panic_in_a_callback_is_reported_and_nobody_else_notices() {
    // S6
    let reports = beside_neighbours(async || {
        get_running_loop().call_soon(|| panic!("in a callback"));
        get_running_loop().call_later(0.5, || panic!("in a timer"));
        get_running_loop()
            .call_soon_threadsafe(|| panic!("in a threadsafe call"))
            .unwrap();
        create_task(async {}).add_done_callback(|| panic!("in a done callback"));
        sleep(0.6).await;
    });
    assert_eq!(
        reports,
        [
            "panic in a callback of the event loop: in a callback",
            "panic in a callback of the event loop: in a threadsafe call",
            "panic in a callback of the event loop: in a done callback",
            "panic in a callback of the event loop: in a timer",
        ]
    );
}

#[test]
fn a_panicking_exception_handler_does_not_stop_the_loop() {
    // S6
    let event_loop = new_loop();
    let calls = Rc::new(Cell::new(0));
    let count = calls.clone();
    event_loop.set_exception_handler(Some(Rc::new(move |_: &ExceptionContext| {
        count.set(count.get() + 1);
        panic!("in the handler");
    })));
    event_loop.call_soon(|| panic!("first"));
    event_loop.call_soon(|| panic!("second"));
    turn(&event_loop);
    assert_eq!(calls.get(), 2);
}

#[test]
fn a_panic_of_the_main_future_leaves_run_after_everything_was_shut_down() {
    // S37
    let trace = Trace::default();
    let log = trace.clone();
    let message = panic_message(|| {
        asyncio::run(async move {
            create_task(asyncio::finally(pending::<()>(), async move {
                sleep(0).await;
                log.log("cleaned up");
            }))
            .detach();
            settle(1).await;
            panic!("main");
        });
    });
    assert_eq!(message, "main");
    assert_eq!(trace, ["cleaned up"]);
    assert_eq!(
        EventLoop::new()
            .unwrap()
            .run_until_complete(async { 1 })
            .unwrap(),
        1
    );
}
