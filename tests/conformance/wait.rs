//! `wait` and `as_completed`: S79 to S90.

use std::future::Future;

use asyncio::{
    Future as Promise, ReturnWhen, Task, WaitResult, as_completed, create_task, get_running_loop,
    sleep, try_wait, wait,
};

use crate::harness::{panic_message, run, settle};
use crate::twin::{
    Failure, Told, fails, hangs, log, me, now, outcome, result_of, succeeds, ticks, trace_of, twin,
    works,
};

type Child = Task<Result<(), Failure>>;

fn named(tasks: impl IntoIterator<Item = Child>) -> Vec<Child> {
    let names = ["a", "b", "c", "d"];
    tasks
        .into_iter()
        .zip(names)
        .map(|(task, name)| task.name(name))
        .collect()
}

fn three() -> Vec<Child> {
    named([
        create_task(succeeds("a", 1, ())),
        create_task(fails("b", 2)),
        create_task(succeeds("c", 3, ())),
    ])
}

async fn hangs_on(name: &'static str) -> Result<(), Failure> {
    hangs(name).await;
    Ok(())
}

/// Waits, logs which tasks came back on which side, and gives them all.
async fn told(waiting: impl Future<Output = WaitResult<Child>>) -> Vec<Child> {
    let WaitResult { mut done, pending } = waiting.await;
    let names = |tasks: &[Child]| {
        let names: Vec<String> = tasks.iter().map(Task::get_name).collect();
        format!("[{}]", names.join(", "))
    };
    log(format!(
        "{}: done {}, pending {}",
        now(),
        names(&done),
        names(&pending)
    ));
    done.extend(pending);
    done
}

#[test]
fn what_is_done_and_what_is_not_comes_back_and_no_error() {
    // S80
    twin(async || {
        drop(told(wait(three())).await);
    });
}

#[test]
fn nothing_to_wait_for_is_a_bug_that_is_named() {
    // S79: that the argument is a task or a `Future` is a matter of types.
    let message = panic_message(|| run(async { drop(wait(Vec::<Child>::new()).await) }));
    assert!(message.contains("`wait` was given no tasks"), "{message}");
}

#[test]
fn the_sides_keep_the_order_of_the_arguments() {
    // S80: sets in Python. A list has an order to keep, and keeps what was given twice.
    let trace = trace_of(async || {
        let delays = [3, 9, 1, 8, 2];
        let tasks = delays.map(|delay| create_task(sleep(delay)).name(&delay.to_string()));
        let result = wait(&tasks).timeout(5).await;
        let names = |tasks: Vec<&Task<()>>| {
            let names: Vec<String> = tasks.into_iter().map(Task::get_name).collect();
            names.join(" ")
        };
        log(format!(
            "done {}, pending {}",
            names(result.done),
            names(result.pending)
        ));
        let twice = wait([&tasks[0], &tasks[0]]).await;
        log(twice.done.len().to_string());
    });
    assert_eq!(trace, ["done 3 1 2, pending 9 8", "2"]);
}

#[test]
fn the_first_one_that_ends_in_any_way_is_enough() {
    // S81
    twin(async || {
        let first = |tasks| told(wait(tasks).return_when(ReturnWhen::FirstCompleted));
        let rest = first(three()).await;
        let tasks = named([
            create_task(hangs_on("a")),
            create_task(succeeds("b", 5, ())),
        ]);
        let a = tasks[0].as_ref().unwrap();
        settle(1).await;
        get_running_loop().call_later(1, move || assert!(a.cancel()));
        let more = first(tasks).await;
        let tasks = named([
            create_task(fails("a", 1)),
            create_task(succeeds("b", 5, ())),
        ]);
        drop((first(tasks).await, rest, more));
    });
}

#[test]
fn the_first_error_is_enough_and_a_cancellation_is_none() {
    // S82: an `Err` counts for `try_wait`; `wait` knows only panics and the errors of futures.
    twin(async || {
        let first = |tasks| told(try_wait(tasks).return_when(ReturnWhen::FirstException));
        let tasks = named([
            create_task(hangs_on("a")),
            create_task(succeeds("b", 2, ())),
            create_task(fails("c", 3)),
            create_task(succeeds("d", 4, ())),
        ]);
        let a = tasks[0].as_ref().unwrap();
        get_running_loop().call_later(1, move || assert!(a.cancel()));
        let rest = first(tasks).await;
        let tasks = named([
            create_task(succeeds("a", 1, ())),
            create_task(succeeds("b", 2, ())),
        ]);
        drop((first(tasks).await, rest));
    });
}

#[test]
fn what_ends_before_the_waiter_goes_on_is_done_too() {
    // S83
    twin(async || {
        let (a, b) = (Promise::new(), Promise::new());
        let awaits = |promise: &Promise<()>| {
            let promise = promise.clone();
            create_task(async move {
                promise.await.unwrap();
                Ok(())
            })
        };
        let tasks = named([awaits(&a), awaits(&b)]);
        settle(1).await;
        get_running_loop().call_later(1, move || {
            a.set_result(()).unwrap();
            // Ends a turn later.
            get_running_loop().call_soon(move || b.set_result(()).unwrap());
        });
        drop(told(wait(tasks).return_when(ReturnWhen::FirstCompleted)).await);
    });
}

#[test]
fn when_the_time_is_over_nothing_is_cancelled() {
    // S84
    twin(async || {
        let tasks = told(wait(three()).timeout(2.5)).await;
        drop(told(wait(tasks).timeout(10)).await);
        let tasks = named([
            create_task(succeeds("a", 0, ())),
            create_task(succeeds("b", 1, ())),
        ]);
        let tasks = told(wait(tasks).timeout(0)).await;
        drop(told(wait(tasks).timeout(None::<f64>)).await);
    });
}

#[test]
fn cancelling_the_waiter_leaves_the_children() {
    // S85
    twin(async || {
        let tasks = [
            create_task(works("a", 1, ())),
            create_task(works("b", 2, ())),
        ];
        let a = tasks[0].as_ref().unwrap();
        let waiter = create_task(outcome("wait", async move {
            drop(wait(tasks).await);
        }));
        let waiter_ref = waiter.as_ref().unwrap();
        settle(2).await;
        waiter.cancel();
        waiter.await.unwrap();
        log(format!(
            "count {}, {}",
            waiter_ref.cancelling(),
            a.cancelling()
        ));
        sleep(3).await;
    });
}

#[test]
fn it_takes_two_turns_though_all_have_ended() {
    // S86
    twin(async || {
        let task = create_task(works("a", 0, ()));
        settle(3).await;
        ticks(4);
        drop(wait([task]).await);
        log("waited");
        settle(3).await;
    });
}

#[test]
fn dropping_a_wait_leaves_the_children() {
    // S85: L2, dropping is no request either.
    let trace = trace_of(async || {
        let mut task = create_task(works("a", 1, 7));
        let waiting = wait([&task]);
        drop(futures_util::future::select(waiting, Box::pin(sleep(0))).await);
        log(format!("count {}", task.cancelling()));
        outcome("task", &mut task).await;
        log(format!("count {}", me()));
    });
    assert_eq!(trace, ["count 0", "a done", "task: 7", "count 0"]);
}

#[test]
fn tasks_come_in_the_order_of_their_ends() {
    // S87
    twin(async || {
        let tasks = [("slow", 3, 1), ("fast", 1, 2), ("middle", 2, 3)]
            .map(|(name, delay, n)| create_task(works(name, delay, n)));
        let tasks: Vec<_> = tasks
            .into_iter()
            .zip(["a", "b", "c"])
            .map(|(task, name)| task.name(name))
            .collect();
        let ids: Vec<u64> = tasks.iter().map(Task::id).collect();
        let mut completed = as_completed(tasks);
        while let Some(task) = completed.next().await {
            let given = ids.contains(&task.id());
            let name = task.get_name();
            log(format!(
                "{}: {name} {}, {}",
                now(),
                given.told(),
                result_of(task)
            ));
        }
    });
}

#[test]
fn futures_become_tasks_at_the_call() {
    // S87, S88: each item is a task that has ended; there are no awaitables of "the next one", `next` is that.
    twin(async || {
        let mut completed = as_completed([works("a", 2, 1), works("b", 1, 2)]);
        sleep(5).await;
        log("only now");
        while let Some(task) = completed.next().await {
            log(task.await.told());
        }
    });
}

#[test]
fn a_failing_child_does_not_end_the_iteration() {
    // S90
    twin(async || {
        async fn cancelled() -> Result<i32, Failure> {
            hangs("b").await;
            Ok(0)
        }
        async fn failing() -> Result<i32, Failure> {
            fails("a", 1).await.map(|()| 0)
        }
        let b = create_task(cancelled()).name("b");
        let b_ref = b.as_ref().unwrap();
        get_running_loop().call_later(2, move || assert!(b_ref.cancel()));
        let mut completed =
            as_completed([create_task(failing()), b, create_task(succeeds("c", 3, 3))]);
        for name in ["a", "b", "c"] {
            outcome(name, completed.next().await.unwrap()).await;
        }
        assert!(completed.next().await.is_none());
    });
}

#[test]
fn the_iteration_can_be_left_and_resumed() {
    // S90
    twin(async || {
        let mut completed = as_completed([works("a", 1, 1), works("b", 2, 2), works("c", 3, 3)]);
        log(format!(
            "first {}",
            completed.next().await.unwrap().await.told()
        ));
        sleep(5).await;
        while let Some(task) = completed.next().await {
            log(format!("then {}", task.await.told()));
        }
    });
}

#[test]
fn when_the_time_is_over_the_iteration_ends_and_the_children_go_on() {
    // S89
    twin(async || {
        let tasks = [works("a", 1, 1), works("b", 2, 2), works("c", 4, 3)];
        let mut completed = as_completed(tasks).timeout(3);
        while let Some(next) = completed.next().await {
            log(format!("{}: {}", now(), next.map(result_of).told()));
        }
        sleep(5).await;
    });
}

#[test]
fn what_has_ended_already_comes_before_the_end_of_the_time() {
    // S89
    twin(async || {
        let tasks = [works("a", 1, 1), works("b", 2, 2), works("c", 9, 3)];
        let mut completed = as_completed(tasks).timeout(3);
        sleep(5).await;
        while let Some(next) = completed.next().await {
            log(format!("{}: {}", now(), next.map(result_of).told()));
        }
    });
}

#[test]
fn a_dropped_iteration_leaves_the_children() {
    // S90: L2
    let trace = trace_of(async || {
        let mut completed = as_completed([works("a", 1, 1), works("b", 2, 2)]);
        log(completed.next().await.unwrap().await.told());
        drop(completed);
        sleep(5).await;
    });
    assert_eq!(trace, ["a done", "1", "b done"]);
}
