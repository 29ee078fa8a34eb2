use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use asyncio_timers::{Clock, Interval, MissedTick, Timers, interval, interval_at};

use crate::at;

const SECOND: u64 = 1_000_000_000;

fn poll_tick(ticks: &mut Interval) -> Poll<u64> {
    ticks
        .poll_tick(&mut Context::from_waker(Waker::noop()))
        .map(|time| time.as_nanos())
}

fn advance_to(timers: &Timers, nanos: u64) {
    timers.clock().advance_to(at(nanos));
    timers.fire(timers.now());
}

/// When ticks are taken, in tenths of a second, by a consumer that is busy between 1.0 and 3.5 seconds.
fn taken_by_a_busy_consumer(missed_tick: MissedTick) -> Vec<u64> {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut ticks = interval(1);
    ticks.set_missed_tick(missed_tick);
    let mut taken = Vec::new();
    for tenths in (0..=10).chain(35..=60) {
        advance_to(&timers, tenths * SECOND / 10);
        while poll_tick(&mut ticks).is_ready() {
            taken.push(tenths);
        }
    }
    taken
}

#[test]
fn the_first_tick_comes_at_once() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut ticks = interval(1);
    timers.clock().advance_to(at(7));
    assert_eq!(poll_tick(&mut ticks), Poll::Ready(7));
    assert_eq!(poll_tick(&mut ticks), Poll::Pending);
    assert_eq!(timers.next_deadline(), Some(at(7 + SECOND)));
}

#[test]
fn the_first_tick_comes_at_the_given_start() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut ticks = interval_at(at(5), 1);
    assert_eq!(poll_tick(&mut ticks), Poll::Pending);
    advance_to(&timers, 5);
    assert_eq!(poll_tick(&mut ticks), Poll::Ready(5));
}

#[test]
fn a_little_lateness_does_not_shift_the_schedule() {
    for missed_tick in [MissedTick::Burst, MissedTick::Delay, MissedTick::Skip] {
        let timers = Timers::new(Clock::manual());
        let _entered = timers.enter();
        let mut ticks = interval_at(at(10), std::time::Duration::from_nanos(10));
        ticks.set_missed_tick(missed_tick);
        assert_eq!(poll_tick(&mut ticks), Poll::Pending);
        advance_to(&timers, 19);
        assert_eq!(poll_tick(&mut ticks), Poll::Ready(10));
        assert_eq!(poll_tick(&mut ticks), Poll::Pending);
        advance_to(&timers, 20);
        assert_eq!(poll_tick(&mut ticks), Poll::Ready(20));
    }
}

#[test]
fn burst_makes_up_for_missed_ticks() {
    assert_eq!(
        taken_by_a_busy_consumer(MissedTick::Burst),
        [0, 10, 35, 35, 40, 50, 60]
    );
}

#[test]
fn delay_starts_a_new_schedule() {
    assert_eq!(
        taken_by_a_busy_consumer(MissedTick::Delay),
        [0, 10, 35, 45, 55]
    );
}

#[test]
fn skip_leaves_missed_ticks_out() {
    assert_eq!(
        taken_by_a_busy_consumer(MissedTick::Skip),
        [0, 10, 35, 40, 50, 60]
    );
}

#[test]
fn a_tick_exactly_one_period_late_is_followed_by_the_next_in_the_schedule() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut ticks = interval_at(at(0), 1);
    ticks.set_missed_tick(MissedTick::Skip);
    timers.clock().advance_to(at(SECOND));
    assert_eq!(poll_tick(&mut ticks), Poll::Ready(0));
    assert_eq!(poll_tick(&mut ticks), Poll::Pending);
    assert_eq!(timers.next_deadline(), Some(at(2 * SECOND)));
}

#[test]
fn dropping_a_tick_loses_nothing() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut cx = Context::from_waker(Waker::noop());
    let mut ticks = interval_at(at(5), 1);
    assert!(pin!(ticks.tick()).poll(&mut cx).is_pending());
    advance_to(&timers, 5);
    assert_eq!(pin!(ticks.tick()).poll(&mut cx), Poll::Ready(at(5)));
}

#[test]
fn resetting_starts_the_schedule_anew() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut ticks = interval_at(at(5), 1);
    assert_eq!(poll_tick(&mut ticks), Poll::Pending);
    timers.clock().advance_to(at(3));
    ticks.reset();
    assert_eq!(timers.next_deadline(), Some(at(3 + SECOND)));
    ticks.reset_at(at(9));
    advance_to(&timers, 9);
    assert_eq!(poll_tick(&mut ticks), Poll::Ready(9));
}

#[test]
fn dropping_an_interval_cancels_its_timer() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut ticks = interval_at(at(5), 1);
    assert_eq!(poll_tick(&mut ticks), Poll::Pending);
    drop(ticks);
    assert!(timers.is_empty());
}

#[test]
#[should_panic(expected = "the period of an interval is zero")]
fn a_period_of_zero_panics() {
    let _ = interval(-1);
}
