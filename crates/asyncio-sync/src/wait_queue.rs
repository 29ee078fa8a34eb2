//! The line of waiters under every primitive of this crate.

use std::fmt;
use std::num::NonZeroU32;
use std::task::Waker;

/// A fair line of waiters: first come, first served.
///
/// Plain data: it wakes nobody, it hands out what is to be woken. Put it next to your state behind one guard (a `RefCell`,
/// a `Mutex`), take what it returns out of the guard, and wake there. A waiter keeps a [`Ticket`], and its place is in one
/// of two states:
///
/// | place    | counted by                     | the waiter, when polled | the waiter, when dropped                       |
/// |----------|--------------------------------|-------------------------|------------------------------------------------|
/// | waiting  | [`waiting`](Self::waiting)     | stays                   | gives the place up, nothing else               |
/// | notified | [`notified`](Self::notified)   | has arrived             | must pass on what it was notified of           |
///
/// Nodes live in a slab linked by indices: joining, leaving from the middle and notifying are O(1), and a line that has
/// been as long before does not allocate. A slot's generation makes a ticket that was used up harmless.
///
/// A gate that lets one waiter pass for each `open` call:
///
/// ```
/// use asyncio_sync::wait_queue::{Left, Ticket, Turn, WaitQueue};
/// use std::{cell::RefCell, future::Future, pin::Pin, task::{Context, Poll}};
///
/// #[derive(Default)]
/// struct Gate(RefCell<WaitQueue>);
///
/// impl Gate {
///     fn open(&self) {
///         let next = self.0.borrow_mut().notify_one();
///         if let Some(waker) = next {
///             waker.wake(); // the guard is released: waking may run anything
///         }
///     }
///     fn pass(&self) -> Pass<'_> {
///         Pass { gate: self, ticket: None }
///     }
/// }
///
/// struct Pass<'a> { gate: &'a Gate, ticket: Option<Ticket> }
///
/// impl Future for Pass<'_> {
///     type Output = ();
///     fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
///         let gate = self.gate;
///         let turn = gate.0.borrow_mut().poll(&mut self.ticket, cx.waker());
///         match turn {
///             Turn::Arrived => Poll::Ready(()),
///             Turn::Waiting { .. } => Poll::Pending,
///         }
///     }
/// }
///
/// impl Drop for Pass<'_> {
///     fn drop(&mut self) {
///         let Some(ticket) = self.ticket.take() else { return };
///         let left = self.gate.0.borrow_mut().leave(ticket);
///         if let Left::Notified = left {
///             self.gate.open(); // was let pass and did not: the next one may
///         }
///     }
/// }
///
/// let gate = Gate::default();
/// let (pass, open) = (gate.pass(), async { gate.open() });
/// futures_lite::future::block_on(futures_lite::future::zip(pass, open));
/// ```
pub struct WaitQueue<W = Waker> {
    slots: Slots<W>,
    /// The waiting nodes, in order of arrival.
    first: u32,
    last: u32,
    /// The free nodes, linked through `next`.
    free: u32,
    /// How many wait, in units of `WAITING`, and how many were notified, in units of `NOTIFIED`: one number, so that a
    /// change of both is one addition.
    counts: u64,
}

/// A place in a [`WaitQueue`]. Meaningful only to the queue that gave it.
///
/// ```
/// let mut line = asyncio_sync::WaitQueue::new();
/// let (a, b) = (line.push('a'), line.push('b'));
/// assert_ne!(a, b);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    index: u32,
    generation: Generation,
}

/// Not zero, so that an `Option<Ticket>` is one machine word.
type Generation = NonZeroU32;

/// What [`WaitQueue::poll`] found.
///
/// ```
/// use asyncio_sync::{WaitQueue, wait_queue::Turn};
/// use std::task::Waker;
///
/// let (mut line, mut ticket) = (WaitQueue::new(), None);
/// assert!(matches!(line.poll(&mut ticket, Waker::noop()), Turn::Waiting { replaced: None }));
/// assert!(line.notify_one().is_some());
/// assert!(matches!(line.poll(&mut ticket, Waker::noop()), Turn::Arrived));
/// ```
#[derive(Debug)]
#[must_use = "`Arrived` means that the place is used up and the waiter has to act"]
pub enum Turn<W = Waker> {
    /// The waiter was notified; its place is used up and its ticket taken away.
    Arrived,
    /// The waiter stays in line.
    Waiting {
        /// A waker that was replaced by a newer one. Drop it after the guard is released: that may run foreign code.
        replaced: Option<W>,
    },
}

/// What a waiter that gave up its place leaves behind.
///
/// ```
/// use asyncio_sync::{WaitQueue, wait_queue::Left};
///
/// let mut line = WaitQueue::new();
/// let ticket = line.push("waker");
/// assert!(matches!(line.leave(ticket), Left::Waiting("waker")));
/// assert!(matches!(line.leave(ticket), Left::Nothing));
/// ```
#[derive(Debug)]
#[must_use = "pass the notification on if it is `Notified`; drop the waker only after the guard is released"]
pub enum Left<W = Waker> {
    /// It was waiting; nobody else is concerned. Its waker is to be dropped after the guard is released.
    Waiting(W),
    /// It had been notified and will not act on it: whoever is next should hear.
    Notified,
    /// The ticket had been used up before.
    Nothing,
}

/// The wakers of several waiters, in order; to be woken after the guard is released.
///
/// ```
/// let mut line = asyncio_sync::WaitQueue::new();
/// line.push('a');
/// line.push('b');
/// assert_eq!(line.notify_all().collect::<String>(), "ab");
/// ```
#[must_use = "these waiters count as notified: release the guard, then wake them"]
pub struct Wakers<W = Waker> {
    /// The usual case is one, which costs no allocation.
    first: Option<W>,
    rest: std::collections::VecDeque<W>,
}

/// The first node lies in the queue itself: most lines are never longer than one, and those never allocate.
struct Slots<W> {
    home: Node<W>,
    more: Vec<Node<W>>,
}

struct Node<W> {
    /// Present exactly while the node is waiting.
    waker: Option<W>,
    prev: u32,
    next: u32,
    generation: Generation,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// On the free list; no valid ticket names it.
    Free,
    /// In line. Dropping the waiter unlinks the node.
    Waiting,
    /// Out of the line, kept until its waiter notices. Dropping the waiter must pass the notification on.
    Notified,
}

/// The end of a list.
const NIL: u32 = u32::MAX;
/// One who waits, and one who was notified, as `counts` has them.
const WAITING: u64 = 1;
const NOTIFIED: u64 = 1 << 32;

impl<W> WaitQueue<W> {
    /// An empty line. It allocates when a second one joins.
    ///
    /// ```
    /// use asyncio_sync::WaitQueue;
    /// let line: WaitQueue = WaitQueue::new();
    /// assert!(line.is_idle());
    /// ```
    #[inline]
    pub const fn new() -> Self {
        WaitQueue {
            slots: Slots::new(),
            first: NIL,
            last: NIL,
            free: 0,
            counts: 0,
        }
    }

    /// How many wait and have not been notified.
    ///
    /// ```
    /// let mut line = asyncio_sync::WaitQueue::new();
    /// line.push(());
    /// assert_eq!(line.waiting(), 1);
    /// ```
    #[inline]
    pub fn waiting(&self) -> usize {
        (self.counts % NOTIFIED) as usize
    }

    /// How many were notified and have neither arrived nor left.
    ///
    /// ```
    /// let mut line = asyncio_sync::WaitQueue::new();
    /// line.push(());
    /// assert_eq!(line.notify_one(), Some(()));
    /// assert_eq!((line.waiting(), line.notified()), (0, 1));
    /// ```
    #[inline]
    pub fn notified(&self) -> usize {
        (self.counts / NOTIFIED) as usize
    }

    /// Whether nobody waits and nobody is on the way after a notification: a newcomer overtakes no one.
    ///
    /// ```
    /// use asyncio_sync::WaitQueue;
    /// assert!(WaitQueue::<()>::new().is_idle());
    /// ```
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.counts == 0
    }

    /// Joins the end of the line.
    ///
    /// # Panics
    ///
    /// When four thousand million are in line.
    ///
    /// ```
    /// let mut line = asyncio_sync::WaitQueue::new();
    /// line.push('a');
    /// line.push('b');
    /// assert_eq!(line.notify_one(), Some('a'));
    /// ```
    #[inline]
    pub fn push(&mut self, waker: W) -> Ticket {
        if self.free == NIL {
            self.free = self.slots.grow();
        }
        let (index, last) = (self.free, self.last);
        let node = self.slots.at(index);
        self.free = node.next;
        let old = node.waker.replace(waker);
        debug_assert!(old.is_none(), "a free node holds no waker");
        // Not dropped: there is nothing, and the compiler cannot know.
        std::mem::forget(old);
        node.prev = last;
        node.next = NIL;
        node.state = State::Waiting;
        let generation = node.generation;
        if last == NIL {
            self.first = index;
        } else {
            self.slots.at(last).next = index;
        }
        self.last = index;
        self.counts += WAITING;
        Ticket { index, generation }
    }

    /// Notifies the one who has waited longest and hands out its waker.
    ///
    /// ```
    /// let mut line = asyncio_sync::WaitQueue::new();
    /// assert_eq!(line.notify_one(), None);
    /// line.push("waker");
    /// assert_eq!(line.notify_one(), Some("waker"));
    /// ```
    #[must_use = "this waiter counts as notified: release the guard, then wake it"]
    #[inline]
    pub fn notify_one(&mut self) -> Option<W> {
        if self.first == NIL {
            return None;
        }
        let node = self.slots.at(self.first);
        let waker = node.waker.take();
        node.state = State::Notified;
        self.first = node.next;
        match self.first {
            NIL => self.last = NIL,
            first => self.slots.at(first).prev = NIL,
        }
        self.counts = self.counts + NOTIFIED - WAITING;
        waker
    }

    /// Notifies everybody who waits now and hands out their wakers in order.
    ///
    /// ```
    /// let mut line = asyncio_sync::WaitQueue::new();
    /// line.push(1);
    /// line.push(2);
    /// assert_eq!(line.notify_all().collect::<Vec<_>>(), [1, 2]);
    /// assert_eq!(line.waiting(), 0);
    /// ```
    pub fn notify_all(&mut self) -> Wakers<W> {
        let mut all = Wakers::new();
        if self.waiting() > 1 {
            all.rest.reserve_exact(self.waiting() - 1);
        }
        while let Some(waker) = self.notify_one() {
            all.push(waker);
        }
        all
    }

    /// Who is next in line.
    ///
    /// ```
    /// let mut line = asyncio_sync::WaitQueue::new();
    /// assert_eq!(line.first(), None);
    /// line.push('a');
    /// assert_eq!(line.first(), Some(&'a'));
    /// ```
    #[inline]
    pub fn first(&self) -> Option<&W> {
        let node = match self.first {
            NIL => return None,
            0 => &self.slots.home,
            index => self.slots.more.get(index as usize - 1)?,
        };
        node.waker.as_ref()
    }

    /// The waker of a ticket that is still waiting.
    ///
    /// ```
    /// let mut line = asyncio_sync::WaitQueue::new();
    /// let ticket = line.push('a');
    /// *line.waker_mut(ticket).unwrap() = 'b';
    /// assert_eq!(line.notify_one(), Some('b'));
    /// assert_eq!(line.waker_mut(ticket), None);
    /// ```
    #[inline]
    pub fn waker_mut(&mut self, ticket: Ticket) -> Option<&mut W> {
        let node = self.slots.get(ticket.index)?;
        if node.generation == ticket.generation {
            node.waker.as_mut()
        } else {
            None
        }
    }

    /// Gives up a place, from wherever in the line it is.
    ///
    /// ```
    /// use asyncio_sync::{WaitQueue, wait_queue::Left};
    ///
    /// let mut line = WaitQueue::new();
    /// let (a, b, c) = (line.push('a'), line.push('b'), line.push('c'));
    /// assert!(matches!(line.leave(b), Left::Waiting('b')));
    /// assert_eq!(line.notify_one(), Some('a'));
    /// assert!(matches!(line.leave(a), Left::Notified), "so somebody else must hear of it:");
    /// assert_eq!(line.notify_one(), Some('c'));
    /// ```
    #[inline]
    pub fn leave(&mut self, ticket: Ticket) -> Left<W> {
        let Some(node) = self.slots.get(ticket.index) else {
            return Left::Nothing;
        };
        if node.generation != ticket.generation {
            return Left::Nothing;
        }
        match node.state {
            State::Free => Left::Nothing,
            State::Notified => {
                node.retire(&mut self.free, ticket.index);
                self.counts -= NOTIFIED;
                Left::Notified
            }
            State::Waiting => {
                let (prev, next) = (node.prev, node.next);
                let waker = node.waker.take();
                node.retire(&mut self.free, ticket.index);
                match prev {
                    NIL => self.first = next,
                    prev => self.slots.at(prev).next = next,
                }
                match next {
                    NIL => self.last = prev,
                    next => self.slots.at(next).prev = prev,
                }
                self.counts -= WAITING;
                waker.map_or(Left::Nothing, Left::Waiting)
            }
        }
    }
}

impl<W> WaitQueue<W> {
    /// Whether this one was notified; then its place is used up.
    #[inline]
    fn arrives(&mut self, ticket: Ticket) -> bool {
        match self.slots.get(ticket.index) {
            Some(node) if node.state == State::Notified && node.generation == ticket.generation => {
                node.retire(&mut self.free, ticket.index);
                self.counts -= NOTIFIED;
                true
            }
            _ => false,
        }
    }
}

impl<W> Slots<W> {
    #[inline]
    const fn new() -> Self {
        Slots {
            home: Node::new(),
            more: Vec::new(),
        }
    }

    #[inline]
    fn get(&mut self, index: u32) -> Option<&mut Node<W>> {
        match index {
            0 => Some(&mut self.home),
            index => self.more.get_mut(index as usize - 1),
        }
    }

    /// As [`get`](Self::get), for an index that came from a link.
    #[inline]
    fn at(&mut self, index: u32) -> &mut Node<W> {
        match index {
            0 => &mut self.home,
            index => &mut self.more[index as usize - 1],
        }
    }

    /// Makes one more free node.
    #[cold]
    fn grow(&mut self) -> u32 {
        self.more.push(Node::new());
        let index = self.more.len();
        assert!(
            index < NIL as usize,
            "a wait queue has at most {NIL} places, and all are taken"
        );
        index as u32
    }
}

impl<W> Node<W> {
    #[inline]
    const fn new() -> Self {
        Node {
            waker: None,
            prev: NIL,
            next: NIL,
            generation: Generation::MIN,
            state: State::Free,
        }
    }

    /// Puts the node on the free list and makes its ticket stale.
    #[inline]
    fn retire(&mut self, free: &mut u32, index: u32) {
        self.state = State::Free;
        self.generation =
            Generation::new(self.generation.get().wrapping_add(1)).unwrap_or(Generation::MIN);
        self.next = std::mem::replace(free, index);
    }
}

impl WaitQueue<Waker> {
    /// One poll of a waiter: joins the line when `place` is empty, keeps its waker fresh while it waits, and takes the
    /// ticket away when it has been notified.
    ///
    /// # Panics
    ///
    /// When the ticket was used up, or comes from another queue and names no place here.
    ///
    /// ```
    /// use asyncio_sync::{WaitQueue, wait_queue::Turn};
    /// use std::task::Waker;
    ///
    /// let (mut line, mut place) = (WaitQueue::new(), None);
    /// assert!(matches!(line.poll(&mut place, Waker::noop()), Turn::Waiting { .. }));
    /// assert!(place.is_some());
    /// ```
    #[inline]
    pub fn poll(&mut self, place: &mut Option<Ticket>, waker: &Waker) -> Turn {
        match *place {
            None => {
                *place = Some(self.push(waker.clone()));
                Turn::Waiting { replaced: None }
            }
            Some(ticket) if self.arrives(ticket) => {
                *place = None;
                Turn::Arrived
            }
            Some(ticket) => Turn::Waiting {
                replaced: self.refresh(ticket, waker),
            },
        }
    }

    /// Keeps the waker of one who waits fresh.
    fn refresh(&mut self, ticket: Ticket, waker: &Waker) -> Option<Waker> {
        match self.waker_mut(ticket) {
            Some(old) if old.will_wake(waker) => None,
            Some(old) => Some(std::mem::replace(old, waker.clone())),
            None => panic!(
                "{ticket:?} names no place in this line: it was used up before, or another queue gave it"
            ),
        }
    }
}

impl<W> Default for WaitQueue<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W> fmt::Debug for WaitQueue<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue")
            .field("waiting", &self.waiting())
            .field("notified", &self.notified())
            .finish()
    }
}

impl<W> Wakers<W> {
    /// Nobody, yet.
    ///
    /// ```
    /// use asyncio_sync::wait_queue::Wakers;
    /// assert_eq!(Wakers::<char>::new().next(), None);
    /// ```
    #[inline]
    pub fn new() -> Self {
        Wakers {
            first: None,
            rest: std::collections::VecDeque::new(),
        }
    }

    /// Adds one more to the end.
    ///
    /// ```
    /// use asyncio_sync::wait_queue::Wakers;
    /// let mut wakers = Wakers::new();
    /// wakers.push('a');
    /// assert_eq!(wakers.next(), Some('a'));
    /// ```
    #[inline]
    pub fn push(&mut self, waker: W) {
        if self.first.is_none() && self.rest.is_empty() {
            self.first = Some(waker);
        } else {
            self.rest.push_back(waker);
        }
    }
}

impl Wakers {
    /// Wakes all of them, in order. If one panics the rest are woken all the same.
    ///
    /// ```
    /// use asyncio_sync::wait_queue::Wakers;
    /// let mut wakers = Wakers::new();
    /// wakers.push(std::task::Waker::noop().clone());
    /// wakers.wake();
    /// ```
    #[inline]
    pub fn wake(self) {
        let mut rest = Rest(self);
        rest.wake();
    }
}

/// Those who have still to be woken; dropping it wakes them.
struct Rest(Wakers);

impl Rest {
    #[inline]
    fn wake(&mut self) {
        for waker in &mut self.0 {
            waker.wake();
        }
    }
}

impl Drop for Rest {
    #[inline]
    fn drop(&mut self) {
        self.wake();
    }
}

impl<W> Iterator for Wakers<W> {
    type Item = W;

    #[inline]
    fn next(&mut self) -> Option<W> {
        self.first.take().or_else(|| self.rest.pop_front())
    }
}

impl<W> Default for Wakers<W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W> fmt::Debug for Wakers<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = usize::from(self.first.is_some()) + self.rest.len();
        f.debug_struct("Wakers").field("count", &count).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_half_a_cache_line() {
        assert_eq!(size_of::<Node<Waker>>(), 32);
        assert_eq!(size_of::<Option<Ticket>>(), 8);
    }

    #[test]
    fn slots_are_used_again_and_their_old_tickets_are_stale() {
        let mut line = WaitQueue::new();
        let old = line.push('a');
        assert!(matches!(line.leave(old), Left::Waiting('a')));
        let new = line.push('b');
        assert_eq!((new.index, line.slots.more.capacity()), (old.index, 0));
        assert!(matches!(line.leave(old), Left::Nothing));
        assert_eq!(line.waker_mut(old), None);
        assert_eq!(line.notify_one(), Some('b'));
    }

    #[test]
    #[should_panic(expected = "names no place in this line")]
    fn polling_with_a_used_up_ticket_is_told() {
        let mut line = WaitQueue::new();
        let ticket = line.push(Waker::noop().clone());
        drop(line.leave(ticket));
        drop(line.poll(&mut Some(ticket), Waker::noop()));
    }
}
