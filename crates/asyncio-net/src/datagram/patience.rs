//! Sending to receivers which others have filled.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_reactor::Address;
use asyncio_timers::{Sleep, Timers};

/// The first pause, and the longest; each is twice as long as the one before.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);

const NO_LOOP: &str =
    "the receiver is full, and there is no running event loop to wait in: send inside `run`";

/// Makes attempts with pauses in between, longer and longer ones.
///
/// For the one case in which the kernel has no event for "there is room again": a datagram with an address of a Unix socket,
/// whose receiver others have filled. The sender's own socket stays writable, and each attempt even says so anew, so that
/// whoever relied on that would try all the time. (Where the socket is connected the kernel knows whom to ask.)
#[derive(Default)]
pub(crate) struct Patience {
    pausing: Option<Sleep>,
    last: Duration,
}

impl Patience {
    /// Whether a datagram with that address needs it.
    pub(crate) fn is_needed_for(to: Option<&Address>) -> bool {
        matches!(to, Some(Address::Unix(_)))
    }

    /// Makes an attempt, unless there is a pause after one that said `WouldBlock`.
    ///
    /// # Errors
    /// Those of the attempt but `WouldBlock`, which outside a running loop is `NotConnected`.
    pub(crate) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        mut attempt: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            if let Some(pause) = &mut self.pausing {
                ready!(Pin::new(pause).poll(cx));
                self.pausing = None;
            }
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Timers::try_current().is_none() {
                        return Poll::Ready(Err(io::Error::new(
                            io::ErrorKind::NotConnected,
                            NO_LOOP,
                        )));
                    }
                    self.last = (self.last * 2).clamp(SHORTEST, LONGEST);
                    self.pausing = Some(Sleep::new(self.last));
                }
                result => {
                    self.last = Duration::ZERO;
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Takes a pause back.
    pub(super) fn reset(&mut self) {
        *self = Patience::default();
    }
}
