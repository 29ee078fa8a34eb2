use std::future::Future;
use std::io::ErrorKind;
use std::net::TcpListener;

use asyncio_net::{ConnectOptions, open_connection, start_server};

use crate::support::*;

#[test]
fn names_and_addresses_of_both_families_are_connected_to() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let (_reader, writer) = open_connection(host, port).await.unwrap();
            let (_peer, address) = listener.accept().unwrap();
            assert_eq!(writer.peer_addr().unwrap(), listener.local_addr().unwrap());
            assert_eq!(writer.local_addr().unwrap(), address);
        }
        let Ok(listener) = TcpListener::bind("[::1]:0") else {
            return eprintln!("skipped: this machine has no IPv6");
        };
        for host in ["::1", "[::1]"] {
            let (_reader, writer) = open_connection(host, listener.local_addr().unwrap().port())
                .await
                .unwrap();
            assert_eq!(writer.peer_addr().unwrap(), listener.local_addr().unwrap());
        }
    });
}

// S217
#[test]
fn a_refused_connection_names_host_port_and_address() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = open_connection("127.0.0.1", port).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(
            text.starts_with(&format!(
                "cannot connect to 127.0.0.1 port {port}: 127.0.0.1:{port}: "
            )),
            "{text}"
        );
        // As many reasons as addresses.
        let error = open_connection("localhost", port).await.unwrap_err();
        assert!(
            error.to_string().contains(&format!("127.0.0.1:{port}: ")),
            "{error}"
        );
    });
}

#[test]
fn a_name_that_does_not_resolve_says_what_to_check() {
    run(async {
        // Not a name at all, so that no name server is asked.
        let error = open_connection("no such host", 80).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = error.to_string();
        assert!(
            text.contains("\"no such host\"") && text.contains("check the spelling"),
            "{text}"
        );
        let error = open_connection("", 80).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = start_server(|_, _| async {}, "no such host", 0)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn the_local_address_can_be_chosen() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (_reader, writer) = ConnectOptions::new()
            .local_addr("127.0.0.2:0".parse().unwrap())
            .nodelay(false)
            .connect("127.0.0.1", port)
            .await
            .unwrap();
        assert_eq!(writer.local_addr().unwrap().ip().to_string(), "127.0.0.2");
        let other_family = ConnectOptions::new().local_addr("[::1]:0".parse().unwrap());
        let error = other_family.connect("127.0.0.1", port).await.unwrap_err();
        assert!(error.to_string().contains("other family"), "{error}");
    });
}

#[test]
#[should_panic(expected = "limit of a stream must be at least 1")]
fn a_limit_of_0_is_refused() {
    let _ = ConnectOptions::new().limit(0);
}

#[test]
#[should_panic(expected = "no running event loop")]
fn a_server_outside_of_a_loop_says_so() {
    let mut starting = std::pin::pin!(start_server(|_, _| async {}, "127.0.0.1", 0));
    let _ = starting
        .as_mut()
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
}

#[test]
fn a_connection_outside_of_a_loop_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut connecting = std::pin::pin!(open_connection("127.0.0.1", port));
    match connecting
        .as_mut()
        .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    {
        std::task::Poll::Ready(Err(error)) => assert!(
            error.to_string().contains("no running event loop"),
            "{error}"
        ),
        // On the loopback interface a connection may be there at once; then the first read says it.
        std::task::Poll::Ready(Ok((mut reader, _writer))) => {
            let mut reading = std::pin::pin!(reader.read(1));
            match reading
                .as_mut()
                .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
            {
                std::task::Poll::Ready(Err(error)) => {
                    assert!(error.to_string().contains("no running event loop"))
                }
                other => panic!("{other:?}"),
            }
        }
        other => panic!("{other:?}"),
    }
}
