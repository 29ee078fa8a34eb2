//! What every thread may see of an executor, and the biased count that keeps it alive.
//!
//! Each task's metadata points at its executor's `Shared`, because a waker on any thread must find the injector.
//! An `Arc` there would cost two atomic operations per task. Instead the count is *biased* towards the loop: the
//! loop counts its metadata in a plain cell (`Local::live_metas`), and only metadata that is dropped elsewhere
//! touches the atomic (see Choi, Shull and Torrellas, "Biased Reference Counting", 2018).
//!
//! `refs` = BIAS while the loop lives, + 1 per `Remote` handle or push in flight, - 1 per metadata dropped away from
//! its loop. When the loop goes it trades BIAS for the number of metadata it still has outstanding, so that from then
//! on `refs` is the number of those who may still look, and who brings it to zero frees.

use std::fmt;
use std::ptr::NonNull;

use async_task::Runnable;

use crate::injector::Injector;
use crate::meta::Meta;
use crate::sync::{AtomicIsize, Ordering};

const BIAS: isize = isize::MAX / 2;

/// What can come from another thread.
pub(crate) enum Foreign {
    Wake(Runnable<Meta>),
    Call(Box<dyn FnOnce() + Send>),
}

pub(crate) struct Shared {
    pub(crate) injector: Injector<Foreign>,
    refs: AtomicIsize,
}

impl Shared {
    pub(crate) fn new(pender: Box<dyn Fn() + Send + Sync>) -> NonNull<Shared> {
        let shared = Box::new(Shared {
            injector: Injector::new(pender),
            refs: AtomicIsize::new(BIAS),
        });
        NonNull::from(Box::leak(shared))
    }

    /// One more who may look.
    fn retain(&self) {
        self.refs.fetch_add(1, Ordering::Relaxed);
    }

    /// One fewer who may look, or one metadata dropped away from the loop.
    ///
    /// # Safety
    ///
    /// The caller owned one count of `this` and does not use the pointer afterwards.
    pub(crate) unsafe fn release(this: NonNull<Shared>) {
        // SAFETY: the count the caller owns keeps the allocation alive up to this subtraction.
        let before = unsafe { this.as_ref() }.refs.fetch_sub(1, Ordering::AcqRel);
        if before == 1 {
            // SAFETY: nobody is left (AcqRel orders every other release before this), and `new` boxed it.
            drop(unsafe { Box::from_raw(this.as_ptr()) });
        }
    }

    /// The loop goes and leaves `outstanding` metadata behind.
    ///
    /// # Safety
    ///
    /// Called once, by the owner of the bias, with the number of metadata whose drop it has not counted itself.
    pub(crate) unsafe fn abandon(this: NonNull<Shared>, outstanding: usize) {
        // A number of live allocations always fits an isize.
        let owed = BIAS - isize::try_from(outstanding).unwrap_or(BIAS);
        // SAFETY: the bias keeps the allocation alive up to this subtraction.
        let before = unsafe { this.as_ref() }
            .refs
            .fetch_sub(owed, Ordering::AcqRel);
        if before == owed {
            // SAFETY: as in `release`.
            drop(unsafe { Box::from_raw(this.as_ptr()) });
        }
    }

    /// Sends a runnable home from a foreign thread.
    ///
    /// # Safety
    ///
    /// `this` is the runnable's own `Shared`, alive through the runnable's metadata.
    #[cold]
    #[inline(never)] // Its frame must not be part of the local wake's.
    pub(crate) unsafe fn send_home(this: NonNull<Shared>, runnable: Runnable<Meta>) {
        // As soon as the runnable is in the queue the loop may run it, drop its metadata and go away; the count
        // taken here keeps `Shared` for the rest of the push.
        // SAFETY: the runnable in our hands keeps it alive now.
        let shared = unsafe { this.as_ref() };
        shared.retain();
        if let Err(Foreign::Wake(runnable)) = shared.injector.push(Foreign::Wake(runnable)) {
            // The loop is closed. Its future may be `!Send` and must not be dropped here; the loop has emptied it
            // or given it up. A few hundred bytes stay behind, see `Executor::close`.
            std::mem::forget(runnable);
        }
        // SAFETY: the count taken above.
        unsafe { Shared::release(this) };
    }
}

/// A handle to an executor that may travel between threads; made by [`Executor::remote`](crate::Executor::remote).
///
/// asyncio: the thread-safe half of an event loop (`call_soon_threadsafe`, S191).
pub struct Remote {
    shared: NonNull<Shared>,
}

// SAFETY: `Shared` holds an injector of `Send` items (`Runnable<Meta>` is `Send`, see `Meta`), a `Send + Sync` pender
// and an atomic; all of its methods take `&self`.
unsafe impl Send for Remote {}
// SAFETY: as above.
unsafe impl Sync for Remote {}

impl Remote {
    /// # Safety
    ///
    /// `shared` is alive.
    pub(crate) unsafe fn new(shared: NonNull<Shared>) -> Remote {
        // SAFETY: the caller's promise.
        unsafe { shared.as_ref() }.retain();
        Remote { shared }
    }

    /// Runs a closure on the executor's thread, after what is already queued there.
    ///
    /// Calls from one thread keep their order. Dropping the handle afterwards changes nothing.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the executor is closed; the closure is then dropped, unrun, on the calling thread.
    pub fn call(&self, f: impl FnOnce() + Send + 'static) -> Result<(), Closed> {
        // SAFETY: this handle's count keeps it alive.
        match unsafe { self.shared.as_ref() }
            .injector
            .push(Foreign::Call(Box::new(f)))
        {
            Ok(()) => Ok(()),
            Err(_) => Err(Closed(())),
        }
    }

    /// Whether both handles lead to the same executor.
    pub fn same_executor(&self, other: &Remote) -> bool {
        self.shared == other.shared
    }
}

impl Clone for Remote {
    fn clone(&self) -> Self {
        // SAFETY: this handle's count keeps it alive.
        unsafe { Remote::new(self.shared) }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // SAFETY: this handle owns one count and is gone after this.
        unsafe { Shared::release(self.shared) }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").finish_non_exhaustive()
    }
}

/// The executor was closed: the closure handed over was dropped unrun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed(());

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the event loop is closed: nothing can be scheduled on it any more")
    }
}

impl std::error::Error for Closed {}
