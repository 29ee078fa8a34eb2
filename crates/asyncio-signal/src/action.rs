//! The process's actions, and the handler: the only unsafe code of this crate.
//!
//! `signal-hook` would spare us this file, but it never gives an action back: once it has handled a signal, the default
//! action of that signal is gone for the life of the process (S199 wants it back).
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr;

use libc::c_int;

use crate::signal::{SIGKILL, Signal};
use crate::slots;

/// What the process does when a signal comes.
pub(crate) struct Action(libc::sigaction);

impl Action {
    /// The action in force.
    pub(crate) fn current(signal: Signal) -> io::Result<Action> {
        let mut current = MaybeUninit::uninit();
        // SAFETY: a null pointer for the new action asks only; the kernel fills `current`, or says that it did not.
        let result = unsafe { libc::sigaction(signal.as_raw(), ptr::null(), current.as_mut_ptr()) };
        if result != 0 {
            return Err(refused(signal));
        }
        // SAFETY: filled, by the check above.
        Ok(Action(unsafe { current.assume_init() }))
    }

    /// Our handler; with `once` the kernel brings the default action back when it calls the handler the first time.
    pub(crate) fn ours(once: bool) -> Action {
        let mut action = Action::default();
        let ours: extern "C" fn(c_int) = handler;
        action.0.sa_sigaction = ours as usize;
        // Whoever is interrupted in a blocking call shall not notice; the alternative stack is the one that Rust, or
        // another language in the same process, gives to threads with small stacks.
        action.0.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        if once {
            action.0.sa_flags |= libc::SA_RESETHAND;
        }
        action
    }

    /// The system's own action.
    pub(crate) fn default() -> Action {
        // SAFETY: all zeros is a valid `sigaction`: the default action, no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = libc::SIG_DFL;
        // SAFETY: the pointer is to a field of a local variable.
        unsafe { libc::sigemptyset(&mut action.sa_mask) };
        Action(action)
    }

    pub(crate) fn is_default(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_DFL
    }

    /// Whether, as the action for SIGCHLD, it has the kernel reap children by itself.
    pub(crate) fn forgets_children(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_IGN || self.0.sa_flags & libc::SA_NOCLDWAIT != 0
    }

    pub(crate) fn is_ours(&self) -> bool {
        let ours: extern "C" fn(c_int) = handler;
        self.0.sa_sigaction == ours as usize
    }

    /// Puts this action into force.
    pub(crate) fn set(&self, signal: Signal) -> io::Result<()> {
        // SAFETY: `self` is one of three: what the kernel said was in force, the default, or our handler, which does only
        // what a handler may do.
        let result = unsafe { libc::sigaction(signal.as_raw(), &self.0, ptr::null_mut()) };
        if result != 0 {
            return Err(refused(signal));
        }
        Ok(())
    }
}

fn refused(signal: Signal) -> io::Error {
    let error = io::Error::last_os_error();
    let kind = error.kind();
    io::Error::new(
        kind,
        format!("the system lets nobody set an action for {signal}: {error}"),
    )
}

/// Called by the kernel in whatever thread, between any two instructions of it. So: no allocation, no lock, no panic, and
/// the thread's `errno` as it was.
extern "C" fn handler(number: c_int) {
    // SAFETY: the place belongs to this thread and lives as long as it.
    let errno = unsafe { *errno_of_this_thread() };
    slots::announce(number, |fd| {
        // SAFETY: `announce` lends us a descriptor that its owner does not close before we have returned.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        // A full pipe, or a counter at its end, is readable already: nothing is lost by an error.
        let _ = rustix::io::write(fd, &1_u64.to_ne_bytes());
    });
    // SAFETY: as above.
    unsafe { *errno_of_this_thread() = errno };
}

#[cfg(any(target_os = "solaris", target_os = "illumos"))]
use libc::___errno as errno_of_this_thread;
#[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
use libc::__errno as errno_of_this_thread;
#[cfg(any(
    target_os = "linux",
    target_os = "emscripten",
    target_os = "hurd",
    target_os = "redox"
))]
use libc::__errno_location as errno_of_this_thread;
#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "dragonfly"
))]
use libc::__error as errno_of_this_thread;

/// Ends the process as the default action of a signal would, so that a shell sees an interrupted program and not a failed
/// one.
///
/// What is buffered in this process is not flushed. If the default action does not end a process, or somebody keeps it
/// from that, the exit status is 128 + the signal's number, which is what a shell would show.
///
/// ```no_run
/// asyncio_signal::exit_by(asyncio_signal::SIGINT)
/// ```
pub fn exit_by(signal: Signal) -> ! {
    // No action can be set for SIGKILL: it has its default one always.
    if Action::default().set(signal).is_ok() || signal == SIGKILL {
        let mut only = MaybeUninit::uninit();
        // SAFETY: the set is made before it is used, and lives as long as the calls; `raise` of a signal with its default
        // action runs no code of ours.
        unsafe {
            libc::sigemptyset(only.as_mut_ptr());
            libc::sigaddset(only.as_mut_ptr(), signal.as_raw());
            libc::pthread_sigmask(libc::SIG_UNBLOCK, only.as_ptr(), ptr::null_mut());
            libc::raise(signal.as_raw());
        }
    }
    std::process::exit(128 + signal.as_raw())
}

/// `kill(2)`, for `asyncio-process`: a process by its number, a group by its number negated. Unlike rustix it takes
/// real-time signals, too.
#[doc(hidden)]
pub fn kill(process: i32, signal: Signal) -> io::Result<()> {
    // SAFETY: a system call that takes two numbers.
    match unsafe { libc::kill(process, signal.as_raw()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The type of a descriptor as the table keeps it.
pub(crate) type Fd = RawFd;
