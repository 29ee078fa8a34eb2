//! The public face of the crate, one file per group of promises. Clocks are manual; no test waits.

mod clock;
mod current;
mod firing;
mod interval;
mod model;
mod order;
mod sleep;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use asyncio_timers::LoopTime;

fn at(nanos: u64) -> LoopTime {
    LoopTime::from_nanos(nanos)
}

/// What happened, in its order; compared as one literal.
#[derive(Clone, Default)]
struct Trace(Rc<RefCell<Vec<&'static str>>>);

impl Trace {
    fn note(&self, word: &'static str) {
        self.0.borrow_mut().push(word);
    }

    /// A callback that notes the word.
    fn noting(&self, word: &'static str) -> Box<dyn FnOnce()> {
        let trace = self.clone();
        Box::new(move || trace.note(word))
    }

    #[track_caller]
    fn expect(&self, words: &[&str]) {
        assert_eq!(*self.0.borrow(), words);
    }
}

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn new() -> (Arc<Wakes>, Waker) {
        let wakes = Arc::new(Wakes::default());
        (wakes.clone(), wakes.into())
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn poll_quietly<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll(future, Waker::noop())
}
