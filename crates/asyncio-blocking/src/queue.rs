//! Jobs that wait for a thread, in order, each removable by its ticket.

use std::{collections::VecDeque, sync::Arc};

use crate::job::Run;

/// Where a job stands in the queue: how many places were handed out before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// First in, first out, with removal from the middle in constant time.
///
/// A removed job leaves an empty place, and empty places at either end are given up, so a
/// program that submits and cancels behind busy threads does not grow the queue.
#[derive(Default)]
pub(crate) struct Queue {
    places: VecDeque<Option<Arc<dyn Run>>>,
    /// The ticket of the first place.
    first: u64,
    /// How many places hold a job.
    len: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, job: Arc<dyn Run>) -> Ticket {
        let ticket = Ticket(self.first + self.places.len() as u64);
        self.places.push_back(Some(job));
        self.len += 1;
        ticket
    }

    pub(crate) fn pop(&mut self) -> Option<Arc<dyn Run>> {
        // The first place is never empty, see `trim`.
        let job = self.places.pop_front()?;
        self.first += 1;
        self.len -= 1;
        self.trim();
        job
    }

    /// Takes out the job with this ticket; `None` if a thread was faster.
    ///
    /// Must be called at most once for a ticket: trimming at the back makes the number of a
    /// removed job free for a later one. (A popped job's number is never given out again.)
    pub(crate) fn remove(&mut self, ticket: Ticket) -> Option<Arc<dyn Run>> {
        let index = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        let job = self.places.get_mut(index)?.take()?;
        self.len -= 1;
        self.trim();
        Some(job)
    }

    /// Takes out everything, in order.
    pub(crate) fn drain(&mut self) -> Vec<Arc<dyn Run>> {
        // All these numbers are used up: a canceller may be about to `remove` one of them.
        self.first += self.places.len() as u64;
        self.len = 0;
        self.places.drain(..).flatten().collect()
    }

    /// Restores the invariant that neither the first nor the last place is empty.
    fn trim(&mut self) {
        while let Some(None) = self.places.front() {
            self.places.pop_front();
            self.first += 1;
        }
        while let Some(None) = self.places.back() {
            self.places.pop_back();
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::handover::Turn;

    struct Nothing;

    impl Run for Nothing {
        fn run(&self, next: &mut dyn FnMut() -> Turn) -> Turn {
            next()
        }

        fn revoke(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_popped_ticket_removes_nothing() {
        let mut queue = Queue::default();
        let first = queue.push(Arc::new(Nothing));
        queue.pop().unwrap();
        queue.push(Arc::new(Nothing));
        assert!(queue.remove(first).is_none());
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_drained_ticket_removes_nothing() {
        let mut queue = Queue::default();
        let tickets = [(); 3].map(|()| queue.push(Arc::new(Nothing)));
        queue.remove(tickets[1]).unwrap();
        assert_eq!(queue.drain().len(), 2);
        queue.push(Arc::new(Nothing));
        assert!(queue.remove(tickets[0]).is_none());
        assert!(queue.remove(tickets[2]).is_none());
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn empty_places_at_both_ends_are_given_up() {
        let mut queue = Queue::default();
        let tickets = [(); 5].map(|()| queue.push(Arc::new(Nothing)));
        for index in [1, 3, 0, 4] {
            queue.remove(tickets[index]).unwrap();
        }
        assert_eq!((queue.places.len(), queue.len()), (1, 1));
        queue.remove(tickets[2]).unwrap();
        assert!(queue.places.is_empty() && queue.pop().is_none());
    }
}
