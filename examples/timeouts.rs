//! Asking something to end, waiting until it has, and not asking at all.
//!
//! Run it: `cargo run --example timeouts`

use std::cell::Cell;
use std::rc::Rc;

use asyncio::{TimeoutError, catch_cancelled, create_task, shield, sleep, timeout, wait_for};

#[asyncio::main]
async fn main() {
    // In time.
    assert_eq!(timeout(1.0, async { "in time" }).await, Ok("in time"));

    // Too late. The body is *asked* to end: it may clean up, with awaits, and the timeout waits for that.
    let goodbyes = Rc::new(Cell::new(0));
    let said = goodbyes.clone();
    let polite = async move {
        if let Err(cancelled) = catch_cancelled(sleep(60)).await {
            sleep(0.001).await; // say goodbye over the wire
            said.set(said.get() + 1);
            cancelled.propagate().await
        }
    };
    assert_eq!(timeout(0.01, polite).await, Err(TimeoutError));
    assert_eq!(goodbyes.get(), 1);

    // A task given by value is asked to end when the time is over, and waited for.
    let slow = create_task(sleep(60));
    assert!(wait_for(slow, 0.01).await.is_err());

    // A shielded one is left alone: the wait ends, the task goes on, and can be awaited later.
    let mut delayed = create_task(asyncio::sleep_with(0.03, "shielded"));
    assert!(wait_for(shield(&mut delayed), 0.001).await.is_err());
    assert!(!delayed.done());
    assert_eq!(delayed.await.unwrap(), "shielded");
    println!("in time, cleaned up, cancelled, shielded: all as expected");
}

#[test]
fn runs() {
    main();
}
