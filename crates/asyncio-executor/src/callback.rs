//! Callbacks in the ready queue and the handle that takes one back.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::context::{self, Context};
use crate::local::Local;
use crate::run_queue::Entry;

/// What the ready queue knows of a callback.
pub(crate) trait Call {
    fn run(&self);
    /// Drops the closure unrun.
    fn cancel(&self);
    fn is_cancelled(&self) -> bool;
    fn context(&self) -> Option<&Context>;
    fn location(&self) -> &'static Location<'static>;
}

struct Once<F> {
    f: Cell<Option<F>>,
    cancelled: Cell<bool>,
    context: Option<Context>,
    location: &'static Location<'static>,
}

impl<F: FnOnce()> Call for Once<F> {
    fn run(&self) {
        if let Some(f) = self.f.take() {
            if let Some(context) = &self.context {
                // Left by `Local::call`, which keeps this.
                context.make_current();
            }
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

    fn context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    fn location(&self) -> &'static Location<'static> {
        self.location
    }
}

/// A callback for the ready queue, which runs it in `context`, or in one of its own.
pub(crate) fn once(
    f: impl FnOnce() + 'static,
    context: Option<Context>,
    location: &'static Location<'static>,
) -> Rc<dyn Call> {
    Rc::new(Once {
        f: Cell::new(Some(f)),
        cancelled: Cell::new(false),
        context,
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
    /// A callback that is not queued yet: for a timer that queues it when its time has come. It runs in a copy of the
    /// context that is current now (S244).
    #[track_caller]
    pub fn unscheduled(callback: impl FnOnce() + 'static) -> Handle {
        Handle {
            call: once(callback, context::copy_current(), Location::caller()),
        }
    }

    /// The same for a callback that runs in the given context itself (S246).
    #[track_caller]
    pub fn unscheduled_in(context: &Context, callback: impl FnOnce() + 'static) -> Handle {
        Handle {
            call: once(callback, Some(context.clone()), Location::caller()),
        }
    }

    /// Appends the callback to the ready queue of the current executor; it runs at most once however often it is
    /// queued. Dropped unrun where no executor is entered or the executor closes.
    pub fn schedule(&self) {
        match Local::current() {
            Some(local) if !local.is_closing() => local.push(Entry::Call(self.call.clone())),
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

    /// The context it runs in; asyncio: `get_context`. `None` for one of its own that does not exist before it runs.
    pub fn context(&self) -> Option<Context> {
        self.call.context().cloned()
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
