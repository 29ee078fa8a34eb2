//! How a primitive's state is guarded and shared: the one thing in which the loop-local and the thread-safe family differ.

mod local;
mod threadsafe;

use std::error::Error;
use std::ops::Deref;

pub use local::Local;
pub use threadsafe::Threadsafe;

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
    /// The state, for one who has it alone.
    fn get_mut(&mut self) -> &mut S;
    /// The state out of the guard.
    fn into_inner(self) -> S;
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

/// A number that is read and changed beside the guard: the way in and out of a primitive that nobody waits for.
///
/// ```
/// use asyncio_sync::guard::Word;
/// use std::cell::Cell;
///
/// let word = <Cell<usize> as Word>::new(1);
/// assert!(word.replace_if(1, 2));
/// assert!(!word.replace_if(1, 3));
/// assert_eq!(word.load(), 2);
/// ```
pub trait Word {
    /// A word with this number.
    fn new(number: usize) -> Self;
    /// The number. What was written before it was stored is seen after.
    fn load(&self) -> usize;
    /// Writes the number, for one who knows that nobody else does.
    fn store(&self, number: usize);
    /// Writes `new` if the number is `old`, and says whether it did.
    fn replace_if(&self, old: usize, new: usize) -> bool;
}

/// How a family of primitives guards and shares its state: [`Local`] or [`Threadsafe`]. Sealed.
///
/// ```
/// use asyncio_sync::{Family, Local, Threadsafe, lock::Lock};
///
/// fn busy<F: Family>(lock: &Lock<F>) -> bool {
///     lock.locked()
/// }
/// assert!(!busy::<Local>(&Lock::new()));
/// assert!(!busy::<Threadsafe>(&Lock::new()));
/// ```
pub trait Family: sealed::Sealed + Sized + 'static {
    /// Where changing state lives.
    type Guarded<S>: Guard<S>;
    /// Where a state lives that is written once.
    type Once<T>: Once<T>;
    /// A number beside the guard.
    type Word: Word;
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
    /// The value itself, if this is the only pointer to it.
    fn sole_mut<T>(shared: &mut Self::Shared<T>) -> Option<&mut T>;
    /// The value, if this was the last pointer to it; else the pointer.
    fn try_last<T>(shared: Self::Shared<T>) -> Result<T, Self::Shared<T>>;
}

mod sealed {
    #[allow(unnameable_types, reason = "that is what seals it")]
    pub trait Sealed {}
    impl Sealed for super::Local {}
    impl Sealed for super::Threadsafe {}
}
