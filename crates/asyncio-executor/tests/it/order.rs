//! The order in which things run.

use std::cell::RefCell;
use std::rc::Rc;

use asyncio_executor::{Executor, Handle, TurnEnd, at_turn_end, call_soon, spawn, yield_now};

use crate::support::{Drops, Gate, Trace, settle, turn};

#[test]
fn steps_and_callbacks_run_in_the_order_they_became_ready() {
    // S1, S35
    let executor = Executor::new();
    let trace = Trace::default();
    let log = |entry: &'static str| {
        let trace = trace.clone();
        move || trace.log(entry)
    };
    executor.call_soon(log("callback 1"));
    let first = trace.clone();
    executor
        .spawn(async move {
            first.log("task 2");
            yield_now().await;
            first.log("task 2 again");
        })
        .detach();
    executor.call_soon(log("callback 3"));
    let last = trace.clone();
    executor.spawn(async move { last.log("task 4") }).detach();
    assert_eq!(trace.take(), [""; 0], "nothing runs before its turn");

    assert_eq!(turn(&executor), 4);
    assert_eq!(
        trace.take(),
        ["callback 1", "task 2", "callback 3", "task 4"]
    );
    assert_eq!(turn(&executor), 1);
    assert_eq!(trace.take(), ["task 2 again"]);
}

#[test]
fn a_turn_runs_exactly_what_was_ready_when_it_began() {
    // S2: an endless chain of `call_soon` starves nobody.
    let executor = Executor::new();
    let trace = Trace::default();
    fn chain(trace: Trace, n: usize) {
        call_soon(move || {
            trace.log(format!("{n}"));
            chain(trace, n + 1);
        });
    }
    let begin = trace.clone();
    executor.call_soon(move || chain(begin, 1));
    let other = trace.clone();
    executor.call_soon(move || {
        call_soon(move || other.log("other"));
    });
    assert_eq!(turn(&executor), 2);
    assert_eq!(trace.take(), [""; 0]);
    assert_eq!(turn(&executor), 2);
    assert_eq!(trace.take(), ["1", "other"]);
    assert_eq!(turn(&executor), 1);
    assert_eq!(trace.take(), ["2"]);
}

#[test]
fn waiters_of_one_event_resume_in_the_order_they_began_to_wait() {
    // S29
    let executor = Executor::new();
    let (trace, gate) = (Trace::default(), Gate::default());
    for name in ["a", "b", "c"] {
        let (trace, gate) = (trace.clone(), gate.clone());
        executor
            .spawn(async move {
                gate.wait().await;
                trace.log(name);
            })
            .detach();
    }
    turn(&executor);
    let log = trace.clone();
    executor.call_soon(move || log.log("queued before the event"));
    let open = gate.clone();
    executor.enter(|| open.open());
    turn(&executor);
    assert_eq!(trace.take(), ["queued before the event", "a", "b", "c"]);
}

#[test]
fn a_task_woken_twice_is_stepped_once() {
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    executor
        .spawn(async move {
            let mut polls = 0;
            std::future::poll_fn(move |cx| {
                polls += 1;
                log.log(format!("poll {polls}"));
                cx.waker().wake_by_ref();
                let own = cx.waker().clone();
                own.wake();
                if polls == 2 {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
        })
        .detach();
    assert_eq!(turn(&executor), 1);
    assert_eq!(turn(&executor), 1);
    assert_eq!(turn(&executor), 0);
    assert_eq!(trace.take(), ["poll 1", "poll 2"]);
}

#[test]
fn a_cancelled_handle_never_runs_and_its_closure_is_dropped_at_once() {
    // S5, also for one that is in the snapshot already
    let executor = Executor::new();
    let (trace, drops) = (Trace::default(), Drops::default());
    let second: Rc<RefCell<Option<Handle>>> = Rc::default();
    let (log, target) = (trace.clone(), second.clone());
    executor.call_soon(move || {
        log.log("first");
        let handle = target.take().unwrap();
        assert!(!handle.cancelled());
        handle.cancel();
        handle.cancel();
        assert!(handle.cancelled());
    });
    let (log, token) = (trace.clone(), drops.token());
    *second.borrow_mut() = Some(executor.call_soon(move || {
        let _token = token;
        log.log("second");
    }));
    let log = trace.clone();
    let third = executor.call_soon(move || log.log("third"));
    assert_eq!(drops.count(), 0);
    turn(&executor);
    assert_eq!(trace.take(), ["first", "third"]);
    assert_eq!(drops.count(), 1);
    third.cancel();
    assert!(third.cancelled(), "says nothing about having run");
}

#[test]
fn a_dropped_handle_leaves_its_callback_scheduled() {
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    drop(executor.call_soon(move || log.log("ran")));
    turn(&executor);
    assert_eq!(trace.take(), ["ran"]);
}

#[test]
fn an_unscheduled_handle_runs_once_however_often_it_is_queued() {
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    let handle = Handle::unscheduled(move || log.log("ran"));
    executor.enter(|| {
        handle.schedule();
        handle.schedule();
    });
    settle(&executor);
    executor.enter(|| handle.schedule());
    settle(&executor);
    assert_eq!(trace.take(), ["ran"]);
}

#[test]
fn a_handle_scheduled_where_no_executor_is_entered_is_dropped() {
    let drops = Drops::default();
    let token = drops.token();
    let handle = Handle::unscheduled(move || drop(token));
    handle.schedule();
    assert!(handle.cancelled());
    assert_eq!(drops.count(), 1);
}

#[test]
fn done_callbacks_go_through_the_queue_in_order_of_registration() {
    // S24, S25, S26
    let executor = Executor::new();
    let trace = Trace::default();
    let task = executor.spawn(async {});
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        let log = trace.clone();
        ids.push(task.add_done_callback(move || log.log(name)));
    }
    assert!(task.remove_done_callback(ids[1]));
    assert!(!task.remove_done_callback(ids[1]));
    turn(&executor);
    assert!(task.done());
    assert_eq!(trace.take(), [""; 0], "never at once");
    let log = trace.clone();
    assert_eq!(
        executor.enter(|| task.add_done_callback(move || log.log("late"))),
        0
    );
    assert!(!task.remove_done_callback(ids[0]), "queued already");
    turn(&executor);
    assert_eq!(trace.take(), ["a", "c", "late"]);
}

#[test]
fn a_waiting_task_takes_its_place_among_done_callbacks() {
    // S28 as far as it goes: callbacks are queued when the task ends, then the task that awaits it.
    let executor = Executor::new();
    let trace = Trace::default();
    let task = executor.spawn(yield_now());
    let log = trace.clone();
    task.add_done_callback(move || log.log("callback"));
    let log = trace.clone();
    executor
        .spawn(async move {
            task.await.unwrap();
            log.log("awaiter");
        })
        .detach();
    settle(&executor);
    assert_eq!(trace.take(), ["callback", "awaiter"]);
}

#[test]
fn turn_end_hooks_run_once_after_everything_that_was_ready() {
    struct Hook(Trace, &'static str);
    impl TurnEnd for Hook {
        fn turn_ended(&self) {
            self.0.log(self.1);
            if self.1 == "again" {
                at_turn_end(Rc::new(Hook(self.0.clone(), "next turn")));
            }
        }
    }
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    executor.call_soon(move || {
        at_turn_end(Rc::new(Hook(log.clone(), "again")));
        log.log("callback 1");
    });
    let log = trace.clone();
    executor.call_soon(move || log.log("callback 2"));
    turn(&executor);
    assert_eq!(trace.take(), ["callback 1", "callback 2", "again"]);
    turn(&executor);
    assert_eq!(trace.take(), ["next turn"]);
    turn(&executor);
    assert_eq!(trace.take(), [""; 0]);
    at_turn_end(Rc::new(Hook(trace.clone(), "at once: none entered")));
    assert_eq!(trace.take(), ["at once: none entered"]);
}

#[test]
fn a_queued_wake_takes_its_place_in_the_line() {
    // S19: the wake is an entry of its own; what it wakes comes one turn later.
    let executor = Executor::new();
    let (trace, slot) = (Trace::default(), Rc::new(RefCell::new(None)));
    let (log, keep) = (trace.clone(), slot.clone());
    executor
        .spawn(async move {
            let mut polls = 0;
            std::future::poll_fn(|cx| {
                polls += 1;
                *keep.borrow_mut() = Some(cx.waker().clone());
                if polls == 2 {
                    std::task::Poll::Ready(())
                } else {
                    std::task::Poll::Pending
                }
            })
            .await;
            log.log("task");
        })
        .detach();
    turn(&executor);
    let log = trace.clone();
    executor.call_soon(move || log.log("before"));
    executor.wake_soon(slot.take().unwrap());
    let log = trace.clone();
    executor.call_soon(move || {
        let log = log.clone();
        call_soon(move || log.log("queued after the wake"));
    });
    assert_eq!(turn(&executor), 3);
    assert_eq!(trace.take(), ["before"]);
    turn(&executor);
    assert_eq!(trace.take(), ["task", "queued after the wake"]);
}

#[test]
fn run_returns_the_value_and_leaves_other_tasks_for_the_next_run() {
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    let value = executor.run(async move {
        spawn(async move {
            for n in 0..4 {
                log.log(format!("{n}"));
                yield_now().await;
            }
        })
        .detach();
        yield_now().await;
        7
    });
    assert_eq!(value.unwrap(), 7);
    assert_eq!(trace.take(), ["0"]);
    executor.run(yield_now()).unwrap();
    assert_eq!(trace.take(), ["1", "2"]);
    assert_eq!(executor.all_tasks().len(), 1);
}
