//! The columns.

mod compio;
mod glommio;
mod hello;
mod local_sync;
mod monoio;
#[cfg(feature = "ours")]
mod ours;
#[cfg(feature = "ours")]
mod ours_common;
#[cfg(feature = "ours")]
mod ours_threadsafe;
mod smol;
mod tokio_common;
mod tokio_local;
mod tokio_local_runtime;
mod tokio_multi;

use std::net::{Ipv4Addr, TcpListener};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use crate::cells::Runtime;

pub(crate) static RUNTIMES: &[&Runtime] = &[
    #[cfg(feature = "ours")]
    &ours::OURS,
    #[cfg(feature = "ours")]
    &ours_threadsafe::OURS_THREADSAFE,
    &tokio_local::LOCAL_SET,
    &tokio_local_runtime::LOCAL_RUNTIME,
    &tokio_multi::MULTI_THREAD,
    &smol::SMOL,
    &monoio::EPOLL,
    &monoio::URING,
    &compio::COMPIO,
    &glommio::GLOMMIO,
];

/// A column that is asked in some rows only.
pub(crate) const THREADSAFE: &str = "ours-threadsafe";

pub(crate) fn find(name: &str) -> Result<&'static Runtime, String> {
    RUNTIMES
        .iter()
        .copied()
        .find(|runtime| runtime.name == name)
        .ok_or_else(|| {
            let known: Vec<_> = RUNTIMES.iter().map(|runtime| runtime.name).collect();
            format!(
                "no runtime is called {name}; there are {}",
                known.join(", ")
            )
        })
}

/// One that does not count as a peer.
pub(crate) fn is_ours(runtime: &Runtime) -> bool {
    runtime.name.starts_with("ours")
}

/// One that would lose its workers on a single core.
pub(crate) fn is_multi_threaded(runtime: &Runtime) -> bool {
    runtime.name == tokio_multi::MULTI_THREAD.name
}

/// The nearest to a group of tasks where a runtime has none.
async fn unordered(tasks: impl Iterator<Item: Future>) {
    let mut tasks: FuturesUnordered<_> = tasks.collect();
    while tasks.next().await.is_some() {}
}

/// Makes the vocabulary whole for runtimes without a watch; they are not asked (`Remark::Lacks`).
mod no_watch {
    #[derive(Clone)]
    pub(super) struct NoWatch;

    pub(super) fn watch() -> (NoWatch, NoWatch) {
        unreachable!("there is no watch")
    }

    pub(super) fn publish(_: &NoWatch, _: usize) {}

    pub(super) async fn changed(_: &mut NoWatch) -> usize {
        0
    }
}

/// Likewise for runtimes without child processes.
mod no_process {
    pub(super) async fn run_program(_: &str) {
        unreachable!("there are no processes")
    }
}

/// What every peer's server listens on. The connections inherit `TCP_NODELAY`, which ours have unless told
/// otherwise: without it an echo in two pieces waits for the client's delayed acknowledgement.
fn listener(bound: impl FnOnce(u16)) -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    rustix::net::sockopt::set_tcp_nodelay(&listener, true).expect("it is a TCP socket");
    bound(listener.local_addr().expect("it is bound").port());
    listener
}

/// What the echo servers of smol and glommio do with a connection; both speak futures-io.
async fn echo<S>(mut stream: S, buffer: usize)
where
    S: ::smol::io::AsyncRead + ::smol::io::AsyncWrite + Unpin,
{
    use ::smol::io::{AsyncReadExt, AsyncWriteExt};

    let mut buffer = vec![0; buffer];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}
