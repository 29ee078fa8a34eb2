//! The action that was in force before comes back.

use std::sync::atomic::{AtomicU32, Ordering};

use asyncio_reactor::Reactor;
use asyncio_signal::{Listener, SIGURG, SIGWINCH, Signal};

use crate::support::{action, raise, real_time, set_action};

static CALLS: AtomicU32 = AtomicU32::new(0);

extern "C" fn own_handler(_: i32) {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn other_handler(_: i32) {}

fn address(handler: extern "C" fn(i32)) -> usize {
    handler as usize
}

fn listen(reactor: &Reactor, signal: Signal) -> Listener {
    Listener::new(reactor, [signal], |_, _| {}).unwrap()
}

#[test]
fn the_default_comes_back() {
    let reactor = Reactor::new().unwrap();
    assert_eq!(action(SIGURG), libc::SIG_DFL);
    let listener = listen(&reactor, SIGURG);
    assert_ne!(action(SIGURG), libc::SIG_DFL);
    drop(listener);
    assert_eq!(action(SIGURG), libc::SIG_DFL);
}

#[test]
fn an_ignored_signal_is_ignored_again() {
    let reactor = Reactor::new().unwrap();
    set_action(SIGWINCH, libc::SIG_IGN);
    drop(listen(&reactor, SIGWINCH));
    assert_eq!(action(SIGWINCH), libc::SIG_IGN);
}

#[test]
fn a_handler_of_the_programs_own_comes_back_when_the_last_listener_goes() {
    let signal = real_time(44);
    let reactor = Reactor::new().unwrap();
    set_action(signal, address(own_handler));
    raise(signal);
    assert_eq!(CALLS.load(Ordering::Relaxed), 1);
    let (first, second) = (listen(&reactor, signal), listen(&reactor, signal));
    raise(signal);
    drop(first);
    raise(signal);
    assert_eq!(CALLS.load(Ordering::Relaxed), 1, "not called meanwhile");
    drop(second);
    raise(signal);
    assert_eq!(CALLS.load(Ordering::Relaxed), 2);
}

#[test]
fn an_action_that_somebody_else_set_meanwhile_stays() {
    let signal = real_time(45);
    let reactor = Reactor::new().unwrap();
    let (first, second) = (listen(&reactor, signal), listen(&reactor, signal));
    set_action(signal, address(other_handler));
    drop(first);
    assert_eq!(action(signal), address(other_handler));
    drop(second);
    assert_eq!(action(signal), address(other_handler));
}
