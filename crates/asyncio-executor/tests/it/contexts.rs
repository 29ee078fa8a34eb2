//! Context variables and the contexts of tasks and callbacks.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use asyncio_executor::{
    Context, ContextVar, Executor, Handle, ResetError, TaskBuilder, call_soon, catch_cancelled,
    copy_context, current_remote, current_task, spawn, yield_now,
};

use crate::support::{Gate, OnDrop, Trace, reports, settle};

static V: ContextVar<u32> = ContextVar::new("v");
static WITH_DEFAULT: ContextVar<&str> = ContextVar::with_default("with_default", "default");

/// Outside of the test threads' own contexts, which other tests may have changed.
fn fresh<R>(f: impl FnOnce() -> R) -> R {
    Context::new().run(f)
}

#[test]
fn a_variable_has_a_value_a_default_or_none() {
    fresh(|| {
        assert_eq!(V.get(), None);
        assert_eq!(V.get_or(3), 3);
        assert_eq!(WITH_DEFAULT.get(), Some("default"));
        assert_eq!(WITH_DEFAULT.get_or("mine"), "mine");
        WITH_DEFAULT.set("set");
        assert_eq!(WITH_DEFAULT.get_or("mine"), "set");
        assert!(copy_context().contains(&WITH_DEFAULT));
        assert_eq!((V.name(), copy_context().len()), ("v", 1));
    });
}

#[test]
fn a_token_puts_the_former_value_back() {
    fresh(|| {
        let first = V.set(1);
        let second = V.set(2);
        assert_eq!((first.old_value(), second.old_value()), (None, Some(1)));
        V.reset(second).unwrap();
        assert_eq!(V.get(), Some(1));
        V.reset(first).unwrap();
        assert_eq!(V.get(), None);
        assert!(copy_context().is_empty());
    });
}

#[test]
fn a_token_is_good_for_its_variable_in_its_context_only() {
    static OTHER: ContextVar<u32> = ContextVar::new("other");
    fresh(|| {
        let token = V.set(1);
        assert_eq!(OTHER.reset(token), Err(ResetError::AnotherVariable));
        let token = V.set(2);
        let elsewhere = copy_context().run(|| V.reset(token));
        assert_eq!(elsewhere, Err(ResetError::AnotherContext));
        assert_eq!(V.get(), Some(2));
    });
}

#[test]
fn a_copy_and_its_original_do_not_see_each_others_changes() {
    fresh(|| {
        V.set(1);
        let copy = copy_context();
        V.set(2);
        assert_eq!(copy.get(&V), Some(1));
        copy.run(|| V.set(3));
        assert_eq!((copy.get(&V), V.get()), (Some(3), Some(2)));
        let second = copy.copy();
        second.run(|| V.set(4));
        assert_eq!((copy.get(&V), second.get(&V)), (Some(3), Some(4)));
        assert!(copy.same_context(&copy.clone()) && !copy.same_context(&second));
    });
}

#[test]
fn a_context_is_left_also_by_a_panic_and_may_be_entered_within_itself() {
    fresh(|| {
        let context = Context::new();
        let nested = context.clone();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            context.run(|| {
                V.set(1);
                nested.run(|| V.set(2));
                assert_eq!(V.get(), Some(2));
                panic!("out");
            })
        }));
        assert!(outcome.is_err());
        assert_eq!((V.get(), context.get(&V)), (None, Some(2)));
    });
}

#[test]
fn a_task_has_the_context_of_its_making_and_keeps_its_changes() {
    // S243
    let executor = Executor::new();
    let seen = executor.run(async {
        V.set(1);
        let task = spawn(async {
            let mut seen = vec![V.get()];
            V.set(10);
            yield_now().await;
            seen.push(V.get());
            seen
        });
        V.set(2);
        yield_now().await;
        let between = V.get();
        (task.await.unwrap(), between, V.get())
    });
    assert_eq!(seen.unwrap(), (vec![Some(1), Some(10)], Some(2), Some(2)));
    assert_eq!(executor.enter(|| V.get()), None);
}

#[test]
fn a_task_that_sets_its_first_variable_leaves_nothing_to_the_next_one() {
    let executor = Executor::new();
    let first = executor.spawn(async {
        V.set(1);
        yield_now().await;
        V.get()
    });
    let second = executor.spawn(async {
        let before = V.get();
        yield_now().await;
        (before, V.get())
    });
    settle(&executor);
    assert_eq!(first.try_take().unwrap().unwrap(), Some(1));
    assert_eq!(second.try_take().unwrap().unwrap(), (None, None));
}

#[test]
fn a_callback_has_the_context_of_its_registration_and_keeps_its_changes() {
    // S244
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    executor
        .run(async move {
            let print = |what: &'static str| {
                let log = log.clone();
                move || {
                    log.log(format!("{what}: {:?}", V.get()));
                    V.set(99);
                }
            };
            call_soon(print("before"));
            V.set(1);
            call_soon(print("soon"));
            let later = Handle::unscheduled(print("later"));
            V.set(2);
            later.schedule();
            current_remote()
                .unwrap()
                .call({
                    // From here the other thread's context counts, which is empty; this one's is copied below.
                    || assert_eq!(V.get(), Some(2))
                })
                .unwrap();
            yield_now().await;
            yield_now().await;
            log.log(format!("task: {:?}", V.get()));
        })
        .unwrap();
    assert_eq!(
        trace.take(),
        [
            "before: None",
            "soon: Some(1)",
            "later: Some(1)",
            "task: Some(2)"
        ]
    );
}

#[test]
fn a_done_callback_has_the_context_of_its_registration() {
    // S245
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    executor
        .run(async move {
            let task = spawn(async {
                V.set(100);
            });
            V.set(1);
            let print = log.clone();
            task.add_done_callback(move || print.log(format!("{:?}", V.get())));
            V.set(2);
            task.await.unwrap();
            yield_now().await;
        })
        .unwrap();
    assert_eq!(trace.take(), ["Some(1)"]);
}

#[test]
fn tasks_that_share_a_context_see_each_others_changes() {
    // S246
    let executor = Executor::new();
    let context = Context::new();
    let shared = context.clone();
    let seen = executor.run(async move {
        V.set(1);
        let first = TaskBuilder::new().context(&shared).spawn(async {
            V.set(5);
        });
        let second = TaskBuilder::new().context(&shared).spawn(async { V.get() });
        first.await.unwrap();
        (second.await.unwrap(), V.get())
    });
    assert_eq!(seen.unwrap(), (Some(5), Some(1)));
    assert_eq!(context.get(&V), Some(5));
}

#[test]
fn the_context_of_a_task_can_be_looked_at_while_it_runs_and_afterwards() {
    let executor = Executor::new();
    executor
        .run(async {
            let task = spawn(async {
                yield_now().await;
                let before = V.get();
                V.set(2);
                (before, current_task().unwrap().context().get(&V))
            });
            let context = task.context();
            context.run(|| V.set(1));
            while !task.done() {
                yield_now().await;
            }
            assert_eq!(task.context().get(&V), Some(2));
            assert_eq!(task.await.unwrap(), (Some(1), Some(2)));
            // The first look within a step makes it current at once.
            let mine = current_task().unwrap().context();
            V.set(7);
            assert_eq!(mine.get(&V), Some(7));
        })
        .unwrap();
}

#[test]
fn what_a_task_drops_and_cleans_up_sees_its_context() {
    let executor = Executor::new();
    let trace = Trace::default();
    let gate = Gate::default();
    let (log, wait) = (trace.clone(), gate.clone());
    executor
        .run(async move {
            V.set(1);
            let prints = |what: &'static str| {
                let log = log.clone();
                OnDrop::new(move || log.log(format!("{what}: {:?}", V.get())))
            };
            let dropped = prints("dropped");
            let plain = spawn(async move {
                let _dropped = dropped;
                wait.wait().await;
            });
            let caught = prints("caught");
            let scoped = spawn(async move {
                let _ = catch_cancelled(std::future::pending::<()>()).await;
                yield_now().await;
                drop(caught);
            });
            V.set(2);
            yield_now().await;
            plain.cancel();
            scoped.cancel();
            let _ = plain.await;
            scoped.await.unwrap();
        })
        .unwrap();
    assert_eq!(trace.take(), ["dropped: Some(1)", "caught: Some(1)"]);
}

#[test]
fn a_turn_run_from_within_a_context_does_not_lend_it_to_the_tasks() {
    let executor = Executor::new();
    let before = executor.spawn(async { V.get() });
    fresh(|| {
        V.set(1);
        let within = executor.spawn(async { V.get() });
        settle(&executor);
        assert_eq!(within.try_take().unwrap().unwrap(), Some(1));
        assert_eq!(V.get(), Some(1));
    });
    assert_eq!(before.try_take().unwrap().unwrap(), None);
}

#[test]
fn a_turn_within_a_callback_keeps_their_contexts_apart() {
    let executor = Rc::new(Executor::new());
    let inner = executor.clone();
    executor.call_soon(move || {
        V.set(1);
        inner.call_soon_in(&Context::new(), || {
            assert_eq!(V.get(), None);
            V.set(2);
        });
        let alone = inner.clone();
        fresh(|| alone.call_soon(|| drop(V.set(3))));
        settle(&inner);
        assert_eq!(V.get(), Some(1));
    });
    settle(&executor);
    assert_eq!(executor.enter(|| V.get()), None);
    assert_eq!(executor.stats().callbacks, 3);
}

#[test]
fn a_call_from_another_thread_brings_that_threads_context() {
    let executor = Executor::new();
    let (remote, seen) = (executor.remote(), Arc::new(AtomicUsize::new(0)));
    let value = seen.clone();
    std::thread::spawn(move || {
        V.set(5);
        remote
            .call(move || value.store(V.get().unwrap() as usize, Ordering::Relaxed))
            .unwrap();
        V.set(6);
    })
    .join()
    .unwrap();
    settle(&executor);
    assert_eq!(seen.load(Ordering::Relaxed), 5);
    assert_eq!(executor.enter(|| V.get()), None);
}

#[test]
fn the_exception_handler_runs_in_the_context_concerned() {
    // S185
    let executor = Executor::new();
    let seen = Rc::new(Cell::new(Vec::new()));
    let log = seen.clone();
    executor.set_exception_handler(Some(Rc::new(move |_| {
        let mut list = log.take();
        list.push(V.get());
        log.set(list);
    })));
    executor
        .run(async {
            V.set(1);
            spawn(async { panic!("in a task") }).detach();
            V.set(2);
            call_soon(|| panic!("in a callback"));
            V.set(3);
            let seen_late = spawn(async { panic!("looked at by nobody") });
            spawn(std::future::pending::<()>()).detach();
            V.set(4);
            yield_now().await;
            drop(seen_late);
        })
        .unwrap();
    executor.close();
    assert_eq!(seen.take(), [Some(1), Some(2), Some(3), Some(3)]);
}

#[test]
fn a_value_whose_destructor_panics_is_reported_and_harms_nobody() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("bomb");
        }
    }
    static BOMB: ContextVar<Arc<Bomb>> = ContextVar::new("bomb");
    let executor = Executor::new();
    let reports = reports(&executor);
    executor
        .run(async {
            let task = spawn(async {
                BOMB.set(Arc::new(Bomb));
                yield_now().await;
            });
            task.await.unwrap();
            call_soon(|| drop(BOMB.set(Arc::new(Bomb))));
            yield_now().await;
        })
        .unwrap();
    assert_eq!(
        reports.take(),
        ["panic in the destructor of a context variable's value: bomb"; 2]
    );
}

#[test]
fn what_a_destructor_sets_after_the_end_of_its_task_is_lost() {
    struct Sets;
    impl Drop for Sets {
        fn drop(&mut self) {
            V.set(1);
        }
    }
    let executor = Executor::new();
    executor.spawn(async { Sets }).detach();
    let next = executor.spawn(async { V.get() });
    settle(&executor);
    assert_eq!(next.try_take().unwrap().unwrap(), None);
}

#[test]
fn a_guard_resets_in_its_own_context_and_leaves_others_alone() {
    fresh(|| {
        let guard = V.set(1).guard();
        copy_context().run(move || {
            V.set(2);
            drop(guard);
            assert_eq!(V.get(), Some(2));
        });
        assert_eq!(V.get(), Some(1));
    });
}
