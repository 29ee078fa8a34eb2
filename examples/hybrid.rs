//! A blocking call beside the loop, which goes on meanwhile.
//!
//! Run it: `cargo run --example hybrid`

use std::sync::mpsc;
use std::thread;

use asyncio::{create_task, get_running_loop, sleep, to_thread};

#[asyncio::main]
async fn main() {
    // The blocking call waits for a message that only the loop can send: it ends because the loop runs beside it.
    let (send, receive) = mpsc::channel();
    let blocking = create_task(to_thread(move || receive.recv().unwrap()));

    let mut ticks = 0;
    for _ in 0..3 {
        sleep(0.002).await;
        ticks += 1;
    }
    assert!(!blocking.done());
    send.send("from the loop").unwrap();
    assert_eq!(blocking.await.unwrap(), "from the loop");

    // The other way round: a thread hands the loop something to do, and waits for the answer.
    let event_loop = get_running_loop();
    let ran_on = to_thread(move || {
        let (reply, answer) = mpsc::channel();
        event_loop
            .call_soon_threadsafe(move || reply.send(thread::current().id()).unwrap())
            .unwrap();
        answer.recv().unwrap()
    })
    .await;
    assert_eq!(ran_on, thread::current().id());
    println!("{ticks} ticks of the loop while a thread was blocked");
}

#[test]
fn runs() {
    main();
}
