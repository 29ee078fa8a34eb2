//! A flag that tasks can wait for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::guard::{Family, Guard, Word};
use crate::wait_queue::{Ticket, Turn, WaitQueue};

/// A flag that tasks can wait for: `asyncio.Event`.
///
/// [`set`](Self::set) releases everybody who is waiting, in order of arrival, even if [`clear`](Self::clear) follows at
/// once; whoever begins to wait while the flag is set passes without suspending.
///
/// ```
/// use asyncio_sync::Event;
/// use futures_lite::future::{block_on, zip};
///
/// let ready = Event::new();
/// block_on(zip(ready.wait(), async { ready.set() }));
/// assert!(ready.is_set());
/// ```
pub struct Event<F: Family> {
    /// 1 if it is set. Written under the guard, so that nobody joins the line of an event that is set.
    set: F::Word,
    line: F::Guarded<WaitQueue>,
}

/// Waits for an [`Event`]: see [`Event::wait`].
///
/// ```
/// use asyncio_sync::{Event, Local, event::Wait};
///
/// let event = Event::new();
/// event.set();
/// let wait: Wait<'_, Local> = event.wait();
/// futures_lite::future::block_on(wait);
/// ```
#[must_use = "a wait does nothing until it is awaited: write `event.wait().await`"]
pub struct Wait<'a, F: Family> {
    event: &'a Event<F>,
    ticket: Option<Ticket>,
}

impl<F: Family> Event<F> {
    /// An event that is not set.
    ///
    /// ```
    /// assert!(!asyncio_sync::Event::new().is_set());
    /// ```
    pub fn new() -> Self {
        Event {
            set: F::Word::new(0),
            line: F::Guarded::new(WaitQueue::new()),
        }
    }

    /// Whether the flag is set.
    ///
    /// ```
    /// let event = asyncio_sync::Event::new();
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    #[inline]
    pub fn is_set(&self) -> bool {
        self.set.load() != 0
    }

    /// Sets the flag and wakes everybody who waits, in the order in which they began. Setting it again does nothing.
    ///
    /// ```
    /// let event = asyncio_sync::Event::new();
    /// event.set();
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    pub fn set(&self) {
        let wakers = self.line.with(|line| {
            self.set.store(1);
            line.notify_all()
        });
        wakers.wake();
    }

    /// Takes the flag back. Whoever was released by an earlier [`set`](Self::set) stays released.
    ///
    /// ```
    /// let event = asyncio_sync::Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    pub fn clear(&self) {
        self.line.with(|_| self.set.store(0));
    }

    /// Waits until the flag is set; a set flag is passed without suspending.
    ///
    /// # Cancel safety
    ///
    /// Dropping the wait gives up its place in line, nothing else.
    ///
    /// ```
    /// let event = asyncio_sync::Event::new();
    /// event.set();
    /// futures_lite::future::block_on(event.wait());
    /// ```
    pub fn wait(&self) -> Wait<'_, F> {
        Wait {
            event: self,
            ticket: None,
        }
    }
}

impl<F: Family> Future for Wait<'_, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let (event, ticket) = (this.event, &mut this.ticket);
        if ticket.is_none() && event.is_set() {
            return Poll::Ready(());
        }
        let turn = event.line.with(|line| {
            if ticket.is_none() && event.is_set() {
                return Turn::Arrived;
            }
            line.poll(ticket, cx.waker())
        });
        match turn {
            Turn::Arrived => Poll::Ready(()),
            Turn::Waiting { .. } => Poll::Pending,
        }
    }
}

impl<F: Family> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // A notification need not be passed on: `set` told everybody.
            drop(self.event.line.with(|line| line.leave(ticket)));
        }
    }
}

impl<F: Family> Default for Event<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Family> fmt::Debug for Event<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .field("waiting", &self.line.with(|line| line.waiting()))
            .finish()
    }
}

impl<F: Family> fmt::Debug for Wait<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("in_line", &self.ticket.is_some())
            .finish()
    }
}
