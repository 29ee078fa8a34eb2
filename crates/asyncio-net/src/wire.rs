//! The descriptor under a connection: a socket, or a pipe or terminal, which have other system calls.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use asyncio_reactor::{Interest, Source};

/// A stream of bytes in the kernel.
pub(crate) struct Wire {
    source: Source<OwnedFd>,
    /// Sockets are received from and sent to; everything else is read and written. The branch always goes the same way
    /// for one connection, and nearly always for a whole program.
    socket: bool,
}

impl Wire {
    pub(crate) fn socket(source: Source<OwnedFd>) -> Wire {
        Wire {
            source,
            socket: true,
        }
    }

    pub(crate) fn other(source: Source<OwnedFd>) -> Wire {
        Wire {
            source,
            socket: false,
        }
    }

    pub(crate) fn poll_worth_trying(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<io::Result<()>> {
        self.source.poll_worth_trying(cx, interest)
    }

    /// Has those who wait look again.
    pub(crate) fn wake_all(&self) {
        self.source.wake_all();
    }

    #[inline]
    pub(crate) fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.socket {
            self.source.poll_recv(cx, room)
        } else {
            self.source.poll_read(cx, room).map(hung_up_is_the_end)
        }
    }

    pub(crate) fn poll_send(&self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.socket {
            self.source.poll_send(cx, data)
        } else {
            self.source.poll_write(cx, data)
        }
    }

    pub(crate) fn poll_send_vectored(
        &self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.socket {
            if let Some((data, n)) = copied_together(slices) {
                return self.source.poll_send(cx, &data[..n]);
            }
            self.source.poll_send_vectored(cx, slices)
        } else {
            self.source.poll_write_vectored(cx, slices)
        }
    }

    #[inline]
    pub(crate) fn try_send(&self, data: &[u8]) -> io::Result<usize> {
        if self.socket {
            self.source.try_send(data)
        } else {
            self.source.try_write(data)
        }
    }

    pub(crate) fn try_send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.socket {
            if let Some((data, n)) = copied_together(slices) {
                return self.source.try_send(&data[..n]);
            }
            return self.source.try_send_vectored(slices);
        }
        // One system call, of as many slices as it takes.
        let slices = &slices[..slices.len().min(MOST_SLICES)];
        self.source
            .try_io(Interest::Writable, |fd| Ok(rustix::io::writev(fd, slices)?))
    }

    /// Ready when the kernel has something to say in the direction that is not read: that the other end is gone, or, on
    /// a socket, that something came which nobody will read.
    pub(crate) fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.source.poll_readable(cx)
    }

    pub(crate) fn poll_sendfile(
        &self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        self.source.poll_sendfile(cx, file, offset, count)
    }

    /// Says the end of the stream. Only a socket can, and stay.
    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        if self.socket {
            self.source.shutdown(Shutdown::Write)
        } else {
            Ok(())
        }
    }
}

/// Pieces of at most this length together are copied: that costs less than having the kernel collect them.
const COPIED: usize = 512;

/// The pieces in a row, if they are small; such as the head of a response and its short body.
fn copied_together(slices: &[IoSlice<'_>]) -> Option<([u8; COPIED], usize)> {
    let mut len = 0usize;
    for slice in slices {
        len = len.saturating_add(slice.len());
        if len > COPIED {
            return None;
        }
    }
    let (mut data, mut end) = ([0; COPIED], 0);
    for slice in slices {
        data[end..end + slice.len()].copy_from_slice(slice);
        end += slice.len();
    }
    Some((data, end))
}

/// The least that POSIX systems let one call have, 16 aside: `IOV_MAX`.
const MOST_SLICES: usize = 1024;

/// A terminal whose other side is gone says so by an error, where a pipe or a socket says the end.
fn hung_up_is_the_end(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(0),
        result => result,
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}
