//! What a task costs in memory, counted by an allocator of the test binary's own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;

use asyncio_executor::{Executor, catch_cancelled, spawn, yield_now};

use crate::support::settle;

#[global_allocator]
static COUNTING: Counting = Counting;

struct Counting;

thread_local! {
    /// Of this thread, so that tests on other threads do not disturb: allocations made, and bytes held.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(allocations: usize, bytes: isize) {
    // Not in thread-locals that are gone: an allocator may be called at the very end of a thread.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + allocations));
    let _ = BYTES.try_with(|count| count.set(count.get() + bytes));
}

// SAFETY: everything is handed to the system's allocator unchanged; the counters neither allocate nor unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(0, -(layout.size() as isize));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(1, new_size as isize - layout.size() as isize);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// Allocations made and bytes still held by what a closure does on this thread.
fn measure<R>(f: impl FnOnce() -> R) -> (R, usize, isize) {
    let (allocations, bytes) = (ALLOCATIONS.get(), BYTES.get());
    let result = f();
    (result, ALLOCATIONS.get() - allocations, BYTES.get() - bytes)
}

const TASKS: usize = 1000;

/// An executor whose queue has its capacity already.
fn warm() -> Executor {
    let executor = Executor::new();
    for _ in 0..TASKS {
        executor.spawn(yield_now()).detach();
    }
    settle(&executor);
    executor
}

#[test]
fn a_task_is_one_allocation_and_an_idle_one_holds_at_most_128_bytes() {
    let executor = warm();
    let mut tasks = Vec::with_capacity(TASKS);
    let ((), allocations, bytes) = measure(|| {
        for _ in 0..TASKS {
            tasks.push(executor.spawn(pending::<()>()));
        }
        settle(&executor);
    });
    assert_eq!(allocations, TASKS);
    assert!(
        bytes as usize <= TASKS * 128,
        "{} bytes a task",
        bytes as usize / TASKS
    );
    let ((), _, freed) = measure(|| {
        executor.enter(|| {
            for task in &tasks {
                task.cancel();
            }
        });
        settle(&executor);
        drop(tasks.drain(..));
    });
    assert_eq!(bytes + freed, 0, "all of it comes back");
}

#[test]
fn a_task_that_ends_leaves_nothing_behind() {
    let executor = warm();
    let (sum, allocations, bytes) = measure(|| {
        executor
            .run(async {
                let mut sum = 0;
                for n in 0..TASKS {
                    sum += spawn(async move { n }).await.unwrap();
                }
                sum
            })
            .unwrap()
    });
    assert_eq!(sum, TASKS * (TASKS - 1) / 2);
    assert_eq!(bytes, 0);
    // The outer task: its cell, its table of scopes, and what that grows to once.
    assert!(allocations <= TASKS + 8, "{allocations} allocations");
}

#[test]
fn steps_and_plain_requests_allocate_nothing() {
    let executor = warm();
    let yielding = executor.spawn(async {
        for _ in 0..TASKS {
            yield_now().await;
        }
    });
    let idle = executor.spawn(pending::<()>());
    executor.enter(|| executor.run_ready());
    let ((), allocations, _) = measure(|| {
        settle(&executor);
        executor.enter(|| idle.cancel());
        idle.uncancel();
    });
    assert!(yielding.done());
    assert_eq!(allocations, 0);
}

#[test]
fn scopes_entered_again_and_again_reuse_their_place() {
    let executor = warm();
    let task = executor.spawn(async {
        for _ in 0..TASKS {
            catch_cancelled(yield_now()).await.unwrap();
        }
    });
    for _ in 0..4 {
        executor.enter(|| executor.run_ready());
    }
    let ((), allocations, _) = measure(|| {
        settle(&executor);
    });
    assert!(task.done());
    assert_eq!(allocations, 0);
}

#[test]
fn an_await_by_reference_allocates_nothing_beside_its_tasks() {
    let executor = warm();
    let spawn_both = || {
        let mut inner = executor.spawn(yield_now());
        let outer = executor.spawn(async move { (&mut inner).await });
        settle(&executor);
        drop(outer);
    };
    spawn_both();
    let ((), allocations, bytes) = measure(|| {
        for _ in 0..TASKS {
            spawn_both();
        }
    });
    assert_eq!((allocations, bytes), (2 * TASKS, 0));
}

#[test]
fn a_closed_executor_gives_all_its_memory_back() {
    let ((), _, bytes) = measure(|| {
        let executor = Executor::new();
        executor.set_exception_handler(Some(Rc::new(|_| ())));
        for n in 0..100 {
            executor
                .spawn(async move {
                    let _ = catch_cancelled(pending::<()>()).await;
                    n
                })
                .name("named")
                .add_done_callback(|| ());
        }
        executor.call_soon(|| ());
        settle(&executor);
        executor.call_soon(|| ());
        drop(executor);
    });
    assert_eq!(bytes, 0);
}
