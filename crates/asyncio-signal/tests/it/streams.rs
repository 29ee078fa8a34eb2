//! Signals as a stream.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use asyncio_reactor::Reactor;
use asyncio_signal::{SIGKILL, signals};
use futures_util::{FutureExt, StreamExt};

use crate::support::{action, raise, real_time};

#[test]
fn signals_come_in_order_and_those_of_a_kind_merge() {
    let (one, other) = (real_time(49), real_time(50));
    asyncio_runtime::run(async move {
        let mut incoming = signals([one, other]).unwrap();
        assert_eq!(incoming.try_recv(), None);
        raise(other);
        assert_eq!(incoming.recv().await, other);
        raise(one);
        raise(one);
        assert_eq!(incoming.next().await, Some(one));
        assert_eq!(incoming.try_recv(), None, "merged");
        raise(one);
        assert_eq!(
            incoming.recv().await,
            one,
            "but one that comes later is another"
        );
    });
    assert_eq!(action(one), libc::SIG_DFL);
}

#[test]
fn a_wait_that_was_given_up_loses_nothing() {
    let signal = real_time(51);
    asyncio_runtime::run(async move {
        let mut incoming = signals([signal]).unwrap();
        {
            let mut wait = pin!(incoming.recv());
            assert!(poll_fn(|cx| Poll::Ready(wait.poll_unpin(cx).is_pending())).await);
        }
        raise(signal);
        assert_eq!(incoming.recv().await, signal);
    });
}

#[test]
fn a_waiting_task_can_be_cancelled_and_the_action_comes_back() {
    let signal = real_time(52);
    asyncio_runtime::run(async move {
        let task = asyncio_executor::spawn(async move {
            signals([signal]).unwrap().recv().await;
        });
        asyncio_executor::yield_now().await;
        assert_ne!(action(signal), libc::SIG_DFL);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(action(signal), libc::SIG_DFL);
    });
}

#[test]
fn it_needs_a_loop_and_signals_that_can_be_heard() {
    let error = signals([real_time(53)]).unwrap_err();
    assert!(error.to_string().contains("no running event loop"));
    let reactor = Reactor::new().unwrap();
    let error = reactor
        .block_on(async { signals([SIGKILL]) })
        .map(drop)
        .unwrap_err();
    assert!(error.to_string().contains("SIGKILL"), "{error}");
}
