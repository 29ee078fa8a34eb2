//! TLS with peers that do not speak it, stop, lie or go; the peer is a plain socket.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::pin;
use std::rc::Rc;

use crate::support::*;
use crate::tls_support::*;

/// Our end as a server that begins a handshake, with what is to be said of the result.
async fn serves(first: &[u8], half_close: bool) -> std::io::Error {
    let (mut reader, writer, mut peer) = with_peer().await;
    send(&mut peer, first);
    if half_close {
        peer.shutdown(Shutdown::Write).unwrap();
    }
    let options = Authority::new().server();
    let error = writer.start_tls(&mut reader, &options).await.unwrap_err();
    assert!(writer.is_closing(), "a failed handshake closes");
    // Whatever is read afterwards, it is not what the peer sent in plain.
    assert!(reader.read(100).await.is_ok_and(|data| data.is_empty()));
    error
}

#[test]
fn what_is_no_client_hello_is_refused_at_once() {
    run(async {
        for garbage in [
            &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
            &[0; 100_000],
            &[0xff; 6],
            // An alert of no known kind, and application data before any key.
            &[21, 3, 3, 0, 2, 99, 99],
            &[23, 3, 3, 0, 3, 1, 2, 3],
        ] {
            let error = serves(garbage, false).await;
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
            assert!(
                error.to_string().contains("the client 127.0.0.1"),
                "{error}"
            );
        }
        let error = serves(b"SSH-2.0-OpenSSH_9.6\r\n", false).await;
        assert!(
            error.to_string().contains("does it speak TLS on this port"),
            "{error}"
        );
    });
}

#[test]
fn a_client_hello_that_never_ends_is_given_up() {
    run(async {
        // A handshake message that claims 16 MiB, in records of 16 KiB.
        let mut endless = Vec::new();
        for n in 0..20 {
            endless.extend_from_slice(&[22, 3, 1, 0x40, 0]);
            let mut record = vec![0; 0x4000];
            if n == 0 {
                record[..4].copy_from_slice(&[1, 0xff, 0xff, 0xff]);
            }
            endless.extend_from_slice(&record);
        }
        let error = serves(&endless, false).await;
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        // A record longer than any may be.
        let error = serves(&[22, 3, 1, 0xff, 0xff, 1, 0, 0, 0], false).await;
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    });
}

#[test]
fn a_peer_that_goes_in_the_middle_of_the_handshake_is_named() {
    run(async {
        for first in [&b""[..], &[22], &[22, 3, 1, 0, 100, 1, 0, 0, 96]] {
            let error = serves(first, true).await;
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert!(
                error
                    .to_string()
                    .contains("in the middle of the TLS handshake"),
                "{error}"
            );
        }
        let (mut reader, writer, peer) = with_peer().await;
        let options = Authority::new().server();
        let mut handshake = pin!(writer.start_tls(&mut reader, &options));
        assert!(poll_once(handshake.as_mut()).await.is_none());
        reset(peer);
        assert_eq!(
            handshake.await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn a_peer_that_stops_in_the_middle_of_the_handshake_is_given_up_after_the_timeout() {
    virtually(async {
        for (options, seconds) in [
            (Authority::new().client(), 60),
            (Authority::new().client().handshake_timeout(2.5), 2),
            (Authority::new().server(), 60),
        ] {
            let (mut reader, writer, mut peer) = with_peer().await;
            send(&mut peer, [22, 3]);
            let before = asyncio_timers::Timers::current().now();
            let error = writer.start_tls(&mut reader, &options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(error.to_string().contains("handshake_timeout"), "{error}");
            let waited = asyncio_timers::Timers::current().now() - before;
            assert_eq!(waited.as_secs(), seconds);
            assert!(writer.is_closing());
            assert!(
                asyncio_timers::Timers::current().is_empty(),
                "no timer is left"
            );
        }
    });
}

#[test]
fn a_handshake_that_is_cancelled_closes_the_connection_and_leaves_nothing() {
    crate::resources::alone("tls_hostile::cancelled_handshakes", 200);
}

#[test]
#[ignore = "run by `a_handshake_that_is_cancelled_closes_the_connection_and_leaves_nothing`"]
fn cancelled_handshakes() {
    run(async {
        let before = descriptors();
        for polls in (0..6).cycle().take(60) {
            let ((mut reader, writer), mut server) = both_ends().await;
            let authority = Authority::new();
            let theirs = authority.server();
            let serving = spawn(async move {
                let result = server.1.start_tls(&mut server.0, &theirs).await;
                (result, server)
            });
            let options = authority.client();
            {
                let mut handshake = pin!(writer.start_tls(&mut reader, &options));
                for _ in 0..polls {
                    if poll_once(handshake.as_mut()).await.is_some() {
                        break;
                    }
                    yield_now().await;
                }
            }
            if writer.tls().is_none() {
                writer.close();
                writer.wait_closed().await.unwrap();
            }
            drop((reader, writer));
            let (_result, server) = serving.await.unwrap();
            server.1.abort();
        }
        until(|| asyncio_executor::all_tasks().len() == 1).await;
        assert_eq!(descriptors(), before);
        assert!(asyncio_timers::Timers::current().is_empty());
    });
}

fn descriptors() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

/// A connection secured on our side, and the wire under it in the hands of the test: what the peer's TLS sends goes through
/// `relay`, a man in the middle.
async fn through(relay: impl FnOnce(TcpStream, TcpStream) + Send + 'static) -> Wiretap {
    let authority = Rc::new(Authority::new());
    let (mut reader, writer, middle) = with_peer().await;
    let (mut far_reader, far_writer, far_middle) = with_peer().await;
    let theirs = authority.server();
    let server = spawn(async move {
        far_writer.start_tls(&mut far_reader, &theirs).await?;
        std::io::Result::Ok((far_reader, far_writer))
    });
    // From us to the server everything passes.
    let (mut up_from, mut up_to) = (middle.try_clone().unwrap(), far_middle.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut up_from, &mut up_to);
        let _ = up_to.shutdown(Shutdown::Write);
    });
    let ends = middle.try_clone().unwrap();
    std::thread::spawn(move || {
        relay(far_middle, middle);
        // There is a copy of it in the other thread.
        let _ = ends.shutdown(Shutdown::Both);
    });
    writer
        .start_tls(&mut reader, &authority.client())
        .await
        .unwrap();
    Wiretap {
        ours: (reader, writer),
        server: server.await.unwrap().unwrap(),
    }
}

struct Wiretap {
    ours: Ends,
    server: Ends,
}

/// Passes what comes on until the text of the `n`th record of application data, which goes through `change`.
fn records(
    mut from: TcpStream,
    mut to: TcpStream,
    mut change: impl FnMut(usize, Vec<u8>) -> Option<Vec<u8>>,
) {
    let mut n = 0;
    loop {
        let mut head = [0; 5];
        if from.read_exact(&mut head).is_err() {
            return;
        }
        let mut record = head.to_vec();
        record.resize(5 + usize::from(u16::from_be_bytes([head[3], head[4]])), 0);
        from.read_exact(&mut record[5..]).unwrap();
        // A short handshake record of TLS 1.3 looks like data as well; those that matter are marked by their length.
        if record.len() > 10_000 {
            n += 1;
            match change(n, record) {
                Some(changed) => to.write_all(&changed).unwrap(),
                None => return,
            }
        } else {
            to.write_all(&record).unwrap();
        }
    }
}

#[test]
fn an_end_without_close_notify_is_an_end_as_in_asyncio() {
    run(async {
        let tap =
            through(|from, to| records(from, to, |n, record| (n < 3).then_some(record))).await;
        let Wiretap { mut ours, server } = tap;
        server.1.write(vec![b'x'; 60_000]);
        let data = ours.0.read_to_end().await.unwrap();
        assert!(!data.is_empty() && data.len() < 60_000 && data.iter().all(|&byte| byte == b'x'));
        ours.1.abort();
        server.1.abort();
    });
}

#[test]
fn an_end_without_close_notify_is_an_error_where_that_is_asked_for() {
    run(async {
        let authority = Authority::new();
        let strict = authority.client().require_close_notify();
        let (mut client, server) = secured_by(&strict, &authority.server()).await;
        server.1.write("half a sent");
        server.1.drain().await.unwrap();
        assert_eq!(client.0.readexactly(11).await.unwrap(), "half a sent");
        server.1.abort();
        let error = client.0.read(10).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("may be truncated"), "{error}");
        // Every later read says the same (S212).
        assert_eq!(
            client.0.read(10).await.unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
    });
}

#[test]
fn a_record_that_was_tampered_with_is_an_error_and_no_data() {
    run(async {
        let tap = through(|from, to| {
            records(from, to, |n, mut record| {
                if n == 2 {
                    record[5000] ^= 1;
                }
                Some(record)
            });
        })
        .await;
        let Wiretap { mut ours, server } = tap;
        server.1.write(vec![b'x'; 60_000]);
        let mut received = 0;
        let error = loop {
            match ours.0.read(100_000).await {
                Ok(data) => received += data.len(),
                Err(error) => break error,
            }
        };
        assert!(received <= 0x4000, "{received}");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(error.to_string().contains("\"localhost\""), "{error}");
        assert!(ours.1.drain().await.is_err());
        ours.1.abort();
        server.1.abort();
    });
}

#[test]
fn a_record_that_comes_twice_or_is_left_out_is_an_error() {
    run(async {
        for twice in [true, false] {
            let tap = through(move |from, to| {
                records(from, to, move |n, record| {
                    Some(match (n, twice) {
                        (2, true) => [record.clone(), record].concat(),
                        (2, false) => Vec::new(),
                        _ => record,
                    })
                });
            })
            .await;
            let Wiretap { mut ours, server } = tap;
            server.1.write(vec![b'x'; 60_000]);
            server.1.write_eof();
            let error = ours.0.read_to_end().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            ours.1.abort();
            server.1.abort();
        }
    });
}

#[test]
fn a_reset_is_an_error_for_both_directions() {
    run(async {
        let (mut client, server) = secured(&Authority::new()).await;
        if let Some(socket) = server.1.socket() {
            rustix::net::sockopt::set_socket_linger(&socket, Some(std::time::Duration::ZERO))
                .unwrap();
        }
        server.1.abort();
        assert_eq!(
            client.0.read(1).await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert_eq!(
            client.1.drain().await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        client.1.close();
        assert!(client.1.wait_closed().await.is_err());
    });
}

// S210
#[test]
fn what_nobody_reads_stays_in_the_kernel() {
    run(async {
        let (mut client, server) = secured(&Authority::new()).await;
        let sending = spawn(async move {
            let mut sent = 0usize;
            loop {
                server.1.write(vec![0; 50_000]);
                sent += 50_000;
                if let Err(error) = server.1.drain().await {
                    return (sent, error.kind());
                }
            }
        });
        client.0.read(1).await.unwrap();
        for _ in 0..2000 {
            yield_now().await;
        }
        assert!(!sending.done());
        client.1.abort();
        drop(client);
        let (sent, kind) = sending.await.unwrap();
        assert!(sent < 30_000_000, "{sent}");
        assert!(matches!(
            kind,
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ));
    });
}

#[test]
fn a_peer_that_says_goodbye_and_does_not_read_is_cut_off_after_the_shutdown_timeout() {
    virtually(async {
        for goodbye_first in [true, false] {
            let (client, mut server) = secured(&Authority::new()).await;
            if goodbye_first {
                client.1.write_eof();
                assert_eq!(server.0.read(1).await.unwrap(), "");
            }
            server.1.write(vec![0; 20_000_000]);
            let before = asyncio_timers::Timers::current().now();
            server.1.close();
            if !goodbye_first {
                client.1.write_eof();
            }
            let closed = pin!(server.1.wait_closed());
            let too_long = pin!(asyncio_timers::sleep(100));
            let futures_util::future::Either::Left((closed, _)) =
                futures_util::future::select(closed, too_long).await
            else {
                panic!("it still waits for the peer to read");
            };
            let error = closed.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            assert!(error.to_string().contains("shutdown_timeout"), "{error}");
            let waited = asyncio_timers::Timers::current().now() - before;
            assert_eq!(waited.as_secs(), 30);
            client.1.abort();
        }
        until(|| asyncio_executor::all_tasks().len() == 1).await;
    });
}

#[test]
fn a_goodbye_that_is_slow_to_be_read_is_finished_in_time() {
    run(async {
        let (mut client, mut server) = secured(&Authority::new()).await;
        client.1.write_eof();
        assert_eq!(server.0.read(1).await.unwrap(), "");
        server.1.write(vec![0; 20_000_000]);
        server.1.close();
        assert_eq!(client.0.read_to_end().await.unwrap().len(), 20_000_000);
        server.1.wait_closed().await.unwrap();
        client.1.close();
        until(|| asyncio_executor::all_tasks().len() == 1).await;
        assert!(asyncio_timers::Timers::current().is_empty());
    });
}

#[test]
fn a_peer_whose_bytes_come_one_at_a_time_is_understood() {
    run(async {
        let tap = through(|mut from, mut to| {
            let mut byte = [0];
            while from.read(&mut byte).is_ok_and(|n| n > 0) {
                to.write_all(&byte).unwrap();
            }
        })
        .await;
        let Wiretap { mut ours, server } = tap;
        server.1.writelines(["one\n", "two\n"]);
        server.1.write_eof();
        assert_eq!(ours.0.readline().await.unwrap(), "one\n");
        assert_eq!(ours.0.read_to_end().await.unwrap(), "two\n");
        ours.1.abort();
        server.1.abort();
    });
}
