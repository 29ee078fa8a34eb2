//! One value from one task to another.
//!
//! ```
//! use asyncio_sync::oneshot;
//! use futures_lite::future::{block_on, zip};
//!
//! let (sender, receiver) = oneshot::channel();
//! let (received, ()) = block_on(zip(receiver, async { sender.send("done").unwrap() }));
//! assert_eq!(received, Ok("done"));
//! ```

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::guard::{Family, Guard, Local, Word};

/// The end that gives the value. Dropping it tells the receiver that none will come.
///
/// ```
/// let (sender, receiver) = asyncio_sync::oneshot::channel::<u8>();
/// drop(sender);
/// assert!(futures_lite::future::block_on(receiver).is_err());
/// ```
#[must_use = "dropping the sender tells the receiver that no value will come"]
pub struct Sender<T, F: Family = Local> {
    /// Empty once it has sent.
    core: Option<F::Shared<Core<T, F>>>,
}

/// The end that waits for the value: a future. Dropping it drops a value that was sent and not taken.
///
/// # Cancel safety
///
/// To wait again later, await `&mut receiver`: dropping that loses nothing.
///
/// ```
/// let (sender, mut receiver) = asyncio_sync::oneshot::channel();
/// sender.send(7).unwrap();
/// assert_eq!(futures_lite::future::block_on(&mut receiver), Ok(7));
/// ```
#[must_use = "the value is received by awaiting: write `receiver.await`"]
pub struct Receiver<T, F: Family = Local> {
    /// Empty once it is known what came.
    core: Option<F::Shared<Core<T, F>>>,
}

/// The sender went away without sending.
///
/// ```
/// let (_, receiver) = asyncio_sync::oneshot::channel::<u8>();
/// assert_eq!(futures_lite::future::block_on(receiver), Err(asyncio_sync::oneshot::RecvError));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

/// Why [`Receiver::try_recv`] had nothing to give.
///
/// ```
/// use asyncio_sync::oneshot::{TryRecvError, channel};
///
/// let (_sender, mut receiver) = channel::<u8>();
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// No value now; there may be one later.
    Empty,
    /// No value ever.
    Closed,
}

/// What both ends share.
struct Core<T, F: Family> {
    /// 1 if the sender sent, or went away. Written under the guard; from then on the state is the receiver's.
    done: F::Word,
    state: F::Guarded<State<T>>,
}

struct State<T> {
    value: Option<T>,
    /// The receiver closed, or went away.
    closed: bool,
    receiver: Option<Waker>,
    sender: Option<Waker>,
}

/// A loop-local channel for one value; the thread-safe one is [`threadsafe::oneshot`](crate::threadsafe::oneshot).
///
/// ```
/// let (sender, receiver) = asyncio_sync::oneshot::channel();
/// sender.send(7).unwrap();
/// assert_eq!(futures_lite::future::block_on(receiver), Ok(7));
/// ```
pub fn channel<T>() -> (Sender<T, Local>, Receiver<T, Local>) {
    channel_in()
}

/// A channel for one value, in any family.
///
/// ```
/// use asyncio_sync::{Threadsafe, oneshot};
///
/// let (sender, receiver) = oneshot::channel_in::<_, Threadsafe>();
/// std::thread::spawn(|| sender.send(7));
/// assert_eq!(futures_lite::future::block_on(receiver), Ok(7));
/// ```
pub fn channel_in<T, F: Family>() -> (Sender<T, F>, Receiver<T, F>) {
    let state = State {
        value: None,
        closed: false,
        receiver: None,
        sender: None,
    };
    let core = F::share(Core {
        done: F::Word::new(0),
        state: F::Guarded::new(state),
    });
    let sender = Sender {
        core: Some(core.clone()),
    };
    (sender, Receiver { core: Some(core) })
}

impl<T, F: Family> Sender<T, F> {
    /// Sends the value.
    ///
    /// # Errors
    ///
    /// Gives it back when the receiver is gone, or has closed.
    ///
    /// ```
    /// let (sender, receiver) = asyncio_sync::oneshot::channel();
    /// drop(receiver);
    /// assert_eq!(sender.send(7), Err(7));
    /// ```
    #[inline]
    pub fn send(mut self, value: T) -> Result<(), T> {
        let core = self.core.take().expect(NEVER_EMPTY);
        // It is empty: there is nothing to drop.
        std::mem::forget(self);
        let receiver = core.state.with(|state| {
            if state.closed {
                return Err(value);
            }
            state.value = Some(value);
            core.done.store(1);
            Ok(state.receiver.take())
        })?;
        // First, so that who is woken finds itself alone with the value.
        drop(core);
        if let Some(waker) = receiver {
            waker.wake();
        }
        Ok(())
    }

    /// Whether the receiver is gone, or has closed: then nobody wants the value.
    ///
    /// ```
    /// let (sender, receiver) = asyncio_sync::oneshot::channel::<u8>();
    /// assert!(!sender.is_closed());
    /// drop(receiver);
    /// assert!(sender.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.core().state.with(|state| state.closed)
    }

    /// Waits until the receiver is gone, or has closed.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    ///
    /// ```
    /// let (mut sender, receiver) = asyncio_sync::oneshot::channel::<u8>();
    /// drop(receiver);
    /// futures_lite::future::block_on(sender.closed());
    /// ```
    pub async fn closed(&mut self) {
        std::future::poll_fn(|cx| {
            let (closed, _replaced) = self.core().state.with(|state| {
                if state.closed {
                    return (true, None);
                }
                (false, keep(&mut state.sender, cx))
            });
            if closed {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn core(&self) -> &Core<T, F> {
        self.core.as_deref().expect(NEVER_EMPTY)
    }
}

const NEVER_EMPTY: &str = "only `send` empties a sender, and it ends it";

impl<T, F: Family> Receiver<T, F> {
    /// Takes the value if it has been sent.
    ///
    /// # Errors
    ///
    /// When it has not, for now or, the sender being gone, for ever.
    ///
    /// ```
    /// let (sender, mut receiver) = asyncio_sync::oneshot::channel();
    /// sender.send(7).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(7));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let Some(core) = &self.core else {
            return Err(TryRecvError::Closed);
        };
        if core.done.load() != 0 {
            return self.conclude().ok_or(TryRecvError::Closed);
        }
        let closed = core.state.with(|state| state.closed);
        Err(if closed {
            TryRecvError::Closed
        } else {
            TryRecvError::Empty
        })
    }

    /// Says that no value is wanted any more. One that was sent before can still be taken.
    ///
    /// ```
    /// let (sender, mut receiver) = asyncio_sync::oneshot::channel();
    /// receiver.close();
    /// assert_eq!(sender.send(7), Err(7));
    /// ```
    pub fn close(&mut self) {
        let Some(core) = &self.core else { return };
        let (sender, _receiver) = core.state.with(|state| {
            state.closed = true;
            (state.sender.take(), state.receiver.take())
        });
        if let Some(waker) = sender {
            waker.wake();
        }
    }

    /// The sender is done: what came from it, if anything.
    #[inline]
    fn conclude(&mut self) -> Option<T> {
        match F::try_last(self.core.take()?) {
            Ok(core) => core.state.into_inner().value,
            // On another thread the sender is just letting go.
            Err(core) => core.state.with(|state| state.value.take()),
        }
    }
}

/// Puts this task's waker where it will be found; gives back the one that was there, to be dropped after the guard.
fn keep(slot: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match slot {
        Some(old) if old.will_wake(cx.waker()) => None,
        slot => slot.replace(cx.waker().clone()),
    }
}

impl<T, F: Family> Future for Receiver<T, F> {
    type Output = Result<T, RecvError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Some(core) = &this.core else {
            return Poll::Ready(Err(RecvError));
        };
        if core.done.load() == 0 {
            let (waits, _replaced) = core.state.with(|state| {
                let waits = !state.closed && core.done.load() == 0;
                let replaced = if waits {
                    keep(&mut state.receiver, cx)
                } else {
                    None
                };
                (waits, replaced)
            });
            if waits {
                return Poll::Pending;
            }
        }
        Poll::Ready(this.conclude().ok_or(RecvError))
    }
}

impl<T, F: Family> Drop for Sender<T, F> {
    #[inline]
    fn drop(&mut self) {
        let Some(core) = self.core.take() else { return };
        let receiver = core.state.with(|state| {
            core.done.store(1);
            state.receiver.take()
        });
        drop(core);
        if let Some(waker) = receiver {
            waker.wake();
        }
    }
}

impl<T, F: Family> Drop for Receiver<T, F> {
    #[inline]
    fn drop(&mut self) {
        let Some(core) = &self.core else { return };
        // If the sender is done, what it sent goes with the last pointer.
        if core.done.load() == 0 {
            self.close();
        }
    }
}

// Nothing in it is ever pinned.
impl<T, F: Family> Unpin for Receiver<T, F> {}

impl<T, F: Family> fmt::Debug for Sender<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("closed", &self.is_closed())
            .finish()
    }
}

impl<T, F: Family> fmt::Debug for Receiver<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.core.as_ref().is_none_or(|core| core.done.load() != 0);
        f.debug_struct("Receiver").field("done", &done).finish()
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no value came: the sender was dropped without `send`, or its value was taken before",
        )
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryRecvError::Empty => {
                f.write_str("no value has been sent yet: `receiver.await` waits for it")
            }
            TryRecvError::Closed => RecvError.fmt(f),
        }
    }
}

impl Error for RecvError {}
impl Error for TryRecvError {}
