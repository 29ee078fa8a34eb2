//! The writing end of a connection.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_executor::ExceptionContext;
use asyncio_sync::wait_queue::Ticket;
use futures_io::AsyncWrite;

use crate::connection::Connection;
use crate::socket_ref::SocketRef;
#[cfg(feature = "tls")]
use crate::stream_reader::StreamReader;
#[cfg(feature = "tls")]
use crate::tls::{TlsInfo, TlsOptions};

/// The writing end of a connection; asyncio: `StreamWriter`.
///
/// [`write`](StreamWriter::write) never waits; [`drain`](StreamWriter::drain) is where a fast writer waits for a slow
/// reader. All methods take `&self`, so several tasks may share a writer by `Rc`. As a `futures-io` `AsyncWrite` it waits by itself.
///
/// It stays on the thread of its loop, and so does the reader:
///
/// ```compile_fail
/// fn must_be_send<T: Send>() {}
/// must_be_send::<asyncio_net::StreamWriter>();
/// ```
///
/// # What reaches the wire
///
/// The first `write` of a turn of the loop goes to the kernel before it returns. Later ones of the same turn leave together
/// when the turn ends or at `drain`. What the kernel does not take then is sent in the background as long as the loop runs; it
/// is lost if the run ends before, or the peer is gone.
///
/// # Dropping
///
/// What was written is sent, then the end of the stream; the reader goes on. When both are dropped, what was written is sent
/// and the socket is closed, as by [`close`](StreamWriter::close). In debug mode a writer that is dropped without `close` or
/// `write_eof` is reported, as a `ResourceWarning` is in Python (S214).
///
/// ```
/// # use asyncio_net::{open_connection, start_server};
/// # asyncio_runtime::run(async {
/// # let server = start_server(|mut reader, writer| async move {
/// #     let all = reader.read_to_end().await?; writer.write(&all); std::io::Result::Ok(()) }, "127.0.0.1", 0).await?;
/// # let port = server.local_addrs()[0].port();
/// let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
/// for n in 0..1000 {
///     writer.write(format!("line {n}\n").as_bytes());
///     writer.drain().await?;
/// }
/// writer.write_eof();
/// assert_eq!(reader.read_to_end().await?.len(), 8890);
/// writer.close();
/// writer.wait_closed().await?;
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub struct StreamWriter {
    connection: Rc<Connection>,
    /// The place in line of the `AsyncWrite` methods.
    place: Option<Ticket>,
}

impl StreamWriter {
    /// Writes all of `data`, without waiting: what cannot be sent at once is kept, and sent later.
    ///
    /// After the connection was closed or lost the data are dropped (S204); [`drain`](StreamWriter::drain) tells.
    ///
    /// # Panics
    /// After [`write_eof`](StreamWriter::write_eof) (S204).
    ///
    /// ```
    /// # use asyncio_net::{open_connection, start_server};
    /// # asyncio_runtime::run(async {
    /// # let server = start_server(|_reader, writer| async move {
    /// writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n");
    /// writer.write(b"ok");
    /// # }, "127.0.0.1", 0).await?;
    /// # let (mut reader, _writer) = open_connection("127.0.0.1", server.local_addrs()[0].port()).await?;
    /// # assert_eq!(reader.read_to_end().await?.len(), 40);
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn write(&self, data: impl AsRef<[u8]>) {
        self.must_not_have_ended("write");
        self.connection.write(data.as_ref());
    }

    /// Writes several pieces as if they were one: with one system call, and without copying what the kernel takes.
    ///
    /// # Panics
    /// As [`write`](StreamWriter::write).
    ///
    /// ```
    /// # use asyncio_net::{open_connection, start_server};
    /// # asyncio_runtime::run(async {
    /// # let server = start_server(|_reader, writer| async move {
    /// writer.writelines(["head\r\n", "\r\n", "body"]);
    /// # }, "127.0.0.1", 0).await?;
    /// # let (mut reader, _writer) = open_connection("127.0.0.1", server.local_addrs()[0].port()).await?;
    /// # assert_eq!(reader.read_to_end().await?, "head\r\n\r\nbody");
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn writelines<I>(&self, pieces: I)
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        self.must_not_have_ended("writelines");
        let pieces: Vec<I::Item> = pieces.into_iter().collect();
        // As many as the kernel takes at once, with room to spare for most uses.
        for pieces in pieces.chunks(64) {
            let mut slices = [IoSlice::new(&[]); 64];
            for (slice, piece) in slices.iter_mut().zip(pieces) {
                *slice = IoSlice::new(piece.as_ref());
            }
            self.connection.write_vectored(&slices[..pieces.len()]);
        }
    }

    /// Sends at once what was gathered, and waits while more than the high water mark is unsent, until no more than the low
    /// mark is (S213).
    ///
    /// It does not wait until everything is sent. Several tasks may wait; all are released.
    ///
    /// # Cancel safety
    /// Nothing is lost: sending goes on.
    ///
    /// # Errors
    /// The error by which the connection was lost, on whichever end; `ConnectionReset` when it was closed on this side.
    pub async fn drain(&self) -> io::Result<()> {
        let connection = &*self.connection;
        if connection.is_drained() {
            return Ok(());
        }
        connection.check()?;
        if connection.is_closing() {
            // S213: lets the loop find out what becomes of it.
            asyncio_executor::yield_now().await;
            return connection.check();
        }
        connection.flush_now();
        if let Some(result) = connection.may_write_on() {
            return result;
        }
        connection.changes.until(|| connection.may_write_on()).await
    }

    /// Ends the stream, once everything written is sent: the peer reads the end. Reading goes on.
    ///
    /// With TLS this says `close_notify`; see [`can_write_eof`](StreamWriter::can_write_eof).
    ///
    /// ```
    /// # use asyncio_net::{open_connection, start_server};
    /// # asyncio_runtime::run(async {
    /// # let server = start_server(|mut reader, writer| async move {
    /// #     let all = reader.read_to_end().await?; writer.write(&all); std::io::Result::Ok(()) }, "127.0.0.1", 0).await?;
    /// # let port = server.local_addrs()[0].port();
    /// let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
    /// writer.write(b"a request");
    /// writer.write_eof();
    /// assert_eq!(reader.read_to_end().await?, "a request");
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn write_eof(&self) {
        self.connection.write_eof();
    }

    /// Whether [`write_eof`](StreamWriter::write_eof) leaves the other direction open for sure: on TCP and Unix sockets.
    ///
    /// Not with TLS, whose peers mostly take `close_notify` for the end of both directions, and not on a pipe, which has but one.
    pub fn can_write_eof(&self) -> bool {
        self.connection.can_end_one_direction()
    }

    /// Closes the connection: reading ends now, what was written is sent, then the socket is closed (S201).
    ///
    /// Returns at once, and may be called again. Usually the socket is closed when it returns;
    /// [`wait_closed`](StreamWriter::wait_closed) waits for it.
    ///
    /// With TLS `close_notify` follows what was written, and in the background the other side's is waited for, as in asyncio; no
    /// longer than `TlsOptions::shutdown_timeout`, and not where the closing task is itself being cancelled.
    ///
    /// ```
    /// # use asyncio_net::{open_connection, start_server};
    /// # asyncio_runtime::run(async {
    /// # let server = start_server(|mut reader, _writer| async move { reader.read(1).await.map(drop) }, "127.0.0.1", 0).await?;
    /// # let (_reader, writer) = open_connection("127.0.0.1", server.local_addrs()[0].port()).await?;
    /// writer.write("good bye");
    /// writer.close();
    /// assert!(writer.is_closing());
    /// writer.wait_closed().await?;
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn close(&self) {
        self.connection.close();
    }

    /// Closes the socket now, and drops what was not sent (S201).
    pub fn abort(&self) {
        self.connection.abort();
    }

    /// Whether the connection was closed, or is about to be.
    pub fn is_closing(&self) -> bool {
        self.connection.is_closing()
    }

    /// Waits until the connection is closed or lost (S214). Does not close it.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// # Errors
    /// The error by which the connection was lost.
    pub async fn wait_closed(&self) -> io::Result<()> {
        let connection = &*self.connection;
        connection
            .changes
            .until(|| match connection.loss() {
                Some(error) => Some(Err(error)),
                None => connection.is_finished().then_some(Ok(())),
            })
            .await
    }

    /// The address of the other side; also after the connection was closed. asyncio: `get_extra_info("peername")`.
    ///
    /// # Errors
    /// `NotConnected` where the system told no address.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.connection.peer_addr()
    }

    /// The address of this side; asyncio: `get_extra_info("sockname")`.
    ///
    /// # Errors
    /// `NotConnected` after the connection was closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.connection.local_addr()
    }

    /// The socket, to ask it things and to set its options; `None` after the connection was closed. asyncio:
    /// `get_extra_info("socket")`.
    ///
    /// ```
    /// # use asyncio_net::{open_connection, start_server};
    /// use std::os::fd::AsFd;
    ///
    /// # asyncio_runtime::run(async {
    /// # let server = start_server(|mut reader, _writer| async move { reader.read(1).await.map(drop) }, "127.0.0.1", 0).await?;
    /// # let (_reader, writer) = open_connection("127.0.0.1", server.local_addrs()[0].port()).await?;
    /// if let Some(socket) = writer.socket() {
    ///     let copy = std::net::TcpStream::from(socket.as_fd().try_clone_to_owned()?);
    ///     copy.set_ttl(10)?;
    /// }
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn socket(&self) -> Option<SocketRef<'_>> {
        self.connection.socket()
    }

    /// What was agreed on by TLS; `None` without it. asyncio: `get_extra_info("ssl_object")`.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<TlsInfo> {
        self.connection.tls()?.info()
    }

    /// Starts TLS on a connection that was plain so far, on whichever side the options are for (S216).
    ///
    /// What was written before is sent first; what the reader has received already and nobody has read is taken for
    /// the beginning of TLS. The reader and the writer stay what they are, and everything after this is encrypted.
    ///
    /// A client's options must say whom it expects, by [`server_hostname`](TlsOptions::server_hostname).
    ///
    /// # Cancel safety
    /// Once the handshake has begun the connection is closed, since no side would know what the other means. Before, while
    /// it drains, nothing is lost.
    ///
    /// # Errors
    /// - one with a [`TlsError`](crate::TlsError) inside, `InvalidData`, for a certificate that is not accepted or a peer that does
    ///   not speak TLS; `UnexpectedEof` for one that goes in the middle;
    /// - `TimedOut` after [`handshake_timeout`](TlsOptions::handshake_timeout), where asyncio has a `ConnectionAbortedError`;
    /// - `InvalidInput` where there is TLS already, or this is not a connection in both directions, or options cannot be used;
    /// - those of the connection.
    ///
    /// The connection is closed after each of them but `InvalidInput`.
    ///
    /// # Panics
    /// When the reader belongs to another connection.
    ///
    /// [`TlsOptions`] has an example.
    #[cfg(feature = "tls")]
    pub async fn start_tls(
        &self,
        reader: &mut StreamReader,
        options: &TlsOptions,
    ) -> io::Result<()> {
        assert!(
            reader.belongs_to(&self.connection),
            "`start_tls` needs the two ends of one connection"
        );
        self.drain().await?;
        if self.connection.tls().is_some() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "TLS has been started on this connection already",
            ));
        }
        reader.start_tls(options).await
    }

    /// Sets the marks of flow control: [`drain`](StreamWriter::drain) waits above `high` unsent bytes until there are no more
    /// than `low` (S203). At first 64 KiB and 16 KiB.
    ///
    /// # Panics
    /// When `low` is more than `high`.
    pub fn set_write_buffer_limits(&self, high: usize, low: usize) {
        assert!(
            low <= high,
            "the low water mark ({low}) must not be above the high one ({high})"
        );
        self.connection.set_limits(high, low);
    }

    /// How many bytes were written and have not been given to the kernel; asyncio: `transport.get_write_buffer_size()`.
    pub fn get_write_buffer_size(&self) -> usize {
        self.connection.unsent()
    }

    pub(crate) fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    pub(crate) fn new(connection: Rc<Connection>) -> StreamWriter {
        StreamWriter {
            connection,
            place: None,
        }
    }

    #[track_caller]
    fn must_not_have_ended(&self, what: &str) {
        assert!(
            !self.connection.end_wanted(),
            "`{what}` after `write_eof`: the end of the stream has been said"
        );
    }
}

/// Waits by itself: a write takes what the kernel takes, or is kept as long as no more than the high water mark is unsent.
///
/// `poll_flush` waits until everything is sent, `poll_close` also says the end of the stream; it does not end reading.
impl AsyncWrite for StreamWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.connection.poll_write(cx, &mut this.place, slices)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.connection.poll_sent(cx, &mut this.place)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.connection.is_closing() && this.connection.loss().is_none() {
            return Poll::Ready(Ok(()));
        }
        ready!(this.connection.poll_sent(cx, &mut this.place))?;
        this.connection.write_eof();
        Poll::Ready(this.connection.check())
    }
}

impl Drop for StreamWriter {
    fn drop(&mut self) {
        self.connection.changes.leave(&mut self.place);
        if asyncio_executor::is_debug() && self.connection.is_unclosed() {
            // S214. Outside debug mode dropping is a way to close like any other.
            asyncio_executor::report(ExceptionContext::new(format!(
                "unclosed {self:?}: it was dropped without `close`, so nobody has heard whether everything was sent"
            )));
        }
        self.connection.writer_dropped();
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWriter")
            .field("peer", &self.peer_addr().ok())
            .field("unsent", &self.get_write_buffer_size())
            .field("closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}
