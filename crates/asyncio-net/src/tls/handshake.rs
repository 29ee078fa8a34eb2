//! How TLS comes to be on a connection.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustls::pki_types::ServerName;

use crate::buffer::ReadBuffer;
use crate::connection::{CALLS_IN_A_ROW, Connection};
use crate::tls::error::TlsError;
use crate::tls::options::TlsOptions;
use crate::tls::session::Layer;

/// The client's side. `host` is the name the certificate must be for, unless the options say another.
///
/// Cancel safety: once the handshake has begun the connection is closed.
pub(crate) async fn client_handshake(
    connection: &Rc<Connection>,
    options: &TlsOptions,
    host: &str,
) -> io::Result<()> {
    begin(connection, options, Some(host), None).await
}

/// The server's side.
///
/// Cancel safety: as [`client_handshake`].
pub(crate) async fn server_handshake(
    connection: &Rc<Connection>,
    options: &TlsOptions,
) -> io::Result<()> {
    if options.is_client() {
        return Err(wrong_side("a client's", "a server", "TlsOptions::server"));
    }
    begin(connection, options, None, None).await
}

/// Whichever side the options are for, on a connection on which `received` has been received and not been read. It is taken
/// when the handshake begins.
pub(crate) async fn start_tls(
    connection: &Rc<Connection>,
    options: &TlsOptions,
    received: &mut ReadBuffer,
) -> io::Result<()> {
    begin(connection, options, None, Some(received)).await
}

async fn begin(
    connection: &Rc<Connection>,
    options: &TlsOptions,
    host: Option<&str>,
    received: Option<&mut ReadBuffer>,
) -> io::Result<()> {
    let (session, peer) = session(connection, options, host).await?;
    let layer = Layer::new(
        session,
        peer,
        options.get_shutdown_timeout(),
        options.requires_close_notify(),
    );
    let tls = connection.install(layer)?;
    if let Some(received) = received {
        tls.incoming.set(std::mem::take(received));
    }
    let abort = AbortOnDrop(Some(connection));
    let timeout = options.get_handshake_timeout();
    let mut sleep = pin!(asyncio_timers::sleep(timeout));
    poll_fn(|cx| {
        if let Poll::Ready(result) = connection.poll_handshake(tls, cx) {
            return Poll::Ready(result);
        }
        ready!(sleep.as_mut().poll(cx));
        let text = format!(
            "the TLS handshake with {} took longer than {timeout:?} (`TlsOptions::handshake_timeout`)",
            tls.peer
        );
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    })
    .await?;
    abort.not_any_more();
    connection.secured(tls);
    Ok(())
}

async fn session(
    connection: &Connection,
    options: &TlsOptions,
    host: Option<&str>,
) -> io::Result<(rustls::Connection, String)> {
    if !options.is_client() {
        if host.is_some() {
            return Err(wrong_side("a server's", "a client", "TlsOptions::client"));
        }
        let config = options.server_config()?;
        let session = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
        let peer = match connection.peer_addr() {
            Ok(address) => format!("the client {address}"),
            Err(_) => "the client".to_owned(),
        };
        return Ok((session.into(), peer));
    }
    let Some(host) = options.get_server_hostname().or(host) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a client must say whom it expects: give the name in the server's certificate by `TlsOptions::server_hostname`",
        ));
    };
    // As in URLs: brackets around an IPv6 address, and a dot at the end of a complete name, are not part of it.
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bare.unwrap_or(host);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| {
        let text = format!(
            "{host:?} is neither a host name nor an IP address that a certificate could be for"
        );
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let config = options.client_config().await?;
    let session = rustls::ClientConnection::new(config, name).map_err(io::Error::other)?;
    Ok((session.into(), format!("{host:?}")))
}

fn wrong_side(whose: &str, here: &str, instead: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("these TLS options are {whose}, and this is {here}: make them by `{instead}`"),
    )
}

impl Connection {
    fn poll_handshake(&self, tls: &Layer, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..CALLS_IN_A_ROW {
            self.check()?;
            if self.is_closing() {
                return Poll::Ready(Err(self.why_closed()));
            }
            self.send_output(tls);
            if !tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if !tls.has_more() {
                ready!(self.poll_ciphertext(tls, cx))?;
            }
            if tls.peer_is_done() {
                return Poll::Ready(Err(TlsError::ended_in_handshake(&tls.peer).into()));
            }
            if let Err(error) = tls.feed() {
                return Poll::Ready(Err(self.refused(tls, error)));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A connection in the middle of a handshake is good for nothing.
struct AbortOnDrop<'a>(Option<&'a Connection>);

impl AbortOnDrop<'_> {
    fn not_any_more(mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.0 {
            connection.abort();
        }
    }
}
