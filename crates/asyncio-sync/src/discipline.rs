//! In which order a queue gives back what was put into it.

use std::collections::VecDeque;
use std::fmt;

/// The order of a [`Queue`](crate::queue::Queue): where an item goes, and which one is next.
///
/// Its methods run while the queue's state is guarded, so they must not use the queue they belong to.
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
