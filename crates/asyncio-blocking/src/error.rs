//! What became of a job that gave no value.

use std::{
    any::Any,
    error::Error,
    fmt, io,
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
};

/// Why awaiting a [`Job`](crate::Job) gave no value.
///
/// ```
/// use asyncio_blocking::{JobError, ThreadPool};
///
/// let pool = ThreadPool::new(1);
/// match pool.submit(|| panic!("out of paper")).wait() {
///     Err(JobError::Panicked(panic)) => assert_eq!(panic.message(), "out of paper"),
///     other => panic!("{other:?}"),
/// }
/// pool.close();
/// assert!(matches!(pool.submit(|| 1).wait(), Err(JobError::ShutDown)));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum JobError {
    /// The closure panicked. The panic is here; the thread that ran it is unharmed.
    Panicked(Panic),
    /// The job was cancelled before a thread took it, and so never ran.
    Cancelled,
    /// The pool was closed before the job was submitted. The closure has been dropped.
    ShutDown,
    /// The pool has no thread and the system refused to start one. The closure has been dropped.
    ///
    /// With at least one thread alive the job waits for that one instead.
    NoThread(io::Error),
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => write!(
                f,
                "the job panicked: {}; the pool goes on, call `Panic::resume` to go on panicking here",
                panic.message()
            ),
            Self::Cancelled => f.write_str(
                "the job was cancelled before it started and never ran; \
                 submit it again if it is still wanted",
            ),
            Self::ShutDown => f.write_str(
                "the thread pool is closed and takes no more jobs; \
                 submit before `ThreadPool::close`, or use another pool",
            ),
            Self::NoThread(error) => write!(
                f,
                "the thread pool could not start its first thread ({error}); \
                 raise the limit on threads (`ulimit -u`, pids.max) or lower the stack size"
            ),
        }
    }
}

impl Error for JobError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoThread(error) => Some(error),
            _ => None,
        }
    }
}

/// A panic caught in a job.
///
/// It is `Sync`, unlike a bare payload, so that a [`JobError`] passes through `?` into
/// `Box<dyn Error + Send + Sync>` and its like.
///
/// ```
/// # use asyncio_blocking::{JobError, ThreadPool};
/// # fn inner() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let pool = ThreadPool::new(1);
/// pool.submit(|| if true { panic!("carried over") }).wait()?;
/// # Ok(()) }
/// # assert!(inner().unwrap_err().to_string().contains("carried over"));
/// ```
pub struct Panic {
    /// Never contended: the lock only makes the payload `Sync`.
    payload: Mutex<Box<dyn Any + Send>>,
    message: Box<str>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = if let Some(text) = payload.downcast_ref::<&str>() {
            Box::from(*text)
        } else if let Some(text) = payload.downcast_ref::<String>() {
            Box::from(text.as_str())
        } else {
            Box::from("a payload that is not text")
        };
        Self {
            payload: Mutex::new(payload),
            message,
        }
    }

    /// The text given to `panic!`, or a placeholder if the payload is not text.
    ///
    /// ```
    /// # use asyncio_blocking::{JobError, ThreadPool};
    /// let outcome = ThreadPool::new(1).submit(|| panic!("{} of {}", 3, 4)).wait();
    /// let Err(JobError::Panicked(panic)) = outcome else { unreachable!() };
    /// assert_eq!(panic.message(), "3 of 4");
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The payload, as [`std::thread::JoinHandle::join`] would give it.
    ///
    /// ```
    /// # use asyncio_blocking::{JobError, ThreadPool};
    /// let job = ThreadPool::new(1).submit(|| std::panic::panic_any(42_u8));
    /// let Err(JobError::Panicked(panic)) = job.wait() else { unreachable!() };
    /// assert_eq!(*panic.into_payload().downcast::<u8>().unwrap(), 42);
    /// ```
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on panicking on this thread, without calling the panic hook again.
    ///
    /// # Panics
    ///
    /// Always, with the payload of the job.
    ///
    /// ```should_panic
    /// # use asyncio_blocking::{JobError, ThreadPool};
    /// match ThreadPool::new(1).submit(|| panic!("carried over")).wait() {
    ///     Err(JobError::Panicked(panic)) => panic.resume(),
    ///     other => drop(other),
    /// }
    /// ```
    pub fn resume(self) -> ! {
        resume_unwind(self.into_payload())
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.message).finish()
    }
}
