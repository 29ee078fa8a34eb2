use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::channel,
    },
    thread,
};

use asyncio_blocking::{JobError, ThreadPool};
use futures_lite::future::{block_on, poll_once};

use crate::{Held, OnDrop, until};

#[test]
fn a_job_cancelled_before_it_starts_never_runs() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    let job = pool.submit(move || count.fetch_add(1, Ordering::SeqCst));

    assert!(job.cancel());
    assert_eq!(Arc::strong_count(&ran), 1, "the closure is dropped at once");
    assert_eq!(pool.stats().queued, 0, "and the job is out of the queue");
    assert!(job.cancel(), "once cancelled it stays so");
    assert!(matches!(job.wait(), Err(JobError::Cancelled)));

    held.release();
    assert!(pool.join(None));
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[test]
fn a_job_dropped_before_it_starts_never_runs() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let ran = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&ran);
    drop(pool.submit(move || count.fetch_add(1, Ordering::SeqCst)));
    assert_eq!(Arc::strong_count(&ran), 1, "the closure is dropped at once");
    assert_eq!(pool.stats().queued, 0);
    held.release();
    assert!(pool.join(None));
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[test]
fn a_cancelled_job_does_not_take_its_neighbours_with_it() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let (sender, receiver) = channel();
    let mut jobs: Vec<_> = (0..6)
        .map(|number| {
            let sender = sender.clone();
            Some(pool.submit(move || sender.send(number).unwrap()))
        })
        .collect();
    drop(sender);
    // First, middle and last.
    for index in [0, 2, 5] {
        jobs[index] = None;
    }
    assert_eq!(pool.stats().queued, 3);
    held.release();
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 3, 4]);
}

#[test]
fn a_running_job_cannot_be_cancelled_and_its_result_still_comes() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    assert!(!held.job.cancel());
    held.release();
}

#[test]
fn a_running_job_that_is_dropped_goes_on_and_its_result_is_dropped_on_its_thread() {
    let pool = ThreadPool::new(1);
    let (release, gate) = channel::<()>();
    let (started, running) = channel();
    let (dropped, result) = channel();
    let job = pool.submit(move || {
        started.send(thread::current().id()).unwrap();
        let _ = gate.recv();
        OnDrop(move || dropped.send(thread::current().id()).unwrap())
    });
    let worker = running.recv().unwrap();
    drop(job);
    drop(release);
    assert_eq!(result.recv(), Ok(worker));
}

#[test]
fn a_result_that_was_not_taken_is_dropped_with_the_job() {
    let pool = ThreadPool::new(1);
    let (dropped, result) = channel();
    let job = pool.submit(move || OnDrop(move || dropped.send(thread::current().id()).unwrap()));
    until("the job is done", || job.is_finished());
    drop(job);
    assert_eq!(result.recv(), Ok(thread::current().id()));
}

#[test]
fn a_detached_job_runs_although_nobody_waits() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let (sender, receiver) = channel();
    pool.submit(move || sender.send("ran").unwrap()).detach();
    held.release();
    assert_eq!(receiver.recv(), Ok("ran"));
}

#[test]
fn whoever_awaits_a_job_hears_of_its_cancellation_by_the_pool() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let mut job = pool.submit(|| ());
    block_on(async {
        assert!(poll_once(&mut job).await.is_none());
        let canceller = thread::spawn({
            let pool = pool.clone();
            move || pool.cancel_queued()
        });
        assert!(matches!(job.await, Err(JobError::Cancelled)));
        assert_eq!(canceller.join().unwrap(), 1);
    });
    held.release();
}

#[test]
fn dropping_an_await_of_a_borrowed_job_loses_nothing() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let mut job = pool.submit(|| 7);
    block_on(async {
        assert!(poll_once(&mut job).await.is_none());
        held.release();
        assert_eq!(job.await.unwrap(), 7);
    });
}

#[test]
fn a_burst_of_cancelled_jobs_leaves_nothing_behind_a_busy_thread() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let keeps_its_place = pool.submit(|| 1);
    let token = Arc::new(());
    for _ in 0..10_000 {
        let token = Arc::clone(&token);
        drop(pool.submit(move || drop(token)));
    }
    assert_eq!(Arc::strong_count(&token), 1);
    assert_eq!(pool.stats().queued, 1);
    held.release();
    assert_eq!(keeps_its_place.wait().unwrap(), 1);
}

#[test]
fn a_closure_whose_destructor_panics_is_cancelled_like_any_other() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let owned = OnDrop(|| panic!("in a destructor"));
    let first = pool.submit(move || drop(owned));
    let second = pool.submit(|| ());
    assert_eq!(pool.cancel_queued(), 2);
    for job in [first, second] {
        assert!(matches!(job.wait(), Err(JobError::Cancelled)));
    }
    held.release();
}
