//! What the thread pool promises, one file per group of promises.

mod cancelling;
mod closing;
mod current;
mod outcomes;
mod threads;
mod waking;

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use asyncio_blocking::{Job, ThreadPool};

/// Waits for what another thread is about to make true; fails if it does not within a minute.
#[track_caller]
fn until(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < give_up, "never happened: {what}");
        thread::yield_now();
    }
}

/// A thread of a pool, held in a job until released.
struct Held {
    job: Job<thread::ThreadId>,
    release: Sender<()>,
}

impl Held {
    /// Gives back control when the job runs.
    fn in_pool(pool: &ThreadPool) -> Self {
        let (release, gate): (_, Receiver<()>) = channel();
        let (started, running) = channel();
        let job = pool.submit(move || {
            started.send(()).unwrap();
            // Dropping the sender releases it too, so that a failing test does not hang.
            let _ = gate.recv();
            thread::current().id()
        });
        running.recv().unwrap();
        Self { job, release }
    }

    /// Lets the job end, waits for that, and tells which thread it was on.
    fn release(self) -> thread::ThreadId {
        drop(self.release);
        self.job.wait().unwrap()
    }
}

/// Does something when it is dropped, to see when and where that is.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
