//! Other threads: wakers and `Remote`. Whatever they do, a future lives and dies on its own thread.

use std::cell::RefCell;
use std::future::{IntoFuture, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Poll, Wake, Waker};
use std::thread;

use asyncio_executor::{Closed, Executor, Task, current_remote, spawn, yield_now};

use crate::support::{HomeDrops, HomeToken, settle, turn};

/// Another way through the waker's table than `wake_by_ref`.
fn wake_by_value(waker: &Waker) {
    let own = waker.clone();
    own.wake();
}

/// A task that hands its waker out at its first step, then counts polls until `open`.
struct Waiting {
    task: Task<usize>,
    waker: Waker,
    open: Arc<AtomicBool>,
}

fn waiting(executor: &Executor, token: HomeToken) -> Waiting {
    let (send, receive) = mpsc::channel();
    let open = Arc::new(AtomicBool::new(false));
    let look = open.clone();
    let task = executor.spawn(async move {
        let _token = token;
        let mut polls = 0;
        poll_fn(move |cx| {
            polls += 1;
            let _ = send.send(cx.waker().clone());
            if look.load(Ordering::SeqCst) {
                Poll::Ready(polls)
            } else {
                Poll::Pending
            }
        })
        .await
    });
    turn(executor);
    Waiting {
        task,
        waker: receive.recv().unwrap(),
        open,
    }
}

#[test]
fn a_wake_from_another_thread_ends_the_sleep() {
    let executor = Executor::new();
    let drops = HomeDrops::default();
    let Waiting { task, waker, open } = waiting(&executor, drops.token());
    let waker_thread = thread::spawn(move || {
        open.store(true, Ordering::SeqCst);
        waker.wake();
    });
    // Parks: the pender unparks it.
    assert_eq!(executor.run(task.into_future()).unwrap().unwrap(), 2);
    waker_thread.join().unwrap();
    assert_eq!(drops.count(), 1);
    assert_eq!(executor.stats().foreign, 1);
}

#[test]
fn a_wake_while_the_task_is_being_stepped_steps_it_once_more() {
    let executor = Executor::new();
    let polls = executor.run(async {
        let mut polls = 0;
        poll_fn(move |cx| {
            polls += 1;
            if polls == 2 {
                return Poll::Ready(polls);
            }
            let waker = cx.waker().clone();
            // Joined: the wake happens within this very poll.
            thread::spawn(move || waker.wake()).join().unwrap();
            Poll::Pending
        })
        .await
    });
    assert_eq!(polls.unwrap(), 2);
    assert_eq!(
        executor.stats().foreign,
        0,
        "the running task needs no detour through the injector"
    );
}

#[test]
fn a_wake_after_completion_does_nothing() {
    let executor = Executor::new();
    let drops = HomeDrops::default();
    let Waiting { task, waker, open } = waiting(&executor, drops.token());
    open.store(true, Ordering::SeqCst);
    waker.wake_by_ref();
    settle(&executor);
    assert!(task.done());
    thread::spawn(move || {
        waker.wake_by_ref();
        wake_by_value(&waker);
    })
    .join()
    .unwrap();
    assert!(!executor.foreign_announced());
    assert_eq!(executor.enter(|| task.try_take()).unwrap().unwrap(), 2);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_waker_outlives_task_handle_and_executor() {
    // The last reference of all is dropped on another thread, with the executor gone first.
    let drops = HomeDrops::default();
    for handle_first in [false, true] {
        let executor = Executor::new();
        let remote = executor.remote();
        let Waiting { task, waker, .. } = waiting(&executor, drops.token());
        task.set_name("a name is memory the last reference frees");
        let mut task = Some(task);
        if handle_first {
            task.take();
        }
        drop(executor);
        drop(task);
        thread::spawn(move || {
            waker.wake_by_ref();
            let copy = waker.clone();
            drop(waker);
            copy.wake();
            assert!(remote.call(|| ()).is_err());
        })
        .join()
        .unwrap();
    }
    assert_eq!(drops.count(), 2);
}

#[test]
fn the_last_waker_of_a_living_task_is_dropped_elsewhere_and_the_task_stays() {
    let executor = Executor::new();
    let drops = HomeDrops::default();
    let Waiting { task, waker, .. } = waiting(&executor, drops.token());
    task.detach();
    thread::spawn(move || drop(waker)).join().unwrap();
    assert_eq!(drops.count(), 0);
    assert_eq!(executor.all_tasks().len(), 1);
    drop(executor);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_wake_on_the_home_thread_outside_of_the_executor_goes_through_the_injector() {
    let pended = Arc::new(AtomicUsize::new(0));
    let count = pended.clone();
    let executor = Executor::with_pender(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let drops = HomeDrops::default();
    let Waiting { task, waker, open } = waiting(&executor, drops.token());
    open.store(true, Ordering::SeqCst);
    waker.wake_by_ref();
    waker.wake_by_ref();
    assert_eq!(pended.load(Ordering::SeqCst), 1);
    assert!(executor.foreign_announced());
    assert_eq!(executor.take_foreign(), 1);
    assert!(!executor.foreign_announced());
    settle(&executor);
    assert!(task.done());
}

#[test]
fn the_pender_is_called_once_until_the_loop_has_looked() {
    let pended = Arc::new(AtomicUsize::new(0));
    let count = pended.clone();
    let executor = Executor::with_pender(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let remote = executor.remote();
    for _ in 0..3 {
        remote.call(|| ()).unwrap();
    }
    assert_eq!(pended.load(Ordering::SeqCst), 1);
    assert_eq!(executor.take_foreign(), 3);
    remote.call(|| ()).unwrap();
    assert_eq!(pended.load(Ordering::SeqCst), 2);
    settle(&executor);
    assert_eq!(executor.stats().callbacks, 4);
}

#[test]
fn calls_from_one_thread_keep_their_order() {
    // S191
    const THREADS: usize = 4;
    const CALLS: usize = 500;
    let executor = Executor::new();
    let remote = executor.remote();
    let seen: Arc<Mutex<Vec<(usize, usize)>>> = Arc::default();
    let start = Arc::new(Barrier::new(THREADS));
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (remote, seen, start) = (remote.clone(), seen.clone(), start.clone());
            thread::spawn(move || {
                start.wait();
                for call in 0..CALLS {
                    let seen = seen.clone();
                    remote
                        .call(move || seen.lock().unwrap().push((thread, call)))
                        .unwrap();
                }
            })
        })
        .collect();
    let all = seen.clone();
    executor
        .run(async move {
            while all.lock().unwrap().len() < THREADS * CALLS {
                yield_now().await;
            }
        })
        .unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
    let seen = seen.lock().unwrap();
    for thread in 0..THREADS {
        let calls = seen.iter().filter(|(from, _)| *from == thread);
        assert!(calls.map(|(_, call)| *call).eq(0..CALLS));
    }
}

#[test]
fn a_call_runs_outside_of_tasks_and_may_spawn() {
    let executor = Executor::new();
    let remote = executor.remote();
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        remote
            .call(move || {
                assert!(asyncio_executor::current_task().is_none());
                spawn(async move { send.send(thread::current().id()).unwrap() }).detach();
            })
            .unwrap();
    })
    .join()
    .unwrap();
    settle(&executor);
    assert_eq!(receive.recv().unwrap(), thread::current().id());
}

#[test]
fn a_call_on_a_closed_executor_drops_the_closure_where_it_was_made() {
    let executor = Executor::new();
    let remote = executor.remote();
    let same = executor.remote();
    assert!(remote.same_executor(&same));
    executor.close();
    let refused = thread::spawn(move || {
        let dropped = Arc::new(AtomicBool::new(false));
        struct Note(Arc<AtomicBool>, thread::ThreadId);
        impl Drop for Note {
            fn drop(&mut self) {
                self.0
                    .store(thread::current().id() == self.1, Ordering::SeqCst);
            }
        }
        let note = Note(dropped.clone(), thread::current().id());
        let refused: Result<(), Closed> = remote.call(move || drop(note));
        assert!(dropped.load(Ordering::SeqCst));
        refused
    })
    .join()
    .unwrap();
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("event loop is closed")
    );
}

#[test]
fn calls_that_are_queued_at_close_are_dropped_at_home_unrun() {
    let executor = Executor::new();
    let remote = executor.remote();
    let (token, home) = (Arc::new(()), thread::current().id());
    let probe = Arc::downgrade(&token);
    thread::spawn(move || {
        remote
            .call(move || {
                let _token = token;
                unreachable!("dropped unrun");
            })
            .unwrap();
    })
    .join()
    .unwrap();
    assert_eq!(thread::current().id(), home);
    executor.close();
    assert!(probe.upgrade().is_none());
}

#[test]
fn the_remote_of_the_current_executor_is_found() {
    assert!(current_remote().is_none());
    let executor = Executor::new();
    let remote = executor.remote();
    executor
        .run(async move { assert!(current_remote().unwrap().same_executor(&remote)) })
        .unwrap();
}

#[test]
fn a_foreign_waker_awaits_a_task() {
    // The handle is polled with somebody else's waker, as `block_on` of another library would.
    struct Flag(AtomicUsize);
    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let executor = Executor::new();
    let mut task = executor.spawn(yield_now());
    let flag = Arc::new(Flag(AtomicUsize::new(0)));
    let waker = Waker::from(flag.clone());
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(task.poll_outcome(&mut cx).is_pending());
    settle(&executor);
    assert_eq!(flag.0.load(Ordering::SeqCst), 1);
    assert!(matches!(task.poll_outcome(&mut cx), Poll::Ready(Ok(()))));
}

/// Many threads hammer the wakers of tasks that end, are cancelled, or are closed over. Every future must be dropped
/// exactly once, at home.
#[test]
fn wakes_race_with_completion_cancellation_and_close() {
    const ROUNDS: usize = 30;
    const TASKS: usize = 40;
    const THREADS: usize = 4;
    let drops = HomeDrops::default();
    for round in 0..ROUNDS {
        let executor = Executor::new();
        let wakers: Arc<Mutex<Vec<Waker>>> = Arc::default();
        let tasks: Vec<_> = (0..TASKS)
            .map(|n| {
                let (token, wakers) = (drops.token(), wakers.clone());
                executor.spawn(async move {
                    let _token = token;
                    let mut polls = 0;
                    poll_fn(move |cx| {
                        polls += 1;
                        if polls == 1 {
                            wakers.lock().unwrap().push(cx.waker().clone());
                        }
                        if n % 3 == 0 && polls > n {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        }
                    })
                    .await;
                })
            })
            .collect();
        turn(&executor);
        let wakers = std::mem::take(&mut *wakers.lock().unwrap());
        assert_eq!(wakers.len(), TASKS);
        let start = Arc::new(Barrier::new(THREADS + 1));
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (wakers, start) = (wakers.clone(), start.clone());
                thread::spawn(move || {
                    start.wait();
                    for turn in 0..20 {
                        for waker in wakers.iter().skip((turn + thread) % 3) {
                            if thread % 2 == 0 {
                                waker.wake_by_ref();
                            } else {
                                wake_by_value(waker);
                            }
                        }
                    }
                    // The wakers go here, some of them as the last references.
                })
            })
            .collect();
        drop(wakers);
        start.wait();
        for _ in 0..round {
            turn(&executor);
        }
        for task in tasks.iter().skip(1).step_by(3) {
            task.cancel();
        }
        turn(&executor);
        if round % 2 == 0 {
            drop(tasks);
            drop(executor);
            assert_eq!(drops.count(), (round + 1) * TASKS);
        } else {
            executor.close();
            assert_eq!(drops.count(), (round + 1) * TASKS);
            drop(executor);
            drop(tasks);
        }
        for thread in threads {
            thread.join().unwrap();
        }
    }
    assert_eq!(drops.count(), ROUNDS * TASKS);
}

/// The same with `Remote`: a call is either run, or dropped, or refused; never two of these, never none.
#[test]
fn calls_race_with_close() {
    for _ in 0..50 {
        let executor = Executor::new();
        let (ran, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        struct Count(Arc<AtomicUsize>);
        impl Drop for Count {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let start = Arc::new(Barrier::new(3));
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (remote, ran, dropped, start) = (
                    executor.remote(),
                    ran.clone(),
                    dropped.clone(),
                    start.clone(),
                );
                thread::spawn(move || {
                    start.wait();
                    let mut accepted = 0;
                    for _ in 0..100 {
                        let (ran, count) = (ran.clone(), Count(dropped.clone()));
                        let call = move || {
                            let _count = count;
                            ran.fetch_add(1, Ordering::SeqCst);
                        };
                        accepted += usize::from(remote.call(call).is_ok());
                    }
                    accepted
                })
            })
            .collect();
        start.wait();
        let mut ran_here = 0;
        for _ in 0..5 {
            ran_here += turn(&executor);
        }
        executor.close();
        let accepted: usize = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        assert_eq!(dropped.load(Ordering::SeqCst), 200);
        assert_eq!(ran.load(Ordering::SeqCst), ran_here);
        assert!(ran_here <= accepted);
    }
}

#[test]
fn a_join_handle_of_a_task_woken_by_threads_counts_every_wake_at_most_once() {
    // Wakes may coalesce, but the last one is never lost.
    const WAKES: usize = 1000;
    let executor = Executor::new();
    let done = Arc::new(AtomicUsize::new(0));
    let slot: Rc<RefCell<Option<Waker>>> = Rc::default();
    let (keep, look) = (slot.clone(), done.clone());
    let task = executor.spawn(poll_fn(move |cx| {
        *keep.borrow_mut() = Some(cx.waker().clone());
        if look.load(Ordering::SeqCst) == WAKES {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }));
    turn(&executor);
    let waker = slot.take().unwrap();
    let thread = thread::spawn(move || {
        for _ in 0..WAKES {
            done.fetch_add(1, Ordering::SeqCst);
            waker.wake_by_ref();
        }
    });
    executor.run(task.into_future()).unwrap().unwrap();
    thread.join().unwrap();
    assert!(executor.stats().foreign <= WAKES as u64);
}

#[test]
fn traces_of_foreign_and_local_entries_interleave_in_the_order_they_were_taken() {
    let executor = Executor::new();
    let trace: Arc<Mutex<Vec<&str>>> = Arc::default();
    let (first, second, remote) = (trace.clone(), trace.clone(), executor.remote());
    executor.call_soon(move || first.lock().unwrap().push("queued here before"));
    thread::spawn(move || {
        remote
            .call(move || second.lock().unwrap().push("from afar"))
            .unwrap()
    })
    .join()
    .unwrap();
    let third = trace.clone();
    executor.take_foreign();
    executor.call_soon(move || third.lock().unwrap().push("queued here after"));
    turn(&executor);
    assert_eq!(
        *trace.lock().unwrap(),
        ["queued here before", "from afar", "queued here after"]
    );
}
