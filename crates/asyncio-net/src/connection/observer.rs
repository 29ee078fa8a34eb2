//! The way from a connection up to a transport.

use std::rc::Weak;
use std::task::{Context, Poll};

use crate::connection::Connection;

/// Who is told what happens to a connection: at once, and with nothing of it borrowed.
pub(crate) trait Observer {
    /// More than the high water mark is unsent.
    fn writing_paused(&self);
    /// No more than the low water mark is unsent, after it was more than the high one.
    fn writing_resumed(&self);
    /// The connection is lost or finished; it may be said twice.
    fn ended(&self);
}

impl Connection {
    /// Has somebody told, once in the connection's life.
    pub(crate) fn observe(&self, observer: Weak<dyn Observer>) {
        let observed = self.observer.set(observer);
        debug_assert!(observed.is_ok(), "a connection has one observer");
    }

    /// Waits until nobody reads what is written to this pipe.
    pub(crate) fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = match &*self.source.borrow() {
            Some(source) => source.poll_hung_up(cx),
            None => return Poll::Ready(()),
        };
        match polled {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            // Or it cannot be waited for; then a write will tell.
            Poll::Pending | Poll::Ready(Err(_)) => Poll::Pending,
        }
    }

    pub(super) fn tell(&self, what: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = self.observer.get().and_then(Weak::upgrade) {
            what(&*observer);
        }
    }
}
