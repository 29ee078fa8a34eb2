//! What was agreed in a handshake.

use rustls::pki_types::CertificateDer;

/// What the two sides of a TLS connection have agreed on; from [`StreamWriter::tls`](crate::StreamWriter::tls).
/// asyncio: `get_extra_info("cipher")`, `("peercert")` and the methods of the `ssl_object`.
///
/// [`TlsOptions`](crate::TlsOptions) has an example.
#[derive(Clone, Debug)]
pub struct TlsInfo {
    version: &'static str,
    cipher: String,
    alpn_protocol: Option<Vec<u8>>,
    server_name: Option<String>,
    peer_certificates: Vec<CertificateDer<'static>>,
    resumed: bool,
}

impl TlsInfo {
    /// The version of the protocol, in the words of Python's `ssl`: `"TLSv1.3"` or `"TLSv1.2"`.
    pub fn version(&self) -> &'static str {
        self.version
    }

    /// The name of the cipher suite, such as `"TLS13_AES_256_GCM_SHA384"`.
    pub fn cipher(&self) -> &str {
        &self.cipher
    }

    /// The protocol chosen by ALPN (RFC 7301), such as `b"h2"`; `None` where there was none in common, or none offered.
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.alpn_protocol.as_deref()
    }

    /// On the server's side: the name the client asked for (SNI, RFC 6066).
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The other side's certificates, its own first; empty for a client that showed none.
    pub fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer_certificates
    }

    /// Whether an earlier session was resumed, which saves the exchange of certificates.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }

    pub(crate) fn of(session: &rustls::Connection) -> TlsInfo {
        TlsInfo {
            version: match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "unknown",
            },
            cipher: session
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("unknown")
                .to_owned(),
            alpn_protocol: session.alpn_protocol().map(<[u8]>::to_vec),
            server_name: match session {
                rustls::Connection::Server(server) => server.server_name().map(str::to_owned),
                rustls::Connection::Client(_) => None,
            },
            peer_certificates: session
                .peer_certificates()
                .map(<[_]>::to_vec)
                .unwrap_or_default(),
            resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        }
    }
}
