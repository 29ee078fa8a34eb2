use super::Shared;

use super::family::Lock;

use crate::stepper::{Stepper, pause};

/// Takes the lock, logs `name`, holds it for one turn.
fn contender(stepper: &mut Stepper, lock: &Shared<Lock>, name: &'static str) -> usize {
    let (lock, log) = (lock.clone(), stepper.log());
    stepper.spawn(async move {
        let _guard = lock.acquire().await;
        log.say(name);
        pause().await;
    })
}

// S139
#[test]
fn waiters_get_the_lock_in_the_order_in_which_they_began_to_wait() {
    let (mut stepper, lock) = (Stepper::new(), Shared::new(Lock::new()));
    for name in ["a", "b", "c", "d"] {
        contender(&mut stepper, &lock, name);
    }
    stepper.run();
    assert_eq!(stepper.trace(), ["a", "b", "c", "d"]);
    assert!(!lock.locked());
}

// S140, S141
#[test]
fn a_newcomer_queues_behind_even_in_the_gap_between_release_and_wake_up() {
    let (mut stepper, lock) = (Stepper::new(), Shared::new(Lock::new()));
    lock.try_acquire().unwrap().forget();
    contender(&mut stepper, &lock, "first");
    stepper.run();
    contender(&mut stepper, &lock, "newcomer"); // is ready to run before "first" is woken
    lock.release().unwrap();
    assert!(
        !lock.locked(),
        "the lock shows unlocked until the first waiter runs"
    );
    assert!(lock.try_acquire().is_none(), "and yet nobody may take it");
    stepper.run();
    assert_eq!(stepper.trace(), ["first", "newcomer"]);
}

// S140
#[test]
fn a_free_lock_without_waiters_is_taken_without_suspending() {
    let (mut stepper, lock) = (Stepper::new(), Shared::new(Lock::new()));
    let taken = lock.clone();
    let task = stepper.spawn(async move { taken.acquire().await.forget() });
    assert!(stepper.step());
    assert!(stepper.ended(task) && lock.locked());
}

// S141
#[test]
fn a_release_wakes_one_waiter_with_one_wake() {
    let (mut stepper, lock) = (Stepper::new(), Shared::new(Lock::new()));
    lock.try_acquire().unwrap().forget();
    let a = contender(&mut stepper, &lock, "a");
    let b = contender(&mut stepper, &lock, "b");
    stepper.run();
    lock.release().unwrap();
    assert_eq!((stepper.wakes(a), stepper.wakes(b)), (1, 0));
    assert_eq!(stepper.ready(), [a]);
}

// S142
#[test]
fn a_waiter_notified_and_then_dropped_passes_the_notification_on() {
    let (mut stepper, lock) = (Stepper::new(), Shared::new(Lock::new()));
    lock.try_acquire().unwrap().forget();
    let a = contender(&mut stepper, &lock, "a");
    contender(&mut stepper, &lock, "b");
    stepper.run();
    lock.release().unwrap();
    stepper.cancel(a);
    stepper.run();
    assert_eq!(stepper.trace(), ["b"]);
    assert!(!lock.locked());
}

// S142
#[test]
fn a_waiter_dropped_in_the_middle_is_skipped() {
    let (mut stepper, lock) = (Stepper::new(), Shared::new(Lock::new()));
    lock.try_acquire().unwrap().forget();
    let tasks = ["a", "b", "c", "d"].map(|name| contender(&mut stepper, &lock, name));
    stepper.run();
    stepper.cancel(tasks[1]);
    stepper.cancel(tasks[3]);
    contender(&mut stepper, &lock, "e");
    stepper.run();
    lock.release().unwrap();
    stepper.run();
    assert_eq!(stepper.trace(), ["a", "c", "e"]);
    assert_eq!((stepper.wakes(tasks[1]), stepper.wakes(tasks[3])), (0, 0));
}

// S142
#[test]
fn when_all_waiters_are_dropped_a_newcomer_takes_the_free_lock() {
    let (mut stepper, lock) = (Stepper::new(), Shared::new(Lock::new()));
    lock.try_acquire().unwrap().forget();
    let tasks = ["a", "b"].map(|name| contender(&mut stepper, &lock, name));
    stepper.run();
    lock.release().unwrap();
    for task in tasks {
        stepper.cancel(task);
    }
    assert!(lock.try_acquire().is_some());
}

// S143
#[test]
fn releasing_an_unlocked_lock_is_an_error_that_says_what_to_do() {
    let error = Lock::new().release().unwrap_err().to_string();
    assert!(
        error.contains("not held") && error.contains("once for each guard that was forgotten"),
        "{error}"
    );
}

// S143
#[test]
fn any_task_may_release() {
    let (mut stepper, lock) = (Stepper::new(), Shared::new(Lock::new()));
    let holder = lock.clone();
    stepper.spawn(async move { holder.acquire().await.forget() });
    let other = lock.clone();
    stepper.spawn(async move { other.release().unwrap() });
    stepper.run();
    assert!(!lock.locked());
}

#[test]
fn an_owned_guard_outlives_the_handle_it_came_from() {
    let lock = Shared::new(Lock::new());
    let watch = Shared::downgrade(&lock);
    let guard = futures_lite::future::block_on(lock.acquire_owned());
    drop(lock);
    assert!(watch.upgrade().unwrap().locked());
    drop(guard);
    assert!(watch.upgrade().is_none());
}

#[test]
#[should_panic(expected = "await it once")]
fn an_acquire_polled_again_after_its_guard_says_so() {
    let lock = Lock::new();
    let mut acquire = lock.acquire();
    drop(futures_lite::future::block_on(&mut acquire));
    drop(futures_lite::future::block_on(&mut acquire));
}
