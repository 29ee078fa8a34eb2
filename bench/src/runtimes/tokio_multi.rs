//! tokio's `multi_thread`, with as many workers as it finds cores.

use tokio::runtime::Runtime;
use tokio::spawn;

use super::tokio_common::{
    acquire, bounded, changed, join, joined, lock, oneshot, permit, publish, put, queue, receive,
    run_program, semaphore, send, sleep, take, tell, timeout, wait, watch, yield_now,
};

fn block_on(future: impl Future<Output = ()>) {
    Runtime::new().expect("a runtime").block_on(future);
}

async fn group(children: usize) {
    joined(children, |group| drop(group.spawn(async {}))).await;
}

super::tokio_common::serve!(spawn);

crate::cells::cells!(static MULTI_THREAD, "tokio-multi", "tokio", "tokio multi_thread, one worker per core", block_on);
