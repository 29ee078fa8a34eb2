//! Futures polled by hand, and the sockets they are polled on.

use std::future::Future;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use asyncio_reactor::{Reactor, Source};

/// Whether the tests run on `portable.rs`.
pub(crate) const PORTABLE: bool = cfg!(any(not(target_os = "linux"), asyncio_polling_backend));

/// A task that only counts how often it was woken.
#[derive(Default)]
pub(crate) struct Task {
    wakes: AtomicUsize,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

impl Task {
    pub(crate) fn new() -> Arc<Task> {
        Arc::default()
    }

    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }

    pub(crate) fn waker(self: &Arc<Self>) -> Waker {
        self.clone().into()
    }

    pub(crate) fn poll<F: Future + ?Sized>(
        self: &Arc<Self>,
        future: Pin<&mut F>,
    ) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&self.waker()))
    }
}

/// Waits in the reactor until the task has been woken `times` times.
pub(crate) fn wait_for_wakes(reactor: &Reactor, task: &Task, times: usize) {
    while task.wakes() < times {
        reactor.wait(None).unwrap();
    }
}

/// Delivers what has happened so far, without sleeping.
pub(crate) fn look_around(reactor: &Reactor) -> usize {
    reactor.wait(Some(Duration::ZERO)).unwrap()
}

pub(crate) fn unix_pair() -> (Source<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Source::new(ours).unwrap(), theirs)
}

/// A loopback connection: ours as a source, theirs blocking.
pub(crate) fn tcp_pair() -> (Source<TcpStream>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nodelay(true).unwrap();
    theirs.set_nodelay(true).unwrap();
    (Source::new(ours).unwrap(), theirs)
}
