//! `gather` and `try_gather`: S67 to S78.
//!
//! `try_gather` is Python's `gather(…)`, `gather` its `gather(…, return_exceptions=True)`: an `Err` is a value.

use std::cell::OnceCell;
use std::future::{IntoFuture, Ready};
use std::rc::Rc;

use asyncio::{
    Future as Promise, TaskRef, all_tasks, create_task, gather, get_running_loop, sleep, try_gather,
};

use crate::harness::{collect_reports, new_loop, settle};
use crate::twin::{
    Failure, Told, cleans, fails, fails_in_cleanup, hangs, log, now, outcome, succeeds, swallows,
    ticks, trace_of, twin, works,
};

async fn ok<T>(future: impl IntoFuture<Output = T>) -> Result<T, Failure> {
    Ok(future.await)
}

#[test]
fn results_come_in_the_order_of_the_arguments() {
    // S67
    twin(async || {
        let all = gather((
            works("slow", 3, 1),
            works("fast", 1, 2),
            works("middle", 2, 3),
        ));
        log(all.await.told());
    });
}

#[test]
fn work_starts_at_the_call_and_in_order() {
    // S68, S78
    twin(async || {
        let child = async |name: &'static str| log(format!("{name} starts"));
        let gathering = gather([child("a"), child("b"), child("c")]);
        log("called");
        settle(1).await;
        log("before the await");
        gathering.await;
    });
}

#[test]
fn the_same_future_given_twice_gives_its_result_in_both_places() {
    // S69: a `Future` can be given twice, a `Task` cannot: it is one value.
    twin(async || {
        let future = Promise::new();
        let setter = future.clone();
        get_running_loop().call_later(1, move || setter.set_result(7).unwrap());
        let again = future.clone();
        let all = gather((
            future.into_future(),
            works("other", 2, 0),
            again.into_future(),
        ));
        log(all.await.told());
    });
}

#[test]
fn without_anything_to_wait_for_it_does_not_suspend() {
    // S70
    twin(async || {
        let done = create_task(works("child", 0, 1));
        settle(3).await;
        ticks(1);
        log(gather(Vec::<Ready<i32>>::new()).await.told());
        log(gather([done]).await.told());
        settle(1).await;
    });
}

#[test]
fn the_first_error_ends_it_and_the_others_run_on() {
    // S71
    twin(async || {
        let gathering = try_gather((
            succeeds("a", 3, ()),
            fails("b", 1),
            fails("c", 2),
            succeeds("d", 4, ()),
        ));
        outcome("gather", async { gathering.await.map(|_| ()) }).await;
        log(now());
        sleep(5).await;
    });
}

#[test]
fn a_panic_after_the_first_error_is_reported() {
    // S71: R!, an error that nobody looks at any more is silent, as in Python; a panic is a bug and never is.
    let event_loop = new_loop();
    let reports = collect_reports(&event_loop);
    event_loop
        .run_until_complete(async {
            async fn panics() -> Result<(), Failure> {
                sleep(2).await;
                panic!("later")
            }
            let outcome = try_gather((fails("b", 1), fails("c", 2), panics())).await;
            assert_eq!(outcome, Err(Failure("b")));
            sleep(3).await;
        })
        .unwrap();
    assert_eq!(
        reports,
        ["a task panicked and nobody awaited it: the task panicked: later"]
    );
}

#[test]
fn with_outcomes_as_values_it_waits_for_all() {
    // S72
    twin(async || {
        let all = gather((succeeds("a", 3, 1), fails("b", 1), succeeds("c", 2, 3)));
        outcome("gather", all).await;
        log(now());
    });
}

#[test]
fn a_child_cancelled_by_itself_is_no_value_of_gather() {
    // S72: R!, outputs come as they are, without a `Result` around each, so there is no place for a cancellation:
    // it is raised, when all have ended. Whoever wants it as a value awaits each task in a future of its own.
    let trace = trace_of(async || {
        for as_value in [false, true] {
            let (a, b) = (create_task(hangs("a")), create_task(works("b", 2, ())));
            let a_ref = a.as_ref().unwrap();
            let task = if as_value {
                let each = [a, b].map(|task| async move { task.await });
                create_task(outcome("gather", async { gather(each).await }))
            } else {
                create_task(outcome("gather", gather([a, b])))
            };
            settle(2).await;
            a_ref.cancel();
            task.await.unwrap();
            log(now());
        }
    });
    assert_eq!(
        trace,
        [
            "a cancelled",
            "b done",
            "gather: CancelledError",
            "2s",
            "a cancelled",
            "b done",
            "gather: [CancelledError, None]",
            "4s",
        ]
    );
}

#[test]
fn a_child_cancelled_by_itself_ends_it_at_once() {
    // S73
    twin(async || {
        let (a, b) = (
            create_task(ok(hangs("a"))),
            create_task(succeeds("b", 2, ())),
        );
        let a_ref = a.as_ref().unwrap();
        let gathering = create_task(outcome("gather", try_gather([a, b])));
        let gathering_ref = gathering.as_ref().unwrap();
        settle(2).await;
        a_ref.cancel();
        gathering.await.unwrap();
        log(format!("{}, count {}", now(), gathering_ref.cancelling()));
        sleep(3).await;
    });
}

#[test]
fn a_request_goes_to_every_child_in_order_that_has_not_ended() {
    // S74
    twin(async || {
        let ended = create_task(works("ended", 1, ()));
        let task = create_task(async {
            gather((hangs("a"), ended, hangs("b"), hangs("c"))).await;
        });
        sleep(2).await;
        task.cancel();
        outcome("task", task).await;
    });
}

#[test]
fn after_a_request_the_first_child_that_ends_cancelled_ends_it() {
    // S75
    twin(async || {
        let children = (
            ok(cleans("slow", 5)),
            ok(hangs("fast")),
            ok(cleans("middle", 3)),
        );
        let gathering = async { try_gather(children).await.map(|_| ()) };
        let task = create_task(outcome("gather", gathering));
        settle(2).await;
        task.cancel();
        task.await.unwrap();
        log(now());
        sleep(6).await;
    });
}

#[test]
fn after_a_request_with_outcomes_as_values_it_waits_for_all() {
    // S76
    twin(async || {
        let gathering = gather((cleans("slow", 5), hangs("fast"), cleans("middle", 3)));
        let task = create_task(outcome("gather", gathering));
        settle(2).await;
        task.cancel();
        task.await.unwrap();
        log(now());
    });
}

#[test]
fn after_a_request_it_ends_cancelled_though_every_child_swallowed_it() {
    // S76
    twin(async || {
        for as_values in [false, true] {
            let children = [("a", 1), ("b", 2)].map(|(name, n)| ok(swallows(name, n, ())));
            let task = if as_values {
                create_task(outcome("gather", gather(children)))
            } else {
                create_task(outcome("gather", try_gather(children)))
            };
            let task_ref = task.as_ref().unwrap();
            settle(2).await;
            task.cancel();
            task.await.unwrap();
            log(format!("{}, count {}", now(), task_ref.cancelling()));
        }
    });
}

#[test]
fn after_a_request_a_failure_ends_it_as_well() {
    // S75, S64: whichever child ends first decides.
    twin(async || {
        let children = (fails_in_cleanup("a", 1), ok(cleans("b", 2)));
        let gathering = async { try_gather(children).await.map(|_| ()) };
        let task = create_task(outcome("gather", gathering));
        settle(2).await;
        task.cancel();
        task.await.unwrap();
        log(now());
        sleep(2).await;
    });
}

#[test]
fn a_request_that_comes_after_an_error_leaves_the_others_alone() {
    // S77: a gathering has no `cancel()` here; what can be cancelled is the task that awaits it.
    twin(async || {
        let task = create_task(async {
            let gathering = try_gather((fails("a", 1), succeeds("b", 3, ())));
            outcome("gather", async { gathering.await.map(|_| ()) }).await;
            hangs("after").await;
        });
        sleep(2).await;
        task.cancel();
        sleep(2).await;
        log(task.cancelled().told());
    });
}

#[test]
fn a_request_wins_over_results_that_were_not_taken_yet() {
    // S74, S48
    twin(async || {
        let child = create_task(works("child", 1, 7));
        let child_ref = child.as_ref().unwrap();
        let gathering = gather([child]);
        let who = Rc::new(OnceCell::<TaskRef>::new());
        let asked = who.clone();
        // Comes after the gathering's own.
        child_ref.add_done_callback(move || {
            log(format!(
                "accepted: {}",
                asked.get().unwrap().cancel().told()
            ));
        });
        let task = create_task(outcome("gather", gathering));
        assert!(who.set(task.as_ref().unwrap()).is_ok());
        task.await.unwrap();
    });
}

#[test]
fn dropped_it_leaves_its_children_running() {
    // S78
    twin(async || {
        drop(gather((works("a", 1, ()), works("b", 2, ()))));
        sleep(3).await;
    });
}

#[test]
fn dropped_while_it_waits_it_leaves_its_children_running() {
    // S78: L2, the losing arm of a `select` is no request. No counterpart in Python.
    let trace = trace_of(async || {
        let gathering = Box::pin(gather([works("a", 1, ()), works("b", 2, ())]));
        let first = futures_util::future::select(gathering, Box::pin(sleep(0))).await;
        drop(first);
        log(format!("dropped, {} tasks", all_tasks().len()));
        sleep(3).await;
        log(format!("{} task", all_tasks().len()));
    });
    assert_eq!(trace, ["dropped, 3 tasks", "a done", "b done", "1 task"]);
}
