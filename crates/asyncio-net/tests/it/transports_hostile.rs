//! Transports whose protocols do in their callbacks what nobody would expect.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;

use asyncio_net::*;

use crate::support::*;
use crate::transports::{MUCH, Recorder, connected, reports};

type Act = fn(&Recorder);

const ACTS: [(&str, Act); 7] = [
    ("close", |protocol| protocol.transport().close()),
    ("abort", |protocol| protocol.transport().abort()),
    ("write", |protocol| {
        protocol.transport().write(&[1; 100_000])
    }),
    ("write and close", |protocol| {
        protocol.transport().write(&[1; 100_000]);
        protocol.transport().close();
    }),
    ("write_eof", |protocol| protocol.transport().write_eof()),
    ("set limits", |protocol| {
        let transport = protocol.transport();
        let unsent = transport.get_write_buffer_size();
        transport.set_write_buffer_limits(WriteLimits::high(unsent + 100_000));
    }),
    ("let go", |protocol| {
        protocol.transport().pause_reading();
        protocol
            .transport()
            .set_protocol(Rc::new(Recorder::default()));
    }),
];

// S201, S203
#[test]
fn a_protocol_may_do_anything_while_it_is_told_of_flow_control() {
    for method in ["pause", "resume"] {
        for (name, act) in ACTS {
            run(async move {
                let reports = reports();
                let acted = Rc::new(Cell::new(0));
                let count = acted.clone();
                let recorder = Recorder::default().when(method, move |protocol| {
                    count.set(count.get() + 1);
                    if count.get() < 3 {
                        act(protocol);
                    }
                });
                let (transport, _protocol, peer) = connected(recorder).await;
                let receiving = spawn(all_of(peer));
                transport.write(&vec![7; MUCH]);
                until(|| acted.get() > 0).await;
                transport.close();
                let came = receiving.await.unwrap().len();
                let aborted = name == "abort" && method == "pause";
                assert_eq!(came >= MUCH, !aborted, "{name} in {method}: {came}");
                until(|| transport.get_protocol().is_none()).await;
                assert!(
                    asyncio_executor::all_tasks().len() == 1,
                    "{name} in {method}"
                );
                assert!(
                    reports.borrow().is_empty(),
                    "{name} in {method}: {:?}",
                    reports.borrow()
                );
            });
        }
    }
}

#[test]
fn a_protocol_may_do_anything_when_the_connection_is_made_and_when_the_end_comes() {
    for method in ["made", "eof", "data"] {
        for (name, act) in ACTS {
            run(async move {
                let recorder = Recorder::default().when(method, act);
                let (transport, _protocol, mut peer) = connected(recorder).await;
                // Where the transport is gone already these fail.
                let _ = peer.write_all(b"hello");
                let _ = peer.shutdown(std::net::Shutdown::Write);
                let receiving =
                    asyncio_blocking::unblock(move || peer.read_to_end(&mut Vec::new()));
                for _ in 0..10 {
                    yield_now().await;
                }
                transport.close();
                let _ = receiving.await.unwrap();
                until(|| transport.get_protocol().is_none()).await;
                assert!(
                    asyncio_executor::all_tasks().len() == 1,
                    "{name} in {method}"
                );
            });
        }
    }
}

#[test]
fn closing_inside_a_callback_ends_the_calls_there() {
    run(async {
        for abort in [false, true] {
            let recorder = Recorder::default().when("data", move |protocol| {
                protocol.transport().write(b"enough");
                match abort {
                    true => protocol.transport().abort(),
                    false => protocol.transport().close(),
                }
                assert!(!protocol.lost.get());
            });
            let (_transport, protocol, mut peer) = connected(recorder).await;
            send(&mut peer, vec![1; 2_000_000 / 4]);
            until(|| protocol.lost.get()).await;
            let events = protocol.events();
            assert!(events.len() == 3 && events[2] == "lost", "{events:?}");
        }
        // Before anything was read.
        let closing = Recorder::default().when("made", |protocol| protocol.transport().close());
        let (_transport, protocol, _peer) = connected(closing).await;
        until(|| protocol.lost.get()).await;
        assert_eq!(protocol.events(), ["made", "lost"]);
    });
}

#[test]
fn in_connection_lost_the_transport_can_be_called_and_does_nothing() {
    run(async {
        let recorder = Recorder::default().when("lost", |protocol| {
            let transport = protocol.transport();
            assert!(transport.is_closing() && !transport.is_reading());
            transport.write(b"too late");
            transport.resume_reading();
            transport.pause_reading();
            transport.close();
            transport.abort();
            transport.set_protocol(Rc::new(Recorder::default()));
        });
        let reports = reports();
        let (transport, protocol, peer) = connected(recorder).await;
        transport.close();
        until(|| protocol.lost.get()).await;
        assert!(all_of(peer).await.is_empty());
        assert!(transport.get_protocol().is_none());
        assert!(transport.socket().is_none());
        assert!(reports.borrow().is_empty(), "{:?}", reports.borrow());
    });
}
