//! Looking inside: what tasks wait for, by which calls, and what an executor does at this moment.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use asyncio_executor::{
    Activity, AwaitNode, Awaited, Awaits, Executor, Pulse, Task, TaskState, TaskTrace, Watch,
    Watched, call_soon, catch_cancelled, current_task, snapshot, spawn, trace_waiting, yield_now,
};

use crate::support::{Drops, settle};

fn forever() -> Task<()> {
    spawn(pending())
}

#[test]
fn a_snapshot_tells_running_ready_and_waiting_tasks_apart() {
    Executor::new()
        .run(async {
            let waiting = forever();
            yield_now().await;
            let ready = forever();
            let states: Vec<_> = snapshot(9)
                .tasks
                .into_iter()
                .map(|task| task.state)
                .collect();
            assert_eq!(
                states,
                [TaskState::Running, TaskState::Waiting, TaskState::Ready]
            );
            waiting.cancel();
            ready.cancel();
            assert_eq!(snapshot(9).tasks[1].cancelling, 1);
        })
        .unwrap();
    assert!(snapshot(9).tasks.is_empty(), "outside of any executor");
}

#[test]
fn an_await_by_value_in_a_scope_shows_the_task_and_the_scope_shows_nothing() {
    Executor::new()
        .run(async {
            let inner = forever();
            let node = inner.await_node();
            let outer = spawn(async move {
                let _ = catch_cancelled(inner).await;
            });
            yield_now().await;
            let edges = outer.as_ref().unwrap().awaits();
            let targets: Vec<_> = edges.iter().flat_map(|edge| edge.on.clone()).collect();
            assert_eq!(targets, [node]);
            outer.cancel();
        })
        .unwrap();
}

#[test]
fn an_await_that_moves_to_another_task_is_shown_there_and_not_here() {
    Executor::new()
        .run(async {
            let mut inner = forever();
            let node = inner.await_node();
            type Shared = Rc<RefCell<Pin<Box<dyn Future<Output = ()>>>>>;
            let join: Shared = Rc::new(RefCell::new(Box::pin(async move {
                let _ = (&mut inner).await;
            })));
            let polls = |join: &Shared| {
                let join = join.clone();
                poll_fn(move |cx| join.borrow_mut().as_mut().poll(cx))
            };
            let first = spawn(polls(&join));
            yield_now().await;
            assert_eq!(first.as_ref().unwrap().awaits()[0].on, [node]);
            let second = spawn(polls(&join));
            yield_now().await;
            assert_eq!(second.as_ref().unwrap().awaits()[0].on, [node]);
            assert!(first.as_ref().unwrap().awaits().is_empty());
            first.cancel();
            second.cancel();
        })
        .unwrap();
}

#[test]
fn several_awaits_by_reference_in_one_task_are_all_shown_until_each_is_over() {
    let executor = Executor::new();
    let (mut first, mut second) = (
        executor.spawn(pending::<()>()),
        executor.spawn(pending::<()>()),
    );
    let nodes = [first.await_node(), second.await_node()];
    let cancel = [&first, &second].map(|task| executor.enter(|| task.as_ref().unwrap()));
    let both = executor.spawn(async move {
        let mut left = pin!((&mut first).into_future());
        let mut right = pin!((&mut second).into_future());
        poll_fn(|cx| {
            let done = [left.as_mut().poll(cx), right.as_mut().poll(cx)];
            match done.iter().all(Poll::is_ready) {
                true => Poll::Ready(()),
                // One of them would panic when polled again.
                false if done.iter().any(Poll::is_ready) => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        pending::<()>().await;
    });
    settle(&executor);
    // Also from outside of the executor.
    let awaits = || {
        let tasks = executor.all_tasks();
        let edges = tasks[tasks.len() - 1].awaits();
        let on: Vec<Awaited> = edges.iter().flat_map(|edge| edge.on.clone()).collect();
        on
    };
    assert_eq!(awaits(), nodes);
    executor.enter(|| cancel[0].cancel());
    settle(&executor);
    assert_eq!(awaits(), [nodes[1]]);
    drop(both);
}

#[test]
fn an_await_by_reference_that_outlives_its_task_or_is_dropped_elsewhere_is_shown_no_more() {
    type Shared = Rc<RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>>;
    let executor = Executor::new();
    let mut inner = executor.spawn(pending::<()>());
    let join: Shared = Rc::new(RefCell::new(Some(Box::pin(async move {
        let _ = (&mut inner).await;
    }))));
    let polled = join.clone();
    let polls = move || {
        let join = polled.clone();
        poll_fn(move |cx| match &mut *join.borrow_mut() {
            Some(join) => join.as_mut().poll(cx),
            None => Poll::Pending,
        })
    };
    let ends = executor.spawn(polls());
    settle(&executor);
    let ended = executor.enter(|| ends.as_ref().unwrap());
    assert_eq!(ended.awaits().len(), 1);
    executor.enter(|| ends.cancel());
    settle(&executor);
    assert!(ended.done() && ended.awaits().is_empty());
    // The next one polls it, and then it is dropped where no executor is entered.
    let next = executor.spawn(polls());
    settle(&executor);
    let next = executor.enter(|| next.as_ref().unwrap());
    assert_eq!(next.awaits().len(), 1);
    drop(join.take());
    assert!(next.awaits().is_empty());
}

#[test]
fn a_watch_goes_with_its_future_and_with_its_task() {
    struct Nothing(#[expect(dead_code)] Box<dyn std::any::Any>);
    impl Awaits for Nothing {
        fn each_awaited(&self, _each: &mut dyn FnMut(Awaited)) {}
    }
    let drops = Drops::default();
    let executor = Executor::new();
    let kept = Rc::new(RefCell::new(Watch::new()));
    let (token, outer) = (drops.token(), kept.clone());
    executor
        .run(async move {
            let live: Rc<dyn Awaits> = Rc::new(Nothing(Box::new(token)));
            let task = spawn(async move {
                // Kept by somebody else than the task.
                outer.borrow_mut().set("kept", || Watched::Live(live));
                pending::<()>().await;
            });
            yield_now().await;
            assert_eq!(task.as_ref().unwrap().awaits()[0].label, "kept");
            task.cancel();
            yield_now().await;
        })
        .unwrap();
    assert_eq!(drops.count(), 1, "what it showed went with the task");
    kept.borrow_mut().unset(); // and finds its place gone
}

#[test]
fn looking_at_what_is_awaited_may_look_again() {
    struct Looks(Cell<usize>);
    impl Awaits for Looks {
        fn each_awaited(&self, each: &mut dyn FnMut(Awaited)) {
            self.0.set(self.0.get() + 1);
            if self.0.get() < 3 {
                assert_eq!(snapshot(9).tasks.len(), 2);
            }
            each(Awaited::Future(1));
        }
    }
    Executor::new()
        .run(async {
            let task = spawn(async {
                let mut watch = Watch::new();
                watch.set("looks", || Watched::Live(Rc::new(Looks(Cell::new(0)))));
                pending::<()>().await;
            });
            yield_now().await;
            assert_eq!(task.as_ref().unwrap().awaits()[0].on, [Awaited::Future(1)]);
            task.cancel();
        })
        .unwrap();
}

#[test]
fn a_pulse_tells_a_task_a_callback_and_rest_from_another_thread() {
    let executor = Executor::new();
    let pulse = Arc::new(Pulse::new());
    executor.set_pulse(Some(pulse.clone()));
    let seen = Rc::new(RefCell::new(Vec::new()));
    let look = || {
        let (pulse, seen) = (pulse.clone(), seen.clone());
        move || {
            let activity = std::thread::spawn(move || pulse.activity().0)
                .join()
                .unwrap();
            seen.borrow_mut().push(match activity {
                Activity::Task(info) => format!("{} {}", info.name, info.spawned_at.file()),
                Activity::Callback(place) => format!("callback {}", place.file()),
                other => format!("{other:?}"),
            });
        }
    };
    let (in_task, in_callback) = (look(), look());
    let task = executor.spawn(async move { in_task() }).name("worker");
    executor.call_soon(in_callback);
    settle(&executor);
    drop(task);
    look()();
    let file = file!();
    assert_eq!(
        *seen.borrow(),
        [
            format!("worker {file}"),
            format!("callback {file}"),
            "Nothing".to_owned()
        ]
    );
    executor.set_pulse(None);
    executor.call_soon(look());
    settle(&executor);
    assert_eq!(seen.borrow()[3], "Nothing", "nobody says anything any more");
}

/// What tracing finds, after the turn in which it does.
async fn traced() -> Vec<TaskTrace> {
    let found: Rc<RefCell<Option<Vec<TaskTrace>>>> = Rc::default();
    let slot = found.clone();
    trace_waiting(100, move |traces| *slot.borrow_mut() = Some(traces));
    yield_now().await;
    found.take().unwrap()
}

/// A leaf as others write them: keeps the waker it was polled with last.
async fn leaf(kept: Rc<RefCell<Option<Waker>>>, done: Rc<Cell<bool>>) {
    poll_fn(|cx| {
        let mut kept = kept.borrow_mut();
        match &mut *kept {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *kept = Some(cx.waker().clone()),
        }
        match done.get() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

#[test]
fn a_trace_finds_the_function_that_waits_and_leaves_the_tasks_own_waker_behind() {
    Executor::new()
        .run(async {
            let (kept, done): (Rc<RefCell<Option<Waker>>>, Rc<Cell<bool>>) = Default::default();
            let task = spawn(leaf(kept.clone(), done.clone()));
            yield_now().await;
            let before = kept.borrow().clone().unwrap();
            let traces = traced().await;
            assert_eq!((traces.len(), traces[0].id), (1, task.id()));
            assert_eq!(traces[0].stacks.len(), 1);
            let text = traces[0].stacks[0].to_string();
            assert!(text.contains("looking.rs"), "{text}");
            let after = kept.borrow().clone().unwrap();
            assert!(after.will_wake(&before), "the task's own waker");
            done.set(true);
            after.wake();
            task.await.unwrap();
        })
        .unwrap();
}

#[test]
fn a_traced_task_that_can_go_on_does_and_its_scopes_still_hear() {
    Executor::new()
        .run(async {
            let (kept, done): (Rc<RefCell<Option<Waker>>>, Rc<Cell<bool>>) = Default::default();
            let ready = Rc::new(Cell::new(true));
            let goes_on = spawn(leaf(kept, ready.clone()));
            let caught = spawn(catch_cancelled(leaf(Rc::default(), done)));
            yield_now().await;
            assert_eq!(traced().await.len(), 1, "one has ended before");
            goes_on.await.unwrap();
            // Under a scope, traced, and then asked: the request is heard where it should be.
            assert_eq!(traced().await.len(), 1);
            caught.cancel();
            assert!(caught.await.unwrap().is_err());
        })
        .unwrap();
}

#[test]
fn tracing_wakes_nobody_more_than_once_and_not_who_is_ready() {
    Executor::new()
        .run(async {
            let polls = Rc::new(Cell::new(0));
            let count = polls.clone();
            let task = spawn(poll_fn(move |_| {
                count.set(count.get() + 1);
                Poll::<()>::Pending
            }));
            yield_now().await;
            assert!(
                traced().await.is_empty(),
                "it keeps no waker, so there is nothing to see"
            );
            assert_eq!(polls.get(), 2);
            let me = current_task().unwrap();
            call_soon(move || drop(me));
            yield_now().await;
            assert_eq!(polls.get(), 2);
            task.cancel();
        })
        .unwrap();
}

#[test]
fn a_task_that_another_thread_has_woken_just_before_is_not_looked_at_later() {
    let executor = Executor::new();
    let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
    let task = executor.spawn(leaf(kept.clone(), Rc::default()));
    settle(&executor);
    // On its way home: neither in the ready queue nor waiting.
    let waker = kept.borrow().clone().unwrap();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    let stacks_seen = || {
        let seen = Rc::new(Cell::new(None));
        let slot = seen.clone();
        executor.enter(|| {
            trace_waiting(100, move |traces| {
                slot.set(Some(traces.iter().map(|trace| trace.stacks.len()).sum()));
            });
            executor.run_ready()
        });
        seen.get().unwrap()
    };
    let at_once: usize = stacks_seen();
    assert_eq!(at_once, 0);
    settle(&executor); // it comes home, and its poll is one like any other
    assert_eq!(stacks_seen(), 1);
    drop(task);
}

#[test]
fn a_handle_is_one_word_and_what_it_has_seen_lies_with_the_task() {
    assert_eq!(size_of::<Task<[u64; 8]>>(), size_of::<usize>());
}

#[test]
fn a_seen_outcome_is_dropped_once_whatever_becomes_of_the_handle() {
    let drops = Drops::default();
    let executor = Executor::new();
    for how in 0..4 {
        let token = drops.token();
        let mut task = executor.spawn(async move { token });
        settle(&executor);
        assert!(matches!(task.peek(), Some(Ok(_))));
        assert!(matches!(task.peek(), Some(Ok(_))), "as often as one likes");
        match how {
            0 => drop(task),
            1 => drop(task.try_take()),
            2 => {
                let polled = pin!(task.into_future()).poll(&mut Context::from_waker(Waker::noop()));
                assert!(matches!(polled, Poll::Ready(Ok(_))));
            }
            _ => {
                executor.close();
                drop(task);
            }
        }
        assert_eq!(drops.count(), how + 1);
    }
}

#[test]
fn a_seen_outcome_whose_drop_panics_is_dropped_where_the_handle_is() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom");
        }
    }
    let executor = Executor::new();
    let mut task = executor.spawn(async { Bomb });
    settle(&executor);
    assert!(task.peek().is_some());
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(task)));
    assert!(dropped.is_err());
    settle(&executor);
}

#[test]
fn an_edge_made_by_hand_is_there_once_until_it_is_discarded_or_its_task_ends() {
    Executor::new()
        .run(async {
            let other = forever();
            let node = other.await_node();
            let waiter = spawn(async move {
                let mut watch = Watch::new();
                watch.set("awaitable", || Watched::One(node));
                yield_now().await;
                drop(watch);
                yield_now().await;
            });
            let task = waiter.as_ref().unwrap();
            // Also before its first step.
            task.add_awaited(&other);
            task.add_awaited(&other);
            assert_eq!(task.awaits().len(), 1);
            yield_now().await;
            assert_eq!(task.awaits().len(), 2);
            // What a `Watch` shows is not touched, and takes nothing with it.
            task.discard_awaited(&other);
            task.discard_awaited(&other);
            assert_eq!(task.awaits().len(), 1);
            task.add_awaited(&other);
            yield_now().await;
            assert_eq!(task.awaits().len(), 1);
            waiter.await.unwrap();
            assert!(task.awaits().is_empty());
            task.add_awaited(&other);
            task.discard_awaited(&other);
            assert!(task.awaits().is_empty());
            other.cancel();
        })
        .unwrap();
}

#[test]
fn a_snapshot_of_few_has_those_that_waited_longest_and_counts_the_others() {
    Executor::new()
        .run(async {
            let mut first = forever();
            let waiter = spawn(async move { drop((&mut first).await) });
            yield_now().await;
            let others: Vec<_> = (0..5).map(|_| forever()).collect();
            let ids = |limit| {
                let few = snapshot(limit);
                assert_eq!(few.left_out + few.tasks.len(), 8);
                let ids = few.tasks.iter().map(|task| task.info.id);
                ids.collect::<Vec<_>>()
            };
            let me = current_task().unwrap().id();
            let waiting = waiter.id();
            // This one, which was the first to yield; and the two that have waited since.
            assert_eq!(ids(3), [me, waiting - 1, waiting]);
            assert_eq!(ids(0), []);
            // New ones are in the ready queue only.
            assert_eq!(ids(5)[3..], [others[0].id(), others[1].id()]);
            assert_eq!(ids(usize::MAX).len(), 8);
            let few = snapshot(3).tasks;
            assert_eq!(few[2].awaits[0].on, [Awaited::Task(waiting - 1)]);
            assert_eq!(few[1].state, TaskState::Waiting);
            assert_eq!(snapshot(4).tasks[3].state, TaskState::Ready);
            for task in others {
                task.cancel();
            }
            waiter.cancel();
        })
        .unwrap();
}
