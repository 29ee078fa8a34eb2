//! Nothing here needs a runtime of ours.

use std::rc::Rc;

use asyncio_sync::{Event, Future, Lock, Queue, Semaphore};
use futures_lite::future::{block_on, poll_once, yield_now, zip};

#[test]
fn the_primitives_work_under_a_bare_block_on() {
    let (lock, semaphore, event) = (Lock::new(), Semaphore::new(1), Event::new());
    let (queue, future) = (Queue::bounded(1), Future::new());
    let one = async {
        for n in 0..100 {
            let _guard = lock.acquire().await;
            let _permit = semaphore.acquire().await;
            yield_now().await;
            queue.put(n).await.unwrap();
        }
        event.set();
        (&future).await.unwrap()
    };
    let two = async {
        let mut sum = 0;
        for _ in 0..100 {
            sum += queue.get().await.unwrap();
            let _permit = semaphore.acquire().await;
            yield_now().await;
        }
        event.wait().await;
        future.set_result(sum).unwrap();
    };
    assert_eq!(block_on(zip(one, two)).0, 4950);
}

/// A loop-local primitive may be woken, not used, from elsewhere: the waker is what crosses threads.
#[test]
fn a_future_polled_with_another_waker_wakes_the_newest() {
    let future = Future::new();
    let mut wait = future.clone();
    assert!(
        block_on(poll_once(&mut wait)).is_none(),
        "this waker is gone after the line"
    );
    let setter = async {
        yield_now().await;
        future.set_result(1).unwrap();
    };
    assert_eq!(block_on(zip(wait, setter)).0.unwrap(), 1);
}

/// Wakers run foreign code when they are dropped; here it looks at the very lock whose line held the waker.
#[test]
fn dropping_a_replaced_waker_may_touch_the_primitive_again() {
    use std::sync::Arc;
    use std::task::{Context, Wake, Waker};

    thread_local! { static LOCK: Rc<Lock> = Rc::new(Lock::new()); }
    struct Touchy;
    impl Wake for Touchy {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Touchy {
        fn drop(&mut self) {
            LOCK.with(|lock| assert!(lock.locked()));
        }
    }
    LOCK.with(|lock| {
        let _guard = lock.try_acquire().unwrap();
        let mut acquire = lock.acquire();
        for _ in 0..3 {
            let waker = Waker::from(Arc::new(Touchy));
            let poll = std::pin::Pin::new(&mut acquire).poll(&mut Context::from_waker(&waker));
            assert!(poll.is_pending());
        }
    });
}

/// No time in this crate: a timeout is somebody else's future racing with one of ours.
#[test]
fn losing_a_race_costs_only_the_place_in_line() {
    let queue = Queue::<u8>::new();
    let won = block_on(futures_lite::future::or(
        async { queue.get().await.ok() },
        async {
            yield_now().await;
            None
        },
    ));
    assert_eq!(won, None);
    queue.put_nowait(1).unwrap();
    assert_eq!(queue.get_nowait(), Ok(1));
}
