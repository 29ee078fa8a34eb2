//! Who one is and whom one trusts.

use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use asyncio_timers::IntoDuration;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};

use crate::tls::roots::{self, Roots, invalid};
use crate::tls::verify::Anybody;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(60);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// How to speak TLS, for one of the two sides; asyncio: an `ssl.SSLContext` and the arguments `ssl_handshake_timeout`,
/// `ssl_shutdown_timeout`, `server_hostname`.
///
/// A client trusts what the platform trusts, unless told otherwise, and checks the name. Make one value and use it (or
/// clones of it) for all connections: they then share their sessions, and a second connection to a server is
/// opened faster.
///
/// TLS 1.2 and 1.3 are spoken. A value may go from thread to thread.
///
/// ```
/// # use asyncio_net::{open_connection, start_server, TlsOptions};
/// # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
/// # let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
/// let server_side = TlsOptions::server(&certificate, &key)?.alpn(["echo/1"]);
/// let client_side = TlsOptions::client()
///     .roots_pem(&certificate)?
///     .server_hostname("localhost")
///     .alpn(["echo/1"]);
///
/// asyncio_runtime::run(async move {
///     let server = start_server(
///         move |mut reader, writer| {
///             let server_side = server_side.clone();
///             async move {
///                 writer.start_tls(&mut reader, &server_side).await?;
///                 let line = reader.readline().await?;
///                 writer.write(line);
///                 std::io::Result::Ok(())
///             }
///         },
///         "127.0.0.1",
///         0,
///     )
///     .await?;
///     let (mut reader, writer) = open_connection("127.0.0.1", server.local_addrs()[0].port()).await?;
///     writer.start_tls(&mut reader, &client_side).await?;
///     writer.write("secret\n");
///     assert_eq!(reader.readline().await?, "secret\n");
///     let info = writer.tls().expect("TLS has been started");
///     assert_eq!((info.version(), info.alpn_protocol()), ("TLSv1.3", Some(&b"echo/1"[..])));
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until a connection is given them"]
pub struct TlsOptions {
    side: Side,
    alpn: Vec<Vec<u8>>,
    server_hostname: Option<String>,
    handshake_timeout: Duration,
    shutdown_timeout: Duration,
    require_close_notify: bool,
}

#[derive(Clone)]
enum Side {
    Client(Client),
    Server(Server),
}

#[derive(Clone, Default)]
struct Client {
    roots: Roots,
    identity: Option<Identity>,
    anybody: bool,
    /// Made when first needed, shared by clones; a new one after each change.
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

#[derive(Clone)]
struct Server {
    /// None where the configuration was given.
    identity: Option<Identity>,
    clients: Option<Clients>,
    config: Arc<OnceLock<Arc<ServerConfig>>>,
}

/// Whose certificates a server accepts, and whether it insists on one.
#[derive(Clone)]
struct Clients {
    roots: Vec<CertificateDer<'static>>,
    required: bool,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Identity {
        Identity {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// Making them.
impl TlsOptions {
    /// A client's: the platform's roots (the bundled ones where it has none), no certificate of its own. asyncio: `ssl=True`.
    ///
    /// The platform's roots are read when first used, by a thread of the pool, once in a process.
    pub fn client() -> TlsOptions {
        TlsOptions::new(Side::Client(Client::default()))
    }

    /// A server's: its certificate with those between it and a root, and the key to it, both PEM; asyncio:
    /// `SSLContext.load_cert_chain`.
    ///
    /// # Errors
    /// `InvalidInput` where there is no certificate or no key, or the key is not the certificate's.
    pub fn server(
        chain_pem: impl AsRef<[u8]>,
        key_pem: impl AsRef<[u8]>,
    ) -> io::Result<TlsOptions> {
        let options = TlsOptions::new(Side::Server(Server {
            identity: Some(Identity::read(chain_pem.as_ref(), key_pem.as_ref())?),
            clients: None,
            config: Arc::default(),
        }));
        options.server_config()?; // refuses what will not do now, rather than with the first client
        Ok(options)
    }

    /// Trusts the certificates in this PEM text and those of further calls, instead of the platform's; asyncio:
    /// `load_verify_locations`. For clients.
    ///
    /// # Errors
    /// `InvalidInput` where there is no certificate, or one that cannot be read.
    ///
    /// # Panics
    /// For a server's options: those have [`client_roots_pem`](TlsOptions::client_roots_pem).
    #[track_caller]
    pub fn roots_pem(self, pem: impl AsRef<[u8]>) -> io::Result<TlsOptions> {
        let certificates = roots::certificates(pem.as_ref())?;
        self.roots_der(certificates)
    }

    /// Trusts these certificates and those of further calls, instead of the platform's. For clients.
    ///
    /// # Errors
    /// `InvalidInput` for one that cannot be read.
    ///
    /// # Panics
    /// For a server's options.
    #[track_caller]
    pub fn roots_der(
        mut self,
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> io::Result<TlsOptions> {
        let certificates: Vec<_> = certificates.into_iter().collect();
        roots::store(&certificates)?;
        self.client_side("roots_der").roots.add(certificates);
        Ok(self)
    }

    /// Trusts what Mozilla trusted when this program was built, instead of the platform. For clients.
    ///
    /// # Panics
    /// For a server's options.
    #[track_caller]
    pub fn bundled_roots(mut self) -> TlsOptions {
        self.client_side("bundled_roots").roots = Roots::Bundled;
        self
    }

    /// The certificate to show to servers that ask for one, with those between it and a root, and the key to it, both PEM.
    /// For clients.
    ///
    /// # Errors
    /// `InvalidInput` where there is no certificate or no key, or the key is not the certificate's.
    ///
    /// # Panics
    /// For a server's options.
    #[track_caller]
    pub fn client_certificate(
        mut self,
        chain_pem: impl AsRef<[u8]>,
        key_pem: impl AsRef<[u8]>,
    ) -> io::Result<TlsOptions> {
        let identity = Identity::read(chain_pem.as_ref(), key_pem.as_ref())?;
        identity.check()?;
        self.client_side("client_certificate").identity = Some(identity);
        Ok(self)
    }

    /// Asks clients for a certificate by one of these issuers (PEM), and refuses those that have none; asyncio:
    /// `verify_mode = CERT_REQUIRED`. For servers.
    ///
    /// # Errors
    /// `InvalidInput` where there is no certificate, or one that cannot be read.
    ///
    /// # Panics
    /// For a client's options: those have [`roots_pem`](TlsOptions::roots_pem).
    #[track_caller]
    pub fn client_roots_pem(self, pem: impl AsRef<[u8]>) -> io::Result<TlsOptions> {
        self.with_clients(pem.as_ref(), true)
    }

    /// Asks clients for a certificate by one of these issuers (PEM), and serves those that have none as well; asyncio:
    /// `verify_mode = CERT_OPTIONAL`. [`TlsInfo::peer_certificates`](crate::TlsInfo::peer_certificates) tells. For servers.
    ///
    /// # Errors
    /// As [`client_roots_pem`](TlsOptions::client_roots_pem).
    ///
    /// # Panics
    /// For a client's options.
    #[track_caller]
    pub fn optional_client_roots_pem(self, pem: impl AsRef<[u8]>) -> io::Result<TlsOptions> {
        self.with_clients(pem.as_ref(), false)
    }

    /// The application protocols one speaks, the best first (ALPN, RFC 7301); asyncio: `set_alpn_protocols`. Where both sides
    /// name some and have none in common the handshake fails.
    ///
    /// Has no effect on a configuration that was given ready-made.
    ///
    /// # Panics
    /// For a name without a byte, or of more than 255, which cannot be said.
    #[track_caller]
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> TlsOptions {
        self.alpn = protocols
            .into_iter()
            .map(|protocol| protocol.as_ref().to_vec())
            .collect();
        for protocol in &self.alpn {
            assert!(
                (1..=255).contains(&protocol.len()),
                "`alpn`: the name of a protocol has 1 to 255 bytes, and this one {}",
                protocol.len()
            );
        }
        match &mut self.side {
            Side::Client(client) if !client.is_given() => client.config = Arc::default(),
            Side::Server(server) if server.identity.is_some() => server.config = Arc::default(),
            _ => {}
        }
        self
    }

    /// The name that the server's certificate must be for, and that the server is told (SNI), instead of the host that was
    /// connected to. [`start_tls`](crate::StreamWriter::start_tls) needs it. For clients.
    pub fn server_hostname(mut self, name: impl Into<String>) -> TlsOptions {
        self.server_hostname = Some(name.into());
        self
    }

    /// Accepts every server, whoever it is: what is sent is hidden from listeners, but not from whoever stands in between. For
    /// tests, and for networks one trusts. asyncio: `verify_mode = CERT_NONE`. For clients.
    ///
    /// # Panics
    /// For a server's options.
    #[track_caller]
    pub fn danger_accept_any_certificate(mut self) -> TlsOptions {
        self.client_side("danger_accept_any_certificate").anybody = true;
        self
    }

    /// How long a handshake may take; 60 seconds at first. asyncio: `ssl_handshake_timeout`.
    pub fn handshake_timeout(mut self, timeout: impl IntoDuration) -> TlsOptions {
        self.handshake_timeout = timeout.into_duration();
        self
    }

    /// How long a closed connection waits in the background until everything is sent and the other side has said
    /// `close_notify` as well; 30 seconds at first. asyncio: `ssl_shutdown_timeout`.
    ///
    /// One that goes on sending instead is cut off after a mebibyte.
    pub fn shutdown_timeout(mut self, timeout: impl IntoDuration) -> TlsOptions {
        self.shutdown_timeout = timeout.into_duration();
        self
    }

    /// Makes an end of the stream without `close_notify` an error of kind `UnexpectedEof`.
    ///
    /// Without this it is an end like any other, as in asyncio, since many servers do it. Then whoever can
    /// cut the connection can cut the data short: a protocol that does not say how long its messages are should ask for this.
    pub fn require_close_notify(mut self) -> TlsOptions {
        self.require_close_notify = true;
        self
    }
}

/// A configuration of a client's that has been made elsewhere. The methods that would change it panic.
impl From<Arc<ClientConfig>> for TlsOptions {
    fn from(config: Arc<ClientConfig>) -> TlsOptions {
        TlsOptions::new(Side::Client(Client {
            roots: Roots::Given,
            identity: None,
            anybody: false,
            config: Arc::new(OnceLock::from(config)),
        }))
    }
}

/// A configuration of a server's that has been made elsewhere. The methods that would change it panic.
impl From<Arc<ServerConfig>> for TlsOptions {
    fn from(config: Arc<ServerConfig>) -> TlsOptions {
        TlsOptions::new(Side::Server(Server {
            identity: None,
            clients: None,
            config: Arc::new(OnceLock::from(config)),
        }))
    }
}

/// Using them.
impl TlsOptions {
    fn new(side: Side) -> TlsOptions {
        TlsOptions {
            side,
            alpn: Vec::new(),
            server_hostname: None,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            shutdown_timeout: SHUTDOWN_TIMEOUT,
            require_close_notify: false,
        }
    }

    /// The client to change, whose configuration must be made anew.
    #[track_caller]
    fn client_side(&mut self, what: &str) -> &mut Client {
        match &mut self.side {
            Side::Client(client) if !client.is_given() => {
                client.config = Arc::default();
                client
            }
            Side::Client(_) => {
                panic!("`{what}`: the configuration was given ready-made, change it there")
            }
            Side::Server(_) => panic!("`{what}` is for clients, and these are a server's options"),
        }
    }

    #[track_caller]
    fn with_clients(mut self, pem: &[u8], required: bool) -> io::Result<TlsOptions> {
        let roots = roots::certificates(pem)?;
        match &mut self.side {
            Side::Server(server) if server.identity.is_some() => {
                server.clients = Some(Clients { roots, required });
                server.config = Arc::default();
            }
            Side::Server(_) => panic!("the configuration was given ready-made, change it there"),
            Side::Client(_) => panic!("certificates of clients are a server's business"),
        }
        self.server_config()?;
        Ok(self)
    }

    pub(crate) fn is_client(&self) -> bool {
        matches!(self.side, Side::Client(_))
    }

    pub(crate) fn get_server_hostname(&self) -> Option<&str> {
        self.server_hostname.as_deref()
    }

    pub(crate) fn get_handshake_timeout(&self) -> Duration {
        self.handshake_timeout
    }

    pub(crate) fn get_shutdown_timeout(&self) -> Duration {
        self.shutdown_timeout
    }

    pub(crate) fn requires_close_notify(&self) -> bool {
        self.require_close_notify
    }

    /// The client's configuration, made by a thread of the pool the first time, since the platform's roots are files.
    pub(crate) async fn client_config(&self) -> io::Result<Arc<ClientConfig>> {
        let Side::Client(client) = &self.side else {
            return Err(invalid("these are a server's TLS options".to_owned()));
        };
        if let Some(config) = client.config.get() {
            return Ok(config.clone());
        }
        let config = match client.roots {
            Roots::Platform if !client.anybody => {
                let (client, alpn) = (client.clone(), self.alpn.clone());
                asyncio_blocking::unblock(move || client.configure(alpn))
                    .await
                    .map_err(io::Error::other)??
            }
            _ => client.configure(self.alpn.clone())?,
        };
        // Another connection may have been faster.
        Ok(client.config.get_or_init(|| Arc::new(config)).clone())
    }

    pub(crate) fn server_config(&self) -> io::Result<Arc<ServerConfig>> {
        let Side::Server(server) = &self.side else {
            return Err(invalid("these are a client's TLS options".to_owned()));
        };
        if let Some(config) = server.config.get() {
            return Ok(config.clone());
        }
        let config = server.configure(self.alpn.clone())?;
        Ok(server.config.get_or_init(|| Arc::new(config)).clone())
    }
}

impl Client {
    fn is_given(&self) -> bool {
        matches!(self.roots, Roots::Given)
    }

    fn configure(&self, alpn: Vec<Vec<u8>>) -> io::Result<ClientConfig> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = if self.anybody {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        } else {
            builder.with_root_certificates(self.roots.store()?)
        };
        let mut config = match self.identity.clone() {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain, identity.key)
                .map_err(unusable)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn;
        Ok(config)
    }
}

impl Server {
    fn configure(&self, alpn: Vec<Vec<u8>>) -> io::Result<ServerConfig> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(roots::store(&clients.roots)?);
                let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                if !clients.required {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier
                    .build()
                    .map_err(|error| invalid(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let Some(identity) = self.identity.clone() else {
            return Err(invalid("a server needs a certificate".to_owned()));
        };
        let mut config = builder
            .with_single_cert(identity.chain, identity.key)
            .map_err(unusable)?;
        config.alpn_protocols = alpn;
        // Sessions are resumed from what the client keeps: a server of many clients keeps nothing.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(unusable)?;
        Ok(config)
    }
}

impl Identity {
    fn read(chain: &[u8], key: &[u8]) -> io::Result<Identity> {
        Ok(Identity {
            chain: roots::certificates(chain)?,
            key: roots::key(key)?,
        })
    }

    /// Whether the key is of a kind that can be used, and belongs to the certificate.
    fn check(&self) -> io::Result<()> {
        let Identity { chain, key } = self.clone();
        rustls::sign::CertifiedKey::from_der(chain, key, &provider())
            .map(drop)
            .map_err(unusable)
    }
}

/// Never the process's default, which belongs to the program.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER
        .get_or_init(|| Arc::new(aws_lc_rs::default_provider()))
        .clone()
}

fn unusable(error: rustls::Error) -> io::Error {
    invalid(match error {
        rustls::Error::InconsistentKeys(_) => {
            "the private key does not belong to the (first) certificate".to_owned()
        }
        error => format!("the certificate or its key is not usable: {error}"),
    })
}

/// Shows no key.
impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("client", &self.is_client())
            .field("server_hostname", &self.server_hostname)
            .field("handshake_timeout", &self.handshake_timeout)
            .field("shutdown_timeout", &self.shutdown_timeout)
            .finish_non_exhaustive()
    }
}
