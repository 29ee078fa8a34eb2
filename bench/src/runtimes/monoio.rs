//! monoio, once with its epoll driver ("legacy") and once with io_uring.

use std::rc::Rc;
use std::time::Duration;

use local_sync::mpsc::{bounded as slots, unbounded};
use local_sync::oneshot as one;
use local_sync::semaphore::{Semaphore, SemaphorePermit};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::task::JoinHandle;
use monoio::time::TimeDriver;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

use self::{permit as acquire, semaphore as lock};
use local_sync::mpsc::bounded::channel as bounded;
use local_sync::mpsc::unbounded::channel as queue;
use local_sync::oneshot::channel as oneshot;
use monoio::spawn;
use monoio::time::sleep;

use super::no_watch::{changed, publish, watch};
use super::{READ, unordered};
use crate::measure::announce;
use crate::measure::one_trip as yield_now;

fn block_on_epoll(future: impl Future<Output = ()>) {
    let mut runtime: Runtime<TimeDriver<LegacyDriver>> = RuntimeBuilder::<LegacyDriver>::new()
        .enable_timer()
        .build()
        .expect("a runtime");
    runtime.block_on(future);
}

fn block_on_uring(future: impl Future<Output = ()>) {
    let mut runtime: Runtime<TimeDriver<IoUringDriver>> = RuntimeBuilder::<IoUringDriver>::new()
        .enable_timer()
        .build()
        .expect("a runtime over io_uring");
    runtime.block_on(future);
}

async fn join<T>(task: JoinHandle<T>) -> T {
    task.await
}

fn detach<T>(task: JoinHandle<T>) {
    drop(task);
}

async fn timeout(duration: Duration, future: impl Future) -> bool {
    monoio::time::timeout(duration, future).await.is_ok()
}

async fn send<T>(sender: &unbounded::Tx<T>, value: T) {
    assert!(sender.send(value).is_ok());
}

async fn receive<T>(receiver: &mut unbounded::Rx<T>) -> T {
    receiver.recv().await.expect("the sender lives")
}

async fn put<T>(sender: &slots::Tx<T>, value: T) {
    assert!(sender.send(value).await.is_ok());
}

async fn take<T>(receiver: &mut slots::Rx<T>) -> T {
    receiver.recv().await.expect("the sender lives")
}

fn tell<T>(sender: one::Sender<T>, value: T) {
    assert!(sender.send(value).is_ok());
}

async fn wait<T>(receiver: one::Receiver<T>) -> Option<T> {
    receiver.await.ok()
}

/// The lock too: local-sync has no other.
fn semaphore() -> Rc<Semaphore> {
    Rc::new(Semaphore::new(1))
}

async fn permit(semaphore: &Semaphore) -> SemaphorePermit<'_> {
    semaphore.acquire().await.expect("it stays open")
}

async fn group(children: usize) {
    unordered((0..children).map(|_| spawn(async {}))).await;
}

async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    announce(listener.local_addr().expect("it is bound").port());
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        detach(spawn(echo(stream)));
    }
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = Vec::with_capacity(READ);
    loop {
        let outcome;
        (outcome, buffer) = stream.read(buffer).await;
        if !matches!(outcome, Ok(1..)) {
            break;
        }
        // The buffer's length is what was read.
        let outcome;
        (outcome, buffer) = stream.write_all(buffer).await;
        if outcome.is_err() {
            break;
        }
    }
}

crate::cells::cells!(static EPOLL, "monoio-epoll", "monoio", "monoio, legacy (epoll) driver", block_on_epoll);
crate::cells::cells!(static URING, "monoio-uring", "monoio", "monoio, io_uring driver", block_on_uring);
