//! Context variables: S243 to S247, and S180 for what a runner keeps.

use std::time::Duration;

use asyncio::{
    Context, ContextVar, Future as Promise, Runner, TaskBuilder, TaskGroup, copy_context,
    create_task, current_task, gather, get_running_loop, shield, sleep, timeout, wait_for,
};

use crate::harness::{new_loop, run, settle};
use crate::twin::{log, taken, trace_of, twin};

static V: ContextVar<i32> = ContextVar::new("v");

/// What a variable is where this runs, and a change of it.
fn see_and_set(new: i32) -> Option<i32> {
    let seen = V.get();
    V.set(new);
    seen
}

/// As Python prints it.
fn told(value: Option<i32>) -> String {
    value.map_or("None".to_owned(), |value| value.to_string())
}

fn seen() -> String {
    told(V.get())
}

fn logs(who: &'static str) -> impl FnOnce() + Send {
    move || log(format!("{who} sees {}", told(see_and_set(99))))
}

#[test]
fn a_task_copies_the_context_when_it_is_created() {
    // S243
    twin(async || {
        V.set(1);
        let task = create_task(async {
            log(format!("the task sees {}", told(see_and_set(10))));
            sleep(0).await;
            log(format!("and then {}", seen()));
        });
        V.set(2); // later changes of the creator are invisible to the task
        sleep(0).await;
        log(format!("its creator sees {}", seen())); // and its changes are invisible outside
        task.await.unwrap();
        log(format!("and then {}", seen()));
    });
}

#[test]
fn a_task_made_outside_of_a_run_has_the_context_of_that_place() {
    // S243
    Context::new().run(|| {
        V.set(5);
        run(async {
            assert_eq!(see_and_set(6), Some(5));
        });
        assert_eq!(V.get(), Some(5));
    });
}

#[test]
fn callbacks_copy_the_context_at_registration_and_keep_their_changes() {
    // S244
    twin(async || {
        let event_loop = get_running_loop();
        V.set(1);
        event_loop.call_soon(logs("call_soon"));
        V.set(2);
        event_loop.call_later(1, logs("call_later"));
        V.set(3);
        let when = event_loop.time() + Duration::from_secs(2);
        event_loop.call_at(when, logs("call_at"));
        V.set(4);
        event_loop
            .call_soon_threadsafe(logs("call_soon_threadsafe"))
            .unwrap();
        V.set(5);
        sleep(3).await;
        log(format!("the task sees {}", seen()));
    });
}

#[test]
fn a_callback_with_a_context_given_uses_that_one_itself() {
    // S244, S246
    let trace = trace_of(async || {
        let context = Context::new();
        let handle = get_running_loop().call_soon_in(&context, logs("first"));
        assert!(handle.context().unwrap().same_context(&context));
        get_running_loop().call_soon_in(&context, logs("second"));
        settle(1).await;
        assert_eq!((context.get(&V), V.get()), (Some(99), None));
    });
    assert_eq!(trace, ["first sees None", "second sees 99"]);
}

#[test]
fn timers_and_done_callbacks_take_a_context_of_their_own_too() {
    // S244, S245, S246
    twin(async || {
        let event_loop = get_running_loop();
        let context = Context::new();
        V.set(1);
        context.run(|| V.set(10));
        event_loop.call_later_in(&context, 1, logs("call_later"));
        let when = event_loop.time() + Duration::from_secs(2);
        event_loop.call_at_in(&context, when, logs("call_at"));
        sleep(3).await;
        context.run(|| V.set(20));
        let task = create_task(settle(0));
        task.add_done_callback_in(&context, logs("the task's"));
        let done = Promise::<()>::new();
        let callback = logs("the future's");
        done.add_done_callback_in(&context, move |_| callback());
        done.set_result(()).unwrap();
        settle(3).await;
        log(format!("{} {}", context.get(&V).unwrap(), seen()));
    });
}

#[test]
fn a_loop_that_does_not_run_takes_timers_with_a_context_as_well() {
    // S244
    let event_loop = new_loop();
    let context = Context::new();
    drop(taken());
    event_loop.call_later_in(&context, 1, logs("call_later_in"));
    let when = event_loop.time() + Duration::from_secs(2);
    event_loop.call_at_in(&context, when, logs("call_at_in"));
    event_loop.run_until_complete(sleep(3)).unwrap();
    assert_eq!(taken(), ["call_later_in sees None", "call_at_in sees 99"]);
}

#[test]
fn done_callbacks_copy_the_context_at_registration_not_at_completion() {
    // S245
    twin(async || {
        let done = Promise::<()>::new();
        let task = create_task(async {
            V.set(77);
        });
        V.set(1);
        let callback = logs("the future's");
        done.add_done_callback(move |_| callback());
        V.set(2);
        task.add_done_callback(logs("the task's"));
        V.set(3);
        done.set_result(()).unwrap();
        task.await.unwrap();
        settle(1).await;
        log(format!("the task sees {}", seen()));
    });
}

#[test]
fn children_of_a_group_take_a_context_a_name_and_an_eager_start_by_its_builder() {
    // S237, S246
    run(async {
        let context = Context::new();
        context.run(|| V.set(1));
        let outcome = TaskGroup::<String>::scope(async |group| {
            let first = group
                .builder()
                .context(&context)
                .name("first")
                .eager_start(true)
                .create_task(async { Ok(see_and_set(2)) });
            assert!(first.done()); // in its first step, within the call
            assert_eq!(first.get_name(), "first");
            let second = group
                .builder()
                .context(&context)
                .spawn(async { see_and_set(3) });
            let inner =
                group
                    .builder()
                    .name("inner")
                    .spawn_group(TaskGroup::scope(async |inner| {
                        Ok(inner
                            .spawn(async { current_task().unwrap().parent_id() })
                            .await)
                    }));
            let id = inner.id();
            assert_eq!(inner.await, Some(id));
            Ok((first.await, second.await))
        });
        assert_eq!(outcome.await.unwrap(), (Some(1), Some(2)));
        assert_eq!((context.get(&V), V.get()), (Some(3), None));

        // A group that is ending takes none.
        let refused = TaskGroup::<String>::scope(async |group| {
            group.cancel();
            let child = group.builder().name("late").spawn(async {});
            assert!(child.cancelled());
            Ok(())
        });
        assert!(refused.await.is_ok());
    });
}

#[test]
fn two_tasks_may_share_one_context() {
    // S246
    twin(async || {
        V.set(1);
        let context = copy_context();
        let builder = TaskBuilder::new().context(&context);
        let first = builder.clone().spawn(async { see_and_set(2).unwrap() });
        let second = builder.spawn(async { see_and_set(3).unwrap() });
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        log(format!(
            "{first} {second} {} {}",
            context.get(&V).unwrap(),
            seen()
        ));
    });
}

#[test]
fn what_is_awaited_in_the_task_itself_shares_its_context() {
    // S247
    twin(async || {
        async fn coroutine(new: i32) {
            sleep(0).await;
            V.set(new);
        }
        coroutine(1).await;
        log(seen());
        timeout(1, coroutine(2)).await.unwrap();
        log(seen());
        wait_for(coroutine(3), 1).await.unwrap();
        log(seen());
    });
}

#[test]
fn what_is_made_a_task_has_a_copy() {
    // S247
    twin(async || {
        let body = |name: &'static str, new| async move {
            log(format!("{name} sees {}", told(see_and_set(new))));
        };
        V.set(1);
        gather((body("a", 2), body("b", 3))).await;
        shield(body("shielded", 4)).await.unwrap();
        let group = TaskGroup::<()>::scope(async |group| {
            group.spawn(body("child", 5));
            Ok(())
        });
        group.await.unwrap();
        let limited = wait_for(create_task(body("task", 6)), 1);
        limited.await.unwrap().unwrap();
        log(format!("the task sees {}", seen()));
    });
}

#[test]
fn a_runner_keeps_its_context_from_run_to_run() {
    // S180
    let mut runner = Runner::new();
    assert_eq!(runner.run(async { see_and_set(1) }).unwrap(), None);
    assert_eq!(runner.run(async { see_and_set(2) }).unwrap(), Some(1));
    assert_eq!(runner.run(async { V.get() }).unwrap(), Some(2));
    assert_eq!(V.get(), None);
    runner.close().unwrap();
}
