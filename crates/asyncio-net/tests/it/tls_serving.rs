//! TLS as an option of servers and of connecting.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;

use asyncio_net::{
    ConnectOptions, Server, ServerOptions, StreamReader, StreamWriter, TlsError, open_connection,
};

use crate::support::*;
use crate::tls_support::Authority;

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> std::io::Result<()> {
    assert!(
        writer.tls().is_some(),
        "the handshake comes before the callback"
    );
    let line = reader.readline().await?;
    writer.write(&line);
    Ok(())
}

async fn serve(options: ServerOptions) -> (Server, u16) {
    let server = options.start(echo, "localhost", 0).await.unwrap();
    let port = server.local_addrs()[0].port();
    (server, port)
}

/// A line there and back.
async fn answered(options: &ConnectOptions, host: &str, port: u16) -> std::io::Result<String> {
    let (mut reader, writer) = options.connect(host, port).await?;
    writer.write("hello\n");
    Ok(String::from_utf8_lossy(&reader.readline().await?).into_owned())
}

#[test]
fn a_server_and_a_client_speak_tls_when_told_so() {
    run(async {
        let authority = Authority::new();
        let (_server, port) = serve(ServerOptions::new().tls(authority.server())).await;
        let options = ConnectOptions::new().tls(authority.client());
        assert_eq!(
            answered(&options, "localhost", port).await.unwrap(),
            "hello\n"
        );
        // The name connected to is the name expected, unless there is another.
        let stranger = Authority::new();
        let (certificate, key) = stranger.issue(&["other.test"]);
        let tls = asyncio_net::TlsOptions::server(certificate, key).unwrap();
        let (_server, port) = serve(ServerOptions::new().tls(tls)).await;
        let nameless = asyncio_net::TlsOptions::client()
            .roots_pem(stranger.pem())
            .unwrap();
        let error = answered(
            &ConnectOptions::new().tls(nameless.clone()),
            "localhost",
            port,
        )
        .await
        .unwrap_err();
        let tls_error = error.get_ref().unwrap().downcast_ref::<TlsError>().unwrap();
        assert!(tls_error.is_certificate_error(), "{error}");
        let options = ConnectOptions::new().tls(nameless.server_hostname("other.test"));
        assert_eq!(
            answered(&options, "localhost", port).await.unwrap(),
            "hello\n"
        );
    });
}

#[test]
fn a_client_that_takes_its_time_for_the_handshake_keeps_nobody_waiting() {
    run(async {
        let authority = Authority::new();
        let (server, port) = serve(ServerOptions::new().tls(authority.server())).await;
        let silent: Vec<_> = (0..5)
            .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
            .collect();
        until(|| server.connections() == 5).await;
        let options = ConnectOptions::new().tls(authority.client());
        assert_eq!(
            answered(&options, "127.0.0.1", port).await.unwrap(),
            "hello\n"
        );
        until(|| server.connections() == 5).await;
        drop(silent);
        until(|| server.connections() == 0).await;
    });
}

#[test]
fn a_failed_handshake_ends_one_connection_and_is_reported_in_debug_mode_only() {
    for debug in [false, true] {
        run(async move {
            let handle = asyncio_runtime::get_running_loop();
            handle.set_debug(debug);
            let reports = Rc::new(RefCell::new(Vec::new()));
            let collecting = reports.clone();
            handle.set_exception_handler(Some(Rc::new(move |context| {
                collecting.borrow_mut().push(context.to_string());
            })));
            let authority = Authority::new();
            let (server, port) = serve(ServerOptions::new().tls(authority.server())).await;
            let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            until(|| server.connections() == 1).await;
            until(|| server.connections() == 0).await;
            let failed = |report: &&String| report.contains("TLS handshake with a client");
            let reported = reports.borrow().iter().filter(failed).count();
            assert_eq!(reported, usize::from(debug), "{reports:?}");
            let options = ConnectOptions::new().tls(authority.client());
            assert_eq!(
                answered(&options, "localhost", port).await.unwrap(),
                "hello\n"
            );
        });
    }
}

#[test]
fn no_more_handshakes_than_allowed_are_under_way() {
    run(async {
        let authority = Authority::new();
        let options = ServerOptions::new()
            .tls(authority.server())
            .max_handshakes(2);
        let (server, port) = serve(options).await;
        let mut silent: Vec<_> = (0..6)
            .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
            .collect();
        until(|| server.connections() == 2).await;
        for _ in 0..100 {
            yield_now().await;
        }
        assert_eq!(server.connections(), 2, "the others wait in the kernel");
        // Clients that are through with it do not count.
        silent.clear();
        let options = ConnectOptions::new().tls(authority.client());
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(options.connect("127.0.0.1", port).await.unwrap());
        }
        until(|| server.connections() == 4).await;
    });
}

#[test]
fn the_time_for_a_connection_includes_the_handshake() {
    run_virtually(async {
        let authority = Authority::new();
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let options = ConnectOptions::new().tls(authority.client()).timeout(4);
        let error = options.connect("127.0.0.1", port).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let text = error.to_string();
        assert!(text.contains("handshake was not done within 4s"), "{text}");
        let time = asyncio_runtime::get_running_loop().time();
        assert_eq!(time.as_secs_f64(), 4.0);
    });
}

#[test]
fn a_server_closes_clients_whose_handshake_takes_too_long() {
    run_virtually(async {
        let authority = Authority::new();
        let tls = authority.server().handshake_timeout(7);
        let (server, port) = serve(ServerOptions::new().tls(tls)).await;
        let _silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
        until(|| server.connections() == 1).await;
        asyncio_timers::sleep(8).await;
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn unix_sockets_speak_tls_with_a_name_given() {
    run(async {
        let authority = Authority::new();
        let path = std::env::temp_dir().join(format!("asyncio-tls-{}.sock", std::process::id()));
        let options = ServerOptions::new().tls(authority.server());
        let _server = options.start_unix(echo, &path).await.unwrap();
        let options = ConnectOptions::new().tls(authority.client());
        let (mut reader, writer) = options.connect_unix(&path).await.unwrap();
        writer.write("hello\n");
        assert_eq!(reader.readline().await.unwrap(), "hello\n");

        let nameless = asyncio_net::TlsOptions::client()
            .roots_pem(authority.pem())
            .unwrap();
        let options = ConnectOptions::new().tls(nameless);
        let error = options.connect_unix(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("server_hostname"), "{error}");
    });
}

#[test]
fn closing_the_server_does_not_disturb_a_handshake_and_close_clients_ends_it() {
    run(async {
        let authority = Authority::new();
        let (server, port) = serve(ServerOptions::new().tls(authority.server())).await;
        let (mut reader, _writer) = open_connection("127.0.0.1", port).await.unwrap();
        until(|| server.connections() == 1).await;
        for _ in 0..10 {
            yield_now().await;
        }
        server.close();
        assert_eq!(server.connections(), 1);
        server.close_clients();
        assert_eq!(reader.read_to_end().await.unwrap(), "");
        server.wait_closed().await;
    });
}

#[test]
fn dropping_a_client_in_its_handshake_closes_the_connection() {
    run(async {
        let authority = Authority::new();
        let called = Rc::new(Cell::new(false));
        let calling = called.clone();
        let server = ServerOptions::new()
            .tls(authority.server())
            .start(
                move |_reader, _writer| {
                    calling.set(true);
                    async {}
                },
                "127.0.0.1",
                0,
            )
            .await
            .unwrap();
        let port = server.local_addrs()[0].port();
        {
            let options = ConnectOptions::new().tls(authority.client());
            let mut connecting = std::pin::pin!(options.connect("127.0.0.1", port));
            assert!(poll_once(connecting.as_mut()).await.is_none());
        }
        until(|| server.connections() == 0).await;
        // Whether it was accepted before it was gone or not, nobody was called.
        for _ in 0..20 {
            yield_now().await;
        }
        assert!(server.connections() == 0 && !called.get());
    });
}
