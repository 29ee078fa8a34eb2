//! Requests: counts, delivery, withdrawal, raising, cleanup.

use std::cell::Cell;
use std::rc::Rc;

use asyncio_executor::{
    CancelledError, Executor, TaskError, cancellation_pending, cancelling, catch_cancelled,
    current_task, finally, raise_cancelled, spawn, uncancel, yield_now,
};

use crate::support::{Drops, Gate, OnDrop, Trace, settle, turn};

#[test]
fn a_request_is_refused_only_by_a_task_that_has_ended() {
    // S43
    let executor = Executor::new();
    let task = executor.spawn(std::future::pending::<()>());
    assert_eq!(task.cancelling(), 0);
    assert!(task.cancel());
    assert!(task.cancel());
    assert_eq!(task.cancelling(), 2);
    // S46
    assert!(!task.cancelled() && !task.done());
    settle(&executor);
    assert!(task.cancelled() && task.done());
    assert!(!task.cancel());
    assert_eq!(task.cancelling(), 2);
}

#[test]
fn a_task_cancelled_before_its_first_step_is_dropped_unpolled() {
    // S45
    let executor = Executor::new();
    let (trace, drops) = (Trace::default(), Drops::default());
    let (log, token) = (trace.clone(), drops.token());
    let task = executor.spawn(finally(
        async move {
            let _token = token;
            log.log("body");
        },
        async { unreachable!("no cleanup of what never began") },
    ));
    task.cancel();
    assert_eq!(drops.count(), 0, "at its turn, not before");
    assert_eq!(turn(&executor), 1);
    assert_eq!(drops.count(), 1);
    assert!(task.cancelled());
    assert_eq!(trace.take(), [""; 0]);
}

#[test]
fn a_request_never_runs_code_of_the_task_at_once() {
    // S44
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    let task = executor.spawn(async move {
        let _token = token;
        std::future::pending::<()>().await;
    });
    turn(&executor);
    executor.enter(|| task.cancel());
    assert_eq!(drops.count(), 0);
    turn(&executor);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_result_that_was_ready_but_not_taken_is_lost() {
    // S48
    let executor = Executor::new();
    let (trace, gate) = (Trace::default(), Gate::default());
    let (log, wait) = (trace.clone(), gate.clone());
    let task = executor.spawn(async move {
        let caught = catch_cancelled(wait.wait()).await.is_err();
        log.log(format!("caught: {caught}"));
    });
    turn(&executor);
    gate.open();
    task.cancel();
    settle(&executor);
    assert_eq!(trace.take(), ["caught: true"]);
}

#[test]
fn a_task_that_cancels_itself_hears_of_it_where_it_next_suspends() {
    // S50
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    let task = executor.spawn(async move {
        let me = current_task().unwrap();
        assert!(me.cancel());
        assert!(cancellation_pending());
        std::future::ready(()).await;
        log.log("an await that does not suspend passes");
        let caught = catch_cancelled(async {
            std::future::ready(()).await;
            log.log("also in a scope");
            yield_now().await;
            unreachable!("this one suspends");
        })
        .await;
        assert!(!cancellation_pending());
        log.log(format!("caught: {:?}", caught.unwrap_err()));
        yield_now().await;
        cancelling()
    });
    settle(&executor);
    assert_eq!(
        trace.take(),
        [
            "an await that does not suspend passes",
            "also in a scope",
            "caught: CancelledError()",
        ]
    );
    // S55
    assert_eq!(task.try_take().unwrap().unwrap(), 1);
}

#[test]
fn a_task_without_scopes_that_cancels_itself_is_dropped_where_it_suspends() {
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    let task = executor.spawn(async move {
        let _token = token;
        current_task().unwrap().cancel();
        yield_now().await;
        unreachable!("it was dropped");
    });
    assert_eq!(turn(&executor), 1);
    assert!(task.cancelled());
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_return_right_after_a_request_loses_the_value_but_a_panic_wins() {
    // S52
    let executor = Executor::new();
    let (returns, panics) = executor
        .run(async {
            let returns = spawn(async {
                current_task().unwrap().cancel();
                5
            });
            let panics = spawn(async {
                current_task().unwrap().cancel();
                panic!("wins");
            });
            (returns.await, panics.await)
        })
        .unwrap();
    assert!(returns.unwrap_err().is_cancelled());
    assert!(panics.unwrap_err().is_panic());
}

#[test]
fn several_requests_before_delivery_are_heard_once_and_counted_each() {
    // S53
    let executor = Executor::new();
    let task = executor.spawn(async {
        let caught = catch_cancelled(std::future::pending::<()>()).await;
        let quiet = catch_cancelled(yield_now()).await;
        (caught.unwrap_err(), quiet.is_ok(), cancelling())
    });
    turn(&executor);
    task.cancel_with("first");
    task.cancel_with("second");
    settle(&executor);
    let (error, quiet, count) = task.try_take().unwrap().unwrap();
    // S60
    assert_eq!(error.message(), Some("first"));
    assert!(quiet);
    assert_eq!(count, 2);
}

#[test]
fn a_second_request_during_cleanup_unwinds_the_cleanup() {
    // S54
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    let task = executor.spawn(finally(std::future::pending::<()>(), async move {
        let _on_drop = log.on_drop("cleanup dropped");
        log.log("cleanup begins");
        std::future::pending::<()>().await;
    }));
    turn(&executor);
    task.cancel();
    settle(&executor);
    assert_eq!(trace.take(), ["cleanup begins"]);
    task.cancel();
    settle(&executor);
    assert_eq!(trace.take(), ["cleanup dropped"]);
    assert!(task.cancelled());
}

#[test]
fn uncancel_to_zero_withdraws_a_request_nobody_took() {
    // S56
    let executor = Executor::new();
    for scoped in [false, true] {
        let gate = Gate::default();
        let wait = gate.clone();
        let task = executor.spawn(async move {
            if scoped {
                catch_cancelled(wait.wait()).await.unwrap();
            } else {
                wait.wait().await;
            }
            7
        });
        turn(&executor);
        task.cancel();
        task.cancel();
        assert_eq!(task.uncancel(), 1);
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.uncancel(), 0, "the floor");
        settle(&executor);
        assert!(!task.done());
        executor.enter(|| gate.open());
        settle(&executor);
        assert_eq!(task.uncancel(), 0, "harmless on a done task");
        assert_eq!(task.try_take().unwrap().unwrap(), 7);
    }
}

#[test]
fn uncancel_before_the_first_step_lets_the_task_start() {
    let executor = Executor::new();
    let task = executor.spawn(async { 1 });
    task.cancel();
    assert_eq!(task.uncancel(), 0);
    settle(&executor);
    assert_eq!(task.try_take().unwrap().unwrap(), 1);
}

#[test]
fn uncancel_above_zero_withdraws_nothing() {
    let executor = Executor::new();
    let task = executor.spawn(std::future::pending::<()>());
    turn(&executor);
    task.cancel();
    task.cancel();
    assert_eq!(task.uncancel(), 1);
    settle(&executor);
    assert!(task.cancelled());
}

#[test]
fn a_task_that_withdraws_its_own_request_goes_on() {
    let executor = Executor::new();
    let value = executor.run(async {
        current_task().unwrap().cancel_with("never mind");
        assert!(cancellation_pending());
        assert_eq!(uncancel(), 0);
        assert!(!cancellation_pending());
        catch_cancelled(yield_now()).await.is_ok()
    });
    assert!(value.unwrap());
}

#[test]
fn a_caught_request_may_be_swallowed_and_later_awaits_are_not_disturbed() {
    // S55
    let executor = Executor::new();
    let task = executor.spawn(async {
        let caught = catch_cancelled(std::future::pending::<()>()).await.is_err();
        for _ in 0..3 {
            yield_now().await;
        }
        (caught, cancelling(), uncancel(), cancelling())
    });
    turn(&executor);
    task.cancel();
    settle(&executor);
    assert!(!task.cancelled());
    assert_eq!(task.try_take().unwrap().unwrap(), (true, 1, 0, 0));
}

#[test]
fn the_message_of_a_request_reaches_task_and_awaiter() {
    // S60
    let executor = Executor::new();
    let (unscoped, scoped) = (
        executor.spawn(std::future::pending::<()>()),
        executor.spawn(async {
            let error = catch_cancelled(std::future::pending::<()>())
                .await
                .unwrap_err();
            assert_eq!(error.message(), Some("enough"));
            error.propagate::<()>().await
        }),
    );
    turn(&executor);
    for task in [unscoped, scoped] {
        task.cancel_with("enough");
        settle(&executor);
        let Ok(Err(TaskError::Cancelled(error))) = task.try_take() else {
            unreachable!("it ends cancelled");
        };
        assert_eq!(error.to_string(), "cancelled: enough");
    }
}

#[test]
fn unwinding_awaits_each_cleanup_innermost_first() {
    // S57
    let executor = Executor::new();
    let trace = Trace::default();
    let cleanup = |name: &'static str| {
        let trace = trace.clone();
        async move {
            trace.log(format!("{name} begins"));
            yield_now().await;
            trace.log(format!("{name} ends"));
        }
    };
    let body = trace.on_drop("body dropped");
    let task = executor.spawn(finally(
        finally(
            async move {
                let _body = body;
                std::future::pending::<()>().await;
            },
            cleanup("inner"),
        ),
        cleanup("outer"),
    ));
    turn(&executor);
    task.cancel();
    turn(&executor);
    assert_eq!(trace.take(), ["body dropped", "inner begins"]);
    turn(&executor);
    assert_eq!(trace.take(), ["inner ends", "outer begins"]);
    turn(&executor);
    assert_eq!(trace.take(), ["outer ends"]);
    assert!(task.cancelled());
}

#[test]
fn finally_runs_its_cleanup_after_a_value_a_panic_and_a_raise() {
    let executor = Executor::new();
    let cleaned = Rc::new(Cell::new(0));
    let cleanup = || {
        let cleaned = cleaned.clone();
        async move {
            yield_now().await;
            cleaned.set(cleaned.get() + 1);
        }
    };
    let value = executor.run(finally(async { 3 }, cleanup()));
    assert_eq!((value.unwrap(), cleaned.get()), (3, 1));

    let panics = executor.run(finally(
        async {
            yield_now().await;
            panic!("on its way")
        },
        cleanup(),
    ));
    let Err(TaskError::Panicked(panic)) = panics else {
        unreachable!("the panic goes on after the cleanup");
    };
    assert_eq!((panic.message(), cleaned.get()), ("on its way", 2));

    let raised = executor.run(finally(raise_cancelled::<()>(), cleanup()));
    assert_eq!(
        (raised.unwrap_err().is_cancelled(), cleaned.get()),
        (true, 3)
    );
}

#[test]
fn a_panic_in_the_cleanup_replaces_the_cancellation() {
    // S58
    let executor = Executor::new();
    let task = executor.spawn(finally(std::future::pending::<()>(), async {
        yield_now().await;
        panic!("in cleanup");
    }));
    turn(&executor);
    task.cancel();
    settle(&executor);
    assert!(!task.cancelled());
    assert!(task.try_take().unwrap().unwrap_err().is_panic());
}

#[test]
fn the_body_is_dropped_before_the_scope_reacts() {
    let executor = Executor::new();
    let trace = Trace::default();
    let (log, token) = (trace.clone(), trace.on_drop("body dropped"));
    let task = executor.spawn(async move {
        let caught = catch_cancelled(async move {
            let _token = token;
            std::future::pending::<()>().await;
        })
        .await;
        log.log(format!("reacts: {}", caught.is_err()));
    });
    turn(&executor);
    task.cancel();
    settle(&executor);
    assert_eq!(trace.take(), ["body dropped", "reacts: true"]);
}

#[test]
fn a_raise_without_a_request_ends_the_task_cancelled() {
    // S37
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    let task = executor.spawn(async move {
        let _token = token;
        raise_cancelled::<u8>().await
    });
    settle(&executor);
    assert_eq!(drops.count(), 1);
    assert_eq!((task.cancelled(), task.cancelling()), (true, 0));
}

#[test]
fn a_raise_unwinds_scope_by_scope() {
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    let task = executor.spawn(async move {
        let outer = catch_cancelled(async {
            let inner = catch_cancelled(raise_cancelled::<()>()).await;
            log.log(format!("inner {inner:?}"));
            CancelledError::with_message("again")
                .propagate::<()>()
                .await;
            unreachable!("never returns");
        })
        .await;
        log.log(format!("outer {:?}", outer.unwrap_err()));
        raise_cancelled::<()>().await;
    });
    settle(&executor);
    assert_eq!(
        trace.take(),
        [
            "inner Err(CancelledError())",
            "outer CancelledError(\"again\")",
        ]
    );
    assert!(task.cancelled());
}

#[test]
fn a_raise_that_is_never_polled_raises_nothing() {
    let executor = Executor::new();
    let value = executor.run(async {
        drop(raise_cancelled::<()>());
        yield_now().await;
        1
    });
    assert_eq!(value.unwrap(), 1);
}

#[test]
fn a_raise_outside_of_a_task_panics_with_a_clear_message() {
    let panic = std::panic::catch_unwind(|| {
        let mut raise = std::pin::pin!(raise_cancelled::<()>());
        let _ = crate::support::poll_once(raise.as_mut());
    })
    .unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("only inside a task"));
}

#[test]
fn a_request_from_a_destructor_within_a_request_is_safe() {
    // cancel inside Drop inside cancel
    let executor = Executor::new();
    let trace = Trace::default();
    let last = Rc::new(executor.spawn(std::future::pending::<()>()));
    let (log, next) = (trace.clone(), last.clone());
    let middle = Rc::new(executor.spawn(async move {
        let _on_drop = OnDrop::new(move || log.log(format!("middle: {}", next.cancel())));
        std::future::pending::<()>().await;
    }));
    let (log, next) = (trace.clone(), middle.clone());
    let first = executor.spawn(async move {
        let _on_drop = OnDrop::new(move || {
            log.log(format!(
                "first: {} {}",
                next.cancel(),
                current_task().unwrap().cancel()
            ));
        });
        std::future::pending::<()>().await;
    });
    turn(&executor);
    first.cancel();
    settle(&executor);
    assert_eq!(trace.take(), ["first: true true", "middle: true"]);
    assert!(first.cancelled() && middle.cancelled() && last.cancelled());
}

#[test]
fn a_request_during_the_step_of_another_executor_is_taken() {
    let outer = Executor::new();
    let inner = Executor::new();
    let task = outer.spawn(async move {
        let me = current_task().unwrap();
        inner
            .run(async move {
                me.cancel();
            })
            .unwrap();
        yield_now().await;
    });
    settle(&outer);
    assert!(task.cancelled());
}
