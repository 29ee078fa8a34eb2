//! Waking the loop from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use asyncio_reactor::{Notifier, Reactor};

#[test]
fn a_notification_before_the_wait_is_not_lost() {
    let reactor = Reactor::new().unwrap();
    reactor.notifier().notify();
    reactor.wait(None).unwrap();
    assert_eq!(
        reactor.stats().notifies,
        0,
        "an awake loop costs no system call"
    );
}

#[test]
fn a_sleeping_loop_is_woken_and_sees_what_was_written_before() {
    let reactor = Reactor::new().unwrap();
    let notifier = reactor.notifier();
    let inbox = Arc::new(AtomicUsize::new(0));
    let sender = {
        let inbox = inbox.clone();
        std::thread::spawn(move || {
            for _ in 0..1000 {
                inbox.fetch_add(1, Ordering::Relaxed);
                notifier.notify();
            }
        })
    };
    while inbox.load(Ordering::Relaxed) < 1000 {
        reactor.wait(None).unwrap();
    }
    sender.join().unwrap();
    assert!(
        reactor.stats().notifies <= reactor.stats().waits,
        "at most one write per sleep"
    );
}

#[test]
fn looking_around_uses_notifications_up() {
    let reactor = Reactor::new().unwrap();
    reactor.notifier().notify();
    reactor.wait(Some(Duration::ZERO)).unwrap();
    // The next wait sleeps for as long as it is told.
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(5) {
        reactor
            .wait(Some(
                Duration::from_millis(5).saturating_sub(start.elapsed()),
            ))
            .unwrap();
    }
    assert!(reactor.stats().waits < 10);
}

#[test]
fn a_notifier_is_a_waker_and_outlives_its_reactor() {
    let reactor = Reactor::new().unwrap();
    let notifier = reactor.notifier();
    let waker = Waker::from(notifier.clone());
    waker.wake_by_ref();
    reactor.wait(None).unwrap();
    drop(reactor);
    notifier.notify();
    waker.wake();
}

#[test]
fn notifiers_go_anywhere_and_sleepers_wake_for_each() {
    fn must_be_send_and_sync<T: Send + Sync + Clone>(_: &T) {}
    let reactor = Reactor::new().unwrap();
    let notifier: Notifier = reactor.notifier();
    must_be_send_and_sync(&notifier);
    // The eventfd is never read: the hundredth write must wake as the first does.
    for _ in 0..100 {
        let (notifier, done) = (reactor.notifier(), Arc::new(AtomicUsize::new(0)));
        let flag = done.clone();
        let thread = std::thread::spawn(move || {
            flag.store(1, Ordering::Relaxed);
            notifier.notify();
        });
        while done.load(Ordering::Relaxed) == 0 {
            reactor.wait(None).unwrap();
        }
        thread.join().unwrap();
    }
}

#[test]
fn a_timeout_is_never_late_by_a_millisecond_step_nor_a_busy_loop() {
    // Only the number of calls is asserted: how late a wait ends is for `benches/wait.rs` to
    // measure.
    let reactor = Reactor::new().unwrap();
    for (timeout, waits) in [
        (Duration::from_micros(300), 2),
        (Duration::from_millis(7), 4),
    ] {
        let before = reactor.stats().waits;
        let end = Instant::now() + timeout;
        while let Some(left) = end
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            reactor.wait(Some(left)).unwrap();
        }
        assert!(reactor.stats().waits - before <= waits);
    }
}
