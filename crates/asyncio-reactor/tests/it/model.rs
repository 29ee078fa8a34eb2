//! Any sequence of writes, reads and closes gives what a queue of bytes would.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use asyncio_reactor::Reactor;
use proptest::prelude::*;

use crate::support::{Task, look_around, tcp_pair};

#[derive(Clone, Debug)]
enum Step {
    /// The peer writes that many bytes.
    Write(u8),
    /// We try to receive that many, and keep what we get.
    TryRecv(u8),
    /// We poll a `recv` once, wait if told to, and drop it.
    PollAndDrop(u8),
    /// We receive that many, waiting if need be.
    Recv(u8),
    /// The loop looks at the kernel.
    LookAround,
    /// The peer ends its stream.
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..40u8).prop_map(Step::Write),
        2 => (1..60u8).prop_map(Step::TryRecv),
        2 => (1..60u8).prop_map(Step::PollAndDrop),
        4 => (1..60u8).prop_map(Step::Recv),
        3 => Just(Step::LookAround),
        1 => Just(Step::Close),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stream_behaves_like_a_queue_of_bytes(steps in prop::collection::vec(step(), 1..60)) {
        let reactor = Reactor::new().unwrap();
        let _entered = reactor.enter();
        let (ours, mut theirs) = tcp_pair();
        let (mut written, mut received) = (0u64, 0u64);
        let mut closed = false;
        let mut next = 0u8;
        let mut take = |bytes: &[u8], received: &mut u64| {
            for byte in bytes {
                assert_eq!(*byte, next, "bytes come in order, none twice");
                next = next.wrapping_add(1);
            }
            *received += bytes.len() as u64;
        };
        for step in steps {
            let queued = written - received;
            match step {
                Step::Write(n) if !closed => {
                    let bytes: Vec<u8> = (0..u64::from(n)).map(|i| (written + i) as u8).collect();
                    theirs.write_all(&bytes).unwrap();
                    written += u64::from(n);
                }
                Step::Close if !closed => {
                    theirs.shutdown(Shutdown::Write).unwrap();
                    closed = true;
                }
                Step::Write(_) | Step::Close => {}
                Step::TryRecv(n) => {
                    let mut buffer = vec![0; n.into()];
                    match ours.try_recv(&mut buffer) {
                        Ok(0) => prop_assert!(closed && queued == 0),
                        Ok(n) => take(&buffer[..n], &mut received),
                        Err(error) => {
                            prop_assert_eq!(error.kind(), ErrorKind::WouldBlock);
                            prop_assert!(queued == 0);
                        }
                    }
                }
                Step::PollAndDrop(n) => {
                    let mut buffer = vec![0; n.into()];
                    let task = Task::new();
                    let polled = task.poll(pin!(ours.recv(&mut buffer)));
                    match polled {
                        Poll::Ready(Ok(0)) => prop_assert!(closed && queued == 0),
                        Poll::Ready(Ok(n)) => take(&buffer[..n], &mut received),
                        Poll::Ready(Err(error)) => return Err(TestCaseError::fail(error.to_string())),
                        Poll::Pending => {
                            look_around(&reactor);
                        }
                    }
                    prop_assert!(Arc::strong_count(&task) <= 2);
                }
                Step::Recv(n) if queued > 0 || closed => {
                    let mut buffer = vec![0; n.into()];
                    let n = reactor.block_on(ours.recv(&mut buffer)).unwrap();
                    prop_assert_eq!(n == 0, queued == 0);
                    take(&buffer[..n], &mut received);
                }
                Step::Recv(n) => {
                    let mut buffer = vec![0; n.into()];
                    prop_assert!(Task::new().poll(pin!(ours.recv(&mut buffer))).is_pending());
                }
                Step::LookAround => {
                    look_around(&reactor);
                }
            }
        }
        // Whatever happened, the rest arrives, and then the end.
        theirs.shutdown(Shutdown::Both).ok();
        drop(theirs);
        let mut buffer = [0; 7];
        loop {
            match reactor.block_on(ours.recv(&mut buffer)).unwrap() {
                0 => break,
                n => take(&buffer[..n], &mut received),
            }
        }
        prop_assert_eq!(received, written);
    }
}
