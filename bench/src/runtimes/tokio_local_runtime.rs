//! tokio's `LocalRuntime`.

use tokio::runtime::LocalRuntime;
use tokio::task::spawn_local as spawn;

use super::tokio_common::{
    acquire, bounded, changed, join, joined, lock, oneshot, permit, publish, put, queue, receive,
    run_program, semaphore, send, sleep, take, tell, timeout, wait, watch, yield_now,
};

fn block_on(future: impl Future<Output = ()>) {
    LocalRuntime::new().expect("a runtime").block_on(future);
}

async fn group(children: usize) {
    joined(children, |group| drop(group.spawn_local(async {}))).await;
}

super::tokio_common::serve!(spawn);

crate::cells::cells!(static LOCAL_RUNTIME, "tokio-localrt", "tokio", "tokio LocalRuntime", block_on);
