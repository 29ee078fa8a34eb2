use std::net::Shutdown;
use std::pin::pin;

use asyncio_net::{IncompleteReadError, LimitOverrunError, StreamError};

use crate::support::*;

fn incomplete(result: Result<bytes::Bytes, StreamError>) -> IncompleteReadError {
    match result {
        Err(StreamError::Incomplete(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn overrun(result: Result<bytes::Bytes, StreamError>) -> LimitOverrunError {
    match result {
        Err(StreamError::LimitOverrun(error)) => error,
        other => panic!("{other:?}"),
    }
}

// S206
#[test]
fn read_gives_what_is_there_nothing_for_0_and_nothing_at_the_end() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        assert_eq!(reader.read(0).await.unwrap(), "");
        send(&mut peer, "hello");
        assert_eq!(reader.read(3).await.unwrap(), "hel");
        assert_eq!(reader.read(100).await.unwrap(), "lo");
        assert!(!reader.at_eof());
        drop(peer);
        assert_eq!(reader.read(100).await.unwrap(), "");
        assert!(reader.at_eof());
        assert_eq!(reader.read(100).await.unwrap(), "");
    });
}

// S206
#[test]
fn read_to_end_is_not_bound_by_the_limit() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer_and_limit(16).await;
        let data: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        let sent = data.clone();
        let sender = std::thread::spawn(move || send(&mut peer, sent));
        assert!(reader.read_to_end().await.unwrap() == data);
        assert!(reader.at_eof());
        sender.join().unwrap();
    });
}

// S207
#[test]
fn readexactly_gives_all_or_the_partial_data_and_is_not_bound_by_the_limit() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer_and_limit(4).await;
        send(&mut peer, vec![7; 300_000]);
        assert_eq!(reader.readexactly(0).await.unwrap(), "");
        assert_eq!(reader.readexactly(3).await.unwrap(), &[7; 3][..]);
        assert_eq!(reader.readexactly(200_000).await.unwrap(), vec![7; 200_000]);
        drop(peer);
        let error = incomplete(reader.readexactly(100_000).await);
        assert_eq!(
            (error.partial.len(), error.expected),
            (99_997, Some(100_000))
        );
        assert!(reader.at_eof(), "the partial data are consumed");
        assert_eq!(incomplete(reader.readexactly(1).await).partial, "");
    });
}

#[test]
fn readexactly_of_more_than_memory_holds_waits_for_it_without_taking_it() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        send(&mut peer, "a little");
        drop(peer);
        assert_eq!(
            incomplete(reader.readexactly(usize::MAX).await).partial,
            "a little"
        );
    });
}

// S208
#[test]
fn readuntil_includes_the_separator_and_the_earliest_end_wins() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        send(&mut peer, "one\r\ntwo;three\r");
        assert_eq!(reader.readuntil("\r\n").await.unwrap(), "one\r\n");
        assert_eq!(reader.readuntil_any(&["\r\n", ";"]).await.unwrap(), "two;");
        let mut rest = pin!(reader.readuntil(b"\r\n"));
        assert!(poll_once(rest.as_mut()).await.is_none());
        send(&mut peer, "\n.");
        assert_eq!(rest.await.unwrap(), "three\r\n");
    });
}

// S208
#[test]
fn readuntil_over_the_limit_leaves_the_data_in_place() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer_and_limit(5).await;
        send(&mut peer, "123456;next;");
        let error = overrun(reader.readuntil(";").await);
        assert!(error.consumed > 5 && error.limit == 5, "{error}");
        assert_eq!(reader.readexactly(7).await.unwrap(), "123456;");
        assert_eq!(reader.readuntil(";").await.unwrap(), "next;");
        send(&mut peer, "12345;");
        assert_eq!(
            reader.readuntil(";").await.unwrap(),
            "12345;",
            "equal is fine"
        );
    });
}

// S208
#[test]
fn readuntil_at_the_end_gives_the_partial_data_and_empties_the_buffer() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        send(&mut peer, "no separator");
        drop(peer);
        let error = incomplete(reader.readuntil(";").await);
        assert_eq!(
            (&error.partial[..], error.expected),
            (&b"no separator"[..], None)
        );
        assert!(reader.at_eof());
    });
}

// S208
#[test]
fn an_empty_separator_is_refused() {
    run(async {
        let (mut reader, _writer, _peer) = with_peer().await;
        for result in [
            reader.readuntil("").await,
            reader.readuntil_any::<&str>(&[]).await,
        ] {
            assert!(
                matches!(result, Err(StreamError::Io(error)) if error.kind() == std::io::ErrorKind::InvalidInput)
            );
        }
    });
}

// S209
#[test]
fn readline_gives_the_last_line_without_newline_and_then_nothing() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        send(&mut peer, "one\n\nlast");
        drop(peer);
        assert_eq!(reader.readline().await.unwrap(), "one\n");
        assert_eq!(reader.readline().await.unwrap(), "\n");
        assert_eq!(reader.readline().await.unwrap(), "last");
        assert_eq!(reader.readline().await.unwrap(), "");
    });
}

// S209
#[test]
fn readline_over_the_limit_drops_the_line_if_its_newline_is_there() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer_and_limit(5).await;
        send(&mut peer, "1234567\nab\n");
        // The buffer holds 10 bytes (twice the limit), with the newline among them.
        overrun(reader.readline().await);
        assert_eq!(reader.readline().await.unwrap(), "ab\n");
    });
}

// S209
#[test]
fn readline_over_the_limit_drops_the_whole_buffer_if_not() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer_and_limit(5).await;
        send(&mut peer, "1234567890abc\n");
        overrun(reader.readline().await);
        assert_eq!(reader.readline().await.unwrap(), "abc\n");
    });
}

// S210
#[test]
fn no_more_than_twice_the_limit_is_read_ahead() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer_and_limit(100).await;
        send(&mut peer, [b'x'; 1000]);
        overrun(reader.readuntil("\n").await);
        assert!(
            format!("{reader:?}").contains("buffered: 200"),
            "{reader:?}"
        );
    });
}

// S212
#[test]
fn a_reset_is_raised_by_every_later_read() {
    run(async {
        let (mut reader, writer, mut peer) = with_peer().await;
        send(&mut peer, "data");
        assert_eq!(reader.read(1).await.unwrap(), "d");
        reset(peer);
        let error = reader.readexactly(10).await.unwrap_err();
        for _ in 0..2 {
            let error = reader.read(1).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        assert_eq!(
            std::io::Error::from(error).kind(),
            std::io::ErrorKind::ConnectionReset
        );
        // S213
        assert_eq!(
            writer.drain().await.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionReset
        );
        assert_eq!(
            writer.wait_closed().await.unwrap_err().kind(),
            std::io::ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn data_and_end_that_come_together_are_both_seen() {
    run(async {
        for _ in 0..100 {
            let (mut reader, _writer, mut peer) = with_peer().await;
            let mut read = pin!(reader.read_to_end());
            assert!(poll_once(read.as_mut()).await.is_none());
            send(&mut peer, "last words");
            drop(peer);
            assert_eq!(read.await.unwrap(), "last words");
        }
    });
}

#[test]
fn a_read_that_is_dropped_again_and_again_loses_nothing() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        let data: Vec<u8> = (0..50_000u32).map(|n| (n % 251) as u8).collect();
        let mut sent = data.clone();
        sent.extend_from_slice(b"a line\nuntil;to the end");
        let sender = std::thread::spawn(move || {
            for piece in sent.chunks(777) {
                send(&mut peer, piece);
            }
        });
        // Each of these is made, polled once and dropped until it is ready.
        assert!(
            in_bits(&mut reader, async |reader| reader
                .readexactly(49_990)
                .await
                .unwrap())
            .await
                == data[..49_990]
        );
        let mut buffer = [0; 10];
        let mut got = 0;
        while got < 10 {
            let room = 10 - got;
            let piece = in_bits(&mut reader, async |reader| reader.read(room).await.unwrap()).await;
            buffer[got..got + piece.len()].copy_from_slice(&piece);
            got += piece.len();
        }
        assert_eq!(buffer, data[49_990..]);
        assert_eq!(
            in_bits(&mut reader, async |reader| reader.readline().await.unwrap()).await,
            "a line\n"
        );
        assert_eq!(
            in_bits(&mut reader, async |reader| reader
                .readuntil(";")
                .await
                .unwrap())
            .await,
            "until;"
        );
        assert_eq!(
            in_bits(&mut reader, async |reader| reader
                .read_to_end()
                .await
                .unwrap())
            .await,
            "to the end"
        );
        sender.join().unwrap();
    });
}

#[test]
fn a_read_whose_task_is_cancelled_loses_nothing() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        send(&mut peer, "par");
        let task = spawn(async move {
            let outcome = asyncio_executor::catch_cancelled(reader.readexactly(7)).await;
            assert!(outcome.is_err());
            reader
        });
        // Until the first half is in its buffer.
        for _ in 0..100 {
            yield_now().await;
        }
        task.cancel();
        let mut reader = task.await.unwrap();
        send(&mut peer, "tial");
        assert_eq!(reader.readexactly(7).await.unwrap(), "partial");
    });
}

#[test]
fn read_into_serves_small_and_large_buffers_and_mixes_with_the_others() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        let data: Vec<u8> = (0..100_000u32).map(|n| (n % 253) as u8).collect();
        let sent = data.clone();
        let sender = std::thread::spawn(move || send(&mut peer, sent));
        let mut got = Vec::new();
        let mut buffer = vec![0; 10_000];
        for size in [1, 10, 4096, 100, 10_000, 5].into_iter().cycle() {
            assert_eq!(reader.read_into(&mut []).await.unwrap(), 0);
            let n = reader.read_into(&mut buffer[..size]).await.unwrap();
            if n == 0 {
                break;
            }
            got.extend_from_slice(&buffer[..n]);
            got.extend_from_slice(&reader.read(3).await.unwrap());
        }
        assert!(got == data);
        sender.join().unwrap();
    });
}

#[test]
fn a_sender_that_is_faster_than_its_reader_does_not_starve_other_tasks() {
    use std::{cell::Cell, rc::Rc};
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        let turns = Rc::new(Cell::new(0u32));
        let counting = turns.clone();
        let counter = spawn(async move {
            loop {
                counting.set(counting.get() + 1);
                yield_now().await;
            }
        });
        send(&mut peer, [0; 1000]);
        let mut byte = [0];
        for _ in 0..1000 {
            // Each byte is there already. Served from the buffer, that never waits; from the kernel, it does now and then.
            assert_eq!(reader.read_into(&mut byte).await.unwrap(), 1);
        }
        let (mut reader, _writer, mut peer) = with_peer_and_limit(1).await;
        send(&mut peer, [0; 1000]);
        let before = turns.get();
        for _ in 0..1000 {
            reader.readexactly(1).await.unwrap();
        }
        assert!(turns.get() > before + 10, "{}", turns.get() - before);
        counter.cancel();
    });
}

// S201
#[test]
fn closing_ends_a_read_that_waits() {
    run(async {
        let (mut reader, writer, _peer) = with_peer().await;
        let reading = spawn(async move { (reader.read(10).await.unwrap(), reader.at_eof()) });
        yield_now().await;
        writer.close();
        assert_eq!(reading.await.unwrap(), (bytes::Bytes::new(), true));
    });
}

#[test]
fn a_half_closed_peer_can_still_be_written_to() {
    run(async {
        let (mut reader, writer, mut peer) = with_peer().await;
        send(&mut peer, "request");
        peer.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.read_to_end().await.unwrap(), "request");
        writer.write("response");
        writer.drain().await.unwrap();
        writer.close();
        assert_eq!(all_of(peer).await, b"response");
    });
}
