//! Ctrl-C: the first one asks the main task to end, the second one ends the process (S181).
//!
//! Three actions hang on SIGINT, in this order. A *conditional default*: if the flag is set, the default action takes
//! the process down. Then the flag is set, so that a second signal finds it so. Then a byte goes into a pipe, which
//! the loop's reactor watches. The flag is set whenever no run is on, so that outside of runs Ctrl-C does what it
//! always did. The first two are installed once per process and never removed.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use asyncio_executor::{Task, TaskRef};
use asyncio_reactor::{Interest, Reactor, Watch};
use signal_hook::SigId;
use signal_hook::consts::SIGINT;
use signal_hook::low_level;

use crate::event_loop::EventLoop;

/// SIGINT leads to the main task of one run while this lives.
pub(crate) struct Interrupt {
    default_action: Arc<AtomicBool>,
    pipe: SigId,
    _watch: Watch,
    fired: Rc<Cell<bool>>,
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
        let Some(default_action) = default_action()? else {
            return Ok(None);
        };
        let Some(main) = event_loop.reference(main) else {
            return Ok(None);
        };
        let (reader, writer) = UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        let fired = Rc::new(Cell::new(false));
        let watch = watch(event_loop.reactor(), reader, main.clone(), fired.clone())?;
        let pipe = low_level::pipe::register(SIGINT, writer)?;
        // From here on the first signal is ours. Release: pairs with the handler's load on whatever thread it runs.
        default_action.store(false, Ordering::Release);
        Ok(Some(Interrupt {
            default_action,
            pipe,
            _watch: watch,
            fired,
            main,
        }))
    }

    /// Whether a signal came and nobody else asked the main task to end.
    pub(crate) fn is_the_only_request(&self) -> bool {
        self.fired.get() && self.main.cancelling() <= 1
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.default_action.store(true, Ordering::Release);
        low_level::unregister(self.pipe);
    }
}

fn watch(
    reactor: &Reactor,
    reader: UnixStream,
    main: TaskRef,
    fired: Rc<Cell<bool>>,
) -> io::Result<Watch> {
    let reader = Rc::new(RefCell::new(reader));
    // The callback keeps the descriptor open for as long as the watch is there.
    let kept = reader.clone();
    let callback = Rc::new(move || {
        let mut drain = [0; 16];
        while matches!(kept.borrow_mut().read(&mut drain), Ok(n) if n > 0) {}
        if !fired.replace(true) {
            main.cancel();
        }
    });
    reactor.watch(reader.borrow().as_fd(), Interest::Readable, callback)
}

/// The flag behind the conditional default action; `None` where the program handles or ignores SIGINT itself.
fn default_action() -> io::Result<Option<Arc<AtomicBool>>> {
    static FLAG: OnceLock<Option<Arc<AtomicBool>>> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(flag.clone());
    }
    if sigint_is_taken() {
        return Ok(FLAG.get_or_init(|| None).clone());
    }
    let flag = Arc::new(AtomicBool::new(true));
    // Runs only here, in the main thread: nobody else installs the pair meanwhile.
    signal_hook::flag::register_conditional_default(SIGINT, flag.clone())?;
    signal_hook::flag::register(SIGINT, flag.clone())?;
    Ok(FLAG.get_or_init(|| Some(flag)).clone())
}

/// Whether SIGINT is caught or ignored already. Linux tells in `/proc`; elsewhere the answer is no.
fn sigint_is_taken() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return false;
    };
    status
        .lines()
        .filter_map(|line| {
            line.strip_prefix("SigCgt:")
                .or(line.strip_prefix("SigIgn:"))
        })
        .filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .any(|mask| mask & (1 << (SIGINT - 1)) != 0)
}

fn is_main_thread() -> bool {
    #[cfg(target_os = "linux")]
    {
        rustix::thread::gettid() == rustix::process::getpid()
    }
    #[cfg(not(target_os = "linux"))]
    {
        std::thread::current().name() == Some("main")
    }
}

/// Ends the process as SIGINT would have, so that a shell sees an interrupted program and not a failed one.
pub(crate) fn leave_with_the_signals_status() -> ! {
    let _ = low_level::emulate_default_handler(SIGINT);
    // Not reached unless the signal is blocked; 128 + signal number is what a shell would show.
    std::process::exit(128 + SIGINT)
}
