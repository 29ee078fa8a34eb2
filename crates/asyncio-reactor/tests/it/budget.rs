//! How many system calls things cost.

use std::io::{Read, Write};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use asyncio_reactor::Reactor;

use crate::support::{PORTABLE, Task, tcp_pair, unix_pair};

#[test]
fn a_lone_echo_costs_one_wait_one_receive_and_one_send() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = tcp_pair();
    let mut server = pin!(async {
        let mut buffer = [0; 1024];
        loop {
            let n = ours.recv(&mut buffer).await.unwrap();
            ours.send(&buffer[..n]).await.unwrap();
        }
    });
    let task = Task::new();
    assert!(task.poll(server.as_mut()).is_pending());
    let mut echo = |rounds: usize| {
        for _ in 0..rounds {
            theirs.write_all(&[7; 64]).unwrap();
            let seen = task.wakes();
            while task.wakes() == seen {
                reactor.wait(None).unwrap();
            }
            assert_eq!(task.poll(server.as_mut()), Poll::<()>::Pending);
            theirs.read_exact(&mut [0; 64]).unwrap();
        }
    };
    // The first round registers the connection, which is reported writable, and learns that it is a
    // stream.
    echo(1);
    let before = reactor.stats();
    echo(100);
    let after = reactor.stats();
    assert_eq!(after.waits - before.waits, 100);
    assert_eq!(after.reads - before.reads, 100);
    assert_eq!(after.writes - before.writes, 100);
    // The portable backend has to ask anew each time.
    assert_eq!(
        after.syscalls - before.syscalls,
        if PORTABLE { 400 } else { 300 }
    );
    assert_eq!(after.events - before.events, 100);
}

#[test]
fn one_wait_call_per_turn() {
    let reactor = Reactor::new().unwrap();
    for timeout in [
        Some(Duration::ZERO),
        Some(Duration::from_micros(50)),
        Some(Duration::from_millis(2)),
    ] {
        let before = reactor.stats().waits;
        reactor.wait(timeout).unwrap();
        assert_eq!(reactor.stats().waits - before, 1);
    }
}

#[test]
fn looking_around_costs_one_call_and_nothing_else() {
    let reactor = Reactor::new().unwrap();
    let before = reactor.stats();
    for _ in 0..10 {
        assert_eq!(reactor.wait(Some(Duration::ZERO)).unwrap(), 0);
    }
    let after = reactor.stats();
    assert_eq!(after.syscalls - before.syscalls, 10);
    assert_eq!(after.events, before.events);
}

#[test]
fn data_that_is_there_already_costs_no_registration() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    theirs.write_all(b"request").unwrap();
    reactor.block_on(async {
        let mut buffer = [0; 64];
        assert_eq!(ours.recv(&mut buffer).await.unwrap(), 7);
        assert_eq!(ours.send(b"response").await.unwrap(), 8);
    });
    drop(ours);
    let stats = reactor.stats();
    assert_eq!((stats.reads, stats.writes, stats.syscalls), (1, 1, 2));
}

#[test]
fn closing_a_registered_descriptor_costs_no_deregistration() {
    if PORTABLE {
        return; // pollers that keep lists have to be told
    }
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, _theirs) = unix_pair();
    assert!(Task::new().poll(pin!(ours.recv(&mut [0; 8]))).is_pending());
    let before = reactor.stats();
    assert_eq!(before.controls, 1);
    drop(ours);
    assert_eq!(reactor.stats(), before);
}

#[test]
#[cfg(all(target_os = "linux", not(asyncio_polling_backend)))]
fn a_short_timeout_arms_the_timer_only_when_the_deadline_changes() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let before = reactor.stats();
    reactor
        .wait(Some(Duration::from_secs(5).min(Duration::from_micros(300))))
        .unwrap();
    assert_eq!(reactor.stats().controls - before.controls, 1);

    // A far deadline never touches the timer: a notification ends the wait at once.
    let before = reactor.stats();
    reactor.notifier().notify();
    reactor.wait(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(reactor.stats().controls, before.controls);
}
