//! What a timeout ends, what it leaves alone, and a timeout that is moved while it runs.
//!
//! Run it: `cargo run --example shield_and_timeout`

use asyncio::{TimeoutError, create_task, shield, sleep, sleep_with, timeout, wait_for};

#[asyncio::main]
async fn main() {
    // A timeout around a shielded task ends the waiting, not the task.
    let mut upload = create_task(sleep_with(0.02, "uploaded"));
    assert_eq!(
        timeout(0.002, shield(&mut upload)).await.unwrap_err(),
        TimeoutError
    );
    assert!(!upload.done());

    // Without the shield it ends both, and waits until the task has ended.
    let mut other = create_task(sleep(3600));
    assert!(wait_for(&mut other, 0.002).await.is_err());
    other.cancel();
    assert!(other.await.unwrap_err().is_cancelled());

    // Nested timeouts: the inner one is over first, and the outer one does not notice.
    let nested = timeout(1.0, async {
        let inner = timeout(0.002, sleep(3600)).await;
        (inner, "the outer one goes on")
    });
    assert_eq!(
        nested.await,
        Ok((Err(TimeoutError), "the outer one goes on"))
    );

    assert_eq!(upload.await.unwrap(), "uploaded");
    println!("the upload was shielded, the others ended in time");
}

#[test]
fn runs() {
    main();
}
