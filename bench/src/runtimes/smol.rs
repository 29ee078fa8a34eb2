//! smol's `LocalExecutor` under `smol::block_on`.

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use smol::channel::{self, Receiver, Sender};
use smol::future::or;
use smol::lock::{Mutex, MutexGuard, Semaphore, SemaphoreGuard};
use smol::net::TcpListener;
use smol::process::Command;
use smol::{Async, LocalExecutor, Task, Timer};
use smol_hyper::rt::FuturesIo;

use self::{receive as take, send as put};
use smol::channel::{bounded, unbounded as queue};
use smol::future::yield_now;

use super::hello::hello;
use super::no_watch::{changed, publish, watch};
use super::{echo, unordered};
use crate::idlers::client;
use crate::rows::Service;

thread_local! {
    static EXECUTOR: OnceCell<&'static LocalExecutor<'static>> = const { OnceCell::new() };
}

fn block_on(future: impl Future<Output = ()>) {
    let executor = &*Box::leak(Box::default());
    EXECUTOR.with(|cell| cell.set(executor).expect("one executor for a thread"));
    smol::block_on(executor.run(future));
}

fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    EXECUTOR.with(|executor| executor.get().expect("inside block_on").spawn(future))
}

async fn join<T>(task: Task<T>) -> T {
    task.await
}

fn detach<T>(task: Task<T>) {
    task.detach();
}

async fn sleep(duration: Duration) {
    Timer::after(duration).await;
}

/// smol has no timeout of its own; this is the one its documentation shows.
async fn timeout(duration: Duration, future: impl Future) -> bool {
    let in_time = async {
        future.await;
        true
    };
    let late = async {
        Timer::after(duration).await;
        false
    };
    or(in_time, late).await
}

async fn send<T>(sender: &Sender<T>, value: T) {
    assert!(sender.send(value).await.is_ok());
}

async fn receive<T>(receiver: &mut Receiver<T>) -> T {
    receiver.recv().await.expect("the sender lives")
}

/// smol has no oneshot: a channel for one value.
fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    channel::bounded(1)
}

fn tell<T>(sender: Sender<T>, value: T) {
    assert!(sender.try_send(value).is_ok());
}

async fn wait<T>(receiver: Receiver<T>) -> Option<T> {
    receiver.recv().await.ok()
}

fn lock() -> Rc<Mutex<()>> {
    Rc::default()
}

fn acquire(lock: &Mutex<()>) -> impl Future<Output = MutexGuard<'_, ()>> {
    lock.lock()
}

fn semaphore() -> Rc<Semaphore> {
    Rc::new(Semaphore::new(1))
}

fn permit(semaphore: &Semaphore) -> impl Future<Output = SemaphoreGuard<'_>> {
    semaphore.acquire()
}

async fn group(children: usize) {
    unordered((0..children).map(|_| spawn(async {}))).await;
}

async fn run_program(path: &str) {
    let status = Command::new(path).status().await;
    assert!(status.expect("it can be started").success());
}

async fn serve(service: Service, bound: impl FnOnce(u16)) {
    let listener = Async::new(super::listener(bound)).expect("it listens");
    let listener = TcpListener::from(listener);
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        match service {
            Service::Echo { buffer } => detach(spawn(client(echo(stream, buffer)))),
            Service::Hello => detach(spawn(hello(FuturesIo::new(stream)))),
        }
    }
}

crate::cells::cells!(static SMOL, "smol", "smol", "smol LocalExecutor", block_on);
