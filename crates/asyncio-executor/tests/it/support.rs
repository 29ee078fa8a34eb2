//! What the tests share: traces, drop counters, reports, single steps.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};

use asyncio_executor::Executor;

/// A list of what happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Trace(Rc<RefCell<Vec<String>>>);

impl Trace {
    pub(crate) fn log(&self, entry: impl Into<String>) {
        self.0.borrow_mut().push(entry.into());
    }

    /// What happened since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    /// Logs an entry when it is dropped.
    pub(crate) fn on_drop(&self, entry: &str) -> impl Drop + use<> {
        OnDrop::new({
            let (trace, entry) = (self.clone(), entry.to_owned());
            move || trace.log(entry)
        })
    }
}

/// Runs a closure when it is dropped.
pub(crate) struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> OnDrop<F> {
    pub(crate) fn new(f: F) -> OnDrop<F> {
        OnDrop(Some(f))
    }
}

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

/// Counts how often tokens of it are dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Rc<Cell<usize>>);

impl Drops {
    pub(crate) fn token(&self) -> impl Drop + use<> {
        let count = self.0.clone();
        OnDrop::new(move || count.set(count.get() + 1))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }
}

/// Tokens that must be dropped on the thread that made them; counts both kinds of drops.
#[derive(Clone, Default)]
pub(crate) struct HomeDrops {
    home: Arc<AtomicUsize>,
    away: Arc<AtomicUsize>,
}

/// Not `Send` as far as anybody can see, like most of what a task holds.
pub(crate) struct HomeToken {
    drops: HomeDrops,
    thread: ThreadId,
    _here: Rc<()>,
}

impl HomeDrops {
    pub(crate) fn token(&self) -> HomeToken {
        HomeToken {
            drops: self.clone(),
            thread: thread::current().id(),
            _here: Rc::new(()),
        }
    }

    /// Drops so far, all of which happened at home.
    pub(crate) fn count(&self) -> usize {
        assert_eq!(
            self.away.load(Ordering::SeqCst),
            0,
            "a future was dropped away from home"
        );
        self.home.load(Ordering::SeqCst)
    }
}

impl Drop for HomeToken {
    fn drop(&mut self) {
        let counter = if self.thread == thread::current().id() {
            &self.drops.home
        } else {
            &self.drops.away
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// `mem::forget`, but the value stays reachable from a static: a leak checker reports the leaks nobody meant.
pub(crate) fn forget<T: 'static>(value: T) {
    static FORGOTTEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let address = std::ptr::from_mut(Box::leak(Box::new(value))).expose_provenance();
    FORGOTTEN.lock().unwrap().push(address);
}

/// Collects what the exception handler is told, but for tasks that close catches pending (S36).
pub(crate) fn reports(executor: &Executor) -> Trace {
    let trace = Trace::default();
    let log = trace.clone();
    executor.set_exception_handler(Some(Rc::new(move |context| {
        if context.message == PENDING {
            return;
        }
        log.log(format!(
            "{}: {}",
            context.message,
            context.exception.as_deref().unwrap_or("-")
        ));
    })));
    trace
}

/// What close reports of each task that has not ended.
pub(crate) const PENDING: &str = "a task was destroyed but it is pending";

/// One turn: what is ready now runs.
pub(crate) fn turn(executor: &Executor) -> usize {
    executor.take_foreign();
    executor.enter(|| executor.run_ready())
}

/// Turns until nothing is ready, and how many; a program that never comes to rest is a failure.
pub(crate) fn settle(executor: &Executor) -> usize {
    for turns in 0..100_000 {
        if turn(executor) == 0 {
            return turns;
        }
    }
    panic!("still busy after 100000 turns");
}

/// Polls once with a waker that does nothing.
pub(crate) fn poll_once<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// An event somebody waits for: any number of futures, woken in the order they began to wait.
#[derive(Clone, Default)]
pub(crate) struct Gate(Rc<GateState>);

#[derive(Default)]
struct GateState {
    open: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.0.open.set(true);
        for waker in self.0.waiting.take() {
            waker.wake();
        }
    }

    pub(crate) fn wait(&self) -> impl Future<Output = ()> + use<> {
        let gate = self.0.clone();
        std::future::poll_fn(move |cx| {
            if gate.open.get() {
                return Poll::Ready(());
            }
            let mut waiting = gate.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }
}
