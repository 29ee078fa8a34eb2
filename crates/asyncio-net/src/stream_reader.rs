//! The reading end of a connection.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_io::{AsyncBufRead, AsyncRead};

use crate::buffer::{ReadBuffer, Search};
use crate::connection::{CALLS_IN_A_ROW, Connection};
use crate::error::{IncompleteReadError, LimitOverrunError, Lost, StreamError};
use crate::feed::{Feed, StreamFeeder};
use crate::lines::Lines;
use crate::spare::SMALL;

/// The most bytes before a separator, unless told otherwise (S210).
pub(crate) const DEFAULT_LIMIT: usize = 64 * 1024;

/// The reading end of a connection; asyncio: `StreamReader`.
///
/// It reads on demand: what nobody asks for stays in the kernel, whose window then slows the sender down. At most twice
/// the limit is buffered here, unless one [`readexactly`](StreamReader::readexactly) or
/// [`read_to_end`](StreamReader::read_to_end) needs more.
///
/// All data come as [`Bytes`]: small pieces are copied, large ones share the buffer. [`read_into`](StreamReader::read_into) and the
/// `futures-io` traits give the bytes without any allocation.
///
/// # Cancel safety
///
/// Progress lies in the stream, never in a future: a read that is dropped or cancelled loses nothing, and the next one, of
/// whichever kind, sees the same bytes.
///
/// # Dropping
///
/// Dropping the reader does nothing to the wire; the writer goes on. When both are dropped the socket is closed.
///
/// ```
/// # use asyncio_net::{open_connection, start_server};
/// # asyncio_runtime::run(async {
/// # let server = start_server(|_reader, writer| async move {
/// #     writer.write(b"one\ntwo\nBINARYrest"); writer.write_eof() }, "127.0.0.1", 0).await?;
/// # let port = server.local_addrs()[0].port();
/// let (mut reader, _writer) = open_connection("127.0.0.1", port).await?;
/// assert_eq!(reader.readline().await?, "one\n");
/// assert_eq!(reader.readuntil(b"o").await?, "two");
/// reader.readexactly(1).await?;
/// assert_eq!(reader.readexactly(6).await?, "BINARY");
/// assert_eq!(reader.read_to_end().await?, "rest");
/// assert!(reader.at_eof());
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub struct StreamReader {
    origin: Origin,
    buffer: ReadBuffer,
    limit: usize,
    eof: bool,
    /// Raised by every later read (S212).
    error: Option<Box<Lost>>,
    /// How often reading succeeded without waiting.
    calls_in_a_row: u32,
}

/// Where the data come from.
enum Origin {
    Connection(Rc<Connection>),
    Feed(Rc<Feed>),
}

impl StreamReader {
    /// Reads up to `n` bytes: at least one, or none at the end of the stream or if `n` is 0 (S206).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Errors
    /// Those of the connection, `ConnectionReset` above all. Every later read gives the same error.
    ///
    /// ```
    /// # use asyncio_net::{open_connection, start_server};
    /// # asyncio_runtime::run(async {
    /// # let server = start_server(|_reader, writer| async move { writer.write(b"hello"); }, "127.0.0.1", 0).await?;
    /// # let port = server.local_addrs()[0].port();
    /// # let (mut reader, _writer) = open_connection("127.0.0.1", port).await?;
    /// let data = reader.read(100).await?;
    /// assert_eq!(data, "hello");
    /// assert_eq!(reader.read(100).await?, "", "the end");
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn read(&mut self, n: usize) -> io::Result<Bytes> {
        self.check()?;
        if n == 0 {
            return Ok(Bytes::new());
        }
        if self.buffer.is_empty() {
            self.fill(0).await?;
        }
        Ok(self.buffer.take(n))
    }

    /// Reads everything up to the end of the stream; asyncio: `read(-1)` (S206).
    ///
    /// Not bound by the limit: the caller trusts the sender with the memory.
    ///
    /// # Cancel safety
    /// Nothing is lost: what came is in the buffer and the next read sees it.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn read_to_end(&mut self) -> io::Result<Bytes> {
        self.check()?;
        while self.fill(usize::MAX).await? > 0 {}
        Ok(self.buffer.take(usize::MAX))
    }

    /// Reads exactly `n` bytes (S207). Not bound by the limit; memory grows with what comes, not with what is asked for.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Errors
    /// `Incomplete` when the stream ends before; the partial data are in the error, and not in the stream any more.
    /// `Io` when the connection fails.
    ///
    /// ```
    /// # use asyncio_net::{StreamError, open_connection, start_server};
    /// # asyncio_runtime::run(async {
    /// # let server = start_server(|_reader, writer| async move { writer.write(b"hello"); }, "127.0.0.1", 0).await?;
    /// # let port = server.local_addrs()[0].port();
    /// # let (mut reader, _writer) = open_connection("127.0.0.1", port).await?;
    /// match reader.readexactly(8).await {
    ///     Err(StreamError::Incomplete(error)) => assert_eq!((&error.partial[..], error.expected), (&b"hello"[..], Some(8))),
    ///     other => panic!("{other:?}"),
    /// }
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn readexactly(&mut self, n: usize) -> Result<Bytes, StreamError> {
        self.check()?;
        while self.buffer.len() < n {
            if self.fill(n).await? == 0 {
                let partial = self.buffer.take(usize::MAX);
                return Err(StreamError::Incomplete(IncompleteReadError {
                    partial,
                    expected: Some(n),
                }));
            }
        }
        Ok(self.buffer.take(n))
    }

    /// Reads a line with its `\n`; at the end of the stream what is left without one, and then nothing (S209).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Errors
    /// `LimitOverrun` when more than the limit comes before the `\n`. The line is then dropped if its `\n` had arrived, and
    /// everything buffered if not. `Io` when the connection fails.
    pub async fn readline(&mut self) -> Result<Bytes, StreamError> {
        let mut scanned = 0;
        poll_fn(|cx| self.poll_line(cx, &mut scanned)).await
    }

    /// `scanned` is 0 at first, and is what the last call has left it while this is pending.
    pub(crate) fn poll_line(
        &mut self,
        cx: &mut Context<'_>,
        scanned: &mut usize,
    ) -> Poll<Result<Bytes, StreamError>> {
        Poll::Ready(match ready!(self.poll_chunk(cx, &[b"\n"], scanned)) {
            Err(StreamError::Incomplete(error)) => Ok(error.partial),
            Err(StreamError::LimitOverrun(error)) => {
                let line = if self.buffer.data().get(error.consumed) == Some(&b'\n') {
                    error.consumed + 1
                } else {
                    self.buffer.len()
                };
                self.buffer.consume(line);
                Err(StreamError::LimitOverrun(error))
            }
            result => result,
        })
    }

    /// The lines up to the end of the stream; asyncio: `async for line in reader`.
    ///
    /// ```
    /// use futures_util::TryStreamExt;
    ///
    /// # asyncio_runtime::run(async {
    /// # let (feeder, mut reader) = asyncio_net::StreamReader::pair(64 * 1024);
    /// # feeder.feed_data("one\ntwo\nthree"); drop(feeder);
    /// let lengths: Vec<usize> = reader.lines().map_ok(|line| line.len()).try_collect().await?;
    /// assert_eq!(lengths, [4, 4, 5]);
    /// # Ok::<(), asyncio_net::StreamError>(()) })?;
    /// # Ok::<(), asyncio_net::StreamError>(())
    /// ```
    pub fn lines(&mut self) -> Lines<'_> {
        Lines::new(self)
    }

    /// Reads up to and including `separator` (S208).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Errors
    /// - `LimitOverrun` when more than the limit comes before the separator. The data stay in the buffer:
    ///   [`read`](StreamReader::read) `consumed` bytes of them, or close.
    /// - `Incomplete` when the stream ends before; the partial data are in the error, and not in the stream any more.
    /// - `Io` when the connection fails, or of kind `InvalidInput` for an empty separator.
    pub async fn readuntil(&mut self, separator: impl AsRef<[u8]>) -> Result<Bytes, StreamError> {
        self.readuntil_any(&[separator.as_ref()]).await
    }

    /// Reads up to and including the one of several separators that ends first; asyncio: `readuntil` with a tuple (S208).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Errors
    /// As [`readuntil`](StreamReader::readuntil).
    ///
    /// ```
    /// # use asyncio_net::{open_connection, start_server};
    /// # asyncio_runtime::run(async {
    /// # let server = start_server(|_reader, writer| async move { writer.write(b"a,b;c"); }, "127.0.0.1", 0).await?;
    /// # let port = server.local_addrs()[0].port();
    /// # let (mut reader, _writer) = open_connection("127.0.0.1", port).await?;
    /// assert_eq!(reader.readuntil_any(&[";", ","]).await?, "a,");
    /// assert_eq!(reader.readuntil_any(&[";", ","]).await?, "b;");
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn readuntil_any<S: AsRef<[u8]>>(
        &mut self,
        separators: &[S],
    ) -> Result<Bytes, StreamError> {
        match separators {
            [one] => self.read_chunk(&[one.as_ref()]).await,
            several => {
                self.read_chunk(&several.iter().map(AsRef::as_ref).collect::<Vec<_>>())
                    .await
            }
        }
    }

    async fn read_chunk(&mut self, separators: &[&[u8]]) -> Result<Bytes, StreamError> {
        let mut scanned = 0;
        poll_fn(|cx| self.poll_chunk(cx, separators, &mut scanned)).await
    }

    fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        separators: &[&[u8]],
        scanned: &mut usize,
    ) -> Poll<Result<Bytes, StreamError>> {
        self.check()?;
        if separators.is_empty() || separators.iter().any(|separator| separator.is_empty()) {
            let advice = "readuntil needs at least one separator, and none may be empty";
            return Poll::Ready(Err(StreamError::Io(io::Error::new(
                io::ErrorKind::InvalidInput,
                advice,
            ))));
        }
        let longest = separators
            .iter()
            .map(|separator| separator.len())
            .max()
            .unwrap_or(1);
        let needed = self.limit.saturating_add(longest);
        loop {
            match self.buffer.search(separators, *scanned, self.limit) {
                Search::Found(end) => return Poll::Ready(Ok(self.buffer.take(end))),
                Search::Overrun { consumed, found } => {
                    return Poll::Ready(Err(StreamError::LimitOverrun(LimitOverrunError {
                        consumed,
                        limit: self.limit,
                        found,
                    })));
                }
                Search::More { scanned: so_far } => *scanned = so_far,
            }
            if ready!(self.poll_fill(cx, needed))? == 0 {
                let partial = self.buffer.take(usize::MAX);
                return Poll::Ready(Err(StreamError::Incomplete(IncompleteReadError {
                    partial,
                    expected: None,
                })));
            }
        }
    }

    /// Reads into a buffer of the caller's, as much as there is and fits; 0 at the end of the stream.
    ///
    /// Nothing is allocated, and with a buffer of 4 KiB or more nothing is copied either.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Errors
    /// As [`read`](StreamReader::read).
    ///
    /// ```
    /// # use asyncio_net::{open_connection, start_server};
    /// # asyncio_runtime::run(async {
    /// # let server = start_server(|_reader, writer| async move { writer.write(b"hello"); }, "127.0.0.1", 0).await?;
    /// # let port = server.local_addrs()[0].port();
    /// # let (mut reader, _writer) = open_connection("127.0.0.1", port).await?;
    /// let mut buffer = [0; 1024];
    /// let n = reader.read_into(&mut buffer).await?;
    /// assert_eq!(&buffer[..n], b"hello");
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn read_into(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_read_into(cx, buffer)).await
    }

    /// Whether the end of the stream has been seen and everything before it has been read.
    pub fn at_eof(&self) -> bool {
        self.eof && self.buffer.is_empty()
    }

    /// The most bytes before a separator.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// A reader without a connection, and what feeds it: for authors of protocols, and for tests. asyncio: `StreamReader(limit)`.
    ///
    /// # Panics
    /// For a limit of 0.
    ///
    /// [`StreamFeeder`] has an example.
    #[track_caller]
    pub fn pair(limit: usize) -> (StreamFeeder, StreamReader) {
        let (feeder, feed) = StreamFeeder::new(limit);
        (feeder, StreamReader::over(Origin::Feed(feed), limit))
    }

    /// The error that every later read will give, if there is one (S212).
    pub fn exception(&self) -> Option<io::Error> {
        self.check().err()
    }

    /// Makes every later read fail with this error, also if there are data (S212). The first error stays.
    ///
    /// ```
    /// # use std::io;
    /// # asyncio_runtime::run(async {
    /// # let (feeder, mut reader) = asyncio_net::StreamReader::pair(64 * 1024);
    /// feeder.feed_data("never seen");
    /// reader.set_exception(&io::Error::other("the device is gone"));
    /// assert_eq!(reader.read(1).await.unwrap_err().to_string(), "the device is gone");
    /// assert!(reader.exception().is_some());
    /// # });
    /// ```
    pub fn set_exception(&mut self, error: &io::Error) {
        self.error.get_or_insert_with(|| Box::new(Lost::new(error)));
    }

    #[track_caller]
    pub(crate) fn new(connection: Rc<Connection>, limit: usize) -> StreamReader {
        StreamReader::over(Origin::Connection(connection), limit)
    }

    #[track_caller]
    fn over(origin: Origin, limit: usize) -> StreamReader {
        assert!(limit > 0, "the limit of a stream must be at least 1");
        StreamReader {
            origin,
            buffer: ReadBuffer::default(),
            limit,
            eof: false,
            error: None,
            calls_in_a_row: 0,
        }
    }

    /// For a reader that was made of a connection.
    pub(crate) fn connection(&self) -> &Rc<Connection> {
        match &self.origin {
            Origin::Connection(connection) => connection,
            Origin::Feed(_) => unreachable!("this reader is fed by hand"),
        }
    }

    /// Whether there is something to read that was received already.
    pub(crate) fn has_buffered(&self) -> bool {
        !self.buffer.is_empty()
    }

    #[cfg(feature = "tls")]
    pub(crate) fn belongs_to(&self, connection: &Rc<Connection>) -> bool {
        matches!(&self.origin, Origin::Connection(mine) if Rc::ptr_eq(mine, connection))
    }

    /// What was received and not read is the beginning of TLS.
    #[cfg(feature = "tls")]
    pub(crate) async fn start_tls(&mut self, options: &crate::tls::TlsOptions) -> io::Result<()> {
        self.check()?;
        if self.eof {
            let text = "the other side has ended the connection before TLS was started";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
        }
        match &self.origin {
            Origin::Connection(connection) => {
                crate::tls::start_tls(connection, options, &mut self.buffer).await
            }
            Origin::Feed(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    #[inline]
    fn check(&self) -> io::Result<()> {
        match (&self.error, &self.origin) {
            (Some(error), _) => Err(error.to_error()),
            (None, Origin::Connection(_)) => Ok(()),
            (None, Origin::Feed(feed)) => feed.check(),
        }
    }

    /// Receives more into the buffer; 0 means the end. `needed` is how much the caller must be able to have there at once.
    async fn fill(&mut self, needed: usize) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx, needed)).await
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, needed: usize) -> Poll<io::Result<usize>> {
        self.check()?;
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_turn(cx));
        if self.origin.poll_worth_receiving(cx).is_pending() {
            return self.received(Poll::Pending);
        }
        // S210. The search for a separator gives up before this is full, and `readexactly` needs what it needs.
        let most = self.limit.saturating_mul(2).max(needed);
        let room = self.buffer.room(most);
        let size = room.len();
        let polled = self.origin.poll_recv(cx, room);
        if let Poll::Ready(Ok(n)) = polled {
            self.buffer.added(n, size);
        }
        self.received(polled)
    }

    /// Pending, and the task waits, where a read would find nothing.
    #[cfg(feature = "tokio-io")]
    pub(crate) fn poll_worth_reading(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.buffer.is_empty()
            && !self.eof
            && self.error.is_none()
            && self.origin.poll_worth_receiving(cx).is_pending()
        {
            return self.received(Poll::Pending).map(drop);
        }
        Poll::Ready(())
    }

    pub(crate) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        target: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        if self.buffer.is_empty() && !target.is_empty() {
            if target.len() >= SMALL {
                if self.eof {
                    return Poll::Ready(Ok(0));
                }
                ready!(self.poll_turn(cx));
                let polled = self.origin.poll_recv(cx, target);
                return self.received(polled);
            }
            // A small target is served through the buffer: that takes fewer system calls, and a read that does not fill its
            // room tells that there is no more.
            ready!(self.poll_fill(cx, 0))?;
        }
        Poll::Ready(Ok(self.buffer.copy_to(target)))
    }

    /// Lets other tasks run now and then when data come faster than they are used.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.calls_in_a_row < CALLS_IN_A_ROW {
            return Poll::Ready(());
        }
        self.calls_in_a_row = 0;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Notes what receiving has come to.
    #[inline]
    fn received(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Pending => {
                self.calls_in_a_row = 0;
                self.buffer.rest();
            }
            Poll::Ready(Ok(0)) => {
                self.eof = true;
                self.buffer.end();
            }
            Poll::Ready(Ok(_)) => self.calls_in_a_row += 1,
            Poll::Ready(Err(error)) => self.error = Some(Box::new(Lost::new(error))),
        }
        polled
    }
}

impl Origin {
    fn poll_worth_receiving(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Origin::Connection(connection) => connection.poll_worth_receiving(cx),
            Origin::Feed(_) => Poll::Ready(()),
        }
    }

    #[inline]
    fn poll_recv(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Origin::Connection(connection) => connection.poll_recv(cx, room),
            Origin::Feed(feed) => feed.poll_recv(cx, room),
        }
    }
}

impl AsyncRead for StreamReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_into(cx, buffer)
    }
}

impl AsyncBufRead for StreamReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        this.check()?;
        if this.buffer.is_empty() {
            ready!(this.poll_fill(cx, 0))?;
        }
        Poll::Ready(Ok(this.buffer.data()))
    }

    fn consume(mut self: Pin<&mut Self>, n: usize) {
        self.buffer.consume(n);
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        match &self.origin {
            Origin::Connection(connection) => connection.reader_dropped(),
            Origin::Feed(feed) => feed.reader_dropped(),
        }
    }
}

impl fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReader")
            .field("buffered", &self.buffer.len())
            .field("eof", &self.eof)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
