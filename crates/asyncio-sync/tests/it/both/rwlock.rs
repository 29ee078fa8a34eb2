use futures_lite::future::block_on;

use super::Shared;
use super::family::RwLock;
use crate::stepper::{Stepper, pause};

type Names = Shared<RwLock<String>>;

fn reader(stepper: &mut Stepper, lock: &Names, name: &'static str) -> usize {
    let (lock, log) = (lock.clone(), stepper.log());
    stepper.spawn(async move {
        let _value = lock.read().await;
        log.say(format!("{name} in"));
        pause().await;
        log.say(format!("{name} out"));
    })
}

fn writer(stepper: &mut Stepper, lock: &Names, name: &'static str) -> usize {
    let (lock, log) = (lock.clone(), stepper.log());
    stepper.spawn(async move {
        let mut value = lock.write().await;
        log.say(format!("{name} in"));
        pause().await;
        value.push_str(name);
        log.say(format!("{name} out"));
    })
}

fn new() -> (Stepper, Names) {
    (Stepper::new(), Shared::new(RwLock::new(String::new())))
}

#[test]
fn readers_share_and_a_writer_is_alone() {
    let (mut stepper, lock) = new();
    reader(&mut stepper, &lock, "r1");
    reader(&mut stepper, &lock, "r2");
    writer(&mut stepper, &lock, "w");
    reader(&mut stepper, &lock, "r3");
    stepper.run();
    let trace = [
        "r1 in", "r2 in", "r1 out", "r2 out", // together
        "w in", "w out", // alone, and before the reader that came later
        "r3 in", "r3 out",
    ];
    assert_eq!(stepper.trace(), trace);
}

#[test]
fn a_waiting_writer_is_not_starved_by_readers_that_come_later() {
    let (mut stepper, lock) = new();
    let guard = lock.try_read().unwrap();
    let w = writer(&mut stepper, &lock, "w");
    stepper.run();
    assert!(
        lock.try_read().is_none(),
        "a reader queues behind the writer"
    );
    for name in ["r1", "r2", "r3"] {
        reader(&mut stepper, &lock, name);
    }
    stepper.run();
    assert!(stepper.trace().is_empty());
    drop(guard);
    assert_eq!(stepper.ready(), [w]);
    stepper.run();
    let trace = [
        "w in", "w out", "r1 in", "r2 in", "r3 in", "r1 out", "r2 out", "r3 out",
    ];
    assert_eq!(stepper.trace(), trace);
}

#[test]
fn a_writer_notified_and_then_dropped_passes_the_notification_on() {
    let (mut stepper, lock) = new();
    let guard = lock.try_read().unwrap();
    let w1 = writer(&mut stepper, &lock, "w1");
    writer(&mut stepper, &lock, "w2");
    stepper.run();
    drop(guard);
    stepper.cancel(w1);
    stepper.run();
    assert_eq!(stepper.trace(), ["w2 in", "w2 out"]);
    assert_eq!(*lock.try_read().unwrap(), "w2");
}

#[test]
fn a_reader_notified_and_then_dropped_passes_the_notification_on() {
    let (mut stepper, lock) = new();
    let guard = lock.try_write().unwrap();
    let r = reader(&mut stepper, &lock, "r");
    writer(&mut stepper, &lock, "w");
    stepper.run();
    drop(guard);
    stepper.cancel(r);
    stepper.run();
    assert_eq!(stepper.trace(), ["w in", "w out"]);
}

#[test]
fn a_writer_dropped_while_it_waits_lets_the_readers_behind_it_in() {
    let (mut stepper, lock) = new();
    let guard = lock.try_read().unwrap();
    let w = writer(&mut stepper, &lock, "w");
    let r = reader(&mut stepper, &lock, "r");
    stepper.run();
    stepper.cancel(w);
    assert_eq!(stepper.ready(), [r]);
    stepper.run();
    assert_eq!(stepper.trace(), ["r in", "r out"]);
    drop(guard);
    assert!(lock.try_write().is_some());
}

#[test]
fn a_downgraded_writer_lets_readers_in_and_no_writer_between() {
    let (mut stepper, lock) = new();
    let guard = lock.try_write().unwrap();
    reader(&mut stepper, &lock, "r");
    writer(&mut stepper, &lock, "w");
    stepper.run();
    let guard = guard.downgrade();
    stepper.run();
    assert_eq!(stepper.trace(), ["r in", "r out"]);
    drop(guard);
    stepper.run();
    assert_eq!(stepper.trace(), ["w in", "w out"]);
}

#[test]
fn owned_guards_outlive_the_handle_they_came_from() {
    let lock = Shared::new(RwLock::new(1));
    let watch = Shared::downgrade(&lock);
    let mut write = block_on(lock.write_owned());
    drop(lock);
    *write += 1;
    let read = write.downgrade();
    assert_eq!(*read, 2);
    drop(read);
    assert!(watch.upgrade().is_none());
}
