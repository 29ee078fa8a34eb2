//! Future: S20 to S34.

use std::rc::Rc;

use asyncio::{
    CancelledError, Future as Promise, FutureError, create_task, get_running_loop, sleep,
};

use crate::harness::{Trace, collect_reports, new_loop, run, settle};
use crate::twin::{Failure, Told, log, me, outcome, twin};

/// The three ways in which a future can be done.
fn done_futures() -> [Promise<i32>; 3] {
    let futures = [Promise::new(), Promise::new(), Promise::new()];
    futures[0].set_result(1).unwrap();
    futures[1].set_exception(Failure("broken")).unwrap();
    futures[1].exception().unwrap(); // looked at, so that nobody is told
    assert!(futures[2].cancel());
    futures
}

fn exception_told(future: &Promise<i32>) -> String {
    match future.exception() {
        Ok(None) => "None".to_owned(),
        Ok(Some(error)) => error.downcast_ref::<Failure>().unwrap().told(),
        Err(error) => error.told(),
    }
}

#[test]
fn a_future_is_pending_finished_or_cancelled() {
    // S20
    twin(async || {
        for future in [Promise::new()].into_iter().chain(done_futures()) {
            log(format!(
                "{} {}",
                future.done().told(),
                future.cancelled().told()
            ));
        }
    });
}

#[test]
fn result_and_exception_say_how_a_future_ended() {
    // S21
    twin(async || {
        for future in [Promise::new()].into_iter().chain(done_futures()) {
            log(format!("result: {}", future.result().told()));
            log(format!("exception: {}", exception_told(&future)));
        }
    });
}

#[test]
fn a_done_future_refuses_another_outcome_and_keeps_its_own() {
    // S22
    twin(async || {
        for future in done_futures() {
            log(format!("set_result: {}", future.set_result(2).told()));
            let late = future.set_exception(Failure("late"));
            log(format!("set_exception: {}", late.told()));
            log(format!("still: {}", future.result().told()));
        }
    });
}

#[test]
fn a_pending_future_is_cancelled_at_once_and_a_done_one_not_at_all() {
    // S23
    twin(async || {
        let future = Promise::<()>::new();
        future.add_done_callback(|future| {
            log(format!(
                "callback, cancelled: {}",
                future.cancelled().told()
            ));
        });
        log(format!("cancel: {}", future.cancel().told()));
        log(format!("cancelled: {}", future.cancelled().told()));
        log(format!("cancel again: {}", future.cancel().told()));
        sleep(0).await;
        for future in done_futures() {
            log(future.cancel().told());
        }
    });
}

#[test]
fn callbacks_run_once_each_in_order_of_registration_and_never_at_once() {
    // S24
    twin(async || {
        let future = Promise::new();
        for line in ["a", "b", "c"] {
            future.add_done_callback(move |future: &Promise<i32>| {
                log(format!("{line}: {}", future.result().told()));
            });
        }
        get_running_loop().call_soon(|| log("queued before the result"));
        future.set_result(7).unwrap();
        log("result set"); // nothing has run inside `set_result`
        settle(3).await;
    });
}

#[test]
fn a_callback_added_to_a_done_future_runs_in_the_next_turn() {
    // S25
    twin(async || {
        let future = Promise::new();
        future.set_result(()).unwrap();
        future.add_done_callback(|_| log("callback"));
        log("added");
        sleep(0).await;
        log("next turn");
    });
}

#[test]
fn a_removed_callback_does_not_run_and_a_queued_one_cannot_be_recalled() {
    // S26: by id, because closures have no equality.
    twin(async || {
        let future = Promise::new();
        let kept = future.add_done_callback(|_| log("kept"));
        let removed = future.add_done_callback(|_| log("removed"));
        let remove = |id| future.remove_done_callback(id).told();
        log(format!("{} {}", remove(removed), remove(removed)));
        future.set_result(()).unwrap();
        log(remove(kept)); // in the queue already
        sleep(0).await;
    });
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
    twin(async || {
        let future = Promise::<()>::new();
        future.add_done_callback(|_| log("callback before the await"));
        let awaited = future.clone();
        let task = create_task(async move {
            awaited.await.unwrap();
            log("task");
        });
        settle(1).await;
        future.add_done_callback(|_| log("callback after the await"));
        future.set_result(()).unwrap();
        settle(1).await;
        task.await.unwrap();
    });
}

#[test]
fn all_tasks_that_await_one_future_wake_in_the_order_in_which_they_began() {
    // S29
    twin(async || {
        let future = Promise::<i32>::new();
        let tasks = ["a", "b", "c"].map(|line| {
            let awaited = future.clone();
            create_task(async move { log(format!("{line}: {}", awaited.await.told())) })
        });
        settle(1).await;
        future.set_result(5).unwrap();
        settle(1).await;
        log(tasks[2].done().told());
    });
}

#[test]
fn awaiting_a_done_future_does_not_yield() {
    // S30
    twin(async || {
        get_running_loop().call_soon(|| log("next turn"));
        let names = ["finished", "failed", "cancelled"];
        for (name, future) in names.into_iter().zip(done_futures()) {
            outcome(name, future).await;
        }
        settle(1).await;
    });
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
    // S23
    // S47: R! nobody asked `b`, for which the outcome is a value.
    twin(async || {
        let future = Promise::<()>::new();
        let tasks = ["a", "b"].map(|name| {
            let awaited = future.clone();
            create_task(async move {
                outcome(name, awaited).await;
                log(format!("{name}: {}", me()));
            })
        });
        settle(1).await;
        tasks[0].cancel();
        log(format!("future cancelled: {}", future.cancelled().told()));
        get_running_loop().call_soon(|| log("callback"));
        settle(1).await;
    });
}

#[test]
fn a_callback_may_look_at_the_future_and_add_another() {
    // S24
    // S25
    twin(async || {
        let future = Promise::<i32>::new();
        future.add_done_callback(|future| {
            let value = future.result().unwrap();
            log(value.told());
            future.add_done_callback(move |_| log((value + 1).told()));
            log("added");
        });
        future.set_result(1).unwrap();
        settle(1).await;
        log("next turn");
        settle(1).await;
    });
}

#[test]
fn a_failing_callback_does_not_stop_the_later_ones() {
    // S27
    twin(async || {
        get_running_loop().set_exception_handler(Some(Rc::new(|_| ())));
        let future = Promise::new();
        future.add_done_callback(|_| {
            log("first");
            panic!("callback");
        });
        future.add_done_callback(|_| log("second"));
        future.set_result(()).unwrap();
        sleep(0).await;
        log("the task goes on");
    });
}
