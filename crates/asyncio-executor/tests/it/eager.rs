//! Tasks whose first step runs where they are made.

use asyncio_executor::{
    Context, ContextVar, Executor, TaskBuilder, TaskFactory, catch_cancelled, current_task, spawn,
    yield_now,
};

use crate::support::{Gate, Trace, reports, settle};

fn eager() -> TaskBuilder {
    TaskBuilder::new().eager_start(true)
}

#[test]
fn the_first_step_runs_within_the_call_as_the_new_task() {
    // S237
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    executor
        .run(async move {
            let me = current_task().unwrap().id();
            let print = log.clone();
            let task = eager().name("child").spawn(async move {
                let current = current_task().unwrap();
                print.log(format!("{} runs", current.get_name()));
                assert_eq!(current.parent_id(), Some(me));
                yield_now().await;
                print.log("goes on");
            });
            log.log("creator");
            assert_eq!(current_task().unwrap().id(), me);
            task.await.unwrap();
        })
        .unwrap();
    assert_eq!(trace.take(), ["child runs", "creator", "goes on"]);
}

#[test]
fn one_that_ends_at_once_never_enters_the_queue() {
    // S238
    let executor = Executor::new();
    executor
        .run(async {
            let task = eager().spawn(async { 5 });
            assert!(task.done());
            assert_eq!(task.try_take().unwrap().unwrap(), 5);
        })
        .unwrap();
    assert_eq!(executor.stats().turns, 1);
}

#[test]
fn a_panic_in_the_first_step_is_the_tasks_own() {
    // S240
    let executor = Executor::new();
    let reports = reports(&executor);
    executor
        .run(async {
            let task = eager().spawn(async { panic!("early") });
            assert!(task.done() && task.panicked());
            assert!(task.await.unwrap_err().is_panic());
        })
        .unwrap();
    assert!(reports.take().is_empty());
}

#[test]
fn the_step_runs_in_the_new_tasks_context() {
    // S239
    static V: ContextVar<u32> = ContextVar::new("v");
    let executor = Executor::new();
    executor
        .run(async {
            let none = eager().spawn(async {
                V.set(9);
                yield_now().await;
                V.get()
            });
            assert_eq!(V.get(), None);
            V.set(1);
            let copied = eager().spawn(async {
                let before = V.get();
                V.set(2);
                (before, V.get())
            });
            assert_eq!(V.get(), Some(1));
            assert_eq!(copied.await.unwrap(), (Some(1), Some(2)));
            assert_eq!(none.await.unwrap(), Some(9));
            // The creator's own context, entered while it is entered.
            let mine = current_task().unwrap().context();
            eager().context(&mine).spawn(async { V.set(3) }).detach();
            assert_eq!(V.get(), Some(3));
            let empty = Context::new();
            eager().context(&empty).spawn(async { V.set(4) }).detach();
            assert_eq!((V.get(), empty.get(&V)), (Some(3), Some(4)));
        })
        .unwrap();
}

#[test]
fn a_request_after_the_first_step_lets_it_clean_up() {
    // S241
    let executor = Executor::new();
    executor
        .run(async {
            let task = eager().spawn(async {
                let caught = catch_cancelled(std::future::pending::<()>()).await;
                yield_now().await;
                caught.is_err()
            });
            task.cancel();
            assert!(task.await.unwrap());
        })
        .unwrap();
}

#[test]
fn a_factory_makes_every_task_eager_unless_its_builder_says_no() {
    // S242
    let executor = Executor::new();
    executor.set_task_factory(TaskFactory::Eager);
    assert_eq!(executor.task_factory(), TaskFactory::Eager);
    executor
        .run(async {
            assert!(spawn(async {}).done());
            let lazy = TaskBuilder::new().eager_start(false).spawn(async {});
            assert!(!lazy.done());
            lazy.await.unwrap();
        })
        .unwrap();
    executor.set_task_factory(TaskFactory::Lazy);
    executor
        .run(async { assert!(!spawn(async {}).done()) })
        .unwrap();
}

#[test]
fn where_nothing_runs_an_eager_task_waits_for_its_turn() {
    // S242
    let executor = Executor::new();
    let task = executor.enter(|| eager().spawn(async { 1 }));
    assert!(!task.done());
    settle(&executor);
    assert!(task.done());
}

#[test]
fn eager_tasks_nest_and_close_ends_what_they_left() {
    let executor = Executor::new();
    let (trace, gate) = (Trace::default(), Gate::default());
    let log = trace.clone();
    executor
        .run(async move {
            eager()
                .spawn(async move {
                    let _outer = log.on_drop("outer");
                    let inner = log.clone();
                    eager()
                        .spawn({
                            let gate = gate.clone();
                            async move {
                                let _inner = inner.on_drop("inner");
                                gate.wait().await;
                            }
                        })
                        .detach();
                    gate.wait().await;
                })
                .detach();
        })
        .unwrap();
    let names = executor.all_tasks().len();
    assert_eq!(names, 2);
    executor.close();
    let mut ended = trace.take();
    ended.sort_unstable();
    assert_eq!(ended, ["inner", "outer"]);
}
