use std::cell::{Cell, OnceCell, RefCell};
use std::error::Error;
use std::rc::Rc;

use super::{Family, Guard, Once, Word};

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

impl Family for Local {
    type Guarded<S> = RefCell<S>;
    type Once<T> = OnceCell<T>;
    type Word = Cell<usize>;
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

    #[inline]
    fn sole_mut<T>(shared: &mut Rc<T>) -> Option<&mut T> {
        Rc::get_mut(shared)
    }

    #[inline]
    fn try_last<T>(shared: Rc<T>) -> Result<T, Rc<T>> {
        Rc::try_unwrap(shared)
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

    #[inline]
    fn get_mut(&mut self) -> &mut S {
        self.get_mut()
    }

    #[inline]
    fn into_inner(self) -> S {
        self.into_inner()
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

impl Word for Cell<usize> {
    #[inline]
    fn new(number: usize) -> Self {
        Cell::new(number)
    }

    #[inline]
    fn load(&self) -> usize {
        self.get()
    }

    #[inline]
    fn store(&self, number: usize) {
        self.set(number);
    }

    #[inline]
    fn replace_if(&self, old: usize, new: usize) -> bool {
        let same = self.get() == old;
        if same {
            self.set(new);
        }
        same
    }
}
