//! The exception handler: S182 to S185.

use std::rc::Rc;

use asyncio::{
    ContextVar, EventLoop, ExceptionContext, TaskGroup, catch_cancelled, create_task,
    get_running_loop, run_coroutine_threadsafe, sleep,
};

use crate::harness::{Trace, collect_reports, new_loop, run, settle};
use crate::twin::{log, twin};

static WHO: ContextVar<&str> = ContextVar::new("who");

/// A handler that logs what a closure makes of each report.
fn on_report(
    event_loop: &EventLoop,
    line: impl Fn(&ExceptionContext) -> String + 'static,
) -> Trace {
    let trace = Trace::default();
    let log = trace.clone();
    event_loop.set_exception_handler(Some(Rc::new(move |context: &ExceptionContext| {
        log.log(line(context));
    })));
    trace
}

#[test]
fn a_report_says_what_happened_in_which_task_or_where_it_was_scheduled() {
    // S182
    let event_loop = new_loop();
    let reports = on_report(&event_loop, |context| {
        let task = context.task.as_ref().map(|task| task.name.clone());
        let scheduled_here = context.scheduled_at.map(|place| place.file() == file!());
        let exception = context.exception.as_deref();
        format!(
            "{}; {exception:?}; {task:?}; {scheduled_here:?}",
            context.message
        )
    });
    event_loop
        .run_until_complete(async {
            create_task(async { panic!("broken") })
                .name("worker")
                .detach();
            get_running_loop().call_soon(|| panic!("callback"));
            settle(2).await;
        })
        .unwrap();
    assert_eq!(
        reports,
        [
            "a task panicked and nobody awaited it; Some(\"the task panicked: broken\"); Some(\"worker\"); None",
            "panic in a callback of the event loop; Some(\"callback\"); None; Some(true)",
        ]
    );
}

#[test]
fn what_the_default_handler_prints_begins_with_the_message() {
    // S183
    let mut context = ExceptionContext::new("something happened");
    assert_eq!(context.to_string(), "asyncio: something happened");
    context.exception = Some("broken".to_owned());
    context.scheduled_at = Some(std::panic::Location::caller());
    let text = context.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..2],
        ["asyncio: something happened", "  exception: broken"]
    );
    assert!(lines[2].starts_with("  scheduled at: ") && lines.len() == 3);
}

#[test]
fn none_puts_the_default_handler_back() {
    // S183
    let event_loop = new_loop();
    assert!(event_loop.get_exception_handler().is_none());
    let reports = collect_reports(&event_loop);
    assert!(event_loop.get_exception_handler().is_some());
    event_loop.set_exception_handler(None);
    assert!(event_loop.get_exception_handler().is_none());
    event_loop
        .run_until_complete(async {
            let handle = get_running_loop();
            assert!(handle.get_exception_handler().is_none());
            handle.call_exception_handler(ExceptionContext::new("to standard error"));
            handle.default_exception_handler(&ExceptionContext::new("and again"));
        })
        .unwrap();
    assert!(reports.is_empty());
}

#[test]
fn a_handler_that_fails_harms_nobody_and_is_used_again() {
    // S184: its failures go to standard error, by the default handler.
    twin(async || {
        let event_loop = get_running_loop();
        event_loop.set_exception_handler(Some(Rc::new(|context: &ExceptionContext| {
            log(format!("handled {}", context.message));
            panic!("the handler fails");
        })));
        event_loop.call_exception_handler(ExceptionContext::new("first"));
        event_loop.call_exception_handler(ExceptionContext::new("second"));
        sleep(0).await;
        log("goes on");
    });
}

#[test]
fn the_handler_runs_in_the_context_of_the_task_or_callback_concerned() {
    // S185
    twin(async || {
        let event_loop = get_running_loop();
        event_loop.set_exception_handler(Some(Rc::new(|context: &ExceptionContext| {
            let text = context.exception.as_deref().unwrap();
            let text = text.rsplit(": ").next().unwrap(); // without `the task panicked`
            log(format!("{}: {text}", WHO.get().unwrap()));
        })));
        async fn fails_as(who: &'static str, what: &'static str) {
            WHO.set(who);
            panic!("{what}");
        }
        WHO.set("creator");
        create_task(fails_as("task", "a")).detach();
        let unseen = create_task(fails_as("unseen", "b"));
        event_loop.call_soon(|| {
            WHO.set("callback");
            panic!("c");
        });
        settle(2).await;
        log("the handle goes");
        drop(unseen);
        log(format!("the task is {}", WHO.get().unwrap()));
    });
}

#[test]
fn a_panic_in_a_threadsafe_call_is_reported_in_its_callers_context() {
    // S185
    let event_loop = new_loop();
    let reports = on_report(&event_loop, |_| format!("{:?}", WHO.get()));
    let handle = event_loop.handle();
    std::thread::spawn(move || {
        WHO.set("thread");
        handle.call_soon_threadsafe(|| panic!("sent")).unwrap();
        run_coroutine_threadsafe(|| async { get_running_loop().stop() }, &handle);
    })
    .join()
    .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(reports, ["Some(\"thread\")"]);
    run(async { assert_eq!(WHO.get(), None) });
}

#[test]
fn an_error_of_a_child_whose_group_was_dropped_does_not_vanish() {
    // S182, S137: there is nobody left to be given it.
    let event_loop = new_loop();
    let reports = collect_reports(&event_loop);
    event_loop
        .run_until_complete(async {
            let group = TaskGroup::<std::fmt::Error>::scope(async |group| {
                group.create_task(async {
                    let _ = catch_cancelled(std::future::pending::<()>()).await;
                    Err::<(), _>(std::fmt::Error) // in its cleanup
                });
                std::future::pending::<Result<(), _>>().await
            });
            let mut group = Box::pin(group);
            assert!(futures_util::poll!(&mut group).is_pending());
            settle(1).await; // the child begins
            drop(group);
            settle(4).await;
        })
        .unwrap();
    let seen = reports.take();
    assert_eq!(seen.len(), 1);
    assert!(
        seen[0].starts_with("a task of a group that was dropped failed")
            && seen[0].contains("fmt::Error"),
        "{seen:?}"
    );
}
