//! `openssl s_client` and `openssl s_server`, with certificates on both sides and a protocol to agree on (ALPN). (What the
//! crate `asyncio-net` tests with OpenSSL is the handshake itself, in each version.)

use std::cell::RefCell;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use asyncio::{ConnectOptions, ServerOptions, StreamReader, StreamWriter, TlsOptions, to_thread};

use super::program::{Folder, Program, TRIES, free_port, installed, says};
use crate::alone::{alone, run_cleanly};
use crate::authority::{Authority, Identity};
use crate::wire::port;

/// A folder with the files that OpenSSL reads.
struct Files {
    folder: Folder,
    authority: Authority,
}

impl Files {
    fn new() -> Files {
        let files = Files {
            folder: Folder::new("openssl"),
            authority: Authority::new("the authority of the tests"),
        };
        files.write("roots.pem", files.authority.pem());
        files
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn identity(&self, name: &str) -> (PathBuf, PathBuf) {
        let Identity { chain, key } = self.authority.issue(name);
        (self.write("chain.pem", &chain), self.write("key.pem", &key))
    }
}

fn openssl(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments).current_dir(folder);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

#[test]
fn openssl_shows_its_certificate_to_our_server_and_agrees_on_a_protocol() {
    alone(|| {
        if !installed(&["openssl"]) {
            return;
        }
        let files = Files::new();
        files.identity("a client called alice");
        let tls = files.authority.server().alpn(["echo/2", "echo/1"]);
        let tls = tls.client_roots_pem(files.authority.pem()).unwrap();
        run_cleanly(async move {
            let clients = Rc::new(RefCell::new(Vec::new()));
            let seen = clients.clone();
            let echo = move |mut reader: StreamReader, writer: StreamWriter| {
                let info = writer.tls().unwrap();
                let protocol = info
                    .alpn_protocol()
                    .map(|name| String::from_utf8_lossy(name).into_owned());
                seen.borrow_mut()
                    .push((protocol, !info.peer_certificates().is_empty()));
                async move {
                    while let Ok(line) = reader.readline().await
                        && !line.is_empty()
                    {
                        writer.write(&line);
                    }
                    writer.close();
                    writer.wait_closed().await
                }
            };
            let server = ServerOptions::new()
                .tls(tls)
                .start(echo, "127.0.0.1", 0)
                .await
                .unwrap();
            let address = format!("127.0.0.1:{}", port(&server));
            let folder = files.path("");
            let talk = async |more: &'static [&'static str]| {
                let always = [
                    "s_client",
                    "-quiet",
                    "-verify_return_error",
                    "-CAfile",
                    "roots.pem",
                    "-servername",
                    "localhost",
                ];
                let mut command = openssl(
                    &[&always, &["-connect", &address][..], more].concat(),
                    &folder,
                );
                to_thread(move || {
                    let mut client = Program::start(&mut command);
                    let mut stdin = client.0.stdin.take().unwrap();
                    let _ = stdin.write_all(b"to be echoed\n");
                    // It goes on until the other side ends, if nothing goes wrong.
                    let mut line = String::new();
                    let mut stdout = client.stdout();
                    stdout.read_line(&mut line).unwrap();
                    drop(stdin);
                    line
                })
                .await
            };
            let known: &[&str] = &[
                "-cert",
                "chain.pem",
                "-key",
                "key.pem",
                "-alpn",
                "echo/1,echo/3",
            ];
            assert_eq!(talk(known).await, "to be echoed\n");
            assert_eq!(
                talk(&["-alpn", "echo/1"]).await,
                "",
                "nobody without a certificate"
            );
            assert_eq!(
                talk(&["-cert", "chain.pem", "-key", "key.pem", "-alpn", "spdy"]).await,
                ""
            );
            assert_eq!(
                talk(&["-cert", "chain.pem", "-key", "key.pem"]).await,
                "to be echoed\n"
            );
            let seen = clients.take();
            assert_eq!(seen, [(Some("echo/1".to_owned()), true), (None, true)]);
            server.close();
            server.wait_closed().await;
        });
    });
}

/// A server that asks for a certificate, answers each line with itself reversed, and its port.
fn reversing(files: &Files) -> (Program, u16) {
    files.identity("localhost");
    for _ in 0..TRIES {
        let port = free_port();
        let accept = format!("127.0.0.1:{port}");
        let arguments = [
            "s_server",
            "-rev",
            "-accept",
            &accept,
            "-cert",
            "chain.pem",
            "-key",
            "key.pem",
        ];
        let asked = [
            "-Verify",
            "1",
            "-verify_return_error",
            "-CAfile",
            "roots.pem",
            "-alpn",
            "rev/1",
        ];
        let mut server = Program::start(&mut openssl(
            &[&arguments[..], &asked].concat(),
            files.folder.path(),
        ));
        let mut lines = server.stdout();
        if says(&mut lines, "ACCEPT") {
            // It tells of each connection, and must not wait for somebody to listen.
            std::thread::spawn(move || drop(std::io::copy(&mut lines, &mut std::io::sink())));
            return (server, port);
        }
    }
    panic!("openssl finds no port to listen on");
}

#[test]
fn our_client_shows_its_certificate_to_openssl_and_refuses_a_wrong_one() {
    alone(|| {
        if !installed(&["openssl"]) {
            return;
        }
        let files = Files::new();
        let (server, port) = reversing(&files);
        run_cleanly(async move {
            let Identity { chain, key } = files.authority.issue("a client called bob");
            let nameless = files.authority.client().alpn(["rev/2", "rev/1"]);
            let named = nameless.clone().client_certificate(chain, key).unwrap();
            let connect = async |tls: TlsOptions| {
                ConnectOptions::new()
                    .tls(tls)
                    .connect("127.0.0.1", port)
                    .await
            };

            let (mut reader, writer) = connect(named.clone()).await.unwrap();
            assert_eq!(writer.tls().unwrap().alpn_protocol(), Some(&b"rev/1"[..]));
            for (line, reversed) in [("stressed\n", "desserts\n"), ("live\n", "evil\n")] {
                writer.write(line);
                assert_eq!(reader.readline().await.unwrap(), reversed);
            }
            writer.close();
            writer.wait_closed().await.unwrap();

            // In TLS 1.3 the client is done before the server has looked at its certificate.
            let refused = match connect(nameless).await {
                Ok((mut reader, _writer)) => reader.readline().await.unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(refused.to_lowercase().contains("certificate"), "{refused}");

            let elsewhere = named.server_hostname("elsewhere.example");
            let error = connect(elsewhere).await.unwrap_err().to_string();
            assert!(error.contains("elsewhere.example"), "{error}");
            let stranger = Authority::new("somebody else").client();
            let error = connect(stranger).await.unwrap_err().to_string();
            assert!(error.contains("not trusted"), "{error}");
        });
        drop(server);
    });
}
