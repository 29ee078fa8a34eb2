use super::Shared;

use super::family::Event;

use crate::stepper::Stepper;

fn waiter(stepper: &mut Stepper, event: &Shared<Event>, name: &'static str) -> usize {
    let (event, log) = (event.clone(), stepper.log());
    stepper.spawn(async move {
        event.wait().await;
        log.say(format!("{name} set={}", event.is_set()));
    })
}

// S145
#[test]
fn set_wakes_all_waiters_in_order_with_one_wake_each() {
    let (mut stepper, event) = (Stepper::new(), Shared::new(Event::new()));
    let tasks = ["a", "b", "c"].map(|name| waiter(&mut stepper, &event, name));
    stepper.run();
    event.set();
    event.set(); // does nothing
    assert_eq!(stepper.ready(), tasks);
    stepper.run();
    assert_eq!(stepper.trace(), ["a set=true", "b set=true", "c set=true"]);
}

// S145
#[test]
fn waiting_for_a_set_event_does_not_suspend() {
    let (mut stepper, event) = (Stepper::new(), Shared::new(Event::new()));
    event.set();
    let task = waiter(&mut stepper, &event, "a");
    stepper.step();
    assert!(stepper.ended(task));
}

// S146
#[test]
fn set_followed_by_clear_still_releases_everybody_who_was_waiting() {
    let (mut stepper, event) = (Stepper::new(), Shared::new(Event::new()));
    waiter(&mut stepper, &event, "a");
    waiter(&mut stepper, &event, "b");
    stepper.run();
    event.set();
    event.clear();
    let late = waiter(&mut stepper, &event, "late");
    stepper.run();
    assert_eq!(stepper.trace(), ["a set=false", "b set=false"]);
    assert!(!stepper.ended(late));
}

// S147
#[test]
fn who_begins_to_wait_after_set_may_overtake_the_old_waiters() {
    let (mut stepper, event) = (Stepper::new(), Shared::new(Event::new()));
    waiter(&mut stepper, &event, "old");
    stepper.run();
    waiter(&mut stepper, &event, "new"); // ready before "old" is woken
    event.set();
    stepper.run();
    assert_eq!(stepper.trace(), ["new set=true", "old set=true"]);
}

#[test]
fn a_dropped_waiter_is_not_woken_and_the_others_are() {
    let (mut stepper, event) = (Stepper::new(), Shared::new(Event::new()));
    let tasks = ["a", "b", "c"].map(|name| waiter(&mut stepper, &event, name));
    stepper.run();
    stepper.cancel(tasks[1]);
    event.set();
    stepper.run();
    assert_eq!(stepper.trace(), ["a set=true", "c set=true"]);
    assert_eq!(stepper.wakes(tasks[1]), 0);
}
