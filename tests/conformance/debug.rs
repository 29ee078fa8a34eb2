//! Debug mode: S233 to S236.

use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use asyncio::{EventLoop, ExceptionContext, Runner, create_task, get_running_loop, sleep};

use crate::harness::{
    Trace, collect_reports, loop_with_manual_clock, new_loop, panic_message, run, say,
};

/// Set in the child of the test below.
const CHILD: &str = "ASYNCIO_CONFORMANCE_CHILD";

#[test]
fn the_environment_switches_debug_mode_on_for_new_loops() {
    // S233
    const NAME: &str = "debug::the_environment_switches_debug_mode_on_for_new_loops";
    if let Ok(expected) = std::env::var(CHILD) {
        assert_eq!(new_loop().get_debug().to_string(), expected);
        return;
    }
    for (value, expected) in [("1", true), ("0", false), ("", false)] {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([NAME, "--exact"])
            .env("ASYNCIO_DEBUG", value)
            .env(CHILD, expected.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && text.contains("1 passed"),
            "{text}"
        );
    }
}

#[test]
fn debug_mode_is_switched_by_the_builder_the_runner_and_the_running_loop() {
    // S233
    if std::env::var_os("ASYNCIO_DEBUG").is_some() {
        return say("skipped: ASYNCIO_DEBUG is set here");
    }
    assert!(!new_loop().get_debug());
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    assert!(event_loop.get_debug());
    let mut runner = Runner::builder().debug(true).build();
    let states = runner.run(async {
        let event_loop = get_running_loop();
        let first = event_loop.get_debug();
        event_loop.set_debug(false);
        (first, event_loop.get_debug())
    });
    assert_eq!(states.unwrap(), (true, false));
    assert!(!runner.get_loop().unwrap().get_debug());
}

#[test]
fn what_takes_a_tenth_of_a_second_is_reported_with_its_name_place_and_duration() {
    // S234
    let (event_loop, clock) = loop_with_manual_clock();
    let reports = Trace::default();
    let log = reports.clone();
    event_loop.set_exception_handler(Some(Rc::new(move |context: &ExceptionContext| {
        let task = context.task.as_ref().map(|task| task.spawned_at.file());
        let place = task.or(context.scheduled_at.map(|place| place.file()));
        assert_eq!(place, Some(file!()));
        log.log(context.message.clone());
    })));
    event_loop.set_debug(true);
    assert_eq!(
        event_loop.slow_callback_duration(),
        Duration::from_millis(100)
    );
    let pass = move |millis| clock.advance(Duration::from_millis(millis));
    event_loop
        .run_until_complete(async move {
            let pass = Rc::new(pass);
            let step = pass.clone();
            let slow = create_task(async move { step(150) }).name("slow");
            let quick = pass.clone();
            get_running_loop().call_soon(move || quick(99));
            let call = pass.clone();
            get_running_loop().call_soon(move || call(100));
            slow.await.unwrap();
            get_running_loop().set_slow_callback_duration(0.01);
            let call = pass.clone();
            get_running_loop().call_soon(move || call(20));
            sleep(0).await;
            sleep(0).await;
            get_running_loop().set_debug(false);
            sleep(0).await;
            pass(1000);
        })
        .unwrap();
    assert_eq!(
        reports,
        [
            "executing slow took 0.150 seconds: nothing else could run meanwhile",
            "executing a callback took 0.100 seconds: nothing else could run meanwhile",
            "executing a callback took 0.020 seconds: nothing else could run meanwhile",
        ]
    );
}

#[test]
fn a_loops_calls_from_a_foreign_thread_are_an_error_with_or_without_debug_mode() {
    // S235: in Python only in debug mode.
    for debug in [false, true] {
        let event_loop = EventLoop::builder().debug(debug).build().unwrap();
        let handle = event_loop.handle();
        std::thread::spawn(move || {
            let messages = [
                panic_message(|| drop(handle.call_soon(|| ()))),
                panic_message(|| drop(handle.call_later(1, || ()))),
                panic_message(|| {
                    drop(handle.call_at(asyncio::LoopTime::from_secs_f64(1.0), || ()))
                }),
            ];
            for (message, call) in messages.iter().zip(["call_soon", "call_later", "call_at"]) {
                assert!(message.starts_with(&format!(
                    "`{call}` was called outside of its running event loop"
                )));
            }
        })
        .join()
        .unwrap();
    }
}

#[test]
fn the_place_of_creation_is_known_of_tasks_and_handles_at_all_times() {
    // S236
    run(async {
        let line = line!() + 1;
        let task = create_task(async {});
        let handle = get_running_loop().call_soon(|| ());
        assert_eq!(task.spawn_location().line(), line);
        assert_eq!(handle.location().line(), line + 1);
        task.await.unwrap();
    });
}

#[test]
fn pending_tasks_at_the_end_and_unseen_errors_are_reported_also_without_debug_mode() {
    // S236
    let event_loop = new_loop();
    event_loop.set_debug(false);
    let reports = collect_reports(&event_loop);
    event_loop
        .run_until_complete(async {
            create_task(std::future::pending::<()>()).detach();
            create_task(async { panic!("unseen") }).detach();
            let future = asyncio::Future::<()>::new();
            future.set_exception("never asked for").unwrap();
        })
        .unwrap();
    event_loop.close().unwrap();
    let mut seen = reports.take();
    seen.sort_unstable();
    assert_eq!(
        seen,
        [
            "a future's exception was never retrieved: never asked for",
            "a task panicked and nobody awaited it: the task panicked: unseen",
            "a task was destroyed but it is pending",
        ]
    );
}

#[test]
fn in_debug_mode_a_future_and_a_loop_say_where_they_were_made() {
    // S236
    let places = |debug: bool| {
        let event_loop = EventLoop::builder()
            .clock(asyncio::Clock::auto())
            .debug(debug)
            .build()
            .unwrap();
        let trace = Trace::default();
        let log = trace.clone();
        event_loop.set_exception_handler(Some(Rc::new(move |context: &ExceptionContext| {
            let place = context.created_at;
            assert!(place.is_none_or(|place| place.file() == file!()));
            let text = context.to_string();
            assert_eq!(text.contains("created at: "), place.is_some());
            log.log(format!("{}: {}", context.message, place.is_some()));
        })));
        event_loop
            .run_until_complete(async move {
                let future = asyncio::Future::<()>::new();
                future.set_exception("never asked for").unwrap();
            })
            .unwrap();
        drop(event_loop); // and not closed
        trace.take()
    };
    assert_eq!(
        places(true),
        [
            "a future's exception was never retrieved: true",
            "an event loop was dropped and not closed: true",
        ]
    );
    assert_eq!(
        places(false),
        ["a future's exception was never retrieved: false"]
    );
}

#[test]
fn a_loop_that_was_closed_is_dropped_without_a_word_also_in_debug_mode() {
    // S236
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    let reports = collect_reports(&event_loop);
    event_loop.close().unwrap();
    drop(event_loop);
    assert!(reports.is_empty());
}
