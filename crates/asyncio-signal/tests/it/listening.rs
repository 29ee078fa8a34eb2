//! Who hears what.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use asyncio_reactor::Reactor;
use asyncio_signal::{Listener, SIGKILL, SIGSEGV, SIGSTOP, SIGUSR1, Signal};

use crate::support::{action, raise, real_time, send};

fn counting(reactor: &Reactor, signal: Signal) -> (Listener, Rc<Cell<u32>>) {
    let count = Rc::new(Cell::new(0));
    let seen = count.clone();
    let listener = Listener::new(reactor, [signal], move |heard, times| {
        assert_eq!(heard, signal);
        seen.set(seen.get() + times);
    });
    (listener.unwrap(), count)
}

#[test]
fn a_listener_is_called_by_the_reactor_and_told_how_often_the_signal_came() {
    let reactor = Reactor::new().unwrap();
    let (_listener, count) = counting(&reactor, SIGUSR1);
    for _ in 0..3 {
        raise(SIGUSR1);
    }
    assert_eq!(count.get(), 0, "nothing runs in the handler");
    reactor.wait(None).unwrap();
    assert_eq!(count.get(), 3);
    reactor.wait(Some(Duration::ZERO)).unwrap();
    assert_eq!(count.get(), 3, "and it is silent again");
}

#[test]
fn listeners_on_several_threads_hear_of_the_same_signal() {
    let signal = real_time(36);
    let (ready, is_ready) = mpsc::channel();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let ready = ready.clone();
            std::thread::spawn(move || {
                let reactor = Reactor::new().unwrap();
                let (_listener, count) = counting(&reactor, signal);
                ready.send(()).unwrap();
                while count.get() == 0 {
                    reactor.wait(None).unwrap();
                }
                count.get()
            })
        })
        .collect();
    threads.iter().for_each(|_| is_ready.recv().unwrap());
    send(signal);
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 1);
    }
}

#[test]
fn two_signals_of_one_listener_are_told_apart() {
    let (one, other) = (real_time(37), real_time(38));
    let reactor = Reactor::new().unwrap();
    let heard = Rc::new(RefCell::new(Vec::new()));
    let seen = heard.clone();
    let listener = Listener::new(&reactor, [other, one, one], move |signal, times| {
        seen.borrow_mut().push((signal, times))
    })
    .unwrap();
    assert_eq!(listener.signals(), [other, one]);
    raise(other);
    raise(one);
    raise(other);
    reactor.wait(None).unwrap();
    assert_eq!(*heard.borrow(), [(one, 1), (other, 2)]);
}

#[test]
fn a_listener_dropped_while_it_is_told_hears_no_more() {
    let (one, other) = (real_time(39), real_time(40));
    let reactor = Reactor::new().unwrap();
    let place = Rc::new(RefCell::new(None));
    let (calls, own) = (Rc::new(Cell::new(0)), place.clone());
    let counter = calls.clone();
    let listener = Listener::new(&reactor, [one, other], move |_, _| {
        counter.set(counter.get() + 1);
        drop(own.borrow_mut().take());
    });
    *place.borrow_mut() = Some(listener.unwrap());
    raise(one);
    raise(other);
    reactor.wait(None).unwrap();
    reactor.wait(Some(Duration::ZERO)).unwrap();
    assert_eq!(calls.get(), 1);
    assert_eq!(action(one), libc::SIG_DFL);
}

#[test]
fn a_listener_may_outlive_its_reactor() {
    let signal = real_time(41);
    let reactor = Reactor::new().unwrap();
    let (listener, count) = counting(&reactor, signal);
    drop(reactor);
    raise(signal);
    assert_eq!(count.get(), 0);
    drop(listener);
    assert_eq!(action(signal), libc::SIG_DFL);
}

#[test]
fn what_cannot_be_heard_is_refused_in_words_and_nothing_has_changed() {
    // S199: uncatchable signals and bad numbers are errors.
    let reactor = Reactor::new().unwrap();
    for (number, why) in [
        (SIGKILL.as_raw(), "SIGKILL cannot be listened to"),
        (SIGSTOP.as_raw(), "SIGSTOP cannot be listened to"),
        (SIGSEGV.as_raw(), "SIGSEGV cannot be listened to"),
        (0, "0 is not a signal"),
        (65, "65 is not a signal"),
        (-1, "-1 is not a signal"),
        (32, "the system lets nobody set an action for signal 32"),
    ] {
        let before = real_time(42);
        let error = Listener::new(&reactor, [before.as_raw(), number], |_, _| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().starts_with(why), "{error}");
        assert_eq!(action(before), libc::SIG_DFL);
    }
}

/// For whoever uses the slots on several threads: nothing is written to a descriptor that was closed.
#[test]
fn listeners_come_and_go_under_a_storm_of_signals() {
    let signal = real_time(43);
    let reactor = Reactor::new().unwrap();
    // Kept to the end, so that the default action, which ends the process, is never in force.
    let (_kept, count) = counting(&reactor, signal);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                raise(signal);
            }
        });
        scope.spawn(|| {
            let reactor = Reactor::new().unwrap();
            for _ in 0..300 {
                let (_listener, count) = counting(&reactor, signal);
                while count.get() == 0 {
                    reactor.wait(None).unwrap();
                }
                // A descriptor with the number of the one that is closed now: a late write would show in it.
                drop(_listener);
                let (mut reader, writer) = io::pipe().unwrap();
                drop(writer);
                assert_eq!(io::Read::read(&mut reader, &mut [0; 8]).unwrap(), 0);
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
    reactor.wait(None).unwrap();
    assert!(count.get() >= 300);
}
