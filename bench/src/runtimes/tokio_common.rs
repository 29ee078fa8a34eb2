//! What the three flavours of tokio share: everything but `block_on` and `spawn`.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot as one};
use tokio::task::JoinHandle;

pub(super) use tokio::sync::mpsc::unbounded_channel as queue;
pub(super) use tokio::task::yield_now;
pub(super) use tokio::time::sleep;

use super::READ;
use crate::measure::announce;

pub(super) async fn join<T>(task: JoinHandle<T>) -> T {
    task.await.expect("no task panics")
}

pub(super) fn detach<T>(task: JoinHandle<T>) {
    drop(task);
}

pub(super) async fn timeout<F: Future>(duration: Duration, future: F) -> bool {
    tokio::time::timeout(duration, future).await.is_ok()
}

pub(super) async fn send<T>(sender: &mpsc::UnboundedSender<T>, value: T) {
    assert!(sender.send(value).is_ok());
}

pub(super) async fn receive<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> T {
    receiver.recv().await.expect("the sender lives")
}

pub(super) fn oneshot() -> (one::Sender<()>, one::Receiver<()>) {
    one::channel()
}

pub(super) async fn wait(receiver: one::Receiver<()>) {
    let _ = receiver.await;
}

pub(super) async fn serve(spawn: impl Fn(TcpStream)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    announce(listener.local_addr().expect("it is bound").port());
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        spawn(stream);
    }
}

pub(super) async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; READ];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}
