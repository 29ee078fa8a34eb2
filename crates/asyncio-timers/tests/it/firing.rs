use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use asyncio_timers::{Clock, Timers};

use crate::{Trace, Wakes, at};

#[test]
fn nothing_fires_before_its_time_and_nothing_twice() {
    let (timers, (wakes, waker)) = (Timers::new(Clock::manual()), Wakes::new());
    let key = timers.wake_at(at(10), waker);
    assert_eq!(timers.next_deadline(), Some(at(10)));
    assert_eq!((timers.fire(at(9)), wakes.count()), (0, 0));
    assert_eq!((timers.fire(at(10)), wakes.count()), (1, 1));
    assert_eq!((timers.fire(at(11)), wakes.count()), (0, 1));
    assert_eq!(timers.next_deadline(), None);
    assert!(!timers.cancel(key));
}

#[test]
fn a_cancelled_timer_leaves_at_once_with_what_it_held() {
    let (timers, held) = (Timers::new(Clock::manual()), Rc::new(()));
    let holding = held.clone();
    let key = timers.call_at(at(10), Box::new(move || drop(holding)));
    assert_eq!(Rc::strong_count(&held), 2);
    assert!(timers.cancel(key));
    assert_eq!(Rc::strong_count(&held), 1);
    assert_eq!((timers.len(), timers.when(key)), (0, None));
    assert!(!timers.cancel(key));
}

// S5
#[test]
fn a_timer_cancelled_by_an_earlier_one_of_the_round_does_not_fire() {
    let (timers, trace) = (Timers::new(Clock::manual()), Trace::default());
    let victim = Rc::new(Cell::new(None));
    let (of_timers, of_victim) = (timers.clone(), victim.clone());
    timers.call_at(
        at(1),
        Box::new(move || assert!(of_timers.cancel(of_victim.get().unwrap()))),
    );
    victim.set(Some(timers.call_at(at(2), trace.noting("victim"))));
    timers.call_at(at(3), trace.noting("other"));
    assert_eq!(timers.fire(at(3)), 2);
    trace.expect(&["other"]);
}

#[test]
fn a_timer_moved_by_an_earlier_one_of_the_round_fires_at_its_new_time() {
    let (timers, trace) = (Timers::new(Clock::manual()), Trace::default());
    let (later, sooner) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
    let (of_timers, of_later, of_sooner) = (timers.clone(), later.clone(), sooner.clone());
    timers.call_at(
        at(1),
        Box::new(move || {
            assert!(of_timers.reschedule(of_later.get().unwrap(), at(50)));
            assert!(of_timers.reschedule(of_sooner.get().unwrap(), at(2)));
        }),
    );
    later.set(Some(timers.call_at(at(2), trace.noting("later"))));
    timers.call_at(at(3), trace.noting("other"));
    sooner.set(Some(timers.call_at(at(60), trace.noting("sooner"))));
    assert_eq!(timers.fire(at(10)), 3);
    trace.expect(&["sooner", "other"]);
    assert_eq!(timers.next_deadline(), Some(at(50)));
}

// S2: what is added in a round waits for the next one.
#[test]
fn a_timer_set_while_firing_waits_for_the_next_round() {
    fn again(timers: &Timers, fired: Rc<Cell<u32>>) {
        let of_timers = timers.clone();
        // In the past, so it would go before everything else that is due.
        let callback = move || {
            fired.set(fired.get() + 1);
            again(&of_timers, fired);
        };
        timers.call_at(at(1), Box::new(callback));
    }

    let (timers, trace, fired) = (
        Timers::new(Clock::manual()),
        Trace::default(),
        Rc::new(Cell::new(0)),
    );
    again(&timers, fired.clone());
    for _ in 0..20 {
        timers.call_at(at(5), trace.noting("due"));
    }
    timers.call_at(at(90), trace.noting("not due"));
    assert_eq!(timers.fire(at(10)), 21);
    trace.expect(&["due"; 20]);
    assert_eq!(fired.get(), 1);
    assert_eq!(timers.fire(at(10)), 1);
    assert_eq!(fired.get(), 2);
    timers.clear();
}

#[test]
fn a_panicking_callback_leaves_the_rest_for_the_next_round() {
    let (timers, trace) = (Timers::new(Clock::manual()), Trace::default());
    timers.call_at(at(1), Box::new(|| panic!("in a callback")));
    timers.call_at(at(2), trace.noting("rest"));
    assert!(catch_unwind(AssertUnwindSafe(|| timers.fire(at(5)))).is_err());
    assert_eq!(timers.fire(at(5)), 1);
    trace.expect(&["rest"]);
}

#[test]
fn a_callback_may_fire_the_timers_itself() {
    let (timers, trace) = (Timers::new(Clock::manual()), Trace::default());
    let (of_timers, of_trace) = (timers.clone(), trace.clone());
    timers.call_at(
        at(1),
        Box::new(move || {
            of_trace.note("outer");
            assert_eq!(of_timers.fire(at(5)), 1);
        }),
    );
    timers.call_at(at(2), trace.noting("inner"));
    assert_eq!(timers.fire(at(5)), 1);
    trace.expect(&["outer", "inner"]);
}

// S11
#[test]
fn clearing_drops_everything_unfired() {
    let (timers, trace) = (Timers::new(Clock::manual()), Trace::default());
    let key = timers.call_at(at(1), trace.noting("never"));
    timers.clear();
    assert_eq!(
        (timers.len(), timers.fire(at(5)), timers.cancel(key)),
        (0, 0, false)
    );
    trace.expect(&[]);
}

#[test]
fn what_is_dropped_may_come_back_to_the_timers() {
    struct SetsAnother(Timers);
    impl Drop for SetsAnother {
        fn drop(&mut self) {
            self.0.call_at(at(7), Box::new(|| {}));
        }
    }

    let timers = Timers::new(Clock::manual());
    let set = |timers: &Timers| {
        let held = SetsAnother(timers.clone());
        timers.call_at(at(1), Box::new(move || drop(held)))
    };
    let key = set(&timers);
    timers.cancel(key);
    assert_eq!(timers.next_deadline(), Some(at(7)));
    timers.clear();
    set(&timers);
    timers.clear();
    assert_eq!((timers.len(), timers.next_deadline()), (1, Some(at(7))));
}
