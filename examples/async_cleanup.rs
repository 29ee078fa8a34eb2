//! Cleanup that awaits, whichever way a task comes to its end.
//!
//! Run it: `cargo run --example async_cleanup`

use std::cell::RefCell;
use std::rc::Rc;

use asyncio::{catch_cancelled, create_task, finally, sleep, timeout, yield_now};

type Trace = Rc<RefCell<Vec<String>>>;

/// Holds something that must be given back with an await.
async fn session(name: &'static str, trace: Trace) {
    let goodbye = async {
        sleep(0.001).await; // over the wire
        trace.borrow_mut().push(format!("{name}: goodbye"));
    };
    finally(sleep(3600), goodbye).await;
}

#[asyncio::main]
async fn main() {
    let trace = Trace::default();

    // Cancelled by somebody.
    let task = create_task(session("cancelled", trace.clone()));
    yield_now().await;
    task.cancel();
    assert!(task.await.unwrap_err().is_cancelled());

    // Its time is over.
    assert!(
        timeout(0.002, session("timed out", trace.clone()))
            .await
            .is_err()
    );

    // Caught: the code around decides what becomes of the request.
    let log = trace.clone();
    let stubborn = create_task(async move {
        match catch_cancelled(session("caught", log.clone())).await {
            Ok(()) => "ended",
            Err(_request) => "went on",
        }
    });
    yield_now().await;
    stubborn.cancel();
    assert_eq!(stubborn.await.unwrap(), "went on");

    assert_eq!(
        *trace.borrow(),
        [
            "cancelled: goodbye",
            "timed out: goodbye",
            "caught: goodbye"
        ]
    );
    println!("{:?}", trace.borrow());
}

#[test]
fn runs() {
    main();
}
