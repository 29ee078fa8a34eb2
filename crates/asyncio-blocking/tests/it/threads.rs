use std::{
    collections::HashSet,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread,
    time::Duration,
};

use asyncio_blocking::ThreadPool;
use futures_lite::future::block_on;

use crate::{Held, until};

#[test]
fn no_thread_is_started_before_the_first_job() {
    let pool = ThreadPool::new(4);
    assert_eq!(pool.stats().threads, 0);
}

#[test]
fn work_starts_at_the_call_and_not_at_the_first_poll() {
    let pool = ThreadPool::new(1);
    let (sender, receiver) = channel();
    let job = pool.submit(move || sender.send("started").unwrap());
    assert_eq!(receiver.recv(), Ok("started"));
    job.wait().unwrap();
}

#[test]
fn a_job_that_finds_no_idle_thread_gets_a_new_one() {
    // The barrier opens only if all of them run at the same time.
    let pool = ThreadPool::new(8);
    let barrier = Arc::new(Barrier::new(8));
    let jobs: Vec<_> = (0..8)
        .map(|_| {
            let barrier = Arc::clone(&barrier);
            pool.submit(move || barrier.wait().is_leader())
        })
        .collect();
    let leaders = jobs.into_iter().map(|job| job.wait().unwrap());
    assert_eq!(leaders.filter(|leader| *leader).count(), 1);
    assert_eq!(pool.stats().threads, 8);
}

#[test]
fn no_more_than_max_threads() {
    let pool = ThreadPool::new(3);
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let jobs: Vec<_> = (0..300)
        .map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            pool.submit(move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
                thread::current().id()
            })
        })
        .collect();
    let threads: HashSet<_> = jobs.into_iter().map(|job| job.wait().unwrap()).collect();
    assert!(most.load(Ordering::SeqCst) <= 3);
    assert!(threads.len() <= 3);
}

#[test]
fn jobs_beyond_the_maximum_wait_in_order() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let (sender, receiver) = channel();
    for number in 0..5 {
        let sender = sender.clone();
        pool.submit(move || sender.send(number).unwrap()).detach();
    }
    assert_eq!(pool.stats().queued, 5);
    held.release();
    drop(sender);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

#[test]
fn one_job_after_the_other_uses_one_thread() {
    // The thread counts as idle before the result is seen, so this is no matter of luck.
    let pool = ThreadPool::new(8);
    block_on(async {
        let first = pool.submit(|| thread::current().id()).await.unwrap();
        for _ in 0..2_000 {
            let next = pool.submit(|| thread::current().id()).await.unwrap();
            assert_eq!(next, first);
        }
    });
    assert_eq!(pool.stats().threads, 1);
}

#[test]
fn the_most_recently_idle_thread_gets_the_next_job() {
    let pool = ThreadPool::new(3);
    let [a, b, c] = [(); 3].map(|()| Held::in_pool(&pool));

    let order = [b.release(), c.release(), a.release()];
    assert_eq!(pool.stats().idle, 3);

    // The one released last is on top; taking it uncovers the one before.
    let [last, middle, first] = [(); 3].map(|()| Held::in_pool(&pool));
    assert_eq!([first.release(), middle.release(), last.release()], order);
}

#[test]
fn idle_threads_leave_after_the_keep_alive() {
    let pool = ThreadPool::builder()
        .max_threads(2)
        .keep_alive(Duration::from_millis(1))
        .build();
    let [a, b] = [(); 2].map(|()| Held::in_pool(&pool));
    assert_eq!(pool.stats().threads, 2);
    a.release();
    b.release();
    until("both threads leave", || pool.stats().threads == 0);

    // And come back when they are needed.
    assert_eq!(pool.submit(|| 1).wait().unwrap(), 1);
}

#[test]
fn no_job_is_lost_while_threads_come_and_go() {
    // Every job finds the only thread about to leave, gone, or just started.
    let pool = ThreadPool::builder()
        .max_threads(1)
        .keep_alive(Duration::ZERO)
        .build();
    for number in 0..500 {
        assert_eq!(pool.submit(move || number).wait().unwrap(), number);
    }
}

#[test]
fn a_running_thread_does_not_leave_when_its_keep_alive_is_over() {
    let pool = ThreadPool::builder().keep_alive(Duration::ZERO).build();
    let held = Held::in_pool(&pool);
    let other = pool.submit(|| ());
    other.wait().unwrap();
    until("the idle one leaves", || pool.stats().threads == 1);
    assert_eq!(pool.stats().running, 1);
    held.release();
}

#[test]
fn threads_are_named_after_the_pool() {
    let pool = ThreadPool::builder().name_prefix("lookup").build();
    let name = || thread::current().name().map(String::from);
    let held = Held::in_pool(&pool);
    assert_eq!(pool.submit(name).wait().unwrap().unwrap(), "lookup_1");
    held.release();
}

#[test]
fn stats_tell_threads_idle_queued_and_running() {
    let pool = ThreadPool::new(2);
    let [a, b] = [(); 2].map(|()| Held::in_pool(&pool));
    let waiting = pool.submit(|| ());
    let stats = pool.stats();
    assert_eq!(
        (stats.threads, stats.idle, stats.queued, stats.running),
        (2, 0, 1, 2)
    );
    a.release();
    waiting.wait().unwrap();
    let stats = pool.stats();
    assert_eq!(
        (stats.threads, stats.idle, stats.queued, stats.running),
        (2, 1, 0, 1)
    );
    b.release();
}

#[test]
#[should_panic(expected = "allow at least 1")]
fn a_pool_of_no_threads_is_refused() {
    let _ = ThreadPool::new(0);
}

#[test]
fn a_first_thread_that_cannot_be_started_is_an_error_of_the_job() {
    // No machine has an address space for this stack.
    let pool = ThreadPool::builder().stack_size(1 << 60).build();
    let dropped = Arc::new(());
    let inside = Arc::clone(&dropped);
    let job = pool.submit(move || drop(inside));
    assert_eq!(Arc::strong_count(&dropped), 1, "the closure is dropped");
    let error = job.wait().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("could not start its first thread")
    );
    assert_eq!((pool.stats().threads, pool.stats().queued), (0, 0));
    assert!(pool.join(None));
}
