use super::Shared;

use super::family::{BoundedSemaphore, Semaphore};

use crate::stepper::{Stepper, pause};

/// Takes a unit, logs `name`, keeps the unit for good.
fn taker(stepper: &mut Stepper, semaphore: &Shared<Semaphore>, name: &'static str) -> usize {
    let (semaphore, log) = (semaphore.clone(), stepper.log());
    stepper.spawn(async move {
        semaphore.acquire().await.forget();
        log.say(name);
    })
}

// S155
#[test]
fn units_go_out_in_order_of_arrival() {
    let (mut stepper, semaphore) = (Stepper::new(), Shared::new(Semaphore::new(2)));
    for name in ["a", "b", "c", "d", "e"] {
        let (semaphore, log) = (semaphore.clone(), stepper.log());
        stepper.spawn(async move {
            let _permit = semaphore.acquire().await;
            log.say(name);
            pause().await;
        });
    }
    stepper.run();
    assert_eq!(stepper.trace(), ["a", "b", "c", "d", "e"]);
}

// S155
#[test]
fn locked_also_while_somebody_is_in_line_so_that_nobody_overtakes() {
    let (mut stepper, semaphore) = (Stepper::new(), Shared::new(Semaphore::new(0)));
    taker(&mut stepper, &semaphore, "first");
    stepper.run();
    semaphore.add_permits(2); // one for "first", one left over
    assert!(semaphore.locked(), "`first` has not run yet");
    assert!(semaphore.try_acquire().is_none());
    stepper.run();
    assert!(!semaphore.locked());
}

// S155
#[test]
fn a_newcomer_behind_a_waiter_on_its_way_gets_the_unit_left_over() {
    let (mut stepper, semaphore) = (Stepper::new(), Shared::new(Semaphore::new(0)));
    taker(&mut stepper, &semaphore, "first");
    stepper.run();
    taker(&mut stepper, &semaphore, "newcomer"); // runs before "first", which is woken next
    semaphore.add_permits(2);
    stepper.run();
    assert_eq!(stepper.trace(), ["first", "newcomer"]);
    assert!(semaphore.locked());
}

// S156
#[test]
fn a_release_hands_the_unit_to_the_first_waiter_and_the_value_does_not_rise() {
    let (mut stepper, semaphore) = (Stepper::new(), Shared::new(Semaphore::new(0)));
    let a = taker(&mut stepper, &semaphore, "a");
    let b = taker(&mut stepper, &semaphore, "b");
    stepper.run();
    semaphore.release();
    assert!(
        format!("{semaphore:?}").contains("value: 0"),
        "{semaphore:?}"
    );
    assert_eq!(
        (stepper.wakes(a), stepper.wakes(b)),
        (1, 0),
        "one wake, for one waiter"
    );
}

// S157
#[test]
fn k_releases_wake_k_waiters_in_order_at_once() {
    let (mut stepper, semaphore) = (Stepper::new(), Shared::new(Semaphore::new(0)));
    let tasks = ["a", "b", "c"].map(|name| taker(&mut stepper, &semaphore, name));
    stepper.run();
    semaphore.release();
    semaphore.release();
    assert_eq!(stepper.ready(), tasks[..2]);
    semaphore.add_permits(1);
    assert_eq!(stepper.ready(), tasks);
}

// S158
#[test]
fn a_waiter_notified_and_then_dropped_passes_the_notification_on() {
    let (mut stepper, semaphore) = (Stepper::new(), Shared::new(Semaphore::new(0)));
    let a = taker(&mut stepper, &semaphore, "a");
    taker(&mut stepper, &semaphore, "b");
    stepper.run();
    semaphore.release();
    stepper.cancel(a);
    stepper.run();
    assert_eq!(stepper.trace(), ["b"]);
}

// S158
#[test]
fn a_unit_given_to_the_last_waiter_and_not_taken_goes_back() {
    let (mut stepper, semaphore) = (Stepper::new(), Shared::new(Semaphore::new(0)));
    let a = taker(&mut stepper, &semaphore, "a");
    stepper.run();
    semaphore.release();
    stepper.cancel(a);
    assert!(semaphore.try_acquire().is_some());
}

// S159
#[test]
fn zero_is_a_legal_initial_value() {
    let semaphore = Semaphore::new(0);
    assert!(semaphore.locked() && semaphore.try_acquire().is_none());
}

// S159
#[test]
fn a_bounded_semaphore_refuses_to_rise_above_its_initial_value() {
    let semaphore = BoundedSemaphore::new(2);
    let permit = semaphore.try_acquire().unwrap();
    assert_eq!(semaphore.release(), Ok(()));
    let error = semaphore.release().unwrap_err().to_string();
    assert!(
        error.contains("2 of its 2 units") && error.contains("forgotten"),
        "{error}"
    );
    drop(permit); // was released by hand above: changes nothing
    assert!(
        format!("{semaphore:?}").contains("value: 2"),
        "{semaphore:?}"
    );
}

// S159
#[test]
fn a_unit_handed_to_a_waiter_counts_as_taken() {
    let (mut stepper, semaphore) = (Stepper::new(), Shared::new(BoundedSemaphore::new(1)));
    semaphore.try_acquire().unwrap().forget();
    let waiter = semaphore.clone();
    stepper.spawn(async move { waiter.acquire().await.forget() });
    stepper.run();
    semaphore.release().unwrap(); // goes to the waiter
    semaphore.release().unwrap(); // so there is room for this one, as CPython has it
    semaphore.release().unwrap_err();
}

#[test]
fn an_owned_permit_outlives_the_handle_it_came_from() {
    let semaphore = Shared::new(Semaphore::new(1));
    let watch = Shared::downgrade(&semaphore);
    let permit = semaphore.try_acquire_owned().unwrap();
    drop(semaphore);
    assert!(watch.upgrade().unwrap().locked());
    drop(permit);
    assert!(watch.upgrade().is_none());
}

// S159, from the other side
#[test]
#[should_panic(expected = "counts to usize::MAX / 2")]
fn more_units_than_can_be_counted_are_refused() {
    Semaphore::new(usize::MAX / 2).release();
}
