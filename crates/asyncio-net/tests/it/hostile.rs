//! Peers that mean no good.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use asyncio_net::{ServerOptions, StreamError, open_connection};

use crate::support::*;

#[test]
fn a_peer_that_sends_one_byte_at_a_time_is_understood() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        let sender = std::thread::spawn(move || {
            for byte in b"a request line\r\nheader: value\r\n\r\nbody!" {
                send(&mut peer, [*byte]);
            }
        });
        assert_eq!(reader.readline().await.unwrap(), "a request line\r\n");
        assert_eq!(
            reader.readuntil("\r\n\r\n").await.unwrap(),
            "header: value\r\n\r\n"
        );
        assert_eq!(reader.readexactly(5).await.unwrap(), "body!");
        sender.join().unwrap();
    });
}

// S209, S210
#[test]
fn a_line_without_end_meets_the_limit_again_and_again_in_bounded_memory() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        let sender = std::thread::spawn(move || {
            let megabyte = vec![b'x'; 1024 * 1024];
            for _ in 0..100 {
                send(&mut peer, &megabyte);
            }
        });
        let mut overruns = 0;
        loop {
            match reader.readline().await {
                Err(StreamError::LimitOverrun(_)) => overruns += 1,
                Ok(rest) => {
                    assert!(rest.len() <= 65536);
                    break;
                }
                Err(error) => panic!("{error}"),
            }
            let state = format!("{reader:?}");
            assert!(state.contains("buffered: 0,"), "{state}");
        }
        // Each took more than the limit and no more than twice the limit.
        assert!((800..=1600).contains(&overruns), "{overruns}");
        sender.join().unwrap();
    });
}

#[test]
fn a_peer_that_never_reads_fills_no_memory_if_the_writer_drains() {
    run(async {
        let (_reader, writer, peer) = with_peer().await;
        let writing = spawn(async move {
            loop {
                writer.write([0; 10_000]);
                assert!(writer.get_write_buffer_size() <= 64 * 1024 + 10_000);
                if writer.drain().await.is_err() {
                    return;
                }
            }
        });
        for _ in 0..5000 {
            yield_now().await;
        }
        assert!(!writing.done());
        reset(peer);
        writing.await.unwrap();
    });
}

#[test]
fn resets_and_half_closes_at_any_time_leave_the_server_serving() {
    run(async {
        // The peers connect from this thread, blocking: all of them must find a place in the backlog.
        let server = ServerOptions::new()
            .backlog(1000)
            .start(
                |mut reader, writer| async move {
                    loop {
                        let data = reader.read(1000).await?;
                        if data.is_empty() {
                            break;
                        }
                        for _ in 0..100 {
                            writer.write(&data);
                            writer.drain().await?;
                        }
                    }
                    std::io::Result::Ok(())
                },
                "127.0.0.1",
                0,
            )
            .await
            .unwrap();
        asyncio_runtime::get_running_loop().set_exception_handler(Some(std::rc::Rc::new(|_| {})));
        let address = server.local_addrs()[0];
        for n in 0..300 {
            let mut peer = TcpStream::connect(address).unwrap();
            peer.set_nonblocking(true).unwrap();
            match n % 6 {
                0 => reset(peer),
                1 => {
                    let _ = peer.write(&[1; 1000]);
                    reset(peer);
                }
                2 => {
                    let _ = peer.write(&[1; 100_000]);
                    yield_now().await;
                    reset(peer);
                }
                3 => {
                    let _ = peer.write(&[1; 100]);
                    peer.shutdown(Shutdown::Write).unwrap();
                }
                4 => peer.shutdown(Shutdown::Both).unwrap(),
                _ => {
                    let _ = peer.write(&[1; 100_000]);
                    yield_now().await;
                }
            }
        }
        let (mut reader, writer) = open_connection("127.0.0.1", address.port()).await.unwrap();
        writer.write("x");
        assert_eq!(reader.readexactly(100).await.unwrap(), vec![b'x'; 100]);
        drop((reader, writer));
        until(|| server.connections() == 0).await;
        // The accepting task and this one.
        until(|| asyncio_executor::all_tasks().len() == 2).await;
    });
}
