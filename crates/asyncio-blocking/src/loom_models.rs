//! Every interleaving of the places where threads meet, explored by loom.
//!
//! The models are small, one or two jobs and at most three threads, and loom bounds how often a
//! thread is interrupted where it need not be; the crate's documentation has the command.
//! A job or a wake that gets lost shows as a deadlock, which loom reports.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use crate::{JobError, ThreadPool};

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn pool(max_threads: usize, keep_alive: Duration) -> ThreadPool {
    ThreadPool::builder()
        .max_threads(max_threads)
        .keep_alive(keep_alive)
        .build()
}

/// The second submit meets the thread before, while and after it goes to sleep.
#[test]
fn loom_a_job_reaches_a_thread_that_is_going_to_sleep() {
    explore(|| {
        let pool = pool(1, Duration::MAX);
        pool.submit(|| ()).detach();
        assert_eq!(pool.submit(|| 2).wait().unwrap(), 2);
    });
}

/// The result may come before the first poll, between the poll and the sleep, or after it.
#[test]
fn loom_a_result_is_never_missed() {
    explore(|| {
        let pool = pool(1, Duration::MAX);
        assert_eq!(pool.submit(|| 1).wait().unwrap(), 1);
        assert_eq!(pool.stats().threads, 1);
        assert_eq!(pool.stats().idle, 1, "idle before the result is seen");
    });
}

/// The second submit meets the thread before, while and after it leaves.
#[test]
fn loom_a_job_is_not_left_to_a_thread_that_is_leaving() {
    explore(|| {
        let pool = pool(1, Duration::ZERO);
        pool.submit(|| ()).detach();
        assert_eq!(pool.submit(|| 2).wait().unwrap(), 2);
    });
}

/// A thread that goes to retire finds itself taken off the stack. Had it not waited for that wake,
/// the wake would end a later sleep, the count of arriving threads would go wrong, and the last
/// job would be left to a thread that never comes.
#[test]
fn loom_a_late_wake_does_not_end_the_next_sleep() {
    explore(|| {
        let pool = pool(1, Duration::ZERO);
        for number in 0..3 {
            assert_eq!(pool.submit(move || number).wait().unwrap(), number);
        }
    });
}

/// Two submitters and as many threads: none may count on a thread that the other takes.
#[test]
fn loom_two_submitters_both_find_a_thread() {
    explore(|| {
        let pool = pool(2, Duration::MAX);
        let other = {
            let pool = pool.clone();
            loom::thread::spawn(move || assert_eq!(pool.submit(|| 1).wait().unwrap(), 1))
        };
        assert_eq!(pool.submit(|| 2).wait().unwrap(), 2);
        other.join().unwrap();
    });
}

/// Either the job runs and its result comes, or it is cancelled and its closure dropped.
#[test]
fn loom_a_job_is_either_cancelled_or_run() {
    explore(|| {
        let pool = pool(1, Duration::MAX);
        let runs = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&runs);
        let job = pool.submit(move || count.fetch_add(1, SeqCst));
        let cancelled = job.cancel();
        if cancelled {
            assert_eq!(Arc::strong_count(&runs), 1);
        }
        match job.wait() {
            Ok(_) => assert!(!cancelled && runs.load(SeqCst) == 1),
            Err(JobError::Cancelled) => assert!(cancelled && runs.load(SeqCst) == 0),
            Err(other) => panic!("{other}"),
        }
        assert_eq!(pool.stats().queued, 0);
    });
}

/// The job leaves while its thread starts, runs or delivers: closure and result are dropped once.
#[test]
fn loom_a_dropped_job_leaves_nothing_behind() {
    explore(|| {
        let pool = pool(1, Duration::MAX);
        let token = Arc::new(());
        let inside = Arc::clone(&token);
        drop(pool.submit(move || inside));
        pool.join(None);
        assert_eq!(Arc::strong_count(&token), 1);
    });
}

/// The close meets a thread that starts, runs or goes to sleep, and a job on its way.
#[test]
fn loom_a_closed_pool_ends_and_loses_no_job() {
    explore(|| {
        let pool = pool(1, Duration::MAX);
        let job = pool.submit(|| 1);
        let closer = {
            let pool = pool.clone();
            loom::thread::spawn(move || pool.close())
        };
        pool.join(None);
        assert_eq!(job.wait().unwrap(), 1);
        assert_eq!(pool.stats().threads, 0);
        closer.join().unwrap();
    });
}
