//! Time and timers: S12 to S19.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use asyncio::{
    Clock, EventLoop, LoopTime, create_task, get_running_loop, sleep, sleep_with, timeout,
};

use crate::harness::{
    Trace, loop_with_manual_clock, new_loop, panic_message, run, settle, traced, turn,
};

#[test]
fn time_is_monotonic_and_only_differences_mean_something() {
    // S12
    let event_loop = EventLoop::new().unwrap();
    let start: LoopTime = event_loop.time();
    let since: Duration = event_loop.time() - start;
    assert!(since < Duration::from_secs(3600));
    assert!(event_loop.time() >= start);

    run(async {
        let start = get_running_loop().time();
        sleep(2.5).await;
        assert_eq!(
            get_running_loop().time() - start,
            Duration::from_millis(2500)
        );
    });
}

#[test]
fn call_later_is_call_at_from_now() {
    // S13
    let event_loop = new_loop();
    let later = event_loop.call_later(3, || ());
    assert_eq!(later.when(), event_loop.time() + Duration::from_secs(3));
    let at = event_loop.call_at(later.when(), || ());
    assert_eq!(at.when(), later.when());
}

#[test]
fn a_timer_of_no_length_runs_after_what_was_queued_before_its_turn() {
    // S13
    let event_loop = new_loop();
    let trace = Trace::default();
    event_loop.call_later(0, trace.logs("zero"));
    event_loop.call_later(-1, trace.logs("negative"));
    event_loop.call_soon(trace.logs("queued later, runs earlier"));
    turn(&event_loop);
    assert_eq!(trace, ["queued later, runs earlier", "zero", "negative"]);
}

#[test]
fn a_timer_of_no_length_set_by_a_callback_waits_for_the_next_turn() {
    // S13, S2
    let event_loop = new_loop();
    let trace = Trace::default();
    let inner = trace.clone();
    event_loop.call_later(0, move || {
        get_running_loop().call_later(0, inner.logs("timer set by the timer"));
        get_running_loop().call_soon(inner.logs("queued by the timer"));
        inner.log("timer");
    });
    turn(&event_loop);
    assert_eq!(trace, ["timer"]);
    turn(&event_loop);
    assert_eq!(
        trace,
        ["timer", "queued by the timer", "timer set by the timer"]
    );
}

#[test]
fn timers_due_in_one_turn_run_in_the_order_of_their_deadlines() {
    // S14
    let (event_loop, clock) = loop_with_manual_clock();
    clock.advance(Duration::from_secs(60));
    let trace = Trace::default();
    let now = event_loop.time();
    event_loop.call_at(now, trace.logs("0"));
    event_loop.call_at(now - Duration::from_secs(2), trace.logs("-2"));
    event_loop.call_at(now - Duration::from_secs(1), trace.logs("-1"));
    turn(&event_loop);
    assert_eq!(trace, ["-2", "-1", "0"]);
}

#[test]
fn a_negative_delay_counts_as_zero() {
    // S14: `Duration` has no negative lengths, so these keep the order of the calls, not -2, -1, 0 as in Python.
    let event_loop = new_loop();
    let trace = Trace::default();
    for delay in [0, -2, -1] {
        event_loop.call_later(delay, trace.logs(&delay.to_string()));
    }
    turn(&event_loop);
    assert_eq!(trace, ["0", "-2", "-1"]);
}

#[test]
fn a_timer_is_due_at_its_deadline_and_never_before() {
    // S15: Python lets a timer fire one clock resolution early; our clock counts nanoseconds, which is nothing.
    let (event_loop, clock) = loop_with_manual_clock();
    let trace = Trace::default();
    event_loop.call_later(Duration::from_nanos(100), trace.logs("due"));
    clock.advance(Duration::from_nanos(99));
    turn(&event_loop);
    assert!(trace.is_empty());
    clock.advance(Duration::from_nanos(1));
    turn(&event_loop);
    assert_eq!(trace, ["due"]);
}

#[test]
fn equal_deadlines_keep_the_order_of_the_calls() {
    // S16: undefined in Python, promised here.
    let (event_loop, clock) = loop_with_manual_clock();
    let trace = Trace::default();
    let when = event_loop.time() + Duration::from_secs(1);
    for line in ["a", "b", "c"] {
        event_loop.call_at(when, trace.logs(line));
    }
    event_loop.call_at(when - Duration::from_millis(1), trace.logs("earlier"));
    event_loop.call_at(when, trace.logs("d"));
    clock.advance(Duration::from_secs(1));
    turn(&event_loop);
    assert_eq!(trace, ["earlier", "a", "b", "c", "d"]);
}

#[test]
fn a_timer_handle_answers_after_it_fired_or_was_cancelled() {
    // S17
    let (event_loop, clock) = loop_with_manual_clock();
    let fired = event_loop.call_later(1, || ());
    let cancelled = event_loop.call_later(2, || ());
    cancelled.cancel();
    let when = fired.when();
    clock.advance(Duration::from_secs(5));
    turn(&event_loop);
    assert_eq!(fired.when(), when);
    assert!(!fired.cancelled());
    assert_eq!(cancelled.when(), when + Duration::from_secs(1));
    assert!(cancelled.cancelled());
}

#[test]
fn a_cancelled_timer_leaves_nothing_behind() {
    // S17: earlier than in Python, where it may lie in the heap for long.
    let event_loop = new_loop();
    let trace = Trace::default();
    let guard = trace.on_drop("closure dropped");
    let timer = event_loop.call_later(3600, move || drop(guard));
    assert_eq!(event_loop.stats().timers, 1);
    timer.cancel();
    assert_eq!(event_loop.stats().timers, 0);
    assert_eq!(trace, ["closure dropped"]);
}

#[test]
fn sleep_of_no_length_yields_exactly_one_turn_and_touches_no_timer() {
    // S18
    let trace = traced(|trace| async move {
        let log = trace.clone();
        create_task(async move {
            for turn in ["other: 1", "other: 2", "other: 3"] {
                log.log(turn);
                sleep(0).await;
            }
        })
        .detach();
        for delay in [0.0, -5.0] {
            get_running_loop().call_soon(|| assert_eq!(get_running_loop().stats().timers, 0));
            sleep(delay).await;
            trace.log(format!("slept {delay}"));
        }
    });
    assert_eq!(
        trace,
        [
            "other: 1", // each sleep is one turn of the others
            "slept 0", "other: 2", "slept -5",
            "other: 3", // the run ends a turn after its future did, as in Python
        ]
    );
}

#[test]
fn a_sleep_can_bring_a_value_back() {
    // S18
    run(async {
        assert_eq!(sleep_with(0, "now").await, "now");
        assert_eq!(sleep_with(1, "later").await, "later");
    });
}

#[test]
fn a_sleep_of_nan_is_refused_at_the_call() {
    // S18
    let message = panic_message(|| drop(sleep(f64::NAN)));
    assert!(message.contains("got NaN"), "{message}");
}

#[test]
fn timer_callbacks_run_before_sleepers_that_are_due_in_the_same_turn() {
    // S19: the sleeper's own timer only completes a future; the task goes on one turn later.
    let (event_loop, clock) = loop_with_manual_clock();
    let trace = Trace::default();
    let log = trace.clone();
    let mut sleeper = event_loop.create_task(async move {
        sleep(1).await;
        log.log("sleeper");
    });
    turn(&event_loop);
    event_loop.call_later(2, trace.logs("timer with a later deadline"));
    clock.advance(Duration::from_secs(2));
    event_loop.run_task(&mut sleeper).unwrap();
    assert_eq!(trace, ["timer with a later deadline", "sleeper"]);
}

#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    // S19
    let trace = traced(|trace| async move {
        for delay in [3, 1, 2] {
            let trace = trace.clone();
            create_task(async move {
                sleep(delay).await;
                trace.log(format!("{delay}"));
            })
            .detach();
        }
        sleep(4).await;
    });
    assert_eq!(trace, ["1", "2", "3"]);
}

#[test]
fn cancelling_a_sleeper_cancels_its_timer() {
    // S19
    run(async {
        let sleeper = create_task(sleep(3600));
        settle(1).await;
        assert_eq!(get_running_loop().stats().timers, 1);
        sleeper.cancel();
        settle(1).await;
        assert!(sleeper.cancelled());
        assert_eq!(get_running_loop().stats().timers, 0);

        // A timeout that is not needed any more takes its timer along as well.
        assert!(timeout(10, sleep(1)).await.is_ok());
        assert_eq!(get_running_loop().stats().timers, 0);
    });
}

#[test]
fn virtual_time_passes_only_while_nothing_else_can_happen() {
    // S12: what every test here relies on.
    let clock = Clock::auto();
    let event_loop = EventLoop::builder().clock(clock.clone()).build().unwrap();
    let seen = Rc::new(Cell::new(None));
    let order = Rc::new(RefCell::new(Vec::new()));
    let (inner, log) = (seen.clone(), order.clone());
    event_loop
        .run_until_complete(async move {
            let start = get_running_loop().time();
            let task = create_task(async move {
                for n in 0..100 {
                    log.borrow_mut().push(n);
                    sleep(0).await;
                }
            });
            task.await.unwrap();
            inner.set(Some(get_running_loop().time() - start));
            sleep(24 * 3600).await;
        })
        .unwrap();
    assert_eq!(order.borrow().len(), 100);
    assert_eq!(seen.get(), Some(Duration::ZERO));
    assert_eq!(clock.now(), LoopTime::ZERO + Duration::from_secs(24 * 3600));
}
