//! The pool as its users hold it.

use std::{
    fmt,
    future::Future,
    num::NonZero,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use crate::{
    handover::{Config, Handover},
    job::Job,
    worker::{LINGER, contain, is_worker_of},
};

/// Threads for calls that block, started as they are needed.
///
/// A pool is a handle: clones share the same threads. Making one starts no thread.
///
/// ```
/// # use asyncio_blocking::ThreadPool;
/// let pool = ThreadPool::new(2);
/// let answers: Vec<_> = (0..10_u32).map(|n| pool.submit(move || n * n)).collect();
/// let squares: Vec<_> = answers.into_iter().map(|job| job.wait().unwrap()).collect();
/// assert_eq!(squares[9], 81);
/// assert!(pool.stats().threads <= 2);
/// ```
///
/// # Dropping it
///
/// When the last handle is dropped the pool closes and nobody waits: jobs in the queue still run
/// to their end, as with `shutdown(wait=False)` in Python, then the threads leave. A [`Job`]
/// does not count as a handle and can be awaited after that.
///
/// # The end of the process
///
/// The threads are daemons: when `main` returns, what they are doing is cut off in the middle.
/// [`join`](Self::join) or await [`wait_closed`](Self::wait_closed) first if that matters.
#[derive(Clone)]
pub struct ThreadPool {
    handle: Arc<Handle>,
}

/// Counts the users of a pool. Threads and jobs hold the `Handover` alone, so they do not keep
/// the pool open.
struct Handle {
    handover: Arc<Handover>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.handover.close();
    }
}

impl ThreadPool {
    /// A pool of at most `max_threads` threads.
    ///
    /// # Panics
    ///
    /// If `max_threads` is zero.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// assert_eq!(ThreadPool::new(8).max_threads(), 8);
    /// ```
    #[must_use]
    pub fn new(max_threads: usize) -> Self {
        Self::builder().max_threads(max_threads).build()
    }

    /// A pool to be told more about itself: names, size, keep-alive, stacks.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// let pool = ThreadPool::builder().name_prefix("files").max_threads(4).build();
    /// # let name = pool.submit(|| std::thread::current().name().map(String::from)).wait();
    /// # assert_eq!(name.unwrap().as_deref(), Some("files_0"));
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// How many threads a pool gets if nobody says: four more than the machine has processors,
    /// at most 32, as in Python.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// assert!((5..=32).contains(&ThreadPool::default_size()));
    /// ```
    #[must_use]
    pub fn default_size() -> usize {
        (processors() + 4).min(32)
    }

    /// Hands a call that blocks to a thread of the pool.
    ///
    /// The work starts now, whether or not the [`Job`] is polled; it starts later, in order, if
    /// all threads are busy and their number is at the maximum. It never blocks on other jobs, though
    /// starting a thread takes some microseconds.
    ///
    /// # Errors
    ///
    /// A closed pool drops the closure and gives a job that is at once
    /// [`JobError::ShutDown`](crate::JobError::ShutDown); a pool that has no thread and can start
    /// none gives [`JobError::NoThread`](crate::JobError::NoThread) in the same way.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// # let pool = ThreadPool::new(1);
    /// # futures_lite::future::block_on(async {
    /// let text = pool.submit(|| std::fs::read_to_string("Cargo.toml")).await.unwrap();
    /// assert!(text.unwrap().contains("asyncio-blocking"));
    /// # });
    /// ```
    pub fn submit<F, T>(&self, f: F) -> Job<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Job::submit(&self.handle.handover, f)
    }

    /// How many threads the pool may have at a time.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// assert_eq!(ThreadPool::default().max_threads(), ThreadPool::default_size());
    /// ```
    #[must_use]
    pub fn max_threads(&self) -> usize {
        self.handle.handover.config.max_threads
    }

    /// What the pool is doing at this moment.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// let pool = ThreadPool::new(2);
    /// assert_eq!(pool.stats().threads, 0);
    /// pool.submit(|| ()).wait().unwrap();
    /// assert_eq!((pool.stats().threads, pool.stats().idle), (1, 1));
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        let counts = self.handle.handover.counts();
        Stats {
            threads: counts.threads,
            idle: counts.idle,
            queued: counts.queued,
            running: counts.running,
        }
    }

    /// Takes no more jobs from now on. Those already submitted still run.
    ///
    /// Does not wait, and may be called more than once. Idle threads leave at once, the others
    /// when the queue is empty.
    ///
    /// ```
    /// # use asyncio_blocking::{JobError, ThreadPool};
    /// let pool = ThreadPool::new(1);
    /// let before = pool.submit(|| 1);
    /// pool.close();
    /// let after = pool.submit(|| 2);
    /// assert_eq!(before.wait().unwrap(), 1);
    /// assert!(matches!(after.wait(), Err(JobError::ShutDown)));
    /// ```
    pub fn close(&self) {
        self.handle.handover.close();
    }

    /// Whether the pool was closed.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// let pool = ThreadPool::new(1);
    /// assert!(!pool.is_closed());
    /// pool.close();
    /// assert!(pool.is_closed());
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.handover.is_closed()
    }

    /// Cancels every job that has not started; tells how many.
    ///
    /// Their closures are dropped before this returns, and whoever awaits them gets
    /// [`JobError::Cancelled`](crate::JobError::Cancelled). With [`close`](Self::close) before it
    /// this is Python's `shutdown(cancel_futures=True)`.
    ///
    /// ```
    /// # use asyncio_blocking::{JobError, ThreadPool};
    /// let pool = ThreadPool::new(1);
    /// let (release, gate) = std::sync::mpsc::channel::<()>();
    /// pool.submit(move || gate.recv()).detach();
    /// let waiting = pool.submit(|| ());
    /// # while pool.stats().running == 0 { std::thread::yield_now() }
    /// assert_eq!(pool.cancel_queued(), 1);
    /// assert!(matches!(waiting.wait(), Err(JobError::Cancelled)));
    /// # drop(release);
    /// ```
    pub fn cancel_queued(&self) -> usize {
        let mut cancelled = 0;
        for job in self.handle.handover.drain() {
            // They are out of the queue: a waker that panics must not keep us from the others.
            contain(|| cancelled += usize::from(job.revoke()));
        }
        cancelled
    }

    /// Waits, without blocking, until the pool is closed and its last thread is done.
    ///
    /// It does not close the pool: call [`close`](Self::close) first, or this waits for somebody
    /// else to do so. Afterwards no job runs and none ever will, and all results are delivered.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped: call it again.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// # futures_lite::future::block_on(async {
    /// let pool = ThreadPool::new(2);
    /// let job = pool.submit(|| 1);
    /// pool.close();
    /// pool.wait_closed().await;
    /// assert!(job.is_finished());
    /// # });
    /// ```
    pub fn wait_closed(&self) -> WaitClosed {
        WaitClosed {
            handover: Arc::clone(&self.handle.handover),
            key: None,
        }
    }

    /// Closes the pool and blocks until its last thread is done, or until `timeout` is over.
    ///
    /// Gives `true` if all is done and `false` after a time-out; the threads then go on, and it
    /// can be called again. `None` waits as long as it takes. An event loop awaits
    /// [`wait_closed`](Self::wait_closed) instead.
    ///
    /// # Panics
    ///
    /// If called by a job of this same pool, which would wait for itself.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// # use std::time::Duration;
    /// let pool = ThreadPool::new(1);
    /// let (release, gate) = std::sync::mpsc::channel::<()>();
    /// pool.submit(move || gate.recv()).detach();
    /// assert!(!pool.join(Some(Duration::from_millis(1))));
    /// drop(release);
    /// assert!(pool.join(None));
    /// ```
    #[track_caller]
    pub fn join(&self, timeout: Option<Duration>) -> bool {
        let handover = &self.handle.handover;
        assert!(
            !is_worker_of(handover),
            "`ThreadPool::join` called by a job of the same pool, which would wait for itself: \
             call it on another thread"
        );
        handover.close();
        // A timeout further off than the clock can say is none.
        handover.wait_for_end(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }
}

fn processors() -> usize {
    available_parallelism().map_or(1, NonZero::get)
}

impl Default for ThreadPool {
    /// A pool of [`default_size`](ThreadPool::default_size).
    fn default() -> Self {
        Self::builder().build()
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("name_prefix", &self.handle.handover.config.name_prefix)
            .field("max_threads", &self.max_threads())
            .field("closed", &self.is_closed())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// How a pool shall be; made by [`ThreadPool::builder`].
///
/// ```
/// # use asyncio_blocking::ThreadPool;
/// # use std::time::Duration;
/// let pool = ThreadPool::builder()
///     .name_prefix("resolver")
///     .max_threads(2)
///     .keep_alive(Duration::from_secs(60))
///     .build();
/// # assert_eq!(pool.max_threads(), 2);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    config: Config,
}

impl Builder {
    fn new() -> Self {
        Self {
            config: Config {
                name_prefix: String::from("asyncio"),
                max_threads: ThreadPool::default_size(),
                keep_alive: Duration::from_secs(10),
                linger: Duration::ZERO,
                stack_size: None,
                #[cfg(test)]
                system_limit: u64::MAX,
            },
        }
    }

    /// What the names of the threads begin with: `prefix_0`, `prefix_1` and so on. `asyncio` if
    /// not set. (Linux shows 15 bytes of a name.)
    ///
    /// # Panics
    ///
    /// If it contains a zero byte.
    pub fn name_prefix(mut self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        assert!(
            !prefix.contains('\0'),
            "the name prefix {prefix:?} of a thread pool contains a zero byte, which the system \
             does not allow in the name of a thread"
        );
        self.config.name_prefix = prefix;
        self
    }

    /// How many threads the pool may have at a time; [`ThreadPool::default_size`] if not set.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub fn max_threads(mut self, max_threads: usize) -> Self {
        assert!(
            max_threads > 0,
            "a thread pool of at most 0 threads would never run a job: allow at least 1"
        );
        self.config.max_threads = max_threads;
        self
    }

    /// How long a thread stays idle before it leaves; 10 seconds if not set.
    ///
    /// [`Duration::MAX`] keeps it until the pool is closed.
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.config.keep_alive = keep_alive;
        self
    }

    /// The size of each thread's stack in bytes; what std chooses (2 MiB) if not set.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.config.stack_size = Some(bytes);
        self
    }

    /// Makes the pool. No thread is started yet.
    #[must_use]
    pub fn build(mut self) -> ThreadPool {
        // On a single processor nobody could submit while an idle thread stays awake.
        if !cfg!(loom) && processors() > 1 {
            self.config.linger = LINGER;
        }
        ThreadPool {
            handle: Arc::new(Handle {
                handover: Arc::new(Handover::new(self.config)),
            }),
        }
    }
}

/// A look at a pool; made by [`ThreadPool::stats`].
///
/// Threads that are just starting or waking up count as neither idle nor running.
///
/// ```
/// # use asyncio_blocking::ThreadPool;
/// let stats = ThreadPool::new(3).stats();
/// assert_eq!((stats.threads, stats.idle, stats.queued, stats.running), (0, 0, 0, 0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Threads that exist, whatever they do.
    pub threads: usize,
    /// Threads that wait for a job.
    pub idle: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// Threads that run a job.
    pub running: usize,
}

/// Waits for the end of a pool; made by [`ThreadPool::wait_closed`].
#[derive(Debug)]
#[must_use = "it waits only when awaited"]
pub struct WaitClosed {
    handover: Arc<Handover>,
    /// The entry in the list of those to wake, from the first poll that had to wait.
    key: Option<u64>,
}

impl Future for WaitClosed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.handover.poll_end(&mut this.key, context.waker()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for WaitClosed {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.handover.forget_waiter(key);
        }
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::JobError;

    fn pool_on_a_system_of(threads: u64) -> ThreadPool {
        let mut builder = ThreadPool::builder().max_threads(4);
        builder.config.system_limit = threads;
        builder.build()
    }

    #[test]
    fn a_second_thread_that_cannot_be_started_leaves_the_job_to_the_first() {
        let pool = pool_on_a_system_of(1);
        let (release, gate) = channel::<()>();
        let busy = pool.submit(move || gate.recv().is_err());
        let waiting = [(); 3].map(|()| pool.submit(|| std::thread::current().id()));
        assert_eq!(pool.stats().threads, 1);
        assert!(waiting.iter().all(|job| !job.is_finished()));
        drop(release);
        assert!(busy.wait().unwrap());
        for job in waiting {
            job.wait().unwrap();
        }
    }

    #[test]
    fn no_first_thread_is_an_error_with_its_cause() {
        let pool = pool_on_a_system_of(0);
        match pool.submit(|| ()).wait() {
            Err(JobError::NoThread(error)) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((pool.stats().threads, pool.stats().queued), (0, 0));
    }
}
