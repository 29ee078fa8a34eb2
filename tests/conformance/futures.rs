//! Future: S20 to S34.

use std::cell::RefCell;
use std::rc::Rc;

use asyncio::{
    CancelledError, Future as Promise, FutureError, catch_cancelled, create_task, current_task,
    get_running_loop, sleep,
};

use crate::harness::{Trace, collect_reports, new_loop, run, settle, traced};

/// The three ways in which a future can be done.
fn done_futures() -> [Promise<i32>; 3] {
    let futures = [Promise::new(), Promise::new(), Promise::new()];
    futures[0].set_result(1).unwrap();
    futures[1].set_exception("broken").unwrap();
    futures[1].exception().unwrap(); // looked at, so that nobody is told
    assert!(futures[2].cancel());
    futures
}

#[test]
fn a_future_is_pending_finished_or_cancelled() {
    // S20
    let pending = Promise::<i32>::new();
    assert_eq!((pending.done(), pending.cancelled()), (false, false));
    let states = done_futures().map(|future| (future.done(), future.cancelled()));
    assert_eq!(states, [(true, false), (true, false), (true, true)]);
}

#[test]
fn the_result_of_a_pending_future_is_an_invalid_state() {
    // S21
    let pending = Promise::<i32>::new();
    assert!(matches!(
        pending.result(),
        Err(FutureError::InvalidState(_))
    ));
    assert!(matches!(
        pending.exception(),
        Err(FutureError::InvalidState(_))
    ));
}

#[test]
fn result_and_exception_say_how_a_future_ended() {
    // S21
    let [finished, failed, cancelled] = done_futures();
    assert_eq!(finished.result().unwrap(), 1);
    assert!(finished.exception().unwrap().is_none());
    assert!(matches!(failed.result(), Err(FutureError::Exception(e)) if e.to_string() == "broken"));
    assert_eq!(failed.exception().unwrap().unwrap().to_string(), "broken");
    assert!(matches!(
        cancelled.result(),
        Err(FutureError::Cancelled { .. })
    ));
    assert!(matches!(
        cancelled.exception(),
        Err(FutureError::Cancelled { .. })
    ));
}

#[test]
fn a_done_future_refuses_another_outcome_and_keeps_its_own() {
    // S22
    for future in done_futures() {
        let before = format!("{:?}", future.result());
        assert!(future.set_result(2).is_err());
        assert!(future.set_exception("late").is_err());
        assert_eq!(format!("{:?}", future.result()), before);
    }
}

#[test]
fn a_pending_future_is_cancelled_at_once_and_a_done_one_not_at_all() {
    // S23
    let trace = traced(|trace| async move {
        let future = Promise::<()>::new();
        future.add_done_callback({
            let trace = trace.clone();
            move |future| trace.log(format!("callback, cancelled: {}", future.cancelled()))
        });
        trace.log(format!("cancel: {}", future.cancel()));
        trace.log(format!("cancelled: {}", future.cancelled()));
        trace.log(format!("cancel again: {}", future.cancel()));
        sleep(0).await;
    });
    assert_eq!(
        trace,
        [
            "cancel: true",
            "cancelled: true",
            "cancel again: false",
            "callback, cancelled: true",
        ]
    );
    for future in done_futures() {
        assert!(!future.cancel());
    }
}

#[test]
fn callbacks_run_once_each_in_order_of_registration_and_never_at_once() {
    // S24
    let trace = traced(|trace| async move {
        let future = Promise::new();
        for line in ["a", "b", "c"] {
            let trace = trace.clone();
            future.add_done_callback(move |future: &Promise<i32>| {
                trace.log(format!("{line}: {}", future.result().unwrap()));
            });
        }
        get_running_loop().call_soon(trace.logs("queued before the result"));
        future.set_result(7).unwrap();
        trace.log("result set");
        settle(3).await;
    });
    assert_eq!(
        trace,
        [
            "result set", // nothing has run inside `set_result`
            "queued before the result",
            "a: 7",
            "b: 7",
            "c: 7",
        ]
    );
}

#[test]
fn a_callback_added_to_a_done_future_runs_in_the_next_turn() {
    // S25
    let trace = traced(|trace| async move {
        let future = Promise::new();
        future.set_result(()).unwrap();
        let log = trace.clone();
        future.add_done_callback(move |_| log.log("callback"));
        trace.log("added");
        sleep(0).await;
        trace.log("next turn");
    });
    assert_eq!(trace, ["added", "callback", "next turn"]);
}

#[test]
fn a_removed_callback_does_not_run_and_a_queued_one_cannot_be_recalled() {
    // S26: by id, because closures have no equality.
    let trace = traced(|trace| async move {
        let future = Promise::new();
        let add = |line: &'static str| {
            let trace = trace.clone();
            future.add_done_callback(move |_| trace.log(line))
        };
        let (kept, removed) = (add("kept"), add("removed"));
        assert!(future.remove_done_callback(removed));
        assert!(!future.remove_done_callback(removed));
        future.set_result(()).unwrap();
        assert!(!future.remove_done_callback(kept)); // in the queue already
        sleep(0).await;
    });
    assert_eq!(trace, ["kept"]);
}

#[test]
fn a_panicking_callback_does_not_stop_the_later_ones() {
    // S27
    let event_loop = new_loop();
    let reports = collect_reports(&event_loop);
    let trace = Trace::default();
    let log = trace.clone();
    event_loop
        .run_until_complete(async move {
            let future = Promise::new();
            future.add_done_callback(|_| panic!("broken callback"));
            future.add_done_callback(move |_| log.log("second"));
            future.set_result(()).unwrap();
            sleep(0).await;
        })
        .unwrap();
    assert_eq!(trace, ["second"]);
    assert_eq!(
        reports,
        ["panic in a callback of the event loop: broken callback"]
    );
}

#[test]
fn an_awaiting_task_has_its_place_among_the_callbacks() {
    // S28
    let trace = traced(|trace| async move {
        let future = Promise::new();
        let callback = |line: &'static str| {
            let trace = trace.clone();
            future.add_done_callback(move |_: &Promise<()>| trace.log(line));
        };
        callback("callback before the await");
        let (awaited, log) = (future.clone(), trace.clone());
        create_task(async move {
            awaited.await.unwrap();
            log.log("task");
        })
        .detach();
        settle(1).await;
        callback("callback after the await");
        future.set_result(()).unwrap();
        settle(1).await;
    });
    assert_eq!(
        trace,
        [
            "callback before the await",
            "task",
            "callback after the await",
        ]
    );
}

#[test]
fn all_tasks_that_await_one_future_wake_in_the_order_in_which_they_began() {
    // S29
    let trace = traced(|trace| async move {
        let future = Promise::new();
        for line in ["a", "b", "c"] {
            let (awaited, trace) = (future.clone(), trace.clone());
            create_task(async move {
                let value: i32 = awaited.await.unwrap();
                trace.log(format!("{line}: {value}"));
            })
            .detach();
        }
        settle(1).await;
        future.set_result(5).unwrap();
        settle(1).await;
    });
    assert_eq!(trace, ["a: 5", "b: 5", "c: 5"]);
}

#[test]
fn awaiting_a_done_future_does_not_yield() {
    // S30
    let trace = traced(|trace| async move {
        get_running_loop().call_soon(trace.logs("next turn"));
        for future in done_futures() {
            let _ = future.await;
            trace.log("went on");
        }
        settle(1).await;
    });
    assert_eq!(trace, ["went on", "went on", "went on", "next turn"]);
}

#[test]
fn everybody_gets_the_same_exception_object() {
    // S31
    run(async {
        let future = Promise::<()>::new();
        future.set_exception("broken").unwrap();
        let mut seen = Vec::new();
        for _ in 0..2 {
            match (&future).await {
                Err(FutureError::Exception(exception)) => seen.push(exception),
                other => panic!("{other:?}"),
            }
        }
        assert!(Rc::ptr_eq(&seen[0], &seen[1]));
        assert!(Rc::ptr_eq(&seen[0], &future.exception().unwrap().unwrap()));
    });
}

#[test]
fn a_cancelled_error_as_exception_is_a_finished_future() {
    // S32
    run(async {
        let future = Promise::<()>::new();
        future
            .set_exception(CancelledError::with_message("from outside"))
            .unwrap();
        assert!(future.done() && !future.cancelled());
        let Err(FutureError::Exception(exception)) = future.await else {
            panic!("finished with an exception")
        };
        // Python raises it where it is awaited; here the awaiter decides, and may `propagate` it.
        let cancelled = exception.downcast_ref::<CancelledError>().unwrap();
        assert_eq!(cancelled.message(), Some("from outside"));
    });
}

/// Drops a failed future after `look` had it, and gives what was reported.
fn reports_after(look: impl FnOnce(&Promise<()>) + 'static) -> Trace {
    let event_loop = new_loop();
    let reports = collect_reports(&event_loop);
    let early = reports.clone();
    event_loop
        .run_until_complete(async move {
            let future = Promise::<()>::new();
            let clone = future.clone();
            future.set_exception("broken").unwrap();
            look(&future);
            drop(future);
            assert!(early.is_empty()); // a handle is left
            drop(clone);
        })
        .unwrap();
    reports
}

#[test]
fn an_exception_nobody_looked_at_is_reported_when_the_last_handle_goes() {
    // S33
    assert_eq!(
        reports_after(|_| ()),
        ["a future's exception was never retrieved: broken"]
    );
}

#[test]
fn looking_at_an_exception_or_cancelling_silences_the_report() {
    // S33
    assert!(reports_after(|future| drop(future.result())).is_empty());
    assert!(reports_after(|future| drop(future.exception())).is_empty());
    assert!(reports_after(|future| assert!(!future.cancel())).is_empty());
}

#[test]
fn awaiting_an_exception_silences_the_report() {
    // S33
    let event_loop = new_loop();
    let reports = collect_reports(&event_loop);
    event_loop
        .run_until_complete(async {
            let future = Promise::<()>::new();
            future.set_exception("broken").unwrap();
            assert!(future.await.is_err());
        })
        .unwrap();
    assert!(reports.is_empty());
}

#[test]
fn a_future_is_bound_to_its_thread_and_not_to_its_loop() {
    // S34: Python refuses a future of another loop. Here the compiler keeps it in its thread (it is not `Send`), and two
    // loops of one thread may share one: the wake finds the right loop.
    let (first, second) = (new_loop(), new_loop());
    let future = first.run_until_complete(async { Promise::new() }).unwrap();
    let awaited = future.clone();
    let mut waiter = first.create_task(async move { awaited.await.unwrap() });
    first.turn(Some(std::time::Duration::ZERO)).unwrap();
    second
        .run_until_complete(async move { future.set_result(5).unwrap() })
        .unwrap();
    assert_eq!(first.run_task(&mut waiter).unwrap(), 5);
}

#[test]
fn a_dropped_await_gives_up_its_place_and_leaves_the_future_alone() {
    // S29: no counterpart in Python (L2).
    run(async {
        let future = Promise::<i32>::new();
        let gives_up = future.clone();
        let task = create_task(async move {
            let mut wait = std::pin::pin!(std::future::IntoFuture::into_future(gives_up));
            assert!(futures_util::poll!(&mut wait).is_pending());
            // The end of this task drops the await.
        });
        task.await.unwrap();
        assert!(!future.done());
        future.set_result(1).unwrap();
        assert_eq!(future.await.unwrap(), 1);
    });
}

#[test]
fn cancelling_an_awaiter_cancels_the_future_for_everybody() {
    // S23, S47
    let trace = traced(|trace| async move {
        let future = Promise::<()>::new();
        let mut tasks = Vec::new();
        for line in ["a", "b"] {
            let (awaited, trace) = (future.clone(), trace.clone());
            tasks.push(create_task(async move {
                match catch_cancelled(awaited).await {
                    Err(_) => trace.log(format!("{line}: asked to end")),
                    Ok(Err(error)) => trace.log(format!("{line}: {error}")),
                    Ok(Ok(())) => unreachable!(),
                }
                trace.log(format!("{line}: {}", current_task().unwrap().cancelling()));
            }));
        }
        settle(1).await;
        tasks[0].cancel();
        trace.log(format!("future cancelled: {}", future.cancelled()));
        get_running_loop().call_soon(trace.logs("callback"));
        settle(1).await;
    });
    assert_eq!(
        trace,
        [
            "future cancelled: true", // at once, inside `cancel()`
            "a: asked to end",
            "a: 1",
            "b: cancelled", // nobody asked `b`: for it the outcome is a value
            "b: 0",
            "callback",
        ]
    );
}

#[test]
fn a_callback_may_look_at_the_future_and_add_another() {
    // S24, S25
    let lines = Rc::new(RefCell::new(Vec::new()));
    let seen = lines.clone();
    run(async move {
        let future = Promise::new();
        future.add_done_callback(move |future: &Promise<i32>| {
            let value = future.result().unwrap();
            seen.borrow_mut().push(value);
            let seen = seen.clone();
            future.add_done_callback(move |_| seen.borrow_mut().push(value + 1));
        });
        future.set_result(1).unwrap();
        settle(1).await;
        settle(1).await;
    });
    assert_eq!(*lines.borrow(), [1, 2]);
}
