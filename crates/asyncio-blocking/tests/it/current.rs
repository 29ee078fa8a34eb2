use std::{panic::catch_unwind, thread};

use asyncio_blocking::{ThreadPool, unblock};

fn current_size() -> Option<usize> {
    ThreadPool::try_current().map(|pool| pool.max_threads())
}

#[test]
fn nested_guards_restore_what_was_current_before() {
    let (outer, inner) = (ThreadPool::new(1), ThreadPool::new(2));
    assert_eq!(current_size(), None);
    let guard = outer.enter();
    assert_eq!(current_size(), Some(1));
    {
        let _guard = inner.enter();
        assert_eq!(current_size(), Some(2));
    }
    assert_eq!(current_size(), Some(1));
    drop(guard);
    assert_eq!(current_size(), None);
}

#[test]
fn a_panic_inside_restores_it_too() {
    let pool = ThreadPool::new(1);
    let outcome = catch_unwind(|| {
        let _guard = pool.enter();
        panic!("on purpose");
    });
    assert!(outcome.is_err());
    assert_eq!(current_size(), None);
}

#[test]
fn the_guard_is_a_handle_and_keeps_the_pool_open() {
    let guard = ThreadPool::new(1).enter();
    assert_eq!(unblock(|| 5).wait().unwrap(), 5);
    drop(guard);
}

#[test]
fn current_is_per_thread_and_not_set_on_the_threads_of_the_pool() {
    let pool = ThreadPool::new(1);
    let _guard = pool.enter();
    assert_eq!(thread::spawn(current_size).join().unwrap(), None);
    assert_eq!(unblock(current_size).wait().unwrap(), None);
}

#[test]
#[should_panic(
    expected = "no running event loop: unblock(…) has no thread pool to run the call on; call this inside `asyncio::run(async { … })`"
)]
fn unblock_without_a_loop_says_what_to_do() {
    drop(unblock(|| ()));
}

#[test]
#[should_panic(expected = "call this inside `asyncio::run(async { … })`")]
fn current_without_a_loop_says_what_to_do() {
    let _ = ThreadPool::current();
}
