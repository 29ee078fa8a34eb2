//! The handle of a callback that another thread sent.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// A callback sent to a loop by [`call_soon_threadsafe`](crate::LoopHandle::call_soon_threadsafe), which any thread may
/// take back (S192).
///
/// Dropping it leaves the callback scheduled.
#[derive(Clone)]
pub struct ThreadsafeHandle {
    call: Arc<dyn Call>,
}

impl ThreadsafeHandle {
    /// The handle, and the closure that runs the callback unless it was taken back.
    pub(crate) fn new(
        callback: impl FnOnce() + Send + 'static,
    ) -> (ThreadsafeHandle, impl FnOnce() + Send + 'static) {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                callback: Some(callback),
                runs_on: None,
                cancelled: false,
            }),
            ended: Condvar::new(),
        });
        let handle = ThreadsafeHandle {
            call: shared.clone(),
        };
        (handle, move || shared.run())
    }

    /// Takes the callback back: if it has not begun it never will, and its closure is dropped here.
    ///
    /// While it runs on the loop's thread this waits for its end, unless called by itself.
    pub fn cancel(&self) {
        self.call.cancel();
    }

    /// Whether [`cancel`](ThreadsafeHandle::cancel) was called. Waits as that does.
    pub fn cancelled(&self) -> bool {
        self.call.cancelled()
    }
}

impl fmt::Debug for ThreadsafeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadsafeHandle").finish_non_exhaustive()
    }
}

trait Call: Send + Sync {
    fn cancel(&self);
    fn cancelled(&self) -> bool;
}

struct Shared<F> {
    state: Mutex<State<F>>,
    ended: Condvar,
}

struct State<F> {
    callback: Option<F>,
    runs_on: Option<ThreadId>,
    cancelled: bool,
}

impl<F: FnOnce()> Shared<F> {
    fn lock(&self) -> MutexGuard<'_, State<F>> {
        // Nothing that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks when the callback does not run on another thread.
    fn lock_at_rest(&self) -> MutexGuard<'_, State<F>> {
        let me = thread::current().id();
        self.ended
            .wait_while(self.lock(), |state| {
                state.runs_on.is_some_and(|thread| thread != me)
            })
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        /// Also when the callback panics.
        struct Ended<'a, F: FnOnce()>(&'a Shared<F>);
        impl<F: FnOnce()> Drop for Ended<'_, F> {
            fn drop(&mut self) {
                self.0.lock().runs_on = None;
                self.0.ended.notify_all();
            }
        }
        let callback = {
            let mut state = self.lock();
            let callback = state.callback.take();
            if callback.is_some() {
                state.runs_on = Some(thread::current().id());
            }
            callback
        };
        if let Some(callback) = callback {
            let _ended = Ended(self);
            callback();
        }
    }
}

impl<F: FnOnce() + Send> Call for Shared<F> {
    fn cancel(&self) {
        let callback = {
            let mut state = self.lock_at_rest();
            state.cancelled = true;
            state.callback.take()
        };
        drop(callback);
    }

    fn cancelled(&self) -> bool {
        self.lock_at_rest().cancelled
    }
}
