//! Waiting until something that is shared has become so.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_sync::WaitQueue;
use asyncio_sync::wait_queue::{Ticket, Turn};

/// Those who wait for a change of a state that lies elsewhere. Whoever changes it says so; everybody then looks for himself.
#[derive(Default)]
pub(crate) struct Changes {
    /// Boxed, and made for the first who waits: most connections come and go without.
    waiting: RefCell<Option<Box<WaitQueue>>>,
}

impl Changes {
    /// Wakes everybody who waits.
    pub(crate) fn announce(&self) {
        let wakers = match &mut *self.waiting.borrow_mut() {
            Some(waiting) if waiting.waiting() > 0 => waiting.notify_all(),
            _ => return,
        };
        wakers.wake();
    }

    /// Waits until `look` finds what it looks for.
    ///
    /// Cancel safety: gives up a place in line, nothing else.
    pub(crate) fn until<R, L: FnMut() -> Option<R> + Unpin>(&self, look: L) -> Until<'_, L> {
        Until {
            changes: self,
            place: None,
            look,
        }
    }

    /// The same, one poll at a time; `place` must go to [`leave`](Changes::leave) if it is not polled to its end.
    pub(crate) fn poll_until<R>(
        &self,
        place: &mut Option<Ticket>,
        cx: &mut Context<'_>,
        mut look: impl FnMut() -> Option<R>,
    ) -> Poll<R> {
        loop {
            if let Some(found) = look() {
                self.leave(place);
                return Poll::Ready(found);
            }
            let turn = self
                .waiting
                .borrow_mut()
                .get_or_insert_default()
                .poll(place, cx.waker());
            match turn {
                Turn::Arrived => {}
                Turn::Waiting { .. } => return Poll::Pending,
            }
        }
    }

    pub(crate) fn leave(&self, place: &mut Option<Ticket>) {
        if let Some(ticket) = place.take() {
            let left = self
                .waiting
                .borrow_mut()
                .as_mut()
                .map(|waiting| waiting.leave(ticket));
            drop(left);
        }
    }
}

pub(crate) struct Until<'a, L> {
    changes: &'a Changes,
    place: Option<Ticket>,
    look: L,
}

impl<R, L: FnMut() -> Option<R> + Unpin> Future for Until<'_, L> {
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let this = &mut *self;
        this.changes.poll_until(&mut this.place, cx, &mut this.look)
    }
}

impl<L> Drop for Until<'_, L> {
    fn drop(&mut self) {
        self.changes.leave(&mut self.place);
    }
}
