use std::io::IoSlice;
use std::pin::pin;

use futures_util::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

use crate::support::*;

#[test]
fn the_reader_is_a_futures_io_reader() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        send(&mut peer, "a line\nexact and the rest");
        let mut line = String::new();
        AsyncBufReadExt::read_line(&mut reader, &mut line)
            .await
            .unwrap();
        assert_eq!(line, "a line\n");
        let mut exact = [0; 5];
        reader.read_exact(&mut exact).await.unwrap();
        assert_eq!(&exact, b"exact");
        drop(peer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, " and the rest");
    });
}

#[test]
fn the_writer_is_a_futures_io_writer_that_waits_for_its_peer() {
    run(async {
        let (_reader, mut writer, peer) = with_peer().await;
        let data: Vec<u8> = (0..10_000_000u32).map(|n| (n % 247) as u8).collect();
        {
            let mut all = pin!(AsyncWriteExt::write_all(&mut writer, &data));
            assert!(poll_once(all.as_mut()).await.is_none());
        }
        // Dropped midway: nobody knows how much was written, but it is a prefix.
        let received = spawn(all_of(peer));
        AsyncWriteExt::flush(&mut writer).await.unwrap();
        AsyncWriteExt::write_all(&mut writer, &data).await.unwrap();
        assert!(writer.get_write_buffer_size() <= 64 * 1024 + 1);
        AsyncWriteExt::write_vectored(&mut writer, &[IoSlice::new(b"the "), IoSlice::new(b"end")])
            .await
            .unwrap();
        AsyncWriteExt::close(&mut writer).await.unwrap();
        assert!(AsyncWriteExt::write(&mut writer, b"x").await.is_err());
        let received = received.await.unwrap();
        assert!(received.ends_with(b"the end"));
        let second = &received[received.len() - 7 - data.len()..received.len() - 7];
        assert!(second == data && data.starts_with(&received[..received.len() - 7 - data.len()]));
    });
}

#[test]
fn a_write_after_close_is_an_error_also_while_the_rest_is_sent() {
    run(async {
        let (_reader, mut writer, peer) = with_peer().await;
        writer.write(vec![1; 20_000_000]);
        writer.close();
        assert!(AsyncWriteExt::write(&mut writer, b"x").await.is_err());
        assert_eq!(all_of(peer).await.len(), 20_000_000);
        assert!(AsyncWriteExt::write(&mut writer, b"x").await.is_err());
    });
}

#[test]
fn writes_of_both_kinds_keep_their_order() {
    run(async {
        let (_reader, mut writer, peer) = with_peer().await;
        let received = spawn(all_of(peer));
        let mut expected = Vec::new();
        for n in 0..2000u32 {
            let piece = vec![(n % 256) as u8; (n % 700) as usize * 10];
            if n % 3 == 0 {
                AsyncWriteExt::write_all(&mut writer, &piece).await.unwrap();
            } else {
                writer.write(&piece);
            }
            if n % 50 == 0 {
                writer.drain().await.unwrap();
            }
            expected.extend_from_slice(&piece);
        }
        AsyncWriteExt::flush(&mut writer).await.unwrap();
        assert_eq!(writer.get_write_buffer_size(), 0);
        writer.close();
        assert!(received.await.unwrap() == expected);
    });
}

#[test]
fn an_abort_from_elsewhere_ends_a_write_that_waits() {
    use asyncio_net::{open_connection, start_server};
    run(async {
        let outcome = asyncio_sync::Future::<std::io::ErrorKind>::new();
        let told = outcome.clone();
        let server = start_server(
            move |_reader, mut writer| {
                let told = told.clone();
                async move {
                    let error = AsyncWriteExt::write_all(&mut writer, &vec![0; 50_000_000])
                        .await
                        .unwrap_err();
                    told.set_result(error.kind()).unwrap();
                }
            },
            "127.0.0.1",
            0,
        )
        .await
        .unwrap();
        let (_reader, _writer) = open_connection("127.0.0.1", server.local_addrs()[0].port())
            .await
            .unwrap();
        until(|| server.connections() == 1).await;
        for _ in 0..100 {
            yield_now().await;
        }
        server.abort_clients();
        assert_eq!(outcome.await.unwrap(), std::io::ErrorKind::ConnectionReset);
    });
}
