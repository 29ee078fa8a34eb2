//! The sweep over coroutines that were sent to a loop by another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asyncio::threadsafe::Event;
use asyncio::{
    EventLoop, LoopHandle, catch_cancelled, finally, get_running_loop, run_coroutine_threadsafe,
    sleep, timeout, wrap_future,
};

use super::{Children, Sweep, Work, sweep_shared};

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
