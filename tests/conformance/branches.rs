//! Several scopes in one task, side by side under the combinators of `futures-util`. asyncio has no such thing: its tasks
//! wait in one place. What holds here is in `docs/cancellation.md`, under *Dropping*.

use std::future::{IntoFuture, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use asyncio::{
    TaskGroup, catch_cancelled, create_task, current_task, finally, get_running_loop, shield,
    sleep, timeout,
};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, join, select};

use crate::harness::{Trace, settle, traced};

/// Waits for ever; a request ends that, and is answered in so many seconds.
async fn reacts(trace: Trace, name: &'static str, seconds: u64) -> &'static str {
    let _dropped = trace.on_drop(&format!("{name} dropped"));
    if catch_cancelled(sleep(10_000)).await.is_err() {
        trace.log(format!("{name} heard"));
        sleep(seconds).await;
        trace.log(format!("{name} reacted"));
    }
    name
}

/// The same, and raises it again.
async fn raises(trace: Trace, name: &'static str, seconds: u64) -> &'static str {
    let _dropped = trace.on_drop(&format!("{name} dropped"));
    if let Err(cancelled) = catch_cancelled(sleep(10_000)).await {
        trace.log(format!("{name} heard"));
        sleep(seconds).await;
        trace.log(format!("{name} raises"));
        cancelled.propagate().await
    }
    name
}

/// Has no scope.
async fn goes_on(trace: Trace, name: &'static str, seconds: u64) -> &'static str {
    let _dropped = trace.on_drop(&format!("{name} dropped"));
    sleep(seconds).await;
    trace.log(format!("{name} went on"));
    name
}

/// Logs each poll.
async fn watched<F: Future>(trace: Trace, name: &'static str, body: F) -> F::Output {
    let mut body = pin!(body);
    poll_fn(|cx| {
        trace.log(format!("{name} polled"));
        body.as_mut().poll(cx)
    })
    .await
}

fn now() -> String {
    format!("{}s", get_running_loop().time().as_secs_f64())
}

#[test]
fn under_join_every_innermost_scope_reacts_once_and_a_branch_without_goes_on() {
    // S62: R! one task may poll several futures.
    let trace = traced(|trace| async move {
        let t = trace.clone();
        let task = create_task(async move {
            let all = join!(
                reacts(t.clone(), "a", 2),
                goes_on(t.clone(), "plain", 5),
                reacts(t.clone(), "b", 1),
            );
            t.log(format!("{all:?} at {}", now()));
            // It was delivered, so later awaits are not disturbed.
            sleep(1).await;
            current_task().unwrap().cancelling()
        });
        settle(1).await;
        task.cancel();
        trace.log("asked");
        trace.log(format!("{:?} at {}", task.await, now()));
    });
    assert_eq!(
        trace,
        [
            "asked",
            "a heard",
            "b heard",
            "b reacted",
            "b dropped",
            "a reacted",
            "a dropped",
            "plain went on",
            "plain dropped",
            "(\"a\", \"plain\", \"b\") at 5s",
            "Ok(1) at 6s",
        ]
    );
}

#[test]
fn a_second_request_goes_to_the_scopes_that_are_innermost_then() {
    // S54: in a cleanup without a scope of its own nobody hears it but the scope around all.
    let trace = traced(|trace| async move {
        let t = trace.clone();
        let task = create_task(async move {
            let guarded = async {
                let _ = catch_cancelled(sleep(10_000)).await;
                t.log("guarded heard");
                let again = catch_cancelled(sleep(5)).await;
                t.log(format!("guarded heard again: {}", again.is_err()));
            };
            join!(guarded, reacts(t.clone(), "bare", 3));
            t.log(format!("both at {}", now()));
        });
        settle(1).await;
        task.cancel();
        sleep(1).await;
        task.cancel();
        let count = task.as_ref().unwrap();
        task.await.unwrap();
        trace.log(format!("count {}", count.cancelling()));
    });
    assert_eq!(
        trace,
        [
            "guarded heard",
            "bare heard",
            "guarded heard again: true",
            "bare reacted",
            "bare dropped",
            "both at 3s",
            "count 2",
        ]
    );
}

#[test]
fn under_futures_unordered_only_those_who_hear_of_it_are_polled() {
    // S62: R! each through the waker it was polled with.
    let trace = traced(|trace| async move {
        let t = trace.clone();
        let task = create_task(async move {
            let mut all = FuturesUnordered::new();
            all.push(watched(t.clone(), "a", reacts(t.clone(), "a", 1)).boxed_local());
            all.push(watched(t.clone(), "plain", goes_on(t.clone(), "plain", 3)).boxed_local());
            all.push(watched(t.clone(), "b", reacts(t.clone(), "b", 2)).boxed_local());
            while let Some(name) = all.next().await {
                t.log(format!("{name} at {}", now()));
            }
        });
        settle(1).await;
        trace.log("asked");
        task.cancel();
        task.await.unwrap();
    });
    assert_eq!(
        trace,
        [
            "a polled",
            "plain polled",
            "b polled",
            "asked",
            "a polled",
            "a heard",
            "b polled",
            "b heard",
            "a polled",
            "a reacted",
            "a dropped",
            "a at 1s",
            "b polled",
            "b reacted",
            "b dropped",
            "b at 2s",
            "plain polled",
            "plain went on",
            "plain dropped",
            "plain at 3s",
        ]
    );
}

#[test]
fn under_select_the_first_to_end_drops_the_others_and_the_request_was_delivered() {
    // S62: R! what is dropped need not hear it any more.
    let trace = traced(|trace| async move {
        let t = trace.clone();
        let task = create_task(async move {
            let quick = async {
                let heard = catch_cancelled(sleep(10_000)).await.is_err();
                t.log(format!("quick heard: {heard}"));
            };
            {
                let mut quick = pin!(quick.fuse());
                let mut slow = pin!(reacts(t.clone(), "slow", 5).fuse());
                // Biased: in this order, so that there is one trace.
                futures_util::select_biased! {
                    () = quick => t.log("quick won"),
                    _ = slow => t.log("slow won"),
                }
            }
            sleep(1).await;
            t.log(format!("undisturbed until {}", now()));
        });
        settle(1).await;
        task.cancel();
        trace.log(format!("{:?}", task.await));
    });
    assert_eq!(
        trace,
        [
            "quick heard: true",
            "quick won",
            "slow dropped",
            "undisturbed until 1s",
            "Ok(())",
        ]
    );
}

#[test]
fn under_select_all_react_as_long_as_none_has_ended() {
    // S62: R!
    let trace = traced(|trace| async move {
        let t = trace.clone();
        let task = create_task(async move {
            let mut long = pin!(reacts(t.clone(), "long", 5).fuse());
            let mut short = pin!(reacts(t.clone(), "short", 1).fuse());
            // Whichever is polled first, the one that ends first wins.
            let won = select! {
                name = long => name,
                name = short => name,
            };
            t.log(format!("{won} won"));
            let rest = long.await;
            t.log(format!("{rest} at {}", now()));
        });
        settle(1).await;
        task.cancel();
        task.await.unwrap();
    });
    let heard = ["long heard", "short heard"];
    let lines = trace.take();
    assert!(
        heard
            .iter()
            .all(|line| lines[..2].contains(&(*line).to_owned()))
    );
    assert_eq!(
        lines[2..],
        [
            "short reacted",
            "short dropped",
            "short won",
            "long reacted",
            "long dropped",
            "long at 5s"
        ]
    );
}

#[test]
fn a_raise_in_one_branch_unwinds_the_scope_around_the_whole_and_drops_the_others() {
    // S48
    // S57: R! what is dropped runs `Drop` only.
    let trace = traced(|trace| async move {
        let t = trace.clone();
        let task = create_task(async move {
            let all = async {
                join!(
                    raises(t.clone(), "a", 1),
                    reacts(t.clone(), "b", 5),
                    goes_on(t.clone(), "plain", 5),
                )
            };
            let around = catch_cancelled(all).await;
            t.log(format!("around: {} at {}", around.is_err(), now()));
            sleep(1).await;
        });
        settle(1).await;
        task.cancel();
        trace.log(format!("{:?}", task.await));
    });
    assert_eq!(
        trace,
        [
            "a heard",
            "b heard",
            "a raises",
            // As locals are, in reverse.
            "plain dropped",
            "b dropped",
            "a dropped",
            "around: true at 1s",
            "Ok(())",
        ]
    );
}

#[test]
fn without_a_scope_around_a_raise_in_one_branch_ends_the_task() {
    // S46
    let trace = traced(|trace| async move {
        let t = trace.clone();
        let task = create_task(async move {
            let mut all = FuturesUnordered::new();
            all.push(raises(t.clone(), "a", 1).boxed_local());
            all.push(reacts(t.clone(), "b", 5).boxed_local());
            while let Some(name) = all.next().await {
                t.log(name);
            }
        });
        settle(1).await;
        task.cancel();
        let task_ref = task.as_ref().unwrap();
        let ended = task.await.is_err();
        trace.log(format!("{ended}, {}, at {}", task_ref.cancelled(), now()));
    });
    let mut lines = trace.take();
    // In which order a `FuturesUnordered` drops what it has is its own business.
    lines[3..5].sort_unstable();
    assert_eq!(
        lines,
        [
            "a heard",
            "b heard",
            "a raises",
            "a dropped",
            "b dropped",
            "true, true, at 1s"
        ]
    );
}

#[test]
fn tasks_awaited_side_by_side_are_all_asked_at_once_and_the_first_to_end_cancelled_raises() {
    // S62: R! as in `gather`, and the other task runs on by itself.
    let trace = traced(|trace| async move {
        let (t, u) = (trace.clone(), trace.clone());
        let one = create_task(raises(trace.clone(), "one", 1));
        let two = create_task(raises(trace.clone(), "two", 3));
        let (one_ref, two_ref) = (one.as_ref().unwrap(), two.as_ref().unwrap());
        let task = create_task(async move {
            let both = async { join!(one.into_future(), two.into_future()) };
            let ended = catch_cancelled(both).await.is_err();
            t.log(format!("around: {ended} at {}", now()));
        });
        settle(2).await;
        task.cancel();
        // Inside `cancel()`: S47.
        u.log(format!("{} {}", one_ref.cancelling(), two_ref.cancelling()));
        task.await.unwrap();
        u.log(format!("two ended: {}", two_ref.done()));
        sleep(5).await;
        u.log(format!("two cancelled: {}", two_ref.cancelled()));
    });
    assert_eq!(
        trace,
        [
            "1 1",
            "one heard",
            "two heard",
            "one raises",
            "one dropped",
            "around: true at 1s",
            "two ended: false",
            "two raises",
            "two dropped",
            "two cancelled: true",
        ]
    );
}

#[test]
fn a_timeout_asks_its_own_branch_only() {
    // S105
    let trace = traced(|trace| async move {
        let task = create_task({
            let t = trace.clone();
            async move {
                let ended = join!(
                    timeout(1, raises(t.clone(), "a", 1)),
                    timeout(3, reacts(t.clone(), "b", 1)),
                    timeout(10, goes_on(t.clone(), "plain", 5)),
                );
                t.log(format!("{ended:?} at {}", now()));
                current_task().unwrap().cancelling()
            }
        });
        trace.log(format!("{:?}", task.await));
    });
    assert_eq!(
        trace,
        [
            "a heard",
            "a raises",
            "a dropped",
            "b heard",
            "b reacted",
            "b dropped",
            "plain went on",
            "plain dropped",
            "(Err(TimeoutError), Ok(\"b\"), Ok(\"plain\")) at 5s",
            "Ok(0)",
        ]
    );
}

#[test]
fn a_group_in_one_branch_and_a_shield_in_another_hear_the_same_request() {
    // S98
    let trace = traced(|trace| async move {
        let t = trace.clone();
        let mut kept = create_task(goes_on(trace.clone(), "kept", 4));
        let task = create_task(async move {
            let group = async {
                let ended = catch_cancelled(TaskGroup::<()>::scope(async |group| {
                    group.spawn(raises(t.clone(), "child", 2));
                    finally(pending::<()>(), async { t.log("body cleaned up") }).await;
                    Ok(())
                }));
                let ended = ended.await.is_err();
                t.log(format!("group cancelled: {ended} at {}", now()));
            };
            let shielded = async {
                let ended = catch_cancelled(shield(&mut kept)).await.is_err();
                t.log(format!("shield cancelled: {ended} at {}", now()));
            };
            join!(group, shielded);
            kept.await.unwrap();
        });
        settle(2).await;
        task.cancel();
        task.await.unwrap();
    });
    assert_eq!(
        trace,
        [
            "body cleaned up",
            "shield cancelled: true at 0s",
            "child heard",
            "child raises",
            "child dropped",
            "group cancelled: true at 2s",
            "kept went on",
            "kept dropped",
        ]
    );
}

/// Polls a branch that has a scope once, and puts it aside.
async fn put_aside(trace: Trace) -> Pin<Box<dyn Future<Output = &'static str>>> {
    let mut branch = Box::pin(reacts(trace, "aside", 0));
    let begun = poll_fn(|cx| Poll::Ready(branch.as_mut().poll(cx))).await;
    assert!(begun.is_pending());
    branch
}

#[test]
fn a_branch_that_is_not_polled_any_more_does_not_keep_the_request() {
    // S44: it is not lost with it.
    let trace = traced(|trace| async move {
        let t = trace.clone();
        let task = create_task(async move {
            let aside = put_aside(t.clone()).await;
            let heard = catch_cancelled(sleep(10)).await.is_err();
            t.log(format!("heard: {heard} at {}", now()));
            drop(aside);
            sleep(1).await;
            t.log(format!("undisturbed until {}", now()));
        });
        settle(1).await;
        task.cancel();
        trace.log(format!("{:?}", task.await));
        // Where the task waits without a scope it ends, as it would without the branch.
        let t = trace.clone();
        let task = create_task(async move {
            let _aside = put_aside(t).await;
            sleep(10).await;
        });
        settle(1).await;
        task.cancel();
        trace.log(format!("ended: {}", task.await.is_err()));
    });
    assert_eq!(
        trace,
        [
            "heard: true at 0s",
            "aside dropped",
            "undisturbed until 1s",
            "Ok(())",
            "aside dropped",
            "ended: true",
        ]
    );
}
