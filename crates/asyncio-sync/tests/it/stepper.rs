//! An executor that steps one task at a time, so that a test can act while a waiter is woken and has not yet run.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

/// Tasks in one FIFO line, and a log they write to.
#[derive(Default)]
pub(crate) struct Stepper {
    tasks: Vec<Task>,
    ready: Arc<Mutex<VecDeque<usize>>>,
    log: Log,
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

struct Task {
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    wake: Arc<TaskWaker>,
}

struct TaskWaker {
    id: usize,
    wakes: AtomicUsize,
    ready: Arc<Mutex<VecDeque<usize>>>,
}

impl Stepper {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn log(&self) -> Log {
        self.log.clone()
    }

    /// Appends a task to the ready line and gives its number.
    pub(crate) fn spawn(&mut self, future: impl Future<Output = ()> + 'static) -> usize {
        let id = self.tasks.len();
        let wake = Arc::new(TaskWaker {
            id,
            wakes: AtomicUsize::new(0),
            ready: self.ready.clone(),
        });
        self.tasks.push(Task {
            future: Some(Box::pin(future)),
            wake,
        });
        self.ready.lock().unwrap().push_back(id);
        id
    }

    /// Polls the first task that is ready; false if there is none.
    pub(crate) fn step(&mut self) -> bool {
        let next = self.ready.lock().unwrap().pop_front();
        let Some(id) = next else { return false };
        let waker = Waker::from(self.tasks[id].wake.clone());
        if let Some(future) = &mut self.tasks[id].future
            && future
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
        {
            self.tasks[id].future = None;
        }
        true
    }

    /// Steps until nobody is ready.
    pub(crate) fn run(&mut self) {
        while self.step() {}
    }

    /// Drops a task where it hangs.
    pub(crate) fn cancel(&mut self, id: usize) {
        self.tasks[id].future = None;
    }

    /// Drops the first task that is ready instead of polling it.
    pub(crate) fn drop_ready(&mut self) {
        let next = self.ready.lock().unwrap().pop_front();
        if let Some(id) = next {
            self.cancel(id);
        }
    }

    /// Whether a task has ended or was cancelled.
    pub(crate) fn ended(&self, id: usize) -> bool {
        self.tasks[id].future.is_none()
    }

    /// How often a task was woken since it was spawned.
    pub(crate) fn wakes(&self, id: usize) -> usize {
        self.tasks[id].wake.wakes.load(Ordering::Relaxed)
    }

    /// The tasks that are ready, in order.
    pub(crate) fn ready(&self) -> Vec<usize> {
        self.ready.lock().unwrap().iter().copied().collect()
    }

    /// Takes what was logged so far.
    pub(crate) fn trace(&self) -> Vec<String> {
        std::mem::take(&mut self.log.0.lock().unwrap())
    }
}

impl Log {
    pub(crate) fn say(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.ready.lock().unwrap().push_back(self.id);
    }
}

/// Suspends once, behind everybody who is ready.
pub(crate) async fn pause() {
    let mut again = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut again, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
