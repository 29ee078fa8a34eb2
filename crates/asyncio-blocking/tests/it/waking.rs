use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    task::{Context, Poll, Wake, Waker},
};

use asyncio_blocking::ThreadPool;

use crate::Held;

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn only_the_waker_of_the_last_poll_is_woken() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let mut job = pin!(pool.submit(|| 1));
    let [old, new] = [(); 2].map(|()| Arc::new(Count(AtomicUsize::new(0))));
    for count in [&old, &new] {
        let waker = Waker::from(Arc::clone(count));
        assert!(
            job.as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
    }
    assert_eq!(Arc::strong_count(&old), 1, "the old one is let go");
    held.release();
    assert!(pool.join(None));
    assert_eq!(old.0.load(Ordering::SeqCst), 0);
    assert_eq!(new.0.load(Ordering::SeqCst), 1);
    assert!(
        job.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    );
}

/// Uses the pool and reports, on the thread that wakes it.
struct Curious(ThreadPool, Sender<usize>);

impl Wake for Curious {
    fn wake(self: Arc<Self>) {
        self.0.submit(|| ()).detach();
        self.1.send(self.0.stats().threads).unwrap();
    }
}

#[test]
fn a_waker_may_use_the_pool_because_no_lock_is_held() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let mut job = pin!(pool.submit(|| 1));
    let (sender, receiver) = channel();
    let waker = Waker::from(Arc::new(Curious(pool.clone(), sender)));
    assert!(
        job.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    held.release();
    assert_eq!(receiver.recv(), Ok(1));
}

/// Polls the job on the thread that wakes it: the result must be there already.
#[test]
fn the_result_is_there_before_the_wake() {
    struct Report(Sender<()>);
    impl Wake for Report {
        fn wake(self: Arc<Self>) {
            self.0.send(()).unwrap();
        }
    }
    let pool = ThreadPool::new(1);
    for number in 0..1_000 {
        let (sender, woken) = channel();
        let waker = Waker::from(Arc::new(Report(sender)));
        let mut context = Context::from_waker(&waker);
        let mut job = pin!(pool.submit(move || number));
        // Without a wake the second poll would wait forever.
        let result = match job.as_mut().poll(&mut context) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                woken.recv().unwrap();
                match job.as_mut().poll(&mut context) {
                    Poll::Ready(result) => result,
                    Poll::Pending => panic!("woken without a result"),
                }
            }
        };
        assert_eq!(result.unwrap(), number);
    }
}

#[test]
fn a_waker_that_panics_does_not_harm_the_thread() {
    struct Angry;
    impl Wake for Angry {
        fn wake(self: Arc<Self>) {
            panic!("in a waker");
        }
    }
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let mut job = pin!(pool.submit(|| 1));
    let waker = Waker::from(Arc::new(Angry));
    assert!(
        job.as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    held.release();
    assert_eq!(pool.submit(|| 2).wait().unwrap(), 2);
    assert_eq!(pool.stats().threads, 1);
    assert!(
        job.as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    );
}
