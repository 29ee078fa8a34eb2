//! The pool of the loop that runs on this thread.

use std::{cell::RefCell, fmt, marker::PhantomData};

use crate::{Job, ThreadPool};

thread_local! {
    static CURRENT: RefCell<Option<ThreadPool>> = const { RefCell::new(None) };
}

/// Runs a call that blocks on the pool of the running event loop.
///
/// The same as [`ThreadPool::current()`](ThreadPool::current)`.submit(f)`: the work starts now,
/// not at the first poll, and dropping the [`Job`] cancels it if it has not started.
///
/// # Panics
///
/// If no event loop runs on this thread.
///
/// ```
/// use asyncio_blocking::{ThreadPool, unblock};
///
/// let pool = ThreadPool::new(4);
/// let _entered = pool.enter(); // an event loop does this for the length of a run
/// futures_lite::future::block_on(async {
///     assert_eq!(unblock(|| 6 * 7).await.unwrap(), 42);
/// });
/// ```
#[track_caller]
pub fn unblock<F, T>(f: F) -> Job<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match ThreadPool::try_current() {
        Some(pool) => pool.submit(f),
        None => no_running_loop("unblock(…) has no thread pool to run the call on"),
    }
}

#[track_caller]
fn no_running_loop(what: &str) -> ! {
    panic!("no running event loop: {what}; call this inside `asyncio::run(async {{ … }})`")
}

impl ThreadPool {
    /// Makes this pool the current one of this thread until the guard is dropped.
    ///
    /// Guards nest: each restores what was current before it, so drop them in reverse order.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// let pool = ThreadPool::new(4);
    /// assert!(ThreadPool::try_current().is_none());
    /// {
    ///     let _entered = pool.enter();
    ///     assert!(ThreadPool::try_current().is_some());
    /// }
    /// assert!(ThreadPool::try_current().is_none());
    /// ```
    pub fn enter(&self) -> EnterGuard {
        EnterGuard {
            previous: CURRENT.replace(Some(self.clone())),
            not_send: PhantomData,
        }
    }

    /// The pool of the event loop that runs on this thread.
    ///
    /// # Panics
    ///
    /// If no event loop runs on this thread. [`try_current`](Self::try_current) does not.
    ///
    /// ```
    /// # use asyncio_blocking::ThreadPool;
    /// let pool = ThreadPool::new(4);
    /// let _entered = pool.enter();
    /// assert_eq!(ThreadPool::current().max_threads(), 4);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn current() -> ThreadPool {
        match Self::try_current() {
            Some(pool) => pool,
            None => no_running_loop("ThreadPool::current() has no pool to give"),
        }
    }

    /// The pool of the event loop that runs on this thread, if one does.
    ///
    /// ```
    /// assert!(asyncio_blocking::ThreadPool::try_current().is_none());
    /// ```
    #[must_use]
    pub fn try_current() -> Option<ThreadPool> {
        // During the end of a thread, when its variables are gone, nothing is current either.
        CURRENT
            .try_with(|current| current.borrow().clone())
            .ok()
            .flatten()
    }
}

/// Keeps a pool current on this thread; made by [`ThreadPool::enter`].
///
/// It stays on its thread:
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<asyncio_blocking::EnterGuard>();
/// ```
#[must_use = "the pool is current only as long as the guard lives; bind it to a variable"]
pub struct EnterGuard {
    previous: Option<ThreadPool>,
    /// It belongs to the thread whose variable it restores.
    not_send: PhantomData<*const ()>,
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        let previous = self.previous.take();
        let left = CURRENT.try_with(|current| current.replace(previous));
        // Outside of the borrow: this may be the last handle of that pool.
        drop(left);
    }
}

impl fmt::Debug for EnterGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnterGuard").finish_non_exhaustive()
    }
}
