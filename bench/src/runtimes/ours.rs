//! Ours: the facade crate `asyncio`.

use std::rc::Rc;
use std::time::Duration;

use asyncio::{Queue, StreamReader, StreamWriter, Task};

use asyncio::{create_task as spawn, run as block_on, sleep, yield_now};

use super::READ;
use crate::measure::announce;

async fn join<T>(task: Task<T>) -> T {
    task.await.expect("no task panics")
}

async fn timeout(duration: Duration, future: impl Future) -> bool {
    asyncio::timeout(duration, future).await.is_ok()
}

fn queue<T>() -> (Rc<Queue<T>>, Rc<Queue<T>>) {
    let queue = Rc::new(Queue::new());
    (Rc::clone(&queue), queue)
}

async fn send<T>(sender: &Queue<T>, value: T) {
    assert!(sender.put(value).await.is_ok());
}

async fn receive<T>(receiver: &mut Rc<Queue<T>>) -> T {
    receiver.get().await.expect("the queue is open")
}

fn oneshot() -> (asyncio::Future<()>, asyncio::Future<()>) {
    let future = asyncio::Future::new();
    (future.clone(), future)
}

async fn wait(receiver: asyncio::Future<()>) {
    let _ = receiver.await;
}

async fn serve() {
    let server = asyncio::start_server(echo, "127.0.0.1", 0)
        .await
        .expect("a free port");
    announce(server.local_addrs()[0].port());
    server
        .serve_forever()
        .await
        .expect("it serves until it is killed");
}

/// Through the streams: a read into a buffer of its own, as the peers do, a write, a drain.
async fn echo(mut reader: StreamReader, writer: StreamWriter) {
    let mut buffer = [0; READ];
    while let Ok(n @ 1..) = reader.read_into(&mut buffer).await {
        writer.write(&buffer[..n]);
        if writer.drain().await.is_err() {
            break;
        }
    }
}

crate::cells::cells!(static OURS, "ours", "asyncio", "asyncio", block_on);
