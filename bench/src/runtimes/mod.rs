//! The columns.

mod glommio;
mod monoio;
#[cfg(feature = "ours")]
mod ours;
mod smol;
mod tokio_common;
mod tokio_local;
mod tokio_local_runtime;
mod tokio_multi;

use crate::cells::Runtime;

pub(crate) static RUNTIMES: &[&Runtime] = &[
    #[cfg(feature = "ours")]
    &ours::OURS,
    &tokio_local::LOCAL_SET,
    &tokio_local_runtime::LOCAL_RUNTIME,
    &tokio_multi::MULTI_THREAD,
    &smol::SMOL,
    &monoio::EPOLL,
    &monoio::URING,
    &glommio::GLOMMIO,
];

pub(crate) const OURS: &str = "ours";

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

/// One that would lose its workers on a single core.
pub(crate) fn is_multi_threaded(runtime: &Runtime) -> bool {
    runtime.name == tokio_multi::MULTI_THREAD.name
}

/// Bytes an echo server reads at a time.
const READ: usize = 4096;

/// What the servers of smol and glommio do with a connection; both speak futures-io.
async fn echo<S>(mut stream: S)
where
    S: ::smol::io::AsyncRead + ::smol::io::AsyncWrite + Unpin,
{
    use ::smol::io::{AsyncReadExt, AsyncWriteExt};

    let mut buffer = [0; READ];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
}
