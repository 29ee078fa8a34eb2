//! Messages are not bytes: a short one does not mean that there are no more.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::pin::pin;

use asyncio_reactor::{Address, Datagram, DatagramBatch, Interest, Reactor, Source};

use crate::support::{Task, wait_for_wakes};

#[test]
fn several_short_datagrams_are_all_received() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let ours = Source::new(ours).unwrap();
    let task = Task::new();
    let mut buffer = [0; 64];
    assert!(task.poll(pin!(ours.recv(&mut buffer))).is_pending());
    for message in [&b"one"[..], b"three", b"", b"seven"] {
        theirs.send(message).unwrap();
    }
    wait_for_wakes(&reactor, &task, 1);
    // All came with one event; no other will follow.
    for length in [3, 5, 0, 5] {
        assert_eq!(reactor.block_on(ours.recv(&mut buffer)).unwrap(), length);
    }
    assert!(task.poll(pin!(ours.recv(&mut buffer))).is_pending());
}

#[test]
fn datagrams_carry_their_senders_address_both_ways() {
    let reactor = Reactor::new().unwrap();
    let (a, b) = (
        UdpSocket::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("[::1]:0"),
    );
    let Ok(b) = b else { return }; // no IPv6 here
    let sockets = [Source::new(a).unwrap(), Source::new(b).unwrap()];
    for socket in &sockets {
        let own = socket.get_ref().local_addr().unwrap();
        reactor.block_on(async {
            socket.send_to(b"to myself", own).await.unwrap();
            let mut buffer = [0; 32];
            assert_eq!(socket.recv_from(&mut buffer).await.unwrap(), (9, Some(own)));
        });
    }
}

#[test]
fn a_refused_datagram_is_reported_once_and_the_socket_lives_on() {
    let reactor = Reactor::new().unwrap();
    let ours = Source::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    let nobody = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    reactor.block_on(async {
        ours.connect(nobody).await.unwrap();
        ours.send(b"anybody?").await.unwrap();
        let error = ours.recv(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
        let revived = UdpSocket::bind(nobody).unwrap();
        revived
            .send_to(b"now", ours.get_ref().local_addr().unwrap())
            .unwrap();
        assert_eq!(ours.recv(&mut [0; 8]).await.unwrap(), 3);
    });
}

#[test]
fn operations_of_the_users_own_wait_like_the_built_in_ones() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let ours = Source::new(ours).unwrap();
    let task = Task::new();
    let mut buffer = [0; 8];
    let mut receiving = pin!(ours.io(Interest::Readable, |socket| socket.recv_from(&mut buffer)));
    assert!(task.poll(receiving.as_mut()).is_pending());
    theirs.send(b"hello").unwrap();
    wait_for_wakes(&reactor, &task, 1);
    assert!(task.poll(receiving).is_ready());
}

fn data(batch: &DatagramBatch) -> Vec<&[u8]> {
    batch.iter().map(|(data, _)| data).collect()
}

#[test]
fn a_datagram_that_does_not_fit_says_so() {
    let reactor = Reactor::new().unwrap();
    let ours = Source::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    let address = ours.get_ref().local_addr().unwrap();
    let to = Address::from(address);
    reactor.block_on(async {
        for text in [&b"four"[..], b"fives", b""] {
            ours.send_datagram(text, Some(&to)).await.unwrap();
        }
        let mut buffer = [0; 4];
        for (len, truncated) in [(4, false), (4, true), (0, false)] {
            let from = Some(to.clone());
            let expected = Datagram {
                len,
                truncated,
                from,
            };
            assert_eq!(ours.recv_datagram(&mut buffer).await.unwrap(), expected);
        }
    });
}

#[test]
fn a_batch_brings_every_datagram_with_its_sender_in_order() {
    let reactor = Reactor::new().unwrap();
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(ours) = UdpSocket::bind(local) else {
            continue; // no IPv6 here
        };
        let ours = Source::new(ours).unwrap();
        let senders: Vec<_> = (0..5).map(|_| UdpSocket::bind(local).unwrap()).collect();
        for (n, sender) in senders.iter().enumerate() {
            let text = [b'x'; 8];
            sender
                .send_to(&text[..n * 2], ours.get_ref().local_addr().unwrap())
                .unwrap();
        }
        // Room for three of six bytes: the rest stays for the next call.
        let mut batch = DatagramBatch::new(3, 6);
        let mut came = Vec::new();
        while came.len() < senders.len() {
            reactor.block_on(ours.recv_batch(&mut batch)).unwrap();
            came.extend(
                batch
                    .iter()
                    .map(|(data, datagram)| (data.len(), datagram.clone())),
            );
        }
        for (n, (sender, (len, datagram))) in senders.iter().zip(came).enumerate() {
            assert_eq!(len, (n * 2).min(6));
            assert_eq!(datagram.truncated, n * 2 > 6);
            assert_eq!(datagram.from, Some(sender.local_addr().unwrap().into()));
        }
    }
}

#[test]
fn a_batch_knows_named_abstract_and_unnamed_senders() {
    let reactor = Reactor::new().unwrap();
    let folder = std::env::temp_dir().join(format!("asyncio-reactor-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("batch.socket");
    let ours = Source::new(UnixDatagram::bind(&path).unwrap()).unwrap();
    let mut batch = DatagramBatch::new(4, 16);

    let unnamed = UnixDatagram::unbound().unwrap();
    unnamed.send_to(b"unnamed", &path).unwrap();
    ours.get_ref().send_to(b"myself", &path).unwrap();
    assert_eq!(reactor.block_on(ours.recv_batch(&mut batch)).unwrap(), 2);
    assert_eq!(data(&batch), [&b"unnamed"[..], b"myself"]);
    let senders: Vec<_> = batch
        .iter()
        .map(|(_, datagram)| datagram.from.clone())
        .collect();
    assert!(senders[0].as_ref().is_none_or(|from| from.path().is_none()));
    assert_eq!(senders[1], Some(Address::unix(&path).unwrap()));

    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;
        let name = format!("asyncio-reactor-{}", std::process::id());
        let name = SocketAddr::from_abstract_name(name).unwrap();
        let named = UnixDatagram::bind_addr(&name).unwrap();
        named.send_to(b"abstract", &path).unwrap();
        assert_eq!(reactor.block_on(ours.recv_batch(&mut batch)).unwrap(), 1);
        assert_eq!(batch.iter().next().unwrap().1.from, Some(name.into()));
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_batch_that_waited_receives_what_came() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let ours = Source::new(ours).unwrap();
    let mut batch = DatagramBatch::new(8, 8);
    let task = Task::new();
    {
        let mut receiving = pin!(ours.recv_batch(&mut batch));
        assert!(task.poll(receiving.as_mut()).is_pending());
        theirs.send(b"one").unwrap();
        theirs.send(b"two").unwrap();
        wait_for_wakes(&reactor, &task, 1);
        assert!(task.poll(receiving).is_ready());
    }
    assert_eq!(data(&batch), [b"one", b"two"]);
}

#[test]
fn a_batch_to_several_addresses_leaves_in_one_call_where_the_system_has_one() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let ours = Source::new(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    let theirs: Vec<_> = (0..3)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    let addresses: Vec<Address> = theirs
        .iter()
        .map(|socket| socket.local_addr().unwrap().into())
        .collect();
    let messages: Vec<_> = addresses
        .iter()
        .map(|address| (&b"hello"[..], Some(address)))
        .collect();
    let before = reactor.stats().writes;
    assert_eq!(reactor.block_on(ours.send_batch(&messages)).unwrap(), 3);
    assert_eq!(reactor.stats().writes - before, 1);
    for socket in &theirs {
        assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 5);
    }
    assert_eq!(reactor.block_on(ours.send_batch(&[])).unwrap(), 0);
}

#[test]
fn a_batch_that_finds_no_room_waits_and_loses_nothing() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let (ours, theirs) = (Source::new(ours).unwrap(), Source::new(theirs).unwrap());
    let texts: Vec<[u8; 2]> = (0..2000u16).map(u16::to_be_bytes).collect();
    let messages: Vec<_> = texts.iter().map(|text| (&text[..], None)).collect();
    let (mut sent, mut received) = (0, Vec::new());
    let mut batch = DatagramBatch::new(64, 8);
    let task = Task::new();
    while received.len() < texts.len() {
        let mut sending = pin!(ours.send_batch(&messages[sent..]));
        if let std::task::Poll::Ready(n) = task.poll(sending.as_mut()) {
            sent += n.unwrap();
        }
        reactor.block_on(theirs.recv_batch(&mut batch)).unwrap();
        received.extend(batch.iter().map(|(data, _)| data.to_vec()));
    }
    assert_eq!(received, texts);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_is_sent_from_any_place_and_its_end_is_zero() {
    use std::io::Read;
    use std::os::fd::AsFd;

    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = crate::support::unix_pair();
    let file = std::fs::File::open("Cargo.toml").unwrap();
    let all = std::fs::read("Cargo.toml").unwrap();
    let size = all.len() as u64;
    reactor.block_on(async {
        assert_eq!(ours.sendfile(file.as_fd(), size - 5, 100).await.unwrap(), 5);
        assert_eq!(ours.sendfile(file.as_fd(), size, 100).await.unwrap(), 0);
    });
    let mut came = [0; 5];
    theirs.read_exact(&mut came).unwrap();
    assert_eq!(came, all[all.len() - 5..]);
}

#[test]
fn a_batch_with_an_address_nobody_can_have_sends_those_before_it() {
    let reactor = Reactor::new().unwrap();
    let theirs = UnixDatagram::unbound().unwrap();
    let unnamed = Address::Unix(theirs.local_addr().unwrap());
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let ours = Source::new(ours).unwrap();
    let messages = [(&b"good"[..], None), (b"bad", Some(&unnamed))];
    assert_eq!(reactor.block_on(ours.send_batch(&messages)).unwrap(), 1);
    assert_eq!(theirs.recv(&mut [0; 8]).unwrap(), 4);
    let error = reactor
        .block_on(ours.send_batch(&messages[1..]))
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn receiving_never_blocks_even_where_the_mode_of_the_socket_was_left_to_others() {
    let ours = Source::assume_nonblocking(UdpSocket::bind("127.0.0.1:0").unwrap());
    let would_block = std::io::ErrorKind::WouldBlock;
    let mut buffer = [0; 8];
    assert_eq!(ours.try_recv(&mut buffer).unwrap_err().kind(), would_block);
    let error = ours.try_recv_buf(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), would_block);
    let error = ours.try_recv_from(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), would_block);
    let error = ours.try_recv_datagram(&mut buffer).unwrap_err();
    assert_eq!(error.kind(), would_block);
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let mut batch = DatagramBatch::new(2, 8);
    // The first operation of a source is tried, whatever is known.
    let receiving = pin!(ours.recv_batch(&mut batch));
    assert!(Task::new().poll(receiving).is_pending());
}
