//! What goes wrong with TLS, in words that name who, why and what to do.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// Why a TLS connection failed; the error inside an [`io::Error`] of kind `InvalidData` or `UnexpectedEof`. asyncio:
/// `ssl.SSLError`.
///
/// ```
/// use asyncio_net::TlsError;
/// # use std::io;
/// fn is_untrusted(error: &io::Error) -> bool {
///     let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
///     inner.is_some_and(TlsError::is_certificate_error)
/// }
/// # assert!(!is_untrusted(&io::Error::other("x")));
/// ```
#[derive(Debug)]
pub struct TlsError {
    text: String,
    source: Option<rustls::Error>,
}

impl TlsError {
    /// Whether the certificate of the other side was not accepted; Python: `ssl.SSLCertVerificationError`.
    pub fn is_certificate_error(&self) -> bool {
        matches!(
            self.source,
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)
        )
    }

    /// rustls' own error, where there is one.
    pub fn rustls_error(&self) -> Option<&rustls::Error> {
        self.source.as_ref()
    }

    pub(crate) fn of(peer: &str, error: rustls::Error) -> TlsError {
        TlsError {
            text: explain(peer, &error),
            source: Some(error),
        }
    }

    pub(crate) fn ended_in_handshake(peer: &str) -> TlsError {
        TlsError {
            text: format!(
                "{peer} ended the connection in the middle of the TLS handshake: does it speak TLS on this port?"
            ),
            source: None,
        }
    }

    pub(crate) fn truncated(peer: &str) -> TlsError {
        TlsError {
            text: format!(
                "the connection to {peer} ended without `close_notify`: the data may be truncated"
            ),
            source: None,
        }
    }
}

fn explain(peer: &str, error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(reason) => {
            format!(
                "the certificate of {peer} was not accepted: {}",
                why(reason)
            )
        }
        rustls::Error::NoCertificatesPresented => {
            format!("{peer} showed no certificate, and one is required")
        }
        rustls::Error::InvalidMessage(_) => {
            format!("what came from {peer} is no TLS ({error}): does it speak TLS on this port?")
        }
        rustls::Error::NoApplicationProtocol
        | rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            format!("{peer} and this side have no protocol in common (`TlsOptions::alpn`)")
        }
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA),
        ) => format!("{peer} did not accept our certificate: it says {alert:?}"),
        rustls::Error::AlertReceived(alert) => {
            format!("{peer} refused to go on with TLS: it says {alert:?}")
        }
        _ => format!("TLS with {peer} failed: {error}"),
    }
}

fn why(reason: &CertificateError) -> String {
    match reason {
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "it names nobody it would be for, and so is not for this host; ask for a certificate with a subject alternative name"
                .to_owned()
        }
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "it is for {} and not for this host; connect by one of these names, or give the one to expect by `TlsOptions::server_hostname`",
            presented.join(", ")
        ),
        CertificateError::NotValidForName => {
            "it is not for this host; give the name to expect by `TlsOptions::server_hostname`"
                .to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
            "it has expired; its owner must renew it, unless the clock of this machine is wrong ({reason})"
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("it is not valid yet; is the clock of this machine right? ({reason})")
        }
        CertificateError::UnknownIssuer => {
            "its issuer is not trusted (unknown, or the certificate is self-signed); trust it by `TlsOptions::roots_pem`"
                .to_owned()
        }
        CertificateError::Revoked => "it was revoked".to_owned(),
        CertificateError::BadSignature => "it is not signed by the issuer it names".to_owned(),
        CertificateError::BadEncoding => "it cannot be read".to_owned(),
        other => other.to_string(),
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

// Displayed already, so the source of its source comes next, and rustls' errors have none.
impl Error for TlsError {}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> io::Error {
        let kind = match error.source {
            Some(_) => io::ErrorKind::InvalidData,
            None => io::ErrorKind::UnexpectedEof,
        };
        io::Error::new(kind, error)
    }
}
