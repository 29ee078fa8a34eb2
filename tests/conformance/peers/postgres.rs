//! A PostgreSQL server, spoken to by `tokio-postgres` over our streams: it needs tokio's traits and nothing of its runtime.

use std::fs;
use std::future::poll_fn;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use asyncio::{
    Queue, SocketStream, Task, create_task, gather, open_connection, timeout, yield_now,
};
use futures_util::{SinkExt, StreamExt, pin_mut};
use rustix::process::{Pid, Signal, getuid, kill_process};
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use super::program::{Folder, Program, TRIES, find, free_port, says};
use crate::alone::{alone, run_cleanly};

/// The server refuses to run as root; any other user will do.
const NOBODY: u32 = 65534;

const PASSWORD: &str = "open sesame";

/// A server with a database of its own.
struct Postgres {
    port: u16,
    program: Program,
    _folder: Folder,
}

impl Postgres {
    fn start() -> Option<Postgres> {
        let (Some(initdb), Some(postgres)) = (find("initdb"), find_server()) else {
            println!("skipped: PostgreSQL is not installed");
            return None;
        };
        let folder = Folder::new("postgres");
        let path = folder.path();
        let data = path.join("data");
        let password = path.join("password");
        fs::write(&password, PASSWORD).unwrap();
        if getuid().is_root() {
            for path in [path, &password] {
                std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let made = as_nobody(&initdb, path)
            .args(["--auth=scram-sha-256", "--username=tester", "--no-sync"])
            .args(["--no-locale", "--encoding=UTF8"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(&data)
            .output()
            .unwrap();
        if !made.status.success() {
            println!(
                "skipped: {}",
                String::from_utf8_lossy(&made.stderr).replace('\n', " ")
            );
            return None;
        }
        for _ in 0..TRIES {
            let port = free_port();
            let mut command = as_nobody(&postgres, path);
            command.arg("-F").arg("-D").arg(&data).arg("-k").arg(path);
            command.args(["-h", "127.0.0.1", "-p", &port.to_string()]);
            let mut program = Program::start(command.stdout(Stdio::null()).stderr(Stdio::piped()));
            let mut lines = program.stderr();
            if says(&mut lines, "ready to accept connections") {
                program.0.stderr = Some(lines.into_inner());
                return Some(Postgres {
                    port,
                    program,
                    _folder: folder,
                });
            }
        }
        panic!("postgres finds no port to listen on");
    }
}

/// As a link it would not find its other files.
fn find_server() -> Option<PathBuf> {
    find("postgres").or_else(|| {
        let initdb = find("initdb")?.canonicalize().ok()?;
        Some(initdb.parent()?.join("postgres")).filter(|file| file.is_file())
    })
}

fn as_nobody(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program.canonicalize().unwrap());
    command.current_dir(folder).stdin(Stdio::null());
    if getuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Gently, so that it takes its own processes and shared memory with it.
        let pid = Pid::from_child(&self.program.0);
        if kill_process(pid, Signal::INT).is_ok() {
            let _ = self.program.0.wait();
        }
    }
}

/// A client, the task that drives its connection, and the notifications that come.
async fn connect(port: u16) -> (Client, Task<()>, Rc<Queue<String>>) {
    let stream = SocketStream::from(open_connection("127.0.0.1", port).await.unwrap());
    let mut config = Config::new();
    config.user("tester").password(PASSWORD).dbname("postgres");
    let (client, mut connection) = config.connect_raw(stream, NoTls).await.unwrap();
    let notes = Rc::new(Queue::new());
    let heard = notes.clone();
    let driver = create_task(async move {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(note) = message.unwrap() {
                heard
                    .put_nowait(format!("{}: {}", note.channel(), note.payload()))
                    .unwrap();
            }
        }
    });
    (client, driver, notes)
}

#[test]
fn postgres_answers_through_tokio_postgres() {
    alone(|| {
        let Some(postgres) = Postgres::start() else {
            return;
        };
        let port = postgres.port;
        run_cleanly(async move {
            let (mut client, driver, notes) = connect(port).await;

            let row = client.query_one("SELECT 6 * 7, 'text'", &[]).await.unwrap();
            assert_eq!((row.get::<_, i32>(0), row.get::<_, &str>(1)), (42, "text"));

            client
                .batch_execute("CREATE TABLE numbers (n int, square int)")
                .await
                .unwrap();
            // A prepared statement, in a pipeline.
            let insert = client
                .prepare("INSERT INTO numbers VALUES ($1, $2)")
                .await
                .unwrap();
            let (client_ref, insert) = (&client, &insert);
            let inserted = (0..200i32)
                .map(|n| async move { client_ref.execute(insert, &[&n, &(n * n)]).await.unwrap() });
            let inserted = futures_util::future::join_all(inserted).await;
            assert_eq!(inserted.iter().sum::<u64>(), 200);

            // A transaction that is not committed has not happened.
            let transaction = client.transaction().await.unwrap();
            assert_eq!(
                transaction
                    .execute("DELETE FROM numbers", &[])
                    .await
                    .unwrap(),
                200
            );
            drop(transaction);
            let count = client
                .query_one("SELECT count(*) FROM numbers", &[])
                .await
                .unwrap();
            assert_eq!(count.get::<_, i64>(0), 200);

            // Rows that do not fit into any buffer, as a stream.
            let rows = client
                .query_raw(
                    "SELECT g, repeat('x', 1000) FROM generate_series(1, 5000) g",
                    &[] as &[i32],
                )
                .await
                .unwrap();
            pin_mut!(rows);
            let mut expected = 0;
            while let Some(row) = rows.next().await {
                expected += 1;
                let row = row.unwrap();
                assert_eq!(
                    (row.get::<_, i32>(0), row.get::<_, &str>(1).len()),
                    (expected, 1000)
                );
            }
            assert_eq!(expected, 5000);

            // A copy, in both directions.
            let copy = client.copy_in("COPY numbers FROM STDIN").await.unwrap();
            pin_mut!(copy);
            for n in 200..1000 {
                let line = format!("{n}\t{}\n", n * n);
                copy.send(std::io::Cursor::new(line)).await.unwrap();
            }
            assert_eq!(copy.finish().await.unwrap(), 800);
            let copy = client.copy_out("COPY numbers TO STDOUT").await.unwrap();
            pin_mut!(copy);
            let mut text = Vec::new();
            while let Some(piece) = copy.next().await {
                text.write_all(&piece.unwrap()).unwrap();
            }
            assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1000);

            // Another client's notifications.
            client.batch_execute("LISTEN news").await.unwrap();
            let (other, other_driver, _) = connect(port).await;
            other.batch_execute("NOTIFY news, 'extra'").await.unwrap();
            assert_eq!(notes.get().await.unwrap(), "news: extra");

            let error = client
                .query("SELECT nothing FROM nowhere", &[])
                .await
                .unwrap_err();
            assert_eq!(error.code(), Some(&SqlState::UNDEFINED_TABLE));

            drop((client, other));
            driver.await.unwrap();
            other_driver.await.unwrap();
        });
    });
}

#[test]
fn a_query_is_given_up_here_or_cancelled_there() {
    alone(|| {
        let Some(postgres) = Postgres::start() else {
            return;
        };
        let port = postgres.port;
        run_cleanly(async move {
            let (client, driver, _notes) = connect(port).await;

            // Given up here: the answer comes all the same, to nobody, and the connection stays in step.
            timeout(0.001, client.query("SELECT pg_sleep(0.05)", &[]))
                .await
                .unwrap_err();
            let row = client.query_one("SELECT 1", &[]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), 1);

            // Cancelled there: over a connection of its own, while the query waits.
            let client = Rc::new(client);
            let waiting = client.clone();
            let query =
                create_task(async move { waiting.query("SELECT pg_sleep(3600)", &[]).await });
            let (watcher, watcher_driver, _) = connect(port).await;
            let runs = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(3600)' \
                        AND wait_event = 'PgSleep'";
            while watcher.query_one(runs, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                yield_now().await;
            }
            let stream = SocketStream::from(open_connection("127.0.0.1", port).await.unwrap());
            client
                .cancel_token()
                .cancel_query_raw(stream, NoTls)
                .await
                .unwrap();
            let error = query.await.unwrap().unwrap_err();
            assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));

            // Both at once, many times: whatever is cancelled, the connection answers the next question.
            let calls = (0..20i32).map(|n| {
                let client = client.clone();
                create_task(async move {
                    let row = client.query_one("SELECT $1::int + 1", &[&n]).await.unwrap();
                    assert_eq!(row.get::<_, i32>(0), n + 1);
                })
            });
            let (kept, dropped): (Vec<_>, Vec<_>) =
                calls.enumerate().partition(|(at, _)| at % 2 == 0);
            yield_now().await;
            for (_, call) in &dropped {
                call.cancel();
            }
            gather(kept.into_iter().map(|(_, call)| call)).await;
            for (_, call) in dropped {
                assert!(call.await.unwrap_err().is_cancelled());
            }
            let row = client.query_one("SELECT 2", &[]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), 2);

            drop((client, watcher));
            driver.await.unwrap();
            watcher_driver.await.unwrap();
        });
    });
}
