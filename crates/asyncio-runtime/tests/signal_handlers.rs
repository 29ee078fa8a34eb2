//! `add_signal_handler`, in the main thread, where alone it works: a program without the test harness, which has threads.

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
fn main() {
    let promises: &[(&str, fn())] = &[
        (
            "a_handler_runs_as_a_callback_of_the_loop",
            unix::a_handler_runs_as_a_callback_of_the_loop,
        ),
        (
            "a_handler_set_again_replaces_the_former",
            unix::a_handler_set_again_replaces_the_former,
        ),
        (
            "a_signal_that_came_before_its_handler_was_replaced_is_not_lost",
            unix::a_signal_that_came_before_its_handler_was_replaced_is_not_lost,
        ),
        (
            "a_handler_runs_in_the_context_of_its_registration",
            unix::a_handler_runs_in_the_context_of_its_registration,
        ),
        (
            "a_removed_handler_is_not_called_and_the_former_action_is_back",
            unix::a_removed_handler_is_not_called_and_the_former_action_is_back,
        ),
        (
            "a_handler_may_remove_itself",
            unix::a_handler_may_remove_itself,
        ),
        (
            "what_cannot_be_handled_is_refused",
            unix::what_cannot_be_handled_is_refused,
        ),
        (
            "elsewhere_than_in_the_main_thread_it_is_refused",
            unix::elsewhere_than_in_the_main_thread_it_is_refused,
        ),
        (
            "closing_the_loop_removes_all",
            unix::closing_the_loop_removes_all,
        ),
    ];
    for (name, promise) in promises {
        promise();
        println!("test {name} ... ok");
    }
    println!("{} passed, 0 failed", promises.len());
}

#[cfg(unix)]
mod unix {
    use std::cell::{Cell, RefCell};
    use std::io::ErrorKind;
    use std::rc::Rc;

    use asyncio_executor::{Context, ContextVar, call_soon, yield_now};
    use asyncio_reactor::Reactor;
    use asyncio_runtime::{
        EventLoop, add_signal_handler, get_running_loop, remove_signal_handler, run,
    };
    use asyncio_signal::{
        Listener, SIGCHLD, SIGKILL, SIGSTOP, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH, Signal,
    };

    fn send(signal: Signal) {
        let signal = rustix::process::Signal::from_named_raw(signal.as_raw()).unwrap();
        rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
    }

    /// Long enough for a signal: the loop sleeps until something is ready.
    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            asyncio_timers::Sleep::new(0.001).await;
        }
    }

    pub(super) fn a_handler_runs_as_a_callback_of_the_loop() {
        // S198
        run(async {
            let calls = Rc::new(RefCell::new(Vec::new()));
            let (seen, place) = (calls.clone(), get_running_loop());
            add_signal_handler(SIGUSR1, move || {
                // Not in the signal's context: the loop is there, and no task.
                assert!(place.is_running());
                assert!(asyncio_executor::current_task().is_none());
                seen.borrow_mut().push("handler");
                let later = seen.clone();
                call_soon(move || later.borrow_mut().push("callback of the handler"));
            })
            .unwrap();
            send(SIGUSR1);
            assert!(calls.borrow().is_empty(), "the task goes on first");
            until(|| calls.borrow().len() == 2).await;
            assert_eq!(*calls.borrow(), ["handler", "callback of the handler"]);
            assert!(remove_signal_handler(SIGUSR1));
        });
    }

    pub(super) fn a_handler_set_again_replaces_the_former() {
        // S198
        run(async {
            let calls = Rc::new(Cell::new(0));
            let (seen, dropped) = (calls.clone(), Rc::new(()));
            let held = dropped.clone();
            add_signal_handler(SIGUSR1, move || panic!("replaced, and holds {held:?}")).unwrap();
            add_signal_handler(SIGUSR1.as_raw(), move || seen.set(seen.get() + 1)).unwrap();
            assert_eq!(
                Rc::strong_count(&dropped),
                1,
                "nothing of the former is kept"
            );
            send(SIGUSR1);
            until(|| calls.get() == 1).await;
            assert!(remove_signal_handler(SIGUSR1), "one, not two");
            assert!(!remove_signal_handler(SIGUSR1));
        });
    }

    pub(super) fn a_signal_that_came_before_its_handler_was_replaced_is_not_lost() {
        // S198: CPython calls the one in force when the loop hears of the signal, and runs what is queued already.
        run(async {
            let calls = Rc::new(RefCell::new(Vec::new()));
            let handler = |name: &'static str| {
                let seen = calls.clone();
                move || seen.borrow_mut().push(name)
            };
            add_signal_handler(SIGUSR1, handler("former")).unwrap();
            send(SIGUSR1);
            add_signal_handler(SIGUSR1, handler("new")).unwrap();
            until(|| !calls.borrow().is_empty()).await;
            assert_eq!(*calls.borrow(), ["new"]);
            // Heard of in one wait with this listener, so queued when the callback below replaces it, or run by then.
            let newest = handler("newest");
            let newest = Cell::new(Some(newest));
            let _beside = Listener::new(&Reactor::current().unwrap(), [SIGUSR1], move |_, _| {
                let newest = newest.take().unwrap();
                call_soon(move || add_signal_handler(SIGUSR1, newest).unwrap());
            });
            send(SIGUSR1);
            until(|| calls.borrow().len() == 2).await;
            assert_eq!(*calls.borrow(), ["new", "new"]);
            assert!(remove_signal_handler(SIGUSR1));
        });
    }

    pub(super) fn a_handler_runs_in_the_context_of_its_registration() {
        static VAR: ContextVar<u32> = ContextVar::new("var");
        run(async {
            let seen = Rc::new(RefCell::new(Vec::new()));
            let out = seen.clone();
            let context = Context::new();
            context.run(|| {
                VAR.set(7);
                add_signal_handler(SIGUSR1, move || {
                    out.borrow_mut().push(VAR.get());
                    VAR.set(8);
                })
                .unwrap();
            });
            for times in 1..=2 {
                send(SIGUSR1);
                until(|| seen.borrow().len() == times).await;
            }
            // A copy, taken at the registration, and one for all runs.
            assert_eq!(*seen.borrow(), [Some(7), Some(8)]);
            assert_eq!(context.get(&VAR), Some(7));
            assert!(remove_signal_handler(SIGUSR1));
        });
    }

    pub(super) fn a_removed_handler_is_not_called_and_the_former_action_is_back() {
        // S199
        run(async {
            assert!(!remove_signal_handler(SIGURG));
            assert!(!remove_signal_handler(0), "a number that no signal has");
            let (heard, cell) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
            let (outer, inner) = (heard.clone(), cell.clone());
            // Who listened before, and is not asyncio's handler, goes on; the default of SIGURG is to do nothing.
            let _listener = Listener::new(&Reactor::current().unwrap(), [SIGURG], move |_, _| {
                outer.set(outer.get() + 1)
            });
            add_signal_handler(SIGURG, move || inner.set(inner.get() + 1)).unwrap();
            send(SIGURG);
            until(|| heard.get() == 1 && cell.get() == 1).await;
            assert!(remove_signal_handler(SIGURG));
            assert!(!remove_signal_handler(SIGURG));
            send(SIGURG);
            until(|| heard.get() == 2).await;
            yield_now().await;
            assert_eq!(cell.get(), 1);
        });
        send(SIGURG); // the default again
    }

    pub(super) fn a_handler_may_remove_itself() {
        run(async {
            let calls = Rc::new(Cell::new(0));
            let seen = calls.clone();
            add_signal_handler(SIGWINCH, move || {
                seen.set(seen.get() + 1);
                assert!(remove_signal_handler(SIGWINCH));
            })
            .unwrap();
            send(SIGWINCH);
            until(|| calls.get() == 1).await;
        });
    }

    pub(super) fn what_cannot_be_handled_is_refused() {
        // S199
        run(async {
            for signal in [SIGKILL.as_raw(), SIGSTOP.as_raw(), 0, 65, -3] {
                let error = add_signal_handler(signal, || {}).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                assert!(!remove_signal_handler(signal));
            }
        });
    }

    pub(super) fn elsewhere_than_in_the_main_thread_it_is_refused() {
        // S198
        let thread = std::thread::spawn(|| {
            run(async {
                let error = add_signal_handler(SIGUSR1, || {}).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert!(error.to_string().contains("main thread"), "{error}");
            })
        });
        thread.join().unwrap();
    }

    pub(super) fn closing_the_loop_removes_all() {
        // S199
        let descriptors = || std::fs::read_dir("/proc/self/fd").map(Iterator::count).ok();
        let before = descriptors();
        let event_loop = EventLoop::new().unwrap();
        let dropped = Rc::new(());
        for signal in [SIGUSR1, SIGUSR2, SIGCHLD] {
            let held = dropped.clone();
            event_loop
                .add_signal_handler(signal, move || drop(held.clone()))
                .unwrap();
        }
        event_loop.close().unwrap();
        assert_eq!(Rc::strong_count(&dropped), 1);
        assert!(!event_loop.remove_signal_handler(SIGUSR1));
        drop(event_loop);
        assert_eq!(descriptors(), before, "every descriptor is closed");
        send(SIGCHLD); // does nothing by default, and nothing of ours is left to be called
    }
}
