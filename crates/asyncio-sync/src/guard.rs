//! How a primitive's state is guarded and shared: the one thing in which the loop-local and the thread-safe family differ.

use std::cell::{OnceCell, RefCell};
use std::error::Error;
use std::ops::Deref;
use std::rc::Rc;

/// Exclusive access to a state `S` for the length of a closure.
///
/// What runs inside must not call out: no waking, no dropping of wakers or values, nothing a user wrote.
/// Whatever has to be woken or dropped is returned by the closure and dealt with after it.
///
/// ```
/// use asyncio_sync::guard::Guard;
/// use std::cell::RefCell;
///
/// let state = <RefCell<u32> as Guard<u32>>::new(1);
/// assert_eq!(state.with(|n| { *n += 1; *n }), 2);
/// ```
pub trait Guard<S> {
    /// Puts a state under guard.
    fn new(state: S) -> Self;
    /// Runs `f` with exclusive access to the state.
    fn with<R>(&self, f: impl FnOnce(&mut S) -> R) -> R;
}

/// A cell that is written once and read without a guard.
///
/// ```
/// use asyncio_sync::guard::Once;
/// use std::cell::OnceCell;
///
/// let cell = <OnceCell<&str> as Once<&str>>::empty();
/// assert_eq!(Once::set(&cell, "first"), Ok(()));
/// assert_eq!(Once::set(&cell, "second"), Err("second"));
/// assert_eq!(Once::get(&cell), Some(&"first"));
/// ```
pub trait Once<T> {
    /// A cell without a value.
    fn empty() -> Self;
    /// The value, if it has been written.
    fn get(&self) -> Option<&T>;
    /// Writes the value.
    ///
    /// # Errors
    ///
    /// Gives the value back when there is one already.
    fn set(&self, value: T) -> Result<(), T>;
}

/// The loop-local family: `Rc` and cells, no atomics. Its types stay on the thread that made them.
///
/// ```compile_fail
/// fn is_send<T: Send>(_: T) {}
/// is_send(asyncio_sync::Future::<u8>::new());
/// ```
/// ```compile_fail
/// fn is_sync<T: Sync>(_: &T) {}
/// is_sync(&asyncio_sync::Lock::new());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Local;

/// How a family of primitives guards and shares its state. Sealed; [`Local`] is the only member so far.
///
/// ```
/// use asyncio_sync::{Family, Local, lock::Lock};
///
/// fn busy<F: Family>(lock: &Lock<F>) -> bool {
///     lock.locked()
/// }
/// assert!(!busy::<Local>(&Lock::new()));
/// ```
pub trait Family: sealed::Sealed + Sized + 'static {
    /// Where changing state lives.
    type Guarded<S>: Guard<S>;
    /// Where a state lives that is written once.
    type Once<T>: Once<T>;
    /// A counted pointer.
    type Shared<T: ?Sized>: Clone + Deref<Target = T>;
    /// What a failed future may hold.
    type Error: ?Sized + Error + 'static;
    /// What a future may call when it is done.
    type Hook: ?Sized + FnOnce();
    /// What hears of an error that nobody looked at.
    type Report: ?Sized + FnOnce(Self::Shared<Self::Error>);

    /// Puts a value behind a counted pointer.
    fn share<T>(value: T) -> Self::Shared<T>;
    /// Puts a text behind a counted pointer.
    fn share_text(text: &str) -> Self::Shared<str>;
    /// Puts an error behind a counted pointer.
    fn share_error(error: Box<Self::Error>) -> Self::Shared<Self::Error>;
}

impl Family for Local {
    type Guarded<S> = RefCell<S>;
    type Once<T> = OnceCell<T>;
    type Shared<T: ?Sized> = Rc<T>;
    type Error = dyn Error;
    type Hook = dyn FnOnce();
    type Report = dyn FnOnce(Rc<dyn Error>);

    #[inline]
    fn share<T>(value: T) -> Rc<T> {
        Rc::new(value)
    }

    fn share_text(text: &str) -> Rc<str> {
        Rc::from(text)
    }

    fn share_error(error: Box<dyn Error>) -> Rc<dyn Error> {
        Rc::from(error)
    }
}

impl<S> Guard<S> for RefCell<S> {
    #[inline]
    fn new(state: S) -> Self {
        RefCell::new(state)
    }

    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        f(&mut self.borrow_mut())
    }
}

impl<T> Once<T> for OnceCell<T> {
    #[inline]
    fn empty() -> Self {
        OnceCell::new()
    }

    #[inline]
    fn get(&self) -> Option<&T> {
        OnceCell::get(self)
    }

    #[inline]
    fn set(&self, value: T) -> Result<(), T> {
        OnceCell::set(self, value)
    }
}

mod sealed {
    #[allow(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}
    impl Sealed for super::Local {}
}
