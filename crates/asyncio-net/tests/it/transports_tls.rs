//! TLS under transports, and under files that are sent.

use std::cell::{OnceCell, RefCell};
use std::io;
use std::pin::pin;
use std::rc::Rc;

use asyncio_net::*;

use crate::support::*;
use crate::tls_support::*;

#[derive(Default)]
struct Collect {
    received: RefCell<Vec<u8>>,
    transport: OnceCell<SocketTransport>,
    lost: RefCell<Option<Option<io::ErrorKind>>>,
}

impl BaseProtocol for Collect {
    fn connection_made(&self, transport: &SocketTransport) {
        let _ = self.transport.set(transport.clone());
    }

    fn connection_lost(&self, error: Option<io::Error>) {
        let former = self.lost.replace(Some(error.map(|error| error.kind())));
        assert_eq!(former, None, "exactly once");
    }
}

impl Protocol for Collect {
    fn data_received(&self, data: &[u8]) {
        self.received.borrow_mut().extend_from_slice(data);
    }
}

async fn pair() -> [(SocketTransport, Rc<Collect>); 2] {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let options = ConnectOptions::new();
    let ours = connect_accepted_socket(Collect::default, &options, ours);
    let theirs = connect_accepted_socket(Collect::default, &options, theirs);
    [ours.await.unwrap(), theirs.await.unwrap()]
}

async fn secured_pair(authority: &Authority) -> [(SocketTransport, Rc<Collect>); 2] {
    let [client, server] = pair().await;
    let (transport, options) = (server.0.clone(), authority.server());
    let serving = spawn(async move { start_tls(&transport, &options).await });
    start_tls(&client.0, &authority.client()).await.unwrap();
    serving.await.unwrap().unwrap();
    [client, server]
}

// S216
#[test]
fn a_transport_goes_on_with_the_same_protocol_after_start_tls() {
    run(async {
        let authority = Authority::new();
        let [client, server] = pair().await;
        client.0.write(b"in clear");
        until(|| server.1.received.borrow().len() == 8).await;
        let (transport, options) = (server.0.clone(), authority.server());
        let serving = spawn(async move { start_tls(&transport, &options).await });
        start_tls(&client.0, &authority.client()).await.unwrap();
        serving.await.unwrap().unwrap();
        assert_eq!(client.0.tls().unwrap().version(), "TLSv1.3");
        let much = vec![7; 1_000_000];
        client.0.write(&much);
        server.0.write(b"secret");
        until(|| client.1.received.borrow().len() == 6).await;
        until(|| server.1.received.borrow().len() == 1_000_008).await;
        client.0.close();
        until(|| client.1.lost.borrow().is_some() && server.1.lost.borrow().is_some()).await;
        assert_eq!(*client.1.lost.borrow(), Some(None));
        assert_eq!(*server.1.lost.borrow(), Some(None));
        until(|| asyncio_executor::all_tasks().len() == 1).await;
    });
}

#[test]
fn servers_and_connections_made_with_tls_have_it_before_their_protocols_hear_of_them() {
    struct Greet;
    impl BaseProtocol for Greet {
        fn connection_made(&self, transport: &SocketTransport) {
            assert_eq!(transport.tls().unwrap().version(), "TLSv1.3");
            transport.write(b"welcome");
        }
    }
    impl Protocol for Greet {
        fn data_received(&self, _: &[u8]) {}
    }
    run(async {
        let authority = Authority::new();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let options = ServerOptions::new().tls(authority.server());
        let server = create_server_on(|| Greet, &options, listener)
            .await
            .unwrap();
        let options = ConnectOptions::new().tls(authority.client());
        let connecting = create_connection(Collect::default, &options, "127.0.0.1", port);
        let (transport, protocol) = connecting.await.unwrap();
        until(|| *protocol.received.borrow() == b"welcome").await;
        // One that does not speak TLS meets no protocol.
        let mut stranger = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        send(&mut stranger, "GET / HTTP/1.1\r\n\r\n");
        until(|| server.connections() == 2).await;
        until(|| server.connections() == 1).await;
        transport.close();
        server.close();
        server.wait_closed().await;
    });
}

// S216
#[test]
fn a_handshake_that_fails_ends_the_transport_and_its_protocol_hears_why() {
    run(async {
        let [client, server] = pair().await;
        server.0.write(b"I speak no TLS, whatever you say");
        let error = start_tls(&client.0, &Authority::new().client())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        until(|| client.1.lost.borrow().is_some()).await;
        assert!(client.0.is_closing());
    });
}

// S216
#[test]
fn start_tls_that_is_given_up_before_the_handshake_changes_nothing_and_after_it_began_closes() {
    run(async {
        let authority = Authority::new();
        let [client, server] = pair().await;
        let options = authority.client();
        {
            let mut starting = pin!(start_tls(&client.0, &options));
            assert!(poll_once(starting.as_mut()).await.is_none());
            let twice = start_tls(&client.0, &options).await.unwrap_err();
            assert_eq!(twice.kind(), io::ErrorKind::InvalidInput);
        }
        until(|| client.1.lost.borrow().is_some()).await;
        assert!(client.0.is_closing());
        until(|| server.1.lost.borrow().is_some()).await;

        let (ours, _theirs) = io::pipe().unwrap();
        let (pipe, _) = connect_read_pipe(Collect::default, ours).await.unwrap();
        let error = start_tls(&pipe, &options).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(!pipe.is_closing());
    });
}

#[test]
fn a_file_over_tls_is_read_and_encrypted_and_never_sent_by_the_kernel() {
    run(async {
        let path =
            std::env::temp_dir().join(format!("asyncio-net-sendfile-tls-{}", std::process::id()));
        let data: Vec<u8> = (0..500_000u32).flat_map(u32::to_be_bytes).collect();
        std::fs::write(&path, &data).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let [client, server] = secured_pair(&Authority::new()).await;
        let error = sendfile_native(&client.0, &file, ..).await.unwrap_err();
        let inside = error.get_ref().unwrap();
        assert!(inside.is::<SendfileNotAvailableError>(), "{error}");
        assert_eq!(
            sendfile(&client.0, &file, ..).await.unwrap(),
            data.len() as u64
        );
        until(|| server.1.received.borrow().len() == data.len()).await;
        assert!(*server.1.received.borrow() == data);
        std::fs::remove_file(&path).unwrap();
    });
}

#[test]
fn a_file_that_waited_while_tls_was_started_is_encrypted_too() {
    run(async {
        let path =
            std::env::temp_dir().join(format!("asyncio-net-starttls-{}", std::process::id()));
        let data: Vec<u8> = (0..100_000u32).flat_map(u32::to_be_bytes).collect();
        std::fs::write(&path, &data).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let authority = Authority::new();
        let ((mut reader, writer), mut server) = both_ends().await;
        // More than the kernel takes, so that the file must wait; TLS need not, and is started meanwhile.
        const BEFORE: usize = 20_000_000;
        writer.set_write_buffer_limits(2 * BEFORE, BEFORE);
        writer.write(vec![1; BEFORE]);
        let theirs = authority.server();
        let length = data.len();
        let serving = spawn(async move {
            server.0.readexactly(BEFORE).await.unwrap();
            server.1.start_tls(&mut server.0, &theirs).await?;
            let received = server.0.readexactly(length).await;
            received.map_err(io::Error::other)
        });
        let ours = authority.client();
        let both = futures_util::future::join(
            sendfile(&writer, &file, ..),
            writer.start_tls(&mut reader, &ours),
        );
        let (sent, started) = both.await;
        started.unwrap();
        assert_eq!(sent.unwrap(), length as u64);
        assert!(serving.await.unwrap().unwrap() == data);
    });
}

#[test]
fn closing_while_a_buffered_protocol_waits_for_tls_ends_the_handshake_at_once() {
    struct Ten(RefCell<[u8; 10]>);
    impl BaseProtocol for Ten {}
    impl BufferedProtocol for Ten {
        fn get_buffer(&self, _: usize) -> std::cell::RefMut<'_, [u8]> {
            std::cell::RefMut::map(self.0.borrow_mut(), |buffer| &mut buffer[..])
        }
        fn buffer_updated(&self, _: usize) {}
    }
    virtually(async {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let factory = || Buffered(Ten(RefCell::default()));
        let options = ConnectOptions::new();
        let making = connect_accepted_socket(factory, &options, ours);
        let (transport, _) = making.await.unwrap();
        let ours = transport.clone();
        let starting = spawn(async move { start_tls(&ours, &Authority::new().client()).await });
        for _ in 0..3 {
            yield_now().await;
        }
        // The transport's own task runs once more, and sees that it has nothing to do.
        transport.pause_reading();
        transport.resume_reading();
        for _ in 0..3 {
            yield_now().await;
        }
        transport.close();
        let error = starting.await.unwrap().unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    });
}

// S216
#[test]
fn start_tls_on_a_transport_that_has_ended_says_so() {
    run(async {
        let [client, _server] = pair().await;
        client.0.close();
        until(|| client.1.lost.borrow().is_some()).await;
        yield_now().await;
        let error = start_tls(&client.0, &TlsOptions::client())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    });
}

// S201
#[test]
fn what_is_written_when_closing_resumes_writing_comes_before_the_goodbye() {
    #[derive(Default)]
    struct Late(OnceCell<SocketTransport>);
    impl BaseProtocol for Late {
        fn connection_made(&self, transport: &SocketTransport) {
            let _ = self.0.set(transport.clone());
        }
        fn resume_writing(&self) {
            self.0.get().unwrap().write(b", and more");
        }
    }
    impl Protocol for Late {
        fn data_received(&self, _: &[u8]) {}
    }
    run(async {
        let authority = Authority::new();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let options = ConnectOptions::new();
        let (transport, _) = connect_accepted_socket(Late::default, &options, ours)
            .await
            .unwrap();
        let theirs = connect_accepted_socket(Collect::default, &options, theirs);
        let (server, received) = theirs.await.unwrap();
        let serving = spawn(async move { start_tls(&server, &authority.server()).await });
        let client = TlsOptions::client().danger_accept_any_certificate();
        start_tls(&transport, &client.server_hostname("localhost"))
            .await
            .unwrap();
        serving.await.unwrap().unwrap();
        transport.set_write_buffer_limits(WriteLimits::new(10, 0));
        transport.write(b"one");
        transport.write(b", two"); // kept until the turn ends, and above the mark
        transport.close();
        until(|| received.lost.borrow().is_some()).await;
        assert_eq!(*received.received.borrow(), b"one, two, and more");
    });
}

#[test]
fn a_buffered_protocol_reads_tls_into_a_buffer_of_any_size() {
    struct Small(Collect, RefCell<[u8; 10]>);
    impl BaseProtocol for Small {}
    impl BufferedProtocol for Small {
        fn get_buffer(&self, _: usize) -> std::cell::RefMut<'_, [u8]> {
            std::cell::RefMut::map(self.1.borrow_mut(), |buffer| &mut buffer[..])
        }
        fn buffer_updated(&self, n: usize) {
            self.0.data_received(&self.1.borrow()[..n]);
        }
    }
    run(async {
        let [client, server] = secured_pair(&Authority::new()).await;
        let small = Rc::new(Buffered(Small(Collect::default(), RefCell::default())));
        server.0.set_protocol(small.clone());
        client.0.write(&[3; 100_000]);
        until(|| small.0.0.received.borrow().len() == 100_000).await;
        client.0.close();
    });
}
