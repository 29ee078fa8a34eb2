use futures_lite::future::block_on;

use super::Shared;
use super::family::{Mutex, OwnedMutexGuard};
use crate::stepper::{Stepper, pause};

fn contender(stepper: &mut Stepper, mutex: &Shared<Mutex<Vec<char>>>, name: char) -> usize {
    let mutex = mutex.clone();
    stepper.spawn(async move {
        let mut names = mutex.lock().await;
        names.push(name);
        pause().await;
        names.push(name.to_ascii_uppercase());
    })
}

// S139, S140
#[test]
fn holders_come_in_order_of_arrival_and_one_at_a_time() {
    let (mut stepper, mutex) = (Stepper::new(), Shared::new(Mutex::new(vec![])));
    for name in "abc".chars() {
        contender(&mut stepper, &mutex, name);
    }
    stepper.run();
    assert_eq!(*mutex.try_lock().unwrap(), ['a', 'A', 'b', 'B', 'c', 'C']);
}

// S142
#[test]
fn a_waiter_notified_and_then_dropped_passes_the_notification_on() {
    let (mut stepper, mutex) = (Stepper::new(), Shared::new(Mutex::new(vec![])));
    let guard = mutex.try_lock_owned();
    let a = contender(&mut stepper, &mutex, 'a');
    contender(&mut stepper, &mutex, 'b');
    stepper.run();
    drop(guard);
    stepper.cancel(a);
    stepper.run();
    assert_eq!(*mutex.try_lock().unwrap(), ['b', 'B']);
}

#[test]
fn a_task_dropped_with_the_guard_unlocks_and_what_it_changed_stays() {
    let (mut stepper, mutex) = (Stepper::new(), Shared::new(Mutex::new(vec![])));
    let a = contender(&mut stepper, &mutex, 'a');
    stepper.step();
    assert!(mutex.locked());
    stepper.cancel(a);
    assert_eq!(*mutex.try_lock().unwrap(), ['a']);
}

#[test]
fn a_panic_while_it_is_locked_does_not_poison() {
    let mutex = Shared::new(Mutex::new(1));
    let inside = std::panic::AssertUnwindSafe(mutex.clone());
    let panic = std::panic::catch_unwind(move || {
        let mut guard = inside.try_lock().unwrap();
        *guard = 2;
        panic!("as expected");
    });
    assert!(panic.is_err());
    assert_eq!(*block_on(mutex.lock()), 2);
}

#[test]
fn an_owned_guard_outlives_the_handle_it_came_from() {
    let mutex = Shared::new(Mutex::new(1));
    let watch = Shared::downgrade(&mutex);
    let guard: OwnedMutexGuard<i32> = block_on(mutex.lock_owned());
    drop(mutex);
    assert_eq!(*guard, 1);
    drop(guard);
    assert!(watch.upgrade().is_none());
}

#[test]
fn the_value_is_dropped_once() {
    let value = std::rc::Rc::new(());
    let mutex = Mutex::new(value.clone());
    drop(mutex.try_lock());
    assert_eq!(std::rc::Rc::strong_count(&value), 2);
    drop(mutex);
    assert_eq!(std::rc::Rc::strong_count(&value), 1);
}
