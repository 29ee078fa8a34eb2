//! Two coroutines that interleave on one thread.
//!
//! Run it: `cargo run --example hello`
//!
//! A task runs until it awaits something that is not ready; then the next one has its turn. Tasks need not be `Send`:
//! the two share an `Rc`.

use std::cell::RefCell;
use std::rc::Rc;

use asyncio::{create_task, yield_now};

async fn count(name: &'static str, lines: Rc<RefCell<Vec<String>>>) {
    for n in 1..=3 {
        lines.borrow_mut().push(format!("{name} {n}"));
        yield_now().await; // asyncio.sleep(0)
    }
}

#[asyncio::main]
async fn main() {
    let lines = Rc::new(RefCell::new(Vec::new()));
    let tick = create_task(count("tick", lines.clone()));
    let tock = create_task(count("tock", lines.clone()));
    tick.await.unwrap();
    tock.await.unwrap();

    for line in lines.borrow().iter() {
        println!("{line}");
    }
    assert_eq!(
        *lines.borrow(),
        ["tick 1", "tock 1", "tick 2", "tock 2", "tick 3", "tock 3"]
    );
}

#[test]
fn runs() {
    main();
}
