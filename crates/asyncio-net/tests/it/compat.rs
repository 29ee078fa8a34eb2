//! Other libraries over our streams.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use asyncio_net::{LocalExecutor, ServerOptions, SocketStream, open_connection, start_server};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};

use crate::support::*;
use crate::tls_support::*;

/// Answers with what it was sent, and counts in a cell, which is not `Send`.
async fn answer(
    served: Rc<std::cell::Cell<u32>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    served.set(served.get() + 1);
    let path = request.uri().path().to_owned();
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => Bytes::from(error.to_string()),
    };
    let response = Response::builder().header("x-path", path);
    Ok(response.body(Full::new(body)).unwrap())
}

async fn serve_http(stream: SocketStream, served: Rc<std::cell::Cell<u32>>) {
    let service = service_fn(move |request| answer(served.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
    connection.await.unwrap();
}

async fn ask_twice(stream: SocketStream) {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    let driving = spawn(connection);
    for (path, size) in [("/small", 10), ("/large", 3_000_000)] {
        let body = Bytes::from(vec![b'x'; size]);
        let request = Request::post(path)
            .header("host", "localhost")
            .body(Full::new(body.clone()))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["x-path"], path);
        assert!(response.into_body().collect().await.unwrap().to_bytes() == body);
    }
    drop(sender);
    driving.await.unwrap().unwrap();
}

#[test]
fn hyper_serves_and_asks_over_our_streams() {
    run(async {
        let served = Rc::new(std::cell::Cell::new(0));
        let counter = served.clone();
        let server = start_server(
            move |reader, writer| serve_http(SocketStream::new(reader, writer), counter.clone()),
            "127.0.0.1",
            0,
        )
        .await
        .unwrap();
        let port = server.local_addrs()[0].port();
        for _ in 0..2 {
            ask_twice(open_connection("127.0.0.1", port).await.unwrap().into()).await;
        }
        assert_eq!(served.get(), 4);
    });
}

#[test]
fn hyper_works_over_tls_without_noticing() {
    run(async {
        let (client, server) = secured(&Authority::new()).await;
        let serving = spawn(serve_http(server.into(), Rc::default()));
        ask_twice(client.into()).await;
        serving.await.unwrap();
    });
}

#[test]
fn a_response_of_hyper_is_one_system_call_of_each_kind() {
    run(async {
        let server = start_server(
            |reader, writer| serve_http(SocketStream::new(reader, writer), Rc::default()),
            "127.0.0.1",
            0,
        )
        .await
        .unwrap();
        let (mut reader, writer) = open_connection("127.0.0.1", server.local_addrs()[0].port())
            .await
            .unwrap();
        let stats = || asyncio_runtime::get_running_loop().stats().reactor;
        for round in 0..5 {
            let before = stats();
            writer.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
            reader.readuntil("\r\n\r\n").await.unwrap();
            let after = stats();
            if round > 0 {
                // One on each side.
                assert_eq!(after.writes - before.writes, 2, "round {round}");
                assert_eq!(after.reads - before.reads, 2, "round {round}");
            }
        }
    });
}

#[test]
fn the_executor_spawns_what_is_not_send() {
    run(async {
        let (feeder, mut reader) = asyncio_net::StreamReader::pair(100);
        let text = Rc::new("spawned");
        hyper::rt::Executor::execute(&LocalExecutor, async move { feeder.feed_data(*text) });
        assert_eq!(reader.read_to_end().await.unwrap(), "spawned");
    });
}

#[test]
fn the_traits_of_tokio_read_and_write_our_streams() {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
    run(async {
        let server = ServerOptions::new()
            .start(
                |mut reader, mut writer| async move {
                    // The halves alone.
                    let n = tokio::io::copy(&mut reader, &mut writer).await?;
                    assert_eq!(n, 2_000_018);
                    AsyncWriteExt::shutdown(&mut writer).await
                },
                "127.0.0.1",
                0,
            )
            .await
            .unwrap();
        let port = server.local_addrs()[0].port();
        let mut stream = SocketStream::from(open_connection("127.0.0.1", port).await.unwrap());
        AsyncWriteExt::write_all(&mut stream, b"a line\nand ten more")
            .await
            .unwrap();
        AsyncWriteExt::flush(&mut stream).await.unwrap();
        let mut line = String::new();
        AsyncBufReadExt::read_line(&mut stream, &mut line)
            .await
            .unwrap();
        assert_eq!(line, "a line\n");
        let mut ten = [0; 11];
        AsyncReadExt::read_exact(&mut stream, &mut ten)
            .await
            .unwrap();
        assert_eq!(&ten, b"and ten mor");
        let (mut reader, mut writer) = stream.into_split();
        let sending = spawn(async move {
            AsyncWriteExt::write_all(&mut writer, &vec![7; 2_000_000])
                .await
                .unwrap();
            AsyncWriteExt::shutdown(&mut writer).await.unwrap();
            writer
        });
        let mut all = Vec::new();
        AsyncReadExt::read_to_end(&mut reader, &mut all)
            .await
            .unwrap();
        assert!(all.len() == 2_000_001 && all[0] == b'e' && all[1..].iter().all(|&byte| byte == 7));
        sending.await.unwrap();
    });
}

#[test]
fn a_read_into_no_room_does_not_wait() {
    run(async {
        let (reader, writer, _peer) = with_peer().await;
        let mut stream = SocketStream::new(reader, writer);
        let by_tokio = tokio::io::AsyncReadExt::read(&mut stream, &mut []);
        assert_eq!(poll_once(pin!(by_tokio)).await.unwrap().unwrap(), 0);
        let by_futures = futures_util::AsyncReadExt::read(&mut stream, &mut []);
        assert_eq!(poll_once(pin!(by_futures)).await.unwrap().unwrap(), 0);
        let mut room = hyper::rt::ReadBuf::new(&mut []);
        let mut stream = pin!(stream);
        let by_hyper =
            poll_fn(|cx| hyper::rt::Read::poll_read(stream.as_mut(), cx, room.unfilled()));
        assert!(poll_once(pin!(by_hyper)).await.is_some());
    });
}

#[test]
fn a_read_by_the_traits_of_tokio_that_is_given_up_loses_nothing() {
    use tokio::io::AsyncReadExt;
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        let mut buffer = vec![0; 10_000];
        for text in ["one", "two", "three"] {
            assert!(
                poll_once(pin!(AsyncReadExt::read(&mut reader, &mut buffer)))
                    .await
                    .is_none()
            );
            send(&mut peer, text);
            let n = AsyncReadExt::read(&mut reader, &mut buffer).await.unwrap();
            assert_eq!(&buffer[..n], text.as_bytes());
        }
        // Both kinds of traits, and our own methods, see the same stream.
        send(&mut peer, "four\nfive");
        assert_eq!(reader.readline().await.unwrap(), "four\n");
        assert_eq!(
            AsyncReadExt::read(&mut reader, &mut buffer[..2])
                .await
                .unwrap(),
            2
        );
        assert_eq!(
            futures_util::AsyncReadExt::read(&mut reader, &mut buffer)
                .await
                .unwrap(),
            2
        );
        assert_eq!(&buffer[..2], b"ve");
        drop(peer);
        assert_eq!(
            AsyncReadExt::read(&mut reader, &mut buffer).await.unwrap(),
            0
        );
    });
}

#[test]
fn a_stream_is_split_and_put_together_without_losing_anything() {
    use futures_util::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
    run(async {
        let (reader, writer, mut peer) = with_peer().await;
        let mut stream = SocketStream::new(reader, writer);
        send(&mut peer, "one\ntwo\nthree");
        let mut line = String::new();
        AsyncBufReadExt::read_line(&mut stream, &mut line)
            .await
            .unwrap();
        let (mut reader, writer) = stream.into_split();
        assert_eq!(reader.readline().await.unwrap(), "two\n");
        let mut stream = SocketStream::from((reader, writer));
        let mut rest = [0; 5];
        AsyncReadExt::read_exact(&mut stream, &mut rest)
            .await
            .unwrap();
        assert_eq!(&rest, b"three");
        AsyncWriteExt::write_all(&mut stream, b"back")
            .await
            .unwrap();
        stream.writer().write(" and closed");
        AsyncWriteExt::close(&mut stream).await.unwrap();
        assert_eq!(all_of(peer).await, b"back and closed");
        assert_eq!(stream.reader().read(1).await.unwrap(), "");
    });
}
