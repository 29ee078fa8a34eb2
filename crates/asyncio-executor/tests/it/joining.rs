//! A task that awaits a task, and what becomes of requests to it (S62 to S65).

use std::cell::RefCell;
use std::future::IntoFuture;
use std::pin::Pin;
use std::rc::Rc;

use asyncio_executor::{
    Executor, Join, Task, TaskError, cancelling, catch_cancelled, current_task, finally, spawn,
    yield_now,
};
use futures_util::future::{Either, select};

use crate::support::{Drops, Gate, Trace, reports, settle, turn};

#[test]
fn a_request_goes_to_the_awaited_task_and_the_await_ends_when_that_has() {
    // S62
    let executor = Executor::new();
    let trace = Trace::default();
    let (log, inner_log) = (trace.clone(), trace.clone());
    let outer = executor.spawn(async move {
        let inner = spawn(finally(std::future::pending::<()>(), async move {
            inner_log.log("inner cleans up");
            yield_now().await;
            inner_log.log("inner has cleaned up");
        }));
        let caught = catch_cancelled(inner).await;
        log.log(format!("outer {:?}", caught.map(|_| ()).unwrap_err()));
    });
    turn(&executor);
    turn(&executor);
    assert!(outer.cancel_with("stop"));
    assert_eq!(trace.take(), [""; 0]);
    turn(&executor);
    assert_eq!(trace.take(), ["inner cleans up"]);
    turn(&executor);
    assert_eq!(
        trace.take(),
        ["inner has cleaned up"],
        "outer is only queued"
    );
    turn(&executor);
    assert_eq!(trace.take(), ["outer CancelledError(\"stop\")"]);
    assert!(outer.done() && !outer.cancelled());
}

#[test]
fn a_request_travels_down_a_chain_of_three_and_unwinds_upward() {
    let executor = Executor::new();
    let trace = Trace::default();
    let cleanup = |name: &'static str| {
        let trace = trace.clone();
        async move {
            yield_now().await;
            trace.log(format!("{name}: cancelling {}", cancelling()));
        }
    };
    let (third, second, first) = (cleanup("third"), cleanup("second"), cleanup("first"));
    let outer = executor.spawn(finally(
        async {
            let second = spawn(finally(
                async {
                    let third = spawn(finally(std::future::pending::<()>(), third));
                    third.await.unwrap();
                },
                second,
            ));
            second.await.unwrap();
        },
        first,
    ));
    settle(&executor);
    outer.cancel();
    outer.cancel();
    settle(&executor);
    // Every request is passed on, so each counts it.
    assert_eq!(
        trace.take(),
        [
            "third: cancelling 2",
            "second: cancelling 2",
            "first: cancelling 2"
        ]
    );
    assert!(outer.cancelled());
}

#[test]
fn a_request_swallowed_by_the_awaited_task_gives_its_value() {
    // S63
    let executor = Executor::new();
    let outer = executor.spawn(async {
        let inner = spawn(async {
            catch_cancelled(std::future::pending::<()>())
                .await
                .unwrap_err();
            yield_now().await;
            5
        });
        let value = inner.await.unwrap();
        // Nothing is pending any more.
        catch_cancelled(yield_now()).await.unwrap();
        (value, cancelling())
    });
    settle(&executor);
    outer.cancel();
    settle(&executor);
    assert_eq!(outer.try_take().unwrap().unwrap(), (5, 1));
}

#[test]
fn a_failure_of_the_awaited_task_during_cleanup_is_what_the_await_gives() {
    // S64
    let executor = Executor::new();
    let outer = executor.spawn(async {
        let inner = spawn(finally(std::future::pending::<()>(), async {
            panic!("in cleanup");
        }));
        let Err(TaskError::Panicked(panic)) = inner.await else {
            unreachable!("it fails");
        };
        panic.message().to_owned()
    });
    settle(&executor);
    outer.cancel();
    settle(&executor);
    assert_eq!(outer.try_take().unwrap().unwrap(), "in cleanup");
}

#[test]
fn a_request_to_a_task_whose_awaited_task_has_ended_loses_the_result() {
    // S48
    let executor = Executor::new();
    let (gate, drops, trace) = (Gate::default(), Drops::default(), Trace::default());
    let (wait, token, log) = (gate.clone(), drops.token(), trace.clone());
    let outer = executor.spawn(async move {
        let inner = spawn(async move {
            wait.wait().await;
            token
        });
        let caught = catch_cancelled(inner).await;
        log.log(format!("caught: {}", caught.is_err()));
    });
    settle(&executor);
    gate.open();
    turn(&executor); // the inner task ends and queues the outer
    assert!(!outer.done());
    assert!(outer.cancel());
    settle(&executor);
    assert_eq!(trace.take(), ["caught: true"]);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_task_that_cancels_itself_and_then_awaits_a_task_asks_that_first() {
    // S51
    let executor = Executor::new();
    let trace = Trace::default();
    let (log, inner_log) = (trace.clone(), trace.clone());
    let outer = executor.spawn(async move {
        let inner = spawn(async move {
            let caught = catch_cancelled(std::future::pending::<()>()).await;
            inner_log.log(format!("inner {caught:?}"));
            caught.unwrap_err().propagate::<()>().await;
        });
        yield_now().await;
        current_task().unwrap().cancel_with("self");
        let caught = catch_cancelled(inner).await;
        log.log(format!("outer {:?}", caught.map(|_| ()).unwrap_err()));
    });
    settle(&executor);
    assert_eq!(
        trace.take(),
        [
            "inner Err(CancelledError(\"self\"))",
            "outer CancelledError(\"self\")",
        ]
    );
    assert!(outer.done() && !outer.cancelled());
}

#[test]
fn a_task_that_cancels_itself_and_awaits_a_task_not_started_ends_with_it() {
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    let outer = executor.spawn(async move {
        let inner = spawn(async move {
            let _token = token;
            unreachable!("never started");
        });
        current_task().unwrap().cancel();
        inner.await.unwrap();
    });
    settle(&executor);
    assert!(outer.cancelled());
    assert_eq!(drops.count(), 1);
}

#[test]
fn an_awaited_task_cancelled_by_somebody_else_is_a_value() {
    let executor = Executor::new();
    let outcome = executor.run(async {
        let inner = spawn(std::future::pending::<()>());
        let reference = inner.as_ref().unwrap();
        asyncio_executor::call_soon(move || {
            reference.cancel_with("from elsewhere");
        });
        inner.await
    });
    let Ok(Err(TaskError::Cancelled(error))) = outcome else {
        unreachable!("the await itself goes on");
    };
    assert_eq!(error.message(), Some("from elsewhere"));
}

#[test]
fn an_await_by_reference_passes_nothing_on() {
    let executor = Executor::new();
    let slot: Rc<RefCell<Option<Task<()>>>> = Rc::default();
    let keep = slot.clone();
    let outer = executor.spawn(async move {
        let mut inner = spawn(std::future::pending::<()>());
        let caught = catch_cancelled(&mut inner).await.is_err();
        *keep.borrow_mut() = Some(inner);
        caught
    });
    settle(&executor);
    outer.cancel();
    settle(&executor);
    assert!(outer.try_take().unwrap().unwrap());
    let inner = slot.take().unwrap();
    assert_eq!((inner.done(), inner.cancelling()), (false, 0));
    inner.cancel();
    settle(&executor);
    assert!(inner.cancelled());
}

#[test]
fn a_dropped_await_lets_the_task_run_on() {
    let executor = Executor::new();
    let (trace, gate) = (Trace::default(), Gate::default());
    let (log, wait) = (trace.clone(), gate.clone());
    executor
        .run(async move {
            let inner = spawn(async move {
                wait.wait().await;
                log.log("ran on");
            });
            let join = std::pin::pin!(inner.into_future());
            let Either::Right(_) = select(join, std::pin::pin!(yield_now())).await else {
                unreachable!("the inner task waits");
            };
        })
        .unwrap();
    gate.open();
    settle(&executor);
    assert_eq!(trace.take(), ["ran on"]);
}

#[test]
fn a_request_passed_on_by_an_await_that_is_then_dropped_is_not_lost() {
    // The losing arm of a select had passed the request on; the task must still hear of it.
    let executor = Executor::new();
    let (trace, gate) = (Trace::default(), Gate::default());
    let (log, wait) = (trace.clone(), gate.clone());
    let outer = executor.spawn(async move {
        let inner = spawn(finally(std::future::pending::<()>(), async {
            std::future::pending::<()>().await; // a cleanup that takes for ever
        }));
        select(
            std::pin::pin!(inner.into_future()),
            std::pin::pin!(wait.wait()),
        )
        .await;
        log.log("the select is over");
        let caught = catch_cancelled(std::future::pending::<()>()).await;
        log.log(format!("then {caught:?}"));
    });
    settle(&executor);
    outer.cancel_with("stop");
    settle(&executor);
    assert_eq!(trace.take(), [""; 0]);
    executor.enter(|| gate.open());
    settle(&executor);
    assert_eq!(
        trace.take(),
        ["the select is over", "then Err(CancelledError(\"stop\"))"]
    );
    assert!(outer.done());
}

#[test]
fn an_await_kept_but_not_polled_does_not_swallow_a_request() {
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    let outer = executor.spawn(async move {
        let inner = spawn(std::future::pending::<()>());
        let mut join = inner.into_future();
        let Either::Right(_) = select(&mut join, std::pin::pin!(yield_now())).await else {
            unreachable!("the inner task waits");
        };
        let caught = catch_cancelled(std::future::pending::<()>()).await;
        log.log(format!("caught: {}", caught.is_err()));
        log.log(format!("asked as well: {}", join.task().cancelling()));
    });
    settle(&executor);
    outer.cancel();
    settle(&executor);
    assert_eq!(trace.take(), ["caught: true", "asked as well: 1"]);

    // The same without another scope: the task ends when the one it passed the request to has.
    let outer = executor.spawn(async move {
        let inner = spawn(std::future::pending::<()>());
        let mut join = inner.into_future();
        select(&mut join, std::pin::pin!(yield_now())).await;
        std::future::pending::<()>().await;
        drop(join);
    });
    settle(&executor);
    outer.cancel();
    settle(&executor);
    assert!(outer.cancelled());
}

#[test]
fn one_request_is_not_heard_twice_because_it_was_passed_on() {
    // The first arm has no scope when the request comes, and one when the awaited task has swallowed it.
    let executor = Executor::new();
    for await_first in [false, true] {
        let (gate, open) = (Gate::default(), Gate::default());
        let (wait, opened) = (gate.clone(), open.clone());
        let outer = executor.spawn(async move {
            let inner = spawn(async move {
                let _ = catch_cancelled(std::future::pending::<()>()).await;
                opened.wait().await;
                1
            });
            let late = Gate::default();
            let end = late.clone();
            let arm = async move {
                wait.wait().await;
                catch_cancelled(late.wait()).await.is_err()
            };
            let join = async move {
                let value = inner.await.unwrap();
                end.open();
                value
            };
            if await_first {
                let (value, heard) = futures_util::join!(join, arm);
                (heard, value)
            } else {
                futures_util::join!(arm, join)
            }
        });
        settle(&executor);
        outer.cancel();
        settle(&executor);
        executor.enter(|| gate.open());
        settle(&executor);
        executor.enter(|| open.open());
        settle(&executor);
        assert_eq!(outer.try_take().unwrap().unwrap(), (false, 1));
    }
}

type BoxedJoin = Pin<Box<Join<u8>>>;

#[test]
fn an_await_that_moved_to_another_task_answers_to_that_one() {
    let executor = Executor::new();
    let slot: Rc<RefCell<Option<BoxedJoin>>> = Rc::default();
    let (gate, heard) = (Gate::default(), Trace::default());
    let (put, wait, log) = (slot.clone(), gate.clone(), heard.clone());
    // The first task polls the await once, passes a request on, and gives it away.
    let first = executor.spawn(async move {
        let inner = spawn(async move {
            let _ = catch_cancelled(std::future::pending::<()>()).await;
            wait.wait().await;
            5
        });
        *put.borrow_mut() = Some(Box::pin(inner.into_future()));
        let polled = put.clone();
        let caught = catch_cancelled(std::future::poll_fn(move |cx| {
            let mut slot = polled.borrow_mut();
            match slot.as_mut() {
                Some(join) => join.as_mut().poll(cx).map(|_| ()),
                None => std::task::Poll::Pending,
            }
        }))
        .await;
        log.log(format!("first: {}", caught.is_err()));
    });
    settle(&executor);
    first.cancel();
    let join = slot.take().unwrap();
    let second = executor.spawn(join);
    settle(&executor);
    assert_eq!(
        heard.take(),
        ["first: true"],
        "the request was made to the first and is not lost with the await"
    );
    gate.open();
    settle(&executor);
    assert_eq!(second.cancelling(), 0);
    assert_eq!(second.try_take().unwrap().unwrap().unwrap(), 5);
}

#[test]
fn an_await_resumed_in_another_scope_unwinds_that_one() {
    // A select's loser is awaited again, inside a scope: the request goes on to the task, and the scope waits for it.
    let executor = Executor::new();
    let trace = Trace::default();
    let (log, inner_log) = (trace.clone(), trace.clone());
    let outer = executor.spawn(async move {
        let inner = spawn(finally(std::future::pending::<()>(), async move {
            yield_now().await;
            inner_log.log("inner has cleaned up");
        }));
        let mut join = inner.into_future();
        select(&mut join, std::pin::pin!(yield_now())).await;
        let caught = catch_cancelled(&mut join).await.is_err();
        log.log(format!("outer caught: {caught}"));
    });
    settle(&executor);
    outer.cancel();
    settle(&executor);
    assert_eq!(trace.take(), ["inner has cleaned up", "outer caught: true"]);
}

#[test]
fn tasks_that_await_each_other_can_be_cancelled() {
    // They wait for ever; a request must come to an end all the same.
    let executor = Executor::new();
    let slots: [Rc<RefCell<Option<Task<()>>>>; 2] = Default::default();
    let references: Vec<_> = (0..2)
        .map(|n| {
            let other = slots[1 - n].clone();
            let task = executor.spawn(async move {
                yield_now().await;
                let task = other.take().unwrap();
                let _ = task.await;
            });
            let reference = executor.enter(|| task.as_ref()).unwrap();
            *slots[n].borrow_mut() = Some(task);
            reference
        })
        .collect();
    settle(&executor);
    assert!(references[0].cancel());
    settle(&executor);
    assert!(references.iter().all(|task| task.done()));
}

#[test]
fn a_task_that_awaits_itself_panics_at_that_await() {
    // S39
    let executor = Executor::new();
    let seen = reports(&executor);
    let slot: Rc<RefCell<Option<Task<()>>>> = Rc::default();
    let own = slot.clone();
    let task = executor.spawn(async move {
        yield_now().await;
        let me = own.take().unwrap();
        let _ = me.await;
    });
    *slot.borrow_mut() = Some(task);
    settle(&executor);
    assert_eq!(
        seen.take(),
        [
            "a task panicked and nobody awaited it: the task panicked: a task cannot await itself: it would wait for \
             its own end for ever (S39)"
        ]
    );
}

#[test]
fn a_request_to_the_first_of_ten_thousand_tasks_in_a_chain_does_not_use_up_the_stack() {
    const DEPTH: usize = 10_000;
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    let mut task = executor.spawn(async move {
        let _token = token;
        std::future::pending::<()>().await;
    });
    for _ in 1..DEPTH {
        let (awaited, token) = (task, drops.token());
        task = executor.spawn(async move {
            let _token = token;
            awaited.await.unwrap();
        });
    }
    settle(&executor);
    assert_eq!(executor.stats().living, DEPTH);
    assert!(task.cancel());
    settle(&executor);
    assert!(task.cancelled());
    assert_eq!(drops.count(), DEPTH);
    assert_eq!(executor.stats().living, 0);
}

#[test]
fn a_chain_that_is_closed_over_does_not_use_up_the_stack() {
    const DEPTH: usize = 10_000;
    let executor = Executor::new();
    let drops = Drops::default();
    let mut task = executor.spawn(std::future::pending::<()>());
    for _ in 1..DEPTH {
        let (awaited, token) = (task, drops.token());
        task = executor.spawn(async move {
            let _token = token;
            awaited.await.unwrap();
        });
    }
    settle(&executor);
    drop(executor);
    assert!(task.cancelled());
    assert_eq!(drops.count(), DEPTH - 1);
}
