//! Cancellation: S43 to S61.

use std::cell::RefCell;
use std::future::{Future, IntoFuture, pending};
use std::rc::Rc;

use asyncio::{
    CancelledError, Event, Future as Promise, FutureError, Lock, Queue, TaskError, TaskGroup,
    catch_cancelled, create_task, current_task, finally, gather, get_running_loop, sleep, timeout,
};

use crate::harness::{Trace, run, settle, traced};

fn me() -> asyncio::TaskRef {
    current_task().unwrap()
}

/// Awaits a body; when it is cancelled, logs the message and the count of requests, and raises again.
async fn logs_cancel<T>(trace: Trace, name: &str, body: impl IntoFuture<Output = T>) -> T {
    match catch_cancelled(body).await {
        Ok(value) => value,
        Err(error) => {
            trace.log(format!("{name}: {error}, count {}", me().cancelling()));
            error.propagate().await
        }
    }
}

#[test]
fn cancel_returns_true_until_the_task_is_done_and_counts() {
    // S43
    run(async {
        let task = create_task(pending::<()>());
        settle(1).await;
        assert_eq!(task.cancelling(), 0);
        assert!(task.cancel());
        assert!(task.cancel());
        assert_eq!(task.cancelling(), 2);
        settle(1).await;
        assert!(task.done());
        assert!(!task.cancel());
        assert_eq!(task.cancelling(), 2);

        let ended = create_task(async {});
        settle(1).await;
        assert!(!ended.cancel());
        assert_eq!(ended.cancelling(), 0);
    });
}

#[test]
fn cancel_runs_none_of_the_tasks_code() {
    // S44
    let trace = traced(|trace| async move {
        let log = trace.clone();
        let task = create_task(async move {
            let _guard = log.on_drop("dropped");
            logs_cancel(log.clone(), "task", sleep(100)).await;
        });
        settle(1).await;
        task.cancel();
        trace.log("cancel has returned");
        settle(1).await;
    });
    assert_eq!(
        trace,
        ["cancel has returned", "task: cancelled, count 1", "dropped"]
    );
}

#[test]
fn a_task_cancelled_before_its_first_step_never_runs_and_ends_when_it_would_have() {
    // S45
    let trace = traced(|trace| async move {
        create_task({
            let trace = trace.clone();
            async move { trace.log("earlier task") }
        })
        .detach();
        let (log, guard) = (trace.clone(), trace.on_drop("body dropped"));
        let task = create_task(async move {
            let _guard = guard;
            finally(pending::<()>(), async move { log.log("never") }).await;
        });
        create_task({
            let trace = trace.clone();
            async move { trace.log("later task") }
        })
        .detach();
        task.cancel();
        trace.log(format!("cancelled: {}", task.cancelled()));
        settle(1).await;
        trace.log(format!("cancelled: {}", task.cancelled()));
    });
    assert_eq!(
        trace,
        [
            "cancelled: false",
            "earlier task",
            "body dropped",
            "later task",
            "cancelled: true",
        ]
    );
}

#[test]
fn a_task_is_cancelled_only_when_its_body_has_ended_so() {
    // S46
    run(async {
        let task = create_task(finally(pending::<()>(), sleep(5)));
        settle(1).await;
        task.cancel();
        assert!(!task.cancelled());
        settle(3).await;
        assert!(!task.done() && !task.cancelled()); // in its cleanup
        sleep(5).await;
        assert!(task.done() && task.cancelled());
    });
}

#[test]
fn a_task_blocked_on_a_future_cancels_it_at_once_and_goes_on_a_turn_later() {
    // S47
    let trace = traced(|trace| async move {
        let future = Promise::<()>::new();
        let (log, waiter) = (trace.clone(), future.clone());
        let task = create_task(async move { logs_cancel(log, "task", waiter).await });
        settle(1).await;
        get_running_loop().call_soon(trace.logs("queued before"));
        task.cancel();
        get_running_loop().call_soon(trace.logs("queued after"));
        trace.log(format!("future cancelled: {}", future.cancelled()));
        settle(1).await;
    });
    assert_eq!(
        trace,
        [
            "future cancelled: true",
            "queued before",
            "task: cancelled, count 1",
            "queued after",
        ]
    );
}

#[test]
fn a_request_wins_over_a_result_that_was_not_taken_yet() {
    // S48
    let trace = traced(|trace| async move {
        let future = Promise::new();
        let (log, waiter) = (trace.clone(), future.clone());
        let task = create_task(async move {
            let value = logs_cancel(log.clone(), "task", waiter).await;
            log.log(format!("never: {value:?}"));
        });
        settle(1).await;
        future.set_result(1).unwrap(); // the task is queued to resume
        assert!(task.cancel());
        settle(1).await;
        trace.log(format!("cancelled: {}", task.cancelled()));
        trace.log(format!("the future keeps: {}", future.result().unwrap()));
    });
    assert_eq!(
        trace,
        [
            "task: cancelled, count 1",
            "cancelled: true",
            "the future keeps: 1",
        ]
    );
}

#[test]
fn a_request_wins_over_a_plain_value_that_was_not_taken_yet() {
    // S48: the same where nothing but the task's own wake is between (a lock, a sleep).
    run(async {
        let lock = Rc::new(Lock::new());
        let guard = lock.acquire().await;
        let waiter = lock.clone();
        let task = create_task(async move {
            let _guard = waiter.acquire().await;
            unreachable!("it took the lock");
        });
        settle(1).await;
        drop(guard);
        assert!(task.cancel());
        settle(1).await;
        assert!(task.cancelled());
        assert!(!lock.locked()); // and the lock is not lost with it
    });
}

#[test]
fn a_request_wins_over_an_exception_that_was_not_taken_yet() {
    // S49
    run(async {
        let future = Promise::<()>::new();
        let waiter = future.clone();
        let task = create_task(async move {
            let error = waiter.await.unwrap_err();
            unreachable!("{error}");
        });
        settle(1).await;
        future.set_exception("broken").unwrap();
        assert!(task.cancel());
        settle(1).await;
        assert!(task.cancelled());
        assert!(future.exception().unwrap().is_some());
    });
}

#[test]
fn a_task_that_cancels_itself_goes_on_until_it_suspends() {
    // S50
    let trace = traced(|trace| async move {
        let log = trace.clone();
        let task = create_task(async move {
            assert!(me().cancel());
            passes_without_suspending().await;
            log.log("passed");
            logs_cancel(log.clone(), "at the first suspension", sleep(0)).await;
            log.log("never");
        });
        let outcome = task.await;
        trace.log(format!("{outcome:?}"));
    });
    assert_eq!(
        trace,
        [
            "passed",
            "at the first suspension: cancelled, count 1",
            "Err(Cancelled(CancelledError()))",
        ]
    );
}

/// Everything that may be awaited without suspending.
async fn passes_without_suspending() {
    let queue = Queue::new();
    queue.put(1).await.unwrap();
    assert_eq!(queue.get().await.unwrap(), 1);
    let event = Event::new();
    event.set();
    event.wait().await;
    drop(Lock::new().acquire().await);
    let future = Promise::new();
    future.set_result(()).unwrap();
    future.await.unwrap();
    gather(Vec::<std::future::Ready<()>>::new()).await;
    TaskGroup::<()>::scope(async |_| Ok(())).await.unwrap();
    catch_cancelled(async {}).await.unwrap();
    timeout(0, async {}).await.unwrap();
}

#[test]
fn a_callback_that_cancels_the_running_task_is_heard_at_the_next_suspension() {
    // S50
    let trace = traced(|trace| async move {
        let log = trace.clone();
        let task = create_task(async move {
            let own = me();
            let helper = move || assert!(own.cancel());
            helper(); // called by the task itself
            log.log("still running");
            sleep(0).await;
            log.log("never");
        });
        settle(2).await;
        assert!(task.cancelled());
    });
    assert_eq!(trace, ["still running"]);
}

#[test]
fn a_task_that_cancelled_itself_and_then_awaits_a_task_passes_the_request_on() {
    // S51
    let trace = traced(|trace| async move {
        let log = trace.clone();
        let outer = create_task(async move {
            let inner_log = log.clone();
            let inner = create_task(async move {
                let caught = catch_cancelled(pending::<()>()).await;
                inner_log.log("inner cleans up");
                sleep(0).await;
                inner_log.log("inner ends");
                caught.unwrap_err().propagate::<()>().await;
            });
            settle(1).await;
            me().cancel();
            log.log("cancelled itself");
            let _ = logs_cancel(log.clone(), "outer", inner).await;
            log.log("never");
        });
        trace.log(format!("{:?}", outer.await));
    });
    assert_eq!(
        trace,
        [
            "cancelled itself",
            "inner cleans up", // asked first
            "inner ends",
            "outer: cancelled, count 1", // and waited for
            "Err(Cancelled(CancelledError()))",
        ]
    );
}

#[test]
fn a_task_that_cancelled_itself_and_awaits_a_future_cancels_it() {
    // S51
    run(async {
        let future = Promise::<()>::new();
        let awaited = future.clone();
        let task = create_task(async move {
            me().cancel();
            let _ = awaited.await;
            unreachable!();
        });
        settle(1).await;
        assert!(future.cancelled());
        assert!(!task.done()); // one turn for the future to resume it
        settle(1).await;
        assert!(task.cancelled());
    });
}

#[test]
fn a_task_that_was_asked_and_returns_without_suspending_is_cancelled() {
    // S52
    run(async {
        let task = create_task(async {
            me().cancel();
            "lost"
        });
        let Err(TaskError::Cancelled(_)) = task.await else {
            panic!("the value is lost")
        };
    });
}

#[test]
fn a_task_that_was_asked_and_panics_has_panicked() {
    // S52: an exception wins over the flag. Here that is a panic; an `Err` is a return value like any other, and is lost.
    run(async {
        let panics = create_task(async {
            me().cancel();
            panic!("wins");
        });
        assert!(panics.await.unwrap_err().is_panic());
        let fails = create_task(async {
            me().cancel();
            Err::<(), _>("lost")
        });
        assert!(fails.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn several_requests_before_delivery_make_one_cancellation() {
    // S53
    let trace = traced(|trace| async move {
        let log = trace.clone();
        let task = create_task(async move {
            for n in 1..=2 {
                match catch_cancelled(sleep(10)).await {
                    Err(_) => log.log(format!("sleep {n} cancelled, count {}", me().cancelling())),
                    Ok(()) => log.log(format!("sleep {n} undisturbed")),
                }
            }
        });
        settle(1).await;
        for _ in 0..3 {
            task.cancel();
        }
        task.await.unwrap();
    });
    assert_eq!(trace, ["sleep 1 cancelled, count 3", "sleep 2 undisturbed"]);
}

/// Cancels a task twice, with the messages "a" and "b", and gives the message its awaiter sees.
async fn message_of_two<F: Future + 'static>(body: F, started: bool) -> String {
    let task = create_task(body);
    if started {
        settle(1).await;
    }
    task.cancel_with("a");
    task.cancel_with("b");
    match task.await {
        Err(TaskError::Cancelled(error)) => error.message().unwrap().to_owned(),
        _ => panic!("not cancelled"),
    }
}

#[test]
fn the_message_is_that_of_the_first_request_a_waiter_heard() {
    // S53
    run(async {
        assert_eq!(
            message_of_two(async { drop(Promise::<()>::new().await) }, true).await,
            "a"
        );
        assert_eq!(message_of_two(sleep(100), true).await, "a");
        let caught = async {
            let error = catch_cancelled(sleep(100)).await.unwrap_err();
            error.propagate::<()>().await;
        };
        assert_eq!(message_of_two(caught, true).await, "a");
        // Nobody hears of it before the first step, so the last one counts.
        assert_eq!(message_of_two(sleep(100), false).await, "b");
    });
}

#[test]
fn a_request_during_cleanup_is_raised_in_the_cleanup() {
    // S54
    let trace = traced(|trace| async move {
        let log = trace.clone();
        let task = create_task(async move {
            let first = catch_cancelled(sleep(100)).await.unwrap_err();
            log.log(format!("first: {first}, count {}", me().cancelling()));
            let second = catch_cancelled(sleep(100)).await.unwrap_err();
            log.log(format!("second: {second}, count {}", me().cancelling()));
            sleep(0).await;
            log.log("goes on");
            first.propagate::<()>().await;
        });
        settle(1).await;
        task.cancel_with("1");
        settle(1).await;
        task.cancel_with("2");
        trace.log(format!("{:?}", task.await.unwrap_err()));
    });
    assert_eq!(
        trace,
        [
            "first: cancelled: 1, count 1",
            "second: cancelled: 2, count 2",
            "goes on", // both are delivered: this await is not disturbed
            "Cancelled(CancelledError(\"1\"))",
        ]
    );
}

#[test]
fn a_request_during_unguarded_cleanup_ends_it() {
    // S54
    let trace = traced(|trace| async move {
        let log = trace.clone();
        let cleanup = async move {
            let _guard = log.on_drop("cleanup dropped");
            log.log("cleanup begins");
            sleep(1).await;
            log.log("never");
        };
        let task = create_task(finally(pending::<()>(), cleanup));
        settle(1).await;
        task.cancel();
        settle(1).await;
        task.cancel();
        settle(1).await;
        trace.log(format!("cancelled: {}", task.cancelled()));
    });
    assert_eq!(
        trace,
        ["cleanup begins", "cleanup dropped", "cancelled: true"]
    );
}

#[test]
fn a_task_may_swallow_a_request_and_go_on_undisturbed() {
    // S55
    run(async {
        let task = create_task(async {
            assert!(catch_cancelled(sleep(10)).await.is_err());
            sleep(0).await;
            sleep(10).await;
            let other = create_task(async { 1 });
            assert_eq!(other.await.unwrap(), 1);
            me().cancelling()
        });
        settle(1).await;
        task.cancel();
        // The count stays up until somebody calls `uncancel`.
        assert_eq!(task.await.unwrap(), 1);
    });
}

#[test]
fn uncancel_counts_down_to_zero_and_no_further() {
    // S56
    run(async {
        let task = create_task(async { while catch_cancelled(sleep(10)).await.is_err() {} });
        settle(1).await;
        task.cancel();
        task.cancel();
        assert_eq!(task.uncancel(), 1);
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.uncancel(), 0);
        task.cancel();
        settle(1).await; // swallowed
        assert_eq!(task.cancelling(), 1);
        sleep(20).await;
        assert!(task.done());
        assert_eq!(task.uncancel(), 0); // harmless
    });
}

#[test]
fn uncancel_withdraws_a_request_nobody_heard_of() {
    // S56
    run(async {
        let never_started = create_task(async { "ran" });
        never_started.cancel();
        never_started.uncancel();
        assert_eq!(never_started.await.unwrap(), "ran");

        let suspended = create_task(async {
            sleep(0).await;
            "went on"
        });
        settle(1).await;
        suspended.cancel();
        suspended.uncancel();
        assert_eq!(suspended.await.unwrap(), "went on");

        // Done already and not taken yet (S48): the result is not lost after all.
        let future = Promise::new();
        let waiter = future.clone();
        let resumes = create_task(async move { waiter.await.unwrap() });
        settle(1).await;
        future.set_result(5).unwrap();
        resumes.cancel();
        resumes.uncancel();
        assert_eq!(resumes.await.unwrap(), 5);
    });
}

#[test]
fn uncancel_withdraws_a_request_to_a_sleeper() {
    // S56: Python's sleep waits for a future, which is cancelled for good; ours waits for its timer, and sleeps on.
    run(async {
        let sleeper = create_task(async {
            sleep(10).await;
            "slept"
        });
        settle(1).await;
        sleeper.cancel();
        sleeper.uncancel();
        assert_eq!(sleeper.await.unwrap(), "slept");
    });
}

#[test]
fn a_withdrawn_request_leaves_room_for_a_later_one() {
    // S56
    run(async {
        let task = create_task(sleep(10));
        settle(1).await;
        task.cancel_with("withdrawn");
        task.uncancel();
        settle(1).await;
        assert!(!task.done());
        task.cancel_with("meant");
        let Err(TaskError::Cancelled(error)) = task.await else {
            panic!("not cancelled")
        };
        assert_eq!(error.message(), Some("meant"));
    });
}

#[test]
fn uncancel_does_not_take_back_what_was_passed_on() {
    // S56, S47
    run(async {
        let future = Promise::<()>::new();
        let waiter = future.clone();
        let task = create_task(async move { catch_cancelled(waiter).await.is_err() });
        settle(1).await;
        task.cancel();
        assert_eq!(task.uncancel(), 0);
        assert!(future.cancelled());
        assert!(task.await.unwrap());
    });
}

/// Awaits a body, then a cleanup that takes one turn.
async fn step(trace: Trace, name: &'static str, body: impl Future<Output = ()>) {
    finally(body, async move {
        trace.log(format!("{name} cleans up"));
        sleep(0).await;
        trace.log(format!("{name} done"));
    })
    .await;
}

#[test]
fn unwinding_goes_from_the_innermost_outwards_and_each_cleanup_is_awaited() {
    // S57
    let trace = traced(|trace| async move {
        let log = trace.clone();
        let task = create_task(async move {
            let inner = step(log.clone(), "inner", sleep(100));
            let middle = step(log.clone(), "middle", inner);
            step(log, "outer", middle).await;
        });
        settle(1).await;
        task.cancel();
        let other = trace.clone();
        let other = create_task(async move {
            for n in 0..4 {
                other.log(format!("other {n}"));
                sleep(0).await;
            }
        });
        assert!(task.await.unwrap_err().is_cancelled());
        trace.log("end");
        other.await.unwrap();
    });
    // CPython 3.13's trace, entry by entry.
    assert_eq!(
        trace,
        [
            "inner cleans up",
            "other 0",
            "inner done",
            "middle cleans up",
            "other 1",
            "middle done",
            "outer cleans up",
            "other 2",
            "outer done",
            "other 3",
            "end",
        ]
    );
}

#[test]
fn what_is_dropped_between_two_scopes_is_dropped_on_the_way() {
    // S57: `Drop` code runs innermost first as well, but cannot await (L1).
    let trace = traced(|trace| async move {
        let log = trace.clone();
        let task = create_task(async move {
            let _outer = log.on_drop("outer guard");
            let (inner_log, cleanup_log) = (log.clone(), log.clone());
            finally(
                async move {
                    let _inner = inner_log.on_drop("inner guard");
                    sleep(100).await;
                },
                async move { cleanup_log.log("cleanup") },
            )
            .await;
            log.log("never");
        });
        settle(1).await;
        task.cancel();
        settle(1).await;
    });
    assert_eq!(trace, ["inner guard", "cleanup", "outer guard"]);
}

#[test]
fn a_failure_during_cancellation_is_the_outcome() {
    // S58
    run(async {
        let panics = create_task(async {
            let _ = catch_cancelled(sleep(100)).await;
            panic!("in cleanup");
        });
        let fails = create_task(async {
            match catch_cancelled(sleep(100)).await {
                Err(_) => Err("in cleanup"),
                Ok(()) => Ok(()),
            }
        });
        settle(1).await;
        panics.cancel();
        fails.cancel();
        settle(1).await;
        assert!(!panics.cancelled() && !fails.cancelled());
        assert!(panics.await.unwrap_err().is_panic());
        assert_eq!(fails.await.unwrap(), Err("in cleanup"));
    });
}

#[test]
fn a_return_during_cancellation_is_a_success() {
    // S58
    run(async {
        let task = create_task(async { catch_cancelled(sleep(100)).await.is_err() });
        settle(1).await;
        task.cancel();
        settle(1).await;
        assert!(task.done() && !task.cancelled());
        assert!(task.await.unwrap());
    });
}

#[test]
fn a_future_cancelled_by_somebody_else_is_a_value_for_its_awaiter() {
    // S59
    run(async {
        let future = Promise::<()>::new();
        let waiter = future.clone();
        let task = create_task(async move {
            match waiter.await {
                Err(FutureError::Cancelled { .. }) => {
                    assert_eq!(me().cancelling(), 0);
                    CancelledError::new().propagate::<()>().await;
                }
                other => panic!("{other:?}"),
            }
        });
        settle(1).await;
        future.cancel();
        settle(1).await;
        assert!(task.cancelled()); // it chose to pass it on, which Python does by itself
        assert_eq!(task.cancelling(), 0);
    });
}

#[test]
fn the_message_of_a_request_is_seen_inside_and_by_the_awaiter() {
    // S60
    let trace = traced(|trace| async move {
        let log = trace.clone();
        let task = create_task(async move { logs_cancel(log, "inside", sleep(100)).await });
        settle(1).await;
        task.cancel_with("shutting down");
        trace.log(format!("awaiter: {}", task.await.unwrap_err()));

        let future = Promise::<()>::new();
        future.cancel_with("no more");
        trace.log(format!("future: {}", future.await.unwrap_err()));
    });
    assert_eq!(
        trace,
        [
            "inside: cancelled: shutting down, count 1",
            "awaiter: the task was cancelled: shutting down",
            "future: cancelled: no more",
        ]
    );
}

#[test]
fn a_message_goes_on_through_a_future_and_an_awaited_task() {
    // S60
    run(async {
        let future = Promise::<()>::new();
        let awaited = future.clone();
        let inner = create_task(async move { drop(awaited.await) });
        let outer = create_task(async move { drop(inner.await) });
        settle(2).await;
        outer.cancel_with("why");
        let Err(TaskError::Cancelled(error)) = outer.await else {
            panic!("not cancelled")
        };
        assert_eq!(error.message(), Some("why"));
        assert_eq!(future.result().unwrap_err().to_string(), "cancelled: why");
    });
}

#[test]
fn code_that_handles_errors_does_not_catch_a_request() {
    // S61
    let trace = traced(|trace| async move {
        let inner = create_task(pending::<()>());
        let log = trace.clone();
        let generic = async move {
            let outcome: Result<(), Box<dyn std::error::Error>> = async {
                inner.await?; // `?` converts any error ...
                Ok(())
            }
            .await;
            log.log(format!("never: {outcome:?}")); // ... but a request is none
        };
        let task = create_task(generic);
        settle(1).await;
        task.cancel();
        trace.log(format!("{:?}", task.await));
    });
    assert_eq!(trace, ["Err(Cancelled(CancelledError()))"]);
}

#[test]
fn a_loop_that_retries_after_every_error_can_be_cancelled() {
    // S61
    run(async {
        let attempts = Rc::new(RefCell::new(0));
        let count = attempts.clone();
        let task = create_task(async move {
            loop {
                *count.borrow_mut() += 1;
                let attempt = create_task(async {
                    sleep(1).await;
                    Err::<(), _>("failed")
                });
                if let Ok(Ok(())) = attempt.await {
                    break;
                }
            }
        });
        sleep(2.5).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(*attempts.borrow(), 3);
    });
}
