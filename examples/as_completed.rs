//! Results in the order in which they come, not in which they were asked for.
//!
//! Run it: `cargo run --example as_completed`

use asyncio::{as_completed, create_task, sleep_with};

#[asyncio::main]
async fn main() {
    let tasks = [(0.006, "slow"), (0.002, "quick"), (0.004, "middling")]
        .map(|(delay, name)| create_task(sleep_with(delay, name)));
    let mut arrivals = as_completed(tasks);
    let mut order = Vec::new();
    while let Some(arrived) = arrivals.next().await {
        order.push(arrived.await.unwrap());
    }
    assert_eq!(order, ["quick", "middling", "slow"]);
    println!("{order:?}");
}

#[test]
fn runs() {
    main();
}
