//! The sweep over what threads share: the thread-safe primitives, and coroutines that run on another loop.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asyncio::threadsafe::{Barrier, Condition, Event, Semaphore};
use asyncio::{
    EventLoop, LoopHandle, catch_cancelled, create_task, finally, get_running_loop,
    run_coroutine_threadsafe, sleep, timeout, wrap_future,
};

use super::{Children, Sweep, Work, sweep_shared};

#[test]
fn a_thread_safe_semaphore_has_all_its_permits_in_the_end() {
    sweep_shared(|| {
        let semaphore = Arc::new(Semaphore::new(2));
        let check = semaphore.clone();
        let program = async move {
            for n in 1..=3 {
                let semaphore = semaphore.clone();
                create_task(async move {
                    let _permit = semaphore.acquire().await;
                    sleep(n).await;
                })
                .detach();
            }
            sleep(0).await;
            let _first = semaphore.acquire().await;
            let _second = semaphore.clone().acquire_owned().await;
            sleep(1).await;
            // Times out: both are ours.
            assert!(timeout(1, semaphore.acquire()).await.is_err());
        };
        (program, move || assert_eq!(check.value(), 2, "permits"))
    });
}

#[test]
fn a_thread_safe_event_wakes_everybody_else() {
    sweep_shared(|| {
        let event = Arc::new(Event::new());
        let woken = Rc::<Cell<u32>>::default();
        let count = woken.clone();
        let program = async move {
            for _ in 0..2 {
                let (event, woken) = (event.clone(), woken.clone());
                create_task(async move {
                    event.wait().await;
                    woken.set(woken.get() + 1);
                })
                .detach();
            }
            let setter = event.clone();
            get_running_loop().call_later(2, move || setter.set());
            event.wait().await;
            event.clear();
            assert!(timeout(1, event.wait()).await.is_err());
            sleep(1).await;
        };
        let check = move || {
            // Cancelled before its first step, it has started nobody.
            assert!(matches!(count.get(), 0 | 2), "{} were woken", count.get());
        };
        (program, check)
    });
}

#[test]
fn a_thread_safe_condition_leaves_its_lock_free() {
    sweep_shared(|| {
        let condition = Arc::new(Condition::new());
        let check = condition.clone();
        let program = async move {
            let notifier = condition.clone();
            create_task(async move {
                for _ in 0..3 {
                    sleep(2).await;
                    let _guard = notifier.acquire().await;
                    notifier.notify_all().unwrap();
                    sleep(1).await; // who was notified waits for the lock
                }
            })
            .detach();
            let guard = condition.acquire().await;
            let guard = condition.wait(guard).await;
            let guard = condition.wait(guard).await;
            sleep(1).await;
            drop(guard);
        };
        (program, move || {
            assert!(!check.locked(), "the lock is held")
        })
    });
}

#[test]
fn a_thread_safe_barrier_is_usable_in_the_end() {
    sweep_shared(|| {
        let barrier = Arc::new(Barrier::new(2).unwrap());
        let check = barrier.clone();
        let program = async move {
            for _ in 0..2 {
                let other = barrier.clone();
                let party = create_task(async move {
                    sleep(1).await;
                    let _ = timeout(5, other.wait()).await;
                });
                let _ = barrier.wait().await;
                party.await.unwrap();
            }
        };
        let check = move || {
            assert_eq!(check.n_waiting(), 0, "somebody waits at the barrier");
            assert!(!check.broken());
        };
        (program, check)
    });
}

#[test]
fn a_coroutine_sent_to_a_loop_ends_with_whoever_awaits_it() {
    sweep_shared(|| {
        let begun = Arc::<AtomicI32>::default();
        let open = begun.clone();
        let program = async move {
            // By way of the queue for other threads, though it is the same loop: so time is virtual.
            let event_loop = get_running_loop();
            let send = |seconds: u64| {
                let open = open.clone();
                wrap_future(run_coroutine_threadsafe(
                    move || hold(open, seconds as f64),
                    &event_loop,
                ))
            };
            send(1).await.unwrap();
            let (one, two) = (send(2), send(3));
            one.await.unwrap();
            two.await.unwrap();
            // The end of the time is a request, too.
            assert!(timeout(1, send(50)).await.is_err());
        };
        let check = move || assert_eq!(begun.load(Ordering::SeqCst), 0, "something is still held");
        (program, check)
    });
}

/// Holds something for so long, and gives it back with an await.
async fn hold(open: Arc<AtomicI32>, seconds: f64) {
    open.fetch_add(1, Ordering::SeqCst);
    let cleanup = async move {
        let _ = catch_cancelled(sleep(0.001)).await;
        open.fetch_sub(1, Ordering::SeqCst);
    };
    finally(sleep(seconds), cleanup).await;
}

/// Another thread's loop, which turns until this is dropped.
struct Elsewhere {
    event_loop: LoopHandle,
    stop: Arc<asyncio::threadsafe::Event>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Elsewhere {
    fn new() -> Elsewhere {
        let (tell, told) = mpsc::channel();
        let stop = Arc::new(Event::new());
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let event_loop = EventLoop::new().unwrap();
            tell.send(event_loop.handle()).unwrap();
            event_loop
                .run_until_complete(async move { stopped.wait().await })
                .unwrap();
            event_loop.close().unwrap();
        });
        Elsewhere {
            event_loop: told.recv().unwrap(),
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.stop.set();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

#[test]
fn a_coroutine_on_the_loop_of_another_thread_ends_with_whoever_awaits_it() {
    let elsewhere = Elsewhere::new();
    let sweep = Sweep {
        children: Children::EndWithIt,
        real_time: true,
    };
    sweep.over(|| {
        let event_loop = elsewhere.event_loop.clone();
        let open = Arc::<AtomicI32>::default();
        let (there, ends) = (event_loop.clone(), open.clone());
        let work = Work::default();
        let here = work.clone();
        let program = async move {
            for _ in 0..2 {
                let open = open.clone();
                let sent = run_coroutine_threadsafe(move || hold(open, 0.001), &there);
                wrap_future(sent).await.unwrap();
            }
            here.hold(0).await;
            let sent = run_coroutine_threadsafe(move || hold(open, 3600.0), &there);
            assert!(timeout(0.005, wrap_future(sent)).await.is_err());
        };
        let check = move || {
            work.check()();
            // Its cleanup awaits there; the loop there says when it is over.
            let ended = async move || {
                while ends.load(Ordering::SeqCst) != 0 {
                    sleep(0.001).await;
                }
            };
            let ended = run_coroutine_threadsafe(ended, &event_loop);
            ended.result(Some(Duration::from_secs(20))).unwrap();
        };
        (program, check)
    });
}
