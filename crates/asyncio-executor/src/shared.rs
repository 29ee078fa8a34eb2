//! What every thread may see of an executor, and the biased count that keeps it alive.
//!
//! Each task's metadata points at its executor's `Shared`, because a waker on any thread must find the injector.
//! An `Arc` there would cost two atomic operations per task. Instead the count is *biased* towards the loop: the
//! loop counts its metadata in a plain cell (`Local::live_metas`), and only metadata that is dropped elsewhere
//! touches the atomic (see Choi, Shull and Torrellas, "Biased Reference Counting", 2018).
//!
//! [`Refs`] = BIAS while the loop lives, + 1 per `Remote` handle or push in flight, - 1 per metadata dropped away from
//! its loop. When the loop goes it trades BIAS for the number of metadata it still has outstanding, so that from then
//! on it is the number of those who may still look, and who brings it to zero frees.

use std::fmt;
use std::ptr::NonNull;

use async_task::Runnable;

use crate::context;
use crate::injector::Injector;
use crate::local::Local;
use crate::meta::Meta;
use crate::sync::{AtomicIsize, Ordering};

const BIAS: isize = isize::MAX / 2;

/// The biased count by itself. Who is told that it was the last frees.
struct Refs(AtomicIsize);

impl Refs {
    /// With nothing but the loop's bias.
    fn new() -> Refs {
        Refs(AtomicIsize::new(BIAS))
    }

    fn retain(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// AcqRel: whatever the others did comes before what the last one does.
    #[must_use]
    fn release(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// The loop goes: what is left of its bias is what it still has outstanding.
    #[must_use]
    fn abandon(&self, outstanding: usize) -> bool {
        // A number of live allocations always fits an isize.
        let owed = BIAS - isize::try_from(outstanding).unwrap_or(BIAS);
        self.0.fetch_sub(owed, Ordering::AcqRel) == owed
    }
}

/// What can come from another thread.
pub(crate) enum Foreign {
    Wake(Runnable<Meta>),
    Call(Box<dyn FnOnce() + Send>),
}

pub(crate) struct Shared {
    pub(crate) injector: Injector<Foreign>,
    refs: Refs,
}

impl Shared {
    pub(crate) fn new(pender: Box<dyn Fn() + Send + Sync>) -> NonNull<Shared> {
        let shared = Box::new(Shared {
            injector: Injector::new(pender),
            refs: Refs::new(),
        });
        NonNull::from(Box::leak(shared))
    }

    /// One more who may look.
    fn retain(&self) {
        self.refs.retain();
    }

    /// One fewer who may look, or one metadata dropped away from the loop.
    ///
    /// # Safety
    ///
    /// The caller owned one count of `this` and does not use the pointer afterwards.
    pub(crate) unsafe fn release(this: NonNull<Shared>) {
        // SAFETY: the count the caller owns keeps the allocation alive up to this subtraction.
        let last = unsafe { this.as_ref() }.refs.release();
        if last {
            // SAFETY: nobody is left, and `new` boxed it.
            drop(unsafe { Box::from_raw(this.as_ptr()) });
        }
    }

    /// The loop goes and leaves `outstanding` metadata behind.
    ///
    /// # Safety
    ///
    /// Called once, by the owner of the bias, with the number of metadata whose drop it has not counted itself.
    pub(crate) unsafe fn abandon(this: NonNull<Shared>, outstanding: usize) {
        // SAFETY: the bias keeps the allocation alive up to this subtraction.
        let last = unsafe { this.as_ref() }.refs.abandon(outstanding);
        if last {
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
    /// Calls from one thread keep their order. Dropping the handle afterwards changes nothing. The closure runs in a copy
    /// of the calling thread's context.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the executor is closed; the closure is then dropped, unrun, on the calling thread.
    pub fn call(&self, f: impl FnOnce() + Send + 'static) -> Result<(), Closed> {
        let call: Box<dyn FnOnce() + Send> = match context::copy_current() {
            None => Box::new(f),
            Some(context) => Box::new(move || {
                if let Some(local) = Local::current() {
                    local.adopt_context(context);
                }
                f();
            }),
        };
        // SAFETY: this handle's count keeps it alive.
        match unsafe { self.shared.as_ref() }
            .injector
            .push(Foreign::Call(call))
        {
            Ok(()) => Ok(()),
            Err(_) => Err(Closed(())),
        }
    }

    /// Whether the executor was closed: every later call is refused.
    pub fn is_closed(&self) -> bool {
        // SAFETY: this handle's count keeps it alive.
        unsafe { self.shared.as_ref() }.injector.is_closed()
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

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Refs;

    #[test]
    fn without_anything_outstanding_the_loop_is_the_last() {
        let refs = Refs::new();
        assert!(refs.abandon(0));
    }

    #[test]
    fn metadata_dropped_away_before_and_after_the_loop_goes_balances() {
        let refs = Refs::new();
        // Of three one is dropped elsewhere while the loop lives, and still counted by it.
        assert!(!refs.release());
        assert!(!refs.abandon(3));
        assert!(!refs.release());
        assert!(refs.release());
    }

    #[test]
    fn a_remote_outlives_the_loop() {
        let refs = Refs::new();
        refs.retain();
        assert!(!refs.abandon(0));
        refs.retain();
        assert!(!refs.release());
        assert!(refs.release());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    use super::Refs;

    /// What the count guards: looking at it while owning a count and freeing it as the last must never race.
    struct Guarded {
        refs: Refs,
        memory: UnsafeCell<bool>,
    }

    impl Guarded {
        fn look(&self) {
            self.memory.with(|freed| {
                // SAFETY: the caller owns a count; loom checks that nobody writes meanwhile.
                assert!(!unsafe { *freed });
            });
        }

        fn free_if(&self, last: bool) -> usize {
            if last {
                self.memory.with_mut(|freed| {
                    // SAFETY: the last one; loom checks that nobody else looks.
                    assert!(!unsafe { std::mem::replace(&mut *freed, true) });
                });
            }
            usize::from(last)
        }
    }

    /// Three metadata: the loop drops one itself, another thread two, one of them through a push in flight.
    #[test]
    fn exactly_the_last_one_frees_whether_the_loop_goes_before_or_after() {
        loom::model(|| {
            let shared = Arc::new(Guarded {
                refs: Refs::new(),
                memory: UnsafeCell::new(false),
            });
            let threads: Vec<_> = [true, false]
                .into_iter()
                .map(|pushes| {
                    let shared = shared.clone();
                    loom::thread::spawn(move || {
                        let mut freed = 0;
                        if pushes {
                            // `send_home`: its metadata keeps it alive for the retain.
                            shared.refs.retain();
                            shared.look();
                            freed += shared.free_if(shared.refs.release());
                        }
                        shared.look();
                        freed + shared.free_if(shared.refs.release())
                    })
                })
                .collect();
            // The one dropped at home is not counted here, so two are outstanding.
            shared.look();
            let mut freed = shared.free_if(shared.refs.abandon(2));
            for thread in threads {
                freed += thread.join().unwrap();
            }
            assert_eq!(freed, 1);
        });
    }

    /// A `Remote` cloned and dropped elsewhere while the loop goes.
    #[test]
    fn remotes_keep_it_for_as_long_as_there_is_one() {
        loom::model(|| {
            let shared = Arc::new(Guarded {
                refs: Refs::new(),
                memory: UnsafeCell::new(false),
            });
            shared.refs.retain();
            let remote = shared.clone();
            let thread = loom::thread::spawn(move || {
                remote.refs.retain();
                let mut freed = remote.free_if(remote.refs.release());
                remote.look();
                freed += remote.free_if(remote.refs.release());
                freed
            });
            let freed = shared.free_if(shared.refs.abandon(0));
            assert_eq!(freed + thread.join().unwrap(), 1);
        });
    }
}
