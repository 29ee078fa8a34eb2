//! What a connection runs over: the same promises are made for each kind.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use asyncio::{
    ConnectOptions, Outcome, Server, ServerOptions, StreamReader, StreamWriter, TlsOptions,
};
use rustix::net::sockopt::set_socket_linger;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::authority::Authority;

/// A kind of connection, over loopback.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire {
    Tcp,
    Tls,
}

thread_local! {
    /// Made once: a client with the same options resumes its sessions.
    static CLIENT: RefCell<Option<TlsOptions>> = const { RefCell::new(None) };
}

impl Wire {
    /// A server on a free port; more clients may wait to be accepted than usually.
    pub(crate) async fn serve<C, F>(self, callback: C) -> Server
    where
        C: FnMut(StreamReader, StreamWriter) -> F + 'static,
        F: Future + 'static,
        F::Output: Outcome,
    {
        let mut options = ServerOptions::new().backlog(4096);
        if self == Wire::Tls {
            options = options.tls(Authority::shared().server());
        }
        options.start(callback, "127.0.0.1", 0).await.unwrap()
    }

    pub(crate) async fn connect(self, port: u16) -> io::Result<(StreamReader, StreamWriter)> {
        let mut options = ConnectOptions::new();
        if self == Wire::Tls {
            let tls = CLIENT.with_borrow_mut(|client| {
                client
                    .get_or_insert_with(|| Authority::shared().client())
                    .clone()
            });
            options = options.tls(tls);
        }
        options.connect("127.0.0.1", port).await
    }

    /// A blocking connection without anything of ours, for a peer in a thread.
    pub(crate) fn peer(self, port: u16) -> Peer {
        let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
        socket.set_nodelay(true).unwrap();
        // A broken test should fail, not hang.
        let patience = Some(Duration::from_secs(60));
        socket.set_read_timeout(patience).unwrap();
        socket.set_write_timeout(patience).unwrap();
        match self {
            Wire::Tcp => Peer::Tcp(socket),
            Wire::Tls => {
                let name = ServerName::try_from("localhost").unwrap();
                let session = ClientConnection::new(peer_config(), name).unwrap();
                Peer::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        }
    }
}

fn peer_config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(Authority::shared().pem().as_bytes()).unwrap();
        roots.add(root).unwrap();
        let builder = ClientConfig::builder().with_root_certificates(roots);
        Arc::new(builder.with_no_client_auth())
    });
    config.clone()
}

/// The port of a server.
pub(crate) fn port(server: &Server) -> u16 {
    server.local_addrs()[0].port()
}

/// An end of a connection that is not ours. It blocks. With TLS the handshake comes with the first read or write.
pub(crate) enum Peer {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Peer {
    /// Goes without a word: what is on its way is lost, and the other side sees a reset.
    pub(crate) fn reset(self) {
        let socket = match &self {
            Peer::Tcp(socket) => socket,
            Peer::Tls(stream) => &stream.sock,
        };
        set_socket_linger(socket, Some(Duration::ZERO)).unwrap();
    }

    /// Makes sure that the connection is all there, the handshake included.
    pub(crate) fn greet(&mut self) {
        if let Peer::Tls(stream) = self {
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock).unwrap();
            }
        }
    }

    /// Says the end of its own stream; it still reads. The other side may have gone meanwhile.
    pub(crate) fn end(&mut self) {
        match self {
            Peer::Tcp(socket) => drop(socket.shutdown(Shutdown::Write)),
            Peer::Tls(stream) => {
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    }
}

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Peer::Tcp(socket) => socket.read(buffer),
            Peer::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Peer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Peer::Tcp(socket) => socket.write(data),
            Peer::Tls(stream) => stream.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Peer::Tcp(socket) => socket.flush(),
            Peer::Tls(stream) => stream.flush(),
        }
    }
}
