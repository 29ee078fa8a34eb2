//! One call on its way through the pool: the closure, then its result, and who waits for it.

use std::{
    fmt,
    future::Future,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use crate::{
    error::{JobError, Panic},
    handover::{Handover, Turn},
    queue::Ticket,
    sync::{Mutex, lock},
    worker::{Parker, contain},
};

/// A call handed to a [`ThreadPool`](crate::ThreadPool): await it for the result.
///
/// ```
/// # use asyncio_blocking::ThreadPool;
/// # let pool = ThreadPool::new(1);
/// # futures_lite::future::block_on(async {
/// let job = pool.submit(|| "read from a slow disk".len());
/// assert_eq!(job.await.unwrap(), 21);
/// # });
/// ```
///
/// Dropping it asks for cancellation: a job that has not started is taken out of the queue, its
/// closure is dropped there and then, and it never runs. One that runs already goes on to its
/// end, since a thread cannot be interrupted, and its result is dropped on the pool's thread.
/// Call [`detach`](Self::detach) for a job that shall run although nobody waits.
///
/// # Errors
///
/// [`JobError`] says why there is no value: the closure panicked, the job was cancelled, or the
/// pool was closed or without threads.
///
/// # Cancel safety
///
/// Awaiting `&mut job` loses nothing when that await is dropped: await it again later. Dropping
/// the job itself cancels it as said above.
///
/// # Panics
///
/// If polled again after it gave its result.
#[must_use = "a dropped job is cancelled if it has not started; await it, or call `detach`"]
pub struct Job<T> {
    state: JobState<T>,
}

enum JobState<T> {
    /// On its way. Dropping this means cancelling.
    Live(Link<T>),
    /// The pool never took it.
    Refused(JobError),
    /// The result was given away, or nobody wants it.
    Spent,
}

struct Link<T> {
    cell: Arc<dyn Outcome<T>>,
    pool: Arc<Handover>,
    ticket: Ticket,
}

impl<T: Send + 'static> Job<T> {
    /// Hands the closure over; this one allocation holds it and later its result.
    pub(crate) fn submit<F>(pool: &Arc<Handover>, work: F) -> Self
    where
        F: FnOnce() -> T + Send + 'static,
    {
        let cell = Arc::new(JobCell {
            inner: Mutex::new(Inner {
                stage: Stage::Waiting(work),
                watched: true,
                waker: None,
            }),
        });
        let state = match pool.push(Arc::clone(&cell) as Arc<dyn Run>) {
            Ok(ticket) => JobState::Live(Link {
                cell,
                pool: Arc::clone(pool),
                ticket,
            }),
            Err(refusal) => JobState::Refused(refusal),
        };
        Self { state }
    }
}

impl<T> Job<T> {
    /// Cancels the job if it has not started; tells whether it is cancelled.
    ///
    /// The closure is dropped before this returns, and awaiting the job gives
    /// [`JobError::Cancelled`]. A job that is running or done is not disturbed, and `false` is
    /// returned: its result can still be awaited.
    ///
    /// ```
    /// # use asyncio_blocking::{JobError, ThreadPool};
    /// let pool = ThreadPool::new(1);
    /// let (release, gate) = std::sync::mpsc::channel();
    /// let running = pool.submit(move || gate.recv());
    /// let waiting = pool.submit(|| unreachable!("it is cancelled first"));
    ///
    /// assert!(waiting.cancel());
    /// assert!(matches!(waiting.wait(), Err::<(), _>(JobError::Cancelled)));
    ///
    /// release.send(7).unwrap();
    /// assert_eq!(running.wait().unwrap(), Ok(7));
    /// ```
    pub fn cancel(&self) -> bool {
        let JobState::Live(link) = &self.state else {
            return false;
        };
        match link.cell.cancel() {
            Cancel::Done => {
                link.pool.remove(link.ticket);
                true
            }
            Cancel::Already => true,
            Cancel::TooLate => false,
        }
    }

    /// Whether the result is there, so that awaiting will not suspend.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// let pool = ThreadPool::new(1);
    /// let job = pool.submit(|| ());
    /// pool.join(None);
    /// assert!(job.is_finished());
    /// ```
    #[must_use]
    pub fn is_finished(&self) -> bool {
        match &self.state {
            JobState::Live(link) => link.cell.is_finished(),
            JobState::Refused(_) | JobState::Spent => true,
        }
    }

    /// Lets the job run although nobody waits for it; its result is dropped when it is done.
    ///
    /// A panic in it is seen by the panic hook only.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// let pool = ThreadPool::new(1);
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// pool.submit(move || sender.send("done")).detach();
    /// assert_eq!(receiver.recv(), Ok("done"));
    /// ```
    pub fn detach(mut self) {
        if let JobState::Live(link) = mem::replace(&mut self.state, JobState::Spent) {
            link.cell.leave(false);
        }
    }

    /// Blocks this thread until the job is done, for code that is not async.
    ///
    /// Never call it on the thread of an event loop: nothing else would run there meanwhile.
    /// On a thread of the same pool it may wait forever for a thread that is not free.
    ///
    /// # Errors
    ///
    /// As awaiting the job.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// assert_eq!(ThreadPool::new(1).submit(|| 6 * 7).wait().unwrap(), 42);
    /// ```
    pub fn wait(mut self) -> Result<T, JobError> {
        loop {
            if let Some(result) = self.wait_timeout(Duration::MAX) {
                return result;
            }
        }
    }

    /// Blocks this thread until the job is done or `timeout` is over; `None` if it is not done.
    ///
    /// The job is not cancelled by a time-out: wait again, or await it, or drop it.
    ///
    /// # Errors
    ///
    /// As awaiting the job.
    ///
    /// # Panics
    ///
    /// If called again after it gave the result.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// # use std::time::Duration;
    /// let (release, gate) = std::sync::mpsc::channel();
    /// let mut job = ThreadPool::new(1).submit(move || gate.recv());
    /// assert!(job.wait_timeout(Duration::from_millis(1)).is_none());
    /// release.send(7).unwrap();
    /// assert_eq!(job.wait_timeout(Duration::MAX).unwrap().unwrap(), Ok(7));
    /// ```
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<T, JobError>> {
        let parker = Arc::new(WakeThread(Parker::for_this_thread()));
        let waker = Waker::from(Arc::clone(&parker));
        let deadline = Instant::now().checked_add(timeout);
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(result) = Pin::new(&mut *self).poll(&mut context) {
                return Some(result);
            }
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return None;
            }
            parker.0.sleep(left);
        }
    }
}

impl<T> Future for Job<T> {
    type Output = Result<T, JobError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &self.state {
            JobState::Live(link) => match link.cell.poll(context.waker()) {
                Poll::Ready(result) => result,
                Poll::Pending => return Poll::Pending,
            },
            JobState::Refused(_) | JobState::Spent => {
                match mem::replace(&mut self.state, JobState::Spent) {
                    JobState::Refused(refusal) => Err(refusal),
                    _ => panic!("`Job` polled after it gave its result"),
                }
            }
        };
        self.state = JobState::Spent;
        Poll::Ready(result)
    }
}

// Nothing of `T` is ever pinned: it is behind an `Arc` until it is handed out.
impl<T> Unpin for Job<T> {}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if let JobState::Live(link) = mem::replace(&mut self.state, JobState::Spent)
            && link.cell.leave(true)
        {
            link.pool.remove(link.ticket);
        }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

/// A waker that ends the sleep of a thread.
struct WakeThread(Parker);

impl Wake for WakeThread {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake();
    }
}

/// What a thread of the pool sees of a job.
pub(crate) trait Run: Send + Sync {
    /// Runs the closure, asks `next` what the thread does afterwards, and then delivers the
    /// result; gives back the answer of `next`, which is called exactly once.
    fn run(&self, next: &mut dyn FnMut() -> Turn) -> Turn;

    /// Cancels the job if it has not started; tells whether it did.
    fn revoke(&self) -> bool;
}

/// What the `Job` sees of it, whatever the type of the closure.
trait Outcome<T>: Send + Sync {
    /// The result, once; or `waker` is woken when it is there.
    fn poll(&self, waker: &Waker) -> Poll<Result<T, JobError>>;
    fn cancel(&self) -> Cancel;
    fn is_finished(&self) -> bool;
    /// The result is not wanted any more, nor, with `cancel`, the run. Tells whether the job was
    /// cancelled by this.
    fn leave(&self, cancel: bool) -> bool;
}

enum Cancel {
    /// By this call.
    Done,
    /// By an earlier one.
    Already,
    /// It runs, or has run.
    TooLate,
}

struct JobCell<F, T> {
    inner: Mutex<Inner<F, T>>,
}

struct Inner<F, T> {
    stage: Stage<F, T>,
    /// Whether there is a `Job` that wants the result.
    watched: bool,
    waker: Option<Waker>,
}

/// Every step that takes a closure or a result out drops it after the lock.
enum Stage<F, T> {
    /// In the queue, or in the hands of a thread that has not begun. A canceller takes the
    /// closure out, and a thread that comes later finds nothing to do.
    Waiting(F),
    /// The closure is on the stack of a thread, which will put the result here.
    Running,
    /// The result waits for the `Job` to take it. If the `Job` leaves, it drops the result.
    Finished(Result<T, JobError>),
    /// Nothing is here or will be.
    Over,
}

impl<F, T> JobCell<F, T> {
    fn take_closure(inner: &mut Inner<F, T>, next: Stage<F, T>) -> Option<F> {
        match mem::replace(&mut inner.stage, next) {
            Stage::Waiting(work) => Some(work),
            other => {
                inner.stage = other;
                None
            }
        }
    }
}

impl<F, T> Run for JobCell<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self, next: &mut dyn FnMut() -> Turn) -> Turn {
        let Some(work) = Self::take_closure(&mut lock(&self.inner), Stage::Running) else {
            return next();
        };
        let result = catch_unwind(AssertUnwindSafe(work))
            .map_err(|payload| JobError::Panicked(Panic::new(payload)));

        // A result that nobody wants is dropped while this thread still counts as running: its
        // destructor may block. (Should the `Job` leave only between here and the delivery,
        // the destructor runs below, and at worst delays the next job of this thread.)
        let mut result = Some(result);
        if !lock(&self.inner).watched {
            contain(|| result = None);
        }

        let turn = next();

        let mut inner = lock(&self.inner);
        let waker = if inner.watched
            && let Some(result) = result.take()
        {
            inner.stage = Stage::Finished(result);
            inner.waker.take()
        } else {
            inner.stage = Stage::Over;
            None
        };
        drop(inner);
        if let Some(waker) = waker {
            contain(|| waker.wake());
        }
        contain(|| drop(result));
        turn
    }

    fn revoke(&self) -> bool {
        matches!(self.cancel(), Cancel::Done)
    }
}

impl<F, T> Outcome<T> for JobCell<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn poll(&self, waker: &Waker) -> Poll<Result<T, JobError>> {
        let mut fresh = None;
        loop {
            let mut inner = lock(&self.inner);
            match mem::replace(&mut inner.stage, Stage::Over) {
                Stage::Finished(result) => return Poll::Ready(result),
                other => inner.stage = other,
            }
            if let Some(old) = &inner.waker
                && old.will_wake(waker)
            {
                return Poll::Pending;
            }
            // Cloning and dropping a waker is foreign code, hence the second look.
            if let Some(fresh) = fresh.take() {
                let old = inner.waker.replace(fresh);
                drop(inner);
                drop(old);
                return Poll::Pending;
            }
            drop(inner);
            fresh = Some(waker.clone());
        }
    }

    fn cancel(&self) -> Cancel {
        let mut inner = lock(&self.inner);
        let cancelled = Stage::Finished(Err(JobError::Cancelled));
        let Some(work) = Self::take_closure(&mut inner, cancelled) else {
            return match inner.stage {
                Stage::Finished(Err(JobError::Cancelled)) => Cancel::Already,
                _ => Cancel::TooLate,
            };
        };
        let waker = inner.waker.take();
        drop(inner);
        // A destructor that panics must not keep the wake from whoever awaits the job.
        contain(|| drop(work));
        if let Some(waker) = waker {
            waker.wake();
        }
        Cancel::Done
    }

    fn is_finished(&self) -> bool {
        matches!(lock(&self.inner).stage, Stage::Finished(_) | Stage::Over)
    }

    fn leave(&self, cancel: bool) -> bool {
        let mut inner = lock(&self.inner);
        inner.watched = false;
        let waker = inner.waker.take();
        let left = match &inner.stage {
            Stage::Waiting(_) if cancel => mem::replace(&mut inner.stage, Stage::Over),
            Stage::Finished(_) => mem::replace(&mut inner.stage, Stage::Over),
            Stage::Waiting(_) | Stage::Running | Stage::Over => Stage::Over,
        };
        drop(inner);
        drop(waker);
        let cancelled = matches!(left, Stage::Waiting(_));
        drop(left);
        cancelled
    }
}
