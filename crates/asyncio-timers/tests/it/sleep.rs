use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use asyncio_timers::{Clock, LoopTime, Sleep, Timers, sleep, sleep_until};

use crate::{Wakes, at, poll, poll_quietly};

fn advance_and_fire(timers: &Timers, nanos: u64) -> usize {
    timers.clock().advance(Duration::from_nanos(nanos));
    timers.fire(timers.now())
}

#[test]
fn a_sleep_ends_when_its_timer_fires() {
    let (timers, (wakes, waker)) = (Timers::new(Clock::manual()), Wakes::new());
    let _entered = timers.enter();
    let mut sleep = sleep(1.5);
    assert_eq!(poll(&mut sleep, &waker), Poll::Pending);
    assert_eq!(sleep.deadline(), Some(at(1_500_000_000)));
    assert_eq!(advance_and_fire(&timers, 1_499_999_999), 0);
    assert!(!sleep.is_elapsed());
    assert_eq!(advance_and_fire(&timers, 1), 1);
    assert_eq!(wakes.count(), 1);
    assert!(sleep.is_elapsed());
    assert_eq!(poll(&mut sleep, &waker), Poll::Ready(()));
    // Done, and stays so.
    assert_eq!(poll(&mut sleep, &waker), Poll::Ready(()));
    assert_eq!(sleep.deadline(), Some(at(1_500_000_000)));
    assert!(timers.is_empty());
}

#[test]
fn a_delay_counts_from_the_first_poll() {
    let timers = Timers::new(Clock::manual());
    let mut sleep = Sleep::new(Duration::from_nanos(10));
    assert_eq!(sleep.deadline(), None);
    timers.clock().advance_to(at(100));
    let _entered = timers.enter();
    assert!(poll_quietly(&mut sleep).is_pending());
    assert_eq!(sleep.deadline(), Some(at(110)));
}

// S18
#[test]
fn a_sleep_of_no_length_yields_once_and_touches_no_timer() {
    for length in [0.0, -3.0] {
        let (wakes, waker) = Wakes::new();
        let mut sleep = sleep(length);
        assert_eq!(poll(&mut sleep, &waker), Poll::Pending);
        assert_eq!(wakes.count(), 1);
        assert_eq!(poll(&mut sleep, &waker), Poll::Ready(()));
        assert_eq!(wakes.count(), 1);
    }
}

#[test]
#[should_panic(expected = "got NaN")]
fn a_sleep_of_nan_panics_where_it_is_made() {
    drop(sleep(f64::NAN));
}

#[test]
fn an_infinite_sleep_never_ends() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut sleep = sleep(f64::INFINITY);
    assert!(poll_quietly(&mut sleep).is_pending());
    assert_eq!(sleep.deadline(), Some(LoopTime::MAX));
}

#[test]
fn a_deadline_already_reached_is_ready_without_a_timer() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    timers.clock().advance_to(at(10));
    for when in [at(3), at(10)] {
        let (wakes, waker) = Wakes::new();
        let mut sleep = sleep_until(when);
        assert_eq!(poll(&mut sleep, &waker), Poll::Ready(()));
        assert_eq!((wakes.count(), timers.len()), (0, 0));
    }
}

#[test]
fn a_sleep_never_polled_sets_no_timer() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let sleep = sleep(1);
    assert!(timers.is_empty());
    drop(sleep);
}

// S19
#[test]
fn dropping_a_sleep_cancels_its_timer() {
    let (timers, (wakes, waker)) = (Timers::new(Clock::manual()), Wakes::new());
    let _entered = timers.enter();
    let mut sleep = sleep(1);
    assert!(poll(&mut sleep, &waker).is_pending());
    assert_eq!(timers.len(), 1);
    drop(sleep);
    assert_eq!(timers.len(), 0);
    // The timers let go of the waker, too: ours and the count's are left.
    assert_eq!(Arc::strong_count(&wakes), 2);
}

#[test]
fn a_sleep_dropped_in_another_loop_cancels_its_own_timer() {
    let (own, other) = (Timers::new(Clock::manual()), Timers::new(Clock::manual()));
    let mut sleep = sleep_until(at(5));
    {
        let _entered = own.enter();
        assert!(poll_quietly(&mut sleep).is_pending());
    }
    let _entered = other.enter();
    let key = other.wake_at(at(5), Waker::noop().clone());
    drop(sleep);
    assert_eq!((own.len(), other.len()), (0, 1));
    assert!(other.cancel(key));
}

#[test]
fn a_sleep_polled_in_another_loop_keeps_to_its_own() {
    let (own, other) = (Timers::new(Clock::manual()), Timers::new(Clock::manual()));
    let mut sleep = sleep_until(at(5));
    {
        let _entered = own.enter();
        assert!(poll_quietly(&mut sleep).is_pending());
    }
    let _entered = other.enter();
    assert!(poll_quietly(&mut sleep).is_pending());
    assert_eq!((own.len(), other.len()), (1, 0));
    assert_eq!(advance_and_fire(&own, 5), 1);
    assert!(poll_quietly(&mut sleep).is_ready());
}

#[test]
fn a_sleep_may_outlive_its_loop() {
    let mut sleep = sleep_until(at(5));
    {
        let timers = Timers::new(Clock::manual());
        let _entered = timers.enter();
        assert!(poll_quietly(&mut sleep).is_pending());
        timers.clear();
    }
    assert!(!sleep.is_elapsed());
    drop(sleep);
}

#[test]
fn a_sleep_whose_timers_were_cleared_has_not_elapsed() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut sleep = sleep_until(at(5));
    assert!(poll_quietly(&mut sleep).is_pending());
    timers.clear();
    assert!(poll_quietly(&mut sleep).is_pending());
    assert_eq!(timers.len(), 1);
    assert_eq!(advance_and_fire(&timers, 5), 1);
    timers.clear();
    assert!(sleep.is_elapsed());
    assert!(poll_quietly(&mut sleep).is_ready());
}

#[test]
fn a_timer_fired_early_by_the_resolution_of_the_clock_ends_the_sleep() {
    // S15: the loop may pass a time slightly ahead of the clock; that must not start a second wait.
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut sleep = sleep_until(at(5));
    assert!(poll_quietly(&mut sleep).is_pending());
    assert_eq!(timers.fire(at(6)), 1);
    assert!(poll_quietly(&mut sleep).is_ready());
}

#[test]
fn only_the_waker_of_the_last_poll_is_woken() {
    let (timers, (first, first_waker), (last, last_waker)) =
        (Timers::new(Clock::manual()), Wakes::new(), Wakes::new());
    let _entered = timers.enter();
    let mut sleep = sleep_until(at(5));
    assert!(poll(&mut sleep, &first_waker).is_pending());
    assert!(poll(&mut sleep, &last_waker).is_pending());
    assert_eq!(timers.len(), 1);
    advance_and_fire(&timers, 5);
    assert_eq!((first.count(), last.count()), (0, 1));
}

#[test]
fn a_callback_may_own_a_sleep_of_the_same_timers() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut inner = sleep_until(at(5));
    assert!(poll_quietly(&mut inner).is_pending());
    let key = timers.call_at(at(9), Box::new(move || drop(inner)));
    assert!(timers.cancel(key));
    assert!(timers.is_empty());
}

#[test]
fn replacing_a_waker_may_run_code_that_comes_back_to_the_timers() {
    /// The last handle to a task, say, whose sleeps go with it.
    struct UsesTimersWhenDropped;
    impl Wake for UsesTimersWhenDropped {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for UsesTimersWhenDropped {
        fn drop(&mut self) {
            Timers::with_current(|timers| timers.wake_at(at(99), Waker::noop().clone()));
        }
    }

    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();
    let mut sleep = sleep_until(at(5));
    assert!(poll(&mut sleep, &Arc::new(UsesTimersWhenDropped).into()).is_pending());
    assert!(poll_quietly(&mut sleep).is_pending());
    assert_eq!(timers.len(), 2);
}

#[test]
fn resetting_moves_a_set_timer_and_keeps_its_waker() {
    let (timers, (wakes, waker)) = (Timers::new(Clock::manual()), Wakes::new());
    let _entered = timers.enter();
    let mut sleep = sleep_until(at(5));
    assert!(poll(&mut sleep, &waker).is_pending());
    sleep.reset(at(8));
    assert_eq!((sleep.deadline(), timers.len()), (Some(at(8)), 1));
    assert_eq!(advance_and_fire(&timers, 7), 0);
    assert_eq!(advance_and_fire(&timers, 1), 1);
    assert_eq!(wakes.count(), 1);
    assert!(poll(&mut sleep, &waker).is_ready());
}

#[test]
fn a_sleep_can_be_reset_in_every_state() {
    let timers = Timers::new(Clock::manual());
    let _entered = timers.enter();

    let mut unpolled = sleep(7);
    unpolled.reset(at(10));
    assert_eq!(unpolled.deadline(), Some(at(10)));

    let mut fired = sleep_until(at(1));
    assert!(poll_quietly(&mut fired).is_pending());
    advance_and_fire(&timers, 1);
    fired.reset(at(10));
    assert!(!fired.is_elapsed());
    assert!(poll_quietly(&mut fired).is_pending());

    let mut done = sleep_until(at(1));
    assert!(poll_quietly(&mut done).is_ready());
    done.reset(at(10));
    assert!(poll_quietly(&mut done).is_pending());

    assert_eq!(timers.len(), 2);
    assert_eq!(advance_and_fire(&timers, 9), 2);
    assert!(poll_quietly(&mut unpolled).is_ready());
    assert!(poll_quietly(&mut fired).is_ready());
    assert!(poll_quietly(&mut done).is_ready());
}

#[test]
#[should_panic(expected = "no running event loop: `sleep` needs one")]
fn without_a_loop_a_sleep_says_how_to_get_one() {
    let _ = poll_quietly(&mut sleep(1));
}

#[test]
fn a_sleep_is_five_words_at_most() {
    assert!(
        size_of::<Sleep>() <= 5 * size_of::<u64>(),
        "{}",
        size_of::<Sleep>()
    );
}
