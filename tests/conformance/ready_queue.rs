//! Ready queue, callbacks, handles: S1 to S11.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asyncio::{
    Clock, EventLoop, Future as Promise, LoopHandle, RunError, create_task, get_running_loop, sleep,
};
use asyncio_reactor::{Interest, Reactor};

use crate::harness::{
    Trace, collect_reports, loop_with_manual_clock, new_loop, settle, traced, turn,
};

#[test]
fn callbacks_run_in_the_order_in_which_they_were_queued() {
    // S1
    let event_loop = new_loop();
    let trace = Trace::default();
    for line in ["a", "b", "c"] {
        event_loop.call_soon(trace.logs(line));
    }
    turn(&event_loop);
    assert_eq!(trace, ["a", "b", "c"]);
}

#[test]
fn task_steps_and_callbacks_share_one_queue() {
    // S1
    let trace = traced(|trace| async move {
        let event_loop = get_running_loop();
        let future = Promise::new();
        let (waiter, waits) = (future.clone(), trace.clone());
        create_task(async move {
            waits.log("task starts");
            waiter.await.unwrap();
            waits.log("task goes on");
        })
        .detach();
        event_loop.call_soon(trace.logs("callback after the task"));
        sleep(0).await;

        event_loop.call_soon(trace.logs("before the result"));
        future.set_result(()).unwrap();
        event_loop.call_soon(trace.logs("after the result"));
        sleep(0).await;
        trace.log("main");
    });
    assert_eq!(
        trace,
        [
            "task starts",
            "callback after the task",
            "before the result",
            "task goes on", // where the wake was, not where the task is
            "after the result",
            "main",
        ]
    );
}

#[test]
fn a_waking_task_does_not_overtake_one_that_was_woken_earlier() {
    // S1: no slot for the task woken last.
    let trace = traced(|trace| async move {
        let futures: Vec<Promise<()>> = (0..3).map(|_| Promise::new()).collect();
        for (at, future) in futures.iter().cloned().enumerate() {
            let trace = trace.clone();
            create_task(async move {
                future.await.unwrap();
                trace.log(format!("{at}"));
            })
            .detach();
        }
        sleep(0).await;
        for at in [2, 0, 1] {
            futures[at].set_result(()).unwrap();
        }
        sleep(0).await;
    });
    assert_eq!(trace, ["2", "0", "1"]);
}

#[test]
fn a_threadsafe_call_made_on_the_loop_keeps_its_place_among_the_others() {
    // S1, S191: one queue for all of them.
    let trace = traced(|trace| async move {
        let event_loop = get_running_loop();
        let place = Rc::new(RefCell::new(Vec::new()));
        let (sender, receiver) = mpsc::channel();
        let threadsafe = sender.clone();
        event_loop
            .call_soon_threadsafe(move || threadsafe.send("threadsafe").unwrap())
            .unwrap();
        event_loop.call_soon(move || sender.send("plain").unwrap());
        settle(2).await;
        place.borrow_mut().extend(receiver.try_iter());
        for line in place.take() {
            trace.log(line);
        }
    });
    assert_eq!(trace, ["threadsafe", "plain"]);
}

#[test]
fn calls_from_another_thread_keep_their_order_and_wake_the_loop() {
    // S1
    let event_loop = EventLoop::new().unwrap(); // it really sleeps
    let handle = event_loop.handle();
    let (sender, receiver) = mpsc::channel();
    let foreign = thread::spawn(move || {
        for n in 0..3 {
            let sender = sender.clone();
            handle
                .call_soon_threadsafe(move || sender.send(n).unwrap())
                .unwrap();
        }
        handle
            .call_soon_threadsafe(|| get_running_loop().stop())
            .unwrap();
    });
    event_loop.run_forever().unwrap();
    foreign.join().unwrap();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn a_turn_runs_what_was_queued_when_it_began_and_nothing_more() {
    // S2
    let event_loop = new_loop();
    let trace = Trace::default();
    let inner = trace.clone();
    event_loop.call_soon(move || {
        inner.log("first turn");
        get_running_loop().call_soon(inner.logs("second turn"));
    });
    event_loop.call_soon(trace.logs("first turn too"));
    turn(&event_loop);
    assert_eq!(trace, ["first turn", "first turn too"]);
    turn(&event_loop);
    assert_eq!(trace, ["first turn", "first turn too", "second turn"]);
}

/// Queues itself again for ever.
fn chain(event_loop: &LoopHandle) {
    event_loop.call_soon(|| chain(&get_running_loop()));
}

#[test]
fn an_endless_chain_of_callbacks_starves_neither_timers_nor_descriptors() {
    // S2
    let (event_loop, clock) = loop_with_manual_clock();
    let trace = Trace::default();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let seen = trace.clone();
    event_loop
        .run_until_complete(async move {
            chain(&get_running_loop());
            let timer = seen.clone();
            get_running_loop().call_later(1, move || timer.log("timer"));
            let io = seen.clone();
            let told = Rc::new(Cell::new(false));
            let tell = told.clone();
            let _watch = Reactor::current()
                .unwrap()
                .watch(
                    ours.as_fd(),
                    Interest::Readable,
                    Rc::new(move || {
                        if !tell.replace(true) {
                            io.log("descriptor");
                        }
                    }),
                )
                .unwrap();
            clock.advance(Duration::from_secs(1));
            theirs.write_all(b"x").unwrap();
            while !told.get() {
                sleep(0).await;
            }
            settle(1).await;
        })
        .unwrap();
    assert_eq!(trace, ["timer", "descriptor"]);
}

#[test]
fn a_turn_runs_queued_handles_then_descriptors_then_timers() {
    // S3
    let event_loop = new_loop();
    let trace = Trace::default();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap(); // nobody reads it: ready at every look
    let (log, fd) = (trace.clone(), ours.try_clone().unwrap());
    let watch = event_loop.run_until_complete(async move {
        let callback = Rc::new(move || drop(get_running_loop().call_soon(log.logs("descriptor"))));
        Reactor::current()
            .unwrap()
            .watch(fd.as_fd(), Interest::Readable, callback)
            .map(|watch| (watch, fd))
    });
    // With nothing queued the loop looks at the kernel in this very turn.
    event_loop.call_later(0, trace.logs("timer"));
    turn(&event_loop);
    assert_eq!(trace.take(), ["descriptor", "timer"]);
    // A busy loop looks now and then only; in the turn in which it does, all three come in their order.
    let mut looks = 0;
    for _ in 0..200 {
        event_loop.call_later(0, trace.logs("timer"));
        event_loop.call_soon(trace.logs("queued"));
        turn(&event_loop);
        let lines = trace.take();
        if lines != ["queued", "timer"] {
            assert_eq!(lines, ["queued", "descriptor", "timer"]);
            looks += 1;
        }
    }
    assert!(looks >= 2, "a busy loop looked {looks} times in 200 turns");
    drop(watch);
}

#[test]
fn a_loop_with_work_to_do_does_not_sleep() {
    // S4: time stands still, so a wait for the timer would never end.
    let (event_loop, _clock) = loop_with_manual_clock();
    let trace = Trace::default();
    event_loop.call_later(3600, trace.logs("never"));
    event_loop.call_soon(trace.logs("queued"));
    event_loop.turn(None).unwrap();
    assert_eq!(trace, ["queued"]);
}

#[test]
fn a_loop_asked_to_stop_does_not_sleep() {
    // S4
    let (event_loop, _clock) = loop_with_manual_clock();
    event_loop.call_later(3600, || unreachable!());
    event_loop.stop();
    event_loop.run_forever().unwrap();
}

#[test]
fn an_idle_loop_sleeps_until_its_earliest_timer() {
    // S4
    let clock = Clock::auto();
    let event_loop = EventLoop::builder().clock(clock.clone()).build().unwrap();
    let start = clock.now();
    event_loop.call_later(50, || unreachable!());
    let cancelled = event_loop.call_later(2, || unreachable!());
    event_loop.call_later(7, || get_running_loop().stop());
    cancelled.cancel(); // a cancelled timer is no reason to wake up
    event_loop.run_forever().unwrap();
    assert_eq!(clock.now() - start, Duration::from_secs(7));
    assert_eq!(event_loop.stats().executor.turns, 1);
}

#[test]
fn a_cancelled_handle_never_runs_even_when_its_turn_is_next() {
    // S5
    let event_loop = new_loop();
    let trace = Trace::default();
    let victim = Rc::new(RefCell::new(None));
    let (log, target) = (trace.clone(), victim.clone());
    event_loop.call_soon(move || {
        log.log("canceller");
        let handle: asyncio::Handle = target.take().unwrap();
        handle.cancel(); // in this very turn's snapshot already
    });
    *victim.borrow_mut() = Some(event_loop.call_soon(trace.logs("never")));
    event_loop.call_soon(trace.logs("after"));
    turn(&event_loop);
    turn(&event_loop);
    assert_eq!(trace, ["canceller", "after"]);
}

#[test]
fn a_cancelled_timer_never_runs_even_when_its_time_has_come() {
    // S5
    let (event_loop, clock) = loop_with_manual_clock();
    let trace = Trace::default();
    let victim = Rc::new(RefCell::new(None));
    let (log, target) = (trace.clone(), victim.clone());
    event_loop.call_later(1, move || {
        log.log("canceller");
        let handle: asyncio::TimerHandle = target.take().unwrap();
        handle.cancel();
    });
    *victim.borrow_mut() = Some(event_loop.call_later(2, trace.logs("never")));
    clock.advance(Duration::from_secs(3)); // both due in one turn
    turn(&event_loop);
    turn(&event_loop);
    assert_eq!(trace, ["canceller"]);
}

#[test]
fn cancelling_twice_or_after_the_run_is_harmless_and_says_nothing_about_running() {
    // S5
    let event_loop = new_loop();
    let ran = event_loop.call_soon(|| ());
    turn(&event_loop);
    assert!(!ran.cancelled()); // it ran, which is not being cancelled
    ran.cancel();
    ran.cancel();
    assert!(ran.cancelled());
}

#[test]
fn a_panic_in_a_callback_is_reported_and_the_queue_goes_on() {
    // S6
    let event_loop = new_loop();
    let reports = collect_reports(&event_loop);
    let trace = Trace::default();
    event_loop.call_soon(trace.logs("before"));
    event_loop.call_soon(|| panic!("broken callback"));
    event_loop.call_soon(trace.logs("after, in the same turn"));
    event_loop.call_later(0, || panic!("broken timer"));
    turn(&event_loop);
    assert_eq!(trace, ["before", "after, in the same turn"]);
    turn(&event_loop);
    assert_eq!(
        reports,
        [
            "panic in a callback of the event loop: broken callback",
            "panic in a callback of the event loop: broken timer",
        ]
    );
}

#[test]
fn a_report_says_where_the_callback_was_scheduled() {
    // S6: what Python gives as the context's `handle`.
    let event_loop = new_loop();
    let place = Rc::new(Cell::new(None));
    let seen = place.clone();
    event_loop.set_exception_handler(Some(Rc::new(move |context: &asyncio::ExceptionContext| {
        seen.set(context.scheduled_at);
    })));
    let line = line!() + 1;
    event_loop.call_soon(|| panic!("broken"));
    turn(&event_loop);
    let place = place.get().unwrap();
    assert_eq!((place.file(), place.line()), (file!(), line));
}

#[test]
fn stop_lets_the_turn_finish_and_keeps_the_rest_for_the_next_run() {
    // S8
    let event_loop = new_loop();
    let trace = Trace::default();
    let inner = trace.clone();
    event_loop.call_soon(move || {
        get_running_loop().stop();
        inner.log("stopped");
        get_running_loop().call_soon(inner.logs("next run"));
    });
    event_loop.call_soon(trace.logs("same turn"));
    event_loop.run_forever().unwrap();
    assert_eq!(trace, ["stopped", "same turn"]);
    event_loop.call_soon(|| get_running_loop().stop());
    event_loop.run_forever().unwrap();
    assert_eq!(trace, ["stopped", "same turn", "next run"]);
}

#[test]
fn a_stop_before_the_run_lets_one_turn_pass() {
    // S8
    let event_loop = new_loop();
    let trace = Trace::default();
    let inner = trace.clone();
    event_loop.call_soon(move || {
        inner.log("queued before");
        get_running_loop().call_soon(inner.logs("next run"));
    });
    event_loop.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(trace, ["queued before"]);
}

#[test]
fn a_run_gives_the_result_or_says_how_the_future_ended() {
    // S9
    let event_loop = new_loop();
    assert_eq!(event_loop.run_until_complete(async { 5 }).unwrap(), 5);
    let cancelled = event_loop.run_until_complete(asyncio::raise_cancelled::<()>());
    assert!(matches!(cancelled, Err(RunError::Cancelled(_))));
    let panicked = event_loop.run_until_complete(async { panic!("broken main") });
    let Err(RunError::Panicked(panic)) = panicked else {
        panic!("not the panic of the future")
    };
    assert_eq!(panic.message(), "broken main");
}

#[test]
fn a_run_that_is_stopped_leaves_its_task_pending_and_it_can_be_run_again() {
    // S9
    let event_loop = new_loop();
    let future = Promise::new();
    let waiter = future.clone();
    let mut task = event_loop.create_task(async move { waiter.await.unwrap() });
    event_loop.call_soon(|| get_running_loop().stop());
    let stopped = event_loop.run_task(&mut task);
    assert!(matches!(&stopped, Err(RunError::Stopped)));
    assert_eq!(
        stopped.unwrap_err().to_string(),
        "the event loop was stopped before the future completed: its task is still pending and goes on when the loop \
         runs again"
    );
    assert!(!task.done());
    event_loop.call_soon(move || future.set_result(7).unwrap());
    assert_eq!(event_loop.run_task(&mut task).unwrap(), 7);
}

#[test]
fn a_running_loop_cannot_be_run_again_and_stays_unharmed() {
    // S10
    let event_loop = Rc::new(new_loop());
    let inner = event_loop.clone();
    event_loop
        .run_until_complete(async move {
            assert!(matches!(inner.run_forever(), Err(RunError::AlreadyRunning)));
            let nested = inner.run_until_complete(async {});
            assert!(matches!(nested, Err(RunError::AlreadyRunning)));
            assert!(matches!(inner.turn(None), Err(RunError::AlreadyRunning)));
            // CPython 3.13.0 forgets here that the loop runs; 3.14 and we do not.
            assert!(inner.is_running());
            assert!(asyncio::try_running_loop().is_some());
            sleep(1).await;
        })
        .unwrap();
    assert!(!event_loop.is_running());
}

#[test]
fn no_other_loop_runs_while_one_runs_in_the_thread() {
    // S10
    crate::harness::run(async {
        let other = new_loop();
        let refused = other.run_until_complete(async {});
        assert!(matches!(refused, Err(RunError::AlreadyRunning)));
    });
}

#[test]
fn a_closed_loop_refuses_to_run() {
    // S10
    let event_loop = new_loop();
    event_loop.close().unwrap();
    assert!(event_loop.is_closed());
    assert!(matches!(event_loop.run_forever(), Err(RunError::Closed)));
    assert!(matches!(
        event_loop.run_until_complete(async {}),
        Err(RunError::Closed)
    ));
}

#[test]
fn a_running_loop_cannot_be_closed() {
    // S11
    let event_loop = Rc::new(new_loop());
    let inner = event_loop.clone();
    event_loop
        .run_until_complete(async move {
            assert!(matches!(inner.close(), Err(RunError::AlreadyRunning)));
        })
        .unwrap();
    event_loop.close().unwrap();
    event_loop.close().unwrap(); // no-op
}

#[test]
fn close_drops_handles_timers_and_tasks_without_running_them() {
    // S11
    let event_loop = new_loop();
    let trace = Trace::default();
    for line in ["callback", "timer"] {
        let (log, guard) = (trace.clone(), trace.on_drop(&format!("{line} dropped")));
        let callback = move || {
            let _guard = guard;
            log.log("never");
        };
        if line == "timer" {
            event_loop.call_later(1, callback);
        } else {
            event_loop.call_soon(callback);
        }
    }
    let (log, guard) = (trace.clone(), trace.on_drop("task dropped"));
    event_loop
        .create_task(async move {
            let _guard = guard;
            pending::<()>().await;
            log.log("never");
        })
        .detach();
    event_loop.close().unwrap();
    assert_eq!(trace, ["callback dropped", "task dropped", "timer dropped"]);
}

#[test]
fn close_drops_readers_with_what_they_own_though_the_loop_is_kept() {
    // S11: asyncio's loop closes its selector.
    let event_loop = new_loop();
    let trace = Trace::default();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (guard, log) = (trace.on_drop("reader dropped"), trace.clone());
    let open_for_longer = event_loop.run_until_complete(async move {
        let reader = move || {
            let _guard = &guard;
            log.log("never");
        };
        asyncio::add_reader(&ours, reader).unwrap();
        ours
    });
    theirs.write_all(b"ready").unwrap();
    for _ in 0..2 {
        event_loop.close().unwrap();
        assert_eq!(trace, ["reader dropped"]);
    }
    drop(open_for_longer);
}

#[test]
fn close_does_not_wait_for_blocking_calls() {
    // S11
    let event_loop = new_loop();
    let (tell_started, started) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let (tell_ended, ended) = mpsc::channel();
    let job = event_loop.run_in_executor(move || {
        tell_started.send(()).unwrap();
        wait.recv().unwrap();
        tell_ended.send(()).unwrap();
    });
    started.recv().unwrap();
    event_loop.close().unwrap(); // the call is still running
    assert!(ended.try_recv().is_err());
    go_on.send(()).unwrap();
    ended.recv().unwrap(); // it went on to its end all the same
    drop(job);
}

#[test]
fn what_is_dropped_at_close_schedules_nothing() {
    // S11
    struct Schedules(Trace);
    impl Drop for Schedules {
        fn drop(&mut self) {
            let never = self.0.logs("never");
            // Outside of any task, on a loop that takes nothing in any more.
            assert!(asyncio::current_task().is_none());
            drop(create_task(async move { never() }));
            self.0.log("dropped");
        }
    }
    let event_loop = new_loop();
    let trace = Trace::default();
    let guard = Schedules(trace.clone());
    event_loop
        .create_task(async move {
            let _guard = guard;
            pending::<()>().await;
        })
        .detach();
    turn(&event_loop);
    event_loop.close().unwrap();
    assert_eq!(trace, ["dropped"]);
}
