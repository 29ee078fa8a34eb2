//! A tiny HTTP/1.0 server, by hand over streams, and `curl`.

use std::io::{self, Read};
use std::process::{Command, Stdio};

use asyncio::{Server, StreamError, StreamReader, StreamWriter, gather, to_thread};

use super::program::{Folder, Program, installed, output};
use crate::alone::{alone, run_cleanly};
use crate::authority::Authority;
use crate::wire::{Wire, port};

const MEGABYTE: usize = 1024 * 1024;

/// The byte at a place of every large body: no two pages are alike, so that a piece that is lost, doubled or moved shows.
fn byte_at(place: usize) -> u8 {
    (place ^ (place >> 8) ^ (place >> 16)) as u8
}

fn large_body(length: usize) -> Vec<u8> {
    (0..length).map(byte_at).collect()
}

/// One request a connection: `GET /N` gives so many bytes, `PUT /` tells how many came, `GET /endless` does not end.
async fn http(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let head = match reader.readuntil(b"\r\n\r\n").await {
        // It thought better of it.
        Err(StreamError::Incomplete(error)) if error.partial.is_empty() => return Ok(()),
        head => head?,
    };
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    match (method, path.trim_start_matches('/').parse::<usize>()) {
        ("GET", Ok(length)) => {
            writer.write(format!(
                "HTTP/1.0 200 OK\r\ncontent-length: {length}\r\n\r\n"
            ));
            for piece in large_body(length).chunks(60_000) {
                writer.write(piece);
                writer.drain().await?;
            }
        }
        ("GET", Err(_)) if path == "/endless" => {
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n");
            // Until the client is gone.
            while writer.drain().await.is_ok() {
                writer.write([b'x'; 10_000]);
            }
            return Ok(());
        }
        ("PUT", _) => {
            if field("expect").is_some_and(|expected| expected == "100-continue") {
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            let length = field("content-length")
                .and_then(|length| length.parse().ok())
                .unwrap_or(0);
            let (mut at, mut right) = (0, 0);
            while at < length {
                let piece = reader.read(60_000).await?;
                if piece.is_empty() {
                    break;
                }
                right += piece
                    .iter()
                    .zip(at..)
                    .filter(|(byte, place)| **byte == byte_at(*place))
                    .count();
                at += piece.len();
            }
            writer.write(format!("HTTP/1.0 200 OK\r\n\r\n{right} of {length} bytes"));
        }
        _ => writer.write(b"HTTP/1.0 404 Not Found\r\n\r\nno such page\n"),
    }
    writer.close();
    writer.wait_closed().await
}

fn curl(arguments: &[&str]) -> Command {
    let mut command = Command::new("curl");
    // No settings of the user, no proxy: only what the test says.
    command.args([
        "--disable",
        "--noproxy",
        "*",
        "--silent",
        "--show-error",
        "--max-time",
        "60",
    ]);
    command.args(arguments);
    command
}

fn url(server: &Server, path: &str) -> String {
    format!("http://127.0.0.1:{}/{path}", port(server))
}

async fn end(server: Server) {
    server.close();
    server.wait_closed().await;
}

#[test]
fn curl_gets_small_and_large_pages_many_at_a_time() {
    alone(|| {
        if !installed(&["curl"]) {
            return;
        }
        run_cleanly(async {
            let server = Wire::Tcp.serve(http).await;
            for length in [0, 1, 65_536, 32 * MEGABYTE] {
                let got = output(curl(&["--fail", &url(&server, &length.to_string())])).await;
                assert!(got.status.success(), "{got:?}");
                assert!(
                    got.stdout == large_body(length),
                    "{} of {length} bytes",
                    got.stdout.len()
                );
            }
            let missing = output(curl(&["--include", &url(&server, "nothing")])).await;
            let text = String::from_utf8(missing.stdout).unwrap();
            assert_eq!(text, "HTTP/1.0 404 Not Found\r\n\r\nno such page\n");
            let (four, urls) = (large_body(100_000), url(&server, "100000"));
            let many =
                gather((0..8).map(|_| output(curl(&["--fail", &urls, &urls, &urls, &urls]))));
            for got in many.await {
                assert!(got.stdout == four.repeat(4), "{:?}", got.stderr);
            }
            end(server).await;
        });
    });
}

#[test]
fn curl_puts_a_large_body() {
    alone(|| {
        if !installed(&["curl"]) {
            return;
        }
        let folder = Folder::new("curl");
        let file = folder.path().join("body");
        std::fs::write(&file, large_body(32 * MEGABYTE)).unwrap();
        let file = file.to_str().unwrap().to_owned();
        run_cleanly(async move {
            let server = Wire::Tcp.serve(http).await;
            let put = output(curl(&["--fail", "--upload-file", &file, &url(&server, "")])).await;
            let answer = String::from_utf8(put.stdout).unwrap();
            assert_eq!(answer, "33554432 of 33554432 bytes");
            end(server).await;
        });
    });
}

#[test]
fn curl_that_is_killed_in_the_middle_disturbs_nobody() {
    alone(|| {
        if !installed(&["curl"]) {
            return;
        }
        run_cleanly(async {
            let server = Wire::Tcp.serve(http).await;
            let mut endless = curl(&[&url(&server, "endless")]);
            let read = to_thread(move || {
                let mut program = Program::start(endless.stdout(Stdio::piped()));
                let mut stdout = program.stdout();
                stdout.read_exact(&mut vec![0; MEGABYTE])
            });
            read.await.unwrap();
            let after = output(curl(&[&url(&server, "3")])).await;
            assert_eq!(after.stdout, large_body(3));
            end(server).await;
        });
    });
}

#[test]
fn curl_trusts_the_right_certificate_and_no_other_name() {
    alone(|| {
        if !installed(&["curl"]) {
            return;
        }
        let folder = Folder::new("curl-tls");
        let roots = folder.path().join("roots.pem");
        std::fs::write(&roots, Authority::shared().pem()).unwrap();
        let roots = roots.to_str().unwrap().to_owned();
        run_cleanly(async move {
            let server = Wire::Tls.serve(http).await;
            let port = port(&server);
            let get = async |name: &str, more: &[&str], path: &str| {
                let to_us = format!("{name}:{port}:127.0.0.1");
                let url = format!("https://{name}:{port}/{path}");
                output(curl(&[&["--resolve", &to_us, &url], more].concat())).await
            };
            let right = ["--cacert", roots.as_str()];
            let got = get("localhost", &right, "8000000").await;
            assert!(got.stdout == large_body(8_000_000), "{:?}", got.stderr);
            // 60: the peer's certificate cannot be verified. It says so before it asks for anything.
            let wrong_name = get("elsewhere.example", &right, "1").await;
            assert_eq!(wrong_name.status.code(), Some(60), "{wrong_name:?}");
            let wrong_root = get("localhost", &[], "1").await;
            assert_eq!(wrong_root.status.code(), Some(60), "{wrong_root:?}");
            // Plain HTTP to a server with TLS, and the other way round.
            let plain = output(curl(&[&url(&server, "1")])).await;
            assert!(!plain.status.success(), "{plain:?}");
            let got = get("localhost", &right, "100").await;
            assert_eq!(got.stdout, large_body(100));
            end(server).await;
        });
    });
}
