use futures_lite::future::{block_on, poll_once};

use super::Shared;
use super::family::{Condition, Lock, Mutex, NotifyError};
use crate::stepper::{Stepper, pause};

/// Takes the lock, waits, logs `name` with the lock in hand.
fn waiter(stepper: &mut Stepper, condition: &Shared<Condition>, name: &'static str) -> usize {
    let (condition, log) = (condition.clone(), stepper.log());
    stepper.spawn(async move {
        let guard = condition.acquire().await;
        let _guard = condition.wait(guard).await;
        assert!(condition.locked());
        log.say(name);
    })
}

/// Notifies under the lock, which it holds only for that.
fn notify(condition: &Condition, n: usize) {
    let _guard = condition.lock().try_acquire().unwrap();
    condition.notify(n).unwrap();
}

// S148
#[test]
fn notify_without_the_lock_is_an_error_that_says_what_to_do() {
    let condition = Condition::new();
    assert_eq!(condition.notify(1), Err(NotifyError));
    let error = condition.notify_all().unwrap_err().to_string();
    assert!(
        error.contains("nobody holds the lock: acquire it"),
        "{error}"
    );
}

// S148: that the lock is held by somebody is enough for `notify`
#[test]
fn whose_hands_the_lock_is_in_does_not_matter_to_notify() {
    let (mut stepper, condition) = (Stepper::new(), Shared::new(Condition::new()));
    waiter(&mut stepper, &condition, "a");
    stepper.run();
    let guard = condition.lock().try_acquire().unwrap();
    let other = condition.clone();
    stepper.spawn(async move { other.notify(1).unwrap() });
    stepper.run();
    drop(guard);
    stepper.run();
    assert_eq!(stepper.trace(), ["a"]);
}

// S148: the types ask for a guard; that it is of another lock is told at once
#[test]
#[should_panic(expected = "this guard is of another one")]
fn waiting_with_the_guard_of_another_lock_panics() {
    let (condition, other) = (Condition::new(), Lock::new());
    drop(condition.wait(other.try_acquire().unwrap()));
}

// S148, and the trace is CPython's
#[test]
fn several_conditions_may_share_one_lock() {
    let mut stepper = Stepper::new();
    let lock = Shared::new(Lock::new());
    let odd = Shared::new(Condition::with_lock(lock.clone()));
    let even = Shared::new(Condition::with_lock(lock.clone()));
    let number = std::rc::Rc::new(std::cell::Cell::new(0));
    for (name, mine, other, parity) in [("even", &even, &odd, 0), ("odd", &odd, &even, 1)] {
        let (lock, mine, other) = (lock.clone(), mine.clone(), other.clone());
        let (number, log) = (number.clone(), stepper.log());
        stepper.spawn(async move {
            for _ in 0..3 {
                let guard = lock.acquire().await;
                let _guard = mine.wait_for(guard, |_| number.get() % 2 == parity).await;
                log.say(format!("{name} {}", number.get()));
                number.set(number.get() + 1);
                other.notify(1).unwrap();
            }
        });
    }
    stepper.run();
    let trace = ["even 0", "odd 1", "even 2", "odd 3", "even 4", "odd 5"];
    assert_eq!(stepper.trace(), trace);
}

// S149, S150: a notified waiter competes for the lock in line with others; the trace is CPython's
#[test]
fn wait_gives_the_lock_up_and_gets_in_line_for_it_again() {
    let (mut stepper, condition) = (Stepper::new(), Shared::new(Condition::new()));
    for name in ["a", "b", "c"] {
        waiter(&mut stepper, &condition, name);
    }
    let (notifier, log) = (condition.clone(), stepper.log());
    stepper.spawn(async move {
        let _guard = notifier.acquire().await; // free: the waits gave it up
        notifier.notify(2).unwrap();
        log.say("d");
        pause().await;
        log.say("d out");
    });
    let (other, log) = (condition.clone(), stepper.log());
    stepper.spawn(async move {
        let _guard = other.acquire().await;
        log.say("e");
    });
    stepper.run();
    assert_eq!(stepper.trace(), ["d", "d out", "e", "a", "b"]);
    let guard = condition.lock().try_acquire().unwrap();
    condition.notify_all().unwrap();
    drop(guard);
    stepper.run();
    assert_eq!(stepper.trace(), ["c"]);
    assert!(!condition.locked());
}

// S150
#[test]
fn notify_passes_over_those_already_woken_and_remembers_nothing() {
    let (mut stepper, condition) = (Stepper::new(), Shared::new(Condition::new()));
    notify(&condition, 5); // nobody is there
    let tasks = ["a", "b", "c"].map(|name| waiter(&mut stepper, &condition, name));
    stepper.run();
    notify(&condition, 1);
    notify(&condition, 1); // not for `a`, who is on its way
    assert_eq!(stepper.ready(), tasks[..2]);
    stepper.run();
    assert_eq!(stepper.trace(), ["a", "b"]);
}

// S151, S152, read for Rust: no guard comes out of a wait that was dropped
#[test]
fn a_dropped_wait_has_given_the_lock_up() {
    let condition = Condition::new();
    let unpolled = condition.wait(condition.lock().try_acquire().unwrap());
    assert!(condition.locked(), "it gives the lock up when it is polled");
    drop(unpolled);
    assert!(!condition.locked());
    let waiting = poll_once(condition.wait(condition.lock().try_acquire().unwrap()));
    assert!(block_on(waiting).is_none());
    assert!(!condition.locked());
    assert!(
        condition.lock().try_acquire().is_some(),
        "nobody is in line"
    );
}

// S152, read for Rust
#[test]
fn a_wait_dropped_while_it_acquires_again_leaves_the_line_of_the_lock() {
    let (mut stepper, condition) = (Stepper::new(), Shared::new(Condition::new()));
    let a = waiter(&mut stepper, &condition, "a");
    stepper.run();
    let guard = condition.lock().try_acquire().unwrap();
    condition.notify(1).unwrap();
    stepper.run(); // a is in line for the lock
    stepper.cancel(a);
    drop(guard);
    assert!(condition.lock().try_acquire().is_some());
}

// S153
#[test]
fn a_waiter_notified_and_then_dropped_passes_the_notification_on() {
    let (mut stepper, condition) = (Stepper::new(), Shared::new(Condition::new()));
    let a = waiter(&mut stepper, &condition, "a");
    waiter(&mut stepper, &condition, "b");
    stepper.run();
    notify(&condition, 1);
    stepper.cancel(a);
    stepper.run();
    assert_eq!(stepper.trace(), ["b"]);
}

// S153
#[test]
fn a_waiter_dropped_while_it_acquires_again_passes_the_notification_on() {
    let (mut stepper, condition) = (Stepper::new(), Shared::new(Condition::new()));
    let a = waiter(&mut stepper, &condition, "a");
    waiter(&mut stepper, &condition, "b");
    stepper.run();
    let guard = condition.lock().try_acquire().unwrap();
    condition.notify(1).unwrap();
    stepper.run(); // a is in line for the lock, behind us
    stepper.cancel(a);
    drop(guard);
    stepper.run();
    assert_eq!(stepper.trace(), ["b"]);
}

// S153
#[test]
fn a_waiter_dropped_before_it_was_notified_wakes_nobody() {
    let (mut stepper, condition) = (Stepper::new(), Shared::new(Condition::new()));
    let a = waiter(&mut stepper, &condition, "a");
    let b = waiter(&mut stepper, &condition, "b");
    stepper.run();
    stepper.cancel(a);
    assert_eq!(stepper.wakes(b), 0);
    notify(&condition, 1);
    stepper.run();
    assert_eq!(stepper.trace(), ["b"]);
}

// S154
#[test]
fn wait_for_tests_first_and_after_every_notification() {
    let (mut stepper, level) = (Stepper::new(), Shared::new(Mutex::new(0)));
    let risen = Shared::new(Condition::with_lock(level.clone()));
    let (mutex, condition, log) = (level.clone(), risen.clone(), stepper.log());
    stepper.spawn(async move {
        let guard = mutex.lock().await;
        let guard = condition.wait_for(guard, |level| *level >= 0).await; // true already
        log.say("at once");
        let guard = condition
            .wait_for(guard, |level| {
                log.say(format!("is it {level}?"));
                *level >= 2
            })
            .await;
        log.say(format!("it is {}", *guard));
    });
    stepper.run();
    for _ in 0..2 {
        let mut level = level.try_lock().unwrap();
        *level += 1;
        risen.notify_all().unwrap();
        drop(level);
        stepper.run();
    }
    let trace = ["at once", "is it 0?", "is it 1?", "is it 2?", "it is 2"];
    assert_eq!(stepper.trace(), trace);
}

// S154: what the predicate gave comes out, with the guard
#[test]
fn wait_for_value_hands_out_what_the_predicate_found() {
    let jobs = Mutex::new(vec!["dry", "wash"]);
    let condition = Condition::with_lock(&jobs);
    let (guard, job) = block_on(async {
        condition
            .wait_for_value(jobs.lock().await, |jobs| jobs.pop())
            .await
    });
    assert_eq!((guard.len(), job), (1, "wash"));
}

#[test]
#[should_panic(expected = "await it once")]
fn a_wait_polled_again_after_its_guard_says_so() {
    let (mut stepper, condition) = (Stepper::new(), Shared::new(Condition::new()));
    let again = condition.clone();
    stepper.spawn(async move {
        let mut wait = again.wait(again.acquire().await);
        drop((&mut wait).await);
        drop((&mut wait).await);
    });
    stepper.run();
    notify(&condition, 1);
    stepper.run();
}
