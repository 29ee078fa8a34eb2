//! Items handed from task to task.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::discipline::Discipline;
use crate::error::{
    GetNowaitError, PutNowaitError, QueueEmpty, QueueFull, QueueShutDown, TaskDoneError,
};
use crate::guard::{Family, Guard};
use crate::wait_queue::{Left, Ticket, Turn, WaitQueue};

/// Items handed from task to task: `asyncio.Queue`. In which order they come out is the [`Discipline`] `D`.
///
/// Getters and putters are woken in order of arrival. As in asyncio nothing is reserved for the one who was woken: another
/// `get` that runs before it may take the item, and it then goes to the end of the line.
///
/// ```
/// use asyncio_sync::Queue;
/// use futures_lite::future::{block_on, zip};
///
/// let jobs = Queue::new();
/// for job in ["wash", "dry"] {
///     jobs.put_nowait(job).unwrap();
/// }
/// let worker = async {
///     let mut done = vec![];
///     while let Ok(job) = jobs.get().await {
///         done.push(job);
///         jobs.task_done().unwrap();
///     }
///     done
/// };
/// let manager = async {
///     jobs.join().await;
///     jobs.shutdown(false);
/// };
/// assert_eq!(block_on(zip(worker, manager)).0, ["wash", "dry"]);
/// ```
pub struct Queue<D: Discipline, F: Family> {
    state: F::Guarded<State<D>>,
    /// `usize::MAX` where there is no limit.
    limit: usize,
}

/// Waits for room and puts an item: see [`Queue::put`].
///
/// ```
/// use asyncio_sync::{Local, Queue, discipline::Fifo, queue::Put};
///
/// let queue = Queue::new();
/// let put: Put<'_, Fifo<u32>, Local> = queue.put(7);
/// assert_eq!(futures_lite::future::block_on(put), Ok(()));
/// ```
#[must_use = "a put does nothing until it is awaited: write `queue.put(item).await`, or `put_nowait`"]
pub struct Put<'a, D: Discipline, F: Family> {
    queue: &'a Queue<D, F>,
    /// Moves into the queue, or into the error.
    item: Option<D::Item>,
    ticket: Option<Ticket>,
}

/// Waits for an item: see [`Queue::get`].
///
/// ```
/// use asyncio_sync::{Local, Queue, discipline::Fifo, queue::Get};
///
/// let queue = Queue::new();
/// queue.put_nowait(7).unwrap();
/// let get: Get<'_, Fifo<u32>, Local> = queue.get();
/// assert_eq!(futures_lite::future::block_on(get), Ok(7));
/// ```
#[must_use = "a get does nothing until it is awaited: write `queue.get().await`, or `get_nowait`"]
pub struct Get<'a, D: Discipline, F: Family> {
    queue: &'a Queue<D, F>,
    ticket: Option<Ticket>,
}

/// Waits until every item is done: see [`Queue::join`].
///
/// ```
/// use asyncio_sync::{Local, Queue, discipline::Fifo, queue::Join};
///
/// let queue = Queue::<u32>::new();
/// let join: Join<'_, Fifo<u32>, Local> = queue.join();
/// futures_lite::future::block_on(join);
/// ```
#[must_use = "a join does nothing until it is awaited: write `queue.join().await`"]
pub struct Join<'a, D: Discipline, F: Family> {
    queue: &'a Queue<D, F>,
    ticket: Option<Ticket>,
}

/// While somebody waits for an item and there is one, another getter is notified and will take it or pass it on.
/// The mirror holds for putters and room. After a shutdown nobody waits for either.
struct State<D> {
    items: D,
    /// Put, and not yet marked done.
    unfinished: usize,
    shut_down: bool,
    getters: WaitQueue,
    putters: WaitQueue,
    joiners: WaitQueue,
}

impl<D: Discipline, F: Family> Queue<D, F> {
    /// A queue without limit.
    ///
    /// ```
    /// let queue = asyncio_sync::Queue::<u8>::new();
    /// assert_eq!(queue.maxsize(), 0);
    /// ```
    pub fn new() -> Self {
        Self::bounded(0)
    }

    /// A queue that holds at most `maxsize` items; with 0 there is no limit, as in asyncio.
    ///
    /// ```
    /// let queue = asyncio_sync::Queue::bounded(1);
    /// queue.put_nowait('a').unwrap();
    /// assert!(queue.full());
    /// ```
    pub fn bounded(maxsize: usize) -> Self {
        let state = State {
            items: D::default(),
            unfinished: 0,
            shut_down: false,
            getters: WaitQueue::new(),
            putters: WaitQueue::new(),
            joiners: WaitQueue::new(),
        };
        Queue {
            state: F::Guarded::new(state),
            limit: if maxsize == 0 { usize::MAX } else { maxsize },
        }
    }

    /// Waits for room and puts an item.
    ///
    /// # Errors
    ///
    /// When the queue is shut down, before the call or while it waits: the item comes back in the error.
    ///
    /// # Cancel safety
    ///
    /// Dropping it before it is ready gives up its place in line, and the item it carries is dropped with it. No room is
    /// lost: if it had just been told of some, the next putter is. To keep the item use [`put_nowait`](Self::put_nowait).
    ///
    /// ```
    /// let queue = asyncio_sync::Queue::bounded(1);
    /// assert!(futures_lite::future::block_on(queue.put("item")).is_ok());
    /// ```
    #[inline]
    pub fn put(&self, item: D::Item) -> Put<'_, D, F> {
        Put {
            queue: self,
            item: Some(item),
            ticket: None,
        }
    }

    /// Puts an item if there is room now.
    ///
    /// # Errors
    ///
    /// When there is none, or the queue is shut down: the item comes back in the error.
    ///
    /// ```
    /// let queue = asyncio_sync::Queue::bounded(1);
    /// assert!(queue.put_nowait("a").is_ok());
    /// assert_eq!(queue.put_nowait("b").unwrap_err().into_inner(), "b");
    /// ```
    #[inline]
    pub fn put_nowait(&self, item: D::Item) -> Result<(), PutNowaitError<D::Item>> {
        let getter = self.state.with(|state| {
            if state.shut_down {
                Err(PutNowaitError::ShutDown(QueueShutDown(item)))
            } else if state.items.len() >= self.limit {
                Err(PutNowaitError::Full(QueueFull(item)))
            } else {
                Ok(state.put(item))
            }
        })?;
        if let Some(waker) = getter {
            waker.wake();
        }
        Ok(())
    }

    /// Waits for an item and takes it. If there is one it does not suspend.
    ///
    /// # Errors
    ///
    /// When the queue is shut down and empty, before the call or while it waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping it before it is ready gives up its place in line, nothing else: an item leaves the queue only in the
    /// moment in which this is ready. If it had just been told of one, the next getter is.
    ///
    /// ```
    /// let queue = asyncio_sync::Queue::new();
    /// queue.put_nowait(7).unwrap();
    /// assert_eq!(futures_lite::future::block_on(queue.get()), Ok(7));
    /// ```
    #[inline]
    pub fn get(&self) -> Get<'_, D, F> {
        Get {
            queue: self,
            ticket: None,
        }
    }

    /// Takes an item if there is one now.
    ///
    /// # Errors
    ///
    /// When there is none, for now or, the queue being shut down, for ever.
    ///
    /// ```
    /// let queue = asyncio_sync::Queue::new();
    /// assert!(queue.get_nowait().is_err());
    /// queue.put_nowait(7).unwrap();
    /// assert_eq!(queue.get_nowait(), Ok(7));
    /// ```
    #[inline]
    pub fn get_nowait(&self) -> Result<D::Item, GetNowaitError> {
        let (item, putter) = self.state.with(|state| match state.get() {
            Some(taken) => Ok(taken),
            None if state.shut_down => Err(GetNowaitError::ShutDown(QueueShutDown(()))),
            None => Err(GetNowaitError::Empty(QueueEmpty)),
        })?;
        if let Some(waker) = putter {
            waker.wake();
        }
        Ok(item)
    }

    /// Waits until [`task_done`](Self::task_done) was called for every item that was put. Ready at once if that is so.
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives up its place in line, nothing else.
    ///
    /// ```
    /// let queue = asyncio_sync::Queue::<u8>::new();
    /// futures_lite::future::block_on(queue.join());
    /// ```
    pub fn join(&self) -> Join<'_, D, F> {
        Join {
            queue: self,
            ticket: None,
        }
    }

    /// Says that one item that was taken is dealt with; the last one releases everybody who waits in [`join`](Self::join).
    ///
    /// # Errors
    ///
    /// When it is called more often than items were put.
    ///
    /// ```
    /// let queue = asyncio_sync::Queue::new();
    /// queue.put_nowait("job").unwrap();
    /// queue.get_nowait().unwrap();
    /// assert!(queue.task_done().is_ok());
    /// assert!(queue.task_done().is_err());
    /// ```
    pub fn task_done(&self) -> Result<(), TaskDoneError> {
        let joiners = self.state.with(|state| {
            state.unfinished = state.unfinished.checked_sub(1).ok_or(TaskDoneError)?;
            Ok((state.unfinished == 0).then(|| state.joiners.notify_all()))
        })?;
        if let Some(wakers) = joiners {
            wakers.wake();
        }
        Ok(())
    }

    /// Takes no more items. Gets go on until the queue is empty; with `immediate` the items are dropped and gets fail at
    /// once. Who waits to put, or to get from an empty queue, is released with the error.
    ///
    /// A dropped item counts as done; one that was taken still needs its [`task_done`](Self::task_done) before a
    /// [`join`](Self::join) is ready. Calling it again does no harm, and there is no way back.
    ///
    /// ```
    /// let queue = asyncio_sync::Queue::new();
    /// queue.put_nowait('a').unwrap();
    /// queue.shutdown(false);
    /// assert!(queue.put_nowait('b').is_err());
    /// assert_eq!(queue.get_nowait(), Ok('a'));
    /// assert!(queue.get_nowait().is_err());
    /// ```
    pub fn shutdown(&self, immediate: bool) {
        let (items, joiners, getters, putters) = self.state.with(|state| {
            state.shut_down = true;
            let items = immediate.then(|| std::mem::take(&mut state.items));
            // Saturating: an order of the user's that panicked may have taken an item in that was not counted.
            let dropped = items.as_ref().map_or(0, D::len);
            state.unfinished = state.unfinished.saturating_sub(dropped);
            let joiners = (immediate && state.unfinished == 0).then(|| state.joiners.notify_all());
            (
                items,
                joiners,
                state.getters.notify_all(),
                state.putters.notify_all(),
            )
        });
        if let Some(wakers) = joiners {
            wakers.wake();
        }
        getters.wake();
        putters.wake();
        drop(items);
    }

    /// How many items are in the queue.
    ///
    /// ```
    /// let queue = asyncio_sync::Queue::new();
    /// queue.put_nowait('a').unwrap();
    /// assert_eq!(queue.qsize(), 1);
    /// ```
    #[inline]
    pub fn qsize(&self) -> usize {
        self.state.with(|state| state.items.len())
    }

    /// Whether there is no item in the queue.
    ///
    /// ```
    /// assert!(asyncio_sync::Queue::<u8>::new().empty());
    /// ```
    #[inline]
    pub fn empty(&self) -> bool {
        self.qsize() == 0
    }

    /// Whether there is no room; a queue without limit is never full.
    ///
    /// ```
    /// let queue = asyncio_sync::Queue::bounded(1);
    /// queue.put_nowait('a').unwrap();
    /// assert!(queue.full());
    /// ```
    #[inline]
    pub fn full(&self) -> bool {
        self.qsize() >= self.limit
    }

    /// How many items fit; 0 where there is no limit.
    ///
    /// ```
    /// assert_eq!(asyncio_sync::Queue::<u8>::bounded(3).maxsize(), 3);
    /// ```
    #[inline]
    pub fn maxsize(&self) -> usize {
        if self.limit == usize::MAX {
            0
        } else {
            self.limit
        }
    }
}

impl<D: Discipline> State<D> {
    /// Puts an item and notifies a getter.
    #[inline]
    fn put(&mut self, item: D::Item) -> Option<Waker> {
        self.items.put(item);
        self.unfinished += 1;
        self.getters.notify_one()
    }

    /// Takes an item and notifies a putter.
    #[inline]
    fn get(&mut self) -> Option<(D::Item, Option<Waker>)> {
        let item = self.items.get()?;
        Some((item, self.putters.notify_one()))
    }
}

const AGAIN: &str = "`Put` was polled again after it was ready: await it once";

impl<D: Discipline, F: Family> Future for Put<'_, D, F> {
    type Output = Result<(), QueueShutDown<D::Item>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.ticket.is_some() {
            return this.poll_in_line(cx);
        }
        let (queue, item) = (this.queue, &mut this.item);
        let put = queue.state.with(|state| {
            let room = !state.shut_down && state.items.len() < queue.limit;
            room.then(|| state.put(item.take().expect(AGAIN)))
        });
        match put {
            Some(None) => Poll::Ready(Ok(())),
            Some(Some(getter)) => {
                getter.wake();
                Poll::Ready(Ok(()))
            }
            None => this.poll_in_line(cx),
        }
    }
}

impl<D: Discipline, F: Family> Put<'_, D, F> {
    /// There was no room, or there was none and this is a later poll.
    fn poll_in_line(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), QueueShutDown<D::Item>>> {
        let Put {
            queue,
            item,
            ticket,
        } = self;
        // What was replaced and who is to be woken are dealt with after the guard.
        let (poll, _replaced, getter) = queue.state.with(|state| {
            if ticket.is_some()
                && let Turn::Waiting { replaced } = state.putters.poll(ticket, cx.waker())
            {
                return (Poll::Pending, replaced, None);
            }
            if state.shut_down {
                let refused = QueueShutDown(item.take().expect(AGAIN));
                return (Poll::Ready(Err(refused)), None, None);
            }
            if state.items.len() >= queue.limit {
                *ticket = Some(state.putters.push(cx.waker().clone()));
                return (Poll::Pending, None, None);
            }
            let getter = state.put(item.take().expect(AGAIN));
            (Poll::Ready(Ok(())), None, getter)
        });
        if let Some(waker) = getter {
            waker.wake();
        }
        poll
    }
}

impl<D: Discipline, F: Family> Future for Get<'_, D, F> {
    type Output = Result<D::Item, QueueShutDown>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Get { queue, ticket } = self.get_mut();
        // What was replaced is dropped, and a putter woken, after the guard.
        let (poll, waker) = queue.state.with(|state| {
            if ticket.is_some()
                && let Turn::Waiting { replaced } = state.getters.poll(ticket, cx.waker())
            {
                return (Poll::Pending, replaced);
            }
            if let Some((item, putter)) = state.get() {
                return (Poll::Ready(Ok(item)), putter);
            }
            if state.shut_down {
                return (Poll::Ready(Err(QueueShutDown(()))), None);
            }
            *ticket = Some(state.getters.push(cx.waker().clone()));
            (Poll::Pending, None)
        });
        if let Some(waker) = waker {
            match poll {
                Poll::Ready(_) => waker.wake(),
                Poll::Pending => drop(waker),
            }
        }
        poll
    }
}

impl<D: Discipline, F: Family> Future for Join<'_, D, F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Join { queue, ticket } = self.get_mut();
        let turn = queue.state.with(|state| {
            if ticket.is_none() && state.unfinished == 0 {
                return Turn::Arrived;
            }
            state.joiners.poll(ticket, cx.waker())
        });
        match turn {
            Turn::Arrived => Poll::Ready(()),
            Turn::Waiting { .. } => Poll::Pending,
        }
    }
}

impl<D: Discipline, F: Family> Drop for Put<'_, D, F> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.give_up(ticket);
        }
    }
}

impl<D: Discipline, F: Family> Put<'_, D, F> {
    /// It goes away before it was ready.
    #[cold]
    fn give_up(&self, ticket: Ticket) {
        let (left, next) = self.queue.state.with(|state| {
            let left = state.putters.leave(ticket);
            let pass_on = matches!(left, Left::Notified) && state.items.len() < self.queue.limit;
            let next = if pass_on {
                state.putters.notify_one()
            } else {
                None
            };
            (left, next)
        });
        drop(left);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl<D: Discipline, F: Family> Drop for Get<'_, D, F> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.give_up(ticket);
        }
    }
}

impl<D: Discipline, F: Family> Get<'_, D, F> {
    /// It goes away before it was ready.
    #[cold]
    fn give_up(&self, ticket: Ticket) {
        let (left, next) = self.queue.state.with(|state| {
            let left = state.getters.leave(ticket);
            let pass_on = matches!(left, Left::Notified) && !state.items.is_empty();
            let next = if pass_on {
                state.getters.notify_one()
            } else {
                None
            };
            (left, next)
        });
        drop(left);
        if let Some(waker) = next {
            waker.wake();
        }
    }
}

impl<D: Discipline, F: Family> Drop for Join<'_, D, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            // A notification need not be passed on: all joiners were told.
            drop(self.queue.state.with(|state| state.joiners.leave(ticket)));
        }
    }
}

// The item is moved, never pinned.
impl<D: Discipline, F: Family> Unpin for Put<'_, D, F> {}

impl<D: Discipline, F: Family> Default for Queue<D, F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<D: Discipline, F: Family> fmt::Debug for Queue<D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (qsize, unfinished, shut_down, getters, putters) = self.state.with(|state| {
            let (getters, putters) = (state.getters.waiting(), state.putters.waiting());
            (
                state.items.len(),
                state.unfinished,
                state.shut_down,
                getters,
                putters,
            )
        });
        f.debug_struct("Queue")
            .field("maxsize", &self.maxsize())
            .field("qsize", &qsize)
            .field("unfinished", &unfinished)
            .field("shut_down", &shut_down)
            .field("getters", &getters)
            .field("putters", &putters)
            .finish()
    }
}

impl<D: Discipline, F: Family> fmt::Debug for Put<'_, D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Put")
            .field("in_line", &self.ticket.is_some())
            .finish()
    }
}

impl<D: Discipline, F: Family> fmt::Debug for Get<'_, D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Get")
            .field("in_line", &self.ticket.is_some())
            .finish()
    }
}

impl<D: Discipline, F: Family> fmt::Debug for Join<'_, D, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join")
            .field("in_line", &self.ticket.is_some())
            .finish()
    }
}
