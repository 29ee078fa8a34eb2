//! Several at once, results in order.
//!
//! Run it: `cargo run --example gather`

use asyncio::{gather, get_running_loop, sleep, try_gather};

async fn fetch(page: u32) -> String {
    // The later the page, the sooner it comes: results keep their order all the same.
    sleep(0.03 / f64::from(page)).await;
    format!("page {page}")
}

async fn checked(divisor: i32) -> Result<i32, &'static str> {
    12_i32.checked_div(divisor).ok_or("division by zero")
}

#[asyncio::main]
async fn main() {
    // An iterator gives a `Vec` ...
    let began = get_running_loop().time();
    let pages = gather((1..=3).map(fetch)).await;
    assert_eq!(pages, ["page 1", "page 2", "page 3"]);
    println!(
        "{pages:?} after {:.3} s",
        (get_running_loop().time() - began).as_secs_f64()
    );

    // ... a tuple gives a tuple, of whatever types.
    let (page, sum) = gather((fetch(7), async { 1 + 2 })).await;
    assert_eq!((page.as_str(), sum), ("page 7", 3));

    // A `Result` is an output like any other; `try_gather` ends at the first error instead.
    let settled = gather([1, 0, 3].map(checked)).await;
    assert_eq!(settled, [Ok(12), Err("division by zero"), Ok(4)]);
    let failed = try_gather([1, 0, 3].map(checked)).await;
    assert_eq!(failed, Err("division by zero"));
    println!("settled: {settled:?}, tried: {failed:?}");
}

#[test]
fn runs() {
    main();
}
