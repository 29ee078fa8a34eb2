//! Peers that mean no good, over each kind of connection: they cost little while they are there and nothing afterwards.
//!
//! Each test runs in a process of its own, where descriptors, threads and memory can be counted.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use asyncio::{
    Event, Server, StreamError, StreamReader, StreamWriter, TimeoutError, create_task, gather,
    get_running_loop, sleep, timeout, to_thread, yield_now,
};
use rustix::time::{ClockId, clock_gettime};

use crate::alone::{
    allocated, allow_descriptors, alone, descriptors, extra_memory_of, nothing_is_left, run,
    run_cleanly, run_in_virtual_time,
};
use crate::wire::{Peer, Wire, port};

const MEGABYTE: usize = 1024 * 1024;

/// Makes a test of each function, over a kind of connection.
macro_rules! promises {
    ($module:ident, $wire:expr, [$($promise:ident),* $(,)?]) => {
        mod $module {
            $(#[test] fn $promise() { super::alone(|| super::$promise($wire)); })*
        }
    };
}

promises!(
    over_tcp,
    super::Wire::Tcp,
    [
        one_byte_a_second_is_understood_and_costs_a_few_calls_a_byte,
        a_request_that_dribbles_meets_its_deadline,
        a_peer_that_never_reads_holds_little_memory_and_meets_its_deadline,
        a_line_without_end_meets_the_limit_again_and_again_in_bounded_memory,
        a_server_that_gives_up_on_a_line_without_end_gets_rid_of_its_sender,
        a_reader_that_takes_its_time_lets_the_sender_wait,
        the_memory_of_a_large_message_is_free_once_it_is_dropped,
        a_reset_in_the_middle_of_anything_leaves_nothing_and_the_server_serving,
        half_a_connection_works_in_either_direction,
        a_hundred_idle_and_half_closed_connections_cost_no_turn,
        thousands_of_connections_opened_and_dropped_leave_nothing,
    ]
);

promises!(
    over_tls,
    super::Wire::Tls,
    [
        one_byte_a_second_is_understood_and_costs_a_few_calls_a_byte,
        a_request_that_dribbles_meets_its_deadline,
        a_peer_that_never_reads_holds_little_memory_and_meets_its_deadline,
        a_line_without_end_meets_the_limit_again_and_again_in_bounded_memory,
        a_server_that_gives_up_on_a_line_without_end_gets_rid_of_its_sender,
        a_reader_that_takes_its_time_lets_the_sender_wait,
        the_memory_of_a_large_message_is_free_once_it_is_dropped,
        a_reset_in_the_middle_of_anything_leaves_nothing_and_the_server_serving,
        half_a_connection_works_in_either_direction,
        a_hundred_idle_and_half_closed_connections_cost_no_turn,
        thousands_of_connections_opened_and_dropped_leave_nothing,
    ]
);

/// Ends a server in an orderly way.
async fn end(server: Server) {
    server.close();
    server.wait_closed().await;
}

/// Echoes lines.
async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    loop {
        let line = reader.readline().await?;
        if line.is_empty() {
            return Ok(());
        }
        writer.write(&line);
        writer.drain().await?;
    }
}

async fn still_serves(wire: Wire, server: &Server) {
    let (mut reader, writer) = wire.connect(port(server)).await.unwrap();
    writer.write(b"anybody there?\n");
    assert_eq!(reader.readline().await.unwrap(), "anybody there?\n");
    close(writer).await;
}

async fn close(writer: StreamWriter) {
    writer.close();
    writer.wait_closed().await.unwrap();
}

fn one_byte_a_second_is_understood_and_costs_a_few_calls_a_byte(wire: Wire) {
    const CLIENTS: usize = 20;
    const LINE: &[u8] = b"one byte a second, and a line that takes a minute in all...\n";
    let reports = run_in_virtual_time(async move {
        let server = wire.serve(echo).await;
        let port = port(&server);
        let client = move || async move {
            let (mut reader, writer) = wire.connect(port).await.unwrap();
            for byte in LINE {
                writer.write([*byte]);
                sleep(1).await;
            }
            assert_eq!(reader.readline().await.unwrap(), LINE);
            close(writer).await;
        };
        let (before, begun) = (get_running_loop().stats(), get_running_loop().time());
        gather((0..CLIENTS).map(|_| client())).await;
        let after = get_running_loop().stats();
        let seconds = (get_running_loop().time() - begun).as_secs();
        assert!(seconds >= LINE.len() as u64, "{seconds} s");
        let bytes = (CLIENTS * LINE.len()) as u64;
        let calls = after.reactor.syscalls - before.reactor.syscalls;
        // Send, receive, find nothing more, a share of the wait, and what connecting takes.
        assert!(calls <= 6 * bytes, "{calls} system calls for {bytes} bytes");
        end(server).await;
    });
    assert_eq!(reports, [""; 0]);
}

fn a_request_that_dribbles_meets_its_deadline(wire: Wire) {
    run_in_virtual_time(async move {
        let refused = Rc::new(Cell::new(0));
        let counted = refused.clone();
        let server = wire
            .serve(move |mut reader, writer| {
                let refused = counted.clone();
                async move {
                    let Ok(head) = timeout(10, reader.readuntil(b"\r\n\r\n")).await else {
                        refused.set(refused.get() + 1);
                        writer.write(b"HTTP/1.0 408 Request Timeout\r\n\r\n");
                        writer.write_eof();
                        // Read on, so that closing does not reset what was said; but not for ever.
                        let _: Result<_, TimeoutError> = timeout(60, reader.read_to_end()).await;
                        return Ok(());
                    };
                    head.map(drop)
                }
            })
            .await;
        let port = port(&server);
        let client = move || async move {
            let (mut reader, writer) = wire.connect(port).await.unwrap();
            for _ in 0..20 {
                writer.write(b"G");
                sleep(1).await;
            }
            writer.write_eof();
            let answer = reader.read_to_end().await.unwrap();
            assert_eq!(answer, "HTTP/1.0 408 Request Timeout\r\n\r\n");
        };
        gather((0..10).map(|_| client())).await;
        assert_eq!(refused.get(), 10);
        end(server).await;
    });
}

fn a_peer_that_never_reads_holds_little_memory_and_meets_its_deadline(wire: Wire) {
    const CHUNK: usize = 64 * 1024;
    run_in_virtual_time(async move {
        let most = Rc::new(Cell::new(0));
        let given_up = Rc::new(Cell::new(0));
        let (seen, counted) = (most.clone(), given_up.clone());
        let server = wire
            .serve(move |_reader, writer| {
                let (most, given_up) = (seen.clone(), counted.clone());
                async move {
                    let chunk = vec![b'x'; CHUNK];
                    loop {
                        writer.write(&chunk);
                        most.set(writer.get_write_buffer_size().max(most.get()));
                        match timeout(30, writer.drain()).await {
                            Ok(drained) => drained?,
                            Err(TimeoutError) => break,
                        }
                    }
                    given_up.set(given_up.get() + 1);
                    writer.abort();
                    writer.wait_closed().await
                }
            })
            .await;
        let mut peers = Vec::new();
        for _ in 0..10 {
            peers.push(wire.connect(port(&server)).await.unwrap());
        }
        while given_up.get() < peers.len() {
            sleep(1).await;
        }
        // The high water mark, what made it overflow, and a record of TLS.
        let bound = 64 * 1024 + CHUNK + 20 * 1024;
        assert!(
            most.get() <= bound,
            "{} bytes unsent, of at most {bound}",
            most.get()
        );
        drop(peers);
        end(server).await;
    });
}

/// Sends what no reader wants, as fast as it can, up to so many bytes; tells how many went out.
fn flood(mut peer: Peer, bytes: usize) -> usize {
    let chunk = vec![b'x'; MEGABYTE];
    let mut sent = 0;
    while sent < bytes {
        match peer.write(&chunk) {
            Ok(n) => sent += n,
            Err(_) => return sent,
        }
    }
    peer.end();
    // Until the other side has read everything, or is gone.
    let _ = peer.read(&mut [0]);
    sent
}

fn a_line_without_end_meets_the_limit_again_and_again_in_bounded_memory(wire: Wire) {
    let length = match wire {
        Wire::Tcp => 1024 * MEGABYTE,
        // Each byte is encrypted and decrypted, by code that is not optimized.
        Wire::Tls => 128 * MEGABYTE,
    };
    run_cleanly(async move {
        let consumed = Rc::new(Cell::new(0));
        let count = consumed.clone();
        let server = wire
            .serve(move |mut reader, _writer| {
                let count = count.clone();
                async move {
                    loop {
                        match reader.readline().await {
                            Err(StreamError::LimitOverrun(error)) => {
                                // S209: what was buffered is gone.
                                count.set(count.get() + error.consumed.max(1));
                            }
                            Ok(rest) => return count.set(count.get() + rest.len()),
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
            .await;
        let port = port(&server);
        let (extra, ()) = extra_memory_of(async move {
            let sent = to_thread(move || flood(wire.peer(port), length)).await;
            assert_eq!(sent, length);
            end(server).await;
        })
        .await;
        assert!(consumed.get() > length / 4, "{} bytes seen", consumed.get());
        // One of it is the sender's.
        assert!(extra < 2 * MEGABYTE, "{extra} bytes for a line");
    });
}

fn a_server_that_gives_up_on_a_line_without_end_gets_rid_of_its_sender(wire: Wire) {
    let reports = run(async move {
        let server = wire.serve(echo).await;
        let port = port(&server);
        let sent = to_thread(move || flood(wire.peer(port), usize::MAX)).await;
        assert!(sent < 64 * MEGABYTE, "{sent} bytes went out");
        end(server).await;
    });
    let [report] = &reports[..] else {
        panic!("{reports:?}")
    };
    assert!(report.contains("the stream's limit is 65536"), "{report}");
}

fn a_reader_that_takes_its_time_lets_the_sender_wait(wire: Wire) {
    const LENGTH: usize = 32 * MEGABYTE;
    run_cleanly(async move {
        let begin = Rc::new(Event::new());
        let may_begin = begin.clone();
        let server = wire
            .serve(move |mut reader, _writer| {
                let may_begin = may_begin.clone();
                async move {
                    assert_eq!(reader.read(1).await.unwrap(), "x");
                    may_begin.wait().await;
                    // Nothing was read ahead, so memory is what one read takes.
                    let mut read = 1;
                    loop {
                        match reader.read(64 * 1024).await.unwrap().len() {
                            0 => return assert_eq!(read, LENGTH),
                            n => read += n,
                        }
                    }
                }
            })
            .await;
        let port = port(&server);
        let (extra, ()) = extra_memory_of(async move {
            let sender =
                create_task(async move { to_thread(move || flood(wire.peer(port), LENGTH)).await });
            while server.connections() == 0 {
                yield_now().await;
            }
            let reads = get_running_loop().stats().reactor.reads;
            for _ in 0..1000 {
                yield_now().await;
            }
            let ahead = get_running_loop().stats().reactor.reads - reads;
            assert!(ahead <= 16, "{ahead} reads for one byte");
            begin.set();
            assert_eq!(sender.await.unwrap(), LENGTH);
            end(server).await;
        })
        .await;
        // One of it is the sender's.
        assert!(extra < 2 * MEGABYTE, "{extra} bytes for a connection");
    });
}

fn the_memory_of_a_large_message_is_free_once_it_is_dropped(wire: Wire) {
    const CONNECTIONS: usize = 16;
    // A little less than a buffer that doubles has room for: what is left of it looks like a small one.
    const LENGTH: usize = 4 * MEGABYTE - 1000;
    run_cleanly(async move {
        let waiting = Rc::new(Cell::new(0));
        let go_on = Rc::new(Event::new());
        let (count, gate) = (waiting.clone(), go_on.clone());
        let server = wire
            .serve(move |mut reader, writer| {
                let (count, gate) = (count.clone(), gate.clone());
                async move {
                    assert_eq!(reader.read_to_end().await?.len(), LENGTH);
                    count.set(count.get() + 1);
                    gate.wait().await;
                    writer.close();
                    writer.wait_closed().await
                }
            })
            .await;
        let port = port(&server);
        let before = allocated();
        let sent = to_thread(move || {
            let send = |_| {
                let mut peer = wire.peer(port);
                peer.write_all(&vec![b'x'; LENGTH]).unwrap();
                peer.end();
                peer
            };
            (0..CONNECTIONS).map(send).collect::<Vec<_>>()
        });
        let peers = sent.await;
        while waiting.get() < CONNECTIONS {
            yield_now().await;
        }
        let held = allocated().saturating_sub(before);
        assert!(
            held < 3 * MEGABYTE,
            "{held} bytes held by connections that wait"
        );
        go_on.set();
        to_thread(move || {
            for mut peer in peers {
                assert_eq!(peer.read(&mut [0]).unwrap(), 0);
            }
        })
        .await;
        end(server).await;
    });
}

/// A server of requests, each a line with a number and so many bytes; the answer has a million.
async fn requests(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let answer = vec![b'a'; MEGABYTE];
    loop {
        let line = reader.readline().await?;
        if line.is_empty() {
            return Ok(());
        }
        let length = String::from_utf8_lossy(&line).trim().parse().unwrap_or(0);
        reader.readexactly(length).await?;
        writer.write(&answer);
        writer.drain().await?;
    }
}

fn a_reset_in_the_middle_of_anything_leaves_nothing_and_the_server_serving(wire: Wire) {
    const REQUEST: &[u8] = b"40\n0123456789012345678901234567890123456789";
    let reports = run(async move {
        let server = wire.serve(requests).await;
        let port = port(&server);
        to_thread(move || {
            let mut answer = vec![0; MEGABYTE];
            for sent in 0..=REQUEST.len() {
                for half_closed in [false, true] {
                    let mut peer = wire.peer(port);
                    peer.write_all(&REQUEST[..sent]).unwrap();
                    if half_closed {
                        peer.end();
                    }
                    peer.reset();
                }
            }
            for read in [1, 1000, 100_000, MEGABYTE] {
                let mut peer = wire.peer(port);
                peer.write_all(REQUEST).unwrap();
                peer.read_exact(&mut answer[..read]).unwrap();
                // In the middle of the next request, too.
                peer.write_all(&REQUEST[..read % REQUEST.len()]).unwrap();
                peer.reset();
            }
        })
        .await;
        while server.connections() > 0 {
            yield_now().await;
        }
        nothing_but(&server).await;
        let (mut reader, writer) = wire.connect(port).await.unwrap();
        writer.write(REQUEST);
        assert_eq!(reader.readexactly(MEGABYTE).await.unwrap().len(), MEGABYTE);
        close(writer).await;
        end(server).await;
    });
    for report in &reports {
        assert!(
            report.contains("reset") || report.contains("pipe") || report.contains("ended after"),
            "{report}"
        );
    }
    assert!(
        reports.len() >= 20,
        "most of these failed in the middle of something"
    );
}

/// Waits until no task is left but this one and the one that accepts.
async fn nothing_but(_server: &Server) {
    for _ in 0..1000 {
        if asyncio::all_tasks().len() == 2 {
            return;
        }
        yield_now().await;
    }
    panic!("tasks left: {:#?}", asyncio::all_tasks());
}

fn half_a_connection_works_in_either_direction(wire: Wire) {
    run_cleanly(async move {
        let server = wire
            .serve(async |mut reader: StreamReader, writer: StreamWriter| {
                // Ours ends first for half of the clients, theirs for the others.
                let who = reader.readexactly(1).await?;
                if who == "w" {
                    writer.write(b"from the server");
                    writer.write_eof();
                    let sent = reader.read_to_end().await?;
                    assert_eq!(sent.len(), MEGABYTE);
                } else {
                    let sent = reader.read_to_end().await?;
                    writer.write(&sent);
                }
                writer.close();
                writer.wait_closed().await?;
                Ok::<(), StreamError>(())
            })
            .await;
        let port = port(&server);
        let pairs = (0..50).map(|_| {
            to_thread(move || {
                let mut heard = String::new();
                let mut peer = wire.peer(port);
                peer.write_all(b"w").unwrap();
                peer.read_to_string(&mut heard).unwrap();
                assert_eq!(heard, "from the server");
                peer.write_all(&vec![b'x'; MEGABYTE]).unwrap();
                peer.end();

                let mut heard = Vec::new();
                let mut peer = wire.peer(port);
                peer.write_all(b"rall that is left").unwrap();
                peer.end();
                peer.read_to_end(&mut heard).unwrap();
                assert_eq!(heard, b"all that is left");
            })
        });
        gather(pairs).await;
        end(server).await;
    });
}

/// The processor time this process has used.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn a_hundred_idle_and_half_closed_connections_cost_no_turn(wire: Wire) {
    let reports = run(async move {
        let readers = Rc::new(Cell::new(0));
        let (kept, go_on) = (readers.clone(), Rc::new(Event::new()));
        let gate = go_on.clone();
        let server = wire
            .serve(move |mut reader, writer| {
                let (kept, gate) = (kept.clone(), gate.clone());
                async move {
                    // To the end of what it sends, if it ends; then hold on to the connection.
                    kept.set(kept.get() + 1);
                    while !reader.read(100).await?.is_empty() {}
                    kept.set(kept.get() - 1);
                    gate.wait().await;
                    writer.close();
                    writer.wait_closed().await
                }
            })
            .await;
        let port = port(&server);
        let mut peers = to_thread(move || {
            let mut peers: Vec<_> = (0..100).map(|_| wire.peer(port)).collect();
            peers.iter_mut().for_each(Peer::greet);
            peers
        })
        .await;
        while readers.get() < 100 {
            sleep(0.001).await;
        }
        // A third says its end, a third sends a byte, a third does nothing.
        for (at, peer) in peers.iter_mut().enumerate() {
            match at % 3 {
                0 => peer.end(),
                1 => peer.write_all(b"x").unwrap(),
                _ => {}
            }
        }
        while readers.get() > 66 {
            sleep(0.001).await;
        }
        sleep(0.01).await;
        let (before, time) = (get_running_loop().stats(), processor_time());
        sleep(0.25).await;
        let (after, used) = (get_running_loop().stats(), processor_time() - time);
        let turns = after.executor.turns - before.executor.turns;
        let calls = after.reactor.syscalls - before.reactor.syscalls;
        // The end of the sleep itself; a loop that is busy makes a hundred thousand of them.
        assert!(
            turns <= 8 && calls <= 16,
            "{turns} turns, {calls} system calls while nothing happens"
        );
        assert!(
            used < 0.05,
            "{used} s of processor time while nothing happens"
        );
        go_on.set();
        drop(peers);
        end(server).await;
    });
    for report in reports {
        // Peers that go without having read what TLS had to say.
        assert!(report.contains("reset") && wire == Wire::Tls, "{report}");
    }
}

fn thousands_of_connections_opened_and_dropped_leave_nothing(wire: Wire) {
    const AT_A_TIME: usize = 250;
    // 10,000 connections in all; the handshakes of TLS take their time.
    let rounds = match wire {
        Wire::Tcp => 20,
        Wire::Tls => 2,
    };
    allow_descriptors(4096);
    run_cleanly(async move {
        // Most of them fail, which is nobody's business here.
        let callback = async |reader, writer| drop(echo(reader, writer).await);
        let server = wire.serve(callback).await;
        let port = port(&server);
        let baseline = descriptors();
        let mut memory = Vec::new();
        for half in 0..2 {
            for round in 0..rounds {
                to_thread(move || {
                    let peers: Vec<_> = (0..AT_A_TIME).map(|_| wire.peer(port)).collect();
                    for (at, mut peer) in peers.into_iter().enumerate() {
                        // Some say a word first, and some slam the door.
                        if at % 3 == 0 {
                            let _ = peer.write_all(b"hello\nhel");
                        }
                        if (at + round) % 2 == 0 {
                            peer.reset();
                        }
                    }
                })
                .await;
            }
            // Whatever was said before this was accepted before it.
            still_serves(wire, &server).await;
            while server.connections() > 0 {
                yield_now().await;
            }
            nothing_but(&server).await;
            assert_eq!(descriptors(), baseline, "after half {half}");
            memory.push(allocated());
        }
        let grown = memory[1].saturating_sub(memory[0]);
        // 26 bytes a connection would show.
        assert!(
            grown < 128 * 1024,
            "the second half took {grown} bytes more"
        );
        end(server).await;
        nothing_is_left().await;
    });
}
