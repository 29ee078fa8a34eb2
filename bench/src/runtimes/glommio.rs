//! glommio: io_uring only.

use std::os::fd::{FromRawFd, IntoRawFd};
use std::rc::Rc;
use std::time::Duration;

use glommio::channels::local_channel::{self, LocalReceiver, LocalSender};
use glommio::net::TcpListener;
use glommio::sync::{Permit, Semaphore};
use glommio::{LocalExecutorBuilder, Placement, Task};
use smol_hyper::rt::FuturesIo;

use self::{permit as acquire, receive as take, semaphore as lock, send as put};
use glommio::channels::local_channel::new_unbounded as queue;
use glommio::spawn_local as spawn;
use glommio::timer::sleep;

use super::hello::hello;
use super::no_process::run_program;
use super::no_watch::{changed, publish, watch};
use super::{echo, unordered};
use crate::idlers::client;
use crate::rows::Service;

fn block_on(future: impl Future<Output = ()>) {
    LocalExecutorBuilder::new(Placement::Unbound)
        .make()
        .expect("an executor over io_uring")
        .run(future);
}

async fn join<T>(task: Task<T>) -> T {
    task.await
}

fn detach<T>(task: Task<T>) {
    drop(task.detach());
}

async fn yield_now() {
    glommio::executor().yield_now().await;
}

async fn timeout(duration: Duration, future: impl Future) -> bool {
    let in_time = async {
        future.await;
        Ok(())
    };
    glommio::timer::timeout(duration, in_time).await.is_ok()
}

async fn send<T>(sender: &LocalSender<T>, value: T) {
    assert!(sender.send(value).await.is_ok());
}

async fn receive<T>(receiver: &mut LocalReceiver<T>) -> T {
    receiver.recv().await.expect("the sender lives")
}

/// glommio has no oneshot: a channel for one value.
fn oneshot<T>() -> (LocalSender<T>, LocalReceiver<T>) {
    local_channel::new_bounded(1)
}

fn tell<T>(sender: LocalSender<T>, value: T) {
    assert!(sender.try_send(value).is_ok());
}

async fn wait<T>(receiver: LocalReceiver<T>) -> Option<T> {
    receiver.recv().await
}

/// Shared, because its sender cannot be cloned.
fn bounded<T>(slots: usize) -> (Rc<LocalSender<T>>, LocalReceiver<T>) {
    let (sender, receiver) = local_channel::new_bounded(slots);
    (Rc::new(sender), receiver)
}

/// The lock too: quicker than its `RwLock`, and it has no mutex.
fn semaphore() -> Rc<Semaphore> {
    Rc::new(Semaphore::new(1))
}

async fn permit(semaphore: &Semaphore) -> Permit<'_> {
    semaphore.acquire_permit(1).await.expect("it stays open")
}

async fn group(children: usize) {
    unordered((0..children).map(|_| spawn(async {}))).await;
}

async fn serve(service: Service, bound: impl FnOnce(u16)) {
    let listener = super::listener(bound);
    // SAFETY: the descriptor is a listening socket's, and nobody else owns it any more.
    let listener = unsafe { TcpListener::from_raw_fd(listener.into_raw_fd()) };
    loop {
        let stream = listener.accept().await.expect("accept");
        match service {
            Service::Echo { buffer } => detach(spawn(client(echo(stream, buffer)))),
            Service::Hello => detach(spawn(hello(FuturesIo::new(stream)))),
        }
    }
}

crate::cells::cells!(static GLOMMIO, "glommio", "glommio", "glommio", block_on);
