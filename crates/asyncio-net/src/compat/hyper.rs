//! What hyper 1 needs of a runtime: something to read and write, and something to spawn on.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::AsyncBufRead;
use hyper::rt::{Executor, Read, ReadBufCursor, Write};

use crate::socket_stream::SocketStream;

/// Spawns on the loop of this thread; for what hyper asks an executor for, HTTP/2 above all. Its futures need not be `Send`.
///
/// # Panics
/// `execute` does where no loop runs.
///
/// ```
/// use hyper::rt::Executor;
///
/// asyncio_runtime::run(async {
///     let data = std::rc::Rc::new("not `Send`");
///     let (feeder, mut reader) = asyncio_net::StreamReader::pair(1024);
///     asyncio_net::LocalExecutor.execute(async move { feeder.feed_data(*data) });
///     assert_eq!(reader.read(100).await?, "not `Send`");
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalExecutor;

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        asyncio_executor::spawn(future).detach();
    }
}

/// By way of the reader's buffer: one system call gives what several reads take, and the caller's memory is not zeroed
/// before it is filled.
impl Read for SocketStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut target: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if target.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut reader = Pin::new(&mut self.reader);
        let data = ready!(reader.as_mut().poll_fill_buf(cx))?;
        let n = data.len().min(target.remaining());
        target.put_slice(&data[..n]);
        reader.consume(n);
        Poll::Ready(Ok(()))
    }
}

write_as_futures_io!(Write, SocketStream);
