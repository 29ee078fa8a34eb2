use asyncio_timers::{Clock, Deadlines, LoopTime, Timers};

use crate::{Trace, at};

// S14
#[test]
fn timers_fire_in_the_order_of_their_deadlines() {
    let (timers, trace) = (Timers::new(Clock::manual()), Trace::default());
    timers.call_at(at(30), trace.noting("30"));
    timers.call_at(at(10), trace.noting("10"));
    timers.call_at(at(20), trace.noting("20"));
    assert_eq!(timers.fire(at(30)), 3);
    trace.expect(&["10", "20", "30"]);
}

// S16
#[test]
fn equal_deadlines_fire_in_the_order_they_were_set() {
    let (timers, trace) = (Timers::new(Clock::manual()), Trace::default());
    for word in ["a", "b", "c", "d", "e", "f", "g"] {
        timers.call_at(at(10), trace.noting(word));
    }
    timers.call_at(at(9), trace.noting("earlier"));
    timers.fire(at(10));
    trace.expect(&["earlier", "a", "b", "c", "d", "e", "f", "g"]);
}

// S13, S14
#[test]
fn deadlines_in_the_past_keep_their_order() {
    let (timers, trace) = (Timers::new(Clock::manual()), Trace::default());
    timers.call_at(at(100), trace.noting("now"));
    timers.call_at(at(98), trace.noting("2 ago"));
    timers.call_at(at(99), trace.noting("1 ago"));
    timers.fire(at(100));
    trace.expect(&["2 ago", "1 ago", "now"]);
}

#[test]
fn one_nanosecond_apart_is_apart() {
    let (timers, trace) = (Timers::new(Clock::manual()), Trace::default());
    timers.call_at(at(1_000_000_001), trace.noting("second"));
    timers.call_at(at(1_000_000_000), trace.noting("first"));
    assert_eq!(timers.fire(at(999_999_999)), 0);
    assert_eq!(timers.fire(at(1_000_000_000)), 1);
    assert_eq!(timers.fire(at(1_000_000_001)), 1);
    trace.expect(&["first", "second"]);
}

#[test]
fn a_rescheduled_timer_goes_behind_its_equals() {
    let mut deadlines = Deadlines::new();
    let first = deadlines.insert(at(5), "first");
    deadlines.insert(at(5), "second");
    assert!(deadlines.reschedule(first, at(5)));
    assert_eq!(deadlines.pop_due(at(5)), Some((at(5), "second")));
    assert_eq!(deadlines.pop_due(at(5)), Some((at(5), "first")));
}

#[test]
fn a_key_finds_nothing_once_its_entry_is_gone() {
    let mut deadlines = Deadlines::new();
    let removed = deadlines.insert(at(1), "removed");
    deadlines.remove(removed);
    // The same slot, most likely.
    let popped = deadlines.insert(at(2), "popped");
    assert_eq!(deadlines.when(removed), None);
    deadlines.pop_due(LoopTime::MAX);
    let cleared = deadlines.insert(at(3), "cleared");
    deadlines.clear();
    let present = deadlines.insert(at(4), "present");

    for stale in [removed, popped, cleared] {
        assert_ne!(stale, present);
        assert!(!deadlines.contains(stale));
        assert_eq!(deadlines.when(stale), None);
        assert_eq!(deadlines.get(stale), None);
        assert_eq!(deadlines.get_mut(stale), None);
        assert!(!deadlines.reschedule(stale, at(9)));
        assert_eq!(deadlines.remove(stale), None);
    }
    assert_eq!(deadlines.remove(present), Some("present"));
}
