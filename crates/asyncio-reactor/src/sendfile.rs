//! A file's bytes into a socket without a copy through this process.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use crate::readiness::Interest::Writable;
use crate::source::Source;
use crate::stats::Call;

impl<T: AsFd> Source<T> {
    /// Sends a part of a file by `sendfile(2)`; see [`sendfile`](Source::sendfile).
    ///
    /// # Errors
    /// As [`sendfile`](Source::sendfile).
    pub fn poll_sendfile(
        &self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_op(
            cx,
            Writable,
            Some(Call::Write),
            |socket| sendfile(socket, file, offset, count),
            |_| false,
        )
    }

    /// Sends what there is room for now of a part of a file, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room; else as [`sendfile`](Source::sendfile).
    pub fn try_sendfile(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        count: usize,
    ) -> io::Result<usize> {
        self.attempt(
            Writable,
            Some(Call::Write),
            |socket| sendfile(socket, file, offset, count),
            |_| false,
        )
    }

    /// Sends up to `count` bytes of a file from `offset` on, as many as there is room for; 0 means that the file ends
    /// there. The file's own position is not used and not moved.
    ///
    /// # Cancel safety
    /// Nothing is sent by a call that did not return: the poll that sends also returns.
    ///
    /// # Errors
    /// The socket's; `InvalidInput` or `Unsupported` for a file, or a system, that cannot do this.
    ///
    /// ```
    /// # use asyncio_reactor::{Reactor, Source};
    /// # use std::{fs::File, io::Read, os::{fd::AsFd, unix::net::UnixStream}};
    /// # let reactor = Reactor::new()?;
    /// let file = File::open("Cargo.toml")?;
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// let ours = Source::new(ours)?;
    /// # if cfg!(target_os = "linux") {
    /// assert_eq!(reactor.block_on(ours.sendfile(file.as_fd(), 1, 7))?, 7);
    /// let mut bytes = [0; 7];
    /// theirs.read_exact(&mut bytes)?;
    /// assert_eq!(&bytes, b"package");
    /// # }
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn sendfile(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        count: usize,
    ) -> io::Result<usize> {
        poll_fn(|cx| self.poll_sendfile(cx, file, offset, count)).await
    }
}

#[cfg(target_os = "linux")]
fn sendfile(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    offset: u64,
    count: usize,
) -> io::Result<usize> {
    let mut offset = offset;
    Ok(rustix::fs::sendfile(
        socket,
        file,
        Some(&mut offset),
        count,
    )?)
}

#[cfg(not(target_os = "linux"))]
fn sendfile(_: BorrowedFd<'_>, _: BorrowedFd<'_>, _: u64, _: usize) -> io::Result<usize> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "`sendfile` of a socket is only known on Linux: read the file and send what was read",
    ))
}
