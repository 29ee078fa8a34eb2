//! The system calls the kernel sees, counted with `strace`: the test runs itself again under it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use asyncio::{create_task, sleep, start_server, to_thread};

/// Set in the process that is traced; says which part it plays.
const PART: &str = "ASYNCIO_TEST_PART";

#[test]
fn a_round_trip_of_a_lone_echo_connection_costs_three_system_calls() {
    const TRIPS: usize = 2000;
    if std::env::var(PART).as_deref() == Ok("echo") {
        return echo_one_connection();
    }
    let Some(mut traced) = Traced::start(
        "echo",
        "a_round_trip_of_a_lone_echo_connection_costs_three_system_calls",
    ) else {
        return;
    };
    let port: u16 = traced.line().parse().unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut answer = [0; 64];
    // The first trips register the socket and start what starts once; they are not counted.
    for trip in 0..TRIPS {
        if trip == 100 {
            traced.note("begin");
            assert_eq!(traced.line(), "begin");
        }
        socket.write_all(&[trip as u8; 64]).unwrap();
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [trip as u8; 64]);
    }
    traced.note("end");
    assert_eq!(traced.line(), "end");
    drop(socket);
    let counted = traced.calls_between("begin", "end");
    let total: usize = counted.values().sum();
    let trips = TRIPS - 100;
    println!("{trips} round trips: {total} system calls, {counted:?}");
    // The two notes themselves wake the loop: a few calls for each, not for each trip.
    assert!(
        total <= 3 * trips + 20,
        "{:.3} system calls per round trip: {counted:?}",
        total as f64 / trips as f64
    );
    assert!(total >= 3 * trips, "the trace misses calls: {counted:?}");
}

#[test]
fn a_loop_with_ten_thousand_sleeping_tasks_and_nothing_due_makes_no_system_call() {
    if std::env::var(PART).as_deref() == Ok("sleep") {
        return sleep_ten_thousand();
    }
    let Some(mut traced) = Traced::start(
        "sleep",
        "a_loop_with_ten_thousand_sleeping_tasks_and_nothing_due_makes_no_system_call",
    ) else {
        return;
    };
    assert_eq!(traced.line(), "asleep");
    // Any length will do: a loop that polls shows after a few milliseconds, and a longer wait only shows more of it.
    std::thread::sleep(Duration::from_millis(300));
    traced.note("wake up");
    assert_eq!(traced.line(), "awake");
    let counted = traced.calls_between("asleep", "awake");
    println!("between falling asleep and being woken: {counted:?}");
    // The sleep itself, the thread that brings the note, its wake-up of the loop, and the answer.
    let waits: usize = counted
        .iter()
        .filter(|(call, _)| call.starts_with("epoll"))
        .map(|(_, n)| n)
        .sum();
    let total: usize = counted.values().sum();
    assert!(waits <= 4, "the loop polls: {counted:?}");
    assert!(
        total <= 16,
        "something runs while nothing is due: {counted:?}"
    );
}

/// The traced server: echoes one connection through the streams, and tells on standard output when it was noted to.
fn echo_one_connection() {
    asyncio::run(async {
        let server = start_server(
            |mut reader, writer| async move {
                let mut buffer = [0; 1024];
                while let Ok(n @ 1..) = reader.read_into(&mut buffer).await {
                    writer.write(&buffer[..n]);
                    if writer.drain().await.is_err() {
                        break;
                    }
                }
            },
            "127.0.0.1",
            0,
        )
        .await
        .unwrap();
        say(&server.local_addrs()[0].port().to_string());
        // Read beside the loop, so that nothing but the notes themselves is added.
        loop {
            let note = to_thread(read_note).await;
            say(&note);
            if note == "end" {
                return;
            }
        }
    });
}

fn sleep_ten_thousand() {
    asyncio::run(async {
        for _ in 0..10_000 {
            create_task(sleep(3600)).detach();
        }
        let note = to_thread(|| {
            say("asleep");
            read_note()
        })
        .await;
        assert_eq!(note, "wake up");
        say("awake");
    });
}

fn read_note() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// One `write` for each line, whatever standard output is.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// This test program under `strace`.
struct Traced {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    log: std::path::PathBuf,
}

impl Traced {
    fn start(part: &str, test: &str) -> Option<Traced> {
        match Command::new("strace").arg("-V").output() {
            Ok(version) if version.status.success() => {}
            _ => {
                println!("skipped: strace is not installed");
                return None;
            }
        }
        let log =
            std::env::temp_dir().join(format!("asyncio-{part}-{}.strace", std::process::id()));
        let mut child = Command::new("strace")
            .args(["-f", "-o"])
            .arg(&log)
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                &format!("system_calls::{test}"),
                "--nocapture",
                "--test-threads=1",
            ])
            .env(PART, part)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut traced = Traced { child, lines, log };
        if !traced.can_trace() {
            println!("skipped: strace may not trace here");
            return None;
        }
        Some(traced)
    }

    /// Where ptrace is forbidden `strace` ends at once.
    fn can_trace(&mut self) -> bool {
        let peeked = self.lines.fill_buf().map(|bytes| !bytes.is_empty());
        peeked.unwrap_or(false)
    }

    /// The next line the traced program said.
    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(
                self.lines.read_line(&mut line).unwrap() > 0,
                "the traced program ended early"
            );
            // The test harness talks on the same stream, also on the same line.
            if let Some((_, said)) = line.split_once('@') {
                return said.trim_end().to_owned();
            }
        }
    }

    fn note(&mut self, note: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{note}\n").as_bytes()).unwrap();
    }

    /// Waits for the end and counts the calls of all threads between two lines the program said.
    fn calls_between(&mut self, from: &str, to: &str) -> BTreeMap<String, usize> {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        let log = std::fs::read_to_string(&self.log).unwrap();
        std::fs::remove_file(&self.log).unwrap();
        let said = |line: &str, what: &str| line.contains(&format!("\"@{what}\\n\""));
        let mut counted = BTreeMap::new();
        let begun = log.lines().skip_while(|line| !said(line, from)).skip(1);
        for line in begun.take_while(|line| !said(line, to)) {
            // `PID name(arguments…`; a line that resumes or reports something else is no new call.
            let Some((name, _)) = line
                .split_once(' ')
                .and_then(|(_, call)| call.trim_start().split_once('('))
            else {
                continue;
            };
            if name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                *counted.entry(name.to_owned()).or_default() += 1;
            }
        }
        counted
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.log);
    }
}
