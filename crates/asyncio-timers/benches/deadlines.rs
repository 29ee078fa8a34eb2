//! What does a timeout cost that is set and cancelled, alone or among many others, and what one that fires?
//!
//! `cargo bench -p asyncio-timers` prints nanoseconds for one entry, from setting it to its end; the best of some rounds.

use std::hint::black_box;
use std::task::Waker;
use std::time::{Duration, Instant};

use asyncio_timers::{Clock, Deadlines, LoopTime, Sleep, Timers};

const ROUNDS: usize = 7;

fn main() {
    for others in [0, 100, 10_000, 1_000_000] {
        report(
            &format!("set and cancel, same length, among {others}"),
            set_and_cancel(others, |i, _| LoopTime::from_nanos(i)),
        );
        report(
            &format!("set and cancel, random length, among {others}"),
            set_and_cancel(others, |i, random| {
                LoopTime::from_nanos(i + random % 1_000_000_000)
            }),
        );
    }
    for size in [1, 100, 10_000, 100_000, 1_000_000] {
        report(
            &format!("{size} in flight, cancelled in random order"),
            cancel_at_random(size),
        );
    }
    for size in [1_000, 100_000, 1_000_000] {
        report(
            &format!("{size} set in order, then fired"),
            set_and_fire(size, |i, _| i),
        );
        report(
            &format!("{size} set at random, then fired"),
            set_and_fire(size, |_, random| random),
        );
    }
    report("Timers: wake_at and cancel", wake_and_cancel());
    report(
        "Timers: 100000 wake_at in order, then fire",
        wake_and_fire(100_000),
    );
    report(
        "Sleep: poll once and drop, manual clock",
        sleep_and_drop(Clock::manual()),
    );
    report(
        "Sleep: poll once and drop, system clock",
        sleep_and_drop(Clock::system()),
    );
    report("Clock::system().now()", read_clock());
    report("Instant::now()", read_instant());
}

fn set_and_cancel(others: u64, when: impl Fn(u64, u64) -> LoopTime) -> f64 {
    const TIMES: u64 = 1_000_000;
    best(TIMES, || {
        let mut random = Random(1);
        let mut deadlines = Deadlines::new();
        for i in 0..others {
            deadlines.insert(when(i, random.next()), Waker::noop().clone());
        }
        let start = Instant::now();
        for i in others..others + TIMES {
            let key = deadlines.insert(when(i, random.next()), Waker::noop().clone());
            black_box(deadlines.remove(black_box(key)));
        }
        start.elapsed()
    })
}

/// As in a busy server: every timeout has the same length, and each ends a random while after it was set.
fn cancel_at_random(size: u64) -> f64 {
    const TIMES: u64 = 1_000_000;
    best(TIMES, || {
        let mut random = Random(1);
        let mut deadlines = Deadlines::new();
        let mut keys: Vec<_> = (0..size)
            .map(|i| deadlines.insert(LoopTime::from_nanos(i), Waker::noop().clone()))
            .collect();
        let start = Instant::now();
        for i in size..size + TIMES {
            let key = &mut keys[(random.next() % size) as usize];
            black_box(deadlines.remove(*key));
            *key = deadlines.insert(LoopTime::from_nanos(i), Waker::noop().clone());
        }
        start.elapsed()
    })
}

fn set_and_fire(size: u64, when: impl Fn(u64, u64) -> u64) -> f64 {
    best(size, || {
        let mut random = Random(1);
        let mut deadlines = Deadlines::new();
        let start = Instant::now();
        for i in 0..size {
            deadlines.insert(
                LoopTime::from_nanos(when(i, random.next())),
                Waker::noop().clone(),
            );
        }
        while let Some(due) = deadlines.pop_due(LoopTime::MAX) {
            black_box(due);
        }
        start.elapsed()
    })
}

fn wake_and_cancel() -> f64 {
    const TIMES: u64 = 1_000_000;
    best(TIMES, || {
        let timers = Timers::new(Clock::manual());
        let start = Instant::now();
        for i in 0..TIMES {
            let key = timers.wake_at(LoopTime::from_nanos(i), Waker::noop().clone());
            black_box(timers.cancel(black_box(key)));
        }
        start.elapsed()
    })
}

fn wake_and_fire(size: u64) -> f64 {
    best(size, || {
        let timers = Timers::new(Clock::manual());
        let start = Instant::now();
        for i in 0..size {
            timers.wake_at(LoopTime::from_nanos(i), Waker::noop().clone());
        }
        assert_eq!(timers.fire(LoopTime::MAX) as u64, size);
        start.elapsed()
    })
}

fn sleep_and_drop(clock: Clock) -> f64 {
    const TIMES: u64 = 1_000_000;
    use std::future::Future;
    best(TIMES, || {
        let timers = Timers::new(clock.clone());
        let _entered = timers.enter();
        let mut cx = std::task::Context::from_waker(Waker::noop());
        let start = Instant::now();
        for _ in 0..TIMES {
            let mut sleep = Sleep::new(Duration::from_secs(5));
            assert!(
                std::pin::Pin::new(black_box(&mut sleep))
                    .poll(&mut cx)
                    .is_pending()
            );
        }
        start.elapsed()
    })
}

fn read_clock() -> f64 {
    const TIMES: u64 = 1_000_000;
    let clock = Clock::system();
    best(TIMES, || {
        let start = Instant::now();
        for _ in 0..TIMES {
            black_box(clock.now());
        }
        start.elapsed()
    })
}

fn read_instant() -> f64 {
    const TIMES: u64 = 1_000_000;
    best(TIMES, || {
        let start = Instant::now();
        for _ in 0..TIMES {
            black_box(Instant::now());
        }
        start.elapsed()
    })
}

/// Nanoseconds for one of `times`, in the best of several rounds.
fn best(times: u64, round: impl Fn() -> Duration) -> f64 {
    (0..ROUNDS)
        .map(|_| round().as_nanos() as f64 / times as f64)
        .fold(f64::INFINITY, f64::min)
}

fn report(what: &str, nanos: f64) {
    println!("{nanos:8.1} ns  {what}");
}

/// Always the same numbers, so that two versions are measured on the same work.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
