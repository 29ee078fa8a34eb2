//! A group of tasks that ends together: no child outlives the block.
//!
//! Run it: `cargo run --example task_group`

use std::cell::Cell;
use std::rc::Rc;

use asyncio::{TaskGroup, finally, sleep};

async fn double(n: i32) -> Result<i32, String> {
    sleep(0.001).await;
    if n < 0 {
        Err(format!("{n} is negative"))
    } else {
        Ok(2 * n)
    }
}

#[asyncio::main]
async fn main() {
    // The children's values, when all went well.
    let sum = TaskGroup::scope(async |group| {
        let (a, b) = (group.create_task(double(1)), group.create_task(double(2)));
        Ok(a.await + b.await)
    })
    .await;
    assert_eq!(sum.unwrap(), 6);

    // One fails: the others are asked to end, may clean up, and are waited for; the failures come out together.
    let cleaned = Rc::new(Cell::new(false));
    let cleaning = cleaned.clone();
    let failed = TaskGroup::<String>::scope(async |group| {
        group.create_task(double(-1));
        group.create_task(finally(sleep(3600), async move {
            sleep(0.001).await; // goodbye over the wire
            cleaning.set(true);
        }));
        Ok(())
    })
    .await
    .unwrap_err();
    assert!(cleaned.get());
    assert_eq!(
        failed.to_string(),
        "1 failure in a task group\n└── -1 is negative"
    );
    println!("{failed}");
}

#[test]
fn runs() {
    main();
}
