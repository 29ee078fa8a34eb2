use std::error::Error;
use std::sync::{Arc, OnceLock, PoisonError};

#[cfg(loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
#[cfg(not(loom))]
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use super::{Family, Guard, Once, Word};

/// The thread-safe family: `Arc`, a mutex that is held for a few instructions and never across a wake, and one atomic
/// word for the way in and out that needs no mutex. Its types are `Send` and `Sync` if what they carry is.
///
/// ```
/// use asyncio_sync::threadsafe::{Future, Lock, Queue};
///
/// fn is_send_and_sync<T: Send + Sync>(_: &T) {}
/// is_send_and_sync(&Lock::new());
/// is_send_and_sync(&Queue::<u8>::new());
/// is_send_and_sync(&Future::<u8>::new());
/// ```
/// ```compile_fail
/// fn is_send<T: Send>(_: T) {}
/// is_send(asyncio_sync::threadsafe::Queue::<std::rc::Rc<u8>>::new());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Threadsafe;

impl Family for Threadsafe {
    type Guarded<S> = Mutex<S>;
    type Once<T> = OnceLock<T>;
    type Word = AtomicUsize;
    type Shared<T: ?Sized> = Arc<T>;
    type Error = dyn Error + Send + Sync;
    type Hook = dyn FnOnce() + Send;
    type Report = dyn FnOnce(Arc<dyn Error + Send + Sync>) + Send;

    #[inline]
    fn share<T>(value: T) -> Arc<T> {
        Arc::new(value)
    }

    fn share_text(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    fn share_error(error: Box<dyn Error + Send + Sync>) -> Arc<dyn Error + Send + Sync> {
        Arc::from(error)
    }

    #[inline]
    fn sole_mut<T>(shared: &mut Arc<T>) -> Option<&mut T> {
        Arc::get_mut(shared)
    }

    #[inline]
    fn try_last<T>(shared: Arc<T>) -> Result<T, Arc<T>> {
        Arc::try_unwrap(shared)
    }
}

/// A panic inside leaves no state half changed that matters to the next one, so poison is ignored.
impl<S> Guard<S> for Mutex<S> {
    #[inline]
    fn new(state: S) -> Self {
        Mutex::new(state)
    }

    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        f(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[inline]
    fn get_mut(&mut self) -> &mut S {
        self.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn into_inner(self) -> S {
        self.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Once<T> for OnceLock<T> {
    #[inline]
    fn empty() -> Self {
        OnceLock::new()
    }

    #[inline]
    fn get(&self) -> Option<&T> {
        OnceLock::get(self)
    }

    #[inline]
    fn set(&self, value: T) -> Result<(), T> {
        OnceLock::set(self, value)
    }
}

/// Who takes sees what the one who gave wrote: each `Release` here pairs with the `Acquire` of a later load or exchange.
impl Word for AtomicUsize {
    #[inline]
    fn new(number: usize) -> Self {
        AtomicUsize::new(number)
    }

    #[inline]
    fn load(&self) -> usize {
        self.load(Ordering::Acquire)
    }

    #[inline]
    fn store(&self, number: usize) {
        self.store(number, Ordering::Release);
    }

    #[inline]
    fn replace_if(&self, old: usize, new: usize) -> bool {
        self.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}
