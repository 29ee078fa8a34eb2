//! TLS with both ends ours: what works, and what is agreed on.

use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;

use asyncio_net::TlsOptions;
use futures_util::AsyncWriteExt;

use crate::support::*;
use crate::tls_support::*;

#[test]
fn both_ends_of_a_secured_connection_are_the_same_streams_as_before() {
    run(async {
        let (mut client, mut server) = secured(&Authority::new()).await;
        client.1.write("hello\n");
        assert_eq!(server.0.readline().await.unwrap(), "hello\n");
        server.1.writelines(["one ", "two ", "three\n", "rest"]);
        assert_eq!(
            client.0.readuntil("three\n").await.unwrap(),
            "one two three\n"
        );
        assert_eq!(client.0.readexactly(4).await.unwrap(), "rest");
        let info = client.1.tls().unwrap();
        assert_eq!((info.version(), info.is_resumed()), ("TLSv1.3", false));
        assert!(info.cipher().starts_with("TLS13_"), "{info:?}");
        assert_eq!(info.peer_certificates().len(), 1);
        assert_eq!(server.1.tls().unwrap().server_name(), Some("localhost"));
        assert!(server.1.tls().unwrap().peer_certificates().is_empty());
        assert!(!client.1.can_write_eof());
    });
}

// S216
#[test]
fn start_tls_sends_what_was_written_before_and_takes_what_came_early() {
    run(async {
        let authority = Authority::new();
        let (mut client, mut server) = both_ends().await;
        // The client says STARTTLS and goes on at once; the server has its hello in the buffer when it reads the line.
        client.1.write("STARTTLS\n");
        let handshake = spawn({
            let options = authority.client();
            async move {
                client.1.start_tls(&mut client.0, &options).await.unwrap();
                client
            }
        });
        for _ in 0..20 {
            yield_now().await;
        }
        assert_eq!(server.0.readline().await.unwrap(), "STARTTLS\n");
        let buffered = format!("{:?}", server.0);
        assert!(!buffered.contains("buffered: 0"), "{buffered}");
        server
            .1
            .start_tls(&mut server.0, &authority.server())
            .await
            .unwrap();
        let mut client = handshake.await.unwrap();
        server.1.write("secret");
        assert_eq!(client.0.readexactly(6).await.unwrap(), "secret");
    });
}

#[test]
fn every_byte_arrives_in_both_directions_at_once() {
    run(async {
        let (client, server) = secured(&Authority::new()).await;
        let data: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 % 251) as u8).collect();
        let data = Rc::new(data);
        let both = [client, server].map(|(mut reader, writer)| {
            let (sent, expected) = (data.clone(), data.clone());
            let writing = spawn(async move {
                for piece in sent.chunks(70_001) {
                    writer.write(piece);
                    assert!(writer.get_write_buffer_size() <= 64 * 1024 + 80_000);
                    writer.drain().await.unwrap();
                }
                writer
            });
            let reading = spawn(async move {
                assert!(reader.readexactly(expected.len()).await.unwrap() == expected[..]);
                reader
            });
            (writing, reading)
        });
        for (writing, reading) in both {
            let (_writer, _reader) = (writing.await.unwrap(), reading.await.unwrap());
        }
    });
}

#[test]
fn a_read_that_is_given_up_again_and_again_loses_nothing() {
    run(async {
        let (mut client, server) = secured(&Authority::new()).await;
        let sender = spawn(async move {
            for n in 0..500 {
                server.1.write(format!("line {n}\n"));
                server.1.drain().await.unwrap();
                yield_now().await;
            }
            server
        });
        for n in 0..500 {
            let line = in_bits(&mut client.0, async |reader| reader.readline().await).await;
            assert_eq!(line.unwrap(), format!("line {n}\n"));
        }
        sender.await.unwrap();
    });
}

#[test]
fn closing_says_goodbye_and_waits_for_the_answer_in_the_background() {
    run(async {
        let (client, mut server) = secured(&Authority::new()).await;
        client.1.write("the last words");
        client.1.close();
        assert!(client.1.is_closing());
        let mut closed = pin!(client.1.wait_closed());
        for _ in 0..50 {
            assert!(
                poll_once(closed.as_mut()).await.is_none(),
                "not answered yet"
            );
            yield_now().await;
        }
        assert_eq!(server.0.read_to_end().await.unwrap(), "the last words");
        server.1.close();
        // It has heard the goodbye already, so it need not wait.
        server.1.wait_closed().await.unwrap();
        closed.await.unwrap();
    });
}

#[test]
fn a_goodbye_that_is_never_answered_is_waited_for_no_longer_than_agreed() {
    virtually(async {
        let authority = Authority::new();
        let options = authority.client().shutdown_timeout(30);
        let (client, server) = secured_by(&options, &authority.server()).await;
        let before = asyncio_timers::Timers::current().now();
        client.1.close();
        let error = client.1.wait_closed().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("close_notify"), "{error}");
        let waited = asyncio_timers::Timers::current().now() - before;
        assert_eq!(waited.as_secs(), 30);
        drop(server);
    });
}

#[test]
fn an_abort_waits_for_nobody() {
    run(async {
        let (client, mut server) = secured(&Authority::new()).await;
        client.1.write("lost, perhaps");
        client.1.abort();
        client.1.wait_closed().await.unwrap();
        let _ = server.0.read_to_end().await;
        // Also while the goodbye is waited for.
        let (client, _server) = secured(&Authority::new()).await;
        client.1.close();
        yield_now().await;
        client.1.abort();
        client.1.wait_closed().await.unwrap();
    });
}

#[test]
fn the_end_of_writing_is_a_close_notify_and_the_other_direction_stays() {
    run(async {
        let (mut client, mut server) = secured(&Authority::new()).await;
        client.1.write("a request");
        client.1.write_eof();
        assert_eq!(server.0.read_to_end().await.unwrap(), "a request");
        server.1.write("an answer");
        server.1.close();
        assert_eq!(client.0.read_to_end().await.unwrap(), "an answer");
    });
}

#[test]
fn dropping_both_ends_sends_what_is_left_and_says_goodbye() {
    run(async {
        let authority = Authority::new();
        let strict = authority.server().require_close_notify();
        let (client, mut server) = secured_by(&authority.client(), &strict).await;
        client.1.write(vec![7; 3_000_000]);
        drop(client);
        assert_eq!(server.0.read_to_end().await.unwrap().len(), 3_000_000);
        drop(server);
        // Only this task is left, and the one that accepts.
        until(|| asyncio_executor::all_tasks().len() <= 2).await;
    });
}

#[test]
fn sessions_are_resumed_by_connections_that_share_their_options() {
    run(async {
        let authority = Authority::new();
        let (ours, theirs) = (authority.client(), authority.server());
        for round in 0..3 {
            let (mut client, server) = secured_by(&ours, &theirs).await;
            let resumed = client.1.tls().unwrap().is_resumed();
            assert_eq!(resumed, round > 0, "round {round}");
            assert_eq!(server.1.tls().unwrap().is_resumed(), round > 0);
            // The tickets come with the first data.
            server.1.write("x");
            client.0.readexactly(1).await.unwrap();
        }
        let (client, _server) = secured_by(&authority.client(), &theirs).await;
        assert!(
            !client.1.tls().unwrap().is_resumed(),
            "other options, other sessions"
        );
    });
}

#[test]
fn the_first_protocol_of_the_server_that_the_client_has_is_taken() {
    run(async {
        let authority = Authority::new();
        let (ours, theirs) = (authority.client(), authority.server());
        let theirs = theirs.alpn(["h2", "http/1.1"]);
        let (client, server) = secured_by(&ours.clone().alpn(["http/1.1", "h2"]), &theirs).await;
        assert_eq!(client.1.tls().unwrap().alpn_protocol(), Some(&b"h2"[..]));
        assert_eq!(server.1.tls().unwrap().alpn_protocol(), Some(&b"h2"[..]));
        let (client, _server) = secured_by(&ours, &theirs).await;
        assert_eq!(client.1.tls().unwrap().alpn_protocol(), None);

        let (client, server) = handshakes(&ours.alpn(["gopher"]), &theirs).await;
        for error in [client.unwrap_err(), server.unwrap_err()] {
            assert!(
                error.to_string().contains("no protocol in common"),
                "{error}"
            );
        }
    });
}

#[test]
fn clients_show_their_certificates_to_servers_that_ask() {
    run(async {
        let authority = Authority::new();
        let clients = Authority::new();
        let (chain, key) = clients.issue(&["somebody"]);
        let required = authority.server().client_roots_pem(clients.pem()).unwrap();
        let optional = authority
            .server()
            .optional_client_roots_pem(clients.pem())
            .unwrap();
        let known = authority.client().client_certificate(&chain, &key).unwrap();

        for theirs in [&required, &optional] {
            let (_client, server) = secured_by(&known, theirs).await;
            assert_eq!(server.1.tls().unwrap().peer_certificates().len(), 1);
        }
        let (_client, server) = secured_by(&authority.client(), &optional).await;
        assert!(server.1.tls().unwrap().peer_certificates().is_empty());

        let (client, server) = handshakes(&authority.client(), &required).await;
        let error = server.unwrap_err();
        assert!(
            error.to_string().contains("showed no certificate"),
            "{error}"
        );
        // In TLS 1.3 a client is through before the server has looked: it hears of it when it reads.
        let mut client = client.unwrap();
        let error = client.0.read(1).await.unwrap_err();
        assert!(
            error.to_string().contains("did not accept our certificate"),
            "{error}"
        );

        let (chain, key) = Authority::new().issue(&["a stranger"]);
        let stranger = authority.client().client_certificate(&chain, &key).unwrap();
        let (_client, server) = handshakes(&stranger, &required).await;
        let error = server.unwrap_err();
        assert!(
            error.to_string().contains("its issuer is not trusted"),
            "{error}"
        );
    });
}

#[test]
fn a_wrong_certificate_is_refused_by_name_and_reason() {
    run(async {
        let authority = Authority::new();
        let cases = [
            (
                TlsOptions::client().server_hostname("localhost"),
                authority.server(),
                [
                    "\"localhost\" was not accepted",
                    "its issuer is not trusted",
                    "roots_pem",
                ],
            ),
            (
                authority.client().server_hostname("other.example"),
                authority.server(),
                [
                    "\"other.example\" was not accepted",
                    "it is for DnsName(\"localhost\")",
                    "server_hostname",
                ],
            ),
            (
                authority.client(),
                authority.server_of(|parameters| {
                    parameters.not_after = rcgen::date_time_ymd(2020, 1, 1)
                }),
                ["\"localhost\" was not accepted", "it has expired", "renew"],
            ),
            (
                authority.client(),
                authority.server_of(|parameters| {
                    parameters.not_before = rcgen::date_time_ymd(2120, 1, 1)
                }),
                ["\"localhost\" was not accepted", "not valid yet", "clock"],
            ),
        ];
        for (ours, theirs, parts) in cases {
            let (client, server) = handshakes(&ours, &theirs).await;
            let error = client.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            for part in parts {
                assert!(
                    error.to_string().contains(part),
                    "{part:?} is not in: {error}"
                );
            }
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
            let inner: &asyncio_net::TlsError = inner.unwrap();
            assert!(inner.is_certificate_error() && inner.rustls_error().is_some());
            let error = server.unwrap_err();
            assert!(
                error.to_string().contains("did not accept our certificate"),
                "{error}"
            );
        }
        let anybody = TlsOptions::client()
            .server_hostname("whoever")
            .danger_accept_any_certificate();
        secured_by(&anybody, &authority.server()).await;
    });
}

#[test]
fn options_that_cannot_work_are_refused_when_they_are_made() {
    let authority = Authority::new();
    let (chain, key) = authority.issue(&["localhost"]);
    let (_, another) = authority.issue(&["localhost"]);
    for (result, part) in [
        (TlsOptions::server("nonsense", &key), "no certificate here"),
        (
            TlsOptions::server(&chain, "nonsense"),
            "no private key here",
        ),
        (TlsOptions::server(&chain, &another), "does not belong"),
        (
            TlsOptions::client().client_certificate(&chain, &another),
            "does not belong",
        ),
        (TlsOptions::client().roots_pem(""), "no certificate here"),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(part), "{error}");
    }
    let shown = format!("{:?}", TlsOptions::server(&chain, &key).unwrap());
    assert!(!shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn tls_is_started_once_on_two_directions_and_with_a_name() {
    run(async {
        let authority = Authority::new();
        let (mut client, mut server) = secured(&authority).await;
        for error in [
            client
                .1
                .start_tls(&mut client.0, &authority.client())
                .await
                .unwrap_err(),
            server
                .1
                .start_tls(&mut server.0, &authority.server())
                .await
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("already"), "{error}");
        }
        client.1.write("still fine");
        assert_eq!(server.0.readexactly(10).await.unwrap(), "still fine");

        let (mut client, _server) = both_ends().await;
        let nameless = TlsOptions::client().roots_pem(authority.pem()).unwrap();
        let error = client
            .1
            .start_tls(&mut client.0, &nameless)
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("TlsOptions::server_hostname"),
            "{error}"
        );
        let error = client
            .1
            .start_tls(&mut client.0, &nameless.server_hostname("no name at all"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        client.1.write_eof();
        let error = client
            .1
            .start_tls(&mut client.0, &authority.client())
            .await
            .unwrap_err();
        assert!(error.to_string().contains("both directions"), "{error}");
    });
}

#[test]
fn what_is_written_during_the_handshake_is_sent_after_it() {
    run(async {
        let authority = Authority::new();
        let ((mut reader, writer), mut server) = both_ends().await;
        let writer = Rc::new(writer);
        let handshake = spawn({
            let (writer, options) = (writer.clone(), authority.client());
            async move {
                writer.start_tls(&mut reader, &options).await.unwrap();
                reader
            }
        });
        for _ in 0..5 {
            yield_now().await;
        }
        writer.write("early ");
        writer.write(vec![b'!'; 100_000]);
        assert_eq!(writer.get_write_buffer_size(), 100_006);
        let mut drain = pin!(writer.drain());
        assert!(poll_once(drain.as_mut()).await.is_none());
        server
            .1
            .start_tls(&mut server.0, &authority.server())
            .await
            .unwrap();
        assert_eq!(server.0.readexactly(6).await.unwrap(), "early ");
        assert_eq!(server.0.readexactly(100_000).await.unwrap().len(), 100_000);
        drain.await.unwrap();
        handshake.await.unwrap();
    });
}

#[test]
fn as_futures_io_it_waits_and_ends_with_close_notify() {
    run(async {
        let authority = Authority::new();
        let strict = authority.server().require_close_notify();
        let (mut client, mut server) = secured_by(&authority.client(), &strict).await;
        let sending = spawn(async move {
            client.1.write_all(&vec![1; 2_000_000]).await.unwrap();
            assert!(client.1.get_write_buffer_size() < 200_000);
            client.1.flush().await.unwrap();
            assert_eq!(client.1.get_write_buffer_size(), 0);
            let slices = [
                std::io::IoSlice::new(b"the "),
                std::io::IoSlice::new(b"end"),
            ];
            assert_eq!(client.1.write_vectored(&slices).await.unwrap(), 7);
            AsyncWriteExt::close(&mut client.1).await.unwrap();
            client
        });
        let all = server.0.read_to_end().await.unwrap();
        assert!(all.len() == 2_000_007 && all.ends_with(b"the end"));
        sending.await.unwrap();
    });
}

#[test]
fn a_sender_that_never_stops_does_not_starve_other_tasks() {
    run(async {
        let (client, mut server) = secured(&Authority::new()).await;
        let sending = spawn(async move {
            loop {
                client.1.write(vec![0; 100_000]);
                if client.1.drain().await.is_err() {
                    return;
                }
            }
        });
        let reading = spawn(async move {
            let mut buffer = vec![0; 100_000];
            while server.0.read_into(&mut buffer).await.unwrap() > 0 {}
        });
        for _ in 0..500 {
            yield_now().await;
        }
        assert!(!reading.done());
        // Both go on for ever.
        assert!(!sending.done());
        sending.cancel();
        reading.cancel();
    });
}

#[test]
fn an_echo_costs_one_system_call_for_each_direction_as_without_tls() {
    run(async {
        let (mut client, mut server) = secured(&Authority::new()).await;
        let echo = spawn(async move {
            let mut buffer = [0; 1000];
            loop {
                let n = server.0.read_into(&mut buffer).await.unwrap();
                if n == 0 {
                    break;
                }
                server.1.write(&buffer[..n]);
            }
        });
        let stats = || asyncio_runtime::get_running_loop().stats().reactor;
        for round in 0..10 {
            let before = stats();
            client.1.write(format!("round {round}"));
            assert_eq!(
                client.0.readexactly(7).await.unwrap(),
                format!("round {round}")
            );
            let after = stats();
            if round > 1 {
                assert_eq!(after.writes - before.writes, 2, "round {round}");
                assert_eq!(after.reads - before.reads, 2, "round {round}");
            }
        }
        // What is written in one turn leaves together.
        let before = stats().writes;
        for n in 0..20 {
            client.1.write(format!("{n:02}"));
        }
        assert_eq!(client.0.readexactly(40).await.unwrap().len(), 40);
        assert!(stats().writes - before <= 4, "two of each side");
        client.1.close();
        echo.await.unwrap();
    });
}

#[test]
fn tls_that_is_given_up_while_it_drains_leaves_the_connection_as_it_was() {
    run(async {
        let ((mut reader, writer), mut server) = both_ends().await;
        let options = Authority::new().client();
        writer.write(vec![b'x'; 20_000_000]);
        assert!(
            poll_once(pin!(writer.start_tls(&mut reader, &options)))
                .await
                .is_none()
        );
        assert!(!writer.is_closing() && writer.tls().is_none());
        writer.write("in plain");
        let all = server.0.readexactly(20_000_008).await.unwrap();
        assert!(all.ends_with(b"xin plain"));
        server.1.write("so is this");
        assert_eq!(reader.readexactly(10).await.unwrap(), "so is this");
    });
}

#[test]
fn options_go_from_thread_to_thread() {
    fn may_go<T: Send + Sync + Clone>(_: &T) {}
    let authority = Authority::new();
    let (ours, theirs) = (authority.client(), authority.server());
    may_go(&ours);
    let serving = std::thread::spawn({
        let (ours, theirs) = (ours.clone(), theirs.clone());
        move || {
            run(async move {
                secured_by(&ours, &theirs)
                    .await
                    .0
                    .1
                    .tls()
                    .unwrap()
                    .is_resumed()
            })
        }
    });
    serving.join().unwrap();
    run(async move {
        secured_by(&ours, &theirs).await;
    });
}

#[test]
fn a_configuration_of_rustls_own_can_be_given() {
    use asyncio_net::rustls;
    run(async {
        let authority = Authority::new();
        let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let strange = TlsOptions::from(std::sync::Arc::new(config)).server_hostname("localhost");
        let (client, _) = handshakes(&strange, &authority.server()).await;
        assert!(client.unwrap_err().to_string().contains("not trusted"));
        let refused =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| strange.bundled_roots()));
        let text = *refused.unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains("ready-made"), "{text}");
    });
}

#[test]
#[should_panic = "the two ends of one connection"]
fn the_ends_of_two_connections_cannot_be_secured_together() {
    run(async {
        let (one, two) = both_ends().await;
        let mut stranger = two.0;
        let _ = one.1.start_tls(&mut stranger, &TlsOptions::client()).await;
    });
}

#[test]
fn the_end_of_the_run_waits_for_no_goodbye_and_complains_of_nothing() {
    let reports = run(async {
        let reports = crate::writing::reports();
        let authority = Authority::new();
        for n in 0..4 {
            let (client, mut server) = secured(&authority).await;
            spawn(async move { server.0.read_to_end().await.map(drop) }).detach();
            spawn(async move {
                let _server_waits_for_data = client.1.wait_closed().await;
                drop(client);
            })
            .detach();
            let (client, server) = secured(&authority).await;
            match n {
                0 => client.1.close(),
                1 => drop(client),
                2 => drop((client, server)),
                _ => {}
            }
        }
        yield_now().await;
        reports
    });
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

#[test]
fn a_protocol_name_that_cannot_be_said_is_refused_at_once() {
    for name in [Vec::new(), vec![b'x'; 256]] {
        let length = name.len();
        let made = std::panic::catch_unwind(|| TlsOptions::client().alpn([name]));
        let text = *made.err().unwrap().downcast::<String>().unwrap();
        assert!(text.contains("1 to 255 bytes"), "{text}");
        assert!(text.ends_with(&length.to_string()), "{text}");
    }
    let _ = TlsOptions::client().alpn([vec![b'x'; 255]]);
}
