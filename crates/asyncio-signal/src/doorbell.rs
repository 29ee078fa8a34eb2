//! The descriptor that the handler writes to and the reactor watches.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::action::Fd;

/// An eventfd on Linux, a pipe elsewhere; non-blocking at both ends.
pub(crate) struct Doorbell {
    heard: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    rung: OwnedFd,
}

impl Doorbell {
    #[cfg(target_os = "linux")]
    pub(crate) fn new() -> io::Result<Doorbell> {
        use rustix::event::{EventfdFlags, eventfd};
        let heard = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Doorbell { heard })
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn new() -> io::Result<Doorbell> {
        let (heard, rung) = io::pipe()?;
        rustix::io::ioctl_fionbio(&heard, true)?;
        rustix::io::ioctl_fionbio(&rung, true)?;
        Ok(Doorbell {
            heard: heard.into(),
            rung: rung.into(),
        })
    }

    /// Where the handler writes.
    pub(crate) fn button(&self) -> Fd {
        #[cfg(target_os = "linux")]
        return self.heard.as_raw_fd();
        #[cfg(not(target_os = "linux"))]
        return self.rung.as_raw_fd();
    }

    /// Reads what was written, so that the descriptor is not ready any more.
    pub(crate) fn silence(&self) {
        let mut drain = [0; 256];
        while matches!(rustix::io::read(&self.heard, &mut drain), Ok(n) if n == drain.len()) {}
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.heard.as_fd()
    }
}
