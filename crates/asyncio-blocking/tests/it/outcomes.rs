use std::{
    error::Error,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use asyncio_blocking::{Job, JobError, ThreadPool};
use futures_lite::future::{block_on, poll_once};

use crate::{Held, OnDrop};

#[test]
fn the_value_comes_to_whoever_awaits() {
    let pool = ThreadPool::new(1);
    assert_eq!(block_on(pool.submit(|| vec![1, 2, 3])).unwrap(), [1, 2, 3]);
}

#[test]
fn a_panic_is_carried_to_whoever_awaits_and_the_thread_goes_on() {
    let pool = ThreadPool::new(1);
    let before = pool.submit(|| thread::current().id()).wait().unwrap();
    let paper = String::from("paper");
    match block_on(pool.submit(move || -> () { panic!("no more {paper}") })) {
        Err(JobError::Panicked(panic)) => {
            assert_eq!(panic.message(), "no more paper");
            assert_eq!(
                *panic.into_payload().downcast::<String>().unwrap(),
                "no more paper"
            );
        }
        other => panic!("{other:?}"),
    }
    let after = pool.submit(|| thread::current().id()).wait().unwrap();
    assert_eq!(before, after);
    assert_eq!(pool.stats().threads, 1);
}

#[test]
fn what_a_panicking_job_owned_is_dropped() {
    let pool = ThreadPool::new(1);
    let token = Arc::new(());
    let owned = Arc::clone(&token);
    let job = pool.submit(move || {
        let _owned = owned;
        panic!("on purpose");
    });
    assert!(job.wait().is_err());
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn a_destructor_that_panics_does_not_harm_the_thread() {
    let pool = ThreadPool::new(1);
    let held = Held::in_pool(&pool);
    pool.submit(|| OnDrop(|| panic!("in a destructor")))
        .detach();
    // Even the payload of the panic may have such a destructor.
    pool.submit(|| OnDrop(|| std::panic::panic_any(OnDrop(|| panic!("in its payload")))))
        .detach();
    let worker = held.release();
    assert_eq!(
        pool.submit(|| thread::current().id()).wait().unwrap(),
        worker
    );
}

#[test]
fn errors_pass_through_the_question_mark_of_common_error_types() {
    fn run(pool: &ThreadPool) -> Result<(), Box<dyn Error + Send + Sync>> {
        pool.submit(|| panic!("carried over")).wait()?;
        Ok(())
    }
    let error = run(&ThreadPool::new(1)).unwrap_err();
    assert!(error.to_string().contains("carried over"), "{error}");
}

#[test]
fn errors_say_what_happened_and_what_to_do() {
    assert_eq!(
        JobError::Cancelled.to_string(),
        "the job was cancelled before it started and never ran; \
         submit it again if it is still wanted"
    );
    assert_eq!(
        JobError::ShutDown.to_string(),
        "the thread pool is closed and takes no more jobs; \
         submit before `ThreadPool::close`, or use another pool"
    );
}

#[test]
#[should_panic(expected = "polled after it gave its result")]
fn a_job_polled_after_its_result_says_so() {
    let mut job = ThreadPool::new(1).submit(|| ());
    block_on(async {
        (&mut job).await.unwrap();
        let _ = poll_once(&mut job).await;
    });
}

#[test]
fn a_wait_that_times_out_can_be_repeated() {
    let pool = ThreadPool::new(1);
    let mut held = Held::in_pool(&pool);
    assert!(held.job.wait_timeout(Duration::ZERO).is_none());
    assert!(held.job.wait_timeout(Duration::from_millis(1)).is_none());
    drop(held.release);
    assert!(held.job.wait_timeout(Duration::MAX).unwrap().is_ok());
}

#[test]
fn jobs_may_cross_threads_if_their_value_may() {
    fn check<T: Send + Sync + Unpin>() {}
    check::<Job<Mutex<()>>>();
    check::<Job<std::cell::Cell<u8>>>();
    check::<ThreadPool>();
    check::<JobError>();
}
