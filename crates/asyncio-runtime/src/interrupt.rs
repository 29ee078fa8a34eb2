//! Ctrl-C: the first one asks the main task to end, the second one ends the process (S181).
//!
//! During a run a listener stands in for the default action of SIGINT. It hears of one signal; then the default action is
//! back, by the kernel's own doing, so that a second Ctrl-C ends the process however busy the loop is. Outside of runs
//! nothing is touched, and where the program handles or ignores SIGINT itself nothing is either.
//!
//! One that comes while the main task is in its last step finds nobody to ask. It is not forgotten: the run is interrupted
//! all the same, as in asyncio, and what the main task returned is dropped.

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;

use asyncio_executor::{Task, TaskRef};
use asyncio_signal::{Listener, SIGINT};

use crate::event_loop::EventLoop;

/// SIGINT leads to the main task of one run while this lives.
pub(crate) struct Interrupt {
    listener: Listener,
    fired: Rc<Cell<bool>>,
    /// Whether the main task had ended when the loop heard of the signal.
    too_late: Rc<Cell<bool>>,
    main: TaskRef,
}

impl Interrupt {
    /// `None` in other threads than the main one, and where the program has a SIGINT handler of its own (S181).
    pub(crate) fn install<T>(
        event_loop: &EventLoop,
        main: &Task<T>,
    ) -> io::Result<Option<Interrupt>> {
        if !is_main_thread() {
            return Ok(None);
        }
        let Some(main) = event_loop.reference(main) else {
            return Ok(None);
        };
        let fired = Rc::new(Cell::new(false));
        let too_late = Rc::new(Cell::new(false));
        let (asked, told, in_vain) = (main.clone(), fired.clone(), too_late.clone());
        let listener =
            Listener::instead_of_default(event_loop.reactor(), SIGINT, move |_signal, _times| {
                if !told.replace(true) {
                    in_vain.set(!asked.cancel());
                }
            })?;
        Ok(listener.map(|listener| Interrupt {
            listener,
            fired,
            too_late,
            main,
        }))
    }

    /// Whether a signal came and the main task never heard of it. To be asked when that has ended.
    pub(crate) fn came_too_late(&self) -> bool {
        self.too_late.get() || (!self.fired.get() && self.listener.has_pending())
    }

    /// Whether a signal came and nobody else asked the main task to end.
    pub(crate) fn is_the_only_request(&self) -> bool {
        self.fired.get() && self.main.cancelling() <= 1
    }
}

pub(crate) fn is_main_thread() -> bool {
    #[cfg(target_os = "linux")]
    {
        rustix::thread::gettid() == rustix::process::getpid()
    }
    #[cfg(not(target_os = "linux"))]
    {
        std::thread::current().name() == Some("main")
    }
}

/// Ends the process as SIGINT would have, so that a shell sees an interrupted program and not a failed one. As CPython at
/// its exit, it first writes out what was printed and is still in `std`'s buffer.
pub(crate) fn leave_with_the_signals_status() -> ! {
    // Where nobody reads any more there is nobody to tell. Whoever waits too long for it presses Ctrl-C again.
    let _ = io::stdout().flush();
    asyncio_signal::exit_by(SIGINT)
}
