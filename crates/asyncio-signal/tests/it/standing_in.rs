//! Once instead of the default action.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use asyncio_reactor::Reactor;
use asyncio_signal::{Listener, Signal};

use crate::support::{action, raise, real_time, set_action};

fn stand_in(reactor: &Reactor, signal: Signal) -> Option<(Listener, Rc<Cell<u32>>)> {
    let count = Rc::new(Cell::new(0));
    let seen = count.clone();
    let listener = Listener::instead_of_default(reactor, signal, move |_, times| {
        seen.set(seen.get() + times)
    });
    Some((listener.unwrap()?, count))
}

#[test]
fn it_hears_once_and_then_the_default_action_is_in_force() {
    let signal = real_time(46);
    let reactor = Reactor::new().unwrap();
    let (listener, count) = stand_in(&reactor, signal).unwrap();
    raise(signal);
    assert_eq!(
        action(signal),
        libc::SIG_DFL,
        "before the loop has seen the first"
    );
    reactor.wait(None).unwrap();
    assert_eq!(count.get(), 1);
    drop(listener);
    assert_eq!(action(signal), libc::SIG_DFL);
    let (_again, count) = stand_in(&reactor, signal).unwrap();
    raise(signal);
    reactor.wait(None).unwrap();
    assert_eq!(count.get(), 1);
}

#[test]
fn it_hears_nothing_while_somebody_listens() {
    let signal = real_time(47);
    let reactor = Reactor::new().unwrap();
    let (_listener, count) = stand_in(&reactor, signal).unwrap();
    let listening = Listener::new(&reactor, [signal], |_, _| {}).unwrap();
    raise(signal);
    raise(signal);
    reactor.wait(None).unwrap();
    assert_eq!(count.get(), 0);
    drop(listening);
    raise(signal);
    reactor.wait(None).unwrap();
    assert_eq!(count.get(), 1);
    // Its signal has come: who listens now and leaves again leaves the default action.
    drop(Listener::new(&reactor, [signal], |_, _| {}).unwrap());
    assert_eq!(action(signal), libc::SIG_DFL);
    reactor.wait(Some(Duration::ZERO)).unwrap();
    assert_eq!(count.get(), 1);
}

#[test]
fn there_is_none_where_the_program_ignores_or_handles_the_signal() {
    let signal = real_time(48);
    let reactor = Reactor::new().unwrap();
    set_action(signal, libc::SIG_IGN);
    assert!(stand_in(&reactor, signal).is_none());
    assert_eq!(action(signal), libc::SIG_IGN);
    set_action(signal, libc::SIG_DFL);
    let _listening = Listener::new(&reactor, [signal], |_, _| {}).unwrap();
    assert!(stand_in(&reactor, signal).is_none());
}
