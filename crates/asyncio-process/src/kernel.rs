//! A child as the kernel knows it: signals to it, its end, and its exit status, which is given out once.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use asyncio_signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitIdStatus};

/// The exit status of a child that somebody else has reaped (S228).
const UNKNOWN: i32 = 255;

/// A child from its start until it is reaped. `Send`: it may pass from loop to loop.
#[derive(Debug)]
pub(crate) struct KernelChild {
    pid: Pid,
    /// Means this child and no other, also after its number is another's.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    pidfd: Option<OwnedFd>,
    /// The exit status once it was taken. Locked while a signal is sent: until the status is taken the number is the
    /// child's.
    ended: Mutex<Option<End>>,
}

/// How a child has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    /// What the child returned, or the negated signal that ended it.
    pub(crate) returncode: i32,
    /// Whether the status was somebody else's to take.
    pub(crate) reaped_elsewhere: bool,
}

impl KernelChild {
    /// A child that was just started.
    pub(crate) fn new(pid: Pid, with_pidfd: bool) -> io::Result<KernelChild> {
        let mut child = KernelChild::without_pidfd(pid);
        if with_pidfd {
            child.pidfd = open_pidfd(pid)?;
        }
        Ok(child)
    }

    /// The same, known by its number alone.
    pub(crate) fn without_pidfd(pid: Pid) -> KernelChild {
        KernelChild {
            pid,
            pidfd: None,
            ended: Mutex::new(None),
        }
    }

    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Becomes readable when the child ends.
    pub(crate) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Takes the exit status if the child has ended; from then on there is no such process.
    pub(crate) fn try_reap(&self) -> Option<End> {
        let mut ended = self.lock();
        if ended.is_none() {
            *ended = self.reap();
        }
        *ended
    }

    fn reap(&self) -> Option<End> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = loop {
            match self.waitid(options) {
                Ok(Some(status)) => break status,
                Ok(None) => return None,
                Err(Errno::INTR) => {}
                // CHILD: the program ignores SIGCHLD, or waits for children of ours.
                Err(_) => {
                    return Some(End {
                        returncode: UNKNOWN,
                        reaped_elsewhere: true,
                    });
                }
            }
        };
        let returncode = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => -signal,
            (None, None) => UNKNOWN,
        };
        Some(End {
            returncode,
            reaped_elsewhere: false,
        })
    }

    #[cfg(target_os = "linux")]
    fn waitid(&self, options: WaitIdOptions) -> Result<Option<WaitIdStatus>, Errno> {
        use rustix::process::waitid;
        if let Some(pidfd) = &self.pidfd {
            match waitid(WaitId::PidFd(pidfd.as_fd()), options) {
                // INVAL: Linux 5.3, and some sandboxes, have such descriptors and cannot wait by them. The number is the
                // child's until it is reaped.
                Err(error) if !matches!(error, Errno::CHILD | Errno::INTR) => {}
                result => return result,
            }
        }
        waitid(WaitId::Pid(self.pid), options)
    }

    #[cfg(not(target_os = "linux"))]
    fn waitid(&self, options: WaitIdOptions) -> Result<Option<WaitIdStatus>, Errno> {
        rustix::process::waitid(WaitId::Pid(self.pid), options)
    }

    /// Sends a signal; false if the child has been reaped.
    ///
    /// One that has ended and waits to be reaped takes no notice (S229).
    pub(crate) fn send(&self, signal: Signal) -> io::Result<bool> {
        let ended = self.lock();
        if ended.is_some() {
            return Ok(false);
        }
        already_gone(self.send_while_unreaped(signal))
    }

    #[cfg(target_os = "linux")]
    fn send_while_unreaped(&self, signal: Signal) -> io::Result<()> {
        // rustix knows no real-time signals; those go by number, which is the child's, as the lock is held.
        let named = rustix::process::Signal::from_named_raw(signal.as_raw());
        match (&self.pidfd, named) {
            (Some(pidfd), Some(named)) => Ok(rustix::process::pidfd_send_signal(pidfd, named)?),
            _ => self.send_by_number(self.pid.as_raw_nonzero().get(), signal),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn send_while_unreaped(&self, signal: Signal) -> io::Result<()> {
        self.send_by_number(self.pid.as_raw_nonzero().get(), signal)
    }

    /// Sends a signal to the child's number, or its negated one, its group, unless somebody else has reaped it: then the
    /// number may be a stranger's. (Whoever does so on another thread between the look and the call cannot be helped.)
    fn send_by_number(&self, number: i32, signal: Signal) -> io::Result<()> {
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match self.waitid(look) {
            Err(Errno::CHILD) => Err(Errno::SRCH.into()),
            _ => asyncio_signal::kill(number, signal),
        }
    }

    /// Sends a signal to the process group that the child leads; false if the child has been reaped.
    pub(crate) fn send_to_group(&self, signal: Signal) -> io::Result<bool> {
        let ended = self.lock();
        if ended.is_some() {
            // The group may live on, but its number is not held by anything of ours.
            return Ok(false);
        }
        already_gone(self.send_by_number(-self.pid.as_raw_nonzero().get(), signal))
    }

    /// Reaps a child that was killed, waiting for its end on the spot, 100 ms at most.
    pub(crate) fn reap_within_a_moment(&self) -> Option<End> {
        const MILLISECOND: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000,
        };
        for _ in 0..100 {
            if let Some(end) = self.try_reap() {
                return Some(end);
            }
            // Ends early if the child does; without a descriptor it only sleeps.
            let _ = match &self.pidfd {
                Some(pidfd) => poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&MILLISECOND)),
                None => poll(&mut [], Some(&MILLISECOND)),
            };
        }
        self.try_reap()
    }

    fn lock(&self) -> MutexGuard<'_, Option<End>> {
        // A whole value is stored at once.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// S229: a process that has ended takes no notice of signals.
fn already_gone(sent: io::Result<()>) -> io::Result<bool> {
    match sent {
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(true),
        sent => sent.map(|()| true),
    }
}

/// `None` where the system has no descriptors of processes.
#[cfg(target_os = "linux")]
fn open_pidfd(pid: Pid) -> io::Result<Option<OwnedFd>> {
    use rustix::process::{PidfdFlags, pidfd_open};
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Some(pidfd)),
        Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => Err(error.into()),
        // An old kernel, a sandbox that forbids it, or a child that was reaped elsewhere.
        Err(_) => Ok(None),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_pidfd(_: Pid) -> io::Result<Option<OwnedFd>> {
    Ok(None)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    #[expect(clippy::zombie_processes, reason = "it is reaped by what is tested")]
    fn where_the_kernel_cannot_wait_by_a_descriptor_the_number_serves() {
        let started = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
        let mut child = KernelChild::without_pidfd(Pid::from_child(&started));
        // One by which no kernel can wait.
        let (nothing, _writer) = std::io::pipe().unwrap();
        child.pidfd = Some(nothing.into());
        let end = child.reap_within_a_moment();
        let end = end.or_else(|| child.reap_within_a_moment()).unwrap();
        assert_eq!((end.returncode, end.reaped_elsewhere), (7, false));
    }
}
