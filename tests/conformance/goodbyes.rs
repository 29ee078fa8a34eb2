//! Cleanup that awaits really runs: a task that holds a connection says goodbye over the wire, whoever ends it.
//!
//! Real sockets and real time; the server is a thread, so that it sees what is left when a loop has gone.

use std::future::pending;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use asyncio::{
    TaskGroup, catch_cancelled, create_task, finally, open_connection, shield, sleep, timeout,
    wait_for,
};

use crate::harness::say;

/// Accepts so many connections and gives the lines that came, in the order of the connections.
struct Server {
    address: SocketAddr,
    lines: JoinHandle<Vec<Vec<String>>>,
}

impl Server {
    fn start(connections: usize) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lines = std::thread::spawn(move || {
            let clients: Vec<_> = (0..connections)
                .map(|_| listener.accept().unwrap().0)
                .collect();
            clients
                .into_iter()
                .map(|client| BufReader::new(client).lines().map(Result::unwrap).collect())
                .collect()
        });
        Server { address, lines }
    }

    #[track_caller]
    fn received(self, expected: &[&str]) {
        for lines in self.lines.join().unwrap() {
            assert_eq!(lines, expected);
        }
    }
}

/// Says hello, holds the connection for ever, says goodbye.
async fn client(address: SocketAddr) {
    let host = address.ip().to_string();
    let (_reader, writer) = open_connection(&host, address.port()).await.unwrap();
    writer.write(b"hello\n");
    writer.drain().await.unwrap();
    finally(pending::<()>(), async {
        sleep(0.001).await; // as a last answer may take a while
        writer.write(b"goodbye\n");
        writer.drain().await.unwrap();
        writer.close();
        writer.wait_closed().await.unwrap();
    })
    .await;
}

/// Long enough for a connection over loopback and its first line.
async fn until_connected() {
    sleep(0.05).await;
}

const BOTH: &[&str] = &["hello", "goodbye"];

#[test]
fn when_it_is_cancelled() {
    let server = Server::start(1);
    let address = server.address;
    asyncio::run(async move {
        let task = create_task(client(address));
        until_connected().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    server.received(BOTH);
}

#[test]
fn when_its_group_fails() {
    let server = Server::start(2);
    let address = server.address;
    asyncio::run(async move {
        let group = TaskGroup::<&str>::scope(async move |group| {
            for _ in 0..2 {
                drop(group.create_task(async move {
                    client(address).await;
                    Ok(())
                }));
            }
            until_connected().await;
            Err::<(), _>("failed")
        });
        assert_eq!(group.await.unwrap_err().errors().len(), 1);
    });
    server.received(BOTH);
}

#[test]
fn when_its_time_is_over() {
    let server = Server::start(2);
    let address = server.address;
    asyncio::run(async move {
        assert!(timeout(0.05, client(address)).await.is_err());
        let task = create_task(client(address));
        assert!(wait_for(task, 0.05).await.is_err());
    });
    server.received(BOTH);
}

#[test]
fn when_the_run_ends() {
    let server = Server::start(2);
    let address = server.address;
    let value = asyncio::run(async move {
        create_task(client(address)).detach();
        let held = create_task(client(address));
        until_connected().await;
        // One is nobody's, the other is left by a main task that had better things to do.
        drop(held);
        7
    });
    assert_eq!(value, 7);
    server.received(BOTH);
}

#[test]
fn when_the_run_ends_because_its_main_task_panics() {
    let server = Server::start(1);
    let address = server.address;
    let panic = std::panic::catch_unwind(|| {
        asyncio::run(async move {
            create_task(client(address)).detach();
            until_connected().await;
            panic!("main");
        });
    });
    assert!(panic.is_err());
    server.received(BOTH);
}

#[test]
fn a_shielded_one_stays_until_the_run_ends() {
    let server = Server::start(1);
    let address = server.address;
    asyncio::run(async move {
        let mut task = create_task(client(address));
        assert!(wait_for(shield(&mut task), 0.05).await.is_err());
        assert!(!task.done());
        task.detach();
    });
    server.received(BOTH);
}

#[test]
fn a_dropped_future_says_nothing() {
    // L2: what is dropped runs `Drop` only; the connection is closed, without a word.
    let server = Server::start(1);
    let address = server.address;
    asyncio::run(async move {
        let held = Box::pin(client(address));
        let first = futures_util::future::select(held, Box::pin(sleep(0.05))).await;
        drop(first);
    });
    server.received(&["hello"]);
}

#[test]
fn a_request_that_is_caught_leaves_the_connection_as_it_is() {
    let server = Server::start(1);
    let address = server.address;
    asyncio::run(async move {
        let host = address.ip().to_string();
        let (_reader, writer) = open_connection(&host, address.port()).await.unwrap();
        let task = create_task(async move {
            writer.write(b"hello\n");
            let _ = catch_cancelled(sleep(10)).await;
            writer.write(b"goodbye\n"); // goes on as if nothing had happened
        });
        until_connected().await;
        task.cancel();
        task.await.unwrap();
    });
    server.received(BOTH);
}

#[test]
fn at_ctrl_c() {
    if !cfg!(unix) {
        return say("skipped: Ctrl-C as a signal: not on this system");
    }
    let Some(mut command) = with_default_sigint(env!("CARGO_BIN_EXE_goodbye")) else {
        return say("skipped: Ctrl-C: this process ignores SIGINT, and so would its children");
    };
    let server = Server::start(2);
    // The main thread of a process of its own, as Ctrl-C goes to.
    let mut child = command
        .arg(server.address.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "connected");
    let kill = Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status();
    assert!(kill.unwrap().success());
    let status = child.wait().unwrap();
    assert!(!status.success());
    assert_eq!(
        signal_of(status),
        Some(2),
        "it ends as an interrupted program does"
    );
    server.received(BOTH);
}

/// A command whose process does not ignore SIGINT, as the children of a shell's background job do. `None` if that is so
/// and cannot be changed.
fn with_default_sigint(program: &str) -> Option<Command> {
    const RESET: &str = "--default-signal=INT";
    let resets = Command::new("env")
        .args([RESET, "true"])
        .stderr(Stdio::null())
        .status();
    if resets.is_ok_and(|status| status.success()) {
        let mut command = Command::new("env");
        command.args([RESET, program]);
        return Some(command);
    }
    (!ignores_sigint()).then(|| Command::new(program))
}

fn ignores_sigint() -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return false;
    };
    status
        .lines()
        .filter_map(|line| line.strip_prefix("SigIgn:"))
        .filter_map(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .any(|mask| mask & 0b10 != 0)
}

#[cfg(unix)]
fn signal_of(status: std::process::ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

#[cfg(not(unix))]
fn signal_of(_: std::process::ExitStatus) -> Option<i32> {
    None
}
