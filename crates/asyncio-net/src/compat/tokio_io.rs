//! tokio's traits for reading and writing; nothing of its runtime.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::socket_stream::SocketStream;
use crate::spare::LARGE;
use crate::stream_reader::StreamReader;
use crate::stream_writer::StreamWriter;

/// Reads straight into the caller's buffer, as much as one system call gives.
impl AsyncRead for StreamReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // A caller's buffer may have to be zeroed first, which is not done to find that there is nothing.
        ready!(this.poll_worth_reading(cx));
        let room = buffer.remaining().min(LARGE);
        let n = ready!(this.poll_read_into(cx, buffer.initialize_unfilled_to(room)))?;
        buffer.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for StreamReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        futures_io::AsyncBufRead::poll_fill_buf(self, cx)
    }

    fn consume(self: Pin<&mut Self>, n: usize) {
        futures_io::AsyncBufRead::consume(self, n);
    }
}

write_as_futures_io!(
    /// Waits by itself; `poll_flush` waits until everything is sent, `poll_shutdown` also says the end of the stream.
    AsyncWrite,
    StreamWriter
);

impl AsyncRead for SocketStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.reader), cx, buffer)
    }
}

impl AsyncBufRead for SocketStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        futures_io::AsyncBufRead::poll_fill_buf(self, cx)
    }

    fn consume(self: Pin<&mut Self>, n: usize) {
        futures_io::AsyncBufRead::consume(self, n);
    }
}

write_as_futures_io!(AsyncWrite, SocketStream);
