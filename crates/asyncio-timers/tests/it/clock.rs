use std::time::Duration;

use asyncio_timers::{Clock, LoopTime};

use crate::at;

// S12
#[test]
fn the_system_clock_never_goes_back() {
    let clock = Clock::system();
    let mut last = clock.now();
    for _ in 0..1000 {
        let now = clock.now();
        assert!(now >= last);
        last = now;
    }
}

#[test]
fn system_clocks_of_one_process_agree() {
    let before = Clock::system().now();
    let other_thread = std::thread::spawn(|| Clock::system().now()).join().unwrap();
    let after = Clock::system().now();
    assert!(before <= other_thread && other_thread <= after);
}

#[test]
fn the_system_clock_leaves_room_for_times_before_the_program_began() {
    let now = Clock::system().now();
    assert!(now - Duration::from_secs(3600) > LoopTime::ZERO);
}

#[test]
fn a_manual_clock_moves_only_when_moved() {
    let clock = Clock::manual();
    assert_eq!(clock.now(), clock.now());
    clock.advance(Duration::from_nanos(3));
    assert_eq!(clock.now(), at(3));
    clock.advance_to(at(10));
    assert_eq!(clock.now(), at(10));
}

#[test]
fn no_clock_can_be_moved_back() {
    let clock = Clock::auto();
    clock.advance_to(at(10));
    clock.advance_to(at(4));
    assert_eq!(clock.now(), at(10));
}

#[test]
fn clones_share_the_time() {
    let clock = Clock::manual();
    let clone = clock.clone();
    clone.advance(Duration::from_secs(1));
    assert_eq!(clock.now(), clone.now());
}

#[test]
fn only_the_auto_clock_jumps_when_idle() {
    assert!(Clock::auto().jumps_when_idle() && Clock::auto().is_virtual());
    assert!(!Clock::manual().jumps_when_idle() && Clock::manual().is_virtual());
    assert!(!Clock::system().jumps_when_idle() && !Clock::system().is_virtual());
}

#[test]
#[should_panic(expected = "`Clock::advance` moves virtual clocks only")]
fn advancing_the_system_clock_panics() {
    Clock::system().advance(Duration::ZERO);
}

#[test]
#[should_panic(expected = "`Clock::advance_to` moves virtual clocks only")]
fn advancing_the_system_clock_to_a_time_panics() {
    Clock::system().advance_to(LoopTime::MAX);
}
