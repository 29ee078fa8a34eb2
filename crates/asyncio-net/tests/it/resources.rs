//! What is taken is given back. Descriptors belong to the process, so these tests run in processes of their own.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::process::Command;
use std::rc::Rc;

use asyncio_net::resolve::{Answer, CachingResolver, Hints, Lookup, Resolve};
use asyncio_net::{ConnectOptions, getaddrinfo, open_connection, start_server};
use asyncio_timers::{Clock, sleep};

use crate::support::*;

/// Runs one of the ignored tests below in a process with a limit of open files.
pub(crate) fn alone(test: &str, open_files: u32) {
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
fn ten_thousand_connections_leave_no_descriptor_and_no_task() {
    alone(
        "resources::in_a_process_of_its_own::ten_thousand_connections",
        256,
    );
}

#[test]
fn races_and_lookups_that_are_given_up_leave_no_descriptor_and_no_task() {
    alone("resources::in_a_process_of_its_own::given_up", 256);
}

// S223
#[test]
fn out_of_descriptors_a_server_goes_on_as_soon_as_a_client_of_it_is_gone() {
    alone("resources::in_a_process_of_its_own::one_leaves", 64);
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
    #[ignore = "run by `ten_thousand_connections_leave_no_descriptor_and_no_task`"]
    fn ten_thousand_connections() {
        run(async {
            let server = start_server(
                |mut reader, writer| async move {
                    let data = reader.read(100).await?;
                    writer.write(&data);
                    std::io::Result::Ok(())
                },
                // Several, since each has as many ports for clients as the system can keep busy in a minute.
                ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"],
                0,
            )
            .await
            .unwrap();
            let addresses = server.local_addrs();
            // The pool's thread and its like are there from the first on.
            drop(
                open_connection("localhost", addresses[0].port())
                    .await
                    .unwrap(),
            );
            until(|| server.connections() == 0).await;
            let (before, tasks) = (descriptors(), asyncio_executor::all_tasks().len());
            for n in 0..10_000 {
                let address = addresses[n / 4 % 4];
                let (host, port) = (address.ip().to_string(), address.port());
                let (mut reader, writer) = open_connection(&host, port).await.unwrap();
                match n % 4 {
                    0 => {}
                    1 => {
                        writer.write("hello");
                        assert_eq!(reader.read(100).await.unwrap(), "hello");
                    }
                    2 => writer.abort(),
                    _ => {
                        // Given up while it is being made.
                        let mut connecting = std::pin::pin!(open_connection(&host, port));
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
            assert_eq!(descriptors(), before - addresses.len());
            assert_eq!(asyncio_executor::all_tasks().len(), 1);
        });
    }

    #[test]
    #[ignore = "run by `races_and_lookups_that_are_given_up_leave_no_descriptor_and_no_task`"]
    fn given_up() {
        struct Two;
        impl Resolve for Two {
            fn lookup(&self, _host: &str, _hints: Hints) -> Lookup {
                let two = ["127.0.0.1", "127.0.0.2"].map(|host| host.parse::<IpAddr>().unwrap());
                Box::pin(async move { Ok(Answer::from(two)) })
            }
        }
        run_virtually(async {
            // Nobody accepts, and when the backlog is full the kernel is silent.
            let full = TcpListener::bind("127.0.0.1:0").unwrap();
            rustix::net::listen(&full, 0).unwrap();
            let port = full.local_addr().unwrap().port();
            let Ok(second) = TcpListener::bind(("127.0.0.2", port)) else {
                return eprintln!("skipped: somebody else has the port");
            };
            rustix::net::listen(&second, 0).unwrap();
            let mut filling = Vec::new();
            let options = ConnectOptions::new().timeout(1);
            for host in ["127.0.0.1", "127.0.0.2"] {
                while let Ok(streams) = options.connect(host, port).await {
                    filling.push(streams);
                }
            }
            drop(getaddrinfo("localhost", 0, Hints::new()).await);
            let resolver = Rc::new(CachingResolver::new(Two).ttl(0));
            let options = ConnectOptions::new()
                .resolver(resolver)
                .happy_eyeballs_delay(0.25);
            let (before, tasks) = (descriptors(), asyncio_executor::all_tasks().len());
            for n in 0..100 {
                let mut connecting = std::pin::pin!(options.connect("a.test", port));
                assert!(poll_once(connecting.as_mut()).await.is_none());
                match n % 3 {
                    0 => continue,
                    1 => sleep(0.1).await,
                    _ => sleep(0.3).await,
                }
                assert!(poll_once(connecting.as_mut()).await.is_none());
                assert_eq!(descriptors(), before + 1);
                if n % 3 == 2 {
                    sleep(0.3).await;
                    assert!(poll_once(connecting.as_mut()).await.is_none());
                    assert_eq!(descriptors(), before + 2, "both are being tried");
                }
            }
            for n in 0..20 {
                let name = format!("name-{n}");
                let mut looking = std::pin::pin!(getaddrinfo(&name, 0, Hints::new()));
                assert!(poll_once(looking.as_mut()).await.is_none());
            }
            until(|| asyncio_executor::all_tasks().len() == tasks).await;
            // A lookup that has begun in a thread may hold a socket to a name server for a while.
            until(|| descriptors() == before).await;
        });
    }

    #[test]
    #[ignore = "run by `out_of_descriptors_a_server_goes_on_as_soon_as_a_client_of_it_is_gone`"]
    fn one_leaves() {
        // The clock never moves: it is not the second that ends the pause.
        run_on(Clock::manual(), async {
            let server = start_server(
                |mut reader, writer| async move {
                    writer.write("hello");
                    let _ = reader.read(1).await; // a reset, where the greeting was not read
                },
                "127.0.0.1",
                0,
            )
            .await
            .unwrap();
            let address = server.local_addrs()[0];
            let reports = Rc::new(Cell::new(0));
            let counter = reports.clone();
            let handle = asyncio_runtime::get_running_loop();
            handle.set_exception_handler(Some(Rc::new(move |_| counter.set(counter.get() + 1))));
            let first = TcpStream::connect(address).unwrap();
            until(|| server.connections() == 1).await;
            let mut files = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                files.push(file);
            }
            files.pop();
            let mut second = TcpStream::connect(address).unwrap();
            until(|| reports.get() == 1).await;
            for _ in 0..1000 {
                yield_now().await;
            }
            assert_eq!(server.connections(), 1, "the second waits");
            drop(first);
            let mut greeting = [0; 5];
            second.set_nonblocking(true).unwrap();
            until(|| second.read(&mut greeting).is_ok()).await;
            assert_eq!(greeting, *b"hello");
            assert_eq!(reports.get(), 1);
        });
    }

    #[test]
    #[ignore = "run by `out_of_descriptors_is_reported_once_and_the_server_recovers`"]
    fn out_of_descriptors() {
        // When there is nothing else to do, the second is over at once.
        run_virtually(async {
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
            sleep(1).await;
            let mut greeting = [0; 5];
            client.set_nonblocking(true).unwrap();
            until(|| client.read(&mut greeting).is_ok()).await;
            assert_eq!(greeting, *b"hello");
            assert_eq!(reports.get(), 1);
        });
    }
}
