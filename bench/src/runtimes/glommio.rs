//! glommio: io_uring only.

use std::time::Duration;

use glommio::channels::local_channel::{self, LocalReceiver, LocalSender};
use glommio::net::TcpListener;
use glommio::{LocalExecutorBuilder, Placement, Task};

use glommio::channels::local_channel::new_unbounded as queue;
use glommio::spawn_local as spawn;
use glommio::timer::sleep;

use super::echo;
use crate::measure::announce;

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
fn oneshot() -> (LocalSender<()>, LocalReceiver<()>) {
    local_channel::new_bounded(1)
}

async fn wait(receiver: LocalReceiver<()>) {
    receiver.recv().await;
}

async fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    announce(listener.local_addr().expect("it is bound").port());
    loop {
        let stream = listener.accept().await.expect("accept");
        detach(spawn(echo(stream)));
    }
}

crate::cells::cells!(static GLOMMIO, "glommio", "glommio", "glommio", block_on);
