//! Requests as their twins see them: S43 to S59. What has no twin is in `cancellation.rs`.

use std::future::Future;

use asyncio::{Future as Promise, create_task, finally, sleep};

use crate::twin::{
    Told, cleans, current, fails_in_cleanup, hangs, log, me, now, outcome, settle, swallows, ticks,
    twin,
};

#[test]
fn a_request_runs_none_of_the_tasks_code() {
    // S43, S44
    twin(async || {
        let task = create_task(hangs("task"));
        settle(1).await;
        log(format!("accepted: {}", task.cancel().told()));
        log(format!("done: {}", task.done().told()));
        settle(1).await;
        log(format!("cancelled: {}", task.cancelled().told()));
        let accepted = task.cancel().told();
        log(format!("accepted: {accepted}, count {}", task.cancelling()));
    });
}

#[test]
fn a_task_asked_before_its_first_step_never_runs() {
    // S45
    twin(async || {
        let task = create_task(cleans("task", 5));
        let asked = task.as_ref().unwrap();
        let waits = create_task(outcome("waits", task));
        ticks(3);
        asked.cancel();
        log(format!("cancelled: {}", asked.cancelled().told()));
        waits.await.unwrap();
        log(now());
        settle(3).await;
    });
}

#[test]
fn what_a_task_waits_for_is_cancelled_at_once_and_the_task_goes_on_a_turn_later() {
    // S47
    twin(async || {
        let waited_for = Promise::<()>::new();
        let task = create_task(outcome("task", waited_for.clone()));
        settle(1).await;
        ticks(2);
        task.cancel();
        log(format!(
            "future cancelled: {}",
            waited_for.cancelled().told()
        ));
        settle(2).await;
    });
}

#[test]
fn a_request_wins_over_a_result_that_was_not_taken_yet() {
    // S48
    twin(async || {
        let waited_for = Promise::new();
        let task = create_task(outcome("task", waited_for.clone()));
        settle(1).await;
        waited_for.set_result(1).unwrap(); // the task is queued to resume
        task.cancel();
        task.await.unwrap();
        log(format!("the future keeps {}", waited_for.result().unwrap()));
    });
}

#[test]
fn who_asks_itself_goes_on_until_it_suspends() {
    // S50, S55
    twin(async || {
        let itself = create_task(async {
            current().cancel();
            let settled = Promise::new();
            settled.set_result(7).unwrap();
            log(format!("passes {}", settled.await.unwrap()));
            outcome("itself", sleep(0)).await;
            log(format!("count {}", me()));
            sleep(1).await; // not disturbed
            "fine"
        });
        outcome("task", itself).await;
        log(now());
    });
}

#[test]
fn who_returns_without_suspending_after_a_request_is_cancelled() {
    // S52
    twin(async || {
        let itself = create_task(async {
            current().cancel();
            "fine"
        });
        outcome("task", itself).await;
    });
}

#[test]
fn a_second_request_ends_the_cleanup_and_the_count_is_two() {
    // S54
    twin(async || {
        let task = create_task(cleans("task", 5));
        let asked = task.as_ref().unwrap();
        settle(1).await;
        asked.cancel();
        sleep(1).await;
        asked.cancel();
        outcome("waits", task).await;
        log(format!("{}, count {}", now(), asked.cancelling()));
    });
}

#[test]
fn several_requests_before_it_hears_of_one_are_one_cancellation() {
    // S53
    twin(async || {
        let task = create_task(cleans("task", 5));
        let asked = task.as_ref().unwrap();
        settle(1).await;
        let accepted = [(); 3].map(|()| asked.cancel().told());
        log(accepted.join(" "));
        outcome("waits", task).await;
        log(format!("{}, count {}", now(), asked.cancelling()));
    });
}

#[test]
fn unwinding_goes_outwards_and_every_cleanup_is_awaited() {
    // S57
    async fn level(name: &'static str, inner: impl Future<Output = ()>) {
        let cleanup = async {
            log(format!("{name} cleans up"));
            sleep(1).await;
            log(format!("{name} clean"));
        };
        finally(inner, cleanup).await;
    }
    twin(async || {
        let task = create_task(level("outer", level("middle", hangs("inner"))));
        settle(1).await;
        task.cancel();
        outcome("task", task).await;
        log(now());
    });
}

#[test]
fn a_failure_and_a_value_in_the_cleanup_are_the_outcome() {
    // S46, S58
    twin(async || {
        let fails = create_task(fails_in_cleanup("fails", 1));
        let returns = create_task(swallows("returns", 2, 7));
        let asked = returns.as_ref().unwrap();
        settle(1).await;
        fails.cancel();
        returns.cancel();
        outcome("fails", fails).await;
        outcome("returns", returns).await;
        let cancelled = asked.cancelled().told();
        log(format!("{cancelled}, count {}", asked.cancelling()));
    });
}

#[test]
fn a_future_that_others_cancel_is_no_request_to_who_waits_for_it() {
    // S59
    twin(async || {
        let waited_for = Promise::<()>::new();
        let awaited = waited_for.clone();
        let task = create_task(async move {
            outcome("waits", awaited).await;
            log(format!("count {}", me()));
            "fine"
        });
        settle(1).await;
        waited_for.cancel();
        outcome("task", task).await;
    });
}
