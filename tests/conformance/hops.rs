//! How many turns of the loop lie between a cause and its effect. Every number is CPython 3.13's for the same program:
//! `tests/reference/hops.py` prints them, `hops.txt` beside it has what it printed.
//!
//! The order in which two tasks go on depends on nothing else, so a program brought over from Python keeps its order
//! only if these are equal (appendix 1 of the semantics).

use std::cell::Cell;
use std::future::{Future, pending};
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use asyncio::{
    Future as Promise, TaskGroup, TaskRef, catch_cancelled, create_task, current_task, gather,
    get_running_loop, shield, sleep, timeout, wait_for,
};

use crate::harness::{Hops, Trace, loop_with_manual_clock, run, say, settle, traced, turn};
use crate::twin::python;

/// What CPython printed.
const TABLE: &str = include_str!("../reference/hops.txt");

fn table() -> impl Iterator<Item = (&'static str, u32)> {
    TABLE.lines().map(|line| {
        let (name, turns) = line.rsplit_once(": ").unwrap();
        (name, turns.parse().unwrap())
    })
}

/// As many as CPython takes.
#[track_caller]
fn turns(name: &str) -> u32 {
    let line = table().find(|(candidate, _)| *candidate == name);
    line.unwrap_or_else(|| panic!("`{name}` is not in the table"))
        .1
}

#[test]
fn cpython_takes_as_many_turns_as_the_table_says() {
    let Some(python) = python() else {
        return say("skipped: tests/reference/hops.py: no CPython 3.13 or later was found");
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/hops.py");
    let output = Command::new(python).arg("-B").arg(script).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), TABLE);
}

#[test]
fn every_line_of_the_table_is_asserted_of_ours() {
    let source = include_str!("hops.rs");
    for (name, _) in table() {
        let asserted = format!("turns(\"{name}\")");
        assert!(source.contains(&asserted), "nothing asserts `{name}`");
    }
}

/// Turns from `trigger` to the resumption of a task that awaits `waiter`. A cancellation ends the wait too.
async fn from_trigger(waiter: impl Future + 'static, trigger: impl FnOnce() + 'static) -> u32 {
    let hops = Hops::default();
    let counter = hops.clone();
    let task = create_task(async move {
        let _ = catch_cancelled(waiter).await;
        counter.stop()
    });
    settle(5).await;
    get_running_loop().call_soon(move || {
        hops.start();
        trigger();
    });
    task.await.unwrap()
}

/// Turns that the caller of `make` waits.
async fn of_await<F: Future>(make: impl FnOnce() -> F) -> u32 {
    let hops = Hops::default();
    hops.start();
    make().await;
    hops.stop()
}

async fn nothing() {}

/// A promise, something that awaits it, and the trigger that sets it.
fn promise() -> (Promise<()>, impl FnOnce()) {
    let promise = Promise::new();
    let setter = promise.clone();
    (promise, move || setter.set_result(()).unwrap())
}

async fn awaits(promise: Promise<()>) {
    promise.await.unwrap();
}

#[test]
fn a_future_resumes_its_awaiter_in_the_next_turn() {
    run(async {
        let (future, set) = promise();
        assert_eq!(from_trigger(awaits(future), set).await, turns("future"));

        let future = Promise::<()>::new();
        let canceller = future.clone();
        let cancel = move || assert!(canceller.cancel());
        assert_eq!(from_trigger(async { drop(future.await) }, cancel).await, 1);
    });
}

#[test]
fn a_task_resumes_its_awaiter_one_turn_after_it_ended() {
    run(async {
        let (future, set) = promise();
        let task = create_task(awaits(future));
        assert_eq!(
            from_trigger(async { drop(task.await) }, set).await,
            turns("task")
        );

        let task = create_task(pending::<()>());
        settle(1).await;
        let target = task.as_ref().unwrap();
        let cancel = move || assert!(target.cancel());
        assert_eq!(from_trigger(async { drop(task.await) }, cancel).await, 2);

        assert_eq!(
            of_await(|| async { drop(create_task(nothing()).await) }).await,
            turns("new task")
        );
        let done = create_task(nothing());
        settle(1).await;
        assert_eq!(
            of_await(|| async { drop(done.await) }).await,
            turns("ended task")
        );
    });
}

#[test]
fn gather_resumes_two_turns_after_its_last_task_ended() {
    run(async {
        let (future, set) = promise();
        assert_eq!(
            from_trigger(async { drop(gather([awaits(future)]).await) }, set).await,
            turns("gather")
        );
        let task = create_task(pending::<()>());
        settle(1).await;
        let target = task.as_ref().unwrap();
        let cancel = move || assert!(target.cancel());
        assert_eq!(
            from_trigger(async { drop(gather([task]).await) }, cancel).await,
            3
        );

        assert_eq!(
            of_await(|| gather([nothing()])).await,
            turns("gather of one that does nothing")
        );
        assert_eq!(
            of_await(|| gather(Vec::<std::future::Ready<()>>::new())).await,
            turns("gather()")
        );
        let done = create_task(nothing());
        settle(1).await;
        assert_eq!(of_await(|| gather([done])).await, turns("gather(ended)"));
    });
}

#[test]
fn wait_for_takes_no_turn_of_its_own() {
    run(async {
        let (future, set) = promise();
        assert_eq!(
            from_trigger(async { drop(wait_for(future, 10).await) }, set).await,
            turns("wait_for(future)")
        );
        let (future, set) = promise();
        let task = create_task(awaits(future));
        assert_eq!(
            from_trigger(async { drop(wait_for(task, 10).await) }, set).await,
            turns("wait_for(task)")
        );
        assert_eq!(
            of_await(|| wait_for(nothing(), 1)).await,
            turns("wait_for(coroutine)")
        );
        assert_eq!(
            of_await(|| wait_for(create_task(nothing()), 1)).await,
            turns("wait_for(new task)")
        );
    });
}

#[test]
fn a_timeout_that_is_over_from_the_start_takes_two_turns() {
    // The deadline's callback, then the body that it cancelled.
    run(async {
        assert_eq!(
            of_await(|| timeout(0, Promise::<()>::new())).await,
            turns("timeout(0)")
        );
        settle(1).await; // the cancelled future has woken this task for nothing once more
        assert_eq!(
            of_await(|| wait_for(Promise::<()>::new(), 0)).await,
            turns("wait_for(future, 0)")
        );
    });
}

#[test]
fn shield_takes_one_turn_more_than_the_task_it_shields() {
    run(async {
        let (future, set) = promise();
        let task = create_task(awaits(future));
        assert_eq!(
            from_trigger(async { drop(shield(task).await) }, set).await,
            turns("shield")
        );
        assert_eq!(
            of_await(|| async { drop(shield(nothing()).await) }).await,
            turns("shield of a coroutine that does nothing")
        );
        let done = create_task(nothing());
        settle(1).await;
        assert_eq!(
            of_await(|| async { drop(shield(done).await) }).await,
            turns("shield(ended)")
        );
    });
}

#[test]
fn a_group_ends_two_turns_after_its_last_child() {
    run(async {
        let (future, set) = promise();
        let group = TaskGroup::<()>::scope(async move |group| {
            group.create_task(awaits(future));
            Ok(())
        });
        assert_eq!(from_trigger(group, set).await, turns("group"));

        let (future, set) = promise();
        let body_awaits = TaskGroup::<()>::scope(async move |group| {
            group.create_task(awaits(future)).await;
            Ok(())
        });
        // The body resumes in the second turn, when the group has heard of the end already.
        assert_eq!(
            from_trigger(body_awaits, set).await,
            turns("group, body awaits the child")
        );

        let one_child = TaskGroup::<()>::scope(async |group| {
            group.create_task(nothing());
            Ok(())
        });
        assert_eq!(
            of_await(|| one_child).await,
            turns("group of one that does nothing")
        );
        let empty = TaskGroup::<()>::scope(async |_| Ok(()));
        assert_eq!(of_await(|| empty).await, turns("empty group"));
    });
}

#[test]
fn a_group_whose_child_failed_ends_three_turns_after_the_cause() {
    run(async {
        let (future, set) = promise();
        let group = TaskGroup::scope(async move |group| {
            group.create_task(async move {
                awaits(future).await;
                Err::<(), _>("failed")
            });
            pending::<()>().await;
            Ok(())
        });
        assert_eq!(from_trigger(group, set).await, turns("group, child fails"));
    });
}

#[test]
fn what_is_ready_has_its_turn_before_a_timeout_of_no_length_is_over() {
    // S104: CPython 3.13's trace.
    let trace = traced(|trace| async move {
        let other = |trace: &Trace| {
            let trace = trace.clone();
            create_task(async move {
                for n in 0..3 {
                    trace.log(format!("other {n}"));
                    sleep(0).await;
                }
            })
            .detach();
        };
        for delay in [0, 10] {
            other(&trace);
            assert!(timeout(0, sleep(delay)).await.is_err());
            trace.log(format!("timeout in sleep({delay})"));
            settle(3).await;
        }
    });
    assert_eq!(
        trace,
        [
            "other 0",
            "timeout in sleep(0)", // the body would have gone on now; the request comes first
            "other 1",
            "other 2",
            "other 0",
            "other 1",
            "timeout in sleep(10)",
            "other 2",
        ]
    );
}

/// Turns from the request for cancellation of a task in `body` to where that task goes on.
async fn from_cancel(body: impl Future + 'static) -> u32 {
    let who: Rc<Cell<Option<TaskRef>>> = Rc::default();
    let me = who.clone();
    from_trigger(
        async move {
            me.set(current_task());
            body.await;
        },
        move || assert!(who.take().unwrap().cancel()),
    )
    .await
}

#[test]
fn a_cancelled_sleeper_goes_on_in_the_next_turn() {
    run(async {
        assert_eq!(from_cancel(sleep(100)).await, turns("cancelled: sleep"));
        assert_eq!(
            from_cancel(timeout(100, Promise::<()>::new())).await,
            turns("cancelled: timeout")
        );
        assert_eq!(
            from_cancel(async { drop(shield(pending::<()>()).await) }).await,
            turns("cancelled: shield")
        );
    });
}

#[test]
fn a_cancelled_awaiter_goes_on_when_what_it_awaits_has_ended() {
    run(async {
        let inner = async { drop(create_task(pending::<()>()).await) };
        assert_eq!(from_cancel(inner).await, turns("cancelled: task"));
        let gathered = async { drop(gather([pending::<()>(), pending()]).await) };
        assert_eq!(from_cancel(gathered).await, turns("cancelled: gather"));
        let group = TaskGroup::<()>::scope(async |group| {
            group.create_task(pending::<()>());
            Ok(())
        });
        assert_eq!(from_cancel(group).await, turns("cancelled: group"));
    });
}

#[test]
fn what_is_done_already_takes_no_turn() {
    // S30
    run(async {
        let (future, set) = promise();
        set();
        assert_eq!(
            of_await(|| async { drop((&future).await) }).await,
            turns("done future")
        );
        assert_eq!(
            of_await(|| async { drop(wait_for(future, 1).await) }).await,
            turns("wait_for(done)")
        );
    });
}

#[test]
fn sleep_of_no_length_takes_one_turn() {
    // S18
    run(async {
        assert_eq!(of_await(|| sleep(0)).await, turns("sleep(0)"));
        assert_eq!(of_await(|| sleep(-1)).await, 1);
    });
}

#[test]
fn a_sleeper_goes_on_one_turn_after_its_timer() {
    // S19
    let (event_loop, clock) = loop_with_manual_clock();
    let hops = Hops::default();
    let counter = hops.clone();
    let mut sleeper = event_loop.create_task(async move {
        sleep(5).await;
        counter.stop()
    });
    turn(&event_loop);
    let start = hops.clone();
    event_loop.call_later(4, move || start.start());
    clock.advance(std::time::Duration::from_secs(6)); // both are due in one turn
    let turns = event_loop.run_task(&mut sleeper).unwrap();
    assert_eq!(turns, 1);
}

/// Turns from the deadline of a timeout around `body` to where its awaiter goes on.
fn from_deadline(body: impl Future + 'static) -> u32 {
    let (event_loop, clock) = loop_with_manual_clock();
    let hops = Hops::default();
    let counter = hops.clone();
    let mut waiter = event_loop.create_task(async move {
        assert!(timeout(5, body).await.is_err());
        counter.stop()
    });
    for _ in 0..3 {
        turn(&event_loop);
    }
    event_loop.call_later(4, move || hops.start());
    clock.advance(std::time::Duration::from_secs(6)); // both are due in one turn
    event_loop.run_task(&mut waiter).unwrap()
}

#[test]
fn a_timeout_goes_on_one_turn_after_its_deadline() {
    // S105
    assert_eq!(from_deadline(async { drop(Promise::<()>::new().await) }), 1);
    assert_eq!(from_deadline(sleep(100)), turns("deadline: sleep"));
    let shielded = async { drop(shield(create_task(pending::<()>())).await) };
    assert_eq!(from_deadline(shielded), turns("deadline: shield"));
}

#[test]
fn a_timeout_around_tasks_goes_on_as_soon_as_they_have_ended() {
    // S105
    let task = async { drop(create_task(pending::<()>()).await) };
    assert_eq!(from_deadline(task), turns("deadline: task"));
    let gathered = async { drop(gather([pending::<()>(), pending()]).await) };
    assert_eq!(from_deadline(gathered), turns("deadline: gather"));
    let group = TaskGroup::<()>::scope(async |group| {
        group.create_task(pending::<()>());
        Ok(())
    });
    assert_eq!(from_deadline(group), turns("deadline: group"));
}
