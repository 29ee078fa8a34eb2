//! What both of our columns share: tasks, streams, and the vocabulary of our primitives over either
//! family of them.

use std::convert::Infallible;
use std::time::Duration;

use asyncio::{Server, SocketStream, StreamReader, StreamWriter, Task, TaskGroup};

use super::hello::hello;
use crate::idlers::client;
use crate::rows::Service;

pub(super) async fn join<T>(task: Task<T>) -> T {
    task.await.expect("no task panics")
}

pub(super) async fn group(children: usize) {
    let outcome = TaskGroup::<Infallible>::scope(async |group| {
        for _ in 0..children {
            group.create_task(async {});
        }
        Ok(())
    });
    assert!(outcome.await.is_ok());
}

pub(super) async fn timeout(duration: Duration, future: impl Future) -> bool {
    asyncio::timeout(duration, future).await.is_ok()
}

/// `primitives!(Rc, path)`: the vocabulary of locks and queues, over the family at `path`, shared by `Rc`
/// or `Arc`.
macro_rules! primitives {
    ($shared:ident, $($family:ident)::+) => {
        use $($family)::+::oneshot::{self as one, channel as oneshot};
        use $($family)::+::{Lock, LockGuard, Permit, Queue, Semaphore, watch as watching};

        use self::{receive as take, send as put};

        fn queue<T>() -> ($shared<Queue<T>>, $shared<Queue<T>>) {
            bounded(0)
        }

        /// As in asyncio, 0 is without bounds.
        fn bounded<T>(slots: usize) -> ($shared<Queue<T>>, $shared<Queue<T>>) {
            let queue = $shared::new(Queue::bounded(slots));
            ($shared::clone(&queue), queue)
        }

        async fn send<T>(sender: &Queue<T>, value: T) {
            assert!(sender.put(value).await.is_ok());
        }

        async fn receive<T>(receiver: &mut $shared<Queue<T>>) -> T {
            receiver.get().await.expect("the queue is open")
        }

        fn tell<T>(sender: one::Sender<T>, value: T) {
            assert!(sender.send(value).is_ok());
        }

        async fn wait<T>(receiver: one::Receiver<T>) -> Option<T> {
            receiver.await.ok()
        }

        fn lock() -> $shared<Lock> {
            $shared::default()
        }

        fn acquire(lock: &Lock) -> impl Future<Output = LockGuard<'_>> {
            lock.acquire()
        }

        fn semaphore() -> $shared<Semaphore> {
            $shared::new(Semaphore::new(1))
        }

        fn permit(semaphore: &Semaphore) -> impl Future<Output = Permit<'_>> {
            semaphore.acquire()
        }

        fn watch() -> (watching::Sender<usize>, watching::Receiver<usize>) {
            watching::channel(0)
        }

        fn publish(sender: &watching::Sender<usize>, value: usize) {
            assert!(sender.send(value).is_ok());
        }

        async fn changed(receiver: &mut watching::Receiver<usize>) -> usize {
            receiver.changed().await.expect("the sender lives");
            *receiver.borrow_and_update()
        }
    };
}
pub(super) use primitives;

pub(super) async fn run_program(path: &str) {
    let child = asyncio::create_subprocess_exec(path).spawn().await;
    assert_eq!(child.expect("it can be started").wait().await, 0);
}

pub(super) async fn serve(service: Service, bound: impl FnOnce(u16)) {
    match service {
        Service::Echo { buffer } => {
            let client = move |reader, writer| client(echo(reader, writer, buffer));
            let server = asyncio::start_server(client, "127.0.0.1", 0).await;
            forever(server.expect("a free port"), bound).await;
        }
        Service::Hello => {
            let client = |reader, writer| hello(SocketStream::from((reader, writer)));
            let server = asyncio::start_server(client, "127.0.0.1", 0).await;
            forever(server.expect("a free port"), bound).await;
        }
    }
}

async fn forever(server: Server, bound: impl FnOnce(u16)) {
    bound(server.local_addrs()[0].port());
    let outcome = server.serve_forever().await;
    outcome.expect("it serves until it is killed");
}

/// Through the streams: a read into a buffer of its own, as the peers do, a write, a drain.
async fn echo(mut reader: StreamReader, writer: StreamWriter, buffer: usize) {
    let mut buffer = vec![0; buffer];
    while let Ok(n @ 1..) = reader.read_into(&mut buffer).await {
        writer.write(&buffer[..n]);
        if writer.drain().await.is_err() {
            break;
        }
    }
}
