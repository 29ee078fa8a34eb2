//! Listening sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::pin::pin;
use std::task::Poll;

use asyncio_reactor::{Reactor, Source};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Task, look_around, wait_for_wakes};

#[test]
fn an_accepted_connection_is_nonblocking_and_closed_on_exec() {
    let reactor = Reactor::new().unwrap();
    let listener = Source::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let peer = TcpStream::connect(listener.get_ref().local_addr().unwrap()).unwrap();
    let (connection, address) = reactor.block_on(listener.accept()).unwrap();
    assert_eq!(address, Some(peer.local_addr().unwrap()));
    assert!(
        rustix::fs::fcntl_getfl(&connection)
            .unwrap()
            .contains(rustix::fs::OFlags::NONBLOCK)
    );
    assert!(
        rustix::io::fcntl_getfd(&connection)
            .unwrap()
            .contains(rustix::io::FdFlags::CLOEXEC)
    );
}

#[test]
fn connections_that_arrive_together_are_accepted_one_after_the_other() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let listener = Source::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let task = Task::new();
    let mut first = pin!(listener.accept());
    assert!(task.poll(first.as_mut()).is_pending());
    let address = listener.get_ref().local_addr().unwrap();
    let _peers: Vec<_> = (0..10)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    wait_for_wakes(&reactor, &task, 1);
    assert!(matches!(task.poll(first), Poll::Ready(Ok(_))));
    for _ in 1..10 {
        reactor.block_on(listener.accept()).unwrap();
    }
    assert_eq!(
        listener.try_accept().unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn one_socket_may_be_accepted_from_by_several_reactors_and_left_to_the_others() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (first, second) = (Reactor::new().unwrap(), Reactor::new().unwrap());
    let source = |listener: &TcpListener| {
        let own = listener.try_clone().unwrap();
        Source::new(own).unwrap().exclusive()
    };
    let (ours, theirs) = (source(&listener), source(&listener));
    let (here, there) = (Task::new(), Task::new());
    {
        let mut accepting = pin!(ours.accept());
        let entered = first.enter();
        assert!(here.poll(accepting.as_mut()).is_pending());
        drop(entered);
        // The first leaves, and its reactor forgets the socket though others have it open.
    }
    ours.into_inner().unwrap();
    let _entered = second.enter();
    let mut accepting = pin!(theirs.accept());
    assert!(there.poll(accepting.as_mut()).is_pending());
    let _peer = TcpStream::connect(address).unwrap();
    wait_for_wakes(&second, &there, 1);
    assert!(there.poll(accepting).is_ready());
    assert_eq!(
        look_around(&first),
        0,
        "nothing is registered there any more"
    );
    assert_eq!(here.wakes(), 0);
}

#[test]
fn unix_peers_have_no_ip_address() {
    let directory = std::env::temp_dir().join(format!("asyncio-reactor-{}", std::process::id()));
    let _ = std::fs::remove_file(&directory);
    let listener = Source::new(UnixListener::bind(&directory).unwrap()).unwrap();
    let reactor = Reactor::new().unwrap();
    let client = Source::new(unconnected_unix()).unwrap();
    reactor.block_on(async {
        client
            .connect_unix(&listener.get_ref().local_addr().unwrap())
            .await
            .unwrap();
        let (connection, address) = listener.accept().await.unwrap();
        assert_eq!(address, None);
        let connection = Source::assume_nonblocking(connection);
        client.send(b"hello").await.unwrap();
        assert_eq!(connection.recv(&mut [0; 8]).await.unwrap(), 5);
    });
    std::fs::remove_file(&directory).unwrap();
}

fn unconnected_unix() -> OwnedFd {
    rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap()
}

#[test]
fn running_out_of_descriptors_is_an_error_and_loses_no_connection() {
    // The limit is the process's, so this runs in a process of its own: the test binary, asked for
    // this test only.
    const CHILD: &str = "ASYNCIO_REACTOR_EMFILE_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "accept::running_out_of_descriptors_is_an_error_and_loses_no_connection",
            ])
            .env(CHILD, "1")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let listener = Source::new(TcpListener::bind("127.0.0.1:0").unwrap()).unwrap();
    let mut peer = TcpStream::connect(listener.get_ref().local_addr().unwrap()).unwrap();
    let ample = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(0),
            maximum: ample.maximum,
        },
    )
    .unwrap();
    for _ in 0..3 {
        let error = reactor.block_on(listener.accept()).unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::MFILE.raw_os_error())
        );
    }
    setrlimit(Resource::Nofile, ample).unwrap();
    let (connection, _) = reactor.block_on(listener.accept()).unwrap();
    rustix::io::write(&connection, b"still there").unwrap();
    assert_eq!(peer.read(&mut [0; 16]).unwrap(), 11);
    peer.write_all(b"x").unwrap();
    look_around(&reactor);
}
