//! Every value to every receiver; who is too slow is told how many it missed.
//!
//! ```
//! use asyncio_sync::broadcast;
//! use futures_lite::future::block_on;
//!
//! let (sender, mut one) = broadcast::channel(16);
//! let mut two = sender.subscribe();
//! sender.send("news").unwrap();
//! assert_eq!(block_on(one.recv()), Ok("news"));
//! assert_eq!(block_on(two.recv()), Ok("news"));
//! ```

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::guard::{Family, Guard, Local};
use crate::wait_queue::{Ticket, Turn, WaitQueue};

/// The end that sends. Clones send to the same receivers; when the last one is gone the receivers are told.
///
/// ```
/// let (sender, receiver) = asyncio_sync::broadcast::channel(4);
/// let other = sender.clone();
/// other.send(1).unwrap();
/// assert_eq!(receiver.len(), 1);
/// ```
pub struct Sender<T, F: Family = Local> {
    core: F::Shared<Core<T, F>>,
}

/// An end that receives what is sent from the moment in which it was made.
///
/// ```
/// let (sender, mut receiver) = asyncio_sync::broadcast::channel(4);
/// sender.send(7).unwrap();
/// assert_eq!(receiver.try_recv(), Ok(7));
/// ```
#[must_use = "values are kept for a receiver until it has received them or is dropped"]
pub struct Receiver<T, F: Family = Local> {
    core: F::Shared<Core<T, F>>,
    /// The number of the next value to receive.
    next: u64,
}

/// Waits for a value: see [`Receiver::recv`].
///
/// ```
/// use asyncio_sync::broadcast::{Recv, channel};
///
/// let (sender, mut receiver) = channel(1);
/// sender.send(7).unwrap();
/// let recv: Recv<'_, u32> = receiver.recv();
/// assert_eq!(futures_lite::future::block_on(recv), Ok(7));
/// ```
#[must_use = "a value is received by awaiting: write `receiver.recv().await`"]
pub struct Recv<'a, T, F: Family = Local> {
    receiver: &'a mut Receiver<T, F>,
    ticket: Option<Ticket>,
}

/// Nobody receives; here is the value.
///
/// ```
/// let (sender, receiver) = asyncio_sync::broadcast::channel(4);
/// drop(receiver);
/// assert_eq!(sender.send(7), Err(asyncio_sync::broadcast::SendError(7)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Why there was no value to receive.
///
/// ```
/// use asyncio_sync::broadcast::{RecvError, channel};
///
/// let (sender, mut receiver) = channel(2);
/// for n in 0..5 {
///     sender.send(n).unwrap();
/// }
/// futures_lite::future::block_on(async {
///     assert_eq!(receiver.recv().await, Err(RecvError::Lagged(3)));
///     assert_eq!(receiver.recv().await, Ok(3));
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// All senders are gone, and everything they sent was received.
    Closed,
    /// So many values were sent over the capacity before they were received here, and are lost to this receiver. The
    /// next call gives the oldest that is left.
    Lagged(u64),
}

/// Why there was no value to receive without waiting.
///
/// ```
/// use asyncio_sync::broadcast::{TryRecvError, channel};
///
/// let (_sender, mut receiver) = channel::<u8>(2);
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// Nothing now; there may be something later.
    Empty,
    /// As [`RecvError::Closed`].
    Closed,
    /// As [`RecvError::Lagged`].
    Lagged(u64),
}

/// What all ends share.
struct Core<T, F: Family> {
    state: F::Guarded<State<T, F>>,
    capacity: usize,
}

struct State<T, F: Family> {
    /// The latest values, oldest first. The first one has still to be received by somebody.
    values: VecDeque<Slot<T, F>>,
    /// The number of the first of them.
    first: u64,
    senders: usize,
    receivers: usize,
    line: WaitQueue,
}

struct Slot<T, F: Family> {
    /// Shared, because a clone of the user's may not run while the state is guarded.
    value: F::Shared<T>,
    /// How many receivers have still to receive it; never 0 for the first.
    unseen: usize,
}

/// A loop-local channel that keeps `capacity` values; the thread-safe one is
/// [`threadsafe::broadcast`](crate::threadsafe::broadcast).
///
/// # Panics
///
/// When `capacity` is 0.
///
/// ```
/// let (sender, mut receiver) = asyncio_sync::broadcast::channel(4);
/// sender.send(7).unwrap();
/// assert_eq!(receiver.try_recv(), Ok(7));
/// ```
pub fn channel<T>(capacity: usize) -> (Sender<T, Local>, Receiver<T, Local>) {
    channel_in(capacity)
}

/// A channel that keeps `capacity` values, in any family.
///
/// # Panics
///
/// When `capacity` is 0.
///
/// ```
/// use asyncio_sync::{Threadsafe, broadcast};
///
/// let (sender, mut receiver) = broadcast::channel_in::<_, Threadsafe>(4);
/// std::thread::spawn(move || sender.send(7));
/// assert_eq!(futures_lite::future::block_on(receiver.recv()), Ok(7));
/// ```
pub fn channel_in<T, F: Family>(capacity: usize) -> (Sender<T, F>, Receiver<T, F>) {
    assert!(
        capacity > 0,
        "a broadcast channel keeps at least 1 value, and a capacity of 0 came: every value would be lost before it is received"
    );
    let state = State {
        values: VecDeque::new(),
        first: 0,
        senders: 1,
        receivers: 1,
        line: WaitQueue::new(),
    };
    let core = F::share(Core {
        state: F::Guarded::new(state),
        capacity,
    });
    let sender = Sender { core: core.clone() };
    (sender, Receiver { core, next: 0 })
}

impl<T, F: Family> Sender<T, F> {
    /// Sends a value to all receivers there are, and gives their number. It never waits: if the channel is full its
    /// oldest value is dropped, and who had not received it yet will be told.
    ///
    /// # Errors
    ///
    /// Gives the value back when there is no receiver.
    ///
    /// ```
    /// let (sender, _receiver) = asyncio_sync::broadcast::channel(4);
    /// assert_eq!(sender.send(7), Ok(1));
    /// ```
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let mut unsent = Some(F::share(value));
        let sent = self.core.state.with(|state| {
            if state.receivers == 0 {
                return None;
            }
            let mut lost = None;
            if state.values.len() == self.core.capacity {
                lost = state.values.pop_front();
                state.first += 1;
            }
            state.values.push_back(Slot {
                value: unsent.take()?,
                unseen: state.receivers,
            });
            Some((state.receivers, state.line.notify_all(), lost))
        });
        match sent {
            Some((receivers, wakers, _lost)) => {
                wakers.wake();
                Ok(receivers)
            }
            None => {
                let value = unsent.and_then(|value| F::try_last(value).ok());
                Err(SendError(
                    value.expect("it was shared here and with nobody"),
                ))
            }
        }
    }

    /// One more receiver, for what is sent from now on.
    ///
    /// ```
    /// let (sender, _receiver) = asyncio_sync::broadcast::channel(4);
    /// sender.send(1).unwrap();
    /// let late = sender.subscribe();
    /// assert!(late.is_empty());
    /// ```
    pub fn subscribe(&self) -> Receiver<T, F> {
        let next = self.core.state.with(|state| {
            state.receivers += 1;
            state.end()
        });
        Receiver {
            core: self.core.clone(),
            next,
        }
    }

    /// How many receive.
    ///
    /// ```
    /// let (sender, _receiver) = asyncio_sync::broadcast::channel::<u8>(4);
    /// assert_eq!(sender.receiver_count(), 1);
    /// ```
    pub fn receiver_count(&self) -> usize {
        self.core.state.with(|state| state.receivers)
    }
}

impl<T, F: Family> Receiver<T, F> {
    /// How many values are there to receive.
    ///
    /// ```
    /// let (sender, receiver) = asyncio_sync::broadcast::channel(4);
    /// sender.send(7).unwrap();
    /// assert_eq!(receiver.len(), 1);
    /// ```
    pub fn len(&self) -> usize {
        self.core.state.with(|state| {
            let unseen = state.end() - self.next.max(state.first);
            unseen as usize
        })
    }

    /// Whether there are none.
    ///
    /// ```
    /// let (_sender, receiver) = asyncio_sync::broadcast::channel::<u8>(4);
    /// assert!(receiver.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Clone, F: Family> Receiver<T, F> {
    /// Waits for the next value. Each receiver gets a clone; the last one gets the value itself.
    ///
    /// # Errors
    ///
    /// When all senders are gone and nothing is left, or when values were lost because this receiver was too slow: that
    /// is said once, then it goes on with the oldest that is left.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped: the value is received in the moment in which this is ready.
    ///
    /// ```
    /// let (sender, mut receiver) = asyncio_sync::broadcast::channel(4);
    /// sender.send(7).unwrap();
    /// assert_eq!(futures_lite::future::block_on(receiver.recv()), Ok(7));
    /// ```
    pub fn recv(&mut self) -> Recv<'_, T, F> {
        Recv {
            receiver: self,
            ticket: None,
        }
    }

    /// The next value, if there is one.
    ///
    /// # Errors
    ///
    /// When there is none now, or as [`recv`](Self::recv).
    ///
    /// ```
    /// let (sender, mut receiver) = asyncio_sync::broadcast::channel(4);
    /// sender.send(7).unwrap();
    /// assert_eq!(receiver.try_recv(), Ok(7));
    /// ```
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let next = &mut self.next;
        let taken = self.core.state.with(|state| state.take(next))?;
        Ok(taken.into_value())
    }
}

/// A value as it leaves the guard.
enum Taken<T, F: Family> {
    /// Others have still to receive it.
    Shared(F::Shared<T>),
    /// Everybody else has received it.
    Last(F::Shared<T>),
}

impl<T: Clone, F: Family> Taken<T, F> {
    fn into_value(self) -> T {
        match self {
            Taken::Shared(shared) => T::clone(&shared),
            Taken::Last(shared) => match F::try_last(shared) {
                Ok(value) => value,
                // On another thread somebody is at its clone still.
                Err(shared) => T::clone(&shared),
            },
        }
    }
}

impl<T, F: Family> State<T, F> {
    /// The number of the value to be sent next.
    fn end(&self) -> u64 {
        self.first + self.values.len() as u64
    }

    /// The value of this number, or why there is none.
    fn take(&mut self, next: &mut u64) -> Result<Taken<T, F>, TryRecvError> {
        if *next < self.first {
            let missed = self.first - *next;
            *next = self.first;
            return Err(TryRecvError::Lagged(missed));
        }
        let at = (*next - self.first) as usize;
        let Some(slot) = self.values.get_mut(at) else {
            return Err(match self.senders {
                0 => TryRecvError::Closed,
                _ => TryRecvError::Empty,
            });
        };
        *next += 1;
        slot.unseen -= 1;
        if slot.unseen > 0 {
            return Ok(Taken::Shared(slot.value.clone()));
        }
        // Who has not received an older one has not received this one either: so this is the first.
        let slot = self.values.pop_front().expect("the slot just looked at");
        self.first += 1;
        Ok(Taken::Last(slot.value))
    }
}

impl<T: Clone, F: Family> Future for Recv<'_, T, F> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Recv { receiver, ticket } = self.get_mut();
        let Receiver { core, next } = &mut **receiver;
        let (taken, _replaced) = core.state.with(|state| {
            if ticket.is_some()
                && let Turn::Waiting { replaced } = state.line.poll(ticket, cx.waker())
            {
                return (Err(TryRecvError::Empty), replaced);
            }
            let taken = state.take(next);
            if let Err(TryRecvError::Empty) = taken {
                *ticket = Some(state.line.push(cx.waker().clone()));
            }
            (taken, None)
        });
        Poll::Ready(match taken {
            Ok(taken) => Ok(taken.into_value()),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
            Err(TryRecvError::Empty) => return Poll::Pending,
        })
    }
}

impl<T, F: Family> Drop for Recv<'_, T, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            // A notification need not be passed on: every receiver was told.
            drop(
                self.receiver
                    .core
                    .state
                    .with(|state| state.line.leave(ticket)),
            );
        }
    }
}

impl<T, F: Family> Clone for Sender<T, F> {
    fn clone(&self) -> Self {
        self.core.state.with(|state| state.senders += 1);
        Sender {
            core: self.core.clone(),
        }
    }
}

impl<T, F: Family> Drop for Sender<T, F> {
    fn drop(&mut self) {
        let wakers = self.core.state.with(|state| {
            state.senders -= 1;
            (state.senders == 0).then(|| state.line.notify_all())
        });
        if let Some(wakers) = wakers {
            wakers.wake();
        }
    }
}

impl<T, F: Family> Drop for Receiver<T, F> {
    fn drop(&mut self) {
        let unseen = self.core.state.with(|state| {
            state.receivers -= 1;
            let from = self.next.saturating_sub(state.first) as usize;
            for slot in state.values.iter_mut().skip(from) {
                slot.unseen -= 1;
            }
            let seen = state
                .values
                .iter()
                .take_while(|slot| slot.unseen == 0)
                .count();
            state.first += seen as u64;
            state.values.drain(..seen).collect::<Vec<_>>()
        });
        drop(unseen);
    }
}

// Nothing in it is ever pinned.
impl<T, F: Family> Unpin for Recv<'_, T, F> {}

impl<T, F: Family> fmt::Debug for Sender<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (values, receivers) = self
            .core
            .state
            .with(|state| (state.values.len(), state.receivers));
        f.debug_struct("Sender")
            .field("values", &values)
            .field("receivers", &receivers)
            .finish()
    }
}

impl<T, F: Family> fmt::Debug for Receiver<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .finish()
    }
}

impl<T, F: Family> fmt::Debug for Recv<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv")
            .field("in_line", &self.ticket.is_some())
            .finish()
    }
}

// By hand: what was refused need not be printable.
impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SendError(..)")
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody receives from this channel: `subscribe()` first")
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Closed => f.write_str("all senders of the channel are gone"),
            RecvError::Lagged(missed) => write!(
                f,
                "{missed} values were lost to this receiver: receive faster, or give the channel more capacity"
            ),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TryRecvError::Empty => f.write_str("no value is there: `recv().await` waits for one"),
            TryRecvError::Closed => RecvError::Closed.fmt(f),
            TryRecvError::Lagged(missed) => RecvError::Lagged(missed).fmt(f),
        }
    }
}

impl<T> Error for SendError<T> {}
impl Error for RecvError {}
impl Error for TryRecvError {}
