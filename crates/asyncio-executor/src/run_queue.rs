//! The ready queue: steps and callbacks in one line (S1), eight bytes a step.

use std::collections::VecDeque;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::Waker;

use async_task::Runnable;

use crate::callback::Call;
use crate::debug::Subject;
use crate::meta::Meta;

/// One place in the line.
pub(crate) enum Entry {
    Task(Runnable<Meta>),
    Call(Rc<dyn Call>),
    /// Somebody to wake when the turn comes.
    Wake(Waker),
}

/// What lies beside the line.
enum Aside {
    Call(Rc<dyn Call>),
    Wake(Waker),
}

#[derive(Default)]
pub(crate) struct RunQueue {
    /// The line. `None` stands for the next entry that is not a task: these are rarer and larger, so they lie apart, in
    /// the same order, and a hundred thousand ready tasks take 800 kB and not three times that.
    line: VecDeque<Option<Runnable<Meta>>>,
    /// Invariant: as many as there are `None`s in `line`.
    aside: VecDeque<Aside>,
}

/// A line shorter than this is never given back.
const KEEP: usize = 1024;
/// A turn that uses less than this share of the capacity gives half of it back: growing again costs less than a
/// nanosecond an entry, and a burst does not keep its memory.
const SHARE: usize = 32;

impl RunQueue {
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry) {
        match entry {
            Entry::Task(runnable) => self.push_task(runnable),
            Entry::Call(call) => self.push_aside(Aside::Call(call)),
            Entry::Wake(waker) => self.push_aside(Aside::Wake(waker)),
        }
    }

    fn push_aside(&mut self, aside: Aside) {
        self.aside.push_back(aside);
        self.line.push_back(None);
    }

    #[inline]
    pub(crate) fn push_task(&mut self, runnable: Runnable<Meta>) {
        self.line.push_back(Some(runnable));
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        match self.line.pop_front()? {
            Some(runnable) => Some(Entry::Task(runnable)),
            None => self.aside.pop_front().map(|aside| match aside {
                Aside::Call(call) => Entry::Call(call),
                Aside::Wake(waker) => Entry::Wake(waker),
            }),
        }
    }

    /// What `pop` would give, for a report.
    pub(crate) fn front(&self) -> Option<Subject> {
        Some(match (self.line.front()?, self.aside.front()) {
            (Some(runnable), _) => {
                Subject::Task(NonNull::from(runnable.metadata()), runnable.waker())
            }
            (None, Some(Aside::Call(call))) => Subject::Call(call.clone()),
            (None, _) => Subject::Wake,
        })
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.line.len()
    }

    /// The tasks in the line, oldest first.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = &Runnable<Meta>> {
        self.line.iter().flatten()
    }

    /// To be called once a turn with the number of entries it ran.
    #[inline]
    pub(crate) fn turn_used(&mut self, used: usize) {
        let capacity = self.line.capacity();
        if capacity > KEEP && used < capacity / SHARE {
            self.give_back(capacity / 2);
        }
    }

    #[cold]
    fn give_back(&mut self, capacity: usize) {
        self.line.shrink_to(capacity);
        self.aside.shrink_to(capacity);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::panic::Location;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn callbacks_leave_in_the_order_they_came_and_the_burst_gives_its_memory_back() {
        let seen: Rc<RefCell<Vec<usize>>> = Rc::default();
        let mut queue = RunQueue::default();
        for n in 0..10 * KEEP {
            let log = seen.clone();
            queue.push(Entry::Call(crate::callback::once(
                move || log.borrow_mut().push(n),
                None,
                Location::caller(),
            )));
        }
        assert_eq!(queue.len(), 10 * KEEP);
        while let Some(Entry::Call(call)) = queue.pop() {
            call.run();
        }
        assert!(seen.borrow().iter().copied().eq(0..10 * KEEP));
        assert!(queue.aside.is_empty() && queue.line.is_empty());
        let capacity = queue.line.capacity();
        queue.turn_used(1);
        assert!(queue.line.capacity() < capacity);
        for _ in 0..64 {
            queue.turn_used(1);
        }
        assert!(queue.line.capacity() <= KEEP);
    }
}
