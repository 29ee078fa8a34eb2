//! Messages are not bytes: a short one does not mean that there are no more.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::pin::pin;

use asyncio_reactor::{Interest, Reactor, Source};

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
