//! Callbacks in the ready queue and the handle that takes one back.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::local::Local;
use crate::run_queue::Entry;

/// What the ready queue knows of a callback.
pub(crate) trait Call {
    fn run(&self);
    /// Drops the closure unrun.
    fn cancel(&self);
    fn is_cancelled(&self) -> bool;
    fn location(&self) -> &'static Location<'static>;
}

struct Once<F> {
    f: Cell<Option<F>>,
    cancelled: Cell<bool>,
    location: &'static Location<'static>,
}

impl<F: FnOnce()> Call for Once<F> {
    fn run(&self) {
        if let Some(f) = self.f.take() {
            f();
        }
    }

    fn cancel(&self) {
        self.cancelled.set(true);
        drop(self.f.take());
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }

    fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

pub(crate) fn once(
    f: impl FnOnce() + 'static,
    location: &'static Location<'static>,
) -> Rc<dyn Call> {
    Rc::new(Once {
        f: Cell::new(Some(f)),
        cancelled: Cell::new(false),
        location,
    })
}

/// A callback that was scheduled; asyncio: `Handle`.
///
/// Dropping it leaves the callback scheduled.
#[derive(Clone)]
pub struct Handle {
    pub(crate) call: Rc<dyn Call>,
}

impl Handle {
    /// A callback that is not queued yet: for a timer that queues it when its time has come.
    #[track_caller]
    pub fn unscheduled(callback: impl FnOnce() + 'static) -> Handle {
        Handle {
            call: once(callback, Location::caller()),
        }
    }

    /// Appends the callback to the ready queue of the current executor; it runs at most once however often it is
    /// queued. Dropped unrun where no executor is entered or the executor closes.
    pub fn schedule(&self) {
        match Local::current() {
            Some(local) if !local.closing.get() => local.push(Entry::Call(self.call.clone())),
            _ => self.cancel(),
        }
    }

    /// Takes the callback back: if it has not run yet it never will, even when its turn is next (S5).
    ///
    /// The closure is dropped at once. Harmless after the callback ran, and when repeated.
    pub fn cancel(&self) {
        self.call.cancel();
    }

    /// Whether [`cancel`](Handle::cancel) was called; says nothing about having run (S5).
    pub fn cancelled(&self) -> bool {
        self.call.is_cancelled()
    }

    /// Where the callback was scheduled.
    pub fn location(&self) -> &'static Location<'static> {
        self.call.location()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("cancelled", &self.cancelled())
            .field("scheduled_at", &format_args!("{}", self.location()))
            .finish()
    }
}
