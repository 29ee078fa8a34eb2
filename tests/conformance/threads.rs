//! Threads: executors, calls and coroutines from elsewhere: S186 to S193.

use std::future::pending;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asyncio::{
    ConcurrentError, ContextVar, JobError, LoopHandle, ThreadPoolExecutor, TimeoutError,
    catch_cancelled, create_task, current_task, get_running_loop, run_coroutine_threadsafe, sleep,
    timeout, to_thread, wrap_future, yield_now,
};

use crate::harness::{new_loop, panic_message, run, settle};
use crate::twin::{log, twin, works};

static V: ContextVar<u32> = ContextVar::new("v");

/// Runs a program on a loop while another thread does its part with the loop's handle, until both have ended.
fn beside<F, T>(
    other: impl FnOnce(asyncio::LoopHandle) -> T + Send + 'static,
    program: F,
) -> (F::Output, T)
where
    F: std::future::Future + 'static,
    F::Output: 'static,
    T: Send + 'static,
{
    let event_loop = asyncio::EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let thread = thread::spawn(move || other(handle));
    let both = async move { (program.await, to_thread(move || thread.join()).await) };
    let (output, joined) = event_loop.run_until_complete(both).unwrap();
    (
        output,
        joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    )
}

#[test]
fn a_call_in_the_default_executor_starts_at_once_and_brings_its_result_or_panic() {
    // S186
    run(async {
        let (started, has_started) = mpsc::channel();
        let job = get_running_loop().run_in_executor(move || {
            started.send(thread::current().id()).unwrap();
            6 * 7
        });
        // Nothing has been awaited.
        assert_ne!(has_started.recv().unwrap(), thread::current().id());
        assert_eq!(job.await.unwrap(), 42);

        let broken = get_running_loop().run_in_executor(|| panic!("broken"));
        assert!(
            matches!(broken.await, Err(JobError::Panicked(panic)) if panic.message() == "broken")
        );
    });
}

#[test]
fn to_thread_takes_a_copy_of_the_context_along_and_run_in_executor_does_not() {
    // S187
    run(async {
        V.set(1);
        let seen = to_thread(|| {
            let seen = V.get();
            V.set(2);
            (seen, V.get())
        });
        assert_eq!(seen.await, (Some(1), Some(2)));
        assert_eq!(V.get(), Some(1)); // what the thread set did not come back
        let bare = get_running_loop().run_in_executor(|| V.get());
        assert_eq!(bare.await.unwrap(), None);
    });
}

#[test]
fn a_cancelled_call_that_has_not_started_never_runs() {
    // S188
    let event_loop = new_loop();
    event_loop.set_default_executor(ThreadPoolExecutor::new(1));
    let (release, gate) = mpsc::channel::<()>();
    let (ran, has_run) = mpsc::channel::<()>();
    event_loop
        .run_until_complete(async move {
            let blocker = get_running_loop().run_in_executor(move || gate.recv());
            let waiting =
                create_task(
                    async move { catch_cancelled(to_thread(move || drop(ran))).await.is_err() },
                );
            settle(1).await;
            waiting.cancel();
            assert!(waiting.await.unwrap());
            // The closure was dropped, not run: the channel is cut off while the only thread is still busy.
            assert!(has_run.recv().is_err());
            release.send(()).unwrap();
            blocker.await.unwrap().unwrap();
        })
        .unwrap();
}

#[test]
fn a_call_that_runs_goes_on_when_its_awaiter_is_cancelled_which_resumes_at_once() {
    // S188
    run(async {
        let (started, has_started) = mpsc::channel();
        let (release, gate) = mpsc::channel::<()>();
        let (ended, has_ended) = mpsc::channel();
        let waiting = create_task(async move {
            let call = to_thread(move || {
                started.send(()).unwrap();
                gate.recv().unwrap();
                ended.send(()).unwrap();
            });
            catch_cancelled(call).await.is_err()
        });
        settle(1).await;
        has_started.recv().unwrap();
        waiting.cancel();
        assert!(waiting.await.unwrap()); // the call still waits for its gate
        release.send(()).unwrap();
        has_ended.recv().unwrap();
    });
}

#[test]
fn after_its_shutdown_the_default_executor_refuses_work() {
    // S189
    let event_loop = asyncio::EventLoop::new().unwrap();
    event_loop
        .run_until_complete(async {
            let (release, gate) = mpsc::channel::<()>();
            let running = get_running_loop().run_in_executor(move || gate.recv().is_ok());
            let limit = Some(Duration::from_millis(1));
            // Gives up while one runs …
            assert!(!get_running_loop().shutdown_default_executor(limit).await);
            release.send(()).unwrap();
            // … and without a limit waits for it.
            assert!(get_running_loop().shutdown_default_executor(None).await);
            assert!(running.await.unwrap());
            let refused = get_running_loop().run_in_executor(|| ());
            assert!(refused.await.is_err());
        })
        .unwrap();
}

#[test]
fn the_default_executor_can_be_replaced_by_another_thread_pool_and_by_nothing_else() {
    // S190: anything else is a type error.
    let event_loop = asyncio::EventLoop::new().unwrap();
    let pool = ThreadPoolExecutor::builder().name_prefix("mine").build();
    let former = event_loop.set_default_executor(pool.clone());
    let name = || thread::current().name().unwrap_or_default().to_owned();
    let names = event_loop.run_until_complete(async move {
        let in_executor = get_running_loop().run_in_executor(name).await.unwrap();
        // Another pool may be used explicitly, and the former one was not shut down.
        (
            in_executor,
            to_thread(name).await,
            former.submit(name).await.unwrap(),
        )
    });
    let (in_executor, in_thread, in_former) = names.unwrap();
    assert!(in_executor.starts_with("mine") && in_thread.starts_with("mine"));
    assert!(!in_former.starts_with("mine"));
}

#[test]
fn a_threadsafe_call_wakes_a_sleeping_loop_and_calls_keep_their_order() {
    // S191
    let (sender, receiver) = mpsc::channel();
    let ((), ()) = beside(
        move |event_loop| {
            for n in 0..100 {
                let sender = sender.clone();
                event_loop
                    .call_soon_threadsafe(move || sender.send(n).unwrap())
                    .unwrap();
            }
        },
        async move {
            // No timer and nothing ready: only the calls wake the loop.
            let all = to_thread(move || receiver.iter().take(100).collect::<Vec<_>>());
            assert!(all.await.into_iter().eq(0..100));
        },
    );
}

#[test]
fn a_closed_loop_refuses_threadsafe_calls_and_ignores_jobs_that_end_late() {
    // S191
    let event_loop = asyncio::EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let (release, gate) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    let (ended, has_ended) = mpsc::channel();
    event_loop
        .run_until_complete(async move {
            create_task(async move {
                let _ = to_thread(move || {
                    started.send(()).unwrap();
                    let _ = gate.recv();
                    ended.send(()).unwrap();
                })
                .await;
            })
            .detach();
            settle(2).await;
            has_started.recv().unwrap();
        })
        .unwrap();
    event_loop.set_exception_handler(Some(std::rc::Rc::new(|_| ())));
    event_loop.close().unwrap();
    assert!(handle.is_closed());
    assert!(handle.call_soon_threadsafe(|| ()).is_err());
    release.send(()).unwrap();
    has_ended.recv().unwrap();
}

#[test]
fn a_threadsafe_call_can_be_taken_back_until_it_begins() {
    // S192
    let event_loop = new_loop();
    let (ran, has_run) = mpsc::channel::<()>();
    let handle = event_loop
        .handle()
        .call_soon_threadsafe(move || drop(ran))
        .unwrap();
    let other = handle.clone();
    assert!(!handle.cancelled());
    thread::spawn(move || other.cancel()).join().unwrap();
    assert!(handle.cancelled());
    assert!(has_run.recv().is_err()); // its closure went at once
    event_loop.run_until_complete(yield_now()).unwrap();
    handle.cancel(); // harmless, as is repeating it
}

#[test]
fn to_cancel_a_threadsafe_call_that_runs_waits_for_its_end() {
    // S192
    let event_loop = new_loop();
    let (begun, has_begun) = mpsc::channel();
    let (own, own_handle) = mpsc::channel::<asyncio::ThreadsafeHandle>();
    let (ended, has_ended) = mpsc::channel();
    let handle = event_loop
        .handle()
        .call_soon_threadsafe(move || {
            begun.send(()).unwrap();
            // From within there is nothing to wait for.
            own_handle.recv().unwrap().cancel();
            thread::sleep(Duration::from_millis(20));
            ended.send(()).unwrap();
        })
        .unwrap();
    own.send(handle.clone()).unwrap();
    let waits = thread::spawn(move || {
        has_begun.recv().unwrap();
        handle.cancel();
        has_ended.try_recv().is_ok()
    });
    event_loop.run_until_complete(yield_now()).unwrap();
    assert!(waits.join().unwrap());
}

#[test]
fn a_coroutine_from_another_thread_gives_its_result_there() {
    // S193
    let (home, outcome) = beside(
        |event_loop| {
            V.set(3);
            // The future is made on the loop: it may hold what is not `Send`.
            let future = run_coroutine_threadsafe(
                || async {
                    let there = std::rc::Rc::new(thread::current().id());
                    sleep(0.001).await;
                    (*there, V.get())
                },
                &event_loop,
            );
            let outcome = future.result(None).unwrap();
            assert!(future.done() && !future.cancel());
            assert!(matches!(future.result(None), Err(ConcurrentError::Taken)));
            outcome
        },
        async { thread::current().id() },
    );
    assert_eq!(outcome, (home, Some(3))); // with the context of the thread that asked
}

#[test]
fn a_panic_and_a_cancellation_of_the_task_appear_on_its_future() {
    // S193
    beside(
        |event_loop| {
            let broken = run_coroutine_threadsafe(|| async { panic!("broken") }, &event_loop);
            assert!(matches!(
                broken.result(None),
                Err(ConcurrentError::Panicked(panic)) if panic.message() == "broken"
            ));
            let ended = run_coroutine_threadsafe(
                || async {
                    current_task().unwrap().cancel();
                    pending::<()>().await;
                },
                &event_loop,
            );
            assert!(matches!(
                ended.result(None),
                Err(ConcurrentError::Cancelled)
            ));
            assert!(ended.cancelled());
        },
        async {},
    );
}

#[test]
fn to_cancel_the_future_requests_that_the_task_end() {
    // S193
    let (cleaned, has_cleaned) = mpsc::channel();
    beside(
        move |event_loop| {
            let (begun, has_begun) = mpsc::channel();
            let future = run_coroutine_threadsafe(
                move || async move {
                    begun.send(()).unwrap();
                    let caught = catch_cancelled(pending::<()>()).await;
                    sleep(0.001).await; // cleanup
                    cleaned.send(caught.is_err()).unwrap();
                },
                &event_loop,
            );
            has_begun.recv().unwrap();
            let limit = Some(Duration::from_millis(1));
            assert!(matches!(
                future.result(limit),
                Err(ConcurrentError::TimedOut)
            ));
            assert!(future.cancel() && future.cancelled());
            assert!(!future.cancel());
            assert!(matches!(
                future.result(None),
                Err(ConcurrentError::Cancelled)
            ));
            assert!(has_cleaned.recv().unwrap());
        },
        async {},
    );
}

#[test]
fn a_coroutine_cancelled_before_it_began_never_begins() {
    // S193
    let event_loop = new_loop();
    let future = run_coroutine_threadsafe(|| async { unreachable!() }, &event_loop.handle());
    assert!(future.cancel());
    event_loop.run_until_complete(settle(3)).unwrap();
    let left: asyncio::ConcurrentFuture<()> = future;
    assert!(left.cancelled());
}

#[test]
fn the_end_of_the_loop_settles_what_it_leaves() {
    // S193
    let event_loop = new_loop();
    let handle = event_loop.handle();
    event_loop.set_exception_handler(Some(std::rc::Rc::new(|_| ())));
    let left = run_coroutine_threadsafe(pending::<()>, &handle);
    event_loop.run_until_complete(settle(3)).unwrap();
    event_loop.close().unwrap();
    assert!(matches!(
        left.result(None),
        Err(ConcurrentError::LoopClosed)
    ));
    let late = run_coroutine_threadsafe(|| async {}, &handle);
    assert!(matches!(
        late.result(None),
        Err(ConcurrentError::LoopClosed)
    ));
}

#[test]
fn waiting_for_it_in_the_loops_own_thread_panics_instead_of_waiting_for_ever() {
    // S193: Python deadlocks.
    run(async {
        let future = run_coroutine_threadsafe(|| async { 5 }, &get_running_loop());
        let message = panic_message(|| drop(future.result(None)));
        assert!(message.contains("it would wait for itself for ever; await it instead"));
        assert_eq!(future.await.unwrap(), 5);
    });
}

#[test]
fn a_wrapped_future_passes_a_request_on_to_the_other_loops_task() {
    // S193
    let (report, reports) = mpsc::channel();
    let ((), ()) = beside(
        move |other| {
            asyncio::run(async move {
                let far = run_coroutine_threadsafe(
                    move || async move {
                        let caught = catch_cancelled(pending::<()>()).await;
                        report.send(caught.is_err()).unwrap();
                    },
                    &other,
                );
                let waited = timeout(0.005, wrap_future(far)).await;
                assert!(matches!(waited, Err(TimeoutError { .. })));
                let heard = to_thread(move || reports.recv().unwrap());
                assert!(heard.await);
            });
        },
        async {},
    );
}

/// As if it had run between two lines of the scenario.
fn in_a_thread(function: impl FnOnce(LoopHandle) + Send + 'static) {
    let event_loop = get_running_loop();
    thread::spawn(move || function(event_loop)).join().unwrap();
}

#[test]
fn calls_of_a_thread_keep_their_order_and_come_after_what_was_queued_before() {
    // S191
    twin(async || {
        get_running_loop().call_soon(|| log("queued before"));
        in_a_thread(|event_loop| {
            for name in ["a", "b", "c"] {
                event_loop.call_soon_threadsafe(move || log(name)).unwrap();
            }
        });
        log("the thread has gone");
        settle(2).await;
    });
}

#[test]
fn a_call_that_was_taken_back_never_runs() {
    // S192
    twin(async || {
        in_a_thread(|event_loop| {
            event_loop
                .call_soon_threadsafe(|| log("a"))
                .unwrap()
                .cancel();
            event_loop.call_soon_threadsafe(|| log("b")).unwrap();
        });
        settle(2).await;
    });
}

#[test]
fn a_coroutine_sent_by_a_thread_is_a_task_in_its_turn() {
    // S193
    twin(async || {
        create_task(works("mine", 0, ())).detach();
        in_a_thread(|event_loop| {
            drop(run_coroutine_threadsafe(
                || works("sent", 0, ()),
                &event_loop,
            ));
        });
        sleep(1).await;
    });
}
