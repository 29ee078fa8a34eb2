//! Connecting without blocking.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::Poll;

use asyncio_reactor::{Reactor, Source};
use rustix::net::{AddressFamily, SocketType};

use crate::support::{Task, look_around, wait_for_wakes};

fn tcp() -> Source<OwnedFd> {
    Source::new(rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap())
        .unwrap()
}

#[test]
fn a_connection_in_progress_is_waited_for() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = tcp();
    let address = listener.local_addr().unwrap();
    let task = Task::new();
    let mut connecting = pin!(socket.connect(address));
    match task.poll(connecting.as_mut()) {
        // Loopback may answer at once.
        Poll::Ready(result) => result.unwrap(),
        Poll::Pending => {
            wait_for_wakes(&reactor, &task, 1);
            assert!(matches!(task.poll(connecting), Poll::Ready(Ok(()))));
        }
    }
    assert_eq!(
        rustix::net::getpeername(&socket)
            .unwrap()
            .map(|a| SocketAddr::try_from(a).unwrap()),
        Some(address)
    );
    // And what follows is not confused by the events of the attempt.
    assert!(task.poll(pin!(socket.recv(&mut [0; 8]))).is_pending());
    assert_eq!(reactor.block_on(socket.send(b"x")).unwrap(), 1);
}

#[test]
fn a_refused_connection_is_the_sockets_own_error() {
    let reactor = Reactor::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = reactor.block_on(tcp().connect(address)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_socket_that_was_polled_before_it_connects_works_all_the_same() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = tcp();
    // An unconnected socket reports a hang-up.
    assert!(Task::new().poll(pin!(socket.readable())).is_pending());
    look_around(&reactor);
    reactor.block_on(async {
        socket
            .connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        socket.send(b"x").await.unwrap();
    });
    assert!(
        Task::new()
            .poll(pin!(socket.recv(&mut [0; 8])))
            .is_pending()
    );
}

#[test]
fn dropping_a_connect_leaves_an_attempt_that_can_be_waited_for_again() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let socket = tcp();
    if Task::new().poll(pin!(socket.connect(address))).is_pending() {
        reactor.block_on(socket.connect(address)).unwrap();
    }
    assert_eq!(reactor.block_on(socket.send(b"x")).unwrap(), 1);
}

#[test]
fn connecting_where_no_loop_runs_says_so() {
    // Nobody answers on a black-hole address, so this has to wait, or fails for lack of a route.
    let socket = tcp();
    let address = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9));
    if let Poll::Ready(Err(error)) = Task::new().poll(pin!(socket.connect(address)))
        && error.kind() == ErrorKind::NotConnected
    {
        assert!(error.to_string().contains("asyncio::run"), "{error}");
    }
}
