//! What a connection does when there is TLS on it.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use crate::connection::{CALLS_IN_A_ROW, Connection};
use crate::error::Lost;
use crate::spare::LARGE;
use crate::tls::error::TlsError;
use crate::tls::session::Layer;

/// How much a peer may send after the connection was closed here, while its `close_notify` is waited for. Without a bound one
/// that never ends would keep this side decrypting until the time is up; without TLS its first byte would be refused.
const MOST_DISCARDED: usize = 1024 * 1024;

impl Connection {
    /// Receives and decrypts; 0 means the end.
    pub(crate) fn poll_open(
        &self,
        tls: &Layer,
        cx: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..CALLS_IN_A_ROW {
            if self.is_closing() {
                return Poll::Ready(Ok(0));
            }
            let read = tls.read(room);
            // Answers of the protocol itself leave with what is written in this turn.
            if tls.take_output(&mut self.unsent_mut()) {
                self.grown();
            }
            match read {
                Ok(Some(n)) => return Poll::Ready(Ok(n)),
                Ok(None) => {}
                Err(error) => {
                    self.flush_now();
                    let error = io::Error::from(error);
                    self.lose(Lost::new(&error));
                    return Poll::Ready(Err(error));
                }
            }
            ready!(self.poll_ciphertext(tls, cx))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Receives ciphertext. Whoever calls this has used up what was there.
    pub(crate) fn poll_ciphertext(
        &self,
        tls: &Layer,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_wire_worth_receiving(cx));
        let mut incoming = tls.incoming.take();
        let room = incoming.room(LARGE);
        let size = room.len();
        let polled = self.poll_wire(cx, room);
        match polled {
            Poll::Ready(Ok(n)) => {
                incoming.added(n, size);
                tls.wire_ended.set(n == 0);
            }
            Poll::Ready(Err(_)) => tls.wire_ended.set(true),
            Poll::Pending => incoming.rest(),
        }
        tls.incoming.set(incoming);
        polled.map_ok(drop)
    }

    /// Encrypts and sends, or keeps.
    pub(crate) fn seal(&self, tls: &Layer, slices: &[IoSlice<'_>]) {
        let at_once = self.may_send_at_once();
        tls.seal(slices, &mut self.unsent_mut());
        if at_once {
            self.flush_first();
        }
        self.grown();
    }

    /// Sends what rustls has to say, now.
    pub(crate) fn send_output(&self, tls: &Layer) {
        tls.take_output(&mut self.unsent_mut());
        self.flush_now();
    }

    /// Says the end of the stream, which leaves the other direction open (RFC 8446, section 6.1).
    pub(crate) fn end_sealed(&self, tls: &Layer) {
        if !tls.is_handshaking() {
            tls.end(&mut self.unsent_mut());
            self.flush_now();
        }
    }

    /// Says `close_notify`; whether the answer, or the peer's taking what is unsent, should be waited for. A task that is being
    /// cancelled starts nothing new, above all not at the end of the run.
    pub(crate) fn say_goodbye(&self, tls: &Layer) -> bool {
        if tls.is_handshaking() {
            return false;
        }
        if self.may_write_on().is_none() {
            // Whoever hears that writing resumes may write, and nothing can be said after the goodbye.
            self.flush_now();
            if self.check().is_err() || self.is_closing() {
                return false;
            }
        }
        tls.end(&mut self.unsent_mut());
        self.flush_now();
        (!tls.peer_is_done() || self.unsent() > 0)
            && asyncio_executor::is_entered()
            && asyncio_executor::cancelling() == 0
            && asyncio_timers::Timers::try_current().is_some()
    }

    /// Waits in the background until the other side has said `close_notify` and everything is sent, then closes the socket.
    pub(crate) fn await_goodbye(&self, tls: &Layer) {
        let Some(connection) = self.me() else { return };
        tls.parting.set(true);
        let timeout = tls.shutdown_timeout;
        let parting = Parting { connection };
        asyncio_executor::spawn(async move {
            let connection = &*parting.connection;
            let mut sleep = pin!(asyncio_timers::sleep(timeout));
            let mut finished = connection
                .changes
                .until(|| connection.is_finished().then_some(()));
            let mut answered = false;
            let in_time = poll_fn(|cx| {
                answered = answered || connection.poll_goodbye(cx).is_ready();
                if answered && Pin::new(&mut finished).poll(cx).is_ready() {
                    return Poll::Ready(true);
                }
                sleep.as_mut().poll(cx).map(|()| false)
            });
            if !in_time.await {
                let what = match answered {
                    true => "take what was written",
                    false => "say `close_notify`",
                };
                connection.lose(Lost::message(
                    io::ErrorKind::TimedOut,
                    &format!(
                        "the other side did not {what} within {timeout:?} (`TlsOptions::shutdown_timeout`)"
                    ),
                ));
            }
        })
        .detach();
    }

    /// Ready when the connection is finished, or will be when everything is sent.
    fn poll_goodbye(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(tls) = self.tls() else {
            return Poll::Ready(());
        };
        for _ in 0..CALLS_IN_A_ROW {
            if self.is_finished() {
                return Poll::Ready(());
            }
            if tls.peer_is_done() || tls.discard() {
                tls.parting.set(false);
                self.finish_if_all_sent();
                return Poll::Ready(());
            }
            if tls.discarded() > MOST_DISCARDED {
                let text =
                    "the other side went on sending after the connection was closed on this side";
                self.lose(Lost::message(io::ErrorKind::ConnectionAborted, text));
                return Poll::Ready(());
            }
            // An error shows as the end of the wire.
            let _ = ready!(self.poll_ciphertext(tls, cx));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The handshake has been done: what was written during it is sent.
    pub(crate) fn secured(&self, tls: &Layer) {
        if tls.backlog() > 0 {
            tls.seal_backlog(&mut self.unsent_mut());
        }
        if self.end_wanted() {
            tls.end(&mut self.unsent_mut());
        }
        self.flush_now();
        self.look_at_marks();
        self.changes.announce();
    }

    /// What went wrong in the handshake; the alert that says so is sent, if it can be.
    pub(crate) fn refused(&self, tls: &Layer, error: TlsError) -> io::Error {
        self.send_output(tls);
        error.into()
    }
}

/// As long as the goodbye is waited for. Cancelled, it closes at once.
struct Parting {
    connection: Rc<Connection>,
}

impl Drop for Parting {
    fn drop(&mut self) {
        if let Some(tls) = self.connection.tls() {
            tls.parting.set(false);
        }
        if !self.connection.is_finished() {
            self.connection.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::connect::ConnectOptions;
    use crate::spare;
    use crate::stream_reader::StreamReader;
    use crate::tls::TlsOptions;

    /// Whether there is nothing to read.
    async fn waits(reader: &mut StreamReader) -> bool {
        let mut reading = pin!(reader.read(1));
        poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx).is_pending())).await
    }

    #[test]
    fn a_connection_with_tls_that_waits_holds_no_buffer() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let theirs = TlsOptions::server(&certificate, &key).unwrap();
        let ours = TlsOptions::client().roots_pem(&certificate).unwrap();
        let ours = ours.server_hostname("localhost");
        asyncio_runtime::run(async move {
            // The thread's spare buffers are eight that can be told from others.
            drop((0..100).map(|_| spare::take(false)).collect::<Vec<_>>());
            let known: Vec<_> = (0..8).map(|_| spare::take(false)).collect();
            let mut places: Vec<_> = known.iter().map(|buffer| buffer.as_ptr()).collect();
            known
                .into_iter()
                .for_each(|buffer| spare::give(buffer, false));
            let (ours_fd, theirs_fd) = UnixStream::pair().unwrap();
            let options = ConnectOptions::new();
            let (mut reader, writer) = options.adopt(ours_fd).await.unwrap();
            let (mut far_reader, far_writer) = options.adopt(theirs_fd).await.unwrap();
            let serving = asyncio_executor::spawn(async move {
                let done = far_writer.start_tls(&mut far_reader, &theirs).await;
                done.map(|()| (far_reader, far_writer))
            });
            writer.start_tls(&mut reader, &ours).await.unwrap();
            let (mut far_reader, far_writer) = serving.await.unwrap().unwrap();
            far_writer.write("first");
            assert_eq!(reader.readexactly(5).await.unwrap(), "first");
            far_writer.write("second");
            assert_eq!(reader.readexactly(6).await.unwrap(), "second");
            assert!(waits(&mut reader).await && waits(&mut far_reader).await);
            let back: Vec<_> = (0..8).map(|_| spare::take(false)).collect();
            let mut found: Vec<_> = back.iter().map(|buffer| buffer.as_ptr()).collect();
            places.sort();
            found.sort();
            assert_eq!(found, places);
        });
    }
}
