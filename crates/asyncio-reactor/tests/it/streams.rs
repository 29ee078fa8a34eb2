//! Bytes over stream sockets: nothing lost, nothing waited for in vain.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::task::Poll;

use asyncio_reactor::{Interest, Reactor};

use crate::support::{PORTABLE, Task, look_around, tcp_pair, unix_pair, wait_for_wakes};

#[test]
fn data_and_eof_that_arrive_together_are_both_seen() {
    for tcp in [false, true] {
        let reactor = Reactor::new().unwrap();
        let _entered = reactor.enter();
        // The same for both families; only the types differ.
        macro_rules! check {
            ($pair:expr) => {{
                let (ours, mut theirs) = $pair;
                let mut buffer = [0; 64];
                let task = Task::new();
                {
                    let mut first = pin!(ours.recv(&mut buffer));
                    assert!(task.poll(first.as_mut()).is_pending());
                    theirs.write_all(b"goodbye").unwrap();
                    drop(theirs);
                    // Both have happened before the loop looks: one event carries data and end.
                    wait_for_wakes(&reactor, &task, 1);
                    assert!(matches!(task.poll(first), Poll::Ready(Ok(7))));
                }
                // A short read; yet the end is not behind another event.
                assert_eq!(reactor.block_on(ours.recv(&mut buffer)).unwrap(), 0);
                assert_eq!(reactor.block_on(ours.recv(&mut buffer)).unwrap(), 0);
            }};
        }
        if tcp {
            check!(tcp_pair())
        } else {
            check!(unix_pair())
        }
    }
}

#[test]
fn a_half_closed_connection_can_still_be_written() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair();
    theirs.write_all(b"question").unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    reactor.block_on(async {
        let mut buffer = Vec::new();
        while ours.recv_buf(&mut buffer).await.unwrap() > 0 {}
        assert_eq!(buffer, b"question");
        ours.send(b"answer").await.unwrap();
        ours.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = String::new();
    theirs.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "answer");
}

#[test]
fn an_own_shutdown_of_the_reading_side_ends_a_waiting_recv() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, _theirs) = unix_pair();
    let mut buffer = [0; 8];
    let task = Task::new();
    let mut recv = pin!(ours.recv(&mut buffer));
    assert!(task.poll(recv.as_mut()).is_pending());
    ours.shutdown(Shutdown::Read).unwrap();
    wait_for_wakes(&reactor, &task, 1);
    assert!(matches!(task.poll(recv), Poll::Ready(Ok(0))));
}

#[test]
fn a_reset_is_an_error_for_the_reader_and_for_the_writer() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, theirs) = tcp_pair();
    let mut buffer = [0; 8];
    let (reader, writer) = (Task::new(), Task::new());
    let mut recv = pin!(ours.recv(&mut buffer));
    assert!(reader.poll(recv.as_mut()).is_pending());
    while ours.try_send(&[0; 65536]).is_ok() {}
    let mut send = pin!(ours.send(&[0; 65536]));
    assert!(writer.poll(send.as_mut()).is_pending());

    // Closing with unread data resets the connection.
    drop(theirs);
    wait_for_wakes(&reactor, &reader, 1);
    wait_for_wakes(&reactor, &writer, 1);
    let Poll::Ready(Err(error)) = reader.poll(recv) else {
        panic!("the reader must see the reset")
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let Poll::Ready(Err(error)) = writer.poll(send) else {
        panic!("the writer must see the reset")
    };
    assert_eq!(error.kind(), ErrorKind::BrokenPipe, "and no signal");
}

#[test]
fn a_big_backlog_can_be_read_byte_by_byte() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = unix_pair();
    let sent: Vec<u8> = (0..10_000u32).map(|i| i as u8).collect();
    theirs.write_all(&sent).unwrap();
    drop(theirs);
    let received = reactor.block_on(async {
        let mut received = Vec::new();
        let mut byte = [0];
        while ours.recv(&mut byte).await.unwrap() == 1 {
            received.push(byte[0]);
        }
        received
    });
    assert_eq!(received, sent);
    // One byte read of one byte asked is not short: nothing to wait for in between.
    assert_eq!(reactor.stats().waits, 0);
}

#[test]
fn data_that_comes_while_nobody_waits_is_found_by_the_next_recv() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    let mut buffer = [0; 64];
    assert!(Task::new().poll(pin!(ours.recv(&mut buffer))).is_pending());
    for round in 1..100u8 {
        theirs.write_all(&vec![round; round as usize]).unwrap();
        assert_eq!(
            reactor.block_on(ours.recv(&mut buffer)).unwrap(),
            usize::min(64, round as usize)
        );
        if round > 64 {
            assert_eq!(
                reactor.block_on(ours.recv(&mut buffer)).unwrap(),
                round as usize - 64
            );
        }
        assert_eq!(
            ours.try_recv(&mut buffer).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    }
}

#[test]
fn a_full_socket_makes_the_sender_wait_until_there_is_room() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    let mut sent = 0;
    loop {
        match ours.try_send(&[1; 4096]) {
            Ok(n) => sent += n,
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    let task = Task::new();
    let mut send = pin!(ours.send(&[2; 16]));
    assert!(task.poll(send.as_mut()).is_pending());
    look_around(&reactor);
    assert_eq!(task.wakes(), 0);
    let mut received = vec![0; sent];
    theirs.read_exact(&mut received).unwrap();
    wait_for_wakes(&reactor, &task, 1);
    assert!(matches!(task.poll(send), Poll::Ready(Ok(16))));
}

#[test]
fn a_vectored_send_that_fits_in_part_says_how_much() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = tcp_pair();
    let sent: Vec<u8> = (0..8_000_000u32).map(|i| (i / 7) as u8).collect();
    // More slices than one call takes, of awkward sizes.
    let slices = |rest| {
        <[u8]>::chunks(rest, 1013)
            .map(IoSlice::new)
            .collect::<Vec<_>>()
    };
    let (mut rest, mut partial) = (&sent[..], 0);
    // Nobody reads yet: sooner or later only a part fits, and then nothing.
    loop {
        let slices = slices(rest);
        let offered: usize = slices.iter().take(1024).map(|slice| slice.len()).sum();
        match ours.try_send_vectored(&slices) {
            Ok(n) => {
                assert!(n > 0 && n <= offered);
                partial += usize::from(n < offered);
                rest = &rest[n..];
            }
            Err(error) => break assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert!(partial > 0);
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).unwrap();
        received
    });
    reactor.block_on(async {
        while !rest.is_empty() {
            let n = ours.send_vectored(&slices(rest)).await.unwrap();
            assert!(n > 0);
            rest = &rest[n..];
        }
        ours.shutdown(Shutdown::Write).unwrap();
    });
    assert!(reader.join().unwrap() == sent);
}

#[test]
fn a_dropped_recv_has_taken_nothing() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    let task = Task::new();
    for _ in 0..10 {
        let mut buffer = [0; 8];
        {
            let mut recv = pin!(ours.recv(&mut buffer));
            assert!(task.poll(recv.as_mut()).is_pending());
            theirs.write_all(b"x").unwrap();
            wait_for_wakes(&reactor, &task, task.wakes() + 1);
            // Woken, and dropped before it could read.
        }
        assert_eq!(ours.try_recv(&mut buffer).unwrap(), 1);
    }
}

#[test]
fn peeking_leaves_everything_for_recv() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    let mut buffer = [0; 8];
    assert!(Task::new().poll(pin!(ours.peek(&mut buffer))).is_pending());
    theirs.write_all(b"abc").unwrap();
    reactor.block_on(async {
        for _ in 0..3 {
            assert_eq!(ours.peek(&mut buffer).await.unwrap(), 3);
        }
        assert_eq!(ours.recv(&mut buffer).await.unwrap(), 3);
    });
    assert!(Task::new().poll(pin!(ours.peek(&mut buffer))).is_pending());
}

#[test]
fn raw_readiness_is_true_stays_and_can_be_cleared() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    let task = Task::new();
    assert!(
        task.poll(pin!(ours.readable())).is_pending(),
        "a fresh socket is tried, but is not called readable"
    );
    reactor.block_on(ours.writable()).unwrap();
    theirs.write_all(b"x").unwrap();
    reactor.block_on(ours.readable()).unwrap();
    reactor.block_on(ours.readable()).unwrap();
    ours.clear_readiness(Interest::Readable);
    assert!(task.poll(pin!(ours.readable())).is_pending() || PORTABLE);
    assert_eq!(
        ours.try_io(Interest::Readable, |mut stream| stream.read(&mut [0; 8]))
            .unwrap(),
        1
    );
}

#[test]
fn an_empty_buffer_is_answered_at_once() {
    let reactor = Reactor::new().unwrap();
    let (ours, _theirs) = tcp_pair();
    reactor.block_on(async {
        assert_eq!(ours.send(&[]).await.unwrap(), 0);
    });
}

#[test]
fn two_directions_of_one_socket_are_woken_separately() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    let (reader, writer) = (Task::new(), Task::new());
    let mut buffer = [0; 8];
    let mut recv = pin!(ours.recv(&mut buffer));
    assert!(reader.poll(recv.as_mut()).is_pending());
    while ours.try_send(&[0; 4096]).is_ok() {}
    let mut send = pin!(ours.send(b"x"));
    assert!(writer.poll(send.as_mut()).is_pending());
    look_around(&reactor);
    theirs.write_all(b"x").unwrap();
    wait_for_wakes(&reactor, &reader, 1);
    assert_eq!(writer.wakes(), 0);
    assert!(matches!(reader.poll(recv), Poll::Ready(Ok(1))));
    assert!(writer.poll(send).is_pending());
}

#[test]
fn what_follows_an_urgent_byte_is_not_waited_for_in_vain() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = tcp_pair();
    let task = Task::new();
    let mut buffer = [0; 64];
    assert!(task.poll(pin!(ours.recv(&mut buffer))).is_pending());
    theirs.write_all(b"abc").unwrap();
    rustix::net::send(&theirs, b"!", rustix::net::SendFlags::OOB).unwrap();
    theirs.write_all(b"def").unwrap();
    wait_for_wakes(&reactor, &task, 1);
    // The kernel does not read across the urgent byte: that read is short, and there is more behind it.
    let mut came = Vec::new();
    while came.len() < 6 {
        match task.poll(pin!(ours.recv_buf(&mut came))) {
            Poll::Ready(n) => assert_ne!(n.unwrap(), 0),
            Poll::Pending => assert_ne!(look_around(&reactor), 0, "all has come"),
        }
    }
    assert_eq!(came, b"abcdef");
}
