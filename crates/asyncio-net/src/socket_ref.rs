//! The socket under a stream, for a look.

use std::cell::Ref;
use std::os::fd::{AsFd, BorrowedFd};

use crate::connection::Connection;
use crate::wire::Wire;

/// The socket under a stream, to ask it things or to set its options; from [`StreamWriter::socket`](crate::StreamWriter::socket).
///
/// The stream goes on using it: reading or writing here would take bytes out of the stream, or put them in between. If the
/// connection is closed meanwhile, the socket is as soon as this is dropped.
pub struct SocketRef<'a> {
    /// There until this is dropped.
    wire: Option<Ref<'a, Wire>>,
    connection: &'a Connection,
}

impl<'a> SocketRef<'a> {
    pub(crate) fn new(connection: &'a Connection, wire: Ref<'a, Wire>) -> SocketRef<'a> {
        SocketRef {
            wire: Some(wire),
            connection,
        }
    }
}

impl AsFd for SocketRef<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire
            .as_ref()
            .expect("there until it is dropped")
            .as_fd()
    }
}

impl std::fmt::Debug for SocketRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SocketRef").field(&self.as_fd()).finish()
    }
}

impl Drop for SocketRef<'_> {
    fn drop(&mut self) {
        self.wire = None;
        if self.connection.is_finished() {
            self.connection.close_socket();
        }
    }
}
