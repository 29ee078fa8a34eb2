//! `TaskGroup`: S116 to S138.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use asyncio::{
    ExceptionGroup, Future as Promise, GroupError, TaskFactory, TaskGroup, all_tasks,
    catch_cancelled, create_task, finally, get_running_loop, sleep, timeout,
};

use crate::harness::{panic_message, settle};
use crate::twin::{
    Failure, Told, cleans, current, fails, fails_in_cleanup, hangs, log, me, now, outcome,
    succeeds, swallows, ticks, trace_of, twin, works,
};

type Group = TaskGroup<Failure>;
type Ended<T> = Result<T, ExceptionGroup<Failure>>;

async fn scope<T>(body: impl AsyncFnOnce(&Group) -> Result<T, Failure>) -> Ended<T> {
    TaskGroup::scope(body).await
}

/// Logs how a group inside ended, and hands it on.
async fn told_and_passed<T: Told>(
    what: impl Fn() -> String,
    group: impl IntoFuture<Output = T>,
) -> T {
    match catch_cancelled(group).await {
        Ok(ended) => {
            log(format!("{}{}, count {}", what(), ended.told(), me()));
            ended
        }
        Err(cancelled) => {
            log(format!("{}{}, count {}", what(), cancelled.told(), me()));
            cancelled.propagate().await
        }
    }
}

#[test]
fn a_group_ends_after_all_children_those_of_children_too() {
    // S116
    twin(async || {
        let body = async |group: &Group| {
            group.create_task(works("child", 1, ()));
            let own = group.clone();
            group.create_task(async move {
                own.create_task(works("grandchild", 3, ()));
                log("parent done");
            });
            log("body done");
            Ok(())
        };
        scope(body).await.unwrap();
        log(now());
    });
}

#[test]
fn a_failure_cancels_the_siblings_and_the_body() {
    // S117
    twin(async || {
        let group = scope(async |group| {
            group.create_task(fails("a", 1));
            group.create_task(cleans("b", 3));
            hangs("body").await;
            Ok(())
        });
        outcome("group", group).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn a_failure_after_the_body_cancels_the_siblings() {
    // S117
    twin(async || {
        let group = scope(async |group| {
            group.create_task(fails("a", 1));
            group.create_task(cleans("b", 3));
            group.create_task(works("c", 1, ()));
            Ok(())
        });
        outcome("group", group).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn siblings_are_cancelled_in_the_order_of_their_creation() {
    // S118: undefined in Python, where they are a set; the twins are run with an ordered one.
    let trace = trace_of(async || {
        let group = scope(async |group| {
            for name in ["a", "b", "c", "d"] {
                group.create_task(hangs(name));
            }
            sleep(1).await;
            Err::<(), _>(Failure("body"))
        });
        outcome("group", group).await;
    });
    assert_eq!(
        trace,
        [
            "a cancelled",
            "b cancelled",
            "c cancelled",
            "d cancelled",
            "group: ExceptionGroup(Failure(body))",
        ]
    );
}

#[test]
fn a_body_that_swallows_runs_to_its_end_and_the_group_fails() {
    // S119
    twin(async || {
        let group = scope(async |group| {
            group.create_task(fails("a", 1));
            log(swallows("body", 3, "swallowed").await);
            sleep(1).await;
            log(format!("{}, body done, count {}", now(), me()));
            Ok(7)
        });
        outcome("group", group).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn failures_come_in_the_order_of_the_ends_and_the_bodys_last() {
    // S120
    twin(async || {
        let group = scope(async |group| {
            group.create_task(fails_in_cleanup("slow", 3));
            group.create_task(fails_in_cleanup("fast", 1));
            sleep(1).await;
            Err::<(), _>(Failure("body"))
        });
        outcome("group", group).await;
        log(now());
    });
}

#[test]
fn a_nested_group_is_a_failure_like_any_other() {
    // S121
    twin(async || {
        let outer = TaskGroup::<ExceptionGroup<Failure>>::scope(async |group| {
            group.create_task(scope(async |group| {
                group.create_task(fails("inner", 1));
                Ok(())
            }));
            Ok(())
        });
        outcome("outer", outer).await;
    });
}

#[test]
fn a_child_that_is_cancelled_by_itself_is_no_failure() {
    // S122
    twin(async || {
        let group = scope(async |group| {
            group.create_task(works("a", 1, ()));
            let b = Rc::new(RefCell::new(None));
            let me = b.clone();
            group.create_task(async move {
                *me.borrow_mut() = Some(current());
                hangs("b").await;
            });
            group.create_task(async {
                current().cancel();
                hangs("itself").await;
            });
            settle(2).await;
            b.take().unwrap().cancel();
            Ok(())
        });
        outcome("group", group).await;
        log(now());
    });
}

#[test]
fn a_failure_of_the_body_cancels_the_children() {
    // S123
    twin(async || {
        let group = scope(async |group| {
            group.create_task(cleans("a", 2));
            group.create_task(hangs("b"));
            sleep(1).await;
            Err::<(), _>(Failure("body"))
        });
        outcome("group", group).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn a_body_that_awaits_a_failing_child_is_cancelled_there() {
    // S124
    twin(async || {
        let group = scope(async |group| {
            let child = group.create_task(fails("child", 1));
            told_and_passed(|| "body: ".to_owned(), child).await;
            Ok(())
        });
        outcome("group", group).await;
        log(format!("count {}", me()));
    });
}

#[test]
fn a_request_from_outside_cancels_the_children_and_goes_on() {
    // S125
    twin(async || {
        let task = create_task(async {
            let group = scope(async |group| {
                group.create_task(cleans("a", 3));
                cleans("body", 1).await;
                Ok(())
            });
            drop(told_and_passed(String::new, group).await);
        });
        settle(2).await;
        task.cancel();
        outcome("task", task).await;
        log(now());
    });
}

#[test]
fn a_request_from_outside_after_the_body() {
    // S125
    twin(async || {
        let group = scope(async |group| {
            group.create_task(cleans("a", 3));
            group.create_task(hangs("b"));
            Ok(())
        });
        let task = create_task(outcome("group", group));
        let task_ref = task.as_ref().unwrap();
        settle(2).await;
        task.cancel();
        task.await.unwrap();
        log(format!("{}, count {}", now(), task_ref.cancelling()));
    });
}

#[test]
fn nested_groups_end_from_the_inside() {
    // S125
    twin(async || {
        let outer = scope(async |group| {
            group.create_task(cleans("outer child", 1));
            let inner = scope(async |group| {
                group.create_task(cleans("inner child", 3));
                hangs("inner body").await;
                Ok(())
            });
            let ended = async { log(format!("{}, inner group has ended", now())) };
            drop(finally(inner, ended).await);
            Ok(())
        });
        let task = create_task(outcome("outer", outer));
        settle(3).await;
        task.cancel();
        task.await.unwrap();
        log(now());
    });
}

#[test]
fn failures_in_the_cleanup_win_over_a_request_which_meets_the_next_await() {
    // S126
    twin(async || {
        let task = create_task(async {
            let group = scope(async |group| {
                group.create_task(fails_in_cleanup("a", 1));
                group.create_task(cleans("b", 3));
                Ok(())
            });
            outcome("group", group).await;
            log(format!("{}, count {}", now(), me()));
            outcome("next", sleep(10)).await;
            log(format!("{}, count {}", now(), me()));
        });
        settle(2).await;
        task.cancel();
        task.await.unwrap();
        log(now());
    });
}

#[test]
fn the_count_after_a_failed_group_is_what_it_was() {
    // S127, S126, S52: it was 1, so the task is asked once more, and ends cancelled although it never waits again.
    twin(async || {
        let task = create_task(async {
            if catch_cancelled(sleep(100)).await.is_err() {
                let group = scope(async |group| {
                    group.create_task(fails("a", 1));
                    group.create_task(hangs("b"));
                    Ok(())
                });
                outcome("group", group).await;
                log(format!("count {}", me()));
            }
        });
        settle(1).await;
        task.cancel();
        outcome("task", task).await;
    });
}

#[test]
fn requests_while_a_group_aborts_are_only_counted() {
    // S128
    twin(async || {
        let task = create_task(async {
            let group = scope(async |group| {
                group.create_task(fails("a", 1));
                group.create_task(cleans("b", 5));
                Ok(())
            });
            outcome("group", group).await;
            log(format!("{}, count {}", now(), me()));
            outcome("next", sleep(10)).await;
        });
        sleep(2).await;
        task.cancel();
        sleep(1).await;
        task.cancel();
        log(format!("count {}", task.cancelling()));
        task.await.unwrap();
        log(now());
    });
}

#[test]
fn a_second_request_from_outside_does_not_ask_the_children_again() {
    // S128
    twin(async || {
        let task = create_task(async {
            let group = scope(async |group| {
                group.create_task(cleans("a", 5));
                Ok(())
            });
            outcome("group", group).await;
            log(format!("{}, count {}", now(), me()));
        });
        settle(2).await;
        task.cancel();
        sleep(1).await;
        task.cancel();
        task.await.unwrap();
    });
}

/// Whether a group takes a child: one that it refuses is dropped unrun and counts as cancelled.
fn tries(group: &Group, when: impl Into<String>) {
    let child = group.create_task(works("never", 0, ()));
    let answer = if child.done() { "refused" } else { "taken" };
    log(format!("{}: {answer}", when.into()));
}

#[test]
fn children_are_refused_after_the_end_and_while_it_aborts() {
    // S129: R!, a `create_task` that could fail would make every use of a group carry a `Result` for a misuse. The future is
    // dropped unrun, as the coroutine is closed in Python, and awaiting the child raises a cancellation.
    twin(async || {
        let kept = Rc::new(RefCell::new(None));
        let keep = kept.clone();
        let body = async move |group: &Group| {
            *keep.borrow_mut() = Some(group.clone());
            let own = group.clone();
            group.create_task(async move {
                sleep(2).await;
                own.create_task(works("late", 1, ()));
                log(format!("{}, while it waits: taken", now()));
            });
            Ok(())
        };
        scope(body).await.unwrap();
        let over = kept.take().unwrap();
        tries(&over, format!("{}, after the end", now()));

        let group = scope(async |group| {
            let own = group.clone();
            group.create_task(async move {
                if let Err(cancelled) = catch_cancelled(sleep(100)).await {
                    tries(&own, "while it aborts");
                    cancelled.propagate().await
                }
            });
            sleep(1).await;
            Err::<(), _>(Failure("body"))
        });
        outcome("group", group).await;
    });
}

#[test]
fn awaiting_a_refused_child_raises_a_cancellation() {
    // S129
    let trace = trace_of(async || {
        let mut kept = None;
        let keep = &mut kept;
        scope(async |group| {
            *keep = Some(group.clone());
            Ok(())
        })
        .await
        .unwrap();
        outcome("child", kept.unwrap().create_task(works("never", 0, ()))).await;
        log(format!("count {}", me()));
    });
    assert_eq!(trace, ["child: CancelledError", "count 0"]);
}

#[test]
fn a_group_outside_of_a_loop_is_a_bug_that_is_named() {
    // S130: there is no entering twice, a scope takes its body by value.
    let message = panic_message(|| {
        let group = scope(async |group| {
            drop(group.create_task(works("never", 0, ())));
            Ok(())
        });
        drop(futures_util::FutureExt::now_or_never(group));
    });
    assert!(message.contains("create_task"), "{message}");
}

#[test]
fn an_eager_child_that_fails_at_once_leaves_the_body_to_its_next_suspension() {
    // S136: as in 3.14; under 3.13 the failure is noticed inside `create_task`, so there is no twin.
    let trace = trace_of(async || {
        get_running_loop().set_task_factory(TaskFactory::Eager);
        let group = scope(async |group| {
            let child = async {
                log("child fails");
                Err::<(), _>(Failure("child"))
            };
            drop(group.create_task(child));
            log("body goes on");
            hangs("body").await;
            Ok(())
        });
        outcome("group", group).await;
        log(format!("count {}", me()));
    });
    assert_eq!(
        trace,
        [
            "child fails",
            "body goes on",
            "body cancelled",
            "group: ExceptionGroup(Failure(child))",
            "count 0",
        ]
    );
}

#[test]
fn a_failure_outside_ends_the_inner_group_first() {
    // S132
    twin(async || {
        let outer = scope(async |group| {
            group.create_task(fails("outer child", 1));
            let inner = scope(async |group| {
                group.create_task(cleans("inner child", 3));
                hangs("inner body").await;
                Ok(())
            });
            drop(told_and_passed(|| format!("{}, inner: ", now()), inner).await);
            Ok(())
        });
        outcome("outer", outer).await;
        log(format!("{}, count {}", now(), me()));
    });
}

#[test]
fn two_groups_whose_children_fail_in_the_same_turn() {
    // S133
    twin(async || {
        let outer = TaskGroup::<GroupOrFailure>::scope(async |group| {
            group.create_task(async { Ok(fails("outer child", 1).await?) });
            let inner = scope(async |group| {
                group.create_task(fails("inner child", 1));
                hangs("inner body").await;
                Ok(())
            });
            told_and_passed(|| "inner: ".to_owned(), inner).await?;
            Ok(())
        });
        outcome("outer", outer).await;
        log(format!("{}, count {}", now(), me()));
    });
}

/// The errors of a group in which another one may fail.
enum GroupOrFailure {
    Group(ExceptionGroup<Failure>),
    Failure(Failure),
}

impl From<ExceptionGroup<Failure>> for GroupOrFailure {
    fn from(group: ExceptionGroup<Failure>) -> GroupOrFailure {
        GroupOrFailure::Group(group)
    }
}

impl From<Failure> for GroupOrFailure {
    fn from(failure: Failure) -> GroupOrFailure {
        GroupOrFailure::Failure(failure)
    }
}

impl Told for GroupOrFailure {
    fn told(&self) -> String {
        match self {
            GroupOrFailure::Group(group) => group.told(),
            GroupOrFailure::Failure(failure) => failure.told(),
        }
    }
}

#[test]
fn a_group_whose_time_is_over_cancels_its_children_and_waits() {
    // S134
    twin(async || {
        let group = scope(async |group| {
            group.create_task(cleans("a", 3));
            group.create_task(hangs("b"));
            Ok(())
        });
        outcome("timeout", timeout(1, group)).await;
        log(format!("{}, count {}", now(), me()));
        let group = scope(async |group| {
            group.create_task(fails_in_cleanup("c", 3));
            Ok(())
        });
        outcome("timeout", timeout(1, group)).await;
        log(format!("{}, count {}", now(), me()));
        outcome("next", sleep(1)).await;
    });
}

#[test]
fn a_failure_is_noticed_a_turn_later_and_ends_the_group_after_that() {
    // S135
    twin(async || {
        let future = Promise::<()>::new();
        let awaited = future.clone();
        let group = scope(async |group| {
            group.create_task(async move {
                awaited.await.unwrap();
                log("child fails");
                Err::<(), _>(Failure("child"))
            });
            Ok(())
        });
        create_task(outcome("group", group)).detach();
        settle(3).await;
        ticks(5);
        future.set_result(()).unwrap();
        settle(5).await;
    });
}

#[test]
fn the_value_of_the_body_and_of_children_come_out() {
    // S116, S138
    twin(async || {
        let group = scope(async |group| {
            let a = group.create_task(works("a", 2, 1));
            let b = group.create_task(succeeds("b", 1, 2));
            Ok(a.await + b.await)
        });
        outcome("group", group).await;
    });
}

#[test]
fn a_group_in_a_group_that_fails_by_a_sibling_of_its_task() {
    // S117, S125
    twin(async || {
        let outer = scope(async |group| {
            group.create_task(async {
                let nested = scope(async |group| {
                    group.create_task(cleans("grandchild", 3));
                    Ok(())
                });
                drop(nested.await);
            });
            group.create_task(fails("sibling", 1));
            Ok(())
        });
        outcome("outer", outer).await;
        log(now());
    });
}

#[test]
fn a_body_that_cancels_its_own_task() {
    // S125, S50
    twin(async || {
        let group = scope(async |group| {
            group.create_task(cleans("child", 1));
            sleep(1).await;
            current().cancel();
            sleep(10).await;
            Ok(())
        });
        let task = create_task(outcome("group", group));
        let task_ref = task.as_ref().unwrap();
        task.await.unwrap();
        log(format!("{}, count {}", now(), task_ref.cancelling()));
    });
}

#[test]
fn a_dropped_group_asks_its_children_and_leaves_them_to_the_loop() {
    // S137: L2, no counterpart in Python. In a `Drop` nobody can wait; the children's cleanup runs all the same.
    let trace = trace_of(async || {
        let group = Box::pin(scope(async |group| {
            group.create_task(cleans("a", 2));
            group.create_task(fails_in_cleanup("b", 1));
            let own = group.clone();
            group.create_task(async move {
                if catch_cancelled(sleep(100)).await.is_err() {
                    tries(&own, "after the drop");
                }
            });
            cleans("body", 1).await;
            Ok(())
        }));
        // Two turns, so that the children have begun: one that has not is dropped unrun (S45).
        let other = Box::pin(sleep(1));
        drop(futures_util::future::select(group, other).await);
        log(format!(
            "dropped, {} tasks, count {}",
            all_tasks().len(),
            me()
        ));
        sleep(5).await;
        log(format!("{} task", all_tasks().len()));
    });
    assert_eq!(
        trace,
        [
            "dropped, 4 tasks, count 0",
            "a cleans up", // the body's own cleanup was dropped with it
            "after the drop: refused",
            "b fails",
            "a clean",
            "1 task",
        ]
    );
}

async fn panics(name: &'static str) {
    sleep(1).await;
    panic!("{name} panics");
}

#[test]
fn plain_values_never_fail_and_a_panic_is_a_failure() {
    // S138
    let trace = trace_of(async || {
        let group = scope(async |group| {
            group.create_task(async { "a plain value" });
            group.create_task(async { Some(1) });
            group.create_task(panics("child"));
            group.create_task(hangs("sibling"));
            hangs("body").await;
            Ok(())
        });
        let failed = group.await;
        log(failed.told());
        let failed = failed.unwrap_err();
        assert!(matches!(failed.errors(), [GroupError::Panicked(_)]));
        log(format!("count {}", me()));
    });
    assert_eq!(
        trace,
        [
            "sibling cancelled",
            "body cancelled",
            "ExceptionGroup(panic(child panics))",
            "count 0",
        ]
    );
}

#[test]
fn a_panic_in_the_body_waits_for_the_children_and_goes_on() {
    // S123: R!, a panic is no value that could be put into a group without hiding where it came from: it unwinds through.
    let seen = Rc::new(Cell::new(false));
    let ended = seen.clone();
    let trace = trace_of(async move || {
        let task = create_task(async move {
            let group = scope(async |group| {
                group.create_task(cleans("child", 2));
                panics("body").await;
                Ok(())
            });
            drop(finally(group, async move { ended.set(true) }).await);
        });
        outcome("task", task).await;
        log(now());
    });
    assert_eq!(
        trace,
        [
            "child cleans up",
            "child clean",
            "task: panic(body panics)",
            "3s"
        ]
    );
    assert!(seen.get());
}
