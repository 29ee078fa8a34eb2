//! compio over io_uring.

use std::time::Duration;

use compio::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::process::Command;
use compio::runtime::{JoinHandle, Runtime};
use cyper_core::HyperStream;

use compio::runtime::spawn;
use compio::time::sleep;

use super::hello::hello;
use super::local_sync::{
    acquire, bounded, lock, oneshot, permit, put, queue, receive, semaphore, send, take, tell, wait,
};
use super::no_watch::{changed, publish, watch};
use super::unordered;
use crate::idlers::client;
use crate::measure::one_trip as yield_now;
use crate::rows::Service;

fn block_on(future: impl Future<Output = ()>) {
    Runtime::new().expect("a runtime").block_on(async {
        let runtime = Runtime::current();
        assert!(
            runtime.driver_type().is_iouring(),
            "compio fell back to polling: io_uring does not work here"
        );
        future.await;
    });
}

async fn join<T>(task: JoinHandle<T>) -> T {
    task.await.expect("no task panics")
}

fn detach<T>(task: JoinHandle<T>) {
    task.detach();
}

async fn timeout(duration: Duration, future: impl Future) -> bool {
    compio::time::timeout(duration, future).await.is_ok()
}

async fn group(children: usize) {
    unordered((0..children).map(|_| spawn(async {}))).await;
}

async fn run_program(path: &str) {
    let child = Command::new(path).spawn().expect("it can be started");
    assert!(child.wait().await.expect("it is a child").success());
}

async fn serve(service: Service, bound: impl FnOnce(u16)) {
    let listener = TcpListener::from_std(super::listener(bound)).expect("it listens");
    loop {
        let (stream, _) = listener.accept().await.expect("accept");
        match service {
            Service::Echo { buffer } => detach(spawn(client(echo(stream, buffer)))),
            Service::Hello => detach(spawn(hello(HyperStream::new_plain(stream)))),
        }
    }
}

async fn echo(mut stream: TcpStream, buffer: usize) {
    let mut buffer = Vec::with_capacity(buffer);
    loop {
        // A read never makes a buffer's length smaller.
        buffer.clear();
        let BufResult(outcome, read) = stream.read(buffer).await;
        if !matches!(outcome, Ok(1..)) {
            break;
        }
        let BufResult(outcome, written) = stream.write_all(read).await;
        if outcome.is_err() {
            break;
        }
        buffer = written;
    }
}

crate::cells::cells!(static COMPIO, "compio", "compio", "compio, io_uring", block_on);
