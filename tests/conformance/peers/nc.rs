//! `nc` (of OpenBSD) as a client and as a server; with `-N` it says the end of its stream when its input ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use asyncio::{StreamReader, StreamWriter, open_connection, to_thread};

use super::program::{Program, TRIES, find, free_port, installed, says};
use crate::alone::{alone, run_cleanly};
use crate::wire::{Wire, port};

const MEGABYTE: usize = 1024 * 1024;

/// Whether `nc` is there, and is the one that knows `-N`.
fn has_nc() -> bool {
    if !installed(&["nc"]) {
        return false;
    }
    let usage = Command::new(find("nc").unwrap())
        .arg("-h")
        .output()
        .unwrap();
    let usage = String::from_utf8_lossy(&[usage.stdout, usage.stderr].concat()).into_owned();
    let known = usage.contains("-N");
    if !known {
        println!("skipped: this `nc` does not know `-N`; netcat-openbsd does");
    }
    known
}

fn nc(arguments: &[&str]) -> Program {
    let mut command = Command::new("nc");
    command.args(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Program::start(&mut command)
}

#[test]
fn nc_sends_to_the_end_and_then_reads_the_answer() {
    alone(|| {
        if !has_nc() {
            return;
        }
        run_cleanly(async {
            let server = Wire::Tcp
                .serve(async |mut reader: StreamReader, writer: StreamWriter| {
                    let mut all = reader.read_to_end().await?.to_vec();
                    all.reverse();
                    writer.write(&all);
                    writer.close();
                    writer.wait_closed().await
                })
                .await;
            let port = port(&server).to_string();
            let answer = to_thread(move || {
                let mut nc = nc(&["-N", "127.0.0.1", &port]);
                let mut input = nc.0.stdin.take().unwrap();
                // It may already answer while it is written to, so nobody may wait for nobody.
                let writing = std::thread::spawn(move || {
                    input.write_all(&vec![b'b'; MEGABYTE]).unwrap();
                    input.write_all(b"a").unwrap();
                });
                let mut answer = Vec::new();
                nc.stdout().read_to_end(&mut answer).unwrap();
                writing.join().unwrap();
                assert!(nc.0.wait().unwrap().success());
                answer
            });
            let answer = answer.await;
            assert_eq!(answer.len(), MEGABYTE + 1);
            assert!(answer.starts_with(b"ab"));
            server.close();
            server.wait_closed().await;
        });
    });
}

/// A listening `nc`, its port, and what it says on standard error.
fn listening() -> (Program, u16, impl BufRead) {
    for _ in 0..TRIES {
        let port = free_port();
        let mut nc = nc(&["-N", "-v", "-l", "127.0.0.1", &port.to_string()]);
        let mut lines = nc.stderr();
        if says(&mut lines, "Listening") {
            return (nc, port, lines);
        }
    }
    panic!("`nc` finds no port to listen on");
}

#[test]
fn nc_listens_and_either_side_may_end_first() {
    alone(|| {
        if !has_nc() {
            return;
        }
        for ours_ends_first in [true, false] {
            let (mut nc, port, _lines) = listening();
            let mut input = nc.0.stdin.take().unwrap();
            let mut output = BufReader::new(nc.0.stdout.take().unwrap());
            run_cleanly(async move {
                let (mut reader, writer) = open_connection("127.0.0.1", port).await.unwrap();
                writer.write(b"hello\n");
                let (mut input, output, heard) = to_thread(move || {
                    let mut heard = String::new();
                    output.read_line(&mut heard).unwrap();
                    input.write_all(b"hello yourself\n").unwrap();
                    (input, output, heard)
                })
                .await;
                assert_eq!(heard, "hello\n");
                assert_eq!(reader.readline().await.unwrap(), "hello yourself\n");
                if ours_ends_first {
                    writer.write(b"the end");
                    writer.write_eof();
                    let mut output = output;
                    let rest = to_thread(move || {
                        let mut rest = String::new();
                        output.read_to_string(&mut rest).unwrap();
                        rest
                    });
                    // Having read our end, it does not wait for that of its own input.
                    assert_eq!(rest.await, "the end");
                    drop(input);
                    assert_eq!(reader.read_to_end().await.unwrap(), "");
                } else {
                    input.write_all(b"the end").unwrap();
                    drop(input);
                    assert_eq!(reader.read_to_end().await.unwrap(), "the end");
                }
                writer.close();
                writer.wait_closed().await.unwrap();
            });
            assert!(nc.0.wait().unwrap().success());
        }
    });
}
