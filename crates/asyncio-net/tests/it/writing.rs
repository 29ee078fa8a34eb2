use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;

use asyncio_net::StreamWriter;

use crate::support::*;

fn writes() -> u64 {
    asyncio_runtime::get_running_loop().stats().reactor.writes
}

#[test]
fn the_first_write_of_a_turn_leaves_at_once_and_later_ones_together_at_its_end() {
    run(async {
        let (_reader, writer, mut peer) = with_peer().await;
        for _ in 0..3 {
            yield_now().await;
            let before = writes();
            writer.write("one");
            assert_eq!(readable_now(&mut peer), b"one");
            writer.write(b" two");
            writer.write(vec![b'!']);
            assert_eq!(readable_now(&mut peer), b"");
            assert_eq!(writer.get_write_buffer_size(), 5);
            yield_now().await;
            assert_eq!(readable_now(&mut peer), b" two!");
            assert_eq!(writes() - before, 2);
        }
    });
}

#[test]
fn drain_sends_at_once_what_was_gathered() {
    run(async {
        let (_reader, writer, mut peer) = with_peer().await;
        writer.write("one");
        writer.write(" two");
        assert!(
            matches!(poll_once(pin!(writer.drain())).await, Some(Ok(()))),
            "nothing to wait for"
        );
        assert_eq!(readable_now(&mut peer), b"one two");
    });
}

#[test]
fn writelines_is_one_system_call() {
    run(async {
        let (_reader, writer, mut peer) = with_peer().await;
        let before = writes();
        writer.writelines(["a", "", "bc", "def"]);
        writer.writelines(Vec::<String>::new());
        assert_eq!(writes() - before, 1);
        assert_eq!(readable_now(&mut peer), b"abcdef");
        // More pieces than one call takes, after a write: everything in order.
        let pieces: Vec<String> = (0..3000).map(|n| format!("{n},")).collect();
        writer.writelines(&pieces);
        writer.writelines(["end"]);
        writer.close();
        assert_eq!(all_of(peer).await, (pieces.concat() + "end").into_bytes());
    });
}

#[test]
fn what_is_written_in_the_last_turn_of_a_run_is_sent() {
    let peer = run(async {
        let (reader, writer, peer) = with_peer().await;
        writer.write("one");
        writer.write(" two");
        std::mem::forget((reader, writer));
        peer
    });
    let mut peer = peer;
    assert_eq!(readable_now(&mut peer), b"one two");
}

#[test]
fn what_the_end_of_a_turn_cannot_send_is_sent_in_the_background() {
    run(async {
        let (_reader, writer, peer) = with_peer().await;
        writer.write("small");
        writer.write(vec![1; 20_000_000]);
        writer.write("last");
        yield_now().await;
        assert!(writer.get_write_buffer_size() > 0);
        writer.write_eof();
        let received = all_of(peer).await;
        assert!(received.starts_with(b"small\x01") && received.ends_with(b"\x01last"));
        assert_eq!(received.len(), 20_000_009);
    });
}

// S203, S213
#[test]
fn drain_waits_for_a_peer_that_does_not_read_and_every_byte_arrives() {
    run(async {
        let (_reader, writer, peer) = with_peer().await;
        let data: Vec<u8> = (0..20_000_000u32).map(|n| (n % 249) as u8).collect();
        writer.write(&data);
        let unsent = writer.get_write_buffer_size();
        assert!(unsent > 64 * 1024, "{unsent}");
        {
            let mut drain = pin!(writer.drain());
            assert!(poll_once(drain.as_mut()).await.is_none());
            // What is written meanwhile is kept in order.
            writer.write("the");
            yield_now().await;
            writer.writelines([" ", "end"]);
            assert!(poll_once(drain.as_mut()).await.is_none());
            let received = spawn(all_of(peer));
            drain.await.unwrap();
            assert!(writer.get_write_buffer_size() <= 16 * 1024);
            writer.close();
            writer.wait_closed().await.unwrap();
            let received = received.await.unwrap();
            assert!(received[..data.len()] == data && &received[data.len()..] == b"the end");
        }
    });
}

// S213
#[test]
fn several_drainers_are_all_released() {
    run(async {
        let (_reader, writer, peer) = with_peer().await;
        let writer = Rc::new(writer);
        writer.write(vec![0; 20_000_000]);
        let drainers: Vec<_> = (0..5)
            .map(|_| {
                let writer = writer.clone();
                spawn(async move { writer.drain().await })
            })
            .collect();
        yield_now().await;
        yield_now().await;
        assert!(drainers.iter().all(|drainer| !drainer.done()));
        drainers[2].cancel();
        let received = spawn(all_of(peer));
        for (n, drainer) in drainers.into_iter().enumerate() {
            match drainer.await {
                Ok(result) => result.unwrap(),
                Err(error) => assert!(n == 2 && error.is_cancelled()),
            }
        }
        writer.close();
        assert_eq!(received.await.unwrap().len(), 20_000_000);
    });
}

// S203
#[test]
fn the_marks_of_flow_control_can_be_set() {
    run(async {
        let (_reader, writer, peer) = with_peer().await;
        writer.write(vec![0; 20_000_000]);
        assert!(poll_once(pin!(writer.drain())).await.is_none());
        writer.set_write_buffer_limits(100_000_000, 50_000_000);
        assert!(
            poll_once(pin!(writer.drain())).await.is_some(),
            "that much may be unsent"
        );
        writer.set_write_buffer_limits(0, 0);
        let mut drain = pin!(writer.drain());
        assert!(poll_once(drain.as_mut()).await.is_none());
        let received = spawn(all_of(peer));
        drain.await.unwrap();
        assert_eq!(writer.get_write_buffer_size(), 0);
        writer.abort();
        received.await.unwrap();
    });
}

#[test]
#[should_panic(expected = "must not be above the high one")]
fn marks_in_the_wrong_order_are_refused() {
    run(async {
        let (_reader, writer, _peer) = with_peer().await;
        writer.set_write_buffer_limits(1, 2);
    });
}

// S201
#[test]
fn close_sends_what_is_left_and_says_at_once_that_it_is_closing() {
    run(async {
        let (reader, writer, peer) = with_peer().await;
        writer.write(vec![1; 10_000_000]);
        writer.close();
        writer.close();
        assert!(writer.is_closing());
        // S213
        assert!(writer.peer_addr().is_ok());
        drop((reader, writer));
        assert_eq!(all_of(peer).await.len(), 10_000_000);
    });
}

// S201, S214
#[test]
fn close_without_anything_left_closes_the_socket_at_once() {
    run(async {
        let (_reader, writer, peer) = with_peer().await;
        writer.write("good bye");
        writer.close();
        assert!(matches!(
            poll_once(pin!(writer.wait_closed())).await,
            Some(Ok(()))
        ));
        assert_eq!(
            writer.local_addr().unwrap_err().kind(),
            ErrorKind::NotConnected
        );
        assert!(writer.peer_addr().is_ok());
        assert_eq!(all_of(peer).await, b"good bye");
        // S204, S213
        writer.write("too late");
        assert_eq!(
            writer.drain().await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
    });
}

// S201
#[test]
fn abort_drops_what_is_left() {
    run(async {
        let (_reader, writer, mut peer) = with_peer().await;
        writer.write(vec![1; 20_000_000]);
        yield_now().await;
        writer.abort();
        writer.abort();
        assert!(writer.is_closing());
        writer.wait_closed().await.unwrap();
        assert_eq!(writer.get_write_buffer_size(), 0);
        assert!(readable_now(&mut peer).len() < 20_000_000);
        // The task that was sending the rest is gone as well.
        yield_now().await;
        yield_now().await;
        assert_eq!(asyncio_executor::all_tasks().len(), 1);
    });
}

#[test]
fn wait_closed_does_not_close_and_ends_when_somebody_does() {
    run(async {
        let (_reader, writer, _peer) = with_peer().await;
        let writer = Rc::new(writer);
        let waiting = spawn({
            let writer = writer.clone();
            async move { writer.wait_closed().await }
        });
        for _ in 0..50 {
            yield_now().await;
        }
        assert!(!waiting.done() && !writer.is_closing());
        writer.close();
        waiting.await.unwrap().unwrap();
    });
}

#[test]
fn the_end_follows_what_was_written_and_reading_goes_on() {
    run(async {
        let (mut reader, writer, peer) = with_peer().await;
        assert!(writer.can_write_eof());
        writer.write(vec![1; 10_000_000]);
        writer.write_eof();
        writer.write_eof();
        let answering = peer.try_clone().unwrap();
        assert_eq!(all_of(peer).await.len(), 10_000_000);
        send(&mut { answering }, "answer");
        assert_eq!(reader.readexactly(6).await.unwrap(), "answer");
    });
}

// S204
#[test]
#[should_panic(expected = "`write` after `write_eof`")]
fn a_write_after_the_end_is_refused() {
    run(async {
        let (_reader, writer, _peer) = with_peer().await;
        writer.write_eof();
        writer.write("too late");
    });
}

// S204, S213
#[test]
fn writes_to_a_lost_connection_are_dropped_and_drain_tells() {
    run(async {
        let (_reader, writer, peer) = with_peer().await;
        reset(peer);
        for _ in 0..10 {
            writer.write("x");
            yield_now().await;
        }
        let error = writer.drain().await.unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
            ),
            "{error}"
        );
        assert_eq!(writer.get_write_buffer_size(), 0);
        assert_eq!(writer.wait_closed().await.unwrap_err().kind(), error.kind());
    });
}

#[test]
fn a_reset_releases_a_drain_that_waits() {
    run(async {
        let (_reader, writer, peer) = with_peer().await;
        writer.write(vec![1; 20_000_000]);
        let mut drain = pin!(writer.drain());
        assert!(poll_once(drain.as_mut()).await.is_none());
        reset(peer);
        assert!(drain.await.is_err());
    });
}

// S214
#[test]
fn dropping_the_writer_ends_the_stream_and_leaves_the_reader() {
    run(async {
        let (mut reader, writer, peer) = with_peer().await;
        writer.write("one");
        writer.write(" two");
        drop(writer);
        let answering = peer.try_clone().unwrap();
        assert_eq!(all_of(peer).await, b"one two");
        send(&mut { answering }, "answer");
        assert_eq!(reader.readexactly(6).await.unwrap(), "answer");
    });
}

// S214
#[test]
fn dropping_both_ends_sends_what_is_left_and_closes() {
    run(async {
        for reader_first in [true, false] {
            let (reader, writer, peer) = with_peer().await;
            writer.write(vec![1; 10_000_000]);
            if reader_first {
                drop(reader);
                drop(writer);
            } else {
                drop(writer);
                drop(reader);
            }
            assert_eq!(all_of(peer).await.len(), 10_000_000);
            until(|| asyncio_executor::all_tasks().len() == 1).await;
        }
    });
}

#[test]
fn dropping_both_ends_costs_no_shutdown_call() {
    run(async {
        let (reader, writer, peer) = with_peer().await;
        writer.write("x");
        let before = asyncio_runtime::get_running_loop().stats().reactor.others;
        drop(writer);
        drop(reader);
        yield_now().await;
        assert_eq!(
            asyncio_runtime::get_running_loop().stats().reactor.others,
            before
        );
        assert_eq!(all_of(peer).await, b"x");
    });
}

#[test]
fn streams_may_be_dropped_after_their_loop() {
    let (reader, writer, peer) = run(async {
        let (reader, writer, peer) = with_peer().await;
        writer.write(vec![1; 20_000_000]);
        (reader, writer, peer)
    });
    writer.write("nobody will send this");
    drop((reader, writer));
    let mut peer = peer;
    assert!(readable_now(&mut peer).len() < 20_000_000);
}

#[test]
fn cancelling_every_task_loses_the_unsent_data_and_says_so() {
    run(async {
        let (_reader, writer, _peer) = with_peer().await;
        writer.write(vec![1; 20_000_000]);
        yield_now().await;
        let main = asyncio_executor::current_task().unwrap();
        for task in asyncio_executor::all_tasks() {
            if task != main {
                task.cancel();
            }
        }
        yield_now().await;
        yield_now().await;
        assert_eq!(
            writer.drain().await.unwrap_err().kind(),
            ErrorKind::ConnectionAborted
        );
    });
}

/// What is reported from now on.
pub(crate) fn reports() -> Rc<std::cell::RefCell<Vec<String>>> {
    let reports = Rc::new(std::cell::RefCell::new(Vec::new()));
    let place = reports.clone();
    asyncio_runtime::get_running_loop().set_exception_handler(Some(Rc::new(move |report| {
        place.borrow_mut().push(report.message.clone());
    })));
    reports
}

// S204
#[test]
fn from_the_fifth_write_on_that_is_dropped_there_is_a_warning() {
    run(async {
        let (_reader, writer, _peer) = with_peer().await;
        let reports = reports();
        writer.close();
        for _ in 0..4 {
            writer.write("lost");
        }
        writer.write("");
        assert!(reports.borrow().is_empty(), "{reports:?}");
        writer.write("lost");
        writer.writelines(["lost"]);
        let reports = reports.borrow();
        assert_eq!(reports.len(), 2);
        assert!(reports[0].contains("write no. 5"), "{reports:?}");
        assert!(reports[1].contains("write no. 6"), "{reports:?}");
    });
}

// S214
#[test]
fn in_debug_mode_a_writer_that_is_dropped_unclosed_is_reported() {
    run(async {
        let reports = reports();
        let (_reader, writer, _peer) = with_peer().await;
        drop(writer);
        assert!(reports.borrow().is_empty(), "only in debug mode");
        asyncio_runtime::get_running_loop().set_debug(true);
        for end in [
            StreamWriter::close,
            StreamWriter::abort,
            StreamWriter::write_eof,
        ] {
            let (_reader, writer, _peer) = with_peer().await;
            end(&writer);
            drop(writer);
        }
        assert!(reports.borrow().is_empty(), "{reports:?}");
        let (_reader, writer, _peer) = with_peer().await;
        let peer = writer.peer_addr().unwrap().to_string();
        drop(writer);
        let reports = reports.borrow();
        assert_eq!(reports.len(), 1);
        assert!(
            reports[0].starts_with("unclosed StreamWriter"),
            "{reports:?}"
        );
        assert!(reports[0].contains(&peer), "{reports:?}");
    });
}

#[test]
fn the_socket_can_be_asked_and_set() {
    use rustix::net::sockopt;
    run(async {
        let (_reader, writer, mut peer) = with_peer().await;
        let socket = writer.socket().unwrap();
        assert!(sockopt::tcp_nodelay(&socket).unwrap());
        sockopt::set_tcp_nodelay(&socket, false).unwrap();
        drop(socket);
        assert!(!sockopt::tcp_nodelay(writer.socket().unwrap()).unwrap());
        // It is closed as soon as nobody looks any more.
        let looked_at = writer.socket().unwrap();
        writer.close();
        assert!(writer.socket().is_none());
        writer.wait_closed().await.unwrap();
        drop(looked_at);
        assert_eq!(std::io::Read::read(&mut peer, &mut [0]).unwrap(), 0);
    });
}
