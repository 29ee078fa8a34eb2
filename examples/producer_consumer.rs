//! Producers, workers, and a queue between them that holds the producers back.
//!
//! Run it: `cargo run --example producer_consumer`

use std::cell::Cell;
use std::rc::Rc;

use asyncio::{Queue, TaskGroup, yield_now};

#[asyncio::main]
async fn main() {
    // Room for four items: a producer that is ahead waits here.
    let queue = Rc::new(Queue::bounded(4));
    let sum = Rc::new(Cell::new(0_u32));

    let result = TaskGroup::<String>::scope(async |group| {
        for _ in 0..3 {
            let (queue, sum) = (queue.clone(), sum.clone());
            group.create_task(async move {
                // Ends when the queue was shut down and everything in it has been taken.
                while let Ok(item) = queue.get().await {
                    sum.set(sum.get() + item);
                    yield_now().await; // some work
                    queue.task_done().unwrap();
                }
            });
        }
        let producers = [1, 2].map(|number| {
            let queue = queue.clone();
            group.create_task(async move {
                for item in 0..50 {
                    queue.put(number * item).await.unwrap();
                }
            })
        });
        for producer in producers {
            producer.await;
        }
        queue.join().await; // everything has been worked on
        queue.shutdown(false); // so the workers may go
        Ok(())
    })
    .await;

    result.unwrap();
    assert_eq!(sum.get(), 3 * (0..50).sum::<u32>());
    println!("three workers added up {}", sum.get());
}

#[test]
fn runs() {
    main();
}
