//! `wait`: S79 to S86.

use std::future::pending;

use asyncio_executor::{Task, TaskError, TaskRef, call_soon, catch_cancelled, spawn};
use asyncio_tasks::{Future, ReturnWhen, WaitResult, timeout, try_wait, wait};

use crate::support::{after, now, run, settle, turns_of};

fn sleepers<const N: usize>(seconds: [f64; N]) -> [Task<f64>; N] {
    seconds.map(|seconds| spawn(after(seconds, seconds)))
}

async fn values(tasks: Vec<Task<f64>>) -> Vec<f64> {
    let mut values = Vec::new();
    for task in tasks {
        values.push(task.await.unwrap());
    }
    values
}

#[test]
fn all_are_done_in_the_order_of_the_arguments() {
    // S80
    run(async {
        let WaitResult { done, pending } = wait(sleepers([3.0, 1.0, 2.0])).await;
        assert_eq!(now(), 3.0);
        assert_eq!(values(done).await, [3.0, 1.0, 2.0]);
        assert!(pending.is_empty());
    });
}

#[test]
fn the_first_that_ends_in_whatever_way_is_enough() {
    // S81
    run(async {
        let tasks = [
            spawn(after(2.0, ())),
            spawn(async {
                after(1.0, ()).await;
                panic!("failed")
            }),
        ];
        let result = wait(tasks).return_when(ReturnWhen::FirstCompleted).await;
        assert_eq!((result.done.len(), result.pending.len()), (1, 1));
        assert!(result.done[0].panicked());

        let hangs = spawn(pending::<()>());
        settle(1).await;
        hangs.cancel();
        let both = [hangs, spawn(after(5.0, ()))];
        let result = wait(both).return_when(ReturnWhen::FirstCompleted).await;
        assert!(result.done[0].cancelled());
        assert_eq!(now(), 1.0);
    });
}

#[test]
fn the_first_exception_is_a_panic_and_not_a_cancellation() {
    // S82
    run(async {
        let hangs = spawn(pending::<()>());
        settle(1).await;
        hangs.cancel();
        let tasks = [
            hangs,
            spawn(after(1.0, ())),
            spawn(async {
                after(2.0, ()).await;
                panic!("failed")
            }),
            spawn(after(3.0, ())),
        ];
        let result = wait(tasks).return_when(ReturnWhen::FirstException).await;
        assert_eq!(now(), 2.0);
        assert_eq!((result.done.len(), result.pending.len()), (3, 1));
    });
}

#[test]
fn an_err_is_an_exception_for_try_wait_and_stays_with_its_task() {
    // S82
    run(async {
        let tasks = [(1.0, Ok(1)), (2.0, Err("no")), (3.0, Ok(3))]
            .map(|(seconds, outcome)| spawn(after(seconds, outcome)));
        let result = try_wait(tasks)
            .return_when(ReturnWhen::FirstException)
            .await;
        assert_eq!(now(), 2.0);
        let mut outcomes = Vec::new();
        for task in result.done {
            outcomes.push(task.await.unwrap());
        }
        assert_eq!(outcomes, [Ok(1), Err("no")]);

        // Without one it waits for all.
        let tasks = [1.0, 2.0].map(|seconds| spawn(after(seconds, Ok::<(), &str>(()))));
        let result = try_wait(tasks)
            .return_when(ReturnWhen::FirstException)
            .await;
        assert!(result.pending.is_empty());
        assert_eq!(now(), 4.0);
    });
}

#[test]
fn a_plain_wait_takes_an_err_for_a_value() {
    run(async {
        let tasks = [(1.0, Err("no")), (3.0, Ok(3))].map(|(s, outcome)| spawn(after(s, outcome)));
        let result = wait(tasks).return_when(ReturnWhen::FirstException).await;
        assert_eq!((result.done.len(), now()), (2, 3.0));
    });
}

#[test]
fn what_ends_between_the_trigger_and_the_resumption_is_done_too() {
    // S83
    run(async {
        let future = Future::new();
        let [first, second] = [future.clone(), Future::new()];
        let other = second.clone();
        call_soon(move || {
            future.set_result(1).unwrap();
            // One turn after the callback of the first, and before the waiter.
            call_soon(move || other.set_result(2).unwrap());
        });
        let result = wait([first, second])
            .return_when(ReturnWhen::FirstCompleted)
            .await;
        assert_eq!(result.done.len(), 2);
    });
}

#[test]
fn when_the_time_is_over_it_gives_what_there_is_and_cancels_nothing() {
    // S84
    run(async {
        let result = wait(sleepers([1.0, 3.0])).timeout(2).await;
        assert_eq!((result.done.len(), result.pending.len()), (1, 1));
        assert_eq!(now(), 2.0);
        assert_eq!(result.pending[0].cancelling(), 0);
        assert_eq!(values(result.pending).await, [3.0]);
    });
}

#[test]
fn without_any_time_it_looks_once() {
    run(async {
        let tasks = sleepers([0.0, 1.0]);
        settle(2).await;
        let (turns, result) = turns_of(|| wait(tasks).timeout(0)).await;
        assert_eq!((turns, result.done.len(), result.pending.len()), (2, 1, 1));
    });
}

#[test]
fn cancelled_or_dropped_it_leaves_the_tasks_running() {
    // S85
    run(async {
        let tasks = sleepers([1.0, 2.0]);
        let Err(_) = timeout(0.5, wait(&tasks)).await else {
            panic!("nothing ends that early")
        };
        assert!(tasks.iter().all(|task| task.cancelling() == 0));
        let result = wait(&tasks).await;
        assert_eq!((result.done.len(), now()), (2, 2.0));

        let by_value = spawn(async {
            wait(sleepers([1.0])).await;
        });
        settle(2).await;
        let inside: Vec<TaskRef> = asyncio_executor::all_tasks();
        by_value.cancel();
        assert!(by_value.await.unwrap_err().is_cancelled());
        after(5.0, ()).await;
        assert!(
            inside
                .iter()
                .all(|task| !task.cancelled() || task.id() == inside[1].id())
        );
    });
}

#[test]
fn it_suspends_even_if_all_are_done() {
    // S86, appendix 1
    run(async {
        let done = spawn(async {});
        settle(1).await;
        assert_eq!(turns_of(|| wait([&done])).await.0, 2);

        let future = Future::new();
        let setter = future.clone();
        let set = move || drop(call_soon(move || setter.set_result(()).unwrap()));
        // In the first turn it is set.
        let (turns, _) = turns_of(|| {
            set();
            wait([&future])
        })
        .await;
        assert_eq!(turns, 3);
    });
}

#[test]
#[should_panic(expected = "`wait` was given no tasks")]
fn nothing_to_wait_for_is_an_error() {
    // S79
    run(async {
        wait(Vec::<Task<()>>::new()).await;
    });
}

#[test]
fn tasks_of_different_types_are_waited_for_by_reference() {
    run(async {
        let (number, text) = (spawn(after(1.0, 1)), spawn(after(2.0, "two")));
        let all = [number.as_ref().unwrap(), text.as_ref().unwrap()];
        let result = wait(all).await;
        assert_eq!(result.done.len(), 2);
        assert_eq!((number.await.unwrap(), text.await.unwrap()), (1, "two"));
    });
}

#[test]
fn a_wait_that_is_over_leaves_no_callback_behind() {
    run(async {
        let task = spawn(pending::<()>());
        for _ in 0..3 {
            let result = wait([&task]).timeout(1).await;
            assert_eq!(result.pending.len(), 1);
        }
        // What a caller of `wait` catches is its own request only.
        let caught = spawn(async move {
            let caught = catch_cancelled(wait([&task])).await.is_err();
            task.cancel();
            (
                caught,
                task.await
                    .is_err_and(|error: TaskError| error.is_cancelled()),
            )
        });
        settle(2).await;
        caught.cancel();
        assert_eq!(caught.await.unwrap(), (true, true));
    });
}
