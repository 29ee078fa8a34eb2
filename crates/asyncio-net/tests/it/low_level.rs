//! Descriptors and sockets of the user's own: `add_reader` and its like, and the `sock_` functions.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;

use asyncio_executor::ContextVar;
use asyncio_net::*;

use crate::support::*;

fn counter() -> (Rc<Cell<usize>>, impl FnMut() + 'static) {
    let calls = Rc::new(Cell::new(0));
    let counter = calls.clone();
    (calls, move || counter.set(counter.get() + 1))
}

async fn turns(n: usize) {
    for _ in 0..n {
        // A busy loop looks at the kernel every 61 polls.
        for _ in 0..61 {
            yield_now().await;
        }
    }
}

fn nonblocking_pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

// S194
#[test]
fn a_reader_is_called_as_long_as_there_is_something_to_read() {
    run(async {
        let (mut ours, mut theirs) = nonblocking_pair();
        let (calls, count) = counter();
        add_reader(&ours, count).unwrap();
        turns(3).await;
        assert_eq!(calls.get(), 0);
        theirs.write_all(b"x").unwrap();
        until(|| calls.get() >= 5).await;
        ours.read_exact(&mut [0]).unwrap();
        let so_far = calls.get();
        turns(3).await;
        assert!(
            calls.get() <= so_far + 1,
            "at most the call that was queued"
        );
        drop(theirs);
        let so_far = calls.get();
        until(|| calls.get() > so_far + 3).await; // the end is something to read
        assert!(remove_reader(&ours));
        assert!(!remove_reader(&ours));
    });
}

// S194
#[test]
fn adding_again_replaces_even_a_callback_that_is_about_to_run() {
    run(async {
        let (ours, mut theirs) = nonblocking_pair();
        let ours = Rc::new(ours);
        let order = Rc::new(RefCell::new(Vec::new()));
        let (trace, same) = (order.clone(), ours.clone());
        add_reader(&*ours, move || {
            trace.borrow_mut().push("first");
            let trace = trace.clone();
            let fd = same.clone();
            add_reader(&*same, move || {
                trace.borrow_mut().push("second");
                remove_reader(&*fd);
            })
            .unwrap();
        })
        .unwrap();
        theirs.write_all(b"x").unwrap();
        until(|| order.borrow().len() == 2).await;
        turns(2).await;
        assert_eq!(*order.borrow(), ["first", "second"]);
        assert_eq!(
            Rc::strong_count(&ours),
            1,
            "what the callbacks owned is dropped"
        );
    });
}

// S194, S195
#[test]
fn a_callback_that_was_queued_and_is_then_removed_does_not_run() {
    run(async {
        let (ours, mut theirs) = nonblocking_pair();
        theirs.write_all(b"x").unwrap();
        let (ours, calls) = (Rc::new(ours), Rc::new(Cell::new(0)));
        // Both are reported by one event; whichever runs first takes the other away.
        for direction in [true, false] {
            let (fd, calls) = (ours.clone(), calls.clone());
            let first = move || {
                calls.set(calls.get() + 1);
                remove_reader(&*fd);
                remove_writer(&*fd);
            };
            if direction {
                add_reader(&*ours, first).unwrap();
            } else {
                add_writer(&*ours, first).unwrap();
            }
        }
        until(|| calls.get() > 0).await;
        turns(3).await;
        assert_eq!(calls.get(), 1);
    });
}

// S195
#[test]
fn reader_and_writer_of_one_descriptor_are_removed_one_by_one() {
    run(async {
        let (ours, mut theirs) = nonblocking_pair();
        theirs.write_all(b"x").unwrap();
        let (reads, reader) = counter();
        let (writes, writer) = counter();
        add_reader(&ours, reader).unwrap();
        add_writer(&ours, writer).unwrap();
        until(|| reads.get() > 1 && writes.get() > 1).await;
        assert!(remove_reader(&ours));
        let (read, written) = (reads.get(), writes.get());
        until(|| writes.get() > written + 2).await;
        assert_eq!(reads.get(), read);
        assert!(remove_writer(&ours));
    });
}

// S195
#[test]
fn a_descriptor_somebody_else_waits_for_is_refused() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut accepting = pin!(sock_accept(&listener));
        assert!(poll_once(accepting.as_mut()).await.is_none());
        // A socket the user waits for himself is his to watch, in the other direction too.
        add_writer(&listener, || ()).unwrap();
        assert!(remove_writer(&listener));

        let mut buffer = [0; 8];
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let source = asyncio_reactor::Source::new(ours).unwrap();
        let mut reading = pin!(source.recv(&mut buffer));
        assert!(poll_once(reading.as_mut()).await.is_none());
        let error = add_reader(source.get_ref(), || ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains("`add_reader`"), "{error}");
        let error = sock_recv(source.get_ref(), 10).await.unwrap_err();
        assert!(error.to_string().contains("`sock_recv`"), "{error}");
    });
}

// S244
#[test]
fn a_reader_runs_in_a_copy_of_the_context_of_its_registration() {
    static VARIABLE: ContextVar<u32> = ContextVar::new("variable");
    run(async {
        let (ours, mut theirs) = nonblocking_pair();
        let seen = Rc::new(RefCell::new(Vec::new()));
        let sees = seen.clone();
        VARIABLE.set(1);
        add_reader(&ours, move || {
            let value = VARIABLE.get().unwrap();
            sees.borrow_mut().push(value);
            VARIABLE.set(value + 1);
        })
        .unwrap();
        VARIABLE.set(100);
        theirs.write_all(b"x").unwrap();
        until(|| seen.borrow().len() >= 3).await;
        assert!(remove_reader(&ours));
        assert_eq!(seen.borrow()[..3], [1, 2, 3]);
        assert_eq!(VARIABLE.get(), Some(100));
    });
}

#[test]
fn a_panic_in_a_reader_is_reported_with_its_place_and_the_reader_stays() {
    run(async {
        let reports = Rc::new(RefCell::new(Vec::new()));
        let heard = reports.clone();
        let handle = asyncio_runtime::get_running_loop();
        handle.set_exception_handler(Some(Rc::new(move |context| {
            heard.borrow_mut().push(context.to_string());
        })));
        let (ours, mut theirs) = nonblocking_pair();
        theirs.write_all(b"x").unwrap();
        add_reader(&ours, || panic!("not again")).unwrap();
        until(|| reports.borrow().len() >= 2).await;
        assert!(remove_reader(&ours));
        let report = &reports.borrow()[0];
        assert!(
            report.contains("not again") && report.contains("low_level.rs"),
            "{report}"
        );
    });
}

#[test]
fn what_a_reader_owns_is_dropped_when_the_loop_closes() {
    let owned = Rc::new(());
    let (ours, _theirs) = nonblocking_pair();
    let inside = owned.clone();
    run(async move {
        let fd = ours.try_clone().unwrap();
        add_reader(&fd, move || drop(inside.clone())).unwrap();
        std::mem::forget(fd); // stays open for as long as the loop may look at it
    });
    assert_eq!(Rc::strong_count(&owned), 1);
}

#[test]
fn outside_a_loop_the_error_says_what_is_missing() {
    let (ours, _theirs) = nonblocking_pair();
    let error = add_reader(&ours, || ()).unwrap_err();
    assert!(
        error.to_string().contains("no running event loop"),
        "{error}"
    );
    assert!(!remove_reader(&ours));
}

// S196
#[test]
fn a_socket_is_tried_at_once_and_waited_for_only_if_it_would_block() {
    run(async {
        let (ours, mut theirs) = nonblocking_pair();
        let handle = asyncio_runtime::get_running_loop();
        let controls = || handle.stats().reactor.controls;
        theirs.write_all(b"hello").unwrap();
        let before = controls();
        assert_eq!(sock_recv(&ours, 3).await.unwrap(), b"hel");
        assert_eq!(sock_recv(&ours, 1_000_000).await.unwrap(), b"lo");
        assert_eq!(controls(), before);
        {
            let mut waiting = pin!(sock_recv(&ours, 10));
            assert!(poll_once(waiting.as_mut()).await.is_none());
            assert_eq!(controls(), before + 1);
            theirs.write_all(b"later").unwrap();
            assert_eq!(waiting.await.unwrap(), b"later");
        }
        assert_eq!(controls(), before + 2, "registered once, removed once");
        drop(theirs);
        assert!(sock_recv(&ours, 10).await.unwrap().is_empty());
        assert!(sock_recv(&ours, 0).await.unwrap().is_empty());
    });
}

// S196
#[test]
fn a_cancelled_receive_loses_nothing_and_leaves_no_registration() {
    run(async {
        let (ours, mut theirs) = nonblocking_pair();
        let handle = asyncio_runtime::get_running_loop();
        let ours = Rc::new(ours);
        let receiving = ours.clone();
        let before = handle.stats().reactor.controls;
        let task = spawn(async move { sock_recv(&*receiving, 10).await });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(handle.stats().reactor.controls, before + 2);
        assert!(!remove_reader(&*ours));
        theirs.write_all(b"kept").unwrap();
        let mut buffer = [0; 10];
        assert_eq!(sock_recv_into(&*ours, &mut buffer).await.unwrap(), 4);
    });
}

// S196
#[test]
fn in_debug_mode_a_blocking_socket_is_refused_with_advice() {
    run(async {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        asyncio_runtime::get_running_loop().set_debug(true);
        let error = sock_recv(&ours, 10).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("set_nonblocking"), "{error}");
        let error = sock_sendall(&ours, b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    });
}

// S196
#[test]
fn all_is_sent_while_another_task_receives_on_the_same_socket() {
    run(async {
        let (ours, theirs) = nonblocking_pair();
        let (ours, theirs) = (Rc::new(ours), Rc::new(theirs));
        let data = vec![7; 3_000_000];
        // Both directions of one socket are waited for at once.
        let receiver = ours.clone();
        let answer = spawn(async move { sock_recv(&*receiver, 10).await.unwrap() });
        let peer = theirs.clone();
        let reading = spawn(async move {
            let mut came = 0;
            while came < 3_000_000 {
                came += sock_recv(&*peer, 65536).await.unwrap().len();
            }
            sock_sendall(&*peer, b"all").await.unwrap();
        });
        sock_sendall(&*ours, &data).await.unwrap();
        assert_eq!(answer.await.unwrap(), b"all");
        reading.await.unwrap();
    });
}

// S197
#[test]
fn a_second_receive_takes_the_place_of_the_first() {
    run(async {
        let (ours, mut theirs) = nonblocking_pair();
        let (mut first, mut second) = (pin!(sock_recv(&ours, 10)), pin!(sock_recv(&ours, 10)));
        assert!(poll_once(first.as_mut()).await.is_none());
        assert!(poll_once(second.as_mut()).await.is_none());
        theirs.write_all(b"x").unwrap();
        assert_eq!(second.await.unwrap(), b"x");
        theirs.write_all(b"y").unwrap();
        turns(3).await;
        assert!(
            poll_once(first.as_mut()).await.is_none(),
            "it stays blocked"
        );
    });
}

fn unconnected() -> OwnedFd {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    rustix::io::ioctl_fionbio(&socket, true).unwrap();
    socket
}

// S197
#[test]
fn connect_and_accept_meet_and_the_accepted_socket_does_not_block() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepting = pin!(sock_accept(&listener));
        assert!(poll_once(accepting.as_mut()).await.is_none());
        let client = unconnected();
        sock_connect(&client, address).await.unwrap();
        let (accepted, peer) = accepting.await.unwrap();
        let (client, accepted) = (TcpStream::from(client), TcpStream::from(accepted));
        assert_eq!(peer.unwrap(), client.local_addr().unwrap());
        let error = (&accepted).read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn connecting_to_a_unix_server_waits_while_its_backlog_is_full() {
    run_virtually(async {
        let path =
            std::env::temp_dir().join(format!("asyncio-net-sock-connect-{}", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let _first = UnixStream::connect(&path).unwrap();
        let flags = rustix::net::SocketFlags::NONBLOCK;
        let family = rustix::net::AddressFamily::UNIX;
        let kind = rustix::net::SocketType::STREAM;
        let socket = rustix::net::socket_with(family, kind, flags, None).unwrap();
        let address = Address::unix(&path).unwrap();
        let connecting = spawn(async move {
            sock_connect(&socket, address).await?;
            io::Result::Ok(UnixStream::from(socket))
        });
        asyncio_timers::sleep(5).await;
        assert!(!connecting.done());
        listener.accept().unwrap();
        let second = connecting.await.unwrap().unwrap();
        listener.accept().unwrap();
        assert!(second.peer_addr().unwrap().as_pathname().is_some());
        std::fs::remove_file(&path).unwrap();
    });
}

// S197
#[test]
fn connect_gives_the_sockets_error() {
    run(async {
        let nobody = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let error = sock_connect(&unconnected(), nobody).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = sock_connect(&unconnected(), Address::unix("/nowhere").unwrap())
            .await
            .unwrap_err();
        assert_ne!(
            error.kind(),
            io::ErrorKind::NotFound,
            "a path is no address for this socket"
        );
    });
}

#[test]
fn datagrams_come_with_their_sender_and_what_does_not_fit_is_lost() {
    run(async {
        let (ours, theirs) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut receiving = pin!(sock_recvfrom(&ours, 4));
        assert!(poll_once(receiving.as_mut()).await.is_none());
        sock_sendto(&theirs, b"too long", ours.local_addr().unwrap())
            .await
            .unwrap();
        let from = Some(Address::from(theirs.local_addr().unwrap()));
        assert_eq!(receiving.await.unwrap(), (b"too ".to_vec(), from.clone()));
        sock_sendto(&theirs, b"", ours.local_addr().unwrap())
            .await
            .unwrap();
        let mut buffer = [0; 8];
        assert_eq!(
            sock_recvfrom_into(&ours, &mut buffer).await.unwrap(),
            (0, from)
        );
    });
}
