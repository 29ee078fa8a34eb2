//! Sending files.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Seek, SeekFrom};
use std::ops::{Bound, RangeBounds};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use asyncio_blocking::unblock;
use asyncio_reactor::Interest;

use crate::connection::{CALLS_IN_A_ROW, Connection, is_of_the_file};
use crate::low_level::sockets::{Operation, sock_sendall};
use crate::stream_writer::StreamWriter;
use crate::transport::SocketTransport;

/// How much is sent, or read, at once. The kernel may have to fetch it from a disk, and meanwhile the loop stands still.
const AT_ONCE: usize = 128 * 1024;

/// Sends a part of a file, `..` for all of it, and returns how many bytes that was; asyncio: `loop.sendfile`.
///
/// On a plain socket on Linux the kernel sends it by itself (`sendfile(2)`), after what was written before; what is written
/// meanwhile follows after the file. Over TLS, and elsewhere, the file is read by the thread pool and written as by
/// [`write`](StreamWriter::write), with flow control; then write nothing else meanwhile. It ends early where the file does.
///
/// If anything was sent, the position of the file is where sending has come to, also after an error or a cancellation, so that
/// `file.stream_position()` tells how much was sent. Until then it is not touched.
///
/// # Cancel safety
/// What was sent is sent; the file's position tells how much. The connection can be used on.
///
/// # Errors
/// Those of the file, one that cannot be read from any place included, a pipe for instance; those of the connection,
/// `ConnectionReset` when it is closed on this side meanwhile; `BrokenPipe` after `write_eof`.
///
/// ```
/// use asyncio_net::{open_connection, sendfile, start_server};
/// use std::fs::File;
///
/// # asyncio_runtime::run(async {
/// let server = start_server(
///     |_reader, writer| async move {
///         writer.write("[package of the day]\n");
///         sendfile(&writer, &File::open("Cargo.toml")?, ..9).await?;
///         std::io::Result::Ok(())
///     },
///     "127.0.0.1",
///     0,
/// )
/// .await?;
/// let (mut reader, _writer) = open_connection("127.0.0.1", server.local_addrs()[0].port()).await?;
/// assert_eq!(reader.read_to_end().await?, "[package of the day]\n[package]");
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn sendfile(
    to: &impl SendfileTarget,
    file: &File,
    range: impl RangeBounds<u64>,
) -> io::Result<u64> {
    let mut part = Part::of(file, range);
    match natively(to.connection(), &mut part).await {
        Err(error) if is_not_available(&error) => {}
        result => return result.map(|()| part.sent()),
    }
    let connection = to.connection();
    let reader = PoolReader::new(file)?;
    while let Some(data) = reader.read(part.next()).await? {
        connection.check()?;
        if connection.is_closing() {
            return Err(connection.why_closed());
        }
        if connection.end_wanted() {
            return Err(crate::connection::after_end());
        }
        connection.write(&data);
        part.advance(data.len());
        connection.flush_now();
        connection
            .changes
            .until(|| connection.may_write_on())
            .await?;
    }
    Ok(part.sent())
}

/// The same by `sendfile(2)` or not at all; asyncio: `loop.sendfile(…, fallback=False)`.
///
/// # Cancel safety
/// As [`sendfile`].
///
/// # Errors
/// As [`sendfile`]; and `Unsupported`, with a [`SendfileNotAvailableError`] inside, where the kernel cannot do it.
///
/// ```
/// # use asyncio_net::{SendfileNotAvailableError, sendfile_native, write_pipe};
/// # asyncio_runtime::run(async {
/// # let (_theirs, ours) = std::io::pipe()?;
/// # let writer = write_pipe(ours)?;
/// let not_a_file = std::fs::File::open("/dev/null")?;
/// if let Err(error) = sendfile_native(&writer, &not_a_file, ..10).await {
///     assert!(error.get_ref().unwrap().is::<SendfileNotAvailableError>());
/// }
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn sendfile_native(
    to: &impl SendfileTarget,
    file: &File,
    range: impl RangeBounds<u64>,
) -> io::Result<u64> {
    let mut part = Part::of(file, range);
    natively(to.connection(), &mut part).await?;
    Ok(part.sent())
}

/// Sends a part of a file over a socket of the user's own; asyncio: `loop.sock_sendfile`. See [`sendfile`] and, for the
/// socket, [`sock_recv`](crate::sock_recv).
///
/// # Cancel safety
/// As [`sendfile`], except that it is not known how much was sent where the kernel cannot do it by itself.
///
/// # Errors
/// As [`sendfile`] and [`sock_recv`](crate::sock_recv).
///
/// ```
/// # use asyncio_net::sock_sendfile;
/// # use std::{fs::File, io::Read, os::unix::net::UnixStream};
/// # asyncio_runtime::run(async {
/// let (ours, mut theirs) = UnixStream::pair()?;
/// ours.set_nonblocking(true)?;
/// assert_eq!(sock_sendfile(&ours, &File::open("Cargo.toml")?, 1..8).await?, 7);
/// let mut buffer = [0; 7];
/// theirs.read_exact(&mut buffer)?;
/// assert_eq!(&buffer, b"package");
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn sock_sendfile(
    sock: &impl AsFd,
    file: &File,
    range: impl RangeBounds<u64>,
) -> io::Result<u64> {
    let mut part = Part::of(file, range);
    match natively_on_socket(sock, &mut part).await {
        Err(error) if is_not_available(&error) => {}
        result => return result.map(|()| part.sent()),
    }
    let reader = PoolReader::new(file)?;
    while let Some(data) = reader.read(part.next()).await? {
        sock_sendall(sock, &data).await?;
        part.advance(data.len());
    }
    Ok(part.sent())
}

/// [`sock_sendfile`] by `sendfile(2)` or not at all; asyncio: `loop.sock_sendfile(…, fallback=False)`.
///
/// # Cancel safety
/// As [`sendfile`].
///
/// # Errors
/// As [`sendfile_native`] and [`sock_recv`](crate::sock_recv).
pub async fn sock_sendfile_native(
    sock: &impl AsFd,
    file: &File,
    range: impl RangeBounds<u64>,
) -> io::Result<u64> {
    let mut part = Part::of(file, range);
    natively_on_socket(sock, &mut part).await?;
    Ok(part.sent())
}

/// What a file can be sent to: a [`StreamWriter`] or a [`SocketTransport`].
pub trait SendfileTarget: sealed::Target {}

impl SendfileTarget for StreamWriter {}
impl SendfileTarget for SocketTransport {}

mod sealed {
    use super::*;

    #[allow(unnameable_types)] // it is what closes `SendfileTarget`
    pub trait Target {
        #[allow(private_interfaces)]
        fn connection(&self) -> &Rc<Connection>;
    }

    impl Target for StreamWriter {
        #[allow(private_interfaces)]
        fn connection(&self) -> &Rc<Connection> {
            StreamWriter::connection(self)
        }
    }

    impl Target for SocketTransport {
        #[allow(private_interfaces)]
        fn connection(&self) -> &Rc<Connection> {
            SocketTransport::connection(self)
        }
    }
}

/// The kernel cannot send this file over this connection by itself; asyncio: `SendfileNotAvailableError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendfileNotAvailableError {
    why: String,
}

impl SendfileNotAvailableError {
    #[allow(clippy::new_ret_no_self)]
    fn new(why: impl Into<String>) -> io::Error {
        let why = why.into();
        io::Error::new(
            io::ErrorKind::Unsupported,
            SendfileNotAvailableError { why },
        )
    }
}

impl fmt::Display for SendfileNotAvailableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = &self.why;
        write!(
            f,
            "`sendfile(2)` is not available: {why}; `sendfile` reads and writes instead"
        )
    }
}

impl Error for SendfileNotAvailableError {}

fn is_not_available(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|error| error.is::<SendfileNotAvailableError>())
}

async fn natively(connection: &Rc<Connection>, part: &mut Part<'_>) -> io::Result<()> {
    must_be_available(part.file)?;
    must_be_plain(connection)?;
    let sending = connection.begin_sending().await?;
    // It may have been started while this waited.
    must_be_plain(connection)?;
    let mut in_a_row = 0;
    loop {
        let (offset, count) = part.next();
        if count == 0 {
            return Ok(());
        }
        let sent = poll_fn(|cx| sending.poll_sendfile(cx, part.file.as_fd(), offset, count)).await;
        match sent.map_err(|error| part.explain(error))? {
            0 => return Ok(()),
            n => part.advance(n),
        }
        in_a_row += 1;
        if in_a_row == CALLS_IN_A_ROW {
            in_a_row = 0;
            asyncio_executor::yield_now().await;
        }
    }
}

async fn natively_on_socket(sock: &impl AsFd, part: &mut Part<'_>) -> io::Result<()> {
    let mut operation = Operation::new(sock.as_fd(), Interest::Writable, "sock_sendfile")?;
    must_be_available(part.file)?;
    let mut in_a_row = 0;
    loop {
        let (offset, count) = part.next();
        if count == 0 {
            return Ok(());
        }
        let file = part.file;
        let sent = operation.perform(|socket| socket.try_sendfile(file.as_fd(), offset, count));
        match sent.await.map_err(|error| part.explain(error))? {
            0 => return Ok(()),
            n => part.advance(n),
        }
        in_a_row += 1;
        if in_a_row == CALLS_IN_A_ROW {
            in_a_row = 0;
            asyncio_executor::yield_now().await;
        }
    }
}

fn must_be_plain(connection: &Connection) -> io::Result<()> {
    match connection.tls() {
        None => Ok(()),
        Some(_) => Err(SendfileNotAvailableError::new(
            "what is sent must be encrypted",
        )),
    }
}

fn must_be_available(file: &File) -> io::Result<()> {
    if !cfg!(target_os = "linux") {
        return Err(SendfileNotAvailableError::new("only known on Linux"));
    }
    match file.metadata()?.is_file() {
        true => Ok(()),
        false => Err(SendfileNotAvailableError::new("this is not a regular file")),
    }
}

/// The part of a file that is being sent. When it is dropped the file's position is set.
struct Part<'a> {
    file: &'a File,
    start: u64,
    at: u64,
    end: u64,
}

impl Part<'_> {
    fn of(file: &File, range: impl RangeBounds<u64>) -> Part<'_> {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => last.saturating_add(1),
            Bound::Excluded(&end) => end,
            Bound::Unbounded => u64::MAX,
        };
        Part {
            file,
            start,
            at: start,
            end,
        }
    }

    /// What is to be sent next: where it is, and how long.
    fn next(&self) -> (u64, usize) {
        let left = self.end.saturating_sub(self.at);
        (
            self.at,
            usize::try_from(left).unwrap_or(AT_ONCE).min(AT_ONCE),
        )
    }

    fn advance(&mut self, n: usize) {
        self.at += n as u64;
    }

    fn sent(&self) -> u64 {
        self.at - self.start
    }

    /// The first call tells whether it can be done at all.
    fn explain(&self, error: io::Error) -> io::Error {
        if self.sent() == 0 && is_of_the_file(&error) {
            return SendfileNotAvailableError::new(error.to_string());
        }
        error
    }
}

impl Drop for Part<'_> {
    fn drop(&mut self) {
        if self.at > self.start {
            // Fails for what has no position, which then need not be set.
            let _ = self.file.seek(SeekFrom::Start(self.at));
        }
    }
}

/// Reads parts of a file by the thread pool.
struct PoolReader(Arc<File>);

impl PoolReader {
    fn new(file: &File) -> io::Result<PoolReader> {
        Ok(PoolReader(Arc::new(file.try_clone()?)))
    }

    /// `None` at the end.
    async fn read(&self, (offset, count): (u64, usize)) -> io::Result<Option<Vec<u8>>> {
        if count == 0 {
            return Ok(None);
        }
        let file = self.0.clone();
        let reading = unblock(move || {
            let mut data = vec![0; count];
            let n = loop {
                match file.read_at(&mut data, offset) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result?,
                }
            };
            data.truncate(n);
            io::Result::Ok(data)
        });
        let data = reading.await.map_err(io::Error::other)??;
        Ok((!data.is_empty()).then_some(data))
    }
}
