//! A `Future` that a callback sets, and callbacks on a future.
//!
//! Run it: `cargo run --example future_callback`

use std::cell::RefCell;
use std::rc::Rc;

use asyncio::{Future, get_running_loop};

#[asyncio::main]
async fn main() {
    let trace = Rc::new(RefCell::new(Vec::new()));
    let future = Future::new();

    // The loop calls back later; nobody awaits here.
    let setter = future.clone();
    get_running_loop().call_later(0.01, move || setter.set_result(42).unwrap());

    // A done callback never runs at once: it takes its turn in the ready queue, before whoever began to await later.
    let seen = trace.clone();
    future.add_done_callback(move |future| {
        seen.borrow_mut()
            .push(format!("callback: {}", future.result().unwrap()));
    });

    let answer = (&future).await.unwrap();
    trace.borrow_mut().push(format!("awaited: {answer}"));

    // It can be set only once; the error says so.
    let refused = future.set_result(43).unwrap_err();
    println!("{:?}, then: {refused}", trace.borrow());
    assert_eq!(*trace.borrow(), ["callback: 42", "awaited: 42"]);
}

#[test]
fn runs() {
    main();
}
