use std::{
    sync::{
        Arc,
        mpsc::{channel, sync_channel},
    },
    thread,
    time::Duration,
};

use asyncio_blocking::{JobError, ThreadPool};
use futures_lite::future::{block_on, poll_once};

use crate::{Held, until};

#[test]
fn a_closed_pool_refuses_new_work_and_drops_its_closure() {
    let pool = ThreadPool::new(1);
    pool.close();
    let token = Arc::new(());
    let inside = Arc::clone(&token);
    let job = pool.submit(move || drop(inside));
    assert_eq!(Arc::strong_count(&token), 1);
    assert!(job.is_finished());
    assert!(!job.cancel());
    assert!(matches!(block_on(job), Err(JobError::ShutDown)));
}

#[test]
fn jobs_submitted_before_the_close_still_run() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let queued = pool.submit(|| "ran");
    pool.close();
    held.release();
    assert_eq!(queued.wait().unwrap(), "ran");
}

#[test]
fn idle_threads_leave_when_the_pool_closes() {
    let pool = ThreadPool::builder().keep_alive(Duration::MAX).build();
    let [a, b] = [(); 2].map(|()| Held::in_pool(&pool));
    a.release();
    b.release();
    pool.close();
    until("both threads leave", || pool.stats().threads == 0);
}

#[test]
fn wait_closed_ends_when_the_last_job_is_done() {
    let pool = ThreadPool::new(2);
    let held = Held::in_pool(&pool);
    let queued = [(); 10].map(|()| pool.submit(|| ()));
    block_on(async {
        let mut end = pool.wait_closed();
        assert!(poll_once(&mut end).await.is_none(), "it is not closed");
        pool.close();
        assert!(poll_once(&mut end).await.is_none(), "a job still runs");
        let releaser = thread::spawn(|| held.release());
        end.await;
        releaser.join().unwrap();
    });
    assert!(queued.iter().all(|job| job.is_finished()));
    assert_eq!(pool.stats().threads, 0);
}

#[test]
fn wait_closed_ends_at_once_for_a_pool_that_was_never_used() {
    let pool = ThreadPool::new(1);
    pool.close();
    block_on(pool.wait_closed());
}

#[test]
fn everybody_who_waits_for_the_end_is_woken() {
    let pool = ThreadPool::new(1);
    let (waiting, all_waiting) = sync_channel(0);
    let waiters = [(); 3].map(|()| {
        let (pool, waiting) = (pool.clone(), waiting.clone());
        thread::spawn(move || {
            block_on(async {
                let mut end = pool.wait_closed();
                assert!(poll_once(&mut end).await.is_none());
                waiting.send(()).unwrap();
                end.await;
            });
        })
    });
    // A waiter that gives up is forgotten and does not disturb the others.
    block_on(async { assert!(poll_once(pool.wait_closed()).await.is_none()) });
    for _ in &waiters {
        all_waiting.recv().unwrap();
    }
    pool.close();
    for waiter in waiters {
        waiter.join().unwrap();
    }
}

#[test]
fn join_waits_for_running_and_queued_jobs() {
    let pool = ThreadPool::new(2);
    let jobs: Vec<_> = (0..100).map(|n| pool.submit(move || n)).collect();
    assert!(pool.join(None));
    assert!(jobs.iter().all(|job| job.is_finished()));
    assert!(pool.join(Some(Duration::ZERO)), "it stays so");
}

#[test]
fn join_gives_up_after_its_timeout_and_the_job_goes_on() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    assert!(!pool.join(Some(Duration::ZERO)));
    assert!(!pool.join(Some(Duration::from_millis(1))));
    assert!(pool.is_closed());
    held.release();
    assert!(pool.join(Some(Duration::MAX)));
}

#[test]
fn a_job_that_joins_its_own_pool_is_told_so() {
    let pool = ThreadPool::new(1);
    let handle = pool.clone();
    match pool.submit(move || handle.join(None)).wait() {
        Err(JobError::Panicked(panic)) => {
            assert!(panic.message().contains("wait for itself"));
        }
        other => panic!("{other:?}"),
    }
    assert!(!pool.is_closed());
}

#[test]
fn cancel_futures_is_close_and_cancel_queued() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let queued = [(); 3].map(|()| pool.submit(|| unreachable!("cancelled") as ()));
    pool.close();
    assert_eq!(pool.cancel_queued(), 3);
    held.release();
    assert!(pool.join(None));
    for job in queued {
        assert!(matches!(job.wait(), Err(JobError::Cancelled)));
    }
}

#[test]
fn dropping_the_last_handle_closes_the_pool_and_queued_jobs_still_run() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    let queued = pool.submit(|| "ran");
    let (sender, receiver) = channel();
    pool.submit(move || sender.send("detached ran").unwrap())
        .detach();
    let end = pool.wait_closed();
    drop(pool.clone());
    drop(pool);
    held.release();
    assert_eq!(queued.wait().unwrap(), "ran");
    assert_eq!(receiver.recv(), Ok("detached ran"));
    block_on(end);
}

#[test]
fn the_last_handle_may_be_dropped_by_a_job_of_the_pool() {
    let pool = ThreadPool::new(1);
    let end = pool.wait_closed();
    let (go, gate) = channel::<()>();
    let handle = pool.clone();
    let job = pool.submit(move || {
        let _ = gate.recv();
        drop(handle);
    });
    drop(pool);
    drop(go);
    job.wait().unwrap();
    block_on(end);
}
