//! In which order a queue gives back what was put into it.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;

/// The order of a [`Queue`](crate::queue::Queue): where an item goes, and which one is next.
///
/// asyncio's `_init`, `_put` and `_get`. The queue keeps count, makes getters and putters wait and shuts down; an order of
/// one's own is these three methods, and [`Default`] for the empty state. With it come both families: name the queue
/// `Queue<MyOrder, Local>` or `Queue<MyOrder, Threadsafe>`.
///
/// What an implementation must keep: an item that was put comes out once, and [`len`](Self::len) is the number of items
/// inside. Its methods run while the queue's state is guarded, so they must not use the queue they belong to: that would
/// be a panic in the loop-local family and a deadlock in the thread-safe one. The same holds for the `Ord` of what goes
/// into a [`Priority`] queue.
///
/// ```
/// use asyncio_sync::{Local, discipline::Discipline, queue::Queue};
///
/// #[derive(Default)]
/// struct Newest(Vec<u32>);
///
/// impl Discipline for Newest {
///     type Item = u32;
///     fn put(&mut self, item: u32) { self.0.push(item) }
///     fn get(&mut self) -> Option<u32> { self.0.pop() }
///     fn len(&self) -> usize { self.0.len() }
/// }
///
/// let queue = Queue::<Newest, Local>::new();
/// queue.put_nowait(1).unwrap();
/// queue.put_nowait(2).unwrap();
/// assert_eq!(queue.get_nowait(), Ok(2));
/// ```
pub trait Discipline: Default {
    /// What is kept.
    type Item;
    /// Takes one item in.
    fn put(&mut self, item: Self::Item);
    /// Gives the next item out.
    fn get(&mut self) -> Option<Self::Item>;
    /// How many items are inside.
    fn len(&self) -> usize;
    /// Whether there are none.
    #[inline]
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// First in, first out.
///
/// ```
/// use asyncio_sync::discipline::{Discipline, Fifo};
///
/// let mut items = Fifo::default();
/// items.put('a');
/// items.put('b');
/// assert_eq!((items.get(), items.get(), items.get()), (Some('a'), Some('b'), None));
/// ```
pub struct Fifo<T>(VecDeque<T>);

/// Last in, first out.
///
/// ```
/// use asyncio_sync::discipline::{Discipline, Lifo};
///
/// let mut items = Lifo::default();
/// items.put('a');
/// items.put('b');
/// assert_eq!((items.get(), items.get(), items.get()), (Some('b'), Some('a'), None));
/// ```
pub struct Lifo<T>(Vec<T>);

/// Smallest first; among equals, first in, first out.
///
/// ```
/// use asyncio_sync::discipline::{Discipline, Priority};
///
/// let mut items = Priority::default();
/// items.put((2, "rest"));
/// items.put((1, "work"));
/// assert_eq!((items.get(), items.get()), (Some((1, "work")), Some((2, "rest"))));
/// ```
pub struct Priority<T: Ord> {
    heap: BinaryHeap<Entry<T>>,
    /// The number of the next item.
    next: u64,
}

/// Greater is nearer to the exit, as the heap wants it.
struct Entry<T> {
    item: T,
    number: u64,
}

impl<T> Discipline for Fifo<T> {
    type Item = T;

    #[inline]
    fn put(&mut self, item: T) {
        self.0.push_back(item);
    }

    #[inline]
    fn get(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    #[inline]
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T> Discipline for Lifo<T> {
    type Item = T;

    #[inline]
    fn put(&mut self, item: T) {
        self.0.push(item);
    }

    #[inline]
    fn get(&mut self) -> Option<T> {
        self.0.pop()
    }

    #[inline]
    fn len(&self) -> usize {
        self.0.len()
    }
}

impl<T: Ord> Discipline for Priority<T> {
    type Item = T;

    fn put(&mut self, item: T) {
        let number = self.next;
        self.next += 1;
        self.heap.push(Entry { item, number });
    }

    fn get(&mut self) -> Option<T> {
        self.heap.pop().map(|entry| entry.item)
    }

    #[inline]
    fn len(&self) -> usize {
        self.heap.len()
    }
}

impl<T: Ord> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_item = other.item.cmp(&self.item);
        by_item.then_with(|| other.number.cmp(&self.number))
    }
}

impl<T: Ord> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Ord> Eq for Entry<T> {}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Fifo(VecDeque::new())
    }
}

impl<T> fmt::Debug for Fifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fifo").field("len", &self.0.len()).finish()
    }
}

impl<T> Default for Lifo<T> {
    fn default() -> Self {
        Lifo(Vec::new())
    }
}

impl<T> fmt::Debug for Lifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lifo").field("len", &self.0.len()).finish()
    }
}

impl<T: Ord> Default for Priority<T> {
    fn default() -> Self {
        Priority {
            heap: BinaryHeap::new(),
            next: 0,
        }
    }
}

impl<T: Ord> fmt::Debug for Priority<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Priority")
            .field("len", &self.heap.len())
            .finish_non_exhaustive()
    }
}
