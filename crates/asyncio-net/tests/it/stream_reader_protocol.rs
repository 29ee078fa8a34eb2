//! Streams made of what a transport receives.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::*;

use crate::support::*;
use crate::tls_support::*;
use crate::transports::{MUCH, connected, reports};

type Connected = (
    StreamReader,
    SocketTransport,
    Rc<StreamReaderProtocol>,
    TcpStream,
);

async fn with_limit(limit: usize) -> Connected {
    let (protocol, reader) = StreamReaderProtocol::new(limit);
    let (transport, protocol, peer) = connected(protocol).await;
    (reader, transport, protocol, peer)
}

/// A server of one client, which is a blocking socket.
async fn served<P: Protocol + 'static>(
    factory: impl FnMut() -> P + 'static,
) -> (Server, TcpStream) {
    let server = create_server(factory, &ServerOptions::new(), "127.0.0.1", 0)
        .await
        .unwrap();
    let peer = TcpStream::connect(("127.0.0.1", server.local_addrs()[0].port())).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    (server, peer)
}

// S210
#[test]
fn the_transport_is_paused_above_twice_the_limit_and_resumed_when_no_more_than_the_limit_waits() {
    run(async {
        let (protocol, mut reader) = StreamReaderProtocol::new(100);
        let (transport, protocol, mut peer) = connected(protocol).await;
        protocol.data_received(&[1; 200]);
        assert!(transport.is_reading(), "200 bytes are not too many");
        protocol.data_received(&[2; 800]);
        assert!(!transport.is_reading());
        send(&mut peer, [3; 10]);
        // The reader takes up to twice its limit into its own buffer.
        assert_eq!(reader.readexactly(200).await.unwrap(), [1; 200][..]);
        assert!(!transport.is_reading(), "800 wait");
        assert_eq!(reader.readexactly(699).await.unwrap(), [2; 699][..]);
        assert!(!transport.is_reading(), "101 wait");
        assert_eq!(reader.readexactly(1).await.unwrap(), [2; 1][..]);
        assert!(transport.is_reading());
        assert_eq!(reader.readexactly(100).await.unwrap(), [2; 100][..]);
        assert_eq!(reader.readexactly(10).await.unwrap(), [3; 10][..]);
    });
}

// S210: that is what the limit is for.
#[test]
fn a_peer_that_sends_faster_than_is_read_is_held_back() {
    run(async {
        let (mut reader, transport, _protocol, mut peer) = with_limit(1000).await;
        let tasks = asyncio_executor::all_tasks().len();
        let sending = asyncio_blocking::unblock(move || {
            peer.write_all(&vec![7; MUCH]).unwrap();
            peer
        });
        let mut sending = pin!(sending);
        until(|| !transport.is_reading()).await;
        for _ in 0..1000 {
            yield_now().await;
        }
        assert!(!transport.is_reading());
        assert!(
            poll_once(sending.as_mut()).await.is_none(),
            "not all of it was taken"
        );
        assert_eq!(
            asyncio_executor::all_tasks().len(),
            tasks,
            "no task waits for that"
        );
        let mut left = MUCH;
        let mut pauses = 0;
        while left > 0 {
            pauses += usize::from(!transport.is_reading());
            let data = reader.read(10_000).await.unwrap();
            assert!(!data.is_empty() && data.iter().all(|&byte| byte == 7));
            left -= data.len();
        }
        assert!(pauses > 10, "{pauses}");
        drop(sending.await.unwrap());
        assert!(reader.read(1).await.unwrap().is_empty());
    });
}

#[test]
fn reads_that_need_more_than_the_limits_get_it() {
    run(async {
        let (mut reader, _transport, _protocol, mut peer) = with_limit(100).await;
        let sending = asyncio_blocking::unblock(move || {
            peer.write_all(&[7; 100_000]).unwrap();
            peer
        });
        assert_eq!(reader.readexactly(100_000).await.unwrap().len(), 100_000);
        drop(sending.await.unwrap());
    });
}

#[test]
fn a_cancelled_read_loses_nothing() {
    run(async {
        let (mut reader, _transport, _protocol, mut peer) = with_limit(100).await;
        let text: Vec<u8> = (0..50_000u32).map(|n| (n % 251) as u8).collect();
        let sent = text.clone();
        let sending = asyncio_blocking::unblock(move || peer.write_all(&sent).unwrap());
        let first = in_bits(&mut reader, async |reader| reader.readexactly(777).await).await;
        let rest = in_bits(&mut reader, async |reader| reader.readexactly(49_223).await).await;
        assert_eq!([&first.unwrap()[..], &rest.unwrap()].concat(), text);
        sending.await.unwrap();
        let end = in_bits(&mut reader, async |reader| reader.read(1).await).await;
        assert!(end.unwrap().is_empty());
    });
}

#[test]
fn a_reader_that_is_dropped_lets_the_transport_read_on_to_the_end() {
    run(async {
        let (reader, transport, protocol, mut peer) = with_limit(100).await;
        send(&mut peer, [1; 1000]);
        until(|| !transport.is_reading()).await;
        drop(reader);
        assert!(transport.is_reading());
        send(&mut peer, [2; 1000]);
        reset(peer);
        until(|| transport.get_protocol().is_none()).await;
        assert_eq!(
            protocol.drain().await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    });
}

// S202
#[test]
fn the_end_of_the_peer_ends_the_stream_and_leaves_writing_open() {
    run(async {
        let (mut reader, transport, protocol, mut peer) = with_limit(100).await;
        send(&mut peer, "last words");
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.read_to_end().await.unwrap(), "last words");
        assert!(!transport.is_closing());
        transport.write(b"not mine");
        protocol.drain().await.unwrap();
        transport.close();
        assert_eq!(all_of(peer).await, b"not mine");
    });
}

// S202
#[test]
fn the_end_of_the_peer_closes_a_transport_with_tls() {
    run(async {
        let authority = Authority::new();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let options = ConnectOptions::new();
        let (protocol, mut reader) = StreamReaderProtocol::new(100);
        let (ours, _) = connect_accepted_socket(|| protocol, &options, ours)
            .await
            .unwrap();
        let (protocol, _their_reader) = StreamReaderProtocol::new(100);
        let (theirs, _) = connect_accepted_socket(|| protocol, &options, theirs)
            .await
            .unwrap();
        let (transport, options) = (theirs.clone(), authority.server());
        let serving = spawn(async move { start_tls(&transport, &options).await });
        start_tls(&ours, &authority.client()).await.unwrap();
        serving.await.unwrap().unwrap();
        theirs.write(b"secret");
        theirs.close();
        assert_eq!(reader.read_to_end().await.unwrap(), "secret");
        assert!(ours.is_closing());
        until(|| ours.get_protocol().is_none()).await;
    });
}

// S212, S213: the stored error comes first.
#[test]
fn what_breaks_the_connection_is_raised_by_every_read_and_drain() {
    run(async {
        let (mut reader, transport, protocol, peer) = with_limit(100).await;
        reset(peer);
        for _ in 0..2 {
            let error = reader.read(1).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        until(|| transport.get_protocol().is_none()).await;
        let error = protocol.drain().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(error.raw_os_error().is_some(), "{error}");
    });
}

// S213
#[test]
fn several_who_drain_wait_while_writing_is_paused_and_are_all_released() {
    run(async {
        let (_reader, transport, protocol, peer) = with_limit(100).await;
        protocol.drain().await.unwrap();
        transport.write(&vec![7; MUCH]);
        let draining: Vec<_> = (0..3)
            .map(|_| {
                let protocol = protocol.clone();
                spawn(async move { protocol.drain().await })
            })
            .collect();
        {
            let mut given_up = pin!(protocol.drain());
            assert!(poll_once(given_up.as_mut()).await.is_none());
        }
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(draining.iter().all(|task| !task.done()));
        let receiving = spawn(all_of(peer));
        for task in draining {
            task.await.unwrap().unwrap();
        }
        assert!(transport.get_write_buffer_size() <= transport.get_write_buffer_limits().get_low());
        transport.close();
        assert_eq!(receiving.await.unwrap().len(), MUCH);
    });
}

// S213
#[test]
fn who_drains_hears_of_the_end() {
    run(async {
        let (mut reader, transport, protocol, _peer) = with_limit(100).await;
        transport.write(&vec![7; MUCH]);
        let mut waiting = pin!(protocol.drain());
        assert!(poll_once(waiting.as_mut()).await.is_none());
        transport.abort();
        assert_eq!(
            waiting.await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        let later = protocol.drain().await.unwrap_err();
        assert_eq!(later.kind(), ErrorKind::ConnectionReset);
        // It was ended on this side, which is no error for who reads.
        assert!(reader.read(1).await.unwrap().is_empty());
    });
}

// S213
#[test]
fn draining_a_transport_that_closes_lets_the_others_run_once() {
    run(async {
        let (_reader, transport, protocol, _peer) = with_limit(100).await;
        transport.close();
        let ran = Rc::new(Cell::new(false));
        let other = ran.clone();
        asyncio_executor::call_soon(move || other.set(true));
        // Whether the end is known by then is the loop's matter.
        let _ = protocol.drain().await;
        assert!(ran.get());
    });
}

// S215
#[test]
fn the_callbacks_future_becomes_a_task_with_a_reader_and_a_transport() {
    run(async {
        let made = Rc::new(Cell::new(0));
        let count = made.clone();
        let (_server, mut peer) = served(move || {
            let count = count.clone();
            StreamReaderProtocol::with_callback(100, move |mut reader, transport, protocol| {
                count.set(count.get() + 1);
                async move {
                    let line = reader.readline().await.unwrap();
                    transport.write(&line);
                    protocol.drain().await.unwrap();
                }
            })
        })
        .await;
        send(&mut peer, "hello\n");
        until(|| made.get() == 1).await;
        let reading = asyncio_blocking::unblock(move || {
            let mut line = [0; 6];
            peer.read_exact(&mut line).unwrap();
            (line, peer)
        });
        let (mut line, mut peer) = reading.await.unwrap();
        assert_eq!(&line, b"hello\n");
        // A callback that returns without an error has not closed the transport.
        for _ in 0..100 {
            yield_now().await;
        }
        peer.set_nonblocking(true).unwrap();
        assert_eq!(
            peer.read(&mut line).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    });
}

// S215
#[test]
fn the_error_of_a_callback_is_reported_and_the_transport_closed() {
    run(async {
        let reports = reports();
        let (_server, peer) = served(|| {
            StreamReaderProtocol::with_callback(100, |_reader, transport, _protocol| async move {
                transport.write(b"sorry");
                Err::<(), _>("no such file")
            })
        })
        .await;
        assert_eq!(all_of(peer).await, b"sorry");
        let reports = reports.borrow();
        assert!(
            reports.len() == 1 && reports[0].contains("no such file"),
            "{reports:?}"
        );
    });
}

// S215
#[test]
fn a_callback_that_panics_or_is_cancelled_closes_its_transport() {
    run(async {
        let reports = reports();
        for at_once in [true, false] {
            let (_server, peer) = served(move || {
                StreamReaderProtocol::with_callback(100, move |_reader, _transport, _protocol| {
                    assert!(!at_once, "at once");
                    async move {
                        yield_now().await;
                        assert!(at_once, "later");
                    }
                })
            })
            .await;
            assert_eq!(all_of(peer).await, b"");
        }
        assert_eq!(reports.borrow().len(), 2, "{:?}", reports.borrow());
        reports.borrow_mut().clear();

        let current = Rc::new(RefCell::new(None));
        let place = current.clone();
        let (_server, peer) = served(move || {
            let place = place.clone();
            StreamReaderProtocol::with_callback(
                100,
                move |mut reader, _transport, _protocol| async move {
                    place.replace(asyncio_executor::current_task());
                    reader.read(1).await.unwrap();
                },
            )
        })
        .await;
        until(|| current.borrow().is_some()).await;
        current.take().unwrap().cancel();
        assert_eq!(all_of(peer).await, b"");
        assert!(reports.borrow().is_empty(), "{:?}", reports.borrow());
    });
}

#[test]
fn a_protocol_that_is_never_connected_ends_its_stream_and_drops_its_callback() {
    run(async {
        let (protocol, mut reader) = StreamReaderProtocol::new(100);
        let other = protocol.clone();
        drop(protocol);
        assert!(poll_once(pin!(reader.read(1))).await.is_none());
        drop(other);
        assert!(reader.read(1).await.unwrap().is_empty());
        let owned = Rc::new(());
        let callback = owned.clone();
        let protocol = StreamReaderProtocol::with_callback(100, move |_, _, _| {
            let callback = callback.clone();
            async move { drop(callback) }
        });
        assert_eq!(Rc::strong_count(&owned), 2);
        drop(protocol);
        assert_eq!(Rc::strong_count(&owned), 1);
    });
}

#[test]
fn a_connection_that_is_closed_while_it_is_paused_leaves_nothing_behind() {
    let protocol = run(async {
        let (mut reader, transport, protocol, mut peer) = with_limit(100).await;
        send(&mut peer, [1; 1000]);
        until(|| !transport.is_reading()).await;
        transport.abort();
        until(|| transport.get_protocol().is_none()).await;
        assert_eq!(reader.readexactly(1000).await.unwrap(), [1; 1000][..]);
        assert!(reader.read(1).await.unwrap().is_empty());
        Rc::downgrade(&protocol)
    });
    assert!(protocol.upgrade().is_none());
    // The end of a run aborts a transport that is paused.
    let protocol = run(async {
        let (_reader, transport, protocol, mut peer) = with_limit(100).await;
        send(&mut peer, [1; 1000]);
        until(|| !transport.is_reading()).await;
        Rc::downgrade(&protocol)
    });
    assert!(protocol.upgrade().is_none());
}

#[test]
fn a_limit_of_nothing_is_refused() {
    let refused = catch_unwind(AssertUnwindSafe(|| StreamReaderProtocol::new(0)));
    assert!(refused.is_err());
}
