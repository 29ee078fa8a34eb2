//! `as_completed`: S87 to S90.

use std::future::{Future as _, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use asyncio_executor::spawn;
use asyncio_tasks::{Future, TimeoutError, as_completed, timeout};
use futures_core::Stream;

use crate::support::{after, now, run, settle, turns_of};

#[test]
fn tasks_come_in_the_order_in_which_they_end() {
    // S87: and they are those that were given.
    run(async {
        let tasks = [3.0, 1.0, 2.0].map(|seconds| spawn(after(seconds, seconds)));
        let ids = [1, 2, 0].map(|place: usize| tasks[place].id());
        let mut ended = as_completed(tasks);
        let mut seen = Vec::new();
        while let Some(task) = ended.next().await {
            assert!(task.done());
            seen.push((task.id(), now(), task.await.unwrap()));
        }
        assert_eq!(
            seen,
            [(ids[0], 1.0, 1.0), (ids[1], 2.0, 2.0), (ids[2], 3.0, 3.0)]
        );
    });
}

#[test]
fn a_failure_or_a_cancellation_ends_nothing() {
    // S90
    run(async {
        let hangs = spawn(pending());
        let canceller = hangs.as_ref().unwrap();
        let tasks = [
            spawn(async {
                after(1.0, ()).await;
                panic!("failed")
            }),
            hangs,
            spawn(after(3.0, ())),
        ];
        spawn(async move {
            after(2.0, ()).await;
            canceller.cancel();
        })
        .detach();
        let mut ended = as_completed(tasks);
        assert!(ended.next().await.unwrap().await.unwrap_err().is_panic());
        assert!(
            ended
                .next()
                .await
                .unwrap()
                .await
                .unwrap_err()
                .is_cancelled()
        );
        assert!(ended.next().await.unwrap().await.is_ok());
        assert!(ended.next().await.is_none());
        assert!(ended.next().await.is_none());
    });
}

#[test]
fn it_can_be_left_and_gone_on_with() {
    // S90
    run(async {
        let mut ended = as_completed([1.0, 2.0].map(|seconds| after(seconds, seconds)));
        assert!(timeout(0.5, ended.next()).await.is_err()); // nothing is lost by that
        assert_eq!(ended.next().await.unwrap().await.unwrap(), 1.0);
        assert_eq!(ended.len(), 1);
        let rest = ended.into_pending();
        assert_eq!(rest.len(), 1);
        for task in rest {
            assert_eq!(task.await.unwrap(), 2.0);
        }
    });
}

#[test]
fn after_the_deadline_it_gives_an_error_and_cancels_nothing() {
    // S89
    run(async {
        let mut ended = as_completed([1.0, 3.0].map(|seconds| after(seconds, seconds))).timeout(2);
        assert_eq!(ended.next().await.unwrap().unwrap().await.unwrap(), 1.0);
        assert_eq!(ended.next().await.unwrap().unwrap_err(), TimeoutError);
        assert_eq!(now(), 2.0);
        assert!(ended.next().await.is_none());
        let rest = ended.into_pending();
        assert_eq!(rest[0].cancelling(), 0);
        for task in rest {
            assert_eq!(task.await.unwrap(), 3.0);
        }
    });
}

#[test]
fn what_had_ended_before_the_deadline_comes_first() {
    // S89
    run(async {
        let mut ended = as_completed([1.0, 9.0].map(|seconds| after(seconds, seconds))).timeout(2);
        after(5.0, ()).await; // nobody looks for a while
        assert!(ended.next().await.unwrap().is_ok());
        assert!(ended.next().await.unwrap().is_err());

        let done = spawn(async {});
        settle(1).await;
        let mut ended = as_completed([done]).timeout(0);
        assert!(ended.next().await.unwrap().is_ok());
    });
}

#[test]
fn a_step_takes_two_turns() {
    // Appendix 1: one for the callback, one for the waiter; a third where a task is what awaits the promise.
    run(async {
        let future = Future::new();
        let mut ended = as_completed([future.clone()]);
        settle(2).await;
        let (turns, _) = turns_of(|| {
            future.set_result(()).unwrap();
            ended.next()
        })
        .await;
        assert_eq!(turns, 3);

        // Its first step, the callback, the waiter.
        let (turns, _) = turns_of(|| async { drop(as_completed([async {}]).next().await) }).await;
        assert_eq!(turns, 3);
    });
}

#[test]
fn it_is_a_stream() {
    run(async {
        let mut ended = pin!(as_completed([after(1.0, 1)]));
        assert_eq!(ended.size_hint(), (1, Some(1)));
        let task = poll_fn(|cx| ended.as_mut().poll_next(cx)).await.unwrap();
        assert_eq!(task.await.unwrap(), 1);
        assert!(poll_fn(|cx| ended.as_mut().poll_next(cx)).await.is_none());
    });
}

#[test]
fn dropped_it_lets_the_tasks_run_on() {
    run(async {
        let done = Future::new();
        let setter = done.clone();
        let mut ended = as_completed([async move {
            after(1.0, ()).await;
            setter.set_result(()).unwrap();
        }]);
        {
            let mut next = pin!(ended.next());
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut next).poll(cx))).await;
            assert!(polled.is_pending());
        }
        drop(ended);
        done.await.unwrap();
        assert_eq!(now(), 1.0);
    });
}
