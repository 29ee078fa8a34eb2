//! What the three flavours of tokio share: everything but `block_on` and `spawn`.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{
    Mutex, MutexGuard, Semaphore, SemaphorePermit, mpsc, oneshot as one, watch as watching,
};
use tokio::task::{JoinHandle, JoinSet};

pub(super) use tokio::sync::mpsc::{channel as bounded, unbounded_channel as queue};
pub(super) use tokio::sync::oneshot::channel as oneshot;
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

pub(super) async fn put<T>(sender: &mpsc::Sender<T>, value: T) {
    assert!(sender.send(value).await.is_ok());
}

pub(super) async fn take<T>(receiver: &mut mpsc::Receiver<T>) -> T {
    receiver.recv().await.expect("the sender lives")
}

pub(super) fn tell<T>(sender: one::Sender<T>, value: T) {
    assert!(sender.send(value).is_ok());
}

pub(super) async fn wait<T>(receiver: one::Receiver<T>) -> Option<T> {
    receiver.await.ok()
}

pub(super) fn lock() -> Arc<Mutex<()>> {
    Arc::default()
}

pub(super) fn acquire(lock: &Mutex<()>) -> impl Future<Output = MutexGuard<'_, ()>> {
    lock.lock()
}

pub(super) fn semaphore() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}

pub(super) async fn permit(semaphore: &Semaphore) -> SemaphorePermit<'_> {
    semaphore.acquire().await.expect("it stays open")
}

pub(super) fn watch() -> (watching::Sender<usize>, watching::Receiver<usize>) {
    watching::channel(0)
}

pub(super) fn publish(sender: &watching::Sender<usize>, value: usize) {
    assert!(sender.send(value).is_ok());
}

pub(super) async fn changed(receiver: &mut watching::Receiver<usize>) -> usize {
    receiver.changed().await.expect("the sender lives");
    *receiver.borrow_and_update()
}

/// A group with so many children.
pub(super) async fn joined(children: usize, spawn: impl Fn(&mut JoinSet<()>)) {
    let mut group = JoinSet::new();
    (0..children).for_each(|_| spawn(&mut group));
    group.join_all().await;
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
