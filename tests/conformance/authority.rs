//! Certificates, made when a test needs them.

use std::sync::OnceLock;

use asyncio::TlsOptions;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority that vouches for this test's servers and clients.
pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        Authority {
            pem,
            issuer: Issuer::new(parameters, key),
        }
    }

    /// The one that most tests of a process can share.
    pub(crate) fn shared() -> &'static Authority {
        static SHARED: OnceLock<Authority> = OnceLock::new();
        SHARED.get_or_init(|| Authority::new("the authority of the tests"))
    }

    /// Its own certificate.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn issue(&self, name: &str) -> Identity {
        let parameters = CertificateParams::new([name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let chain = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Identity {
            chain,
            key: key.serialize_pem(),
        }
    }

    /// Of a server called `localhost`.
    pub(crate) fn server(&self) -> TlsOptions {
        let identity = self.issue("localhost");
        TlsOptions::server(identity.chain, identity.key).unwrap()
    }

    /// Of a client that expects this server.
    pub(crate) fn client(&self) -> TlsOptions {
        TlsOptions::client()
            .roots_pem(&self.pem)
            .unwrap()
            .server_hostname("localhost")
    }
}
