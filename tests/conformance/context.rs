//! Context variables: S243 to S247, and S180 for what a runner keeps.

use asyncio::{
    Context, ContextVar, Future as Promise, Runner, TaskBuilder, TaskGroup, copy_context,
    create_task, gather, get_running_loop, shield, sleep, timeout, wait_for,
};

use crate::harness::{Trace, run, settle, traced};

static V: ContextVar<i32> = ContextVar::new("v");

/// What a variable is where this runs, and a change of it.
fn see_and_set(new: i32) -> Option<i32> {
    let seen = V.get();
    V.set(new);
    seen
}

fn logs(trace: &Trace, who: &'static str) -> impl FnOnce() + use<> {
    let trace = trace.clone();
    move || trace.log(format!("{who} sees {:?}", see_and_set(99)))
}

#[test]
fn a_task_copies_the_context_when_it_is_created() {
    // S243
    run(async {
        V.set(1);
        let task = create_task(async {
            let first = see_and_set(10);
            sleep(0).await;
            (first, V.get())
        });
        V.set(2); // later changes of the creator are invisible to the task
        sleep(0).await;
        assert_eq!(V.get(), Some(2)); // and its changes are invisible outside
        assert_eq!(task.await.unwrap(), (Some(1), Some(10)));
        assert_eq!(V.get(), Some(2));
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
    let trace = traced(|trace| async move {
        let event_loop = get_running_loop();
        V.set(1);
        event_loop.call_soon(logs(&trace, "call_soon"));
        V.set(2);
        event_loop.call_later(1, logs(&trace, "call_later"));
        V.set(3);
        event_loop.call_at(
            event_loop.time() + std::time::Duration::from_secs(2),
            logs(&trace, "call_at"),
        );
        V.set(4);
        event_loop
            .call_soon_threadsafe({
                // Not `Send`, so it is asked here.
                || assert_eq!(see_and_set(98), Some(4))
            })
            .unwrap();
        V.set(5);
        sleep(3).await;
        trace.log(format!("the task sees {:?}", V.get()));
    });
    assert_eq!(
        trace,
        [
            "call_soon sees Some(1)",
            "call_later sees Some(2)",
            "call_at sees Some(3)",
            "the task sees Some(5)",
        ]
    );
}

#[test]
fn a_callback_with_a_context_given_uses_that_one_itself() {
    // S244, S246
    let trace = traced(|trace| async move {
        let context = Context::new();
        let handle = get_running_loop().call_soon_in(&context, logs(&trace, "first"));
        assert!(handle.context().unwrap().same_context(&context));
        get_running_loop().call_soon_in(&context, logs(&trace, "second"));
        settle(1).await;
        assert_eq!((context.get(&V), V.get()), (Some(99), None));
    });
    assert_eq!(trace, ["first sees None", "second sees Some(99)"]);
}

#[test]
fn done_callbacks_copy_the_context_at_registration_not_at_completion() {
    // S245
    let trace = traced(|trace| async move {
        let future = Promise::<()>::new();
        let task = create_task(async {
            V.set(77);
        });
        V.set(1);
        let log = logs(&trace, "the future's");
        future.add_done_callback(move |_| log());
        V.set(2);
        task.add_done_callback(logs(&trace, "the task's"));
        V.set(3);
        future.set_result(()).unwrap();
        task.await.unwrap();
        settle(1).await;
        assert_eq!(V.get(), Some(3));
    });
    assert_eq!(
        trace,
        ["the future's sees Some(1)", "the task's sees Some(2)"]
    );
}

#[test]
fn two_tasks_may_share_one_context() {
    // S246
    run(async {
        V.set(1);
        let context = copy_context();
        let builder = TaskBuilder::new().context(&context);
        let first = builder.clone().spawn(async { see_and_set(2) });
        let second = builder.spawn(async { see_and_set(3) });
        assert_eq!(first.await.unwrap(), Some(1));
        assert_eq!(second.await.unwrap(), Some(2));
        assert_eq!((context.get(&V), V.get()), (Some(3), Some(1)));
    });
}

#[test]
fn what_is_awaited_in_the_task_itself_shares_its_context() {
    // S247
    run(async {
        async fn coroutine(new: i32) {
            sleep(0).await;
            V.set(new);
        }
        coroutine(1).await;
        assert_eq!(V.get(), Some(1));
        timeout(1, coroutine(2)).await.unwrap();
        assert_eq!(V.get(), Some(2));
        wait_for(coroutine(3), 1).await.unwrap();
        assert_eq!(V.get(), Some(3));
    });
}

#[test]
fn what_is_made_a_task_has_a_copy() {
    // S247
    run(async {
        V.set(1);
        let (a, b) = gather((async { see_and_set(2) }, async { see_and_set(3) })).await;
        assert_eq!((a, b, V.get()), (Some(1), Some(1), Some(1)));
        assert_eq!(shield(async { see_and_set(4) }).await.unwrap(), Some(1));
        let seen = TaskGroup::scope(async |group| {
            let child = group.create_task(async { see_and_set(5) });
            Ok::<_, std::convert::Infallible>(child.await)
        });
        assert_eq!(seen.await.unwrap(), Some(1));
        assert_eq!(V.get(), Some(1));
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
