//! Datagrams: sockets that are awaited, and endpoints that call a protocol.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;

use asyncio_net::*;

use crate::support::*;

/// A folder for the sockets of one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("asyncio-net-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn port_of(socket: &DatagramSocket) -> u16 {
    socket.local_addr().unwrap().ip().unwrap().port()
}

#[test]
fn datagrams_keep_their_bounds_and_tell_their_sender_and_what_was_cut_off() {
    run(async {
        let ours = DatagramSocket::bind("localhost", 0).await.unwrap();
        let theirs = DatagramSocket::bind("127.0.0.1", 0).await.unwrap();
        for text in [&b"one"[..], b"", b"four!"] {
            theirs
                .send_to(text, ours.local_addr().unwrap())
                .await
                .unwrap();
        }
        let mut buffer = [0; 4];
        for (len, truncated) in [(3, false), (0, false), (4, true)] {
            let datagram = ours.recv_from(&mut buffer).await.unwrap();
            assert_eq!((datagram.len, datagram.truncated), (len, truncated));
            assert_eq!(datagram.from, Some(theirs.local_addr().unwrap()));
        }
        let error = ours.try_recv_from(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    });
}

#[test]
fn a_connected_socket_hears_its_peer_only() {
    run(async {
        let peer = DatagramSocket::bind("127.0.0.1", 0).await.unwrap();
        let ours = DatagramSocket::connect("127.0.0.1", port_of(&peer))
            .await
            .unwrap();
        assert_eq!(ours.peer_addr().unwrap(), peer.local_addr().unwrap());
        let stranger = DatagramSocket::bind("127.0.0.1", 0).await.unwrap();
        stranger
            .send_to(b"buy", ours.local_addr().unwrap())
            .await
            .unwrap();
        ours.send(b"ping").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(peer.recv(&mut buffer).await.unwrap(), 4);
        peer.send_to(b"pong!", ours.local_addr().unwrap())
            .await
            .unwrap();
        assert_eq!(ours.recv(&mut buffer).await.unwrap(), 5);
        let error = stranger.send(b"to whom").await.unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::DESTADDRREQ.raw_os_error())
        );
    });
}

#[test]
fn a_refused_datagram_is_an_error_once_and_the_socket_goes_on() {
    run(async {
        let nobody = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let ours = DatagramSocket::connect("127.0.0.1", nobody.port())
            .await
            .unwrap();
        ours.send(b"anybody?").await.unwrap();
        let error = ours.recv(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let somebody = DatagramSocket::bind("127.0.0.1", nobody.port())
            .await
            .unwrap();
        ours.send(b"now?").await.unwrap();
        assert_eq!(somebody.recv(&mut [0; 8]).await.unwrap(), 4);
    });
}

#[test]
fn a_cancelled_receive_loses_no_datagram() {
    run(async {
        let (ours, theirs) = DatagramSocket::pair().unwrap();
        let ours = Rc::new(ours);
        let receiver = ours.clone();
        let task = spawn(async move { receiver.recv(&mut [0; 8]).await });
        yield_now().await;
        theirs.send(b"kept").await.unwrap();
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(ours.recv(&mut [0; 8]).await.unwrap(), 4);
    });
}

#[test]
fn batches_carry_many_datagrams_in_order_through_a_socket_that_is_often_full() {
    run(async {
        let (ours, theirs) = DatagramSocket::pair().unwrap();
        let sending = spawn(async move {
            let texts: Vec<String> = (0..5000).map(|n| n.to_string()).collect();
            let messages: Vec<(&[u8], Option<&Address>)> =
                texts.iter().map(|text| (text.as_bytes(), None)).collect();
            let mut sent = 0;
            while sent < messages.len() {
                sent += theirs.send_many(&messages[sent..]).await.unwrap();
            }
        });
        let mut batch = DatagramBatch::new(16, 64);
        let mut received = 0;
        while received < 5000 {
            let n = ours.recv_many(&mut batch).await.unwrap();
            assert_eq!((n, batch.len()), (batch.iter().count(), n));
            for (data, datagram) in batch.iter() {
                assert_eq!(data, received.to_string().as_bytes());
                assert!(!datagram.truncated);
                received += 1;
            }
        }
        sending.await.unwrap();
    });
}

#[test]
fn a_broadcast_needs_permission() {
    run(async {
        let everybody: Address = std::net::SocketAddr::from((Ipv4Addr::BROADCAST, 9)).into();
        let ours = DatagramSocket::bind("0.0.0.0", 0).await.unwrap();
        let error = ours.send_to(b"x", everybody.clone()).await.unwrap_err();
        // Where there is no network the system says that first.
        let refused = [
            io::ErrorKind::PermissionDenied,
            io::ErrorKind::NetworkUnreachable,
        ];
        assert!(refused.contains(&error.kind()), "{error}");
        let options = DatagramOptions::new()
            .local_addr("0.0.0.0", 0)
            .allow_broadcast(true);
        let allowed = options.open().await.unwrap();
        assert!(rustix::net::sockopt::socket_broadcast(&allowed).unwrap());
        allowed.set_broadcast(false).unwrap();
        assert!(!rustix::net::sockopt::socket_broadcast(&allowed).unwrap());
    });
}

#[test]
fn a_multicast_group_is_heard_from_joining_to_leaving() {
    run(async {
        let group = Ipv4Addr::new(239, 255, 77, 1);
        let ours = DatagramSocket::bind("0.0.0.0", 0).await.unwrap();
        ours.join_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        let again = ours
            .join_multicast_v4(group, Ipv4Addr::LOCALHOST)
            .unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AddrInUse);
        let sender = DatagramSocket::bind("127.0.0.1", 0).await.unwrap();
        rustix::net::sockopt::set_ip_multicast_if(&sender, &Ipv4Addr::LOCALHOST).unwrap();
        sender.set_multicast_loop_v4(true).unwrap();
        sender.set_multicast_ttl_v4(0).unwrap();
        let to = std::net::SocketAddr::from((group, port_of(&ours)));
        match sender.send_to(b"everybody", to).await {
            Ok(()) => assert_eq!(ours.recv(&mut [0; 16]).await.unwrap(), 9),
            Err(error) => println!("skipped: this machine has no multicast on loopback ({error})"),
        }
        ours.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        let error = ours
            .leave_multicast_v4(group, Ipv4Addr::LOCALHOST)
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn a_port_is_shared_by_those_who_all_say_so() {
    run(async {
        let shared = |port| {
            DatagramOptions::new()
                .local_addr("127.0.0.1", port)
                .reuse_port(true)
                .open()
        };
        let first = shared(0).await.unwrap();
        let port = port_of(&first);
        let second = shared(port).await.unwrap();
        assert_eq!(port_of(&second), port);
        let error = DatagramSocket::bind("127.0.0.1", port).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(
            error.to_string().contains(&format!("127.0.0.1:{port}")),
            "{error}"
        );
    });
}

#[test]
fn unix_sockets_are_bound_connected_or_neither() {
    run(async {
        let folder = Folder::new("datagrams-unix");
        let (path, other) = (folder.at("server"), folder.at("client"));
        let server = DatagramSocket::bind_unix(&path).unwrap();
        let mut buffer = [0; 16];

        let silent = DatagramSocket::connect_unix(&path).unwrap();
        silent.send(b"silent").await.unwrap();
        let datagram = server.recv_from(&mut buffer).await.unwrap();
        assert!(datagram.from.is_none_or(|from| from.path().is_none()));

        let options = DatagramOptions::new().local_path(&other).remote_path(&path);
        let client = options.open().await.unwrap();
        client.send(b"question").await.unwrap();
        let datagram = server.recv_from(&mut buffer).await.unwrap();
        assert_eq!(datagram.from.as_ref().unwrap().path(), Some(&*other));
        server
            .send_to(b"answer", datagram.from.unwrap())
            .await
            .unwrap();
        assert_eq!(client.recv(&mut buffer).await.unwrap(), 6);

        let free = DatagramSocket::unbound_unix().unwrap();
        free.send_to(b"free", Address::unix(&path).unwrap())
            .await
            .unwrap();
        assert_eq!(server.recv(&mut buffer).await.unwrap(), 4);
    });
}

#[test]
fn a_socket_that_was_left_is_replaced_and_any_other_file_is_not() {
    run(async {
        let folder = Folder::new("datagrams-left");
        let path = folder.at("left");
        drop(UnixDatagram::bind(&path).unwrap());
        assert!(path.exists());
        drop(DatagramSocket::bind_unix(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        let error = DatagramSocket::bind_unix(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("left"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    });
}

#[test]
fn options_that_contradict_each_other_are_refused_with_advice() {
    run(async {
        let refused = async |options: DatagramOptions, word: &str| {
            let error = options.open().await.unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        };
        refused(DatagramOptions::new(), "local_addr").await;
        let mixed = DatagramOptions::new()
            .local_addr("127.0.0.1", 0)
            .remote_path("/x");
        refused(mixed, "path").await;
        let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
        refused(
            DatagramOptions::new().sock(socket()).reuse_port(true),
            "sock",
        )
        .await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        refused(DatagramOptions::new().sock(listener), "datagram socket").await;
        refused(
            DatagramOptions::new().local_path("/x").reuse_port(true),
            "reuse_port",
        )
        .await;
        let families = DatagramOptions::new()
            .local_addr("127.0.0.1", 0)
            .remote_addr("::1", 9);
        refused(families, "goes with").await;
        let family = DatagramOptions::new()
            .sock(socket())
            .family(resolve::IpFamily::V6);
        refused(family, "sock").await;
        assert!(DatagramOptions::new().sock(socket()).open().await.is_ok());
    });
}

#[test]
fn options_that_are_refused_have_touched_no_file() {
    run(async {
        let path = std::env::temp_dir().join(format!("asyncio-net-refused-{}", std::process::id()));
        let mixed = || {
            DatagramOptions::new()
                .local_path(&path)
                .remote_addr("127.0.0.1", 9)
        };
        assert!(mixed().open().await.is_err());
        assert!(!path.exists());
        let theirs = UnixDatagram::bind(&path).unwrap();
        assert!(mixed().open().await.is_err());
        UnixDatagram::unbound()
            .unwrap()
            .send_to(b"still there", &path)
            .unwrap();
        drop(theirs);
        std::fs::remove_file(&path).unwrap();
    });
}

type Behaviour = Box<dyn Fn(&Recorder)>;

/// Writes down what it is told, and does in each method what the test says.
#[derive(Default)]
pub(crate) struct Recorder {
    events: RefCell<Vec<String>>,
    senders: RefCell<Vec<Option<Address>>>,
    transport: OnceCell<DatagramTransport>,
    behaviour: RefCell<HashMap<&'static str, Behaviour>>,
    pub(crate) lost: Cell<bool>,
}

impl Recorder {
    fn when(self, method: &'static str, behaviour: impl Fn(&Recorder) + 'static) -> Recorder {
        self.behaviour
            .borrow_mut()
            .insert(method, Box::new(behaviour));
        self
    }

    fn transport(&self) -> &DatagramTransport {
        self.transport.get().expect("the endpoint was made")
    }

    fn events(&self) -> Vec<String> {
        self.events.borrow().clone()
    }

    fn note(&self, method: &'static str, more: &str) {
        self.events.borrow_mut().push(format!("{method}{more}"));
        if let Some(behave) = self.behaviour.borrow().get(method) {
            behave(self);
        }
    }
}

impl BaseProtocol<DatagramTransport> for Recorder {
    fn connection_made(&self, transport: &DatagramTransport) {
        assert!(self.transport.set(transport.clone()).is_ok());
        self.note("made", "");
    }

    fn connection_lost(&self, error: Option<io::Error>) {
        assert!(!self.lost.replace(true) && error.is_none());
        self.note("lost", "");
    }

    fn pause_writing(&self) {
        self.note("pause", "");
    }

    fn resume_writing(&self) {
        self.note("resume", "");
    }
}

impl DatagramProtocol for Recorder {
    fn datagram_received(&self, data: &[u8], from: Option<&Address>) {
        self.senders.borrow_mut().push(from.cloned());
        self.note("data ", std::str::from_utf8(data).unwrap());
    }

    fn error_received(&self, error: io::Error) {
        self.note("error ", &format!("{:?}", error.kind()));
    }
}

pub(crate) async fn endpoint(
    recorder: Recorder,
    options: DatagramOptions,
) -> (DatagramTransport, Rc<Recorder>) {
    create_datagram_endpoint(|| recorder, options)
        .await
        .unwrap()
}

/// An endpoint on one end of a Unix pair, whose other end is full after a few datagrams.
async fn on_a_pair(recorder: Recorder) -> (DatagramTransport, Rc<Recorder>, DatagramSocket) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    let (transport, protocol) = endpoint(recorder, DatagramOptions::new().sock(ours)).await;
    (
        transport,
        protocol,
        DatagramSocket::from_fd(theirs).unwrap(),
    )
}

fn reports() -> Rc<RefCell<Vec<String>>> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let heard = reports.clone();
    asyncio_runtime::get_running_loop().set_exception_handler(Some(Rc::new(move |context| {
        heard.borrow_mut().push(context.to_string());
    })));
    reports
}

// S200, S201
#[test]
fn an_endpoint_calls_its_protocol_in_order() {
    run(async {
        let local = || DatagramOptions::new().local_addr("127.0.0.1", 0);
        let (transport, protocol) = endpoint(Recorder::default(), local()).await;
        assert_eq!(protocol.events(), ["made"]);
        let peer = DatagramSocket::bind("127.0.0.1", 0).await.unwrap();
        let address = transport.extra().sockname.unwrap();
        peer.send_to(b"one", address.clone()).await.unwrap();
        peer.send_to(b"", address).await.unwrap();
        until(|| protocol.events().len() == 3).await;
        let from = protocol.senders.borrow()[0].clone();
        assert_eq!(from, Some(peer.local_addr().unwrap()));
        transport.sendto(b"", from.as_ref());
        assert_eq!(
            peer.recv(&mut [0; 8]).await.unwrap(),
            0,
            "an empty datagram is one"
        );
        transport.close();
        transport.close();
        assert!(transport.is_closing() && !protocol.lost.get());
        until(|| protocol.lost.get()).await;
        assert_eq!(protocol.events(), ["made", "data one", "data ", "lost"]);
        assert!(transport.get_protocol().is_none());
    });
}

#[test]
fn an_error_is_told_and_the_endpoint_stays() {
    run(async {
        let nobody = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let options = DatagramOptions::new().remote_addr("127.0.0.1", nobody.port());
        let (transport, protocol) = endpoint(Recorder::default(), options).await;
        transport.sendto(b"anybody?", None);
        until(|| protocol.events().len() == 2).await;
        transport.sendto(vec![0; 100_000], None); // more than a datagram can be
        assert_eq!(protocol.events()[1], "error ConnectionRefused");
        assert!(protocol.events()[2].starts_with("error "));
        let somebody = DatagramSocket::bind("127.0.0.1", nobody.port())
            .await
            .unwrap();
        transport.sendto(b"now?", Some(&nobody.into()));
        assert_eq!(somebody.recv(&mut [0; 8]).await.unwrap(), 4);
        assert!(!transport.is_closing());
    });
}

#[test]
fn a_connected_endpoint_sends_to_its_peer_only() {
    run(async {
        let options = DatagramOptions::new().remote_addr("127.0.0.1", 9);
        let (transport, _protocol) = endpoint(Recorder::default(), options).await;
        let other = std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 10)).into();
        let sending = AssertUnwindSafe(|| transport.sendto(b"x", Some(&other)));
        let panic = catch_unwind(sending).unwrap_err();
        assert!(
            panic
                .downcast_ref::<String>()
                .unwrap()
                .contains("127.0.0.1:9")
        );
    });
}

// S203
#[test]
fn what_finds_no_room_is_kept_in_order_with_flow_control() {
    run(async {
        let (transport, protocol, peer) = on_a_pair(Recorder::default()).await;
        transport.set_write_buffer_limits(WriteLimits::new(1000, 200));
        let mut sent = 0;
        while protocol.events().len() == 1 {
            transport.sendto(format!("{sent:0100}"), None);
            sent += 1;
        }
        assert_eq!(
            protocol.events(),
            ["made", "pause"],
            "told before `sendto` returns"
        );
        let kept = transport.get_write_buffer_size();
        assert_eq!(
            kept,
            10 * 108,
            "the first size above the mark; each counts 8 more than its bytes"
        );
        transport.sendto("x", None);
        let mut buffer = [0; 200];
        for n in 0..sent {
            let len = peer.recv(&mut buffer).await.unwrap();
            assert_eq!(buffer[..len], *format!("{n:0100}").as_bytes());
        }
        assert_eq!(peer.recv(&mut buffer).await.unwrap(), 1);
        until(|| transport.get_write_buffer_size() == 0).await;
        assert_eq!(protocol.events(), ["made", "pause", "resume"]);
    });
}

// S203
#[test]
fn even_empty_datagrams_that_are_kept_count() {
    run(async {
        let (transport, protocol, _peer) = on_a_pair(Recorder::default()).await;
        transport.set_write_buffer_limits(WriteLimits::high(800));
        for _ in 0..100_000 {
            if protocol.events().len() > 1 {
                break;
            }
            transport.sendto(b"", None);
        }
        assert_eq!(protocol.events(), ["made", "pause"]);
        assert_eq!(transport.get_write_buffer_size(), 808);
    });
}

// S201
#[test]
fn close_sends_what_is_kept_and_abort_drops_it() {
    run(async {
        for abort in [false, true] {
            let (transport, protocol, peer) = on_a_pair(Recorder::default()).await;
            let mut sent = 0;
            while transport.get_write_buffer_size() < 10_000 {
                transport.sendto([1; 100], None);
                sent += 100;
            }
            match abort {
                true => transport.abort(),
                false => transport.close(),
            }
            peer.send(b"too late").await.unwrap();
            let mut came = 0;
            loop {
                let over = protocol.lost.get();
                match peer.try_recv_from(&mut [0; 200]) {
                    Ok(datagram) => came += datagram.len,
                    Err(_) if over => break,
                    Err(_) => yield_now().await,
                }
            }
            assert_eq!(came == sent, !abort, "{came} of {sent}");
            assert_eq!(protocol.events(), ["made", "lost"]);
        }
    });
}

// S204
#[test]
fn datagrams_for_a_closed_endpoint_are_dropped_and_reported_from_the_fifth_on() {
    run(async {
        let (transport, _protocol, _peer) = on_a_pair(Recorder::default()).await;
        let reports = reports();
        transport.close();
        for n in 1..=6 {
            transport.sendto(b"x", None);
            assert_eq!(reports.borrow().len(), usize::saturating_sub(n, 4));
        }
        assert!(reports.borrow()[0].contains("no. 5"));
    });
}

#[test]
fn a_panic_in_any_callback_is_reported_and_the_endpoint_stays() {
    run(async {
        for method in ["made", "data ", "error ", "pause", "resume", "lost"] {
            let reports = reports();
            let recorder = Recorder::default().when(method, |_| panic!("a bug"));
            let (transport, protocol, peer) = on_a_pair(recorder).await;
            peer.send(b"x").await.unwrap();
            until(|| protocol.events().len() == 2).await;
            transport.sendto(vec![0; 10_000_000], None); // longer than a datagram can be
            transport.set_write_buffer_limits(WriteLimits::high(100));
            while protocol.events().len() == 3 {
                transport.sendto([1; 101], None);
            }
            while transport.get_write_buffer_size() > 0 {
                peer.recv(&mut [0; 200]).await.unwrap();
                yield_now().await;
            }
            transport.close();
            until(|| protocol.lost.get()).await;
            let events = protocol.events();
            assert_eq!(events[..2], ["made", "data x"]);
            assert!(events[2].starts_with("error "));
            assert_eq!(events[3..], ["pause", "resume", "lost"], "{method}");
            yield_now().await;
            assert_eq!(
                reports.borrow().len(),
                1,
                "{method}: {:?}",
                reports.borrow()
            );
        }
    });
}

#[test]
fn closing_inside_a_callback_ends_the_calls_there() {
    run(async {
        let recorder = Recorder::default().when("data ", |protocol| {
            protocol.transport().sendto(b"enough", None);
            protocol.transport().close();
        });
        let (_transport, protocol, peer) = on_a_pair(recorder).await;
        for _ in 0..5 {
            peer.send(b"x").await.unwrap();
        }
        until(|| protocol.lost.get()).await;
        assert_eq!(protocol.events(), ["made", "data x", "lost"]);
        assert_eq!(peer.recv(&mut [0; 8]).await.unwrap(), 6);
    });
}

#[test]
fn another_protocol_can_take_over() {
    run(async {
        let second = Rc::new(Recorder::default());
        let taking_over = second.clone();
        let first = Recorder::default().when("data ", move |protocol| {
            protocol.transport().set_protocol(taking_over.clone());
        });
        let (transport, first, peer) = on_a_pair(first).await;
        peer.send(b"1").await.unwrap();
        peer.send(b"2").await.unwrap();
        until(|| second.events().len() == 1).await;
        transport.close();
        until(|| second.lost.get()).await;
        assert_eq!(first.events(), ["made", "data 1"]);
        assert_eq!(second.events(), ["data 2", "lost"]);
    });
}

#[test]
fn an_endpoint_that_is_given_up_while_it_is_made_leaves_nothing() {
    run(async {
        let options = DatagramOptions::new().local_addr("127.0.0.1", 0);
        drop(poll_once(pin!(create_datagram_endpoint(Recorder::default, options))).await);
        assert_eq!(asyncio_executor::all_tasks().len(), 2);
        until(|| asyncio_executor::all_tasks().len() == 1).await;
    });
}

// S200
#[test]
fn a_protocol_that_was_never_told_of_its_endpoint_is_not_told_of_its_end() {
    run(async {
        let (ours, _theirs) = UnixDatagram::pair().unwrap();
        let options = DatagramOptions::new().sock(ours);
        let mut making = pin!(create_datagram_endpoint(Recorder::default, options));
        assert!(poll_once(making.as_mut()).await.is_none());
        // Before its first step, as the end of a run may do.
        let own = asyncio_executor::current_task().unwrap();
        for task in asyncio_executor::all_tasks() {
            if task != own {
                task.cancel();
            }
        }
        let (transport, protocol) = making.await.unwrap();
        for _ in 0..5 {
            yield_now().await;
        }
        assert_eq!(protocol.events(), [""; 0]);
        assert!(transport.get_protocol().is_none(), "no circle is left");
    });
}

#[test]
fn a_protocol_that_comes_after_the_end_is_not_kept() {
    run(async {
        let (transport, protocol, _peer) = on_a_pair(Recorder::default()).await;
        transport.close();
        until(|| protocol.lost.get()).await;
        yield_now().await;
        transport.set_protocol(protocol.clone());
        assert!(transport.get_protocol().is_none());
        drop(transport);
        // It holds its transport, which must not hold it.
        assert_eq!(Rc::strong_count(&protocol), 1);
    });
}

#[test]
fn the_end_of_the_run_tells_open_endpoints_and_drops_their_protocols() {
    let protocol = run(async {
        let (_transport, protocol, _peer) = on_a_pair(Recorder::default()).await;
        protocol
    });
    assert_eq!(protocol.events(), ["made", "lost"]);
    // It holds its transport, but nothing holds it: no circle is left.
    assert_eq!(Rc::strong_count(&protocol), 1);
}

#[test]
fn hundreds_of_endpoints_leave_no_descriptor_and_no_task() {
    crate::resources::alone(
        "datagrams::in_a_process_of_its_own::hundreds_of_endpoints",
        64,
    );
}

mod in_a_process_of_its_own {
    use super::*;

    #[test]
    #[ignore = "run by `hundreds_of_endpoints_leave_no_descriptor_and_no_task`"]
    fn hundreds_of_endpoints() {
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        run(async move {
            let before = descriptors();
            for n in 0..500 {
                let (transport, protocol, peer) = on_a_pair(Recorder::default()).await;
                peer.send(b"x").await.unwrap();
                match n % 3 {
                    0 => until(|| protocol.events().len() == 2).await,
                    1 => transport.sendto(b"x", None),
                    _ => {}
                }
                transport.close();
                until(|| protocol.lost.get()).await;
            }
            yield_now().await;
            assert_eq!(descriptors(), before);
            assert_eq!(asyncio_executor::all_tasks().len(), 1);
        });
    }
}
