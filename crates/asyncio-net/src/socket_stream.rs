//! Both directions in one object.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use crate::stream_reader::StreamReader;
use crate::stream_writer::StreamWriter;

/// A reader and a writer as one object, for libraries that want one that does both.
///
/// It has the `futures-io` traits, buffered reading among them; behind the features `tokio-io` and `hyper` also those of tokio and
/// of hyper 1. It is made of any reader and any writer, usually the two ends of a connection: plain, with TLS, or
/// two pipes.
///
/// # Cancel safety
/// Progress lies in the stream, as with its two halves.
///
/// # Dropping
/// As dropping both halves.
///
/// ```
/// use asyncio_net::{SocketStream, open_connection, start_server};
/// use futures_util::{AsyncReadExt, AsyncWriteExt};
///
/// asyncio_runtime::run(async {
///     let server = start_server(
///         |reader, writer| async move {
///             let (theirs, mut ours) = SocketStream::new(reader, writer).split();
///             futures_util::io::copy(theirs, &mut ours).await.map(drop)
///         },
///         "127.0.0.1",
///         0,
///     )
///     .await?;
///     let port = server.local_addrs()[0].port();
///     let mut stream = SocketStream::from(open_connection("127.0.0.1", port).await?);
///     stream.write_all(b"there and back").await?;
///     stream.flush().await?;
///     let mut back = [0; 14];
///     stream.read_exact(&mut back).await?;
///     assert_eq!(&back, b"there and back");
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct SocketStream {
    pub(crate) reader: StreamReader,
    pub(crate) writer: StreamWriter,
}

impl SocketStream {
    /// Puts the two halves together.
    pub fn new(reader: StreamReader, writer: StreamWriter) -> SocketStream {
        SocketStream { reader, writer }
    }

    /// The two halves, with everything they know.
    pub fn into_split(self) -> (StreamReader, StreamWriter) {
        (self.reader, self.writer)
    }

    /// The half that reads.
    pub fn reader(&mut self) -> &mut StreamReader {
        &mut self.reader
    }

    /// The half that writes.
    pub fn writer(&self) -> &StreamWriter {
        &self.writer
    }
}

impl From<(StreamReader, StreamWriter)> for SocketStream {
    fn from((reader, writer): (StreamReader, StreamWriter)) -> SocketStream {
        SocketStream::new(reader, writer)
    }
}

impl AsyncRead for SocketStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.reader).poll_read(cx, buffer)
    }
}

impl AsyncBufRead for SocketStream {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().reader).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, n: usize) {
        Pin::new(&mut self.reader).consume(n);
    }
}

impl AsyncWrite for SocketStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_close(cx)
    }
}
