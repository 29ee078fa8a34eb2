use super::Shared;
use std::error::Error;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::family::{Future, FutureError};
use futures_lite::future::{block_on, poll_once};

use crate::stepper::Stepper;

/// Awaits the future, logs what came.
fn awaiter(stepper: &mut Stepper, future: &Future<u32>, name: &'static str) -> usize {
    let (future, log) = (future.clone(), stepper.log());
    stepper.spawn(async move {
        match future.await {
            Ok(value) => log.say(format!("{name} {value}")),
            Err(error) => log.say(format!("{name} {error}")),
        }
    })
}

// S20
#[test]
fn it_is_pending_then_for_good_cancelled_or_finished() {
    let state = |future: &Future<u32>| (future.done(), future.cancelled());
    let (finished, failed, cancelled) = (Future::new(), Future::new(), Future::new());
    assert_eq!(state(&finished), (false, false));
    finished.set_result(1).unwrap();
    failed.set_exception("broken").unwrap();
    cancelled.cancel();
    assert_eq!(
        (state(&finished), state(&failed)),
        ((true, false), (true, false))
    );
    assert_eq!(state(&cancelled), (true, true));
}

// S21
#[test]
fn result_and_exception_of_a_pending_future_are_invalid_state() {
    let future = Future::<u32>::new();
    assert!(matches!(future.result(), Err(FutureError::InvalidState(_))));
    let error = future.exception().unwrap_err();
    assert!(
        error.to_string().contains("not done yet: await it"),
        "{error}"
    );
}

// S21
#[test]
fn result_and_exception_of_a_cancelled_future_say_cancelled_and_why() {
    let future = Future::<u32>::new();
    future.cancel_with("too late");
    assert!(
        matches!(future.result(), Err(FutureError::Cancelled { message: Some(m) }) if &*m == "too late")
    );
    assert!(matches!(
        future.exception(),
        Err(FutureError::Cancelled { .. })
    ));
}

// S21
#[test]
fn the_exception_of_a_success_is_none() {
    let future = Future::new();
    future.set_result(1).unwrap();
    assert!(future.exception().unwrap().is_none());
}

// S22
#[test]
fn completing_a_done_future_is_invalid_state_and_changes_nothing() {
    let (finished, failed, cancelled) = (Future::new(), Future::new(), Future::new());
    finished.set_result(1).unwrap();
    failed.set_exception("broken").unwrap();
    cancelled.cancel();
    for (future, how) in [
        (&finished, "with a result"),
        (&failed, "with an exception"),
        (&cancelled, "was cancelled"),
    ] {
        let errors = [
            future.set_result(2).unwrap_err(),
            future.set_exception("x").unwrap_err(),
        ];
        for error in errors {
            let error = error.to_string();
            assert!(
                error.contains("already done") && error.contains(how),
                "{error}"
            );
        }
    }
    assert_eq!(finished.result().unwrap(), 1);
    assert_eq!(failed.result().unwrap_err().to_string(), "broken");
    assert!(cancelled.cancelled());
}

// S23
#[test]
fn cancel_is_immediate_and_false_when_done() {
    let (mut stepper, future) = (Stepper::new(), Future::new());
    let task = awaiter(&mut stepper, &future, "a");
    stepper.run();
    assert!(future.cancel());
    assert!(future.cancelled());
    assert!(!future.cancel());
    assert_eq!(stepper.ready(), [task]);
    stepper.run();
    assert_eq!(stepper.trace(), ["a cancelled"]);
}

// S25, S24 is for the loop: a hook runs at once and may schedule
#[test]
fn a_hook_on_a_done_future_is_called_at_once_and_each_once() {
    let (future, calls) = (Future::new(), Shared::new(AtomicU32::new(0)));
    let hook = || {
        Box::new({
            let calls = calls.clone();
            move || {
                calls.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    future.on_done(hook());
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    future.set_result(1).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let late = future.on_done(hook());
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert!(!future.remove_hook(late));
}

// S26
#[test]
fn a_removed_hook_is_not_called_and_the_others_keep_their_order() {
    let (future, stepper) = (Future::new(), Stepper::new());
    let ids = ["a", "b", "c"].map(|name| {
        let log = stepper.log();
        future.on_done(Box::new(move || log.say(name)))
    });
    assert!(future.remove_hook(ids[1]));
    assert!(!future.remove_hook(ids[1]));
    future.set_result(1).unwrap();
    assert!(!future.remove_hook(ids[0]));
    assert_eq!(stepper.trace(), ["a", "c"]);
}

// S27
#[test]
fn a_hook_that_panics_does_not_stop_the_later_ones() {
    let (mut stepper, future) = (Stepper::new(), Future::new());
    future.on_done(Box::new(|| panic!("on purpose")));
    awaiter(&mut stepper, &future, "a");
    stepper.run();
    let log = stepper.log();
    future.on_done(Box::new(move || log.say("hook")));
    let setter = future.clone();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| setter.set_result(1))).unwrap_err();
    stepper.run();
    assert_eq!(stepper.trace(), ["hook", "a 1"]);
}

// S28
#[test]
fn tasks_and_hooks_are_told_in_one_order_of_registration() {
    let future = Future::<u32>::new();
    let order = Shared::new(Mutex::new(Vec::new()));
    struct Tell(std::sync::mpsc::Sender<&'static str>);
    impl std::task::Wake for Tell {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.send("task").unwrap();
        }
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    let receiver = Shared::new(Mutex::new(receiver));
    let hook = |name| {
        let (order, receiver) = (order.clone(), receiver.clone());
        Box::new(move || {
            let told = receiver.lock().unwrap();
            order.lock().unwrap().extend(told.try_iter().chain([name]));
        })
    };
    let waker = std::task::Waker::from(std::sync::Arc::new(Tell(sender)));
    let mut handle = future.clone();
    future.on_done(hook("hook 1"));
    let poll = std::future::Future::poll(
        std::pin::Pin::new(&mut handle),
        &mut std::task::Context::from_waker(&waker),
    );
    assert!(poll.is_pending());
    future.on_done(hook("hook 2"));
    future.set_result(1).unwrap();
    assert_eq!(*order.lock().unwrap(), ["hook 1", "task", "hook 2"]);
}

// S29
#[test]
fn many_tasks_may_await_and_are_woken_once_each_in_the_order_in_which_they_began() {
    let (mut stepper, future) = (Stepper::new(), Future::new());
    let tasks = ["a", "b", "c"].map(|name| awaiter(&mut stepper, &future, name));
    stepper.run();
    future.set_result(7).unwrap();
    assert_eq!(stepper.ready(), tasks);
    stepper.run();
    assert_eq!(stepper.trace(), ["a 7", "b 7", "c 7"]);
}

// S30
#[test]
fn awaiting_a_done_future_does_not_suspend() {
    let future = Future::new();
    future.set_result(1).unwrap();
    assert_eq!(block_on(poll_once(future.clone())).unwrap().unwrap(), 1);
    assert_eq!(block_on(poll_once(future.clone())).unwrap().unwrap(), 1);
}

// S31
#[test]
fn everyone_gets_the_same_exception() {
    let future = Future::<u32>::new();
    future.set_exception(Broken).unwrap();
    let (a, b) = (
        block_on(future.clone()).unwrap_err(),
        future.exception().unwrap().unwrap(),
    );
    let FutureError::Exception(a) = a else {
        panic!("an exception, not {a:?}")
    };
    assert!(Shared::ptr_eq(&a, &b));
    assert!(a.downcast_ref::<Broken>().is_some());
}

// S32
#[test]
fn an_exception_that_says_cancelled_is_an_exception_and_the_future_not_cancelled() {
    let future = Future::<u32>::new();
    future
        .set_exception(FutureError::Cancelled { message: None })
        .unwrap();
    assert!(future.done() && !future.cancelled());
    let Err(FutureError::Exception(inner)) = future.result() else {
        panic!("an exception")
    };
    assert!(matches!(
        inner.downcast_ref(),
        Some(FutureError::Cancelled { .. })
    ));
}

// S33
#[test]
fn an_exception_nobody_looked_at_is_reported_when_the_last_handle_goes() {
    let reports = Shared::new(Mutex::new(Vec::new()));
    let failed = || {
        let (future, reports) = (Future::<u32>::new(), reports.clone());
        future.set_unretrieved_hook(Box::new(move |error| {
            reports.lock().unwrap().push(error.to_string())
        }));
        future.set_exception("broken").unwrap();
        future
    };
    let looked_at: [fn(&Future<u32>); 4] = [
        |future| drop(block_on(future.clone())),
        |future| drop(future.result()),
        |future| drop(future.exception()),
        |future| assert!(!future.cancel(), "silences the report"),
    ];
    for look in looked_at {
        let future = failed();
        assert!(!future.was_retrieved());
        look(&future);
        assert!(future.was_retrieved());
        drop(future);
        assert!(reports.lock().unwrap().is_empty());
    }
    let future = failed();
    let other = future.clone();
    drop(future);
    assert!(reports.lock().unwrap().is_empty(), "one handle is left");
    drop(other);
    assert_eq!(std::mem::take(&mut *reports.lock().unwrap()), ["broken"]);
}

// S33
#[test]
fn a_success_or_a_cancellation_nobody_looked_at_is_not_reported() {
    let completions: [fn(&Future<u32>); 3] = [
        |f| f.set_result(1).unwrap(),
        |f| assert!(f.cancel()),
        |_| (),
    ];
    for complete in completions {
        let future = Future::new();
        future.set_unretrieved_hook(Box::new(|_| unreachable!()));
        complete(&future);
    }
}

#[test]
fn a_dropped_awaiter_is_not_woken_and_leaves_the_future_as_it_is() {
    let (mut stepper, future) = (Stepper::new(), Future::new());
    let tasks = ["a", "b", "c"].map(|name| awaiter(&mut stepper, &future, name));
    stepper.run();
    stepper.cancel(tasks[1]);
    future.set_result(1).unwrap();
    stepper.cancel(tasks[0]); // woken already
    stepper.run();
    assert_eq!(stepper.trace(), ["c 1"]);
    assert_eq!(stepper.wakes(tasks[1]), 0);
}

#[test]
fn a_hook_may_use_the_future_it_hangs_on() {
    let future = Future::<u32>::new();
    let seen = Shared::new(Mutex::new(None));
    future.on_done({
        let (future, seen) = (future.clone(), seen.clone());
        Box::new(move || {
            assert!(future.set_result(2).is_err());
            *seen.lock().unwrap() = future.result().ok();
        })
    });
    future.set_result(1).unwrap();
    assert_eq!(*seen.lock().unwrap(), Some(1));
}

#[test]
fn a_refused_value_may_touch_the_future_as_it_is_dropped() {
    #[derive(Clone)]
    struct Touchy(Option<Future<Touchy>>);
    impl Drop for Touchy {
        fn drop(&mut self) {
            if let Some(future) = &self.0 {
                assert!(!future.was_retrieved());
            }
        }
    }
    let future = Future::new();
    future.set_result(Touchy(None)).unwrap();
    assert!(future.set_result(Touchy(Some(future.clone()))).is_err());
}

#[derive(Debug)]
struct Broken; // not `Clone`

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl Error for Broken {}
