//! A file's bytes in between what is written.

use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::connection::Connection;
use crate::error::Lost;

/// The sole right to send on a connection. What is written meanwhile is kept, and sent after this is dropped.
pub(crate) struct Sending(Rc<Connection>);

impl Connection {
    /// Waits until everything is sent, and then has nothing else sent for a while.
    ///
    /// Cancel safety: nothing is lost.
    pub(crate) async fn begin_sending(self: &Rc<Self>) -> io::Result<Sending> {
        loop {
            self.flush_now();
            self.changes.until(|| self.has_sent_all()).await?;
            if self.closing.get() {
                return Err(self.why_closed());
            }
            if self.end_wanted.get() {
                return Err(super::after_end());
            }
            if !self.flushing.replace(true) {
                return Ok(Sending(self.clone()));
            }
            // Whoever has sent the last byte is about to end; or somebody sends a file, and says when it is done.
            asyncio_executor::yield_now().await;
            self.changes.until(|| self.may_take_over()).await;
        }
    }

    fn may_take_over(&self) -> Option<()> {
        let sending_a_file = self.flushing.get() && self.unsent() == 0 && !self.is_finished();
        (!sending_a_file).then_some(())
    }

    fn has_sent_all(&self) -> Option<io::Result<()>> {
        match self.check() {
            Ok(()) if self.unsent() > 0 => None,
            result => Some(result),
        }
    }
}

impl Sending {
    pub(crate) fn poll_sendfile(
        &self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        let connection = &*self.0;
        connection.check()?;
        let polled = match &*connection.source.borrow() {
            Some(source) => source.poll_sendfile(cx, file, offset, count),
            None => return Poll::Ready(Err(connection.why_closed())),
        };
        match &polled {
            Poll::Pending | Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) if is_of_the_file(error) => {}
            Poll::Ready(Err(error)) => connection.lose(Lost::new(error)),
        }
        polled
    }
}

/// Whether it is the file, or what it is to be sent to, that cannot be used so: the connection is as it was.
pub(crate) fn is_of_the_file(error: &io::Error) -> bool {
    use rustix::io::Errno;
    const OF_THE_FILE: [Errno; 7] = [
        Errno::INVAL,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
        Errno::SPIPE,
        Errno::BADF,
        Errno::OVERFLOW,
        Errno::IO,
    ];
    let unsupported = error.kind() == io::ErrorKind::Unsupported;
    unsupported
        || OF_THE_FILE
            .iter()
            .any(|one| error.raw_os_error() == Some(one.raw_os_error()))
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.flushing.set(false);
        self.0.changes.announce();
        if !self.0.unsent.borrow().is_empty() {
            self.0.hook();
        }
        self.0.end_if_all_sent();
    }
}
