//! Streams without a connection, lines, errors that are set.

use std::io::{self, ErrorKind};
use std::pin::pin;

use asyncio_net::{StreamError, StreamReader};
use futures_util::StreamExt;

use crate::support::*;

#[test]
fn a_reader_is_fed_while_a_task_reads() {
    run(async {
        let (feeder, mut reader) = StreamReader::pair(100);
        let reading = spawn(async move {
            let first = reader.readexactly(5).await.unwrap();
            let rest = reader.read_to_end().await.unwrap();
            assert!(reader.at_eof());
            (first, rest)
        });
        feeder.feed_data("he");
        yield_now().await;
        feeder.clone().feed_data(b"llo ".to_vec());
        yield_now().await;
        assert!(!reading.done());
        feeder.feed_data("world");
        feeder.feed_eof();
        let (first, rest) = reading.await.unwrap();
        assert_eq!((&first[..], &rest[..]), (&b"hello"[..], &b" world"[..]));
    });
}

#[test]
fn the_last_feeder_that_is_dropped_ends_the_stream() {
    run(async {
        let (feeder, mut reader) = StreamReader::pair(100);
        let other = feeder.clone();
        drop(feeder);
        assert!(poll_once(pin!(reader.read(1))).await.is_none());
        other.feed_data("x");
        drop(other);
        assert_eq!(reader.read(10).await.unwrap(), "x");
        assert_eq!(reader.read(10).await.unwrap(), "");
    });
}

#[test]
fn what_was_fed_may_feed_more_when_it_is_dropped() {
    use std::cell::RefCell;
    thread_local! {
        static FEEDER: RefCell<Option<asyncio_net::StreamFeeder>> = const { RefCell::new(None) };
    }
    struct Owned;
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            b"one "
        }
    }
    impl Drop for Owned {
        fn drop(&mut self) {
            let feeder = FEEDER.take().expect("it is dropped once");
            feeder.feed_data("and more");
        }
    }
    run(async {
        let (feeder, mut reader) = StreamReader::pair(1024);
        feeder.feed_data(bytes::Bytes::from_owner(Owned));
        FEEDER.set(Some(feeder));
        assert_eq!(reader.read_to_end().await.unwrap(), "one and more");
    });
}

#[test]
#[should_panic = "`feed_data` after `feed_eof`"]
fn feeding_after_the_end_is_refused() {
    let (feeder, _reader) = StreamReader::pair(100);
    feeder.feed_eof();
    feeder.feed_data("x");
}

// S212
#[test]
fn an_error_that_is_set_is_raised_by_every_later_read_before_buffered_data() {
    run(async {
        let (feeder, mut reader) = StreamReader::pair(100);
        feeder.feed_data("data");
        assert_eq!(reader.readexactly(1).await.unwrap(), "d");
        assert!(reader.exception().is_none());
        feeder.set_exception(&io::Error::new(ErrorKind::HostUnreachable, "gone"));
        feeder.set_exception(&io::Error::other("a second one changes nothing"));
        for _ in 0..2 {
            let error = reader.read(10).await.unwrap_err();
            assert_eq!(
                (error.kind(), &*error.to_string()),
                (ErrorKind::HostUnreachable, "gone")
            );
            assert!(matches!(reader.readline().await, Err(StreamError::Io(_))));
            assert!(matches!(
                reader.readexactly(1).await,
                Err(StreamError::Io(_))
            ));
        }
        assert_eq!(reader.exception().unwrap().to_string(), "gone");
    });
}

#[test]
fn an_error_wakes_a_read_that_waits() {
    run(async {
        let (feeder, mut reader) = StreamReader::pair(100);
        let mut read = pin!(reader.read(1));
        assert!(poll_once(read.as_mut()).await.is_none());
        feeder.set_exception(&io::Error::from_raw_os_error(104));
        assert_eq!(read.await.unwrap_err().raw_os_error(), Some(104));
    });
}

// S212
#[test]
fn an_error_can_be_set_on_a_connected_reader_too() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        send(&mut peer, "data");
        reader.set_exception(&io::Error::other("no more"));
        assert_eq!(reader.read(1).await.unwrap_err().to_string(), "no more");
    });
}

// S210
#[test]
fn a_feeder_is_full_above_twice_the_limit_and_goes_on_at_the_limit() {
    run(async {
        let (feeder, mut reader) = StreamReader::pair(100);
        feeder.feed_data(vec![0; 200]);
        assert!(!feeder.is_full());
        feeder.drain().await;
        feeder.feed_data("!");
        assert!(feeder.is_full());
        {
            let mut drain = pin!(feeder.drain());
            assert!(poll_once(drain.as_mut()).await.is_none());
            // What is read goes through the reader's own buffer, of up to twice the limit.
            assert_eq!(reader.readexactly(101).await.unwrap().len(), 101);
            assert!(poll_once(drain.as_mut()).await.is_some());
        }
        // A read that needs more gets it, however full.
        feeder.feed_data(vec![0; 1000]);
        assert_eq!(reader.readexactly(1100).await.unwrap().len(), 1100);
        feeder.feed_data(vec![0; 1000]);
        let mut drain = pin!(feeder.drain());
        assert!(poll_once(drain.as_mut()).await.is_none());
        drop(reader);
        drain.await;
        feeder.feed_data("for nobody");
        assert!(!feeder.is_full());
    });
}

#[test]
fn lines_come_with_their_newline_until_the_end() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        send(&mut peer, "one\n\nthree\nfo");
        let mut lines = reader.lines();
        assert_eq!(lines.next().await.unwrap().unwrap(), "one\n");
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "\n");
        assert_eq!(lines.next_line().await.unwrap().unwrap(), "three\n");
        assert!(poll_once(pin!(lines.next_line())).await.is_none());
        assert!(poll_once(pin!(lines.next())).await.is_none());
        send(&mut peer, "ur");
        drop(peer);
        assert_eq!(lines.next().await.unwrap().unwrap(), "four");
        assert!(lines.next().await.is_none());
        assert!(lines.next_line().await.unwrap().is_none());
    });
}

// S209
#[test]
fn a_line_that_is_too_long_is_an_error_and_the_lines_go_on() {
    run(async {
        let (feeder, mut reader) = StreamReader::pair(10);
        feeder.feed_data("short\nmuch too long\nshort again\n");
        feeder.feed_data("fine\n");
        feeder.feed_eof();
        let all: Vec<_> = reader.lines().collect().await;
        let all: Vec<_> = all
            .iter()
            .map(|line| match line {
                Ok(line) => std::str::from_utf8(line).unwrap(),
                Err(StreamError::LimitOverrun(_)) => "too long",
                Err(_) => "another error",
            })
            .collect();
        assert_eq!(all, ["short\n", "too long", "too long", "fine\n"]);
    });
}

#[test]
fn an_error_of_the_connection_is_the_last_line() {
    run(async {
        let (mut reader, _writer, mut peer) = with_peer().await;
        send(&mut peer, "one\n");
        let mut lines = reader.lines();
        assert_eq!(lines.next().await.unwrap().unwrap(), "one\n");
        reset(peer);
        assert!(matches!(lines.next().await, Some(Err(StreamError::Io(_)))));
        assert!(lines.next().await.is_none());
    });
}
