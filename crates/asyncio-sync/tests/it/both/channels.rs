//! `oneshot`, `broadcast` and `watch`.

use futures_lite::future::{block_on, poll_once};

use super::family::{broadcast, oneshot, watch};
use crate::stepper::Stepper;

#[test]
fn a_oneshot_wakes_its_receiver_once() {
    let mut stepper = Stepper::new();
    let (sender, receiver) = oneshot::channel();
    let log = stepper.log();
    let task = stepper.spawn(async move { log.say(format!("{:?}", receiver.await)) });
    stepper.run();
    sender.send(7).unwrap();
    assert_eq!(stepper.wakes(task), 1);
    stepper.run();
    assert_eq!(stepper.trace(), ["Ok(7)"]);
}

#[test]
fn a_oneshot_sender_that_goes_away_is_an_error_and_not_a_hang() {
    let mut stepper = Stepper::new();
    let (sender, receiver) = oneshot::channel::<u8>();
    let log = stepper.log();
    stepper.spawn(async move { log.say(format!("{:?}", receiver.await)) });
    stepper.run();
    drop(sender);
    stepper.run();
    assert_eq!(stepper.trace(), ["Err(RecvError)"]);
}

#[test]
fn a_oneshot_gives_the_value_back_when_nobody_receives() {
    let (sender, mut receiver) = oneshot::channel();
    receiver.close();
    assert_eq!(receiver.try_recv(), Err(oneshot::TryRecvError::Closed));
    assert_eq!(sender.send(7), Err(7));
    let (sender, receiver) = oneshot::channel();
    drop(receiver);
    assert_eq!(sender.send(7), Err(7));
}

#[test]
fn a_oneshot_sender_hears_that_its_receiver_went_away() {
    let mut stepper = Stepper::new();
    let (mut sender, receiver) = oneshot::channel::<u8>();
    let task = stepper.spawn(async move { sender.closed().await });
    stepper.run();
    assert!(!stepper.ended(task));
    drop(receiver);
    stepper.run();
    assert!(stepper.ended(task));
}

#[test]
fn a_oneshot_receiver_by_reference_loses_nothing_when_it_is_dropped() {
    let (sender, mut receiver) = oneshot::channel();
    assert!(block_on(poll_once(&mut receiver)).is_none());
    sender.send(7).unwrap();
    assert_eq!(block_on(&mut receiver), Ok(7));
    assert_eq!(block_on(&mut receiver), Err(oneshot::RecvError));
}

#[test]
fn a_oneshot_value_nobody_took_is_dropped_with_the_receiver() {
    let value = std::rc::Rc::new(());
    let (sender, receiver) = oneshot::channel();
    sender.send(value.clone()).unwrap();
    drop(receiver);
    assert_eq!(std::rc::Rc::strong_count(&value), 1);
}

#[test]
fn every_receiver_gets_every_broadcast_value_in_order() {
    let mut stepper = Stepper::new();
    let (sender, receiver) = broadcast::channel(8);
    for (name, mut receiver) in [("b", sender.subscribe()), ("a", receiver)] {
        let log = stepper.log();
        stepper.spawn(async move {
            while let Ok(n) = receiver.recv().await {
                log.say(format!("{name} {n}"));
            }
            log.say(format!("{name} over"));
        });
    }
    stepper.run();
    assert_eq!(sender.send(1), Ok(2));
    assert_eq!(sender.send(2), Ok(2));
    drop(sender);
    stepper.run();
    assert_eq!(
        stepper.trace(),
        ["b 1", "b 2", "b over", "a 1", "a 2", "a over"]
    );
}

#[test]
fn a_broadcast_receiver_that_is_too_slow_is_told_how_many_it_missed() {
    let (sender, mut slow) = broadcast::channel(2);
    let mut quick = sender.subscribe();
    for n in 0..5 {
        sender.send(n).unwrap();
        assert_eq!(quick.try_recv(), Ok(n));
    }
    assert_eq!(slow.len(), 2);
    assert_eq!(slow.try_recv(), Err(broadcast::TryRecvError::Lagged(3)));
    assert_eq!(block_on(slow.recv()), Ok(3));
    assert_eq!(block_on(slow.recv()), Ok(4));
    assert_eq!(slow.try_recv(), Err(broadcast::TryRecvError::Empty));
}

#[test]
fn a_broadcast_value_is_kept_until_everybody_has_it_and_no_longer() {
    let value = std::rc::Rc::new(());
    let (sender, mut one) = broadcast::channel(4);
    let two = sender.subscribe();
    sender.send(value.clone()).unwrap();
    drop(one.try_recv().unwrap());
    assert_eq!(
        std::rc::Rc::strong_count(&value),
        2,
        "two has not received it"
    );
    drop(two);
    assert_eq!(std::rc::Rc::strong_count(&value), 1);
    sender.send(value.clone()).unwrap();
    let received = one.try_recv().unwrap();
    assert_eq!(
        std::rc::Rc::strong_count(&value),
        2,
        "the last one gets the value itself"
    );
    drop((received, one));
    assert!(sender.send(value).is_err());
}

#[test]
fn a_broadcast_receiver_dropped_while_it_waits_takes_nothing_with_it() {
    let mut stepper = Stepper::new();
    let (sender, mut receiver) = broadcast::channel(4);
    let mut other = sender.subscribe();
    let task = stepper.spawn(async move { assert!(receiver.recv().await.is_ok()) });
    stepper.run();
    sender.send(7).unwrap();
    stepper.cancel(task); // woken, and had not run
    assert_eq!(other.try_recv(), Ok(7));
    assert_eq!(sender.send(8), Ok(1));
}

#[test]
fn a_watcher_sees_the_latest_value_and_may_miss_those_between() {
    let mut stepper = Stepper::new();
    let (sender, mut receiver) = watch::channel(0);
    let log = stepper.log();
    stepper.spawn(async move {
        while receiver.changed().await.is_ok() {
            log.say(format!("{}", *receiver.borrow()));
        }
        log.say("over");
    });
    stepper.run();
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    stepper.run();
    sender.send(3).unwrap();
    drop(sender); // the last value is still seen
    stepper.run();
    assert_eq!(stepper.trace(), ["2", "3", "over"]);
}

#[test]
fn a_change_made_while_somebody_looks_leaves_what_is_looked_at() {
    let (sender, mut receiver) = watch::channel("old".to_owned());
    let before = receiver.borrow_and_update();
    sender.send("new".to_owned()).unwrap();
    assert_eq!(
        (before.as_str(), receiver.borrow().as_str()),
        ("old", "new")
    );
    assert_eq!(receiver.has_changed(), Ok(true));
}

#[test]
fn a_watcher_that_is_dropped_leaves_its_place_and_nothing_else() {
    let mut stepper = Stepper::new();
    let (sender, receiver) = watch::channel(0);
    let tasks = [receiver.clone(), receiver].map(|mut receiver| {
        let log = stepper.log();
        stepper.spawn(async move {
            receiver.changed().await.unwrap();
            log.say("changed");
        })
    });
    stepper.run();
    sender.send(1).unwrap();
    stepper.cancel(tasks[0]);
    stepper.run();
    assert_eq!(stepper.trace(), ["changed"]);
}

#[test]
fn a_watch_sender_hears_that_nobody_watches() {
    let mut stepper = Stepper::new();
    let (sender, receiver) = watch::channel(0);
    let second = sender.subscribe();
    let log = stepper.log();
    stepper.spawn(async move {
        sender.closed().await;
        log.say(format!("{:?}", sender.send(1)));
        log.say(format!("{:?}", *sender.send_replace(2)));
    });
    stepper.run();
    drop(receiver);
    stepper.run();
    assert!(stepper.trace().is_empty());
    drop(second);
    stepper.run();
    assert_eq!(stepper.trace(), ["Err(SendError(..))", "0"]);
}

#[test]
#[should_panic(expected = "keeps at least 1 value, and a capacity of 0 came")]
fn a_broadcast_channel_that_keeps_nothing_is_refused() {
    drop(broadcast::channel::<u8>(0));
}
