//! `timeout` and `timeout_at`: S103 to S115.

use std::future::{Future, ready};
use std::time::Duration;

use asyncio::{
    Future as Promise, LoopTime, TaskRef, Timeout, TimeoutError, catch_cancelled, create_task,
    finally, get_running_loop, sleep, timeout, timeout_at,
};

use crate::harness::settle;
use crate::twin::{
    Told, cleans, fails_in_cleanup, hangs, log, me, now, outcome, skip, swallows, ticks, trace_of,
    twin, works,
};

fn at(seconds: u64) -> LoopTime {
    LoopTime::from_nanos(seconds * 1_000_000_000)
}

/// Logs how a scope ended, and raises a cancellation on.
async fn passes<T: Told>(name: &'static str, scope: impl Future<Output = T>) -> T {
    match catch_cancelled(scope).await {
        Ok(value) => value,
        Err(cancelled) => {
            log(format!("{name}: {}, count {}", cancelled.told(), me()));
            cancelled.propagate().await
        }
    }
}

#[test]
fn without_limit_it_never_ends() {
    // S103
    twin(async || {
        outcome("timeout", timeout(None::<f64>, works("body", 1000, 7))).await;
        log(now());
    });
}

#[test]
fn it_takes_a_time_of_the_loop() {
    // S103
    twin(async || {
        sleep(5).await;
        outcome("timeout_at", timeout_at(at(7), hangs("body"))).await;
        log(now());
    });
}

#[test]
fn the_time_counts_from_the_first_poll() {
    // S103: R!, Python's deadline is fixed where `timeout(2)` is called. A Rust future does nothing before it is polled, and
    // it may have been made outside of any loop. `timeout_at` says when it is over wherever it is made.
    let trace = trace_of(async || {
        let later = timeout(2, hangs("body"));
        sleep(10).await;
        outcome("timeout", later).await;
        log(now());
    });
    assert_eq!(trace, ["body cancelled", "timeout: TimeoutError", "12s"]);
}

#[test]
fn leaving_takes_its_timer_back_even_when_that_is_due() {
    // S103, S5
    twin(async || {
        let future = Promise::new();
        let setter = future.clone();
        get_running_loop().call_later(1, || skip(5));
        get_running_loop().call_later(2, move || {
            log("result");
            setter.set_result(()).unwrap();
        });
        let body = async {
            let inside = timeout(100, async { future.await.unwrap() }).await;
            log(format!("left, count {}", me()));
            inside
        };
        outcome("body", body).await;
        sleep(200).await;
        log(format!("count {}", me()));
    });
}

#[test]
fn a_time_that_is_over_from_the_start_disturbs_only_what_suspends() {
    // S104
    twin(async || {
        sleep(5).await;
        outcome("ready", timeout_at(at(2), ready(7))).await;
        outcome("suspends", timeout_at(at(2), hangs("body"))).await;
        outcome("none left", timeout(0, ready(7))).await;
        outcome("none left", timeout(0, hangs("body"))).await;
        outcome("negative", timeout(-1, hangs("body"))).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn its_request_counts_inside_and_not_after() {
    // S105
    twin(async || {
        let body = finally(sleep(100), async { log(format!("inside {}", me())) });
        outcome("timeout", timeout(1, body)).await;
        log(format!("after {}", me()));
    });
}

#[test]
fn a_request_from_outside_wins_over_the_timeout() {
    // S106: whichever came first.
    twin(async || {
        for request_first in [true, false] {
            let task = create_task(async {
                let ended = catch_cancelled(timeout(2, cleans("body", 3))).await;
                log(format!("{}, count {}", ended.told(), me()));
            });
            settle(1).await;
            sleep(if request_first { 1 } else { 3 }).await;
            task.cancel();
            task.await.unwrap();
            log(now());
        }
    });
}

#[test]
fn a_request_in_the_turn_of_the_deadline_wins() {
    // S106
    twin(async || {
        for due in [1.5, 2.5] {
            let start = get_running_loop().time();
            let task = create_task(async {
                let ended = catch_cancelled(timeout(2, hangs("body"))).await;
                log(format!("{}, count {}", ended.told(), me()));
            });
            settle(1).await;
            let task_ref: TaskRef = task.as_ref().unwrap();
            let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
            get_running_loop().call_at(after(1.0), || skip(5));
            get_running_loop().call_at(after(due), move || {
                log(format!("request: {}", task_ref.cancel().told()));
            });
            task.await.unwrap();
        }
    });
}

#[test]
fn a_body_that_swallows_the_end_of_its_time_gives_its_value() {
    // S107
    twin(async || {
        outcome("timeout", timeout(1, swallows("body", 3, 7))).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn another_error_replaces_the_timeout() {
    // S108
    twin(async || {
        outcome("timeout", timeout(1, fails_in_cleanup("body", 3))).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn a_timeout_in_a_cleanup_works() {
    // S109
    twin(async || {
        let task = create_task(async {
            if let Err(cancelled) = catch_cancelled(sleep(100)).await {
                log(format!("cleanup, count {}", me()));
                outcome("cleanup", timeout(2, hangs("goodbye"))).await;
                log(format!("{}, count {}", now(), me()));
                cancelled.propagate().await
            }
        });
        settle(1).await;
        task.cancel();
        outcome("task", task).await;
    });
}

#[test]
fn of_nested_timeouts_that_end_together_the_outer_one_is_over() {
    // S110
    twin(async || {
        let inner = async {
            match catch_cancelled(timeout(2, hangs("body"))).await {
                Ok(ended) => ended,
                Err(cancelled) => {
                    log(format!("passes the inner one, count {}", me()));
                    cancelled.propagate().await
                }
            }
        };
        outcome("outer", timeout(2, inner)).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn an_inner_timeout_leaves_the_outer_one_alone() {
    // S111
    twin(async || {
        let body = async {
            outcome("inner", timeout(1, hangs("body"))).await;
            log(format!("{}, count {}", now(), me()));
            hangs("after").await;
        };
        outcome("outer", timeout(5, body)).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn an_outer_timeout_passes_an_inner_one() {
    // S112
    twin(async || {
        let body = passes("inner", timeout(5, cleans("body", 1)));
        outcome("outer", timeout(1, body)).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn an_outer_timeout_during_the_cleanup_for_an_inner_one() {
    // S112, S110
    twin(async || {
        let body = passes("inner", timeout(1, cleans("body", 100)));
        outcome("outer", timeout(5, body)).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn a_timeout_waits_for_the_task_it_cancelled() {
    // S105, S62
    twin(async || {
        outcome("timeout", timeout(1, create_task(cleans("child", 3)))).await;
        log(now());
    });
}

#[test]
fn a_timeout_error_inside_is_a_value_of_the_body() {
    // S108, S111: where Python cannot tell an inner TimeoutError from its own without looking at `expired()`, the types do.
    let trace = trace_of(async || {
        let ended = timeout(5, timeout(1, hangs("body"))).await;
        assert_eq!(ended, Ok(Err(TimeoutError)));
        log(now());
    });
    assert_eq!(trace, ["body cancelled", "1s"]);
}

#[test]
fn a_deadline_can_be_moved_while_the_body_runs() {
    // S113, S114
    twin(async || {
        let limit = Timeout::new(None::<f64>);
        limit
            .scope(async |limit| {
                log(limit.when().map_or("None", |_| "some").told());
                limit.reschedule(at(5)).unwrap();
                sleep(4).await;
                limit.reschedule(at(8)).unwrap();
                sleep(3).await;
                limit.reschedule(None).unwrap();
                sleep(100).await;
                log(format!("expired: {}", limit.expired().told()));
            })
            .await
            .unwrap();
        log(now());
        let limit = Timeout::new(100);
        let body = async |limit: &Timeout| {
            let soon = get_running_loop().time() + Duration::from_secs(1);
            limit.reschedule(soon).unwrap();
            hangs("body").await;
        };
        if limit.scope(body).await.is_err() {
            log(format!("{}, expired: {}", now(), limit.expired().told()));
        }
    });
}

#[test]
fn a_deadline_moved_to_the_past_is_over_two_turns_later() {
    // S113
    twin(async || {
        let body = async |limit: &Timeout| {
            sleep(1).await;
            ticks(3);
            limit.reschedule(at(0)).unwrap();
            hangs("body").await;
        };
        if Timeout::new(100).scope(body).await.is_err() {
            log("over");
        }
        settle(3).await;
    });
}

#[test]
fn a_deadline_cannot_be_moved_before_and_after() {
    // S113, S114
    twin(async || {
        let limit = Timeout::new(1);
        let tries = |state: &str| {
            if limit.reschedule(at(5)).is_err() {
                log(format!("refused {state}"));
            }
        };
        tries("before");
        let cleanup = async {
            log(format!("expired: {}", limit.expired().told()));
            tries("while it ends");
        };
        if limit
            .scope(async |_| finally(sleep(100), cleanup).await)
            .await
            .is_err()
        {
            log("over");
        }
        tries("after");
    });
}

#[test]
fn a_timeout_made_as_an_object_counts_from_there() {
    // S103, S114: as Python's.
    let trace = trace_of(async || {
        let limit = Timeout::new(2);
        sleep(1).await;
        let ended = limit.scope(async |_| hangs("body").await).await;
        log(format!("{} at {}", ended.told(), now()));
        assert_eq!(limit.when(), Some(at(2)));
        assert!(limit.expired());
    });
    assert_eq!(trace, ["body cancelled", "TimeoutError at 2s"]);
}

#[test]
fn entering_a_timeout_twice_is_a_bug_that_is_named() {
    // S115: a panic, as misuse is; the functions `timeout` and `wait_for` take their future by value, once.
    let trace = trace_of(async || {
        let task = create_task(async {
            let limit = Timeout::new(1);
            limit.scope(async |_| ()).await.unwrap();
            let _ = limit.scope(async |_| ()).await;
        });
        log(task.await.told());
    });
    assert_eq!(
        trace,
        ["panic(a `Timeout` can be entered once; make a new one)"]
    );
}

#[test]
fn a_dropped_timeout_drops_its_body_and_leaves_no_timer() {
    // S103: L2, dropping is no request: the body's cleanup does not run, and nothing is counted.
    let trace = trace_of(async || {
        let limited = Box::pin(timeout(5, cleans("body", 1)));
        drop(futures_util::future::select(limited, Box::pin(sleep(0))).await);
        log(format!("count {}", me()));
        sleep(10).await;
    });
    assert_eq!(trace, ["count 0"]);
}
