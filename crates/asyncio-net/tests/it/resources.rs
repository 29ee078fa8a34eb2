//! What is taken is given back. Descriptors belong to the process, so these tests run in processes of their own.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::rc::Rc;

use asyncio_net::{open_connection, start_server};

use crate::support::*;

/// Runs one of the ignored tests below in a process with a limit of open files.
fn alone(test: &str, open_files: u32) {
    let this = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {open_files} && exec \"$0\" \"$@\""))
        .arg(this)
        .args([test, "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn a_thousand_connections_leave_no_descriptor_and_no_task() {
    alone(
        "resources::in_a_process_of_its_own::a_thousand_connections",
        256,
    );
}

// S223
#[test]
fn out_of_descriptors_is_reported_once_and_the_server_recovers() {
    alone("resources::in_a_process_of_its_own::out_of_descriptors", 64);
}

mod in_a_process_of_its_own {
    use super::*;

    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[test]
    #[ignore = "run by `a_thousand_connections_leave_no_descriptor_and_no_task`"]
    fn a_thousand_connections() {
        run(async {
            let server = start_server(
                |mut reader, writer| async move {
                    let data = reader.read(100).await?;
                    writer.write(&data);
                    std::io::Result::Ok(())
                },
                "127.0.0.1",
                0,
            )
            .await
            .unwrap();
            let port = server.local_addrs()[0].port();
            // The pool's thread and its like are there from the first on.
            drop(open_connection("localhost", port).await.unwrap());
            until(|| server.connections() == 0).await;
            let (before, tasks) = (descriptors(), asyncio_executor::all_tasks().len());
            for n in 0..1000 {
                let (mut reader, writer) = open_connection("127.0.0.1", port).await.unwrap();
                match n % 4 {
                    0 => {}
                    1 => {
                        writer.write("hello");
                        assert_eq!(reader.read(100).await.unwrap(), "hello");
                    }
                    2 => writer.abort(),
                    _ => {
                        // Given up while it is being made.
                        let mut connecting = std::pin::pin!(open_connection("127.0.0.1", port));
                        drop(poll_once(connecting.as_mut()).await);
                    }
                }
            }
            until(|| server.connections() == 0 && asyncio_executor::all_tasks().len() == tasks)
                .await;
            // Connections that were given up may still be in the backlog.
            until(|| descriptors() == before).await;
            server.close();
            server.wait_closed().await;
            assert_eq!(descriptors(), before - 1);
            assert_eq!(asyncio_executor::all_tasks().len(), 1);
        });
    }

    #[test]
    #[ignore = "run by `out_of_descriptors_is_reported_once_and_the_server_recovers`"]
    fn out_of_descriptors() {
        run(async {
            let server = start_server(
                |_reader, writer| async move { writer.write("hello") },
                "127.0.0.1",
                0,
            )
            .await
            .unwrap();
            let address = server.local_addrs()[0];
            let reports = Rc::new(Cell::new(0));
            let counter = reports.clone();
            let handle = asyncio_runtime::get_running_loop();
            handle.set_exception_handler(Some(Rc::new(move |context| {
                assert!(
                    context.message.contains("cannot accept connections"),
                    "{context}"
                );
                counter.set(counter.get() + 1);
            })));
            let mut files = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                files.push(file);
            }
            // Just enough for one client.
            files.pop();
            let mut client = TcpStream::connect(address).unwrap();
            until(|| reports.get() > 0).await;
            let tried = handle.stats().reactor.accepts;
            for _ in 0..10_000 {
                yield_now().await;
            }
            assert!(
                handle.stats().reactor.accepts <= tried + 1,
                "accepting pauses"
            );
            drop(files);
            let greeting = asyncio_blocking::unblock(move || {
                let mut greeting = String::new();
                client.read_to_string(&mut greeting).map(|_| greeting)
            });
            assert_eq!(greeting.await.unwrap().unwrap(), "hello");
            assert_eq!(reports.get(), 1);
        });
    }
}
