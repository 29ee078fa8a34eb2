//! What the child does between `fork` and `exec`: the only unsafe code of this crate.
//!
//! `std` can do neither of the two things: a session of one's own, and descriptors that the new program inherits under
//! their number.
#![allow(unsafe_code)]

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::FdFlags;

/// Has the child begin a session and keep descriptors open, if that is asked for. If not, nothing is set, and `std` may start
/// the program by `posix_spawn`, which is faster for a large process than `fork`.
pub(crate) fn prepare(command: &mut Command, new_session: bool, passed: Vec<OwnedFd>) {
    if !new_session && passed.is_empty() {
        return;
    }
    let in_the_child = move || {
        if new_session {
            rustix::process::setsid()?;
        }
        for fd in &passed {
            rustix::io::fcntl_setfd(fd, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: in the child of a process with threads only what a signal handler may do is allowed before `exec`. The
    // closure makes two kinds of system calls; it takes no lock, allocates nothing (an error is a number), and reads a
    // vector that nobody changes.
    unsafe { command.pre_exec(in_the_child) };
}
