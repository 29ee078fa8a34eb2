//! Handles, references, names, who is current.

use std::rc::Rc;

use asyncio_executor::{
    Executor, IntoTask, Task, TaskRef, all_tasks, call_soon, current_task, is_entered, spawn,
    yield_now,
};

use crate::support::{Drops, Gate, Trace, settle, turn};

#[test]
fn a_dropped_handle_lets_the_task_run_on() {
    // S36
    let executor = Executor::new();
    let (trace, gate) = (Trace::default(), Gate::default());
    let (log, wait) = (trace.clone(), gate.clone());
    drop(executor.spawn(async move {
        wait.wait().await;
        log.log("ran on");
    }));
    settle(&executor);
    gate.open();
    settle(&executor);
    assert_eq!(trace.take(), ["ran on"]);
    assert_eq!(executor.stats().living, 0);
}

#[test]
fn a_task_nobody_refers_to_is_kept_by_the_executor() {
    // S36: not even a waker is left.
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    executor
        .spawn(async move {
            let _token = token;
            std::future::pending::<()>().await;
        })
        .detach();
    settle(&executor);
    assert_eq!(executor.all_tasks().len(), 1);
    assert!(executor.all_tasks()[0].cancel());
    settle(&executor);
    assert_eq!(drops.count(), 1);
    assert_eq!(executor.all_tasks().len(), 0);
}

#[test]
fn all_tasks_lists_the_living_oldest_first_also_those_not_started() {
    // S42
    let executor = Executor::new();
    let gate = Gate::default();
    let tasks: Vec<Task<()>> = ["a", "b", "c"]
        .into_iter()
        .map(|name| executor.spawn(gate.wait()).name(name))
        .collect();
    let names = |executor: &Executor| -> Vec<String> {
        executor.all_tasks().iter().map(TaskRef::get_name).collect()
    };
    assert_eq!(names(&executor), ["a", "b", "c"]);
    tasks[1].cancel();
    settle(&executor);
    assert_eq!(names(&executor), ["a", "c"]);
    let references = executor.all_tasks();
    gate.open();
    turn(&executor);
    assert_eq!(names(&executor), [""; 0]);
    assert!(references.iter().all(|task| task.done() && !task.cancel()));
    assert!(all_tasks().is_empty(), "none entered");
}

#[test]
fn the_current_task_is_the_one_being_stepped_and_none_in_callbacks() {
    // S41
    let executor = Executor::new();
    assert!(current_task().is_none() && !is_entered());
    executor
        .run(async {
            let outer = current_task().unwrap();
            assert!(is_entered());
            call_soon(|| assert!(current_task().is_none() && is_entered()));
            let inner = spawn(async {
                let me = current_task().unwrap();
                (me.id(), me.parent_id())
            });
            let inner_id = inner.id();
            assert_ne!(inner_id, outer.id());
            assert_eq!(inner.await.unwrap(), (inner_id, Some(outer.id())));
            assert_eq!(current_task().unwrap(), outer);
        })
        .unwrap();
}

#[test]
fn names_default_to_the_number_and_can_be_changed() {
    // S40
    let executor = Executor::new();
    let task = executor.spawn(yield_now());
    assert_eq!(task.get_name(), format!("Task-{}", task.id()));
    let task = task.name("worker");
    assert_eq!(task.get_name(), "worker");
    let reference = executor.enter(|| task.as_ref()).unwrap();
    reference.set_name("renamed");
    assert_eq!(task.get_name(), "renamed");
    assert_eq!(task.spawn_location().file(), file!());
    settle(&executor);
    assert_eq!(reference.get_name(), "renamed", "also after the end");
    assert_eq!(
        format!("{reference:?}"),
        format!("TaskRef(renamed spawned at {})", reference.spawn_location())
    );
}

#[test]
fn try_take_gives_the_handle_back_until_the_end() {
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    let task = executor.spawn(async move {
        yield_now().await;
        token
    });
    let Err(task) = task.try_take() else {
        unreachable!("it has not ended");
    };
    settle(&executor);
    let token = task.try_take().unwrap().unwrap();
    assert_eq!(drops.count(), 0);
    drop(token);
    assert_eq!(drops.count(), 1);
}

#[test]
fn the_output_of_a_detached_task_is_dropped_when_it_ends() {
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    executor.spawn(async move { token }).detach();
    settle(&executor);
    assert_eq!(drops.count(), 1);
    let token = drops.token();
    let task = executor.spawn(async move { token });
    settle(&executor);
    assert_eq!(drops.count(), 1);
    drop(task);
    assert_eq!(drops.count(), 2);
}

#[test]
fn a_finished_task_is_awaited_without_suspending() {
    // S30
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    executor
        .run(async move {
            let task = spawn(async { 5 });
            yield_now().await;
            assert!(task.done());
            let other = log.clone();
            call_soon(move || other.log("callback"));
            assert_eq!(task.await.unwrap(), 5);
            log.log("awaited");
            yield_now().await;
        })
        .unwrap();
    assert_eq!(trace.take(), ["awaited", "callback"]);
}

#[test]
fn a_handle_awaited_by_reference_stays_usable() {
    let executor = Executor::new();
    let value = executor.run(async {
        let mut task = spawn(async {
            yield_now().await;
            yield_now().await;
            3
        });
        {
            let mut join = std::pin::pin!((&mut task).into_future());
            assert!(futures_util::poll!(join.as_mut()).is_pending());
        }
        assert!(!task.done());
        (&mut task).await.unwrap()
    });
    assert_eq!(value.unwrap(), 3);
}

#[test]
fn into_task_spawns_a_future_and_passes_a_task_through() {
    let executor = Executor::new();
    executor
        .run(async {
            let task = async { 1 }.into_task();
            let id = task.id();
            let task = task.into_task();
            assert_eq!(task.id(), id);
            assert_eq!(task.await.unwrap(), 1);
        })
        .unwrap();
}

#[test]
fn a_future_too_large_for_the_cell_works_the_same() {
    // async-task boxes futures of 2048 bytes and more.
    let executor = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    let value = executor.run(async move {
        let _token = token;
        let big = [7u8; 10_000];
        yield_now().await;
        big.iter().map(|byte| usize::from(*byte)).sum::<usize>()
    });
    assert_eq!(value.unwrap(), 70_000);
    assert_eq!(drops.count(), 1);
}

#[test]
fn spawning_without_an_executor_says_what_to_do() {
    let panic = std::panic::catch_unwind(|| spawn(async {}).detach()).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("no running event loop: `create_task` needs one"));
    assert!(text.contains("asyncio::run"));
}

#[test]
fn stats_count_what_happened() {
    let executor = Executor::new();
    executor.spawn(yield_now()).detach();
    executor.call_soon(|| ());
    settle(&executor);
    let stats = executor.stats();
    assert_eq!(
        (stats.spawned, stats.polls, stats.callbacks, stats.living),
        (1, 2, 1, 0)
    );
    assert_eq!((stats.wakes, stats.foreign), (1, 0));
}

#[test]
fn a_reference_outlives_task_and_executor() {
    let executor = Executor::new();
    let task = executor.spawn(yield_now());
    let reference = executor.enter(|| task.as_ref()).unwrap();
    let copy = reference.clone();
    assert_eq!(reference, copy);
    drop(executor);
    assert!(task.done() && task.cancelled());
    assert!(reference.done() && reference.cancelled() && !reference.cancel());
    drop(task);
    drop(reference);
    assert_eq!(copy.uncancel(), 0);
    copy.set_name("still there");
    assert_eq!(copy.get_name(), "still there");
}

#[test]
fn two_executors_on_one_thread_keep_their_tasks_apart() {
    let (outer, inner) = (Executor::new(), Rc::new(Executor::new()));
    let nested = inner.clone();
    let value = outer.run(async move {
        let mine = current_task().unwrap();
        let gate = Gate::default();
        let (open, wait) = (gate.clone(), gate.clone());
        let waiting = spawn(async move { wait.wait().await });
        yield_now().await;
        let value = nested
            .run(async move {
                let me = current_task().unwrap();
                // Wakes a task of the outer one: it goes home through the injector.
                open.open();
                yield_now().await;
                (me.parent_id(), all_tasks().len())
            })
            .unwrap();
        assert_eq!(current_task().unwrap(), mine);
        waiting.await.unwrap();
        value
    });
    assert_eq!(value.unwrap(), (None, 1));
    assert_eq!(outer.stats().foreign, 1);
}
