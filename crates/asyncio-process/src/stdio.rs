//! Our own standard streams, without a trace on those who share them.
//!
//! Whether a read blocks is a property of the *open file*, which a shell, its other jobs and our children share with us: a
//! program that switches its terminal to non-blocking mode breaks them all, and for good if it is killed. So the mode
//! is never changed:
//!
//! - a terminal, a pipe or `/dev/null` and its like is opened once more by its entry in `/proc`, which gives an open file of
//!   our own;
//! - a socket cannot be opened again, but every single call on it can say that it does not want to wait;
//! - a regular file never makes one wait for anybody, only for the disk: it is read and written on the spot, so that nothing
//!   is lost at the end of the program, and nothing is read that was not asked for;
//! - what cannot be opened again (a terminal of another user, a device that is another one each time it is opened, a system
//!   without `/proc`) is read by a thread of its own and written to on the spot.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use asyncio_net::{StreamReader, StreamWriter, read_as_it_is, read_pipe, write_as_it_is};
use rustix::fs::{FileType, OFlags, Stat};

/// The most bytes before a separator (S210).
const LIMIT: usize = 64 * 1024;

/// The program's input as a stream; asyncio: `connect_read_pipe(…, sys.stdin)`.
///
/// The terminal, and whoever else shares the input, keeps its mode. What was read here, also ahead, is not there any more
/// for others: for `std::io::stdin`, or for a child that inherits the input. `stdin` of a terminal of another user is
/// read by a thread, which stays as long as the program if nothing is typed.
///
/// # Errors
/// `NotFound` or the like where the program has no such descriptor.
///
/// ```no_run
/// # asyncio_runtime::run(async {
/// let mut stdin = asyncio_process::stdin()?;
/// loop {
///     let line = stdin.readline().await?;
///     if line.is_empty() {
///         break; // Ctrl-D
///     }
///     println!("{}", line.len());
/// }
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub fn stdin() -> io::Result<StreamReader> {
    shared_reader(io::stdin(), LIMIT)
}

/// The program's output as a stream; asyncio: `connect_write_pipe(…, sys.stdout)`.
///
/// The terminal, and whoever else shares the output, keeps its mode. Await [`drain`](StreamWriter::drain), or
/// [`close`](StreamWriter::close) and [`wait_closed`](StreamWriter::wait_closed), before the run ends: what a slow reader has
/// not taken by then is lost. Closing the stream leaves the program's own descriptor open. What `println!` writes
/// goes its own way: flush one before using the other if the order matters.
///
/// # Errors
/// As [`stdin`].
///
/// ```
/// # asyncio_runtime::run(async {
/// let stdout = asyncio_process::stdout()?;
/// stdout.write("hello\n");
/// stdout.drain().await?;
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub fn stdout() -> io::Result<StreamWriter> {
    shared_writer(io::stdout())
}

/// The program's errors as a stream; see [`stdout`].
///
/// ```
/// # asyncio_runtime::run(async {
/// let stderr = asyncio_process::stderr()?;
/// stderr.write("warning: this is only an example\n");
/// stderr.drain().await?;
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// As [`stdin`].
pub fn stderr() -> io::Result<StreamWriter> {
    shared_writer(io::stderr())
}

/// A stream of what can be read from a descriptor that others use, too: a terminal, say, or what was inherited. Its mode is
/// left alone; [`stdin`] is made of this.
///
/// ```
/// use std::io::Write;
///
/// # asyncio_runtime::run(async {
/// let (theirs, mut ours) = std::io::pipe()?;
/// let mut reader = asyncio_process::shared_reader(&theirs, 1000)?;
/// ours.write_all(b"hello\n")?;
/// assert_eq!(reader.readline().await?, "hello\n");
/// drop(reader); // `theirs` is still open, and still blocks
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// When the system refuses a descriptor.
///
/// # Panics
/// For a limit of 0.
pub fn shared_reader(fd: impl AsFd, limit: usize) -> io::Result<StreamReader> {
    let fd = fd.as_fd();
    match share(fd, OFlags::RDONLY)? {
        Shared::Own(fd) => read_as_it_is(fd, limit),
        Shared::Blocking(fd) => read_pipe(pumped(fd)?, limit),
    }
}

/// A stream that writes to a descriptor that others use, too; see [`shared_reader`]. Closing it leaves the descriptor open.
///
/// ```
/// use std::io::Read;
///
/// # asyncio_runtime::run(async {
/// let (mut ours, theirs) = std::io::pipe()?;
/// let writer = asyncio_process::shared_writer(&theirs)?;
/// writer.write("hello");
/// writer.close();
/// drop(theirs);
/// let mut all = String::new();
/// ours.read_to_string(&mut all)?;
/// assert_eq!(all, "hello");
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// When the system refuses a descriptor.
pub fn shared_writer(fd: impl AsFd) -> io::Result<StreamWriter> {
    match share(fd.as_fd(), OFlags::WRONLY)? {
        Shared::Own(fd) | Shared::Blocking(fd) => write_as_it_is(fd),
    }
}

enum Shared {
    /// Using it blocks for nobody.
    Own(OwnedFd),
    /// It may.
    Blocking(OwnedFd),
}

fn share(fd: BorrowedFd<'_>, access: OFlags) -> io::Result<Shared> {
    let status = rustix::fs::fstat(fd)?;
    let kind = FileType::from_raw_mode(status.st_mode);
    if matches!(kind, FileType::Fifo | FileType::CharacterDevice)
        && let Ok(own) = open_again(fd, &status, access)
    {
        return Ok(Shared::Own(own));
    }
    let copy = fd.try_clone_to_owned()?;
    Ok(match kind {
        FileType::Fifo | FileType::CharacterDevice | FileType::Unknown => Shared::Blocking(copy),
        _ => Shared::Own(copy),
    })
}

/// An open file of our own for the same terminal or pipe.
#[cfg(target_os = "linux")]
fn open_again(fd: BorrowedFd<'_>, status: &Stat, access: OFlags) -> io::Result<OwnedFd> {
    if !is_the_same_when_opened_again(fd, status) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, rustix::fs::Mode::empty())?)
}

/// A pipe, a terminal, `/dev/null` and its like. What an emulator holds of a terminal is not: it would be a new terminal's.
/// Nor is, say, a network device.
#[cfg(target_os = "linux")]
fn is_the_same_when_opened_again(fd: BorrowedFd<'_>, status: &Stat) -> bool {
    const MEMORY_DEVICES: u32 = 1;
    const PSEUDO_TERMINALS: (u32, u32) = (5, 2);
    let (major, minor) = (
        rustix::fs::major(status.st_rdev),
        rustix::fs::minor(status.st_rdev),
    );
    FileType::from_raw_mode(status.st_mode) == FileType::Fifo
        || major == MEMORY_DEVICES
        || ((major, minor) != PSEUDO_TERMINALS && rustix::termios::isatty(fd))
}

/// Elsewhere the entry of a descriptor is a duplicate, which shares the mode.
#[cfg(not(target_os = "linux"))]
fn open_again(_: BorrowedFd<'_>, _: &Stat, _: OFlags) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The end of a pipe into which a thread copies. It ends with its source, or with the first piece after the pipe was closed.
fn pumped(source: OwnedFd) -> io::Result<OwnedFd> {
    let (reader, mut writer) = io::pipe()?;
    let mut source = File::from(source);
    std::thread::Builder::new()
        .name("asyncio-stdin".to_owned())
        .spawn(move || {
            let mut piece = [0; 4096];
            loop {
                match source.read(&mut piece) {
                    Ok(0) => return,
                    Ok(n) if writer.write_all(&piece[..n]).is_ok() => {}
                    Ok(_) => return,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        })?;
    Ok(reader.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_opened_again_is_read_by_a_thread() {
        asyncio_runtime::run(async {
            let (theirs, mut writer) = io::pipe().unwrap();
            let mut reader = read_pipe(pumped(theirs.into()).unwrap(), LIMIT).unwrap();
            writer.write_all(b"one\ntwo").unwrap();
            assert_eq!(reader.readline().await.unwrap(), "one\n");
            drop(writer);
            assert_eq!(reader.read_to_end().await.unwrap(), "two");
        });
    }
}
