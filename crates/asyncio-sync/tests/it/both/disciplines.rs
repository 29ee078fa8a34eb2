use std::cmp::Ordering;

use futures_lite::future::block_on;

use super::Shared;
use super::family::{LifoQueue, PriorityQueue};
use crate::stepper::Stepper;

/// Ordered by its first part alone.
#[derive(Debug)]
struct Job(u32, &'static str);

impl Ord for Job {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Job {}

// S174
#[test]
fn a_priority_queue_gives_the_smallest_item_and_equals_in_order() {
    let queue = PriorityQueue::new();
    for job in [Job(2, "c"), Job(1, "a"), Job(2, "d"), Job(1, "b")] {
        queue.put_nowait(job).unwrap();
    }
    let names = [(); 4].map(|()| block_on(queue.get()).unwrap().1);
    assert_eq!(names, ["a", "b", "c", "d"]);
}

// S174
#[test]
fn a_lifo_queue_gives_the_newest_item() {
    let queue = LifoQueue::new();
    for item in 1..=3 {
        queue.put_nowait(item).unwrap();
    }
    assert_eq!([(); 3].map(|()| queue.get_nowait().unwrap()), [3, 2, 1]);
}

// S174, S169: waiting is the same in every order
#[test]
fn putters_of_a_full_priority_queue_are_woken_in_order_of_arrival() {
    let (mut stepper, queue) = (Stepper::new(), Shared::new(PriorityQueue::bounded(1)));
    for item in [5, 9, 1] {
        let queue = queue.clone();
        stepper.spawn(async move { queue.put(item).await.unwrap() });
    }
    stepper.run();
    let mut items = vec![];
    while let Ok(item) = queue.get_nowait() {
        items.push(item);
        stepper.run();
    }
    assert_eq!(items, [5, 9, 1]);
}

/// Cannot be compared.
#[derive(PartialEq, Eq)]
struct Touchy;

impl Ord for Touchy {
    fn cmp(&self, _: &Self) -> Ordering {
        panic!("as expected")
    }
}

impl PartialOrd for Touchy {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[test]
fn a_comparison_that_panics_leaves_a_queue_that_can_be_shut_down() {
    let queue = Shared::new(PriorityQueue::new());
    queue.put_nowait(Touchy).unwrap();
    let inside = std::panic::AssertUnwindSafe(queue.clone());
    assert!(std::panic::catch_unwind(move || inside.put_nowait(Touchy)).is_err());
    queue.shutdown(true);
    assert!(queue.empty());
    block_on(queue.join());
}
