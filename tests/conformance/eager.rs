//! Eager tasks: S237 to S242.

use std::future::pending;

use asyncio::{
    ContextVar, TaskBuilder, TaskFactory, TaskGroup, catch_cancelled, create_task, current_task,
    ensure_future, gather, get_running_loop, shield, sleep,
};

use crate::harness::{collect_reports, new_loop, run, settle};
use crate::twin::{Told, log, outcome, twin, works};

fn eager() -> TaskBuilder {
    TaskBuilder::new().eager_start(true)
}

#[test]
fn the_first_step_runs_inside_the_call_up_to_its_first_suspension() {
    // S237
    twin(async || {
        let creator = current_task().unwrap();
        let task = eager().name("eager").spawn(async {
            log(format!("{} begins", current_task().unwrap().get_name()));
            sleep(0).await;
            log("ends");
        });
        log("the creator goes on");
        let is_creator = current_task().unwrap() == creator;
        log(format!("{} {}", is_creator.told(), task.done().told()));
        task.await.unwrap();
    });
}

#[test]
fn one_that_does_not_suspend_is_done_at_once_and_its_callbacks_still_go_through_the_queue() {
    // S238
    twin(async || {
        let task = eager().spawn(settle(0));
        log(task.done().told());
        get_running_loop().call_soon(|| log("queued before"));
        task.add_done_callback(|| log("done callback"));
        log("added");
        task.await.unwrap();
        log("awaited without a turn");
        settle(1).await;
    });
}

#[test]
fn the_step_runs_in_the_new_tasks_copy_of_the_context() {
    // S239
    static V: ContextVar<i32> = ContextVar::new("v");
    twin(async || {
        let seen = || V.get().unwrap();
        V.set(1);
        let task = eager().spawn(async move {
            log(format!("the task sees {}", seen()));
            V.set(2);
            sleep(0).await;
            log(format!("and then {}", seen()));
        });
        log(format!("its creator sees {}", seen()));
        task.await.unwrap();
        log(format!("and then {}", seen()));
    });
}

#[test]
fn a_panic_in_the_step_is_the_tasks_outcome_and_not_the_callers() {
    // S240
    let event_loop = new_loop();
    let reports = collect_reports(&event_loop);
    event_loop
        .run_until_complete(async {
            let task = eager().spawn(async { panic!("early") });
            assert!(task.done());
            assert!(task.await.unwrap_err().to_string().contains("early"));
            eager().spawn(async { panic!("unseen") }).detach();
        })
        .unwrap();
    assert_eq!(
        reports,
        ["a task panicked and nobody awaited it: the task panicked: unseen"]
    );
}

#[test]
fn one_that_was_cancelled_after_its_step_cleans_up_and_a_lazy_one_never_began() {
    // S241, S45
    twin(async || {
        let body = async |name: &'static str| {
            log(format!("{name} begins"));
            if catch_cancelled(pending::<()>()).await.is_err() {
                log(format!("{name} cleans up"));
            }
        };
        let (started, lazy) = (eager().spawn(body("eager")), create_task(body("lazy")));
        let (one, other) = (started.cancel(), lazy.cancel());
        log(format!("{} {}", one.told(), other.told()));
        outcome("eager", started).await;
        outcome("lazy", lazy).await;
    });
}

#[test]
fn a_factory_decides_where_the_builder_does_not() {
    // S237, S242
    let event_loop = new_loop();
    assert_eq!(event_loop.get_task_factory(), TaskFactory::Lazy);
    event_loop.set_task_factory(TaskFactory::Eager);
    event_loop
        .run_until_complete(async {
            assert_eq!(get_running_loop().get_task_factory(), TaskFactory::Eager);
            assert!(create_task(async {}).done());
            assert!(get_running_loop().create_task(async {}).done());
            let lazy = TaskBuilder::new().eager_start(false).spawn(async {});
            assert!(!lazy.done());
            lazy.await.unwrap();
            get_running_loop().set_task_factory(TaskFactory::Lazy);
            assert!(!create_task(async {}).done());
        })
        .unwrap();
}

#[test]
fn outside_of_a_run_the_step_is_scheduled() {
    // S242
    let event_loop = new_loop();
    event_loop.set_task_factory(TaskFactory::Eager);
    let task = event_loop.create_task(async { 1 });
    assert!(!task.done());
    event_loop.run_until_complete(sleep(0)).unwrap();
    assert_eq!(task.try_take().unwrap().unwrap(), 1);
}

#[test]
fn gathers_groups_and_shields_take_children_that_are_done_before_they_are_looked_at() {
    // S238
    // S242
    twin(async || {
        get_running_loop().set_task_factory(TaskFactory::Eager);
        get_running_loop().call_soon(|| log("next turn"));
        let gives = |value: i32| async move {
            log(format!("gives {value}"));
            value
        };
        log(gather([gives(1), gives(2)]).await.told());
        log(shield(gives(3)).await.told());
        let group = TaskGroup::<()>::scope(async |group| {
            let children = (group.spawn(gives(4)), group.spawn(works("late", 1, 5)));
            log(format!(
                "{} {}",
                children.0.done().told(),
                children.1.done().told()
            ));
            Ok(vec![children.0.await, children.1.await])
        });
        log(group.await.unwrap().told());
    });
}

#[test]
fn bodies_interleave_with_their_creator() {
    // S242
    twin(async || {
        let body = async |name: &'static str| {
            log(format!("{name}1"));
            sleep(0).await;
            log(format!("{name}2"));
        };
        get_running_loop().set_task_factory(TaskFactory::Eager);
        gather((body("a"), body("b"))).await;
        log("end");
    });
}

#[test]
fn an_eager_child_that_fails_at_once_ends_its_group() {
    // S242
    run(async {
        get_running_loop().set_task_factory(TaskFactory::Eager);
        let failed = TaskGroup::scope(async |group| {
            group.create_task(async { Err::<(), _>("at once".to_owned()) });
            group.create_task(async {
                pending::<()>().await;
                Ok(())
            });
            pending::<Result<(), String>>().await
        });
        assert!(failed.await.unwrap_err().to_string().contains("at once"));
    });
}

#[test]
fn a_factory_decides_where_none_is_given() {
    // S237
    twin(async || {
        let event_loop = get_running_loop();
        log((event_loop.get_task_factory() == TaskFactory::Lazy).told());
        event_loop.set_task_factory(TaskFactory::Eager);
        log(format!(
            "{} {}",
            create_task(settle(0)).done().told(),
            create_task(settle(1)).done().told()
        ));
        log(ensure_future(settle(0)).done().told());
        event_loop.set_task_factory(TaskFactory::Lazy);
        log(create_task(settle(0)).done().told());
    });
}
