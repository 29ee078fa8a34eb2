//! Whom a client trusts, and how certificates and keys are read.

use std::io;
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Where a client's trust comes from.
#[derive(Clone, Debug, Default)]
pub(crate) enum Roots {
    #[default]
    Platform,
    Bundled,
    Custom(Vec<CertificateDer<'static>>),
    /// The whole configuration was made elsewhere.
    Given,
}

impl Roots {
    /// Reads the platform's from files, the first time.
    pub(crate) fn store(&self) -> io::Result<Arc<RootCertStore>> {
        match self {
            Roots::Platform => Ok(platform()),
            Roots::Bundled => Ok(bundled()),
            Roots::Custom(certificates) => store(certificates).map(Arc::new),
            Roots::Given => Ok(Arc::new(RootCertStore::empty())),
        }
    }

    /// Further certificates to trust, instead of the platform's and the bundled ones.
    pub(crate) fn add(&mut self, more: Vec<CertificateDer<'static>>) {
        match self {
            Roots::Custom(certificates) => certificates.extend(more),
            _ => *self = Roots::Custom(more),
        }
    }
}

/// What the platform trusts, read once per process; what Mozilla trusts where the platform has nothing to say.
fn platform() -> Arc<RootCertStore> {
    static PLATFORM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let platform = PLATFORM.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        // Platforms have old certificates among theirs that nobody can read any more.
        let (accepted, _) = store.add_parsable_certificates(found.certs);
        if accepted > 0 {
            Arc::new(store)
        } else {
            bundled()
        }
    });
    platform.clone()
}

fn bundled() -> Arc<RootCertStore> {
    Arc::new(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
}

pub(crate) fn store(certificates: &[CertificateDer<'static>]) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store
            .add(certificate.clone())
            .map_err(|error| invalid(format!("a root certificate is not usable: {error}")))?;
    }
    Ok(store)
}

/// The certificates of a PEM file, in its order.
pub(crate) fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| invalid(format!("a certificate cannot be read: {error}")))?;
    if found.is_empty() {
        let expected = "no certificate here: expected PEM, with `-----BEGIN CERTIFICATE-----`";
        return Err(invalid(expected.to_owned()));
    }
    Ok(found)
}

/// The first private key of a PEM file.
pub(crate) fn key(pem: &[u8]) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        invalid(format!(
            "no private key here: expected PEM, with `-----BEGIN PRIVATE KEY-----` and not encrypted ({error})"
        ))
    })
}

pub(crate) fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
