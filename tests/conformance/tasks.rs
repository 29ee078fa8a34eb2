//! Tasks: creation, stepping, state: S35 to S42.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;

use asyncio::{
    Future as Promise, TaskError, TaskRef, all_tasks, create_task, current_task, gather,
    get_running_loop, raise_cancelled, sleep, timeout,
};

use crate::harness::{Trace, collect_reports, new_loop, run, settle, traced, turn};
use crate::twin::{Told, current, fails, hangs, log, me, outcome, twin, works};

#[test]
fn a_task_starts_when_its_creator_suspends_and_tasks_start_in_order() {
    // S35
    twin(async || {
        let tasks = ["a", "b"].map(|line| create_task(async move { log(line) }));
        get_running_loop().call_soon(|| log("callback"));
        log("creator");
        sleep(0).await;
        log(format!("creator again, {}", tasks[1].done().told()));
    });
}

#[test]
fn a_task_made_before_the_run_starts_with_it() {
    // S35
    let event_loop = new_loop();
    let trace = Trace::default();
    let log = trace.clone();
    event_loop
        .create_task(async move { log.log("task") })
        .detach();
    assert!(trace.is_empty());
    let log = trace.clone();
    event_loop
        .run_until_complete(async move { log.log("main") })
        .unwrap();
    assert_eq!(trace, ["task", "main"]);
}

#[test]
fn a_task_nobody_holds_runs_to_its_end() {
    // S36: Python may lose it; here the loop owns its tasks, and dropping the handle detaches.
    let trace = traced(|trace| async move {
        let log = trace.clone();
        drop(create_task(async move {
            sleep(1).await;
            log.log("ended");
        }));
        sleep(2).await;
    });
    assert_eq!(trace, ["ended"]);
}

#[test]
fn a_task_that_waits_for_what_nobody_can_give_is_kept_until_the_loop_closes() {
    // S36
    let event_loop = new_loop();
    let trace = Trace::default();
    let guard = trace.on_drop("dropped");
    event_loop
        .create_task(async move {
            let _guard = guard;
            Promise::<()>::new().await.unwrap(); // the only handle
        })
        .detach();
    turn(&event_loop);
    assert!(trace.is_empty());
    event_loop.close().unwrap();
    assert_eq!(trace, ["dropped"]);
}

#[test]
fn a_task_that_is_pending_when_the_loop_closes_is_reported() {
    // S36: the report Python makes when it destroys a pending task.
    let event_loop = new_loop();
    let reports = collect_reports(&event_loop);
    event_loop
        .create_task(pending::<()>())
        .name("lost")
        .detach();
    turn(&event_loop);
    event_loop.close().unwrap();
    assert_eq!(reports, ["a task was destroyed but it is pending"]);
}

#[test]
fn a_task_ends_with_its_value_its_panic_or_cancelled() {
    // S37
    run(async {
        assert_eq!(create_task(async { 1 }).await.unwrap(), 1);
        let failed = create_task(async { Err::<(), _>("broken") }).await;
        assert_eq!(failed.unwrap(), Err("broken")); // an error is a value like any other
        let Err(TaskError::Panicked(panic)) = create_task(async { panic!("oops") }).await else {
            panic!("a panic is the task's outcome")
        };
        assert_eq!(panic.message(), "oops");
    });
}

#[test]
fn a_raised_cancellation_ends_the_task_cancelled_though_nobody_asked() {
    // S37
    twin(async || {
        let task = create_task(raise_cancelled::<()>());
        let task_ref = task.as_ref().unwrap();
        outcome("task", task).await;
        log(format!(
            "{} {} {}, awaiter {}",
            task_ref.done().told(),
            task_ref.cancelled().told(),
            task_ref.cancelling(),
            me()
        ));
    });
}

#[test]
fn a_task_that_awaits_itself_is_told_so() {
    // S39
    run(async {
        let own = Rc::new(RefCell::new(None));
        let mine = own.clone();
        *own.borrow_mut() = Some(create_task(async move {
            let me: asyncio::Task<()> = mine.take().unwrap();
            let _ = me.await;
        }));
        let task = own.borrow().as_ref().unwrap().as_ref().unwrap();
        let ended = Rc::new(Cell::new(false));
        let tell = ended.clone();
        task.add_done_callback(move || tell.set(true));
        let _ = timeout(1, pending::<()>()).await;
        assert!(ended.get(), "it waits for itself for ever");
        assert!(!task.cancelled());
    });
}

#[test]
fn unnamed_tasks_are_numbered_and_names_can_be_given() {
    // S40: numbers rise in the order of creation. Named tasks use one up as well, unlike in Python.
    run(async {
        let number = |name: &str| name.strip_prefix("Task-").unwrap().parse::<u64>().unwrap();
        let first = create_task(async {});
        let second = create_task(async {});
        assert!(number(&first.get_name()) < number(&second.get_name()));
        assert_eq!(number(&first.get_name()), first.id());

        let named = create_task(async { current_task().unwrap().get_name() }).name("worker");
        assert_eq!(named.get_name(), "worker");
        assert_eq!(named.await.unwrap(), "worker");
        first.set_name(&format!("{}", 12));
        assert_eq!(first.get_name(), "12");
    });
}

#[test]
fn a_task_knows_where_it_was_spawned_and_by_whom() {
    // S40
    run(async {
        let line = line!() + 1;
        let task = create_task(async { current_task().unwrap().parent_id() });
        let place = task.spawn_location();
        assert_eq!((place.file(), place.line()), (file!(), line));
        assert_eq!(task.await.unwrap(), Some(current_task().unwrap().id()));
    });
}

#[test]
fn current_task_is_the_one_being_stepped_and_none_in_a_callback() {
    // S41
    twin(async || {
        current().set_name("main");
        let task = create_task(async {
            log(current().get_name());
            sleep(0).await;
            log(current().get_name());
        })
        .name("task");
        let none = || current_task().is_none().told();
        get_running_loop().call_soon(move || log(format!("in a callback: {}", none())));
        task.add_done_callback(move || log(format!("in a done callback: {}", none())));
        task.await.unwrap();
        log(current().get_name());
    });
}

#[test]
fn outside_of_a_loop_there_is_no_current_task() {
    // S41: Python raises; `None` says the same here.
    assert!(current_task().is_none());
    assert!(all_tasks().is_empty());
}

#[test]
fn all_tasks_holds_those_that_have_not_ended() {
    // S42
    twin(async || {
        let names = || {
            let mut names: Vec<String> = all_tasks().iter().map(TaskRef::get_name).collect();
            names.sort();
            names.told()
        };
        current().set_name("main");
        let ends = create_task(sleep(0)).name("ends");
        let stays = create_task(hangs("stays")).name("stays");
        log(names()); // never started, and there
        // Gone at once, before its callbacks.
        ends.add_done_callback(move || log(format!("callback: {}", names())));
        settle(2).await;
        log(names());
        settle(1).await;
        stays.cancel();
        log(names()); // asked is not ended
        settle(1).await;
        log(names());
    });
}

#[test]
fn all_tasks_asked_from_the_loop_are_the_same() {
    // S42
    let event_loop = new_loop();
    let task = event_loop.create_task(async {});
    assert_eq!(event_loop.all_tasks().len(), 1);
    turn(&event_loop);
    assert!(task.done());
    assert!(event_loop.all_tasks().is_empty());
}

#[test]
fn done_callbacks_of_a_task_run_in_order_in_the_turn_after_its_end() {
    // S24
    // S35
    twin(async || {
        let task = create_task(async { log("task") });
        task.add_done_callback(|| log("first"));
        let removed = task.add_done_callback(|| log("removed"));
        task.add_done_callback(|| log("second"));
        let remove = || task.remove_done_callback(removed).told();
        log(format!("{} {}", remove(), remove()));
        settle(1).await;
        log("same turn");
        settle(1).await;
        task.add_done_callback(|| log("added when done"));
        log("not at once");
        settle(1).await;
    });
}

#[test]
fn the_tasks_of_a_gather_start_in_order_before_it_is_awaited() {
    // S35
    twin(async || {
        let gathering = gather(["a", "b"].map(|line| async move { log(line) }));
        log("made");
        settle(1).await;
        log("not awaited yet");
        gathering.await;
    });
}

#[test]
fn a_task_ends_with_its_value_or_its_failure() {
    // S37
    twin(async || {
        outcome("value", create_task(works("inner", 1, 5))).await;
        let mut task = create_task(fails("inner", 1));
        let task_ref = task.as_ref().unwrap();
        outcome("failure", &mut task).await;
        log(format!(
            "{} {}",
            task_ref.done().told(),
            task_ref.cancelled().told()
        ));
    });
}
