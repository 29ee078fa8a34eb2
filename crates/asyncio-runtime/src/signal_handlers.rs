//! Callbacks for signals: asyncio's `add_signal_handler`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::rc::Rc;

use asyncio_executor::{Context, copy_context};
use asyncio_signal::{IntoSignal, Listener, Signal};

use crate::event_loop::{EventLoop, Inner, running};
use crate::handle::{LoopHandle, get_running_loop};
use crate::interrupt::is_main_thread;

/// The signal handlers of one loop.
#[derive(Default)]
pub(crate) struct SignalHandlers {
    by_signal: RefCell<BTreeMap<Signal, Handler>>,
}

struct Handler {
    _listener: Listener,
    /// What is called; `None` once it has been removed: what is queued already does not run any more then.
    in_force: Rc<RefCell<Option<Action>>>,
}

#[derive(Clone)]
struct Action {
    context: Context,
    callback: Rc<RefCell<dyn FnMut()>>,
}

impl Drop for Handler {
    fn drop(&mut self) {
        let last = self.in_force.take();
        drop(last);
    }
}

impl SignalHandlers {
    fn in_force(&self, signal: Signal) -> Option<Rc<RefCell<Option<Action>>>> {
        let by_signal = self.by_signal.borrow();
        by_signal
            .get(&signal)
            .map(|handler| handler.in_force.clone())
    }

    fn remove(&self, signal: Signal) -> bool {
        let removed = self.by_signal.borrow_mut().remove(&signal);
        // Dropped with no borrow held: the callback may own anything.
        removed.is_some()
    }

    /// At the close of the loop (S199).
    pub(crate) fn clear(&self) {
        let removed = self.by_signal.take();
        drop(removed);
    }
}

impl Inner {
    fn add_signal_handler(
        &self,
        signal: impl IntoSignal,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        self.check_open("add_signal_handler");
        let signal = signal.into_signal()?;
        if !is_main_thread() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "a handler for {signal} can be added in the main thread only: call `add_signal_handler` on the loop \
                     that runs there, or take a stream of signals, which every loop may have"
                ),
            ));
        }
        let action = Action {
            context: copy_context(),
            callback: Rc::new(RefCell::new(callback)),
        };
        let known = self.signal_handlers.in_force(signal);
        if let Some(in_force) = known {
            // The listener stays: a signal that it has heard of, and the loop has not, is for the new one.
            let replaced = in_force.replace(Some(action));
            // Dropped with no borrow held: the callback may own anything.
            drop(replaced);
            return Ok(());
        }
        let in_force = Rc::new(RefCell::new(Some(action)));
        let heard = in_force.clone();
        let listener = Listener::new(&self.reactor, [signal], move |_signal, _times| {
            // The reactor waits inside a run of this loop.
            let (Some(inner), Some(action)) = (running(), heard.borrow().clone()) else {
                return;
            };
            let heard = heard.clone();
            let context = action.context.clone();
            inner.call_soon_in(&context, move || {
                let is_removed = heard.borrow().is_none();
                if !is_removed {
                    (action.callback.borrow_mut())();
                }
            });
        })?;
        let handler = Handler {
            _listener: listener,
            in_force,
        };
        let none = self
            .signal_handlers
            .by_signal
            .borrow_mut()
            .insert(signal, handler);
        debug_assert!(none.is_none(), "replaced above");
        Ok(())
    }

    fn remove_signal_handler(&self, signal: impl IntoSignal) -> bool {
        signal
            .into_signal()
            .is_ok_and(|signal| self.signal_handlers.remove(signal))
    }
}

impl LoopHandle {
    /// Has a callback run whenever a signal came (S198).
    ///
    /// It runs as one of the loop's callbacks, not in the signal's own context, so it may do anything; in a copy of the
    /// context that is current now, the same for every run. A handler set again for the same signal replaces the former
    /// one, also for a signal that came and that the loop has not heard of. Several signals of a kind that come before the
    /// callback ran may lead to one run of it.
    ///
    /// A handler for SIGINT takes the place of [`run`](crate::run)'s own Ctrl-C until it is removed.
    ///
    /// # Errors
    ///
    /// `Unsupported` in other threads than the main one; `InvalidInput` for a number that no signal has, for SIGKILL and
    /// SIGSTOP, which no program can catch, and for what a thread's own failure leads to (SIGSEGV and its like).
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_runtime::get_running_loop;
    /// use asyncio_signal::SIGTERM;
    ///
    /// # fn shut_down() {}
    /// asyncio_runtime::run(async {
    ///     let event_loop = get_running_loop();
    ///     event_loop.add_signal_handler(SIGTERM, shut_down)?;
    ///     // …
    ///     assert!(event_loop.remove_signal_handler(SIGTERM));
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn add_signal_handler(
        &self,
        signal: impl IntoSignal,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        self.here("add_signal_handler")
            .add_signal_handler(signal, callback)
    }

    /// Removes a handler; false if there was none (S199).
    ///
    /// It is not called any more, also for a signal that came before. The action that the process had for this signal
    /// before the handler was added is in force again.
    ///
    /// # Panics
    ///
    /// Outside of this running loop.
    #[track_caller]
    pub fn remove_signal_handler(&self, signal: impl IntoSignal) -> bool {
        self.here("remove_signal_handler")
            .remove_signal_handler(signal)
    }
}

impl EventLoop {
    /// Has a callback run whenever a signal came, see [`LoopHandle::add_signal_handler`]. Closing the loop removes it.
    ///
    /// # Errors
    ///
    /// See there.
    ///
    /// # Panics
    ///
    /// When the loop is closed.
    #[track_caller]
    pub fn add_signal_handler(
        &self,
        signal: impl IntoSignal,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        self.inner().add_signal_handler(signal, callback)
    }

    /// Removes a handler; false if there was none, see [`LoopHandle::remove_signal_handler`].
    pub fn remove_signal_handler(&self, signal: impl IntoSignal) -> bool {
        self.inner().remove_signal_handler(signal)
    }
}

/// [`LoopHandle::add_signal_handler`] of the running loop.
///
/// # Errors
///
/// See there.
///
/// # Panics
///
/// Outside of a running loop.
#[track_caller]
pub fn add_signal_handler(
    signal: impl IntoSignal,
    callback: impl FnMut() + 'static,
) -> io::Result<()> {
    get_running_loop().add_signal_handler(signal, callback)
}

/// [`LoopHandle::remove_signal_handler`] of the running loop.
///
/// # Panics
///
/// Outside of a running loop.
#[track_caller]
pub fn remove_signal_handler(signal: impl IntoSignal) -> bool {
    get_running_loop().remove_signal_handler(signal)
}

impl fmt::Debug for SignalHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.by_signal.borrow().keys())
            .finish()
    }
}
