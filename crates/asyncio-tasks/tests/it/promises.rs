//! asyncio's `Future` where tasks and futures are taken.

use asyncio_executor::call_soon;
use asyncio_tasks::{Future, ensure_future, gather, shield, try_gather, wait_for};

use crate::support::{after, run};

#[test]
fn gather_takes_tasks_promises_and_futures_together() {
    run(async {
        let promise = Future::new();
        let setter = promise.clone();
        call_soon(move || setter.set_result("set").unwrap());
        let task = asyncio_executor::spawn(async { 1 });
        let (number, text, late) = gather((task, &promise, after(1.0, 2.5))).await;
        assert_eq!((number, text.unwrap(), late), (1, "set", 2.5));
        // A clone each: the same promise in two places gives its result in both (S69).
        let both = gather([promise.clone(), promise]).await;
        assert_eq!(both.map_ok(), ["set", "set"]);
    });
}

trait MapOk<T> {
    fn map_ok(self) -> Vec<T>;
}

impl<T, E: std::fmt::Debug> MapOk<T> for Vec<Result<T, E>> {
    fn map_ok(self) -> Vec<T> {
        self.into_iter().map(Result::unwrap).collect()
    }
}

#[test]
fn a_promise_that_fails_ends_try_gather() {
    run(async {
        let promise = Future::<()>::new();
        promise.set_exception("broken").unwrap();
        let ended = try_gather([promise, Future::new()]).await;
        assert!(ended.unwrap_err().to_string().contains("broken"));
    });
}

#[test]
fn a_request_to_a_gather_cancels_its_promises() {
    // S74
    run(async {
        let promise = Future::<()>::new();
        assert!(wait_for(gather([promise.clone()]), 1).await.is_err());
        assert!(promise.cancelled());
    });
}

#[test]
fn a_shielded_promise_is_not_cancelled() {
    // S98
    run(async {
        let promise = Future::<()>::new();
        assert!(wait_for(shield(promise.clone()), 1).await.is_err());
        assert!(!promise.cancelled());
        promise.set_result(()).unwrap();
        assert!(ensure_future(promise).await.unwrap().is_ok());
    });
}

#[test]
fn the_task_of_a_promise_that_is_done_is_done() {
    // S100
    run(async {
        let promise = Future::new();
        promise.set_result(5).unwrap();
        assert!(ensure_future(&promise).done());
        assert_eq!(ensure_future(promise).await.unwrap().unwrap(), 5);
        assert!(!ensure_future(Future::<()>::new()).done());
    });
}
