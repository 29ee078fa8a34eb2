//! tokio's `multi_thread`, with as many workers as it finds cores.

use tokio::runtime::Runtime;
use tokio::spawn;

use super::tokio_common::{
    detach, echo, join, oneshot, queue, receive, send, serve as accept, sleep, timeout, wait,
    yield_now,
};

fn block_on(future: impl Future<Output = ()>) {
    Runtime::new().expect("a runtime").block_on(future);
}

async fn serve() {
    accept(|stream| detach(spawn(echo(stream)))).await;
}

crate::cells::cells!(static MULTI_THREAD, "tokio-multi", "tokio", "tokio multi_thread, one worker per core", block_on);
