//! A closure that is called when a signal came.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use asyncio_reactor::{Interest, Reactor, Watch};

use crate::doorbell::Doorbell;
use crate::registry;
use crate::signal::{IntoSignal, Signal};
use crate::slots::Slot;

/// Has a closure called in a loop's thread when one of its signals came, until this is dropped.
///
/// The closure runs inside the reactor's wait, not in the handler: it may do anything. It is given the signal and how
/// often that came since the last call; pending signals of a kind may have merged before they were counted.
///
/// Dropping the last listener of a signal brings the process's former action back. The reactor may go first; then the
/// closure is not called any more, but the action stays until this is dropped, too.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use asyncio_reactor::Reactor;
/// use asyncio_signal::{Listener, SIGUSR1};
///
/// let reactor = Reactor::new()?;
/// let count = Rc::new(Cell::new(0));
/// let seen = count.clone();
/// let listener = Listener::new(&reactor, [SIGUSR1], move |_signal, times| seen.set(seen.get() + times))?;
/// # rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR1)?;
/// while count.get() == 0 {
///     reactor.wait(None)?;
/// }
/// drop(listener); // the default action is back
/// # std::io::Result::Ok(())
/// ```
#[must_use = "dropping a listener ends it: keep it for as long as the signals shall be heard"]
pub struct Listener {
    slot: &'static Slot,
    /// The signals to be given back on drop.
    signals: Vec<Signal>,
    stands_in: bool,
    alive: Rc<Cell<bool>>,
    watch: Option<Watch>,
    _doorbell: Rc<Doorbell>,
}

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    /// `InvalidInput` for a signal that does not exist or cannot be listened to; what the system reports when it is out
    /// of descriptors. Then nothing has changed.
    pub fn new<I>(
        reactor: &Reactor,
        signals: I,
        heard: impl Fn(Signal, u32) + 'static,
    ) -> io::Result<Listener>
    where
        I: IntoIterator<Item: IntoSignal>,
    {
        let mut listener = Listener::deaf(reactor, heard)?;
        for signal in signals {
            let signal = signal.into_signal()?;
            if !listener.signals.contains(&signal) {
                registry::listen(signal, listener.slot)?;
                listener.signals.push(signal);
            }
        }
        Ok(listener)
    }

    /// Stands in for the default action of a signal: hears of it *once*; the next one has the default action, whatever
    /// the loop is doing by then. This is what Ctrl-C is made of: the first asks, the second ends.
    ///
    /// While somebody listens to the signal by [`new`](Listener::new), this one hears nothing. `None` where the program
    /// handles or ignores the signal already.
    ///
    /// # Errors
    /// As [`new`](Listener::new).
    pub fn instead_of_default(
        reactor: &Reactor,
        signal: impl IntoSignal,
        heard: impl Fn(Signal, u32) + 'static,
    ) -> io::Result<Option<Listener>> {
        let signal = signal.into_signal()?;
        let mut listener = Listener::deaf(reactor, heard)?;
        listener.stands_in = true;
        if !registry::stand_in(signal, listener.slot)? {
            return Ok(None);
        }
        listener.signals.push(signal);
        Ok(Some(listener))
    }

    fn deaf(reactor: &Reactor, heard: impl Fn(Signal, u32) + 'static) -> io::Result<Listener> {
        let doorbell = Rc::new(Doorbell::new()?);
        let slot = Slot::claim(doorbell.button());
        let alive = Rc::new(Cell::new(true));
        let mut listener = Listener {
            slot,
            signals: Vec::new(),
            stands_in: false,
            alive: alive.clone(),
            watch: None,
            _doorbell: doorbell.clone(),
        };
        let bell = doorbell.clone();
        let callback = Rc::new(move || {
            bell.silence();
            if !alive.get() {
                return;
            }
            // Taken before any is told: what is told first may drop the listener, and the place be somebody else's.
            for (signal, count) in slot.take() {
                if alive.get() {
                    heard(signal, count);
                }
            }
        });
        listener.watch = Some(reactor.watch(doorbell.as_fd(), Interest::Readable, callback)?);
        Ok(listener)
    }

    /// Whether a signal came of which the closure has not been told: it is lost if this is dropped now.
    ///
    /// ```
    /// use asyncio_reactor::Reactor;
    /// use asyncio_signal::{Listener, SIGUSR2};
    ///
    /// let reactor = Reactor::new()?;
    /// let listener = Listener::new(&reactor, [SIGUSR2], |_signal, _times| {})?;
    /// assert!(!listener.has_pending());
    /// # rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR2)?;
    /// while !listener.has_pending() {
    ///     std::thread::yield_now(); // the handler may run in any thread
    /// }
    /// reactor.wait(None)?; // calls the closure
    /// assert!(!listener.has_pending());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn has_pending(&self) -> bool {
        self.slot.has_come()
    }

    /// Whether it is this reactor that calls the closure.
    pub fn is_by(&self, reactor: &Reactor) -> bool {
        self.watch
            .as_ref()
            .is_some_and(|watch| watch.is_by(reactor))
    }

    /// The signals it listens to.
    pub fn signals(&self) -> &[Signal] {
        &self.signals
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.alive.set(false);
        for &signal in &self.signals {
            if self.stands_in {
                registry::end_stand_in(signal, self.slot);
            } else {
                registry::unlisten(signal, self.slot);
            }
        }
        // Before the descriptor can be closed.
        self.slot.release();
        self.watch.take();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("signals", &self.signals)
            .field("stands_in", &self.stands_in)
            .finish_non_exhaustive()
    }
}
