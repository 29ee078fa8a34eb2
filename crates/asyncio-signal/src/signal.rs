//! What a signal is called.

use std::fmt;
use std::io;

use libc::c_int;

/// The largest number a signal may have here: Linux has 64.
pub(crate) const LAST: usize = 64;

/// A signal, by its number; asyncio: `signal.Signals`.
///
/// The usual ones are constants of this crate, [`SIGTERM`] and so on. Every function that takes a signal takes a plain
/// number as well, and says so if it is none.
///
/// ```
/// use asyncio_signal::{SIGTERM, Signal};
///
/// assert_eq!(SIGTERM.as_raw(), 15);
/// assert_eq!(SIGTERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::from_raw(15)?, SIGTERM);
/// assert!(Signal::from_raw(0).is_err());
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(c_int);

impl Signal {
    /// The signal with this number.
    ///
    /// # Errors
    /// `InvalidInput` for a number that no signal has.
    pub fn from_raw(number: i32) -> io::Result<Signal> {
        if (1..=LAST as c_int).contains(&number) {
            return Ok(Signal(number));
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{number} is not a signal: expected a number from 1 to {LAST}"),
        ))
    }

    /// Its number.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Its name, where it has one of its own: real-time signals have not.
    pub fn name(self) -> Option<&'static str> {
        NAMES
            .iter()
            .find(|(signal, _)| *signal == self)
            .map(|(_, name)| *name)
    }

    /// Its bit in a set of signals.
    pub(crate) fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }

    /// The signals of a set, in the order of their numbers.
    pub(crate) fn in_set(set: u64) -> impl Iterator<Item = Signal> {
        (1..=LAST as c_int)
            .map(Signal)
            .filter(move |signal| set & signal.bit() != 0)
    }

    /// Whether it can be listened to.
    ///
    /// # Errors
    /// `InvalidInput` for the two that the kernel delivers to nobody, and for those that a thread gets for what it does
    /// itself: its handler would return to the very instruction that failed.
    pub(crate) fn check_can_be_heard(self) -> io::Result<()> {
        let reason = match self {
            SIGKILL | SIGSTOP => "the kernel lets no program catch it",
            SIGSEGV | SIGBUS | SIGILL | SIGFPE => {
                "it says that a thread's own code has failed, and cannot wait for an event loop"
            }
            _ => return Ok(()),
        };
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{self} cannot be listened to: {reason}"),
        ))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<i32> for Signal {
    type Error = io::Error;

    fn try_from(number: i32) -> io::Result<Signal> {
        Signal::from_raw(number)
    }
}

/// What names a signal: a [`Signal`], or its number.
///
/// ```
/// use asyncio_signal::{IntoSignal, SIGHUP};
///
/// assert_eq!(1.into_signal()?, SIGHUP);
/// assert_eq!(SIGHUP.into_signal()?, SIGHUP);
/// # std::io::Result::Ok(())
/// ```
pub trait IntoSignal {
    /// The signal.
    ///
    /// # Errors
    /// `InvalidInput` for a number that no signal has.
    fn into_signal(self) -> io::Result<Signal>;
}

impl IntoSignal for Signal {
    fn into_signal(self) -> io::Result<Signal> {
        Ok(self)
    }
}

impl IntoSignal for i32 {
    fn into_signal(self) -> io::Result<Signal> {
        Signal::from_raw(self)
    }
}

macro_rules! named {
    ($($name:ident: $what:literal,)*) => {
        $(
            #[doc = $what]
            pub const $name: Signal = Signal(libc::$name);
        )*

        const NAMES: &[(Signal, &str)] = &[$(($name, stringify!($name)),)*];
    };
}

named! {
    SIGHUP: "The terminal has gone; by custom also: read the configuration again.",
    SIGINT: "Ctrl-C.",
    SIGQUIT: "Ctrl-\\: end, with a core dump.",
    SIGILL: "An instruction that does not exist; cannot be listened to.",
    SIGTRAP: "A breakpoint.",
    SIGABRT: "`abort()` was called.",
    SIGBUS: "Memory that is not there; cannot be listened to.",
    SIGFPE: "A calculation without a result; cannot be listened to.",
    SIGKILL: "The end, without an answer; cannot be listened to.",
    SIGUSR1: "Whatever the program says it means.",
    SIGSEGV: "Memory that is not ours; cannot be listened to.",
    SIGUSR2: "Whatever the program says it means.",
    SIGPIPE: "A write into a pipe that nobody reads. Rust programs ignore it.",
    SIGALRM: "The timer of `alarm()` has run out.",
    SIGTERM: "A request to end.",
    SIGCHLD: "A child has ended, stopped or gone on.",
    SIGCONT: "Goes on after a stop.",
    SIGSTOP: "Stop; cannot be listened to.",
    SIGTSTP: "Ctrl-Z.",
    SIGTTIN: "A background job wants to read from the terminal.",
    SIGTTOU: "A background job wants to write to the terminal.",
    SIGURG: "Urgent data on a socket.",
    SIGXCPU: "The limit of processor time is reached.",
    SIGXFSZ: "The limit of a file's size is reached.",
    SIGVTALRM: "The timer of a process's own time has run out.",
    SIGPROF: "The timer of a profiler has run out.",
    SIGWINCH: "The terminal has another size.",
    SIGIO: "A descriptor is ready.",
    SIGSYS: "A system call that does not exist.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_its_signals_in_the_order_of_their_numbers() {
        let set = SIGTERM.bit() | SIGHUP.bit() | Signal(64).bit();
        assert_eq!(
            Signal::in_set(set).collect::<Vec<_>>(),
            [SIGHUP, SIGTERM, Signal(64)]
        );
    }

    #[test]
    fn numbers_that_no_signal_has_are_refused_in_words() {
        for number in [-1, 0, 65, i32::MAX] {
            let error = Signal::from_raw(number).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(
                error.to_string().contains(&number.to_string()),
                "{error} must name {number}"
            );
        }
    }
}
