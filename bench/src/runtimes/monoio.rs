//! monoio, once with its epoll driver ("legacy") and once with io_uring.

use std::time::Duration;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::task::JoinHandle;
use monoio::time::TimeDriver;
use monoio::utils::is_legacy;
use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};
use monoio_compat::hyper::MonoioIo;

use monoio::spawn;
use monoio::time::sleep;

use super::hello::hello;
use super::local_sync::{
    acquire, bounded, lock, oneshot, permit, put, queue, receive, semaphore, send, take, tell, wait,
};
use super::no_process::run_program;
use super::no_watch::{changed, publish, watch};
use super::unordered;
use crate::idlers::client;
use crate::measure::one_trip as yield_now;
use crate::rows::Service;

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

async fn group(children: usize) {
    unordered((0..children).map(|_| spawn(async {}))).await;
}

async fn serve(service: Service, bound: impl FnOnce(u16)) {
    let listener = super::listener(bound);
    listener.set_nonblocking(is_legacy()).expect("it is open");
    let listener = TcpListener::from_std(listener).expect("it listens");
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        match service {
            Service::Echo { buffer } => detach(spawn(client(echo(stream, buffer)))),
            Service::Hello => {
                let stream = stream.try_into_poll_io().expect("it can be polled");
                detach(spawn(hello(MonoioIo::new(stream))));
            }
        }
    }
}

async fn echo(mut stream: TcpStream, buffer: usize) {
    let mut buffer = Vec::with_capacity(buffer);
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
