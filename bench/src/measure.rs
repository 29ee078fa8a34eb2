//! What a cell is written with: passes, figures, and pieces that are the same for every runtime.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use atomic_waker::AtomicWaker;

use crate::{OTHER_CORE, sys};

/// How much a cell does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Every count is divided by this (`--quick`).
    pub(crate) divisor: usize,
}

impl Size {
    pub(crate) fn of(self, count: usize) -> usize {
        count / self.divisor
    }
}

/// A clock for repeated work: the first pass warms up and does not count, the others give a median.
#[derive(Debug)]
pub(crate) struct Passes {
    left: usize,
    warm: bool,
    samples: Vec<f64>,
}

impl Passes {
    pub(crate) fn new(count: usize) -> Self {
        Self {
            left: count + 1,
            warm: false,
            samples: Vec::with_capacity(count),
        }
    }

    pub(crate) fn more(&mut self) -> bool {
        let more = self.left > 0;
        self.left = self.left.saturating_sub(1);
        more
    }

    pub(crate) fn record(&mut self, spent: Duration, operations: usize) {
        if self.warm {
            self.samples
                .push(spent.as_secs_f64() * 1e9 / operations as f64);
        }
        self.warm = true;
    }

    /// Nanoseconds for one operation.
    pub(crate) fn nanoseconds(mut self) -> f64 {
        median(&mut self.samples)
    }
}

pub(crate) fn median(samples: &mut [f64]) -> f64 {
    quantile(samples, 0.5)
}

pub(crate) fn quantile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[((samples.len() - 1) as f64 * share).round() as usize]
}

/// What a child found out, handed to the driver through its standard output.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<(&'static str, Result<f64, String>)>);

impl Figures {
    pub(crate) fn one(name: &'static str, value: f64) -> Self {
        Self::default().and(name, value)
    }

    pub(crate) fn and(self, name: &'static str, value: f64) -> Self {
        self.and_perhaps(name, Ok(value))
    }

    /// A figure, or why there is none (in one line, and not a number).
    pub(crate) fn and_perhaps(mut self, name: &'static str, value: Result<f64, String>) -> Self {
        self.0.push((name, value));
        self
    }

    /// Says the figures and leaves at once: what a runtime does with its leftovers is not measured.
    pub(crate) fn report(&self) {
        let text = self
            .0
            .iter()
            .fold(String::new(), |mut text, (name, value)| {
                let written = match value {
                    Ok(value) => writeln!(text, "{name} {value}"),
                    Err(reason) => writeln!(text, "{name} {reason}"),
                };
                written.expect("a String takes everything");
                text
            });
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .expect("the driver reads");
        std::process::exit(0);
    }
}

/// Says the port of a server.
pub(crate) fn announce(port: u16) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{port}")
        .and_then(|()| out.flush())
        .expect("the driver reads");
}

/// Pending once, after waking itself: a future that is ready after one trip through the run queue,
/// the same one for every runtime.
pub(crate) async fn one_trip() {
    let mut gone = false;
    poll_fn(|context| {
        if gone {
            return Poll::Ready(());
        }
        gone = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// 1 to 50 ms, the same for task `index` in every runtime (splitmix64).
pub(crate) fn pseudo_random_sleep(index: usize) -> Duration {
    let mut z = (index as u64)
        .wrapping_add(0x9e37_79b9_7f4a_7c15)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    Duration::from_micros(1000 + z % 49_001)
}

/// What a thread raises and a task waits for: a count and a waker, so that the row measures the
/// runtime's waker and sleep and no channel.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    raised: AtomicU64,
    waker: AtomicWaker,
}

impl Signal {
    pub(crate) fn raise(&self) {
        self.raised.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    /// Waits until it was raised more than `seen` times; returns how often it was.
    pub(crate) async fn raised_after(&self, seen: u64) -> u64 {
        let check = || {
            let raised = self.raised.load(Ordering::Acquire);
            if raised > seen {
                Poll::Ready(raised)
            } else {
                Poll::Pending
            }
        };
        poll_fn(|context| {
            if check().is_pending() {
                self.waker.register(context.waker());
            }
            check()
        })
        .await
    }
}

/// Signals for some tasks, and a count of those they have seen.
#[derive(Debug)]
pub(crate) struct Signals {
    pub(crate) each: Vec<Signal>,
    pub(crate) seen: AtomicUsize,
}

impl Signals {
    /// Raised by a thread of its own, `rounds` times each; a round waits until all of the one before
    /// were seen, and then for `pause`. The thread's outcome is how long a round took until all was
    /// seen, in nanoseconds: on average, and the median.
    pub(crate) fn raised_by_thread(
        tasks: usize,
        rounds: usize,
        pause: Duration,
    ) -> (Arc<Self>, thread::JoinHandle<(f64, f64)>) {
        let each = std::iter::repeat_with(Signal::default)
            .take(tasks)
            .collect();
        let signals = Arc::new(Self {
            each,
            seen: AtomicUsize::new(0),
        });
        let raiser = Arc::clone(&signals);
        let thread = thread::spawn(move || {
            sys::pin_to_core(OTHER_CORE).expect("a second core");
            let mut rounds: Vec<f64> = (1..=rounds)
                .map(|round| raiser.raise_all(round, pause))
                .collect();
            (
                rounds.iter().sum::<f64>() / rounds.len() as f64,
                median(&mut rounds),
            )
        });
        (signals, thread)
    }

    fn raise_all(&self, round: usize, pause: Duration) -> f64 {
        let start = Instant::now();
        self.each.iter().for_each(Signal::raise);
        spin_until(|| self.seen.load(Ordering::Acquire) >= round * self.each.len());
        let spent = start.elapsed();
        if !pause.is_zero() {
            let start = Instant::now();
            spin_until(|| start.elapsed() >= pause);
        }
        spent.as_secs_f64() * 1e9
    }

    /// The life of the task that waits for signal `index`.
    pub(crate) async fn see(&self, index: usize, rounds: usize) {
        let mut seen = 0;
        while seen < rounds as u64 {
            let raised = pin!(self.each[index].raised_after(seen)).await;
            self.seen
                .fetch_add((raised - seen) as usize, Ordering::Release);
            seen = raised;
        }
    }
}

/// Never sleeps, so that no wake is measured but the one asked about; lets go of the core now and
/// then, should the other side need it.
fn spin_until(done: impl Fn() -> bool) {
    let mut spins = 0_u32;
    while !done() {
        std::hint::spin_loop();
        spins = spins.wrapping_add(1);
        if spins.is_multiple_of(1024) {
            thread::yield_now();
        }
    }
}

/// How late a sleep of 1 ms ends, in microseconds.
pub(crate) fn late(since: Instant) -> f64 {
    (since.elapsed().as_secs_f64() - 1e-3) * 1e6
}
