use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::rc::Rc;

use asyncio_net::{
    Server, ServerOptions, StreamReader, StreamWriter, open_connection, start_server,
};

use crate::support::*;

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> std::io::Result<()> {
    loop {
        let data = reader.read(65536).await?;
        if data.is_empty() {
            return Ok(());
        }
        writer.write(&data);
        writer.drain().await?;
    }
}

async fn echo_server() -> (Server, u16) {
    let server = start_server(echo, "127.0.0.1", 0).await.unwrap();
    let port = server.local_addrs()[0].port();
    (server, port)
}

async fn client(port: u16) -> (StreamReader, StreamWriter) {
    open_connection("127.0.0.1", port).await.unwrap()
}

/// Collects the texts of what goes to the exception handler.
fn reports() -> Rc<RefCell<Vec<String>>> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let collecting = reports.clone();
    asyncio_runtime::get_running_loop().set_exception_handler(Some(Rc::new(move |context| {
        collecting.borrow_mut().push(context.to_string())
    })));
    reports
}

#[test]
fn each_client_is_a_task_and_the_callback_may_keep_count() {
    run(async {
        let mut count = 0;
        let server = start_server(
            move |_reader, writer| {
                count += 1;
                writer.write(format!("client {count}"));
                async {}
            },
            "127.0.0.1",
            0,
        )
        .await
        .unwrap();
        let port = server.local_addrs()[0].port();
        for n in 1..=3 {
            let (mut reader, _writer) = client(port).await;
            assert_eq!(reader.read_to_end().await.unwrap(), format!("client {n}"));
        }
    });
}

#[test]
fn many_clients_at_once_are_served() {
    run(async {
        let (server, port) = echo_server().await;
        // More than are accepted in a row, and than wait in the backlog.
        let clients: Vec<_> = (0..300u32)
            .map(|n| {
                spawn(async move {
                    let (mut reader, writer) = client(port).await;
                    for round in 0..3 {
                        let line = format!("client {n} round {round}\n");
                        writer.write(&line);
                        assert_eq!(reader.readline().await.unwrap(), line);
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        until(|| server.connections() == 0).await;
    });
}

// S215
#[test]
fn an_error_of_a_callback_is_reported_and_closes_the_connection() {
    run(async {
        let reports = reports();
        let kept = Rc::new(RefCell::new(Vec::new()));
        let keeping = kept.clone();
        let server = start_server(
            move |reader, writer| {
                // Kept elsewhere, so that it is not dropping that closes.
                keeping.borrow_mut().push((reader, writer));
                async { Err::<(), _>("out of order") }
            },
            "127.0.0.1",
            0,
        )
        .await
        .unwrap();
        let (mut reader, _writer) = client(server.local_addrs()[0].port()).await;
        assert_eq!(reader.read_to_end().await.unwrap(), "");
        assert!(kept.borrow()[0].1.is_closing());
        assert_eq!(reports.borrow().len(), 1);
        assert!(reports.borrow()[0].contains("out of order"), "{reports:?}");
    });
}

// S215
#[test]
fn a_panic_of_a_callback_is_reported_and_hurts_nobody_else() {
    run(async {
        let reports = reports();
        let server = start_server(
            |mut reader: StreamReader, writer: StreamWriter| async move {
                match &reader.readline().await.unwrap()[..] {
                    b"panic\n" => panic!("as asked"),
                    line => writer.write(line),
                }
            },
            "127.0.0.1",
            0,
        )
        .await
        .unwrap();
        let port = server.local_addrs()[0].port();
        for request in ["panic\n", "hello\n"] {
            let (mut reader, writer) = client(port).await;
            writer.write(request);
            let answer = reader.read_to_end().await.unwrap();
            assert_eq!(answer, if request == "hello\n" { request } else { "" });
        }
        assert_eq!(reports.borrow().len(), 1);
        assert!(reports.borrow()[0].contains("as asked"), "{reports:?}");
    });
}

// S215
#[test]
fn a_callback_that_panics_before_its_future_does_not_end_the_server() {
    run(async {
        let reports = reports();
        let calls = Cell::new(0);
        let server = start_server(
            move |_reader, writer| {
                calls.set(calls.get() + 1);
                assert!(calls.get() > 1, "the first client is unlucky");
                async move { writer.write("hello") }
            },
            "127.0.0.1",
            0,
        )
        .await
        .unwrap();
        let port = server.local_addrs()[0].port();
        assert_eq!(client(port).await.0.read_to_end().await.unwrap(), "");
        assert_eq!(client(port).await.0.read_to_end().await.unwrap(), "hello");
        assert_eq!(reports.borrow().len(), 1);
    });
}

// S215
#[test]
fn cancelling_a_clients_task_closes_the_connection_and_reports_nothing() {
    run(async {
        let reports = reports();
        let (server, port) = echo_server().await;
        let (mut reader, writer) = client(port).await;
        writer.write("x");
        reader.readexactly(1).await.unwrap();
        asyncio_executor::all_tasks().last().unwrap().cancel();
        assert_eq!(reader.read_to_end().await.unwrap(), "");
        assert_eq!(server.connections(), 0);
        assert!(reports.borrow().is_empty());
    });
}

// S218
#[test]
fn an_empty_host_means_every_interface() {
    run(async {
        let server = start_server(echo, "", 0).await.unwrap();
        let addresses = server.local_addrs();
        assert!(
            !addresses.is_empty()
                && addresses
                    .iter()
                    .all(|address| address.ip().is_unspecified())
        );
        for address in &addresses {
            let host = if address.is_ipv4() {
                "127.0.0.1"
            } else {
                "::1"
            };
            let (mut reader, writer) = open_connection(host, address.port()).await.unwrap();
            writer.write("hello");
            assert_eq!(reader.readexactly(5).await.unwrap(), "hello");
        }
        if let [first, second] = addresses[..] {
            assert_ne!(first.port(), second.port(), "port 0 gives each its own");
        }
    });
}

// S218
#[test]
fn a_name_gets_a_socket_for_each_of_its_addresses() {
    run(async {
        let server = start_server(echo, "localhost", 0).await.unwrap();
        let mut addresses: Vec<SocketAddr> = server.local_addrs();
        assert!(addresses.iter().all(|address| address.ip().is_loopback()));
        addresses.dedup();
        assert_eq!(addresses, server.local_addrs());
    });
}

#[test]
fn a_port_in_use_says_which_and_what_to_do() {
    run(async {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let error = start_server(echo, "127.0.0.1", address.port())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(
            text.contains(&address.to_string()) && text.contains("choose another port"),
            "{text}"
        );
        // 192.0.2.0/24 is for documentation: nobody has it.
        let error = start_server(echo, "192.0.2.1", 0).await.unwrap_err();
        assert!(error.to_string().contains("no such address"), "{error}");
    });
}

#[test]
fn two_servers_share_a_port_only_if_both_say_so() {
    run(async {
        let sharing = ServerOptions::new().reuse_port(true);
        let first = sharing.start(echo, "127.0.0.1", 0).await.unwrap();
        let port = first.local_addrs()[0].port();
        let second = sharing.start(echo, "127.0.0.1", port).await.unwrap();
        assert_eq!(first.local_addrs(), second.local_addrs());
        assert!(start_server(echo, "127.0.0.1", port).await.is_err());
    });
}

#[test]
fn the_limit_reaches_the_readers() {
    run(async {
        let server = ServerOptions::new()
            .limit(10)
            .backlog(1)
            .nodelay(false)
            .start(
                |mut reader: StreamReader, writer| async move {
                    assert_eq!(reader.limit(), 10);
                    writer.write(reader.readline().await.unwrap_err().to_string());
                },
                "127.0.0.1",
                0,
            )
            .await
            .unwrap();
        let (mut reader, writer) = client(server.local_addrs()[0].port()).await;
        writer.write("more than ten bytes");
        let answer = reader.readexactly(20).await.unwrap();
        assert!(answer.starts_with(b"no separator within "), "{answer:?}");
    });
}

// S219
#[test]
fn close_stops_listening_and_leaves_connections() {
    run(async {
        let (server, port) = echo_server().await;
        let (mut reader, writer) = client(port).await;
        writer.write("a");
        reader.readexactly(1).await.unwrap();
        assert!(server.is_serving());
        server.close();
        server.close();
        assert!(!server.is_serving() && server.local_addrs().is_empty());
        assert_eq!(
            open_connection("127.0.0.1", port).await.unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
        writer.write("b");
        assert_eq!(reader.readexactly(1).await.unwrap(), "b");
        // The port is free at once.
        let again = start_server(echo, "127.0.0.1", port).await.unwrap();
        assert_eq!(again.local_addrs()[0].port(), port);
    });
}

#[test]
fn dropping_the_server_closes_it() {
    run(async {
        let (server, port) = echo_server().await;
        let (mut reader, writer) = client(port).await;
        writer.write("a");
        reader.readexactly(1).await.unwrap();
        drop(server);
        assert!(open_connection("127.0.0.1", port).await.is_err());
        writer.write("b");
        assert_eq!(reader.readexactly(1).await.unwrap(), "b");
    });
}

// S220
#[test]
fn wait_closed_waits_for_the_close_and_for_the_last_connection_in_either_order() {
    run(async {
        for close_first in [true, false] {
            let (server, port) = echo_server().await;
            let (mut reader, writer) = client(port).await;
            writer.write("a");
            reader.readexactly(1).await.unwrap();
            {
                let mut waiting = pin!(server.wait_closed());
                assert!(poll_once(waiting.as_mut()).await.is_none());
                if close_first {
                    server.close();
                    for _ in 0..50 {
                        yield_now().await;
                    }
                    assert!(poll_once(waiting.as_mut()).await.is_none());
                    writer.close();
                } else {
                    writer.close();
                    until(|| server.connections() == 0).await;
                    assert!(poll_once(waiting.as_mut()).await.is_none());
                    server.close();
                }
                waiting.await;
            }
            assert_eq!(
                asyncio_executor::all_tasks().len(),
                1,
                "the accepting task is gone as well"
            );
            server.wait_closed().await;
        }
    });
}

// S221
#[test]
fn close_clients_sends_what_was_written_and_abort_clients_does_not() {
    run(async {
        const MUCH: usize = 20_000_000;
        for abort in [false, true] {
            let server = start_server(
                |mut reader, writer| async move {
                    writer.write(vec![1; MUCH]);
                    reader.read_to_end().await.unwrap();
                },
                "127.0.0.1",
                0,
            )
            .await
            .unwrap();
            let mut peer = TcpStream::connect(server.local_addrs()[0]).unwrap();
            until(|| server.connections() == 1).await;
            for _ in 0..50 {
                yield_now().await;
            }
            if abort {
                server.abort_clients();
                assert_eq!(server.connections(), 0);
            } else {
                server.close_clients();
                assert_eq!(server.connections(), 1, "it is still sending");
            }
            assert!(server.is_serving());
            let received = asyncio_blocking::unblock(move || {
                let mut data = Vec::new();
                let _ = peer.read_to_end(&mut data);
                data.len()
            });
            let received = received.await.unwrap();
            assert_eq!(received == MUCH, !abort, "{received}");
            until(|| server.connections() == 0).await;
        }
    });
}

// S219, S222
#[test]
fn serve_forever_ends_with_close() {
    run(async {
        let (server, port) = echo_server().await;
        let server = Rc::new(server);
        let serving = spawn({
            let server = server.clone();
            async move { server.serve_forever().await }
        });
        let (mut reader, writer) = client(port).await;
        writer.write("a");
        reader.readexactly(1).await.unwrap();
        assert_eq!(
            server.serve_forever().await.unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "twice"
        );
        server.close();
        for _ in 0..50 {
            yield_now().await;
        }
        assert!(!serving.done(), "a connection is left");
        drop((reader, writer));
        serving.await.unwrap().unwrap();
        assert_eq!(
            server.serve_forever().await.unwrap_err().kind(),
            ErrorKind::InvalidInput,
            "closed"
        );
    });
}

// S222
#[test]
fn cancelling_serve_forever_closes_the_server_and_waits_for_it() {
    run(async {
        let (server, port) = echo_server().await;
        let serving = spawn(async move { server.serve_forever().await });
        let (mut reader, writer) = client(port).await;
        writer.write("a");
        reader.readexactly(1).await.unwrap();
        serving.cancel();
        yield_now().await;
        yield_now().await;
        assert!(open_connection("127.0.0.1", port).await.is_err());
        assert!(!serving.done(), "a connection is left");
        drop((reader, writer));
        assert!(serving.await.unwrap_err().is_cancelled());
    });
}

// S222
#[test]
fn dropping_serve_forever_closes_the_server() {
    run(async {
        let (server, port) = echo_server().await;
        {
            let mut serving = pin!(server.serve_forever());
            assert!(poll_once(serving.as_mut()).await.is_none());
        }
        assert!(!server.is_serving());
        assert!(open_connection("127.0.0.1", port).await.is_err());
    });
}

// S223
#[test]
fn connections_that_were_given_up_before_they_are_accepted_are_harmless() {
    run(async {
        let (server, port) = echo_server().await;
        let address = server.local_addrs()[0];
        for n in 0..50 {
            let peer = TcpStream::connect(address).unwrap();
            if n % 2 == 0 {
                reset(peer);
            }
        }
        let (mut reader, writer) = client(port).await;
        writer.write("hello");
        assert_eq!(reader.readexactly(5).await.unwrap(), "hello");
    });
}

#[test]
fn cancelling_the_accepting_task_closes_the_server() {
    run(async {
        let (server, _port) = echo_server().await;
        let tasks = asyncio_executor::all_tasks();
        tasks
            .iter()
            .find(|task| task.get_name() == "accept")
            .unwrap()
            .cancel();
        server.wait_closed().await;
        assert!(!server.is_serving());
    });
}

// S218
#[test]
fn a_list_of_hosts_gets_a_socket_for_each_distinct_address() {
    run(async {
        let hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.1"];
        let server = start_server(echo, hosts, 0).await.unwrap();
        let addresses = server.local_addrs();
        let hosts: Vec<_> = addresses
            .iter()
            .map(|address| address.ip().to_string())
            .collect();
        assert_eq!(hosts, ["127.0.0.1", "127.0.0.2"]);
        for address in addresses {
            let host = address.ip().to_string();
            let (mut reader, writer) = open_connection(&host, address.port()).await.unwrap();
            writer.write("hello");
            assert_eq!(reader.readexactly(5).await.unwrap(), "hello");
        }
        let error = start_server(echo, Vec::<String>::new(), 0)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        // One that cannot be had takes none.
        let taken = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = start_server(echo, ["127.0.0.1", "127.0.0.2"], port)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(TcpListener::bind(("127.0.0.1", port)).is_ok());
    });
}

// S218
#[test]
fn port_0_gives_each_of_several_sockets_another_port() {
    run(async {
        let server = start_server(echo, ["127.0.0.1", "127.0.0.2", "127.0.0.3"], 0)
            .await
            .unwrap();
        let mut ports: Vec<_> = server.local_addrs().iter().map(SocketAddr::port).collect();
        assert!(ports.iter().all(|port| *port != 0));
        ports.dedup();
        assert_eq!(ports.len(), 3);
    });
}

// S218
#[test]
fn a_server_told_to_wait_refuses_clients_until_it_is_started() {
    run(async {
        let options = ServerOptions::new().start_serving(false);
        let server = options.start(echo, "127.0.0.1", 0).await.unwrap();
        let port = server.local_addrs()[0].port();
        assert!(!server.is_serving());
        let error = open_connection("127.0.0.1", port).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // Once and again.
        for _ in 0..2 {
            server.start_serving().await.unwrap();
            assert!(server.is_serving());
        }
        assert_eq!(asyncio_executor::all_tasks().len(), 2, "one accepts");
        let (mut reader, writer) = client(port).await;
        writer.write("hello");
        assert_eq!(reader.readexactly(5).await.unwrap(), "hello");
        server.close();
        let error = server.start_serving().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);

        // Where the system does not reserve what is not listened on, somebody else may have been faster.
        let late = options.start(echo, "127.0.0.1", 0).await.unwrap();
        let port = late.local_addrs()[0].port();
        if let Ok(_faster) = start_server(echo, "127.0.0.1", port).await {
            let error = late.start_serving().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            let error = late.start_serving().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "it is closed");
        }

        // `serve_forever` starts it too, and one that never was is closed like any other.
        let server = Rc::new(options.start(echo, "127.0.0.1", 0).await.unwrap());
        let port = server.local_addrs()[0].port();
        let serving = spawn({
            let server = server.clone();
            async move { server.serve_forever().await }
        });
        until(|| server.is_serving()).await;
        drop(client(port).await);
        server.close();
        serving.await.unwrap().unwrap();
        let server = options.start(echo, "127.0.0.1", 0).await.unwrap();
        server.close();
        server.wait_closed().await;
    });
}

#[test]
fn sockets_can_be_looked_at_and_are_none_once_it_is_closed() {
    run(async {
        let options = ServerOptions::new().keep_alive(true).nodelay(false);
        let server = options.start(echo, "127.0.0.1", 0).await.unwrap();
        let socket = server.sockets().remove(0);
        assert_eq!(socket.local_addr(), Some(server.local_addrs()[0]));
        let handle = socket.try_clone().unwrap();
        assert!(rustix::net::sockopt::socket_keepalive(&handle).unwrap());
        assert!(!rustix::net::sockopt::tcp_nodelay(&handle).unwrap());
        drop(handle);
        server.close();
        assert!(server.sockets().is_empty());
        assert_eq!(
            socket.try_clone().unwrap_err().kind(),
            ErrorKind::NotConnected
        );
    });
}

#[test]
fn ipv6_only_is_the_rule_and_can_be_lifted() {
    if TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("skipped: this machine has no IPv6");
    }
    run(async {
        let only = start_server(echo, "::", 0).await.unwrap();
        let port = only.local_addrs()[0].port();
        assert!(open_connection("::1", port).await.is_ok());
        assert!(open_connection("127.0.0.1", port).await.is_err());

        for host in ["::", ""] {
            let options = ServerOptions::new().ipv6_only(false);
            let both = options.start(echo, host, 0).await.unwrap();
            assert_eq!(both.local_addrs().len(), 1);
            let port = both.local_addrs()[0].port();
            for host in ["::1", "127.0.0.1"] {
                let (mut reader, writer) = open_connection(host, port).await.unwrap();
                writer.write("hello");
                assert_eq!(reader.readexactly(5).await.unwrap(), "hello");
            }
        }
    });
}

#[test]
fn one_family_can_be_asked_for() {
    use asyncio_net::resolve::IpFamily;
    run(async {
        let options = ServerOptions::new().family(IpFamily::V4);
        for host in ["", "localhost"] {
            let server = options.start(echo, host, 0).await.unwrap();
            assert_eq!(server.local_addrs().len(), 1);
            assert!(server.local_addrs()[0].is_ipv4());
        }
    });
}

#[test]
fn a_listener_of_std_is_served_on() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Somebody is waiting already.
        let mut early = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let server = ServerOptions::new().start_on(echo, listener).await.unwrap();
        assert_eq!(server.local_addrs()[0].port(), port);
        send(&mut early, "early");
        let (mut reader, writer) = client(port).await;
        writer.write("late");
        assert_eq!(reader.readexactly(4).await.unwrap(), "late");
        let answer = asyncio_blocking::unblock(move || {
            let mut answer = [0; 5];
            early.read_exact(&mut answer).map(|()| answer)
        });
        assert_eq!(answer.await.unwrap().unwrap(), *b"early");

        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = ServerOptions::new()
            .start_on(echo, datagrams)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.to_string().contains("got a datagram socket"),
            "{error}"
        );
    });
}

#[test]
fn no_more_connections_than_allowed_are_open() {
    run(async {
        let options = ServerOptions::new().max_connections(2);
        let server = options.start(echo, "127.0.0.1", 0).await.unwrap();
        let port = server.local_addrs()[0].port();
        let mut clients = Vec::new();
        for _ in 0..4 {
            clients.push(client(port).await);
        }
        until(|| server.connections() == 2).await;
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(server.connections(), 2);
        // Who waits is served when somebody leaves.
        for (mut reader, writer) in clients {
            writer.write("x");
            assert_eq!(reader.readexactly(1).await.unwrap(), "x");
            writer.close();
        }
        until(|| server.connections() == 0).await;
    });
}

// S222
#[test]
fn leaving_a_scope_closes_the_server_and_waits_for_its_clients() {
    run(async {
        let (server, port) = echo_server().await;
        let leaving = Rc::new(Cell::new(false));
        let left = leaving.clone();
        let scope = spawn(async move {
            server
                .scope(async |server| {
                    assert!(server.is_serving());
                    until(|| left.get()).await;
                    "done"
                })
                .await
        });
        let (mut reader, writer) = client(port).await;
        writer.write("a");
        reader.readexactly(1).await.unwrap();
        leaving.set(true);
        for _ in 0..50 {
            yield_now().await;
        }
        assert!(!scope.done(), "a client is left");
        assert!(open_connection("127.0.0.1", port).await.is_err());
        writer.close();
        assert_eq!(scope.await.unwrap(), "done");
        assert_eq!(asyncio_executor::all_tasks().len(), 1);
    });
}

// S222
#[test]
fn cancelling_a_scope_closes_the_server_and_waits_for_its_clients() {
    run(async {
        let (server, port) = echo_server().await;
        let scope = spawn(server.scope(async |_server| std::future::pending::<()>().await));
        let (mut reader, writer) = client(port).await;
        writer.write("a");
        reader.readexactly(1).await.unwrap();
        scope.cancel();
        for _ in 0..50 {
            yield_now().await;
        }
        assert!(!scope.done() && open_connection("127.0.0.1", port).await.is_err());
        writer.close();
        assert!(scope.await.unwrap_err().is_cancelled());
    });
}

// S223
#[test]
fn a_crowd_that_comes_at_once_leaves_other_tasks_their_turns() {
    run(async {
        for (backlog, most) in [(1000, 32), (3, 4)] {
            let options = ServerOptions::new().backlog(backlog).start_serving(false);
            let server = options.start(echo, "127.0.0.1", 0).await.unwrap();
            let address = server.local_addrs()[0];
            // The kernel takes them in before anybody accepts.
            let listening = server.sockets()[0].try_clone().unwrap();
            rustix::net::listen(&listening, 1000).unwrap();
            let _clients: Vec<_> = (0..100)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            server.start_serving().await.unwrap();
            let (mut before, mut turns) = (server.connections(), 1);
            while server.connections() < 100 {
                yield_now().await;
                let came = server.connections() - before;
                assert!(came <= most, "{came} at once");
                before = server.connections();
                turns += 1;
            }
            assert!(turns >= 100 / most);
        }
    });
}

#[test]
fn loops_that_share_a_socket_serve_every_client_once() {
    use std::sync::mpsc::{Receiver, Sender, channel};
    /// Waits for a word from the test.
    async fn word(from_test: Receiver<()>) -> Receiver<()> {
        let job = asyncio_blocking::unblock(move || from_test.recv().map(|()| from_test));
        job.await.unwrap().unwrap()
    }
    /// Serves until the word comes, and lets its loop run on until it comes again.
    fn serve(listener: TcpListener, from_test: Receiver<()>, to_test: Sender<usize>) {
        run(async move {
            let served = Rc::new(Cell::new(0));
            let count = served.clone();
            let answer = move |mut reader: StreamReader, writer: StreamWriter| {
                count.set(count.get() + 1);
                async move { writer.write(reader.readline().await.unwrap()) }
            };
            let options = ServerOptions::new().exclusive(true);
            let server = options.start_on(answer, listener).await.unwrap();
            to_test.send(0).unwrap();
            let from_test = word(from_test).await;
            server.close();
            to_test.send(0).unwrap();
            word(from_test).await;
            to_test.send(served.get()).unwrap();
        });
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let servers: Vec<_> = (0..3)
        .map(|_| {
            let listener = listener.try_clone().unwrap();
            let (say, from_test) = channel();
            let (to_test, hear) = channel();
            let thread = std::thread::spawn(move || serve(listener, from_test, to_test));
            assert_eq!(hear.recv(), Ok(0));
            (say, hear, thread)
        })
        .collect();
    drop(listener);
    let talk = move |clients: usize| {
        run(async move {
            for n in 0..clients {
                let (mut reader, writer) = client(port).await;
                writer.write(format!("{n}\n"));
                assert_eq!(reader.readline().await.unwrap(), format!("{n}\n"));
            }
        });
    };
    talk(100);
    // One stops, and its loop goes on: what was registered there must not take clients from the others.
    let close = |server: usize| {
        servers[server].0.send(()).unwrap();
        assert_eq!(servers[server].1.recv(), Ok(0));
    };
    close(0);
    talk(100);
    close(1);
    talk(100);
    close(2);
    let served = servers.into_iter().map(|(say, hear, thread)| {
        say.send(()).unwrap();
        let served = hear.recv().unwrap();
        thread.join().unwrap();
        served
    });
    assert_eq!(served.sum::<usize>(), 300);
}

#[test]
fn a_socket_that_is_not_bound_is_refused_and_so_is_one_that_is_connected() {
    run(async {
        let family = rustix::net::AddressFamily::INET;
        let unbound = rustix::net::socket(family, rustix::net::SocketType::STREAM, None).unwrap();
        let greet = |_reader, _writer| async {};
        let refused = ServerOptions::new().start_on(greet, unbound).await;
        let error = refused.map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("not bound"), "{error}");

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let connected = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let refused = ServerOptions::new().start_on(greet, connected).await;
        assert_eq!(
            refused.map(drop).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    });
}
