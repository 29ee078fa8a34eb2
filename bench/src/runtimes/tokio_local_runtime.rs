//! tokio's `LocalRuntime`.

use tokio::runtime::LocalRuntime;
use tokio::task::spawn_local as spawn;

use super::tokio_common::{
    acquire, bounded, changed, detach, echo, join, joined, lock, oneshot, permit, publish, put,
    queue, receive, semaphore, send, serve as accept, sleep, take, tell, timeout, wait, watch,
    yield_now,
};

fn block_on(future: impl Future<Output = ()>) {
    LocalRuntime::new().expect("a runtime").block_on(future);
}

async fn group(children: usize) {
    joined(children, |group| drop(group.spawn_local(async {}))).await;
}

async fn serve() {
    accept(|stream| detach(spawn(echo(stream)))).await;
}

crate::cells::cells!(static LOCAL_RUNTIME, "tokio-localrt", "tokio", "tokio LocalRuntime", block_on);
