//! A stream, line by line.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;

use crate::error::StreamError;
use crate::stream_reader::StreamReader;

/// The lines of a stream up to its end, each with its `\n`, the last one perhaps without; from
/// [`StreamReader::lines`]. asyncio: `async for line in reader`.
///
/// A line that is longer than the limit is an error as [`readline`](StreamReader::readline) tells, and the lines go on after
/// it. Any other error is the last thing that comes.
///
/// # Cancel safety
/// Nothing is lost: whoever drops this, or a future made of it, finds the next line in the reader.
#[derive(Debug)]
#[must_use = "lines come only if they are asked for, by `next_line` or as a `Stream`"]
pub struct Lines<'a> {
    reader: &'a mut StreamReader,
    /// No line ends before this place in the reader's buffer.
    scanned: usize,
    failed: bool,
}

impl Lines<'_> {
    /// The next line; `None` at the end of the stream.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Errors
    /// As [`readline`](StreamReader::readline).
    ///
    /// ```
    /// # asyncio_runtime::run(async {
    /// # let (feeder, mut reader) = asyncio_net::StreamReader::pair(64 * 1024);
    /// # feeder.feed_data("one\ntwo\nthree"); drop(feeder);
    /// let mut lines = reader.lines();
    /// let mut count = 0;
    /// while let Some(line) = lines.next_line().await? {
    ///     assert!(line.len() >= 4);
    ///     count += 1;
    /// }
    /// assert_eq!(count, 3);
    /// # Ok::<(), asyncio_net::StreamError>(()) })?;
    /// # Ok::<(), asyncio_net::StreamError>(())
    /// ```
    pub async fn next_line(&mut self) -> Result<Option<Bytes>, StreamError> {
        poll_fn(|cx| self.poll_line(cx)).await
    }

    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamError>> {
        if self.failed {
            return Poll::Ready(Ok(None));
        }
        let line = ready!(self.reader.poll_line(cx, &mut self.scanned));
        self.scanned = 0;
        self.failed = matches!(line, Err(StreamError::Io(_)));
        Poll::Ready(line.map(|line| (!line.is_empty()).then_some(line)))
    }

    pub(crate) fn new(reader: &mut StreamReader) -> Lines<'_> {
        Lines {
            reader,
            scanned: 0,
            failed: false,
        }
    }
}

impl Stream for Lines<'_> {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_line(cx).map(Result::transpose)
    }
}
