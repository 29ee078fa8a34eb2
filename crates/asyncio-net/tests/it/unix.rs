//! Unix sockets: names and files.

use std::fs;
use std::future::pending;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;

use asyncio_net::{
    ConnectOptions, ServerOptions, StreamReader, StreamWriter, open_unix_connection,
    start_unix_server,
};

use crate::support::*;

/// A folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("asyncio-net-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> std::io::Result<()> {
    loop {
        let data = reader.read(65536).await?;
        if data.is_empty() {
            return Ok(());
        }
        writer.write(&data);
        writer.drain().await?;
    }
}

async fn echoes(path: &Path) {
    let (mut reader, writer) = open_unix_connection(path).await.unwrap();
    writer.write("hello");
    assert_eq!(reader.readexactly(5).await.unwrap(), "hello");
}

#[test]
fn a_path_is_served_and_connected_to() {
    run(async {
        let folder = Folder::new("echo");
        let path = folder.file("socket");
        let server = start_unix_server(echo, &path).await.unwrap();
        assert!(server.local_addrs().is_empty());
        assert_eq!(server.sockets()[0].unix_path(), Some(&*path));
        assert_eq!(server.sockets()[0].local_addr(), None);
        for _ in 0..3 {
            echoes(&path).await;
        }
        server.close();
        assert!(server.sockets().is_empty());
        server.wait_closed().await;
    });
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_is_served_and_connected_to_and_leaves_nothing() {
    run(async {
        let name = format!("\0asyncio-net-{}-abstract", std::process::id());
        let server = start_unix_server(echo, &name).await.unwrap();
        assert_eq!(server.sockets()[0].unix_path(), Some(Path::new(&name)));
        echoes(Path::new(&name)).await;
        let error = start_unix_server(echo, &name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains("\"@asyncio-net-"), "{error}");
        server.close();
        let error = open_unix_connection(&name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
}

// S224
#[test]
fn a_file_that_a_dead_server_left_is_removed_first() {
    run(async {
        let folder = Folder::new("stale");
        let path = folder.file("socket");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let server = start_unix_server(echo, &path).await.unwrap();
        echoes(&path).await;
        drop(server);
        assert!(!path.exists());
    });
}

// S224
#[test]
fn a_path_where_somebody_listens_is_left_to_him_and_he_does_not_notice() {
    run(async {
        let folder = Folder::new("in-use");
        let path = folder.file("socket");
        let other = UnixListener::bind(&path).unwrap();
        let error = start_unix_server(echo, &path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let text = error.to_string();
        assert!(
            text.contains(path.to_str().unwrap()) && text.contains("choose another path"),
            "{text}"
        );
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(other);
        // A socket for datagrams counts as well.
        fs::remove_file(&path).unwrap();
        let _other = UnixDatagram::bind(&path).unwrap();
        let error = start_unix_server(echo, &path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(path.exists());
    });
}

// S224
#[test]
fn a_file_that_is_no_socket_is_never_removed() {
    run(async {
        let folder = Folder::new("no-socket");
        let path = folder.file("notes.txt");
        fs::write(&path, "precious").unwrap();
        let error = start_unix_server(echo, &path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains("not a socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        // Nor what a link points to.
        let link = folder.file("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(start_unix_server(echo, &link).await.is_err());
        assert!(link.exists() && path.exists());
    });
}

// S224
#[test]
fn a_server_removes_its_own_file_and_only_that() {
    run(async {
        let folder = Folder::new("own");
        let path = folder.file("socket");
        for replaced in [false, true] {
            let server = start_unix_server(echo, &path).await.unwrap();
            let mut successor = None;
            if replaced {
                fs::remove_file(&path).unwrap();
                successor = Some(UnixListener::bind(&path).unwrap());
            }
            server.close();
            assert_eq!(path.exists(), replaced);
            drop(successor);
        }
        // Somebody else has removed it: no harm.
        fs::remove_file(&path).unwrap();
        let server = start_unix_server(echo, &path).await.unwrap();
        fs::remove_file(&path).unwrap();
        server.close();
    });
}

// S224
#[test]
fn the_file_stays_if_so_told() {
    run(async {
        let folder = Folder::new("stays");
        let path = folder.file("socket");
        let options = ServerOptions::new().cleanup_socket(false);
        let server = options.start_unix(echo, &path).await.unwrap();
        server.close();
        assert!(path.exists());
        let error = open_unix_connection(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(
            error.to_string().contains("nobody listens there"),
            "{error}"
        );
        // It is stale now, and no obstacle.
        drop(start_unix_server(echo, &path).await.unwrap());
        assert!(!path.exists());
    });
}

// S224
#[test]
fn the_file_goes_however_the_server_ends() {
    run(async {
        let folder = Folder::new("ends");
        let path = folder.file("socket");
        // Dropped before it is ready.
        {
            let mut starting = pin!(start_unix_server(echo, &path));
            assert!(poll_once(starting.as_mut()).await.is_none());
            assert!(path.exists());
        }
        assert!(!path.exists());
        // Never started.
        let options = ServerOptions::new().start_serving(false);
        drop(options.start_unix(echo, &path).await.unwrap());
        assert!(!path.exists());
        // Its accepting task was cancelled.
        let server = start_unix_server(echo, &path).await.unwrap();
        let tasks = asyncio_executor::all_tasks();
        let accepting = tasks.iter().find(|task| task.get_name() == "accept");
        accepting.unwrap().cancel();
        server.wait_closed().await;
        assert!(!path.exists());
    });
}

#[test]
fn the_file_has_the_mode_asked_for() {
    run(async {
        let folder = Folder::new("mode");
        let path = folder.file("socket");
        for mode in [0o600, 0o666] {
            let server = ServerOptions::new()
                .mode(mode)
                .start_unix(echo, &path)
                .await;
            let found = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode);
            drop(server.unwrap());
        }
    });
}

#[test]
fn errors_name_the_path_and_what_to_do() {
    run(async {
        let folder = Folder::new("errors");
        let missing = folder.file("nobody");
        let error = open_unix_connection(&missing).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = error.to_string();
        assert!(
            text.contains(missing.to_str().unwrap())
                && text.contains("has the server been started?"),
            "{text}"
        );
        let error = start_unix_server(echo, missing.join("socket"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(
            error.to_string().contains("the directory must exist"),
            "{error}"
        );

        let long = folder.file(&"x".repeat(108));
        for error in [
            open_unix_connection(&long).await.map(drop).unwrap_err(),
            start_unix_server(echo, &long).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(
                error.to_string().contains("choose a shorter one"),
                "{error}"
            );
        }

        let datagrams = folder.file("datagrams");
        let _other = UnixDatagram::bind(&datagrams).unwrap();
        let error = open_unix_connection(&datagrams).await.unwrap_err();
        assert!(error.to_string().contains("no stream socket"), "{error}");
    });
}

#[test]
fn a_socket_without_permission_says_what_it_takes() {
    if rustix::process::geteuid().is_root() {
        return eprintln!("skipped: root may do everything");
    }
    run(async {
        let folder = Folder::new("permission");
        let path = folder.file("socket");
        let _server = ServerOptions::new()
            .mode(0)
            .start_unix(echo, &path)
            .await
            .unwrap();
        let error = open_unix_connection(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert!(error.to_string().contains("the right to write"), "{error}");
    });
}

#[test]
fn a_listener_of_std_is_served_on_and_its_file_removed() {
    run(async {
        let folder = Folder::new("adopted");
        let path = folder.file("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let server = ServerOptions::new().start_on(echo, listener).await.unwrap();
        assert_eq!(server.sockets()[0].unix_path(), Some(&*path));
        echoes(&path).await;
        server.close();
        assert!(!path.exists());
    });
}

#[test]
fn a_connected_socket_of_std_becomes_streams() {
    run(async {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut reader, writer) = ConnectOptions::new().adopt(ours).await.unwrap();
        let (mut their_reader, their_writer) = ConnectOptions::new().adopt(theirs).await.unwrap();
        writer.write("ping");
        assert_eq!(their_reader.readexactly(4).await.unwrap(), "ping");
        their_writer.write("pong");
        assert_eq!(reader.readexactly(4).await.unwrap(), "pong");

        let (datagrams, _other) = UnixDatagram::pair().unwrap();
        let error = ConnectOptions::new().adopt(datagrams).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.to_string().contains("got a datagram socket"),
            "{error}"
        );
    });
}

#[test]
fn clients_wait_while_the_backlog_is_full() {
    run(async {
        let folder = Folder::new("backlog");
        let path = folder.file("socket");
        let server = ServerOptions::new()
            .backlog(1)
            .start_unix(echo, &path)
            .await
            .unwrap();
        let path = Rc::new(path);
        let clients: Vec<_> = (0..50)
            .map(|_| {
                let path = path.clone();
                spawn(async move { echoes(&path).await })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
        until(|| server.connections() == 0).await;
    });
}

#[test]
fn waiting_for_a_full_backlog_is_limited_by_the_timeout() {
    run_virtually(async {
        let folder = Folder::new("full");
        let path = folder.file("socket");
        let options = ServerOptions::new().backlog(0).start_serving(false);
        let server = options.start_unix(echo, &path).await.unwrap();
        let listening = server.sockets()[0].try_clone().unwrap();
        rustix::net::listen(&listening, 0).unwrap();
        let mut waiting = Vec::new();
        let error = loop {
            let options = ConnectOptions::new().timeout(5);
            match options.connect_unix(&path).await {
                Ok(streams) => waiting.push(streams),
                Err(error) => break error,
            }
        };
        assert!(!waiting.is_empty() && waiting.len() < 5);
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("no answer within 5s"), "{error}");
    });
}

#[test]
fn one_loop_serves_ports_and_paths() {
    run(async {
        let folder = Folder::new("both");
        let path = folder.file("socket");
        let on_path = start_unix_server(echo, &path).await.unwrap();
        let on_port = asyncio_net::start_server(echo, "127.0.0.1", 0)
            .await
            .unwrap();
        echoes(&path).await;
        let port = on_port.local_addrs()[0].port();
        let (mut reader, writer) = asyncio_net::open_connection("127.0.0.1", port)
            .await
            .unwrap();
        writer.write("x");
        assert_eq!(reader.readexactly(1).await.unwrap(), "x");
        drop((on_path, on_port));
    });
}

#[test]
fn a_client_that_is_given_up_is_no_client() {
    run(async {
        let folder = Folder::new("given-up");
        let path = folder.file("socket");
        let hanging = |_reader, _writer| async {
            let _kept = (_reader, _writer);
            pending::<()>().await
        };
        let server = start_unix_server(hanging, &path).await.unwrap();
        {
            let mut connecting = pin!(open_unix_connection(&path));
            drop(poll_once(connecting.as_mut()).await);
        }
        let (_reader, _writer) = open_unix_connection(&path).await.unwrap();
        until(|| server.connections() > 0).await;
        server.abort_clients();
        until(|| server.connections() == 0).await;
    });
}

#[cfg(target_os = "linux")]
#[test]
fn who_is_at_the_other_end_is_known_of_a_unix_connection_and_of_no_other() {
    run(async {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (_reader, writer) = ConnectOptions::new().adopt(ours).await.unwrap();
        let peer = writer.socket().unwrap().peer_cred().unwrap();
        assert_eq!(peer.pid, Some(std::process::id()));
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());

        let (_reader, writer, _peer) = with_peer().await;
        let error = writer.socket().unwrap().peer_cred().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("Unix"), "{error}");
    });
}
