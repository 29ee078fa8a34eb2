//! The end of an executor: everything is dropped in place, nothing runs any more.

use std::cell::RefCell;
use std::rc::Rc;

use asyncio_executor::{
    Executor, Task, TaskError, TurnEnd, at_turn_end, call_soon, catch_cancelled, current_task,
    finally, spawn, yield_now,
};

use crate::support::{Drops, Gate, OnDrop, PENDING, Trace, reports, settle, turn};

#[test]
fn close_drops_every_future_where_it_stands() {
    // S11
    let executor = Executor::new();
    let trace = Trace::default();
    let mut tasks = Vec::new();
    for name in ["a", "b", "c"] {
        let token = trace.on_drop(name);
        tasks.push(executor.spawn(async move {
            let _token = token;
            // Scopes and cleanup do not hear of it.
            finally(catch_cancelled(std::future::pending::<()>()), async {
                unreachable!("no async cleanup at close");
            })
            .await
        }));
    }
    turn(&executor);
    let token = trace.on_drop("not started");
    tasks.push(executor.spawn(async move {
        let _token = token;
        unreachable!("never started");
    }));
    executor.close();
    // The unstarted one was in the queue; the others are queued behind it, oldest first.
    assert_eq!(trace.take(), ["not started", "a", "b", "c"]);
    assert!(executor.is_closed());
    for task in tasks {
        assert!(task.done() && task.cancelled());
        assert!(matches!(task.try_take(), Ok(Err(TaskError::Cancelled(_)))));
    }
    assert_eq!(executor.stats().living, 0);
    assert_eq!(executor.all_tasks().len(), 0);
}

#[test]
fn close_drops_callbacks_unrun() {
    // S11
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    executor.call_soon(move || {
        let _token = token;
        unreachable!("dropped unrun");
    });
    let token = drops.token();
    let task = executor.spawn(std::future::pending::<()>());
    task.add_done_callback(move || {
        let _token = token;
        unreachable!("dropped unrun");
    });
    executor.close();
    assert_eq!(drops.count(), 2);
    let token = drops.token();
    let handle = executor.call_soon(move || drop(token));
    assert!(handle.cancelled(), "nothing can be scheduled afterwards");
    assert_eq!(drops.count(), 3);
}

#[test]
fn close_twice_and_drop_do_nothing_more() {
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    executor.spawn(async move { drop(token) }).detach();
    executor.close();
    executor.close();
    drop(executor);
    assert_eq!(drops.count(), 1);
}

#[test]
fn spawning_on_a_closed_executor_drops_the_future_and_ends_the_task_cancelled() {
    let executor = Executor::new();
    executor.close();
    let drops = Drops::default();
    let token = drops.token();
    let task = executor.spawn(async move { drop(token) });
    assert_eq!(drops.count(), 1);
    assert!(task.done() && task.cancelled() && !task.cancel());
    assert!(executor.run(async { 1 }).unwrap_err().is_cancelled());
    assert_eq!(turn(&executor), 0);
}

#[test]
fn closing_from_within_a_task_or_a_callback_panics_with_a_clear_message() {
    let executor = Rc::new(Executor::new());
    let seen = reports(&executor);
    let inner = executor.clone();
    let outcome = executor.run(async move { inner.close() });
    let Err(TaskError::Panicked(panic)) = outcome else {
        unreachable!("close must refuse");
    };
    assert_eq!(
        panic.message(),
        "an executor cannot be closed by one of its own tasks or callbacks: return from the run first"
    );
    let inner = executor.clone();
    executor.call_soon(move || inner.close());
    settle(&executor);
    assert_eq!(
        seen.take(),
        [
            "panic in a callback of the event loop: an executor cannot be closed by one of its own tasks or \
             callbacks: return from the run first"
        ]
    );
    assert!(!executor.is_closed());
    assert_eq!(executor.run(async { 1 }).unwrap(), 1);
}

#[test]
fn destructors_may_spawn_wake_cancel_and_schedule_during_close() {
    let executor = Executor::new();
    let (trace, drops, gate) = (Trace::default(), Drops::default(), Gate::default());
    let (other, wait) = (drops.token(), gate.clone());
    let other = Rc::new(executor.spawn(async move {
        let _token = other;
        wait.wait().await;
    }));
    let (log, victim, open, spawned) = (trace.clone(), other.clone(), gate.clone(), drops.token());
    let queued = drops.token();
    executor
        .spawn(async move {
            let _on_drop = OnDrop::new(move || {
                let task = spawn(async move {
                    let _token = spawned;
                    unreachable!("never started");
                });
                log.log(format!("spawned: cancelled {}", task.cancelled()));
                log.log(format!("cancel: {}", victim.cancel()));
                open.open();
                let handle = call_soon(move || drop(queued));
                log.log(format!("callback: cancelled {}", handle.cancelled()));
            });
            std::future::pending::<()>().await;
        })
        .detach();
    turn(&executor);
    executor.close();
    assert_eq!(
        trace.take(),
        [
            // The other is older, so it is gone by now.
            "spawned: cancelled true",
            "cancel: false",
            "callback: cancelled true",
        ]
    );
    assert!(other.cancelled());
    assert_eq!(drops.count(), 3);
}

#[test]
fn a_future_that_holds_the_last_handle_of_another_task_is_dropped_in_any_order() {
    for holder_first in [true, false] {
        let executor = Executor::new();
        let drops = Drops::default();
        let (slot, mut tokens) = (
            Rc::new(RefCell::new(None::<Task<()>>)),
            vec![drops.token(), drops.token()],
        );
        let held = {
            let token = tokens.pop();
            async move {
                let _token = token;
                std::future::pending::<()>().await;
            }
        };
        let holder = {
            let (token, slot) = (tokens.pop(), slot.clone());
            async move {
                let _token = token;
                yield_now().await;
                let task = slot.take().unwrap();
                task.await.unwrap();
            }
        };
        if holder_first {
            executor.spawn(holder).detach();
            *slot.borrow_mut() = Some(executor.spawn(held));
        } else {
            *slot.borrow_mut() = Some(executor.spawn(held));
            executor.spawn(holder).detach();
        }
        settle(&executor);
        assert!(slot.borrow().is_none());
        executor.close();
        assert_eq!(drops.count(), 2);
        assert_eq!(executor.stats().living, 0);
    }
}

#[test]
fn handles_outlive_the_executor() {
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    let finished = executor.spawn(async move { token });
    settle(&executor);
    let idle = executor.spawn(std::future::pending::<()>());
    settle(&executor);
    let handle = executor.call_soon(|| ());
    drop(executor);
    assert!(handle.cancelled());
    assert!(idle.done() && idle.cancelled() && !idle.cancel());
    assert_eq!(idle.uncancel(), 0);
    idle.set_name("late");
    assert_eq!(idle.get_name(), "late");
    assert_eq!(idle.add_done_callback(|| ()), 0);
    assert!(idle.as_ref().is_none());
    assert!(idle.try_take().unwrap().unwrap_err().is_cancelled());
    // The outcome of the finished one is still there to be taken.
    assert_eq!(drops.count(), 0);
    drop(finished.try_take().unwrap().unwrap());
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_panicking_destructor_does_not_keep_the_rest_from_being_dropped() {
    let executor = Executor::new();
    let (seen, drops) = (reports(&executor), Drops::default());
    let bomb = OnDrop::new(|| panic!("callback"));
    executor.call_soon(move || drop(bomb));
    let token = drops.token();
    executor.call_soon(move || drop(token));
    let bomb = OnDrop::new(|| panic!("future"));
    executor
        .spawn(async move {
            let _bomb = bomb;
        })
        .detach();
    let token = drops.token();
    executor.spawn(async move { drop(token) }).detach();
    executor.close();
    assert_eq!(drops.count(), 2);
    assert_eq!(
        seen.take(),
        [
            "panic in the destructor of a callback that was dropped unrun: callback",
            "a task panicked and nobody awaited it: the task panicked: future",
        ]
    );
    assert!(executor.remote().call(|| ()).is_err());
}

#[test]
fn close_reports_tasks_that_are_pending_and_the_handler_may_close_again() {
    // S36
    let executor = Rc::new(Executor::new());
    let trace = Trace::default();
    executor
        .spawn(std::future::pending::<()>())
        .name("idle")
        .detach();
    executor.spawn(async {}).name("not started").detach();
    settle(&executor);
    executor.spawn(async {}).name("not started").detach();
    let (log, again) = (trace.clone(), Rc::downgrade(&executor));
    executor.set_exception_handler(Some(Rc::new(move |context| {
        log.log(format!(
            "{}: {}",
            context.task.as_ref().unwrap().name,
            context.message
        ));
        if let Some(executor) = again.upgrade() {
            executor.close();
        }
    })));
    executor.close();
    assert_eq!(
        trace.take(),
        [
            format!("idle: {PENDING}"),
            format!("not started: {PENDING}")
        ]
    );
}

#[test]
fn hooks_for_the_end_of_a_turn_run_at_close() {
    struct Flush(Trace);
    impl TurnEnd for Flush {
        fn turn_ended(&self) {
            self.0.log("flushed");
        }
    }
    let executor = Executor::new();
    let trace = Trace::default();
    executor.enter(|| at_turn_end(Rc::new(Flush(trace.clone()))));
    executor.close();
    assert_eq!(trace.take(), ["flushed"]);
}

#[test]
fn nothing_is_current_in_what_is_dropped_at_close() {
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    executor
        .spawn(async move {
            let _on_drop = OnDrop::new(move || log.log(format!("{}", current_task().is_none())));
            std::future::pending::<()>().await;
        })
        .detach();
    turn(&executor);
    drop(executor);
    assert_eq!(trace.take(), ["true"]);
}

#[test]
fn an_executor_is_closed_by_the_end_of_its_thread() {
    thread_local! {
        static EXECUTOR: Executor = Executor::new();
        static TASK: RefCell<Option<Task<()>>> = const { RefCell::new(None) };
    }
    let drops = crate::support::HomeDrops::default();
    let inside = drops.clone();
    std::thread::spawn(move || {
        let token = inside.token();
        EXECUTOR.with(|executor| {
            let task = executor.spawn(async move {
                let _token = token;
                std::future::pending::<()>().await;
            });
            turn(executor);
            TASK.with(|slot| *slot.borrow_mut() = Some(task));
        });
    })
    .join()
    .unwrap();
    assert_eq!(drops.count(), 1);
}
