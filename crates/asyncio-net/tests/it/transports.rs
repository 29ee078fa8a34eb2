//! Transports and protocols: the order of calls, flow control, and protocols that misbehave.

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;

use asyncio_net::*;

use crate::support::*;

type Behaviour = Box<dyn Fn(&Recorder)>;

/// Writes down what it is told, and does in each method what the test says.
#[derive(Default)]
pub(crate) struct Recorder {
    events: RefCell<Vec<String>>,
    pub(crate) received: RefCell<Vec<u8>>,
    transport: OnceCell<SocketTransport>,
    keep_open: Cell<bool>,
    behaviour: RefCell<HashMap<&'static str, Behaviour>>,
    pub(crate) lost: Cell<bool>,
}

impl Recorder {
    pub(crate) fn when(
        self,
        method: &'static str,
        behaviour: impl Fn(&Recorder) + 'static,
    ) -> Recorder {
        self.behaviour
            .borrow_mut()
            .insert(method, Box::new(behaviour));
        self
    }

    fn keep_open(self) -> Recorder {
        self.keep_open.set(true);
        self
    }

    pub(crate) fn transport(&self) -> &SocketTransport {
        self.transport.get().expect("the connection was made")
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.events.borrow().clone()
    }

    fn note(&self, method: &'static str, more: String) {
        self.events.borrow_mut().push(format!("{method}{more}"));
        if let Some(behave) = self.behaviour.borrow().get(method) {
            behave(self);
        }
    }
}

impl BaseProtocol for Recorder {
    fn connection_made(&self, transport: &SocketTransport) {
        assert!(self.transport.set(transport.clone()).is_ok());
        self.note("made", String::new());
    }

    fn connection_lost(&self, error: Option<io::Error>) {
        assert!(!self.lost.replace(true), "exactly once");
        let error = match error {
            None => String::new(),
            Some(error) if error.kind() == io::ErrorKind::Other => format!(": {error}"),
            Some(error) => format!(": {:?}", error.kind()),
        };
        self.note("lost", error);
    }

    fn pause_writing(&self) {
        self.note("pause", String::new());
    }

    fn resume_writing(&self) {
        self.note("resume", String::new());
    }
}

impl Protocol for Recorder {
    fn data_received(&self, data: &[u8]) {
        self.received.borrow_mut().extend_from_slice(data);
        self.note("data", format!(" {}", data.len()));
    }

    fn eof_received(&self) -> bool {
        self.note("eof", String::new());
        self.keep_open.get()
    }
}

/// A transport with that protocol, and its peer as a blocking socket.
pub(crate) async fn connected<P: Protocol + 'static>(
    protocol: P,
) -> (SocketTransport, Rc<P>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (transport, protocol) =
        create_connection(|| protocol, &ConnectOptions::new(), "127.0.0.1", port)
            .await
            .unwrap();
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    (transport, protocol, peer)
}

async fn client(port: u16) -> (SocketTransport, Rc<Recorder>) {
    create_connection(Recorder::default, &ConnectOptions::new(), "127.0.0.1", port)
        .await
        .unwrap()
}

/// The texts of what is reported from now on.
pub(crate) fn reports() -> Rc<RefCell<Vec<String>>> {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let heard = reports.clone();
    asyncio_runtime::get_running_loop().set_exception_handler(Some(Rc::new(move |context| {
        heard.borrow_mut().push(context.to_string());
    })));
    reports
}

/// More than the kernel takes at once.
pub(crate) const MUCH: usize = 20_000_000;

// S200
#[test]
fn calls_come_in_order_and_the_first_before_the_creating_call_returns() {
    run(async {
        let (_transport, protocol, mut peer) = connected(Recorder::default()).await;
        assert_eq!(protocol.events(), ["made"]);
        send(&mut peer, "hello");
        until(|| protocol.events().len() == 2).await;
        drop(peer);
        until(|| protocol.lost.get()).await;
        assert_eq!(protocol.events(), ["made", "data 5", "eof", "lost"]);
    });
}

// S201
#[test]
fn close_sends_what_is_unsent_and_is_reported_by_the_queue() {
    run(async {
        let (transport, protocol, peer) = connected(Recorder::default()).await;
        transport.write(&vec![7; MUCH]);
        transport.close();
        transport.close();
        assert!(transport.is_closing() && !transport.is_reading());
        assert!(!protocol.lost.get());
        assert_eq!(all_of(peer).await.len(), MUCH);
        until(|| protocol.lost.get()).await;
        assert_eq!(protocol.events().last().unwrap(), "lost");
    });
}

// S201
#[test]
fn abort_drops_what_is_unsent() {
    run(async {
        let (transport, protocol, peer) = connected(Recorder::default()).await;
        transport.write(&vec![7; MUCH]);
        assert!(transport.get_write_buffer_size() > 0);
        transport.abort();
        transport.abort();
        assert!(transport.is_closing());
        assert_eq!(transport.get_write_buffer_size(), 0);
        assert!(!protocol.lost.get(), "told by the queue");
        yield_now().await;
        assert_eq!(protocol.events(), ["made", "pause", "lost"]);
        assert!(all_of(peer).await.len() < MUCH);
    });
}

// S202
#[test]
fn after_the_end_the_protocol_chooses_whether_to_go_on_writing() {
    run(async {
        let (transport, protocol, mut peer) = connected(Recorder::default().keep_open()).await;
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        until(|| protocol.events().len() == 2).await;
        assert_eq!(protocol.events(), ["made", "eof"]);
        assert!(!transport.is_closing());
        transport.write(b"still here");
        transport.close();
        let mut text = String::new();
        peer.read_to_string(&mut text).unwrap();
        assert_eq!(text, "still here");
        until(|| protocol.lost.get()).await;
        assert_eq!(protocol.events(), ["made", "eof", "lost"]);

        let (transport, protocol, peer) = connected(Recorder::default()).await;
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        until(|| protocol.lost.get()).await;
        assert!(transport.is_closing());
        assert_eq!(protocol.events(), ["made", "eof", "lost"]);
    });
}

// S203
#[test]
fn writing_pauses_inside_write_above_the_high_mark_and_resumes_at_the_low_one() {
    run(async {
        let (transport, protocol, peer) = connected(Recorder::default()).await;
        assert_eq!(transport.get_write_buffer_limits(), WriteLimits::default());
        // Fill the kernel first.
        transport.write(&vec![7; MUCH]);
        assert_eq!(
            protocol.events(),
            ["made", "pause"],
            "told before `write` returns"
        );
        transport.write(b"more");
        assert_eq!(protocol.events(), ["made", "pause"], "told once");
        let unsent = transport.get_write_buffer_size();
        transport.set_write_buffer_limits(WriteLimits::new(unsent, unsent));
        assert_eq!(
            protocol.events(),
            ["made", "pause", "resume"],
            "at the low mark is enough"
        );
        transport.write(b"");
        assert_eq!(
            protocol.events().len(),
            3,
            "at the high mark is not above it"
        );
        transport.write(b"x");
        assert_eq!(protocol.events(), ["made", "pause", "resume", "pause"]);
        transport.set_write_buffer_limits(WriteLimits::high(1000));
        transport.write_eof();
        all_of(peer).await;
        until(|| protocol.lost.get()).await;
        assert_eq!(
            protocol.events()[3..],
            ["pause", "resume", "eof", "lost"],
            "alternately to the end"
        );
    });
}

// S203
#[test]
fn a_protocol_that_writes_when_it_may_sends_everything_with_a_bounded_buffer() {
    run(async {
        let left = Rc::new(Cell::new(300));
        let highest = Rc::new(Cell::new(0));
        let paused = Rc::new(Cell::new(false));
        let pump = {
            let (left, paused, highest) = (left.clone(), paused.clone(), highest.clone());
            move |protocol: &Recorder| {
                while !paused.get() && left.get() > 0 {
                    left.set(left.get() - 1);
                    protocol.transport().write(&[1; 30_000]);
                    highest.set(
                        highest
                            .get()
                            .max(protocol.transport().get_write_buffer_size()),
                    );
                }
                if left.get() == 0 {
                    protocol.transport().close();
                }
            }
        };
        let (pausing, resuming, again) = (paused.clone(), paused.clone(), pump.clone());
        let recorder = Recorder::default()
            .when("pause", move |_| pausing.set(true))
            .when("resume", move |protocol| {
                resuming.set(false);
                again(protocol);
            })
            .when("data", pump);
        let (_transport, protocol, mut peer) = connected(recorder).await;
        send(&mut peer, "go");
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        protocol.keep_open.set(true);
        assert_eq!(all_of(peer).await.len(), 300 * 30_000);
        until(|| protocol.lost.get()).await;
        assert!(highest.get() <= 64 * 1024 + 30_000, "{}", highest.get());
    });
}

// S204
#[test]
fn writes_to_a_lost_connection_are_dropped_and_reported_from_the_fifth_on() {
    run(async {
        let (transport, protocol, peer) = connected(Recorder::default()).await;
        let reports = reports();
        reset(peer);
        until(|| protocol.lost.get()).await;
        for n in 1..=6 {
            transport.write(b"anybody?");
            assert_eq!(reports.borrow().len(), usize::saturating_sub(n, 4));
        }
        assert!(
            reports.borrow()[0].contains("write no. 5"),
            "{:?}",
            reports.borrow()
        );
        assert_eq!(transport.get_write_buffer_size(), 0);
    });
}

// S204
#[test]
fn a_write_after_the_end_is_a_bug_of_the_caller() {
    run(async {
        let (transport, _protocol, peer) = connected(Recorder::default().keep_open()).await;
        assert!(transport.can_write_eof());
        transport.writelines(&[b"good", b" ", b"bye"]);
        transport.write_eof();
        assert_eq!(all_of(peer).await, b"good bye");
        let writes: [&dyn Fn(); 2] = [&|| transport.write(b"x"), &|| transport.writelines(&[b"x"])];
        for write in writes {
            let panic = catch_unwind(AssertUnwindSafe(write)).unwrap_err();
            assert!(
                panic
                    .downcast_ref::<String>()
                    .unwrap()
                    .contains("`write_eof`")
            );
        }
    });
}

// S205
#[test]
fn a_panic_in_a_callback_for_data_is_reported_and_aborts_with_that_error() {
    run(async {
        for (method, named) in [("data", "data_received"), ("eof", "eof_received")] {
            let reports = reports();
            let recorder = Recorder::default().when(method, |_| panic!("a bug"));
            let (_transport, protocol, mut peer) = connected(recorder).await;
            send(&mut peer, "hello");
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            until(|| protocol.lost.get()).await;
            let last = protocol.events().pop().unwrap();
            assert!(last.contains(named) && last.contains("a bug"), "{last}");
            assert_eq!(reports.borrow().len(), 1);
            assert!(reports.borrow()[0].contains("a bug"));
        }
    });
}

// S205
#[test]
fn a_panic_in_the_first_the_last_or_a_flow_control_callback_is_only_reported() {
    run(async {
        for method in ["made", "pause", "resume", "lost"] {
            let reports = reports();
            let recorder = Recorder::default().when(method, |_| panic!("a bug"));
            let (transport, protocol, mut peer) = connected(recorder).await;
            send(&mut peer, "hello");
            until(|| protocol.events().len() == 2).await;
            transport.write(&vec![7; MUCH]);
            transport.close();
            assert_eq!(all_of(peer).await.len(), MUCH);
            until(|| protocol.lost.get()).await;
            assert_eq!(
                protocol.events(),
                ["made", "data 5", "pause", "resume", "lost"],
                "{method}"
            );
            yield_now().await;
            assert_eq!(reports.borrow().len(), 1, "{method}");
        }
    });
}

// S205
#[test]
fn a_reset_is_told_with_its_error_and_not_reported() {
    run(async {
        let reports = reports();
        let (_transport, protocol, peer) = connected(Recorder::default()).await;
        reset(peer);
        until(|| protocol.lost.get()).await;
        assert_eq!(protocol.events(), ["made", "lost: ConnectionReset"]);
        assert!(reports.borrow().is_empty());
    });
}

#[test]
fn a_paused_transport_reads_nothing_and_hears_of_a_reset_when_it_goes_on() {
    run(async {
        let pausing =
            Recorder::default().when("data", |protocol| protocol.transport().pause_reading());
        let (transport, protocol, mut peer) = connected(pausing).await;
        send(&mut peer, "one");
        until(|| protocol.events().len() == 2).await;
        assert!(!transport.is_reading());
        send(&mut peer, "two");
        for _ in 0..200 {
            yield_now().await;
        }
        assert_eq!(*protocol.received.borrow(), b"one");
        transport.resume_reading();
        transport.resume_reading();
        assert!(transport.is_reading());
        until(|| protocol.events().len() == 3).await;
        assert_eq!(*protocol.received.borrow(), b"onetwo");
        reset(peer);
        for _ in 0..200 {
            yield_now().await;
        }
        assert!(!protocol.lost.get());
        transport.resume_reading();
        until(|| protocol.lost.get()).await;
        assert_eq!(protocol.events().last().unwrap(), "lost: ConnectionReset");
    });
}

#[test]
fn a_write_that_fails_ends_a_transport_that_is_paused() {
    run(async {
        let (transport, protocol, peer) = connected(Recorder::default()).await;
        transport.pause_reading();
        reset(peer);
        until(|| {
            transport.write(b"x");
            protocol.lost.get()
        })
        .await;
        assert!(protocol.events().last().unwrap().starts_with("lost: "));
    });
}

#[test]
fn another_protocol_can_take_over_in_the_middle() {
    run(async {
        let second = Rc::new(Recorder::default());
        let taking_over = second.clone();
        let first = Recorder::default().when("data", move |protocol| {
            protocol.transport().set_protocol(taking_over.clone());
        });
        let (transport, first, mut peer) = connected(first).await;
        send(&mut peer, "one");
        until(|| first.events().len() == 2).await;
        assert_eq!(Rc::strong_count(&first), 1, "the transport has let it go");
        send(&mut peer, "two");
        until(|| second.events().len() == 1).await;
        transport.close();
        until(|| second.lost.get()).await;
        assert_eq!(first.events(), ["made", "data 3"]);
        assert_eq!(second.events(), ["data 3", "lost"]);
    });
}

/// Receives into a buffer of its own.
struct Filling {
    buffer: RefCell<Vec<u8>>,
    room: usize,
    received: RefCell<Vec<u8>>,
    lost: RefCell<Option<String>>,
    panics: Cell<&'static str>,
}

impl Filling {
    fn with_room(room: usize) -> Filling {
        Filling {
            buffer: RefCell::new(vec![0; 1 << 20]),
            room,
            received: RefCell::default(),
            lost: RefCell::default(),
            panics: Cell::new(""),
        }
    }
}

impl BaseProtocol for Filling {
    fn connection_lost(&self, error: Option<io::Error>) {
        let text = error.map_or(String::new(), |error| error.to_string());
        assert!(self.lost.replace(Some(text)).is_none());
    }
}

impl BufferedProtocol for Filling {
    fn get_buffer(&self, size_hint: usize) -> RefMut<'_, [u8]> {
        assert!(size_hint > 0);
        assert_ne!(self.panics.get(), "get_buffer");
        let room = match self.panics.get() {
            "empty" => 0,
            _ => self.room,
        };
        RefMut::map(self.buffer.borrow_mut(), |buffer| &mut buffer[..room])
    }

    fn buffer_updated(&self, n: usize) {
        assert_ne!(self.panics.get(), "buffer_updated");
        let mut buffer = self.buffer.borrow_mut();
        self.received.borrow_mut().extend_from_slice(&buffer[..n]);
        buffer[..n].fill(0);
    }

    fn eof_received(&self) -> bool {
        assert_ne!(self.panics.get(), "eof_received");
        false
    }
}

#[test]
fn a_buffered_protocol_receives_everything_whatever_the_size_of_its_buffer() {
    run(async {
        for room in [1, 100, 4096, 1 << 20] {
            let (_transport, protocol, mut peer) =
                connected(Buffered(Filling::with_room(room))).await;
            let data: Vec<u8> = (0..50_000u32).map(|n| n as u8).collect();
            let sent = data.clone();
            let sending = asyncio_blocking::unblock(move || send(&mut peer, sent));
            sending.await.unwrap();
            until(|| protocol.0.lost.borrow().is_some()).await;
            assert!(*protocol.0.received.borrow() == data, "room {room}");
        }
    });
}

// S205
#[test]
fn a_panic_in_a_buffer_callback_and_an_empty_buffer_abort_the_transport() {
    run(async {
        for method in ["get_buffer", "empty", "buffer_updated", "eof_received"] {
            let reports = reports();
            let (_transport, protocol, mut peer) =
                connected(Buffered(Filling::with_room(64))).await;
            protocol.0.panics.set(method);
            send(&mut peer, "hello");
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            until(|| protocol.0.lost.borrow().is_some()).await;
            let lost = protocol.0.lost.take().unwrap();
            let named = if method == "empty" {
                "empty buffer"
            } else {
                method
            };
            assert!(lost.contains(named), "{method}: {lost}");
            assert_eq!(reports.borrow().len(), 1);
        }
    });
}

#[test]
fn a_server_makes_a_protocol_for_each_client_and_waits_for_the_last() {
    run(async {
        let made = Rc::new(RefCell::new(Vec::<Rc<Recorder>>::new()));
        struct Shared(Rc<Recorder>);
        impl BaseProtocol for Shared {
            fn connection_made(&self, transport: &SocketTransport) {
                self.0.connection_made(transport);
            }
            fn connection_lost(&self, error: Option<io::Error>) {
                self.0.connection_lost(error);
            }
        }
        impl Protocol for Shared {
            fn data_received(&self, data: &[u8]) {
                self.0.data_received(data);
                self.0.transport().write(data);
            }
        }
        let list = made.clone();
        let factory = move || {
            let recorder = Rc::new(Recorder::default());
            list.borrow_mut().push(recorder.clone());
            Shared(recorder)
        };
        let server = create_server(factory, &ServerOptions::new(), "127.0.0.1", 0)
            .await
            .unwrap();
        let port = server.local_addrs()[0].port();
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(client(port).await);
        }
        for (transport, protocol) in &clients {
            transport.write(b"hello");
            until(|| protocol.received.borrow().len() == 5).await;
        }
        assert_eq!((server.connections(), made.borrow().len()), (3, 3));
        let extra = clients[0].0.extra();
        assert_eq!(extra.peername.unwrap().ip().unwrap().port(), port);
        assert_eq!(
            extra.sockname,
            made.borrow()[0].transport().extra().peername
        );
        server.close();
        server.close_clients();
        server.wait_closed().await;
        until(|| clients.iter().all(|(_, client)| client.lost.get())).await;
        assert!(made.borrow().iter().all(|protocol| protocol.lost.get()));
        until(|| asyncio_executor::all_tasks().len() == 1).await;
    });
}

#[test]
fn a_factory_that_panics_costs_its_client_only() {
    run(async {
        let first = Cell::new(true);
        let factory = move || {
            assert!(!first.replace(false), "not yet");
            Recorder::default().when("made", |protocol| protocol.transport().write(b"welcome"))
        };
        let reports = reports();
        let server = create_server(factory, &ServerOptions::new(), "127.0.0.1", 0)
            .await
            .unwrap();
        let address = server.local_addrs()[0];
        let unlucky = TcpStream::connect(address).unwrap();
        assert!(all_of(unlucky).await.is_empty());
        let (mut reader, _writer) = open_connection("127.0.0.1", address.port()).await.unwrap();
        assert_eq!(reader.readexactly(7).await.unwrap(), "welcome");
        assert_eq!(reports.borrow().len(), 1);
    });
}

#[test]
fn unix_sockets_have_transports_too() {
    run(async {
        let folder =
            std::env::temp_dir().join(format!("asyncio-net-transports-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("server.socket");
        let greeting =
            || Recorder::default().when("made", |protocol| protocol.transport().write(b"hello"));
        let server = create_unix_server(greeting, &ServerOptions::new(), &path)
            .await
            .unwrap();
        let (transport, protocol) =
            create_unix_connection(Recorder::default, &ConnectOptions::new(), &path)
                .await
                .unwrap();
        until(|| protocol.received.borrow().len() == 5).await;
        assert_eq!(
            transport.extra().peername,
            Some(Address::unix(&path).unwrap())
        );
        transport.close();
        server.close();
        server.wait_closed().await;
        std::fs::remove_dir_all(&folder).unwrap();
    });
}

#[test]
fn a_pipe_that_ends_is_lost_whatever_its_protocol_wants() {
    run(async {
        let (ours, mut theirs) = io::pipe().unwrap();
        let (transport, protocol) = connect_read_pipe(|| Recorder::default().keep_open(), ours)
            .await
            .unwrap();
        theirs.write_all(b"hello").unwrap();
        drop(theirs);
        until(|| protocol.lost.get()).await;
        assert_eq!(protocol.events(), ["made", "data 5", "eof", "lost"]);
        let panic = catch_unwind(AssertUnwindSafe(|| transport.write(b"x"))).unwrap_err();
        assert!(
            panic
                .downcast_ref::<String>()
                .unwrap()
                .contains("connect_write_pipe")
        );
    });
}

#[test]
fn a_pipe_is_written_with_flow_control_and_lost_when_nobody_reads() {
    run(async {
        let (mut theirs, ours) = io::pipe().unwrap();
        let (transport, protocol) = connect_write_pipe(Recorder::default, ours).await.unwrap();
        assert!(!transport.is_reading() && !transport.can_write_eof());
        transport.write(&vec![7; 1_000_000]);
        assert_eq!(protocol.events(), ["made", "pause"]);
        let reading = asyncio_blocking::unblock(move || {
            theirs.read_exact(&mut vec![0; 1_000_000]).unwrap();
            theirs
        });
        let theirs = reading.await.unwrap();
        until(|| transport.get_write_buffer_size() == 0).await;
        assert_eq!(protocol.events(), ["made", "pause", "resume"]);
        drop(theirs);
        transport.write(b"x");
        until(|| protocol.lost.get()).await;
        // Without an error if the pipe took the byte still: a process that another test is just starting may have held
        // the other end for a moment.
        assert!(protocol.events()[3].starts_with("lost"));

        // Without a write, too; and with something unsent.
        for (unsent, lost) in [(0, "lost"), (1_000_000, "lost: BrokenPipe")] {
            let (theirs, ours) = io::pipe().unwrap();
            let (transport, protocol) = connect_write_pipe(Recorder::default, ours).await.unwrap();
            yield_now().await;
            transport.write(&vec![7; unsent]);
            drop(theirs);
            until(|| protocol.lost.get()).await;
            assert_eq!(protocol.events().last().unwrap(), lost);
        }

        let (theirs, ours) = io::pipe().unwrap();
        let (transport, protocol) = connect_write_pipe(Recorder::default, ours).await.unwrap();
        transport.write(b"bye");
        transport.write_eof();
        until(|| protocol.lost.get()).await;
        assert_eq!(io::read_to_string(theirs).unwrap(), "bye");
        assert_eq!(protocol.events(), ["made", "lost"]);
    });
}

// S195
#[test]
fn the_descriptor_of_a_transport_is_refused_to_add_reader() {
    run(async {
        let (transport, _protocol, _peer) = connected(Recorder::default()).await;
        yield_now().await;
        let socket = transport.socket().unwrap();
        for result in [add_reader(&socket, || ()), add_writer(&socket, || ())] {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        }
    });
}

#[test]
fn a_creating_call_that_is_given_up_leaves_nothing() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = ConnectOptions::new();
        let protocol = Rc::new(Recorder::default());
        struct Shared(Rc<Recorder>);
        impl BaseProtocol for Shared {
            fn connection_made(&self, transport: &SocketTransport) {
                self.0.connection_made(transport);
            }
            fn connection_lost(&self, error: Option<io::Error>) {
                self.0.connection_lost(error);
            }
        }
        impl Protocol for Shared {
            fn data_received(&self, _: &[u8]) {}
        }
        {
            // Given up when the connection stands, and the protocol has not been told yet.
            let mut creating = pin!(create_connection(
                || Shared(protocol.clone()),
                &options,
                "127.0.0.1",
                port
            ));
            loop {
                assert!(poll_once(creating.as_mut()).await.is_none());
                if asyncio_executor::all_tasks().len() == 2 {
                    break;
                }
                yield_now().await;
            }
        }
        let (peer, _) = listener.accept().unwrap();
        until(|| asyncio_executor::all_tasks().len() == 1).await;
        assert_eq!(protocol.events(), ["made", "lost"]);
        assert!(all_of(peer).await.is_empty());
    });
}

// S203
#[test]
fn a_transport_that_is_aborted_while_it_writes_keeps_nothing_and_asks_for_no_second_pause() {
    run(async {
        let protocol = Recorder::default().when("pause", |protocol| protocol.transport().abort());
        let (transport, protocol, _peer) = connected(protocol).await;
        let piece = &vec![0; MUCH][..];
        transport.writelines(&[piece, piece, piece]);
        assert_eq!(transport.get_write_buffer_size(), 0);
        until(|| protocol.lost.get()).await;
        assert_eq!(protocol.events(), ["made", "pause", "lost"]);
    });
}

// S200
#[test]
fn a_protocol_that_was_never_told_of_its_connection_is_not_told_of_its_end() {
    run(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let options = ConnectOptions::new();
        let mut making = pin!(connect_accepted_socket(Recorder::default, &options, ours));
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
        assert!(transport.is_closing());
        assert!(transport.get_protocol().is_none(), "no circle is left");
        assert_eq!((&theirs).read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn the_end_of_the_run_tells_open_transports_and_drops_their_protocols() {
    let protocol = run(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (transport, protocol) =
            connect_accepted_socket(Recorder::default, &ConnectOptions::new(), ours)
                .await
                .unwrap();
        transport.write(b"hello");
        std::mem::forget(theirs);
        protocol
    });
    assert_eq!(protocol.events(), ["made", "lost"]);
    // It holds its transport, but nothing holds it: no circle is left.
    assert_eq!(Rc::strong_count(&protocol), 1);
}

#[test]
fn a_transport_task_that_is_cancelled_aborts_the_transport() {
    run(async {
        let (transport, protocol, peer) = connected(Recorder::default()).await;
        let own = asyncio_executor::current_task().unwrap();
        for task in asyncio_executor::all_tasks() {
            if task != own {
                task.cancel();
            }
        }
        until(|| protocol.lost.get()).await;
        assert_eq!(protocol.events(), ["made", "lost"]);
        assert!(transport.is_closing());
        assert!(all_of(peer).await.is_empty());
    });
}

#[test]
fn a_thousand_transports_leave_no_descriptor_and_no_task() {
    crate::resources::alone(
        "transports::in_a_process_of_its_own::a_thousand_transports",
        256,
    );
}

mod in_a_process_of_its_own {
    use super::*;

    fn descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }

    #[test]
    #[ignore = "run by `a_thousand_transports_leave_no_descriptor_and_no_task`"]
    fn a_thousand_transports() {
        run(async {
            let echo = || {
                Recorder::default().when("data", |protocol| {
                    let data = protocol.received.take();
                    protocol.transport().write(&data);
                })
            };
            let server = create_server(echo, &ServerOptions::new(), "127.0.0.1", 0)
                .await
                .unwrap();
            let port = server.local_addrs()[0].port();
            let (before, tasks) = (descriptors(), asyncio_executor::all_tasks().len());
            for n in 0..1000 {
                let (transport, protocol) = client(port).await;
                transport.write(b"hello");
                match n % 4 {
                    0 => transport.close(),
                    1 => transport.abort(),
                    2 => {
                        until(|| !protocol.received.borrow().is_empty()).await;
                        transport.write_eof();
                    }
                    _ => server.abort_clients(),
                }
                if n % 10 == 9 {
                    server.close_clients();
                    until(|| server.connections() == 0).await;
                }
            }
            server.close_clients();
            until(|| asyncio_executor::all_tasks().len() == tasks && descriptors() == before).await;
            assert_eq!(server.connections(), 0);
        });
    }
}
