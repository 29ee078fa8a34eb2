//! Work in order of urgency, first come first served among equals.
//!
//! Run it: `cargo run --example priority_queue`

use std::cmp::Ordering;

use asyncio::{LifoQueue, PriorityQueue};

#[derive(Debug, PartialEq, Eq)]
struct Job {
    urgency: u8,
    name: &'static str,
}

/// The smallest comes first, so what is urgent is small.
impl Ord for Job {
    fn cmp(&self, other: &Job) -> Ordering {
        other.urgency.cmp(&self.urgency)
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Job) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[asyncio::main]
async fn main() {
    let queue = PriorityQueue::new();
    for (urgency, name) in [
        (1, "tidy up"),
        (9, "put the fire out"),
        (5, "answer"),
        (5, "answer the next"),
    ] {
        queue.put(Job { urgency, name }).await.unwrap();
    }
    let mut order = Vec::new();
    while !queue.empty() {
        order.push(queue.get().await.unwrap().name);
    }
    assert_eq!(
        order,
        ["put the fire out", "answer", "answer the next", "tidy up"]
    );
    println!("{order:?}");

    // The other way of ordering: the newest first.
    let stack = LifoQueue::new();
    for n in 1..=3 {
        stack.put(n).await.unwrap();
    }
    assert_eq!(stack.get().await.unwrap(), 3);
}

#[test]
fn runs() {
    main();
}
