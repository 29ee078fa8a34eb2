//! TLS with OpenSSL on the other side, where its program is installed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use asyncio_net::{TlsOptions, start_server};

use crate::support::*;
use crate::tls_support::*;

fn is_missing() -> bool {
    let missing = Command::new("openssl")
        .arg("version")
        .stdout(Stdio::null())
        .status()
        .is_err();
    if missing {
        eprintln!("skipped: no program `openssl` here");
    }
    missing
}

/// Kills what a failed test would leave.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Files that live as long as this.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("asyncio-net-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self, name: &str, text: &str) -> std::path::PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn our_server_serves_the_client_of_openssl() {
    if is_missing() {
        return;
    }
    run(async {
        let authority = Authority::new();
        let folder = Folder::new("client");
        let roots = folder.file("roots.pem", authority.pem());
        let options = authority.server().alpn(["echo/1"]);
        for version in ["-tls1_2", "-tls1_3"] {
            let options = options.clone();
            let server = start_server(
                move |mut reader, writer| {
                    let options = options.clone();
                    async move {
                        writer.start_tls(&mut reader, &options).await?;
                        let line = reader.readline().await?;
                        writer.write(format!(
                            "{} {}",
                            writer.tls().unwrap().version(),
                            line.len()
                        ));
                        writer.write(vec![b'.'; 200_000]);
                        writer.write("\nthe end\n");
                        writer.close();
                        writer.wait_closed().await
                    }
                },
                "127.0.0.1",
                0,
            )
            .await
            .unwrap();
            let mut client = Command::new("openssl")
                .args([
                    "s_client",
                    "-quiet",
                    "-verify_return_error",
                    "-servername",
                    "localhost",
                ])
                .args([
                    "-verify_hostname",
                    "localhost",
                    "-alpn",
                    "echo/1",
                    version,
                    "-CAfile",
                ])
                .arg(&roots)
                .args(["-connect", &server.local_addrs()[0].to_string()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map(Program)
                .unwrap();
            let mut stdin = client.0.stdin.take().unwrap();
            stdin.write_all(b"hello\n").unwrap();
            let stdout = client.0.stdout.take().unwrap();
            let lines = asyncio_blocking::unblock(move || {
                let lines: Result<Vec<_>, _> = BufReader::new(stdout).lines().collect();
                lines.unwrap()
            });
            let lines = lines.await.unwrap();
            let start = if version == "-tls1_2" {
                "TLSv1.2 6..."
            } else {
                "TLSv1.3 6..."
            };
            assert!(
                lines[0].starts_with(start),
                "{}",
                &lines[0][..lines[0].len().min(100)]
            );
            assert_eq!((lines[0].len(), &*lines[1]), (200_009, "the end"));
            drop(stdin);
            server.close();
        }
    });
}

#[test]
fn our_client_talks_to_the_server_of_openssl() {
    if is_missing() {
        return;
    }
    run(async {
        let authority = Authority::new();
        let folder = Folder::new("server");
        let (chain, key) = authority.issue(&["localhost"]);
        let (chain, key) = (
            folder.file("chain.pem", &chain),
            folder.file("key.pem", &key),
        );
        // A port that is free now, most probably also in a moment.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let mut server = Command::new("openssl")
            .args(["s_server", "-rev", "-accept", &format!("127.0.0.1:{port}")])
            .arg("-cert")
            .arg(&chain)
            .arg("-key")
            .arg(&key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map(Program)
            .unwrap();
        // It says so when it listens.
        let stdout = BufReader::new(server.0.stdout.take().unwrap());
        let listening = asyncio_blocking::unblock(move || {
            let mut lines = stdout.lines();
            lines
                .any(|line| line.unwrap().contains("ACCEPT"))
                .then_some(lines)
        });
        let Some(mut rest) = listening.await.unwrap() else {
            panic!("openssl does not listen");
        };
        std::thread::spawn(move || while let Some(Ok(_)) = rest.next() {});

        let options = authority.client();
        for round in 0..2 {
            let (mut reader, writer) = asyncio_net::open_connection("127.0.0.1", port)
                .await
                .unwrap();
            writer.start_tls(&mut reader, &options).await.unwrap();
            writer.write("stressed desserts\n");
            assert_eq!(reader.readline().await.unwrap(), "stressed desserts\n");
            assert_eq!(writer.tls().unwrap().is_resumed(), round > 0);
            writer.close();
            writer.wait_closed().await.unwrap();
        }
        let (mut reader, writer) = asyncio_net::open_connection("127.0.0.1", port)
            .await
            .unwrap();
        let suspicious = TlsOptions::client().server_hostname("localhost");
        let error = writer
            .start_tls(&mut reader, &suspicious)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("issuer is not trusted"),
            "{error}"
        );
    });
}
