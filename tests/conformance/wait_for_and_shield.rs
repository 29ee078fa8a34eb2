//! `wait_for` and `shield`: S91 to S102.

use std::future::IntoFuture;

use asyncio::{
    Future as Promise, TaskGroup, all_tasks, create_task, get_running_loop, shield, sleep, wait_for,
};

use crate::harness::{collect_reports, new_loop, settle};
use crate::twin::{
    Told, cleans, current, fails, fails_in_cleanup, log, me, now, outcome, skip, swallows, ticks,
    trace_of, twin, works,
};

#[test]
fn what_is_no_task_runs_in_the_callers() {
    // S91
    twin(async || {
        let caller = current();
        let inner = || async {
            sleep(1).await;
            log(format!("same task: {}", (current() == caller).told()));
            7
        };
        outcome("wait_for", wait_for(inner(), 2)).await;
        outcome("without limit", wait_for(inner(), None::<f64>)).await;
    });
}

#[test]
fn at_the_end_of_the_time_it_cancels_and_waits() {
    // S92
    twin(async || {
        let task = create_task(cleans("inner", 5));
        let inner = task.as_ref().unwrap();
        outcome("wait_for", wait_for(task, 2)).await;
        log(format!(
            "{}, inner cancelled: {}, count {}",
            now(),
            inner.cancelled().told(),
            me()
        ));
    });
}

#[test]
fn a_task_that_swallows_the_end_of_the_time_gives_its_value() {
    // S93
    twin(async || {
        outcome(
            "wait_for",
            wait_for(create_task(swallows("inner", 5, 7)), 2),
        )
        .await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn a_failure_in_the_cleanup_replaces_the_timeout() {
    // S94
    twin(async || {
        let task = create_task(fails_in_cleanup("inner", 5));
        outcome("wait_for", wait_for(task, 2)).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn without_any_time_what_is_done_gives_its_result() {
    // S95
    twin(async || {
        let future = Promise::new();
        future.set_result(7).unwrap();
        outcome("future", wait_for(future, 0)).await;
        let mut task = create_task(works("inner", 0, 8));
        settle(2).await;
        // In Rust an outcome is taken once; that a negative time is no time at all shows on another one.
        outcome("task", wait_for(&mut task, 0)).await;
        let done = Promise::new();
        done.set_result(8).unwrap();
        outcome("negative", wait_for(done, -1)).await;
    });
}

#[test]
fn without_any_time_a_running_task_is_cancelled_and_awaited() {
    // S95
    twin(async || {
        let task = create_task(cleans("inner", 5));
        settle(1).await;
        outcome("wait_for", wait_for(task, 0)).await;
        log(now());
        let task = create_task(swallows("other", 5, 7));
        settle(1).await;
        outcome("wait_for", wait_for(task, 0)).await;
        log(now());
    });
}

#[test]
fn without_any_time_what_has_not_begun_never_begins() {
    // S95
    twin(async || {
        let body = async || {
            log("never");
            7
        };
        outcome("coroutine", wait_for(body(), 0)).await;
        outcome("task", wait_for(create_task(body()), 0)).await;
        log(format!("count {}", me()));
    });
}

#[test]
fn a_result_that_was_not_taken_when_the_time_was_over_is_lost() {
    // S96
    twin(async || {
        let future = Promise::new();
        let setter = future.clone();
        get_running_loop().call_later(1, || skip(5));
        // Due in the same turn as the deadline.
        get_running_loop().call_later(2, move || {
            log("result");
            setter.set_result(7).unwrap();
        });
        outcome("wait_for", wait_for(future.clone(), 3)).await;
        log(future.result().told());
    });
}

#[test]
fn a_result_that_was_taken_in_time_is_kept() {
    // S96
    twin(async || {
        let future = Promise::new();
        let setter = future.clone();
        get_running_loop().call_later(2, move || setter.set_result(7).unwrap());
        outcome("wait_for", wait_for(future, 2.5)).await;
    });
}

#[test]
fn a_result_set_after_the_deadline_in_the_same_turn_is_refused() {
    // S96
    twin(async || {
        let future = Promise::new();
        let setter = future.clone();
        get_running_loop().call_later(1, || skip(5));
        get_running_loop().call_later(3, move || {
            log(format!("accepted: {}", setter.set_result(7).is_ok().told()));
        });
        outcome("wait_for", wait_for(future.clone(), 2)).await;
        log(format!("cancelled: {}", future.cancelled().told()));
    });
}

#[test]
fn a_request_from_outside_goes_to_the_inner_task_and_is_no_timeout() {
    // S97
    twin(async || {
        let inner = create_task(cleans("inner", 5));
        let inner_ref = inner.as_ref().unwrap();
        let task = create_task(outcome("wait_for", wait_for(inner, 100)));
        let task_ref = task.as_ref().unwrap();
        settle(2).await;
        task.cancel();
        task.await.unwrap();
        log(format!(
            "{}, count {}, inner {}",
            now(),
            task_ref.cancelling(),
            inner_ref.cancelling()
        ));
    });
}

#[test]
fn a_shield_ends_at_once_and_its_task_goes_on() {
    // S98
    twin(async || {
        let mut inner = create_task(works("inner", 3, 7));
        let inner_ref = inner.as_ref().unwrap();
        let task = create_task(async move {
            outcome("shield", shield(&mut inner)).await;
            inner
        });
        settle(2).await;
        ticks(2);
        task.cancel();
        let inner = task.await.unwrap();
        log(format!("{}, inner {}", now(), inner_ref.cancelling()));
        outcome("inner", inner).await;
    });
}

#[test]
fn a_shielded_task_survives_a_timeout() {
    // S98
    twin(async || {
        let mut inner = create_task(works("inner", 3, 7));
        outcome("wait_for", wait_for(shield(&mut inner), 1)).await;
        log(now());
        outcome("inner", inner).await;
    });
}

#[test]
fn without_any_time_the_shield_of_what_is_done_gives_its_result() {
    // S95
    twin(async || {
        let done = create_task(works("inner", 0, 7));
        settle(2).await;
        outcome("task", wait_for(shield(done), 0)).await;
        let future = Promise::new();
        future.set_result(8).unwrap();
        outcome("future", wait_for(shield(future), -1)).await;
    });
}

#[test]
fn without_any_time_the_shield_of_a_running_task_ends_and_the_task_goes_on() {
    // S95
    twin(async || {
        let mut inner = create_task(works("inner", 3, 7));
        settle(1).await;
        ticks(5);
        outcome("wait_for", wait_for(shield(&mut inner), 0)).await;
        log(format!(
            "{}, inner {}, count {}",
            now(),
            inner.cancelling(),
            me()
        ));
        outcome("inner", inner).await;
    });
}

#[test]
fn without_any_time_a_shielded_coroutine_becomes_a_task_that_survives() {
    // S95
    twin(async || {
        outcome("wait_for", wait_for(shield(works("inner", 3, ())), 0)).await;
        sleep(4).await;
    });
}

#[test]
fn a_request_while_the_shield_without_any_time_ends_is_no_timeout() {
    // S95
    // S97
    twin(async || {
        let mut inner = create_task(works("inner", 3, 7));
        let inner_ref = inner.as_ref().unwrap();
        let task = create_task(async move {
            outcome("wait_for", wait_for(shield(&mut inner), 0)).await;
            inner
        });
        settle(1).await;
        task.cancel();
        let inner = task.await.unwrap();
        log(format!("{}, inner {}", now(), inner_ref.cancelling()));
        outcome("inner", inner).await;
    });
}

#[test]
fn a_shield_whose_task_is_cancelled_by_others_is_cancelled() {
    // S99
    twin(async || {
        let inner = create_task(cleans("inner", 1));
        let inner_ref = inner.as_ref().unwrap();
        let task = create_task(outcome("shield", shield(inner)));
        let task_ref = task.as_ref().unwrap();
        settle(2).await;
        inner_ref.cancel();
        task.await.unwrap();
        log(format!("{}, count {}", now(), task_ref.cancelling()));
    });
}

#[test]
fn a_shield_of_what_is_done_takes_no_turn() {
    // S100
    twin(async || {
        let inner = create_task(works("inner", 0, 7));
        settle(2).await;
        ticks(1);
        outcome("shield", shield(inner)).await;
        settle(1).await;
    });
}

#[test]
fn a_failure_behind_a_shield_that_was_cancelled_is_reported_when_it_is_a_panic() {
    // S101: as in 3.14. R!, an `Err` is a value like any other, and what nobody takes is dropped; a panic is reported once.
    let event_loop = new_loop();
    let reports = collect_reports(&event_loop);
    event_loop
        .run_until_complete(async {
            async fn panics() {
                sleep(1).await;
                panic!("behind the shield");
            }
            let inner = create_task(panics());
            let task = create_task(async { shield(inner).await });
            let fails = create_task(async { shield(fails("inner", 1)).await.map(|_| ()) });
            settle(2).await;
            task.cancel();
            fails.cancel();
            sleep(2).await;
            assert!(task.cancelled() && fails.cancelled());
        })
        .unwrap();
    assert_eq!(
        reports,
        ["a task panicked and nobody awaited it: the task panicked: behind the shield"]
    );
}

#[test]
fn a_shielded_coroutine_becomes_a_task_that_survives() {
    // S102
    twin(async || {
        let task = create_task(outcome("shield", shield(works("inner", 3, ()))));
        settle(2).await;
        task.cancel();
        task.await.unwrap();
        sleep(4).await;
    });
}

#[test]
fn a_shield_in_a_group_keeps_its_task_from_the_groups_end() {
    // S98
    twin(async || {
        let mut inner = create_task(works("inner", 3, 7));
        let group = TaskGroup::scope(async |group| {
            let inner = shield(&mut inner);
            group.create_task(fails("sibling", 1));
            // Python shields in a child; here a child is `'static`, and the body may borrow.
            drop(inner.await);
            Ok(())
        });
        log(group.await.told());
        log(now());
        outcome("inner", inner).await;
    });
}

#[test]
fn a_dropped_shield_leaves_its_task_alone() {
    // S98: L2, dropping is no request either.
    let trace = trace_of(async || {
        let shielded = Box::pin(shield(works("inner", 1, ())).into_future());
        drop(futures_util::future::select(shielded, Box::pin(sleep(0))).await);
        log(format!("dropped, {} tasks", all_tasks().len()));
        sleep(2).await;
    });
    assert_eq!(trace, ["dropped, 2 tasks", "inner done"]);
}
