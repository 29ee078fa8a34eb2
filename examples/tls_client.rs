//! TLS: a server with a certificate, a client that trusts it, and what a client says that has no reason to.
//!
//! Run it: `cargo run --example tls_client`

use std::io;

use asyncio::{ConnectOptions, ServerOptions, StreamReader, StreamWriter, TlsError, TlsOptions};
use rcgen::{CertifiedKey, generate_simple_self_signed};

async fn greet(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let name = reader.readline().await?;
    writer.write("hello ");
    writer.write(&name);
    writer.close();
    writer.wait_closed().await
}

async fn greeting(tls: TlsOptions, host: &str, port: u16) -> io::Result<String> {
    // Nothing else is different with TLS: the reader and the writer are the same types.
    let options = ConnectOptions::new().tls(tls).timeout(10);
    let (mut reader, writer) = options.connect(host, port).await?;
    let agreed = writer
        .tls()
        .ok_or_else(|| io::Error::other("this is plain text"))?;
    println!("{}, {}", agreed.version(), agreed.cipher());
    writer.write("world\n");
    let line = reader.readline().await?;
    writer.close();
    writer.wait_closed().await?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Why a server was not believed.
async fn refusal(tls: TlsOptions, port: u16) -> String {
    let error = greeting(tls, "127.0.0.1", port).await.unwrap_err();
    let reason = error
        .get_ref()
        .and_then(|reason| reason.downcast_ref::<TlsError>());
    assert!(
        reason.is_some_and(TlsError::is_certificate_error),
        "{error}"
    );
    error.to_string()
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    // Usually these come from files: `std::fs::read("chain.pem")?`.
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).map_err(io::Error::other)?;
    let certificate = cert.pem();
    let tls = TlsOptions::server(&certificate, signing_key.serialize_pem())?;
    let server = ServerOptions::new()
        .tls(tls)
        .start(greet, "127.0.0.1", 0)
        .await?;
    let port = server.local_addrs()[0].port();

    // This client trusts that one certificate. `TlsOptions::client()` alone trusts whom the system trusts.
    let trusting = TlsOptions::client().roots_pem(&certificate)?;
    assert_eq!(
        greeting(trusting.clone(), "localhost", port).await?,
        "hello world\n"
    );

    let wrong_name = refusal(trusting.server_hostname("example.com"), port).await;
    println!("\na wrong name:\n  {wrong_name}");
    assert!(wrong_name.contains("example.com") && wrong_name.contains("localhost"));

    let stranger = TlsOptions::client()
        .bundled_roots()
        .server_hostname("localhost");
    let wrong_issuer = refusal(stranger, port).await;
    println!("\na certificate nobody vouches for:\n  {wrong_issuer}");
    assert!(wrong_issuer.contains("not trusted"));

    server.close();
    server.wait_closed().await;
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
