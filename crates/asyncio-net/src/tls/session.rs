//! One TLS session without any I/O: what rustls knows, and the ciphertext it has not seen yet.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice, Read, Write};
use std::time::Duration;

use crate::buffer::ReadBuffer;
use crate::tls::TlsInfo;
use crate::tls::error::TlsError;
use crate::write_buffer::WriteBuffer;

/// What a connection with TLS has beside the plain one.
pub(crate) struct Layer {
    session: RefCell<Session>,
    /// Ciphertext that was received and not yet given to rustls, which takes no more than what it can hold decrypted.
    pub(crate) incoming: Cell<ReadBuffer>,
    /// The wire has ended.
    pub(crate) wire_ended: Cell<bool>,
    /// Closed on this side; the other side's `close_notify` is waited for.
    pub(crate) parting: Cell<bool>,
    /// Who is on the other side, in words for errors.
    pub(crate) peer: String,
    pub(crate) shutdown_timeout: Duration,
    /// How much came after it was closed on this side, and was thrown away.
    discarded: Cell<usize>,
    require_close_notify: bool,
}

struct Session {
    rustls: rustls::Connection,
    /// What was written during the handshake.
    backlog: Vec<u8>,
    /// How much has been decrypted and not been read.
    plain: usize,
    /// The other side has said `close_notify`.
    peer_closed: bool,
}

impl Layer {
    pub(crate) fn new(
        rustls: rustls::Connection,
        peer: String,
        shutdown_timeout: Duration,
        require_close_notify: bool,
    ) -> Layer {
        Layer {
            session: RefCell::new(Session {
                rustls,
                backlog: Vec::new(),
                plain: 0,
                peer_closed: false,
            }),
            incoming: Cell::default(),
            wire_ended: Cell::new(false),
            parting: Cell::new(false),
            peer,
            shutdown_timeout,
            discarded: Cell::new(0),
            require_close_notify,
        }
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.borrow().rustls.is_handshaking()
    }

    pub(crate) fn is_parting(&self) -> bool {
        self.parting.get()
    }

    pub(crate) fn info(&self) -> Option<TlsInfo> {
        let session = self.session.borrow();
        (!session.rustls.is_handshaking()).then(|| TlsInfo::of(&session.rustls))
    }

    /// Whether there is something to say without receiving: plaintext, ciphertext, or the end.
    pub(crate) fn has_more(&self) -> bool {
        let session = self.session.borrow();
        session.plain > 0
            || session.peer_closed
            || self.wire_ended.get()
            || self.with_incoming(|incoming| !incoming.is_empty())
    }

    /// Whether nothing more will come from the other side.
    pub(crate) fn peer_is_done(&self) -> bool {
        self.wire_ended.get() || self.session.borrow().peer_closed
    }

    /// Plaintext, 0 at the end of the stream, `None` if more ciphertext is needed.
    pub(crate) fn read(&self, room: &mut [u8]) -> Result<Option<usize>, TlsError> {
        let mut session = self.session.borrow_mut();
        loop {
            if session.plain > 0 {
                // What rustls says here cannot be an error as long as it has something.
                let n = session.rustls.reader().read(room).unwrap_or(0);
                session.plain = session.plain.saturating_sub(n.max(1));
                if n > 0 {
                    return Ok(Some(n));
                }
            } else if session.peer_closed {
                return Ok(Some(0));
            } else if self.with_incoming(|incoming| incoming.is_empty()) {
                return match self.wire_ended.get() {
                    false => Ok(None),
                    true if self.require_close_notify => Err(TlsError::truncated(&self.peer)),
                    true => Ok(Some(0)),
                };
            } else {
                self.with_incoming(|incoming| session.feed(incoming))
                    .map_err(|error| TlsError::of(&self.peer, error))?;
            }
        }
    }

    /// Gives rustls what was received, as much as it takes at once. For the handshake.
    pub(crate) fn feed(&self) -> Result<(), TlsError> {
        let mut session = self.session.borrow_mut();
        self.with_incoming(|incoming| session.feed(incoming))
            .map_err(|error| TlsError::of(&self.peer, error))
    }

    /// Looks through what was received for `close_notify` and throws the rest away; true if nothing sensible will come.
    pub(crate) fn discard(&self) -> bool {
        let mut scratch = [0; 4096];
        loop {
            match self.read(&mut scratch) {
                Ok(Some(0)) | Err(_) => return true,
                Ok(Some(n)) => self.discarded.set(self.discarded.get() + n),
                Ok(None) => return false,
            }
        }
    }

    /// How much was thrown away so far.
    pub(crate) fn discarded(&self) -> usize {
        self.discarded.get()
    }

    /// Encrypts; during the handshake the plaintext is kept.
    pub(crate) fn seal(&self, slices: &[IoSlice<'_>], unsent: &mut WriteBuffer) {
        let mut session = self.session.borrow_mut();
        if session.rustls.is_handshaking() {
            for slice in slices {
                session.backlog.extend_from_slice(slice);
            }
            return;
        }
        for slice in slices {
            session.seal(slice, unsent);
        }
    }

    /// How much was written during the handshake.
    pub(crate) fn backlog(&self) -> usize {
        self.session.borrow().backlog.len()
    }

    /// After the handshake: encrypts what was written meanwhile.
    pub(crate) fn seal_backlog(&self, unsent: &mut WriteBuffer) {
        let mut session = self.session.borrow_mut();
        let backlog = std::mem::take(&mut session.backlog);
        session.seal(&backlog, unsent);
    }

    /// Moves what rustls itself has to say to where it will be sent; whether there was something.
    pub(crate) fn take_output(&self, unsent: &mut WriteBuffer) -> bool {
        self.session.borrow_mut().take_output(unsent)
    }

    /// Says `close_notify`, after everything that was written.
    pub(crate) fn end(&self, unsent: &mut WriteBuffer) {
        let mut session = self.session.borrow_mut();
        session.rustls.send_close_notify();
        session.take_output(unsent);
    }

    fn with_incoming<R>(&self, use_it: impl FnOnce(&mut ReadBuffer) -> R) -> R {
        let mut incoming = self.incoming.take();
        let result = use_it(&mut incoming);
        self.incoming.set(incoming);
        result
    }
}

impl Session {
    fn feed(&mut self, incoming: &mut ReadBuffer) -> Result<(), rustls::Error> {
        let taken = self
            .rustls
            .read_tls(&mut incoming.data())
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        incoming.consume(taken);
        if incoming.is_empty() {
            // Whoever reads next may wait without coming by here, and who waits holds no buffer.
            incoming.rest();
        }
        let state = self.rustls.process_new_packets()?;
        self.plain = state.plaintext_bytes_to_read();
        self.peer_closed = state.peer_has_closed();
        Ok(())
    }

    fn seal(&mut self, mut data: &[u8], unsent: &mut WriteBuffer) {
        while !data.is_empty() {
            // Its own buffer, which is bounded, is emptied in between.
            let n = self.rustls.writer().write(data).unwrap_or(0);
            self.take_output(unsent);
            if n == 0 {
                return; // after `close_notify`
            }
            data = &data[n..];
        }
    }

    fn take_output(&mut self, unsent: &mut WriteBuffer) -> bool {
        let mut any = false;
        while self.rustls.wants_write() {
            match self.rustls.write_tls(unsent) {
                Ok(n) if n > 0 => any = true,
                _ => break,
            }
        }
        any
    }
}

/// What rustls sends goes to the end of what is unsent.
impl io::Write for WriteBuffer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.push(data);
        Ok(data.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        slices.iter().for_each(|slice| self.push(slice));
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
