//! `wait_for` without any time: what runs by itself may be done already, what has to be polled is too late (S95).

use std::cell::Cell;
use std::future::{IntoFuture, Ready, ready};
use std::rc::Rc;

use asyncio_executor::{catch_cancelled, spawn, yield_now};
use asyncio_tasks::{Future, TaskGroup, TimeoutError, gather, shield, wait_for};

/// Something that can be awaited and is not a handle: a builder.
struct Request(Rc<Cell<bool>>);

impl IntoFuture for Request {
    type Output = ();
    type IntoFuture = std::pin::Pin<Box<dyn std::future::Future<Output = ()>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.0.set(true) })
    }
}

#[test]
fn what_has_ended_gives_its_result_through_every_kind_of_handle() {
    asyncio_runtime::run(async {
        let mut task = spawn(async { 1 });
        yield_now().await;
        assert_eq!(wait_for(&mut task, 0).await.unwrap().unwrap(), 1);
        let future = Future::new();
        future.set_result(2).unwrap();
        assert_eq!(wait_for(&future, 0).await.unwrap().unwrap(), 2);
        assert_eq!(wait_for(future, 0).await.unwrap().unwrap(), 2);
        let outcome = TaskGroup::<()>::scope(async |group| {
            let mut child = group.spawn(async { 3 });
            yield_now().await;
            let by_reference = wait_for(&mut child, 0).await;
            let other = group.spawn(async { 4 });
            let shielded = group.spawn(async { 5 });
            yield_now().await;
            let shielded = wait_for(shield(shielded), 0).await.unwrap().unwrap();
            Ok((by_reference, wait_for(other, 0).await, shielded))
        });
        assert_eq!(outcome.await.unwrap(), (Ok(3), Ok(4), 5));
    });
}

#[test]
fn a_future_is_not_polled_and_neither_is_what_becomes_one() {
    asyncio_runtime::run(async {
        let polled = Rc::new(Cell::new(false));
        let mark = polled.clone();
        let late = wait_for(async move { mark.set(true) }, 0).await;
        assert_eq!(late, Err(TimeoutError));
        let late = wait_for(Request(polled.clone()).into_future(), 0).await;
        assert_eq!(late, Err(TimeoutError));
        assert!(!polled.get());
        let there: Ready<i32> = ready(5);
        assert_eq!(wait_for(there, 0).await, Err(TimeoutError));
    });
}

#[test]
fn a_shield_is_a_handle_that_can_be_gathered_and_shielded_again() {
    asyncio_runtime::run(async {
        let one = shield(async { 1 });
        let two = shield(spawn(async { 2 }));
        let outcome = gather((one, shield(two))).await;
        assert_eq!((outcome.0.unwrap(), outcome.1.unwrap().unwrap()), (1, 2));
        // Asked through the gathering, the tasks behind the shields go on.
        let mut kept = spawn(async {
            yield_now().await;
            3
        });
        let shielded = async move {
            assert!(catch_cancelled(shield(&mut kept)).await.is_err());
            kept.await.unwrap()
        };
        let task = spawn(shielded);
        yield_now().await;
        task.cancel();
        assert_eq!(task.await.unwrap(), 3);
    });
}
