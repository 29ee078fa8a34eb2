//! The latest value, and word when it changes.
//!
//! ```
//! use asyncio_sync::watch;
//! use futures_lite::future::{block_on, zip};
//!
//! let (level, mut seen) = watch::channel(0);
//! let watcher = async {
//!     seen.changed().await.unwrap();
//!     *seen.borrow_and_update()
//! };
//! assert_eq!(block_on(zip(watcher, async { level.send(7).unwrap() })).0, 7);
//! ```

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::guard::{Family, Guard, Local};
use crate::wait_queue::{Ticket, Turn, WaitQueue, Wakers};

/// The end that changes the value. Clones change the same one; when the last one is gone the receivers are told.
///
/// ```
/// let (sender, receiver) = asyncio_sync::watch::channel("old");
/// sender.send("new").unwrap();
/// assert_eq!(*receiver.borrow(), "new");
/// ```
pub struct Sender<T, F: Family = Local> {
    core: F::Shared<Core<T, F>>,
}

/// An end that looks at the value and hears of changes. A clone has seen what this one has seen.
///
/// ```
/// let (sender, mut receiver) = asyncio_sync::watch::channel(1);
/// sender.send(2).unwrap();
/// sender.send(3).unwrap();
/// assert_eq!(receiver.has_changed(), Ok(true));
/// assert_eq!(*receiver.borrow_and_update(), 3);
/// assert_eq!(receiver.has_changed(), Ok(false));
/// ```
pub struct Receiver<T, F: Family = Local> {
    core: F::Shared<Core<T, F>>,
    /// The version this end has seen.
    seen: u64,
}

/// The value as it was when one looked. It hinders nobody: a change makes a new value and leaves this one.
///
/// ```
/// let (sender, receiver) = asyncio_sync::watch::channel("old");
/// let before = receiver.borrow();
/// sender.send("new").unwrap();
/// assert_eq!((*before, *receiver.borrow()), ("old", "new"));
/// ```
pub struct Ref<T, F: Family = Local>(F::Shared<T>);

/// Waits for a change: see [`Receiver::changed`].
///
/// ```
/// use asyncio_sync::watch::{Changed, channel};
///
/// let (sender, mut receiver) = channel(1);
/// sender.send(2).unwrap();
/// let changed: Changed<'_, u32> = receiver.changed();
/// assert_eq!(futures_lite::future::block_on(changed), Ok(()));
/// ```
#[must_use = "a change is awaited: write `receiver.changed().await`"]
pub struct Changed<'a, T, F: Family = Local> {
    receiver: &'a mut Receiver<T, F>,
    ticket: Option<Ticket>,
}

/// Nobody watches; here is the value.
///
/// ```
/// let (sender, receiver) = asyncio_sync::watch::channel(1);
/// drop(receiver);
/// assert_eq!(sender.send(2), Err(asyncio_sync::watch::SendError(2)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// All senders are gone, and their last value has been seen.
///
/// ```
/// let (sender, mut receiver) = asyncio_sync::watch::channel(1);
/// drop(sender);
/// assert!(futures_lite::future::block_on(receiver.changed()).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

/// What all ends share.
struct Core<T, F: Family> {
    state: F::Guarded<State<T, F>>,
}

struct State<T, F: Family> {
    value: F::Shared<T>,
    version: u64,
    senders: usize,
    receivers: usize,
    watchers: WaitQueue,
    /// Senders that wait for the last receiver to go.
    closing: WaitQueue,
}

/// A loop-local channel that holds `value`; the thread-safe one is [`threadsafe::watch`](crate::threadsafe::watch).
///
/// ```
/// let (sender, receiver) = asyncio_sync::watch::channel(1);
/// assert_eq!(*receiver.borrow(), 1);
/// # drop(sender);
/// ```
pub fn channel<T>(value: T) -> (Sender<T, Local>, Receiver<T, Local>) {
    channel_in(value)
}

/// A channel that holds `value`, in any family.
///
/// ```
/// use asyncio_sync::{Threadsafe, watch};
///
/// let (sender, mut receiver) = watch::channel_in::<_, Threadsafe>(1);
/// std::thread::spawn(move || sender.send(2));
/// assert!(futures_lite::future::block_on(receiver.changed()).is_ok());
/// ```
pub fn channel_in<T, F: Family>(value: T) -> (Sender<T, F>, Receiver<T, F>) {
    let state = State {
        value: F::share(value),
        version: 0,
        senders: 1,
        receivers: 1,
        watchers: WaitQueue::new(),
        closing: WaitQueue::new(),
    };
    let core = F::share(Core {
        state: F::Guarded::new(state),
    });
    let sender = Sender { core: core.clone() };
    (sender, Receiver { core, seen: 0 })
}

impl<T, F: Family> Sender<T, F> {
    /// Changes the value and tells everybody who watches.
    ///
    /// # Errors
    ///
    /// Gives the value back when nobody watches; the old one stays. To change it all the same use
    /// [`send_replace`](Self::send_replace).
    ///
    /// ```
    /// let (sender, receiver) = asyncio_sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// assert_eq!(*receiver.borrow(), 2);
    /// ```
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        drop(self.replace(value));
        Ok(())
    }

    /// Changes the value, watched or not, and gives the old one.
    ///
    /// ```
    /// let (sender, _) = asyncio_sync::watch::channel("old");
    /// assert_eq!(*sender.send_replace("new"), "old");
    /// assert_eq!(*sender.borrow(), "new");
    /// ```
    pub fn send_replace(&self, value: T) -> Ref<T, F> {
        Ref(match self.replace(value) {
            Replaced::Value(old) => F::share(old),
            Replaced::Shared(old) => old,
        })
    }

    /// The value.
    ///
    /// ```
    /// let (sender, _receiver) = asyncio_sync::watch::channel(1);
    /// assert_eq!(*sender.borrow(), 1);
    /// ```
    pub fn borrow(&self) -> Ref<T, F> {
        Ref(self.core.state.with(|state| state.value.clone()))
    }

    /// One more receiver, which has seen the value there is.
    ///
    /// ```
    /// let (sender, _) = asyncio_sync::watch::channel(1);
    /// let receiver = sender.subscribe();
    /// assert_eq!(receiver.has_changed(), Ok(false));
    /// ```
    pub fn subscribe(&self) -> Receiver<T, F> {
        let seen = self.core.state.with(|state| {
            state.receivers += 1;
            state.version
        });
        Receiver {
            core: self.core.clone(),
            seen,
        }
    }

    /// How many watch.
    ///
    /// ```
    /// let (sender, _receiver) = asyncio_sync::watch::channel(1);
    /// assert_eq!(sender.receiver_count(), 1);
    /// ```
    pub fn receiver_count(&self) -> usize {
        self.core.state.with(|state| state.receivers)
    }

    /// Whether nobody watches.
    ///
    /// ```
    /// let (sender, receiver) = asyncio_sync::watch::channel(1);
    /// drop(receiver);
    /// assert!(sender.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Waits until nobody watches.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    ///
    /// ```
    /// let (sender, receiver) = asyncio_sync::watch::channel(1);
    /// drop(receiver);
    /// futures_lite::future::block_on(sender.closed());
    /// ```
    pub async fn closed(&self) {
        let mut place = Closing {
            core: &self.core,
            ticket: None,
        };
        std::future::poll_fn(|cx| place.poll(cx)).await;
    }

    fn replace(&self, value: T) -> Replaced<T, F> {
        let in_place = self
            .core
            .state
            .with(|state| match F::sole_mut(&mut state.value) {
                Some(slot) => Ok((std::mem::replace(slot, value), state.changed())),
                None => Err(value),
            });
        match in_place {
            Ok((old, wakers)) => {
                wakers.wake();
                Replaced::Value(old)
            }
            // Somebody is looking at the old one: it stays, and the new one goes beside it.
            Err(value) => {
                let value = F::share(value);
                let (old, wakers) = self.core.state.with(|state| {
                    let old = std::mem::replace(&mut state.value, value);
                    (old, state.changed())
                });
                wakers.wake();
                Replaced::Shared(old)
            }
        }
    }
}

impl<T, F: Family> State<T, F> {
    /// The value was changed: whoever watches is to be told.
    fn changed(&mut self) -> Wakers {
        self.version += 1;
        self.watchers.notify_all()
    }
}

enum Replaced<T, F: Family> {
    Value(T),
    Shared(F::Shared<T>),
}

/// A place in the line of those who wait for the last receiver to go.
struct Closing<'a, T, F: Family> {
    core: &'a Core<T, F>,
    ticket: Option<Ticket>,
}

impl<T, F: Family> Receiver<T, F> {
    /// The value. It still counts as not seen if it was not.
    ///
    /// ```
    /// let (_sender, receiver) = asyncio_sync::watch::channel(1);
    /// assert_eq!(*receiver.borrow(), 1);
    /// ```
    pub fn borrow(&self) -> Ref<T, F> {
        Ref(self.core.state.with(|state| state.value.clone()))
    }

    /// The value, which counts as seen from now on.
    ///
    /// ```
    /// let (sender, mut receiver) = asyncio_sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// assert_eq!(*receiver.borrow_and_update(), 2);
    /// assert_eq!(receiver.has_changed(), Ok(false));
    /// ```
    pub fn borrow_and_update(&mut self) -> Ref<T, F> {
        let seen = &mut self.seen;
        Ref(self.core.state.with(|state| {
            *seen = state.version;
            state.value.clone()
        }))
    }

    /// Whether there is a value this end has not seen.
    ///
    /// # Errors
    ///
    /// When there is none and all senders are gone.
    ///
    /// ```
    /// let (sender, receiver) = asyncio_sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// assert_eq!(receiver.has_changed(), Ok(true));
    /// ```
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        self.core.state.with(|state| {
            let changed = state.version != self.seen;
            if !changed && state.senders == 0 {
                return Err(RecvError);
            }
            Ok(changed)
        })
    }

    /// Waits for a value this end has not seen, and marks it as seen. If there is one it does not suspend.
    ///
    /// # Errors
    ///
    /// When there is none and all senders are gone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped: the value counts as seen from the moment in which this is ready.
    ///
    /// ```
    /// let (sender, mut receiver) = asyncio_sync::watch::channel(1);
    /// sender.send(2).unwrap();
    /// assert!(futures_lite::future::block_on(receiver.changed()).is_ok());
    /// ```
    pub fn changed(&mut self) -> Changed<'_, T, F> {
        Changed {
            receiver: self,
            ticket: None,
        }
    }

    /// Waits until `predicate` is true of the value, seen or not, and gives it.
    ///
    /// # Errors
    ///
    /// When all senders are gone and it is not.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when it is dropped.
    ///
    /// ```
    /// let (sender, mut receiver) = asyncio_sync::watch::channel(1);
    /// sender.send(7).unwrap();
    /// let big = futures_lite::future::block_on(receiver.wait_for(|level| *level > 5)).unwrap();
    /// assert_eq!(*big, 7);
    /// ```
    pub async fn wait_for(
        &mut self,
        mut predicate: impl FnMut(&T) -> bool,
    ) -> Result<Ref<T, F>, RecvError> {
        loop {
            let value = self.borrow_and_update();
            if predicate(&value) {
                return Ok(value);
            }
            // Let go first, so that the sender need not make room for a new one.
            drop(value);
            self.changed().await?;
        }
    }
}

impl<T, F: Family> Future for Changed<'_, T, F> {
    type Output = Result<(), RecvError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Changed { receiver, ticket } = self.get_mut();
        let Receiver { core, seen } = &mut **receiver;
        let (poll, _replaced) = core.state.with(|state| {
            if ticket.is_some()
                && let Turn::Waiting { replaced } = state.watchers.poll(ticket, cx.waker())
            {
                return (Poll::Pending, replaced);
            }
            if state.version != *seen {
                *seen = state.version;
                return (Poll::Ready(Ok(())), None);
            }
            if state.senders == 0 {
                return (Poll::Ready(Err(RecvError)), None);
            }
            *ticket = Some(state.watchers.push(cx.waker().clone()));
            (Poll::Pending, None)
        });
        poll
    }
}

impl<T, F: Family> Closing<'_, T, F> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Closing { core, ticket } = self;
        let turn = core.state.with(|state| {
            if ticket.is_none() && state.receivers == 0 {
                return Turn::Arrived;
            }
            state.closing.poll(ticket, cx.waker())
        });
        match turn {
            Turn::Arrived => Poll::Ready(()),
            Turn::Waiting { .. } => Poll::Pending,
        }
    }
}

// In the three below a notification need not be passed on: everybody in the line was told.
impl<T, F: Family> Drop for Changed<'_, T, F> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let state = &self.receiver.core.state;
            drop(state.with(|state| state.watchers.leave(ticket)));
        }
    }
}

impl<T, F: Family> Drop for Closing<'_, T, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            drop(self.core.state.with(|state| state.closing.leave(ticket)));
        }
    }
}

impl<T, F: Family> Drop for Receiver<T, F> {
    fn drop(&mut self) {
        let wakers = self.core.state.with(|state| {
            state.receivers -= 1;
            (state.receivers == 0).then(|| state.closing.notify_all())
        });
        if let Some(wakers) = wakers {
            wakers.wake();
        }
    }
}

impl<T, F: Family> Drop for Sender<T, F> {
    fn drop(&mut self) {
        let wakers = self.core.state.with(|state| {
            state.senders -= 1;
            (state.senders == 0).then(|| state.watchers.notify_all())
        });
        if let Some(wakers) = wakers {
            wakers.wake();
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

impl<T, F: Family> Clone for Receiver<T, F> {
    fn clone(&self) -> Self {
        self.core.state.with(|state| state.receivers += 1);
        Receiver {
            core: self.core.clone(),
            seen: self.seen,
        }
    }
}

impl<T, F: Family> Deref for Ref<T, F> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

// Nothing in it is ever pinned.
impl<T, F: Family> Unpin for Changed<'_, T, F> {}

impl<T, F: Family> fmt::Debug for Sender<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("receivers", &self.receiver_count())
            .finish_non_exhaustive()
    }
}

impl<T, F: Family> fmt::Debug for Receiver<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("changed", &self.has_changed())
            .finish_non_exhaustive()
    }
}

impl<T: fmt::Debug, F: Family> fmt::Debug for Ref<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ref").field(&**self).finish()
    }
}

impl<T, F: Family> fmt::Debug for Changed<'_, T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed")
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
        f.write_str("nobody watches this value: `subscribe()` first, or use `send_replace`")
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value will not change any more: all senders are gone, and their last value has been seen")
    }
}

impl<T> Error for SendError<T> {}
impl Error for RecvError {}
