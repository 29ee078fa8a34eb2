//! tokio's `current_thread` with a `LocalSet`.

use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local as spawn};

use super::tokio_common::{
    acquire, bounded, changed, join, joined, lock, oneshot, permit, publish, put, queue, receive,
    run_program, semaphore, send, sleep, take, tell, timeout, wait, watch, yield_now,
};

fn block_on(future: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, future);
}

async fn group(children: usize) {
    joined(children, |group| drop(group.spawn_local(async {}))).await;
}

super::tokio_common::serve!(spawn);

crate::cells::cells!(static LOCAL_SET, "tokio-localset", "tokio", "tokio current_thread, LocalSet", block_on);
