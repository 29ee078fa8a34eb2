//! Streams over what is not a connection: pipes, terminals, a socket used in one direction.

use std::io;
use std::os::fd::OwnedFd;

use asyncio_reactor::Source;
use rustix::fs::FileType;

use crate::connection::Connection;
use crate::stream_reader::StreamReader;
use crate::stream_writer::StreamWriter;
use crate::wire::Wire;

/// Reads a pipe, a terminal or another character device as a stream; asyncio: `connect_read_pipe` with a `StreamReader`.
///
/// The descriptor is switched to non-blocking mode, which its other holders notice: the mode belongs to the open file, not
/// to the descriptor. `limit` is that of [`StreamReader::limit`]. Dropping the reader closes the descriptor. The end of the
/// stream is when the last writer is gone.
///
/// # Errors
/// `InvalidInput` for a regular file or a directory, which the kernel cannot wait for; read those through the thread pool.
/// Those of switching the mode.
///
/// # Panics
/// For a limit of 0.
///
/// ```
/// use std::io::Write;
///
/// # asyncio_runtime::run(async {
/// let (ours, mut theirs) = std::io::pipe()?;
/// let mut reader = asyncio_net::read_pipe(ours, 64 * 1024)?;
/// theirs.write_all(b"one\ntwo\n")?;
/// drop(theirs);
/// assert_eq!(reader.readline().await?, "one\n");
/// assert_eq!(reader.read_to_end().await?, "two\n");
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn read_pipe(fd: impl Into<OwnedFd>, limit: usize) -> io::Result<StreamReader> {
    let connection = Connection::one_way(wire(fd.into())?);
    // There is no writer, so the last one was dropped.
    connection.writer_dropped();
    Ok(StreamReader::new(connection, limit))
}

/// Writes to a pipe, a terminal or another character device as a stream; asyncio: `connect_write_pipe` with a
/// `StreamWriter`.
///
/// The descriptor is switched to non-blocking mode; see [`read_pipe`]. [`write_eof`](StreamWriter::write_eof) is the same as
/// [`close`](StreamWriter::close): what was written is sent, then the descriptor is closed, and so does dropping the writer.
/// That nobody reads any more shows when something is written: the connection is lost with `BrokenPipe`, which
/// [`drain`](StreamWriter::drain) and [`wait_closed`](StreamWriter::wait_closed) give. (The signal `SIGPIPE` is
/// ignored in programs written in Rust.)
///
/// # Errors
/// As [`read_pipe`].
///
/// ```
/// use std::io::Read;
///
/// # asyncio_runtime::run(async {
/// let (mut theirs, ours) = std::io::pipe()?;
/// let writer = asyncio_net::write_pipe(ours)?;
/// writer.write(b"through the pipe");
/// writer.close();
/// writer.wait_closed().await?;
/// let mut all = String::new();
/// theirs.read_to_string(&mut all)?;
/// assert_eq!(all, "through the pipe");
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub fn write_pipe(fd: impl Into<OwnedFd>) -> io::Result<StreamWriter> {
    let connection = Connection::one_way(wire(fd.into())?);
    connection.reader_dropped();
    Ok(StreamWriter::new(connection))
}

/// A stream over a descriptor whose mode is left as it is: for `asyncio-process`, which has seen to it that reading does not
/// block, or may. A socket is never a reason to block.
#[doc(hidden)]
#[track_caller]
pub fn read_as_it_is(fd: OwnedFd, limit: usize) -> io::Result<StreamReader> {
    let connection = Connection::one_way(wire_as_it_is(fd)?);
    connection.writer_dropped();
    Ok(StreamReader::new(connection, limit))
}

/// The same for writing.
#[doc(hidden)]
pub fn write_as_it_is(fd: OwnedFd) -> io::Result<StreamWriter> {
    let connection = Connection::one_way(wire_as_it_is(fd)?);
    connection.reader_dropped();
    Ok(StreamWriter::new(connection))
}

fn wire_as_it_is(fd: OwnedFd) -> io::Result<Wire> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
    let source = Source::assume_nonblocking(fd);
    Ok(match kind {
        FileType::Socket => Wire::socket(source),
        _ => Wire::other(source),
    })
}

fn wire(fd: OwnedFd) -> io::Result<Wire> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
    match kind {
        FileType::Fifo | FileType::CharacterDevice => Ok(Wire::other(Source::new(fd)?)),
        FileType::Socket => Ok(Wire::socket(Source::new(fd)?)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "pipes, sockets and character devices only: this is {}, which cannot be waited for; \
                 use it through the thread pool (`to_thread`)",
                match kind {
                    FileType::RegularFile => "a regular file",
                    FileType::Directory => "a directory",
                    FileType::BlockDevice => "a block device",
                    _ => "something else",
                }
            ),
        )),
    }
}
