//! Signals, one after the other.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_reactor::Reactor;
use futures_core::Stream;

use crate::listener::Listener;
use crate::signal::{IntoSignal, Signal};

/// Listens to some signals until the stream is dropped; asyncio has no such thing, its `add_signal_handler` has.
///
/// # Errors
/// `InvalidInput` for a signal that does not exist or cannot be listened to; `NotConnected` where no loop runs; what the
/// system reports when it is out of descriptors.
pub fn signals<I>(which: I) -> io::Result<Signals>
where
    I: IntoIterator<Item: IntoSignal>,
{
    let came = Rc::new(Came::default());
    let noted = came.clone();
    let listener = Listener::new(&Reactor::current()?, which, move |signal, _count| {
        noted.note(signal);
    })?;
    Ok(Signals { came, listener })
}

/// The signals that come; from [`signals`].
///
/// A signal that comes while one of its kind waits to be taken merges with it. The stream has no end.
///
/// ```
/// use asyncio_signal::{SIGUSR1, SIGUSR2, signals};
///
/// # asyncio_runtime::run(async {
/// let mut incoming = signals([SIGUSR1, SIGUSR2])?;
/// # let me = rustix::process::getpid();
/// # rustix::process::kill_process(me, rustix::process::Signal::USR2)?;
/// assert_eq!(incoming.recv().await, SIGUSR2);
/// assert_eq!(incoming.try_recv(), None);
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub struct Signals {
    came: Rc<Came>,
    listener: Listener,
}

#[derive(Default)]
struct Came {
    /// At most one of each kind, in the order in which they were heard.
    queue: RefCell<VecDeque<Signal>>,
    waiting: RefCell<Option<Waker>>,
}

impl Came {
    fn note(&self, signal: Signal) {
        let mut queue = self.queue.borrow_mut();
        if queue.contains(&signal) {
            return;
        }
        queue.push_back(signal);
        drop(queue);
        let waiting = self.waiting.borrow_mut().take();
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

impl Signals {
    /// Waits for the next signal.
    ///
    /// # Cancel safety
    /// Nothing is lost: a signal is taken only by the poll that returns it.
    pub async fn recv(&mut self) -> Signal {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The next signal, if one has come.
    pub fn try_recv(&mut self) -> Option<Signal> {
        self.came.queue.borrow_mut().pop_front()
    }

    /// The signals listened to.
    pub fn signals(&self) -> &[Signal] {
        self.listener.signals()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
        if let Some(signal) = self.try_recv() {
            return Poll::Ready(signal);
        }
        let former = self.came.waiting.replace(Some(cx.waker().clone()));
        drop(former);
        Poll::Pending
    }
}

impl Stream for Signals {
    type Item = Signal;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        self.poll_recv(cx).map(Some)
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals")
            .field("signals", &self.signals())
            .field("waiting_to_be_taken", &self.came.queue.borrow())
            .finish_non_exhaustive()
    }
}
