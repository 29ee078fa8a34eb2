//! tokio's `LocalRuntime`.

use tokio::runtime::LocalRuntime;
use tokio::task::spawn_local as spawn;

use super::tokio_common::{
    detach, echo, join, oneshot, queue, receive, send, serve as accept, sleep, timeout, wait,
    yield_now,
};

fn block_on(future: impl Future<Output = ()>) {
    LocalRuntime::new().expect("a runtime").block_on(future);
}

async fn serve() {
    accept(|stream| detach(spawn(echo(stream)))).await;
}

crate::cells::cells!(static LOCAL_RUNTIME, "tokio-localrt", "tokio", "tokio LocalRuntime", block_on);
