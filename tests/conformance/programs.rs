//! A thousand random programs of groups, timeouts, shields, requests and failures, in virtual time. Whatever they do:
//! no child outlives its group, requests are counted as often as they were made, every task ends, and the same program
//! gives the same trace.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use asyncio::{
    CancelledError, TaskGroup, TaskRef, all_tasks, cancelling, catch_cancelled, create_task,
    current_task, finally, gather, get_running_loop, raise_cancelled, shield, sleep, timeout,
    try_gather, wait_for,
};
use asyncio_executor::{snapshot, trace_waiting};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::harness::{run, say};

/// One step of a task.
#[derive(Debug, Clone)]
enum Op {
    Sleep(u64),
    /// A group: its children, then its body.
    Group(Vec<Vec<Op>>, Vec<Op>),
    Timeout(u64, Vec<Op>),
    WaitFor(u64, Vec<Op>),
    Shield(Vec<Op>),
    /// A task, awaited by value.
    Await(Vec<Op>),
    Gather(Vec<Vec<Op>>),
    TryGather(Vec<Vec<Op>>),
    /// Catches a request and goes on.
    Catch(Vec<Op>),
    /// A cleanup that takes a while.
    Finally(Vec<Op>, u64),
    /// A request to one of the tasks made so far.
    Cancel(usize),
    Fail,
    Raise,
}

/// Times are short, so that much falls due together.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let leaf = prop_oneof![
        8 => (0..4u64).prop_map(Op::Sleep),
        3 => (0..20usize).prop_map(Op::Cancel),
        1 => Just(Op::Fail),
        1 => Just(Op::Raise),
    ];
    let op = leaf.prop_recursive(5, 60, 4, |op| {
        let ops = prop::collection::vec(op, 1..4);
        let several = prop::collection::vec(ops.clone(), 1..4);
        prop_oneof![
            4 => (several.clone(), ops.clone()).prop_map(|(children, body)| Op::Group(children, body)),
            3 => (0..4u64, ops.clone()).prop_map(|(delay, ops)| Op::Timeout(delay, ops)),
            1 => (0..4u64, ops.clone()).prop_map(|(delay, ops)| Op::WaitFor(delay, ops)),
            1 => ops.clone().prop_map(Op::Shield),
            1 => ops.clone().prop_map(Op::Await),
            1 => several.clone().prop_map(Op::Gather),
            1 => several.prop_map(Op::TryGather),
            1 => ops.clone().prop_map(Op::Catch),
            2 => (ops, 0..4u64).prop_map(|(ops, delay)| Op::Finally(ops, delay)),
        ]
    });
    prop::collection::vec(op, 3..9)
}

struct Failed;

type Outcome = Result<(), Failed>;
type Running = Pin<Box<dyn Future<Output = Outcome>>>;

/// What the tasks of one program share.
#[derive(Default)]
struct World {
    trace: RefCell<Vec<String>>,
    /// The tasks in the order of their first steps, each with the requests it got from a `Cancel`.
    tasks: RefCell<Vec<(TaskRef, u32)>>,
    /// Tasks behind a shield: nobody else asks them.
    shielded: RefCell<Vec<TaskRef>>,
    alive: Cell<usize>,
    violations: RefCell<Vec<String>>,
}

impl World {
    fn log(&self, line: String) {
        let now = get_running_loop().time().as_secs_f64();
        self.trace.borrow_mut().push(format!("{now} {line}"));
    }

    fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.borrow_mut().push(what());
        }
    }

    /// Enters the current task; its number.
    fn enter(&self) -> usize {
        let mut tasks = self.tasks.borrow_mut();
        tasks.push((current_task().unwrap(), 0));
        tasks.len() - 1
    }

    /// The requests that a task got from a `Cancel`.
    fn requests_to(&self, task: &TaskRef) -> u32 {
        let tasks = self.tasks.borrow();
        let found = tasks.iter().find(|(other, _)| other == task);
        found.map_or(0, |(_, requests)| *requests)
    }

    fn cancel(&self, which: usize) {
        let target = {
            let tasks = self.tasks.borrow();
            let which = which % tasks.len();
            (which, tasks[which].0.clone())
        };
        let accepted = target.1.cancel();
        self.tasks.borrow_mut()[target.0].1 += u32::from(accepted);
        self.log(format!("cancel {}: {accepted}", target.0));
    }
}

/// Counts something that is alive: a child in its group, a task in the world.
struct Alive(Rc<dyn Fn(isize)>);

impl Alive {
    fn new(count: impl Fn(isize) + 'static) -> Alive {
        count(1);
        Alive(Rc::new(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        (self.0)(-1);
    }
}

/// The body of a task.
fn task(world: &Rc<World>, ops: Vec<Op>, also: Option<Alive>) -> Running {
    let world = world.clone();
    let counted = world.clone();
    let alive = Alive::new(move |by| {
        counted
            .alive
            .set(counted.alive.get().checked_add_signed(by).unwrap());
    });
    Box::pin(async move {
        let _alive = (alive, also);
        let number = world.enter();
        world.log(format!("task {number} begins"));
        let outcome = steps(&world, number, ops).await;
        world.log(format!("task {number} ends: {}", outcome.is_ok()));
        outcome
    })
}

fn steps<'a>(
    world: &'a Rc<World>,
    number: usize,
    ops: Vec<Op>,
) -> Pin<Box<dyn Future<Output = Outcome> + 'a>> {
    Box::pin(async move {
        for op in ops {
            step(world, number, op).await?;
        }
        Ok(())
    })
}

async fn step(world: &Rc<World>, number: usize, op: Op) -> Outcome {
    let before = cancelling();
    match op {
        Op::Sleep(delay) => {
            sleep(delay).await;
            Ok(())
        }
        Op::Group(children, body) => {
            let alive = Rc::<Cell<isize>>::default();
            let group = TaskGroup::<Failed>::scope(async |group| {
                for ops in children {
                    let count = alive.clone();
                    let child = Alive::new(move |by| count.set(count.get() + by));
                    drop(group.create_task(task(world, ops, Some(child))));
                }
                steps(world, number, body).await
            });
            let ended = catch_cancelled(group).await;
            world.check(alive.get() == 0, || {
                format!("{} children outlived their group", alive.get())
            });
            world.check(cancelling() >= before, || {
                "a group took back too much".into()
            });
            match ended {
                Ok(ended) => {
                    world.log(format!("group in {number}: {}", failures(&ended)));
                    ended.map_err(|_| Failed)
                }
                Err(cancelled) => cancelled.propagate().await,
            }
        }
        Op::Timeout(delay, ops) => {
            let ended = timeout(delay, steps(world, number, ops)).await;
            world.check(cancelling() >= before, || {
                "a timeout took back too much".into()
            });
            world.log(format!("timeout in {number}: {}", ended.is_err()));
            ended.unwrap_or(Ok(()))
        }
        Op::WaitFor(delay, ops) => {
            let inner = create_task(task(world, ops, None));
            let inner_ref = inner.as_ref().unwrap();
            let ended = wait_for(inner, delay).await;
            world.check(inner_ref.done(), || "wait_for did not wait".into());
            world.log(format!("wait_for in {number}: {}", ended.is_err()));
            Ok(())
        }
        Op::Shield(ops) => {
            let mut inner = create_task(task(world, ops, None));
            let inner_ref = inner.as_ref().unwrap();
            world.shielded.borrow_mut().push(inner_ref);
            let ended = catch_cancelled(shield(&mut inner)).await;
            inner.detach();
            goes_on(ended).await
        }
        Op::Await(ops) => {
            let inner = create_task(task(world, ops, None));
            let inner_ref = inner.as_ref().unwrap();
            let ended = catch_cancelled(inner).await;
            world.check(inner_ref.done(), || "an await ended before its task".into());
            goes_on(ended).await
        }
        Op::Gather(all) => {
            let tasks: Vec<_> = all
                .into_iter()
                .map(|ops| create_task(task(world, ops, None)))
                .collect();
            let refs: Vec<TaskRef> = tasks.iter().map(|task| task.as_ref().unwrap()).collect();
            let ended = catch_cancelled(gather(tasks)).await;
            world.check(refs.iter().all(TaskRef::done), || {
                "gather did not wait".into()
            });
            goes_on(ended).await
        }
        Op::TryGather(all) => {
            let tasks = all.into_iter().map(|ops| task(world, ops, None));
            match try_gather(tasks).await {
                Ok(_) => Ok(()),
                Err(failed) => Err(failed),
            }
        }
        Op::Catch(ops) => {
            let ended = catch_cancelled(steps(world, number, ops)).await;
            world.log(format!("caught in {number}: {}", ended.is_err()));
            ended.unwrap_or(Ok(()))
        }
        Op::Finally(ops, delay) => {
            let cleanup = async {
                world.log(format!("cleanup in {number}"));
                sleep(delay).await;
            };
            finally(steps(world, number, ops), cleanup).await
        }
        Op::Cancel(which) => {
            world.cancel(which);
            Ok(())
        }
        Op::Fail => Err(Failed),
        Op::Raise => raise_cancelled().await,
    }
}

fn failures<T>(ended: &Result<T, asyncio::ExceptionGroup<Failed>>) -> usize {
    ended.as_ref().err().map_or(0, |group| group.errors().len())
}

async fn goes_on<T>(ended: Result<T, CancelledError>) -> Outcome {
    match ended {
        Ok(_) => Ok(()),
        Err(cancelled) => cancelled.propagate().await,
    }
}

/// Runs a program to the end of its last task; the trace, and what did not hold.
fn execute(ops: &[Op]) -> (Vec<String>, Vec<String>) {
    execute_with(ops, || ())
}

fn execute_with(ops: &[Op], first: impl FnOnce() + 'static) -> (Vec<String>, Vec<String>) {
    let world = Rc::new(World::default());
    let (shared, ops) = (world.clone(), ops.to_vec());
    run(async move {
        let world = shared;
        first();
        let main = create_task(task(&world, ops, None));
        let main_ref = main.as_ref().unwrap();
        let mut main = Box::pin(shield(main).into_future());
        let ended = timeout(100_000, &mut main).await;
        world.check(ended.is_ok(), || "the program hangs".into());
        // What was shielded, and what a `try_gather` left behind, ends by itself.
        sleep(100_000).await;
        world.check(all_tasks().len() == 1, || {
            format!("left behind: {:?}", all_tasks())
        });
        world.check(world.alive.get() == 0, || "a task was not dropped".into());
        // Groups and timeouts have taken back what they asked, and no request went through a shield.
        for task in std::iter::once(&main_ref).chain(&*world.shielded.borrow()) {
            let requests = world.requests_to(task);
            world.check(task.cancelling() == requests, || {
                format!(
                    "{task:?}: {requests} requests, {} counted",
                    task.cancelling()
                )
            });
        }
        for (number, (task, _)) in world.tasks.borrow().iter().enumerate() {
            world.check(task.done(), || format!("task {number} has not ended"));
        }
    });
    (world.trace.take(), world.violations.take())
}

#[test]
fn a_thousand_random_programs_keep_the_promises() {
    let config = Config {
        cases: 1000,
        failure_persistence: None,
        ..Config::default()
    };
    let events = Cell::new(0);
    let (expired, requests, failed) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let outcome = TestRunner::new(config).run(&ops(), |ops| {
        let (trace, violations) = execute(&ops);
        prop_assert!(
            violations.is_empty(),
            "{violations:?}\n{}",
            trace.join("\n")
        );
        let (again, _) = execute(&ops);
        prop_assert_eq!(&trace, &again, "the same program gave another trace");
        events.set(events.get() + trace.len());
        let timeouts = trace.iter().filter(|line| line.contains("timeout in"));
        expired.set(expired.get() + timeouts.filter(|line| line.ends_with("true")).count());
        let cancels = trace.iter().filter(|line| line.contains("cancel "));
        requests.set(requests.get() + cancels.filter(|line| line.ends_with("true")).count());
        let groups = trace.iter().filter(|line| line.contains("group in"));
        failed.set(failed.get() + groups.filter(|line| !line.ends_with(": 0")).count());
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    // So that a change of the strategy cannot make this say nothing.
    assert!(expired.get() > 100 && requests.get() > 100 && failed.get() > 100);
    say(&format!(
        "1000 random programs: {} events, {} timeouts, {} requests, {} failed groups",
        events.get(),
        expired.get(),
        requests.get(),
        failed.get()
    ));
}

/// Looks at every task that waits, in the first turns of the first seconds, as `asyncio pstree --stacks` does.
fn look(turns: usize, seconds: usize, seen: Rc<Cell<usize>>) {
    let event_loop = get_running_loop();
    match (turns, seconds) {
        (0, 0) => {}
        (0, _) => drop(event_loop.call_later(1, move || look(TURNS, seconds - 1, seen))),
        _ => {
            let count = seen.clone();
            trace_waiting(1000, move |traces| count.set(count.get() + traces.len()));
            snapshot(1000);
            event_loop.call_soon(move || look(turns - 1, seconds, seen));
        }
    }
}

const TURNS: usize = 7;

#[test]
fn who_looks_at_a_program_all_the_time_breaks_none_of_its_promises() {
    let config = Config {
        cases: 100,
        failure_persistence: None,
        ..Config::default()
    };
    let seen = Rc::new(Cell::new(0));
    let outcome = TestRunner::new(config).run(&ops(), |ops| {
        let count = seen.clone();
        // Every task is polled out of turn, so the order within a second may be another one.
        let (trace, violations) = execute_with(&ops, move || look(TURNS, 10, count));
        prop_assert!(
            violations.is_empty(),
            "{violations:?}\n{}",
            trace.join("\n")
        );
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    assert!(seen.get() > 1000, "{} looks", seen.get());
}
