//! The few primitives on which threads meet, from std or, under `--cfg loom`, from loom.
//!
//! `Arc` is std's in both cases: loom's cannot hold a trait object, and nothing here relies on
//! the ordering of reference counts.

use std::{sync::PoisonError, time::Duration};

#[cfg(not(loom))]
pub(crate) use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic::AtomicBool},
    thread::Builder as ThreadBuilder,
    thread_local,
};

#[cfg(loom)]
pub(crate) use loom::{
    sync::{Condvar, Mutex, MutexGuard, atomic::AtomicBool},
    thread::Builder as ThreadBuilder,
    thread_local,
};

/// Locks, whether or not somebody panicked while holding the lock.
///
/// No code of the user runs under any lock of this crate, so a poisoned lock guards sound data.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What puts one thread to sleep and wakes it: a token, left by `unpark` and taken by `park`.
#[cfg(not(loom))]
pub(crate) struct Sleeper(std::thread::Thread);

#[cfg(not(loom))]
impl Sleeper {
    pub(crate) fn for_this_thread() -> Self {
        Self(std::thread::current())
    }

    /// Sleeps until there is a token, until `timeout` (if any) is over, or for no reason.
    ///
    /// To be called on the sleeper's own thread.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        match timeout {
            Some(timeout) => std::thread::park_timeout(timeout),
            None => std::thread::park(),
        }
    }

    pub(crate) fn unpark(&self) {
        self.0.unpark();
    }
}

/// The same from a lock: loom's own `park` loses its token when the thread has to wait for a
/// mutex in between.
///
/// Loom has no time. A sleep of zero is over at once, any other one lasts until the wake.
#[cfg(loom)]
pub(crate) struct Sleeper {
    token: Mutex<bool>,
    left: Condvar,
}

#[cfg(loom)]
impl Sleeper {
    pub(crate) fn for_this_thread() -> Self {
        Self {
            token: Mutex::new(false),
            left: Condvar::new(),
        }
    }

    pub(crate) fn park(&self, timeout: Option<Duration>) {
        let mut token = lock(&self.token);
        while !*token && timeout != Some(Duration::ZERO) {
            token = self.left.wait(token).unwrap();
        }
        *token = false;
    }

    pub(crate) fn unpark(&self) {
        *lock(&self.token) = true;
        self.left.notify_one();
    }
}
