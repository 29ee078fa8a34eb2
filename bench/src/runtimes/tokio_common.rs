//! What the three flavours of tokio share: everything but `block_on` and `spawn`.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::sync::{
    Mutex, MutexGuard, Semaphore, SemaphorePermit, mpsc, oneshot as one, watch as watching,
};
use tokio::task::{JoinHandle, JoinSet};

pub(super) use tokio::sync::mpsc::{channel as bounded, unbounded_channel as queue};
pub(super) use tokio::sync::oneshot::channel as oneshot;
pub(super) use tokio::task::yield_now;
pub(super) use tokio::time::sleep;

use super::hello::hello;

pub(super) async fn join<T>(task: JoinHandle<T>) -> T {
    task.await.expect("no task panics")
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

pub(super) async fn run_program(path: &str) {
    let status = Command::new(path).status().await;
    assert!(status.expect("it can be started").success());
}

pub(super) fn bind(bound: impl FnOnce(u16)) -> TcpListener {
    let listener = super::listener(bound);
    listener.set_nonblocking(true).expect("it is open");
    TcpListener::from_std(listener).expect("it listens")
}

/// `serve!(spawn)`: the server, over the flavour's own `spawn`.
macro_rules! serve {
    ($spawn:path) => {
        async fn serve(service: $crate::rows::Service, bound: impl FnOnce(u16)) {
            use $crate::rows::Service;
            use $crate::runtimes::tokio_common::{bind, echo, hello_over};

            let listener = bind(bound);
            loop {
                let (stream, _) = listener.accept().await.expect("accept");
                match service {
                    Service::Echo { buffer } => drop($spawn($crate::idlers::client(echo(stream, buffer)))),
                    Service::Hello => drop($spawn(hello_over(stream))),
                }
            }
        }
    };
}
pub(super) use serve;

pub(super) fn hello_over(stream: TcpStream) -> impl Future<Output = ()> + Send {
    hello(TokioIo::new(stream))
}

pub(super) async fn echo(mut stream: TcpStream, buffer: usize) {
    let mut buffer = vec![0; buffer];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}
