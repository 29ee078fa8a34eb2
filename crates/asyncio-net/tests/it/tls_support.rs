//! Certificates made on the spot, and connections secured by them.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use asyncio_net::TlsOptions;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::support::*;

pub(crate) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        // An issuer is known by its name first.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("authority {}", MADE.fetch_add(1, Ordering::Relaxed));
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = parameters.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(parameters, key);
        Authority { pem, issuer }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate and its key.
    pub(crate) fn issue(&self, names: &[&str]) -> (String, String) {
        self.issue_with(names, |_| {})
    }

    fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(crate) fn client(&self) -> TlsOptions {
        let options = TlsOptions::client().roots_pem(&self.pem).unwrap();
        options.server_hostname("localhost")
    }

    pub(crate) fn server(&self) -> TlsOptions {
        self.server_of(|_| {})
    }

    pub(crate) fn server_of(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsOptions {
        let (chain, key) = self.issue_with(&["localhost"], change);
        TlsOptions::server(chain, key).unwrap()
    }
}

/// A connection after what was made of it on both sides: the client's end, the server's.
pub(crate) async fn handshakes(
    ours: &TlsOptions,
    theirs: &TlsOptions,
) -> (io::Result<Ends>, io::Result<Ends>) {
    let (mut client, mut server) = both_ends().await;
    let theirs = theirs.clone();
    let serving = spawn(async move {
        server.1.start_tls(&mut server.0, &theirs).await?;
        Ok(server)
    });
    let client = match client.1.start_tls(&mut client.0, ours).await {
        Ok(()) => Ok(client),
        Err(error) => Err(error),
    };
    (client, serving.await.unwrap())
}

pub(crate) async fn secured_by(ours: &TlsOptions, theirs: &TlsOptions) -> (Ends, Ends) {
    let (client, server) = handshakes(ours, theirs).await;
    (client.unwrap(), server.unwrap())
}

pub(crate) async fn secured(authority: &Authority) -> (Ends, Ends) {
    secured_by(&authority.client(), &authority.server()).await
}

/// Runs with a clock that jumps to the next deadline when nothing else is to be done.
pub(crate) fn virtually<T: 'static>(program: impl Future<Output = T> + 'static) -> T {
    let clock = asyncio_timers::Clock::auto();
    let event_loop = asyncio_runtime::EventLoop::builder().clock(clock).build();
    event_loop.unwrap().run_until_complete(program).unwrap()
}
