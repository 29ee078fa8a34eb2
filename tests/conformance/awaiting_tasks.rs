//! A task that awaits a task: S62 to S66.

use std::cell::OnceCell;
use std::future::{IntoFuture, pending};
use std::rc::Rc;

use asyncio::{Future as Promise, TaskRef, catch_cancelled, create_task, sleep};
use futures_util::future::join;

use crate::twin::{
    Told, cleans, current, fails_in_cleanup, hangs, log, me, now, outcome, result_of, settle,
    swallows, ticks, trace_of, twin, works,
};

#[test]
fn a_request_goes_on_to_the_awaited_task_and_the_awaiter_waits_for_its_end() {
    // S62
    twin(async || {
        let inner = create_task(cleans("inner", 5));
        let inner_ref = inner.as_ref().unwrap();
        let outer = create_task(outcome("outer", inner));
        settle(2).await;
        ticks(3);
        outer.cancel();
        log(format!(
            "outer {}, inner {}",
            outer.cancelling(),
            inner_ref.cancelling()
        ));
        settle(3).await;
        log(format!("outer done: {}", outer.done().told()));
        outer.await.unwrap();
        log(now());
    });
}

#[test]
fn a_chain_of_tasks_ends_from_its_end() {
    // S62
    twin(async || {
        let a = create_task(hangs("a"));
        let a_ref = a.as_ref().unwrap();
        let b = create_task(outcome("b", a));
        let b_ref = b.as_ref().unwrap();
        let c = create_task(outcome("c", b));
        let c_ref = c.as_ref().unwrap();
        let d = create_task(outcome("d", c));
        settle(4).await;
        ticks(6);
        d.cancel();
        settle(6).await;
        log(format!(
            "{} {} {} {}",
            a_ref.cancelling(),
            b_ref.cancelling(),
            c_ref.cancelling(),
            d.cancelling()
        ));
    });
}

#[test]
fn a_task_that_swallows_the_request_gives_its_value() {
    // S63
    twin(async || {
        let task = create_task(async {
            let value = create_task(swallows("inner", 5, 7)).await.unwrap();
            log(format!("outer goes on with {value}, count {}", me()));
            sleep(1).await; // not disturbed
            "fine"
        });
        settle(2).await;
        task.cancel();
        outcome("outer", task).await;
        log(now());
    });
}

#[test]
fn a_failure_in_the_cleanup_of_the_awaited_task_is_the_awaiters() {
    // S64
    twin(async || {
        let inner = create_task(fails_in_cleanup("inner", 5));
        let outer = create_task(outcome("outer", inner));
        settle(2).await;
        outer.cancel();
        outer.await.unwrap();
        log(now());
    });
}

#[test]
fn a_task_cancelled_by_others_is_no_request_to_its_awaiter() {
    // S65: as the other awaiters see it.
    twin(async || {
        let inner = create_task(hangs("inner"));
        let inner_ref = inner.as_ref().unwrap();
        let outer = create_task(async {
            outcome("outer", inner).await;
            log(format!("count {}", me()));
        });
        settle(2).await;
        inner_ref.cancel();
        outer.await.unwrap();
    });
}

#[test]
fn one_task_has_one_awaiter_and_others_hear_of_its_end_through_a_future() {
    // S65: R!, a task's outcome is moved to who awaits it, so it has one awaiter. A `Future` may have many, and a request
    // to one of them cancels it for all, as in Python.
    let trace = trace_of(async || {
        let shared = Promise::<i32>::new();
        let awaits = |name: &'static str| {
            let shared = shared.clone();
            create_task(async move {
                outcome(name, shared).await;
                log(format!("{name}: count {}", me()));
            })
        };
        let (a, b, c) = (awaits("a"), awaits("b"), awaits("c"));
        settle(1).await;
        b.cancel();
        for task in [a, b, c] {
            task.await.unwrap();
        }
    });
    assert_eq!(
        trace,
        [
            "a: CancelledError",
            "a: count 0",
            "b: CancelledError",
            "b: count 1", // only b was asked
            "c: CancelledError",
            "c: count 0",
        ]
    );
}

#[test]
fn a_second_request_goes_on_as_well() {
    // S62: and so unwinds the cleanup (S54).
    twin(async || {
        let inner = create_task(cleans("inner", 5));
        let inner_ref = inner.as_ref().unwrap();
        let outer = create_task(outcome("outer", inner));
        settle(2).await;
        outer.cancel();
        sleep(1).await;
        outer.cancel();
        log(format!(
            "outer {}, inner {}",
            outer.cancelling(),
            inner_ref.cancelling()
        ));
        outer.await.unwrap();
        log(now());
    });
}

#[test]
fn a_request_wins_over_the_end_of_the_awaited_task() {
    // S62, S48: the outcome was there, but not taken; it is lost to the awaiter.
    twin(async || {
        let inner = create_task(works("inner", 1, 7));
        let outer = Rc::new(OnceCell::<TaskRef>::new());
        let asked = outer.clone();
        // Comes before the awaiter's own.
        inner.add_done_callback(move || {
            log(format!(
                "accepted: {}",
                asked.get().unwrap().cancel().told()
            ));
        });
        let task = create_task(outcome("outer", inner));
        assert!(outer.set(task.as_ref().unwrap()).is_ok());
        task.await.unwrap();
    });
}

#[test]
fn what_is_awaited_without_a_task_hears_of_the_request_itself() {
    // S66
    twin(async || {
        let task = create_task(async {
            let innermost = async { cleans("innermost", 5).await };
            if let Err(cancelled) = catch_cancelled(innermost).await {
                log(format!("middle, count {}", me()));
                cancelled.propagate().await
            }
        });
        settle(2).await;
        task.cancel();
        outcome("task", task).await;
        log(now());
    });
}

#[test]
fn a_task_that_is_cancelled_before_it_awaits_another_asks_that_one() {
    // S62, S51
    twin(async || {
        let inner = create_task(cleans("inner", 5));
        settle(1).await;
        let outer = create_task(async {
            current().cancel();
            outcome("outer", inner).await;
            log(now());
        });
        outer.await.unwrap();
    });
}

#[test]
fn a_task_awaited_by_reference_is_somebody_elses() {
    // S62: no counterpart in Python, where every await forwards. The borrow says that the task stays the owner's.
    let trace = trace_of(async || {
        let task = create_task(async {
            let mut inner = create_task(works("inner", 5, 7));
            let ended = catch_cancelled(&mut inner).await;
            log(format!("{} at {}", ended.told(), now()));
            outcome("later", inner).await;
        });
        settle(2).await;
        task.cancel();
        task.await.unwrap();
    });
    assert_eq!(trace, ["CancelledError at 0s", "inner done", "later: 7"]);
}

#[test]
fn in_several_branches_every_awaited_task_is_asked() {
    // S62: L3, a Python task hangs in one place only. Here every innermost scope hears of a request, and the await as a
    // whole ends when the last of them has.
    let trace = trace_of(async || {
        let task = create_task(async {
            let (a, b) = (
                create_task(cleans("a", 1)),
                create_task(swallows("b", 2, 7)),
            );
            let both = async {
                let (a, b) = join(outcome("a", a), outcome("b", b)).await;
                log(format!("both ended, count {}", me()));
                (a, b)
            };
            both.await
        });
        settle(2).await;
        task.cancel();
        task.await.unwrap();
        log(now());
    });
    assert_eq!(
        trace,
        [
            "a cleans up",
            "b swallows",
            "a clean",
            "a: CancelledError",
            "b: 7", // S63 in a branch of its own
            "both ended, count 1",
            "2s",
        ]
    );
}

#[test]
fn a_raise_in_one_branch_drops_the_others_and_their_tasks_run_on() {
    // S62: L2 and L3. The scope around the `join` drops it, which is no request to what its branches await.
    let trace = trace_of(async || {
        let task = create_task(async {
            let (a, b) = (create_task(hangs("a")), create_task(works("b", 2, 7)));
            let a_ref = a.as_ref().unwrap();
            a_ref.cancel();
            let both = join(
                async {
                    if a.await.is_err() {
                        asyncio::raise_cancelled::<()>().await;
                    }
                },
                b.into_future(),
            );
            outcome("both", async { both.await.1 }).await;
            pending::<()>().await;
        });
        sleep(3).await;
        log(result_of(task));
    });
    assert_eq!(trace, ["both: CancelledError", "b done", "not done"]);
}
