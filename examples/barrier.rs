//! Tasks that wait for each other between the rounds of a computation.
//!
//! Run it: `cargo run --example barrier`

use std::cell::RefCell;
use std::rc::Rc;

use asyncio::{Barrier, gather, sleep};

const RUNNERS: usize = 3;

async fn run(number: usize, barrier: Rc<Barrier>, trace: Rc<RefCell<Vec<usize>>>) {
    for round in 0..3 {
        sleep(0.001 * (RUNNERS - number) as f64).await; // the first is the slowest
        trace.borrow_mut().push(round);
        // Nobody begins the next round before everybody has ended this one.
        barrier.wait().await.unwrap();
    }
}

#[asyncio::main]
async fn main() {
    let barrier = Rc::new(Barrier::new(RUNNERS).unwrap());
    let trace = Rc::new(RefCell::new(Vec::new()));
    gather((0..RUNNERS).map(|number| run(number, barrier.clone(), trace.clone()))).await;
    assert_eq!(*trace.borrow(), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
    println!("three runners, three rounds, in step");

    // A barrier for nobody is a mistake, and says so.
    println!("{}", Barrier::new(0).unwrap_err());
}

#[test]
fn runs() {
    main();
}
