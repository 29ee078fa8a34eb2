//! Random programs of tasks, scopes, awaits and requests: whatever they do, some things always hold.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;

use asyncio_executor::{
    CancelledError, Executor, Task, TaskRef, cancelling, catch_cancelled, current_task, finally,
    raise_cancelled, uncancel, yield_now,
};
use futures_util::future::select;
use futures_util::stream::{FuturesUnordered, StreamExt};
use proptest::prelude::*;

use crate::support::{Drops, Gate, reports, settle, turn};

const TASKS: usize = 5;
const GATES: usize = 3;

/// One step of a task.
#[derive(Debug, Clone)]
enum Op {
    Yield,
    Wait(usize),
    Scope(Vec<Op>),
    /// A scope that is asked to end when a gate opens, as a timeout's is.
    Aimed(usize, Vec<Op>),
    Finally(Vec<Op>),
    Join(Vec<Op>, Vec<Op>),
    Select(Vec<Op>, Vec<Op>),
    /// Arms with wakers of their own.
    Unordered(Vec<Op>, Vec<Op>),
    /// A losing arm that is kept, and polled again later.
    Keep(Vec<Op>, Vec<Op>),
    Await(usize),
    AwaitRef(usize),
    Detach(usize),
    Cancel(usize),
    CancelSelf,
    Open(usize),
    Raise,
}

/// What somebody outside does.
#[derive(Debug, Clone)]
enum Act {
    Turn,
    Settle,
    Cancel(usize),
    Uncancel(usize),
    Open(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let leaf = prop_oneof![
        4 => Just(Op::Yield),
        4 => (0..GATES).prop_map(Op::Wait),
        2 => (0..TASKS).prop_map(Op::Await),
        1 => (0..TASKS).prop_map(Op::AwaitRef),
        1 => (0..TASKS).prop_map(Op::Detach),
        2 => (0..TASKS).prop_map(Op::Cancel),
        1 => Just(Op::CancelSelf),
        1 => (0..GATES).prop_map(Op::Open),
        1 => Just(Op::Raise),
    ];
    let op = leaf.prop_recursive(4, 24, 3, |op| {
        let ops = prop::collection::vec(op, 0..3);
        let two = (ops.clone(), ops.clone());
        prop_oneof![
            3 => ops.clone().prop_map(Op::Scope),
            2 => (0..GATES, ops.clone()).prop_map(|(gate, ops)| Op::Aimed(gate, ops)),
            2 => ops.prop_map(Op::Finally),
            1 => two.clone().prop_map(|(a, b)| Op::Join(a, b)),
            1 => two.clone().prop_map(|(a, b)| Op::Select(a, b)),
            1 => two.clone().prop_map(|(a, b)| Op::Unordered(a, b)),
            1 => two.prop_map(|(a, b)| Op::Keep(a, b)),
        ]
    });
    prop::collection::vec(op, 0..5)
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Turn),
        1 => Just(Act::Settle),
        3 => (0..TASKS).prop_map(Act::Cancel),
        1 => (0..TASKS).prop_map(Act::Uncancel),
        2 => (0..GATES).prop_map(Act::Open),
    ];
    prop::collection::vec(act, 0..16)
}

/// Whether a request to a task that suspended in these is sure to end it.
fn gives_way(ops: &[Op]) -> bool {
    ops.iter().all(|op| match op {
        Op::Scope(_) | Op::Aimed(..) | Op::Await(_) | Op::AwaitRef(_) | Op::Keep(..) => false,
        Op::Finally(ops) => gives_way(ops),
        Op::Join(a, b) | Op::Select(a, b) | Op::Unordered(a, b) => gives_way(a) && gives_way(b),
        _ => true,
    })
}

fn awaits(ops: &[Op]) -> bool {
    ops.iter().any(|op| match op {
        Op::Await(_) => true,
        Op::Scope(ops) | Op::Aimed(_, ops) | Op::Finally(ops) => awaits(ops),
        Op::Join(a, b) | Op::Select(a, b) | Op::Unordered(a, b) | Op::Keep(a, b) => {
            awaits(a) || awaits(b)
        }
        _ => false,
    })
}

#[derive(Default)]
struct World {
    gates: [Gate; GATES],
    handles: [RefCell<Option<Task<()>>>; TASKS],
    references: RefCell<Vec<TaskRef>>,
    /// Requests made directly, less those taken back.
    requests: [Cell<u32>; TASKS],
    made: Cell<usize>,
    drops: Drops,
}

impl World {
    fn cancel(&self, n: usize) {
        let task = self.references.borrow()[n].clone();
        let accepted = task.cancel();
        assert_eq!(accepted, !task.done());
        if accepted {
            self.requests[n].set(self.requests[n].get() + 1);
        }
    }

    fn run(self: &Rc<Self>, me: usize, ops: Vec<Op>) -> Pin<Box<dyn Future<Output = ()>>> {
        self.made.set(self.made.get() + 1);
        let (world, token) = (self.clone(), self.drops.token());
        Box::pin(async move {
            let _token = token;
            for op in ops {
                world.step(me, op).await;
            }
        })
    }

    async fn step(self: &Rc<Self>, me: usize, op: Op) {
        match op {
            Op::Yield => yield_now().await,
            Op::Wait(gate) => self.gates[gate].wait().await,
            Op::Scope(ops) => {
                let _ = catch_cancelled(self.run(me, ops)).await;
            }
            Op::Aimed(gate, ops) => {
                let mut scope = std::pin::pin!(catch_cancelled(self.run(me, ops)));
                let mut gate = std::pin::pin!(self.gates[gate].wait());
                let (mut fired, mut counted) = (false, false);
                let _ = std::future::poll_fn(|cx| {
                    if !fired && gate.as_mut().poll(cx).is_ready() {
                        fired = true;
                        let before = cancelling();
                        scope.as_mut().request(CancelledError::new());
                        // Without effect before the first poll.
                        counted = cancelling() > before;
                        self.requests[me].set(self.requests[me].get() + u32::from(counted));
                    }
                    scope.as_mut().poll(cx)
                })
                .await;
                if counted {
                    uncancel();
                    self.requests[me].set(self.requests[me].get().saturating_sub(1));
                }
            }
            Op::Finally(ops) => finally(self.run(me, ops), yield_now()).await,
            Op::Join(a, b) => {
                futures_util::join!(self.run(me, a), self.run(me, b));
            }
            Op::Select(a, b) => {
                select(self.run(me, a), self.run(me, b)).await;
            }
            Op::Unordered(a, b) => {
                let mut arms: FuturesUnordered<_> =
                    [self.run(me, a), self.run(me, b)].into_iter().collect();
                while arms.next().await.is_some() {}
            }
            Op::Keep(a, b) => {
                let mut kept = self.run(me, a);
                let ended = match select(&mut kept, std::pin::pin!(yield_now())).await {
                    futures_util::future::Either::Left(_) => true,
                    futures_util::future::Either::Right(_) => false,
                };
                self.run(me, b).await;
                if !ended {
                    let _ = catch_cancelled(&mut kept).await;
                }
            }
            Op::Await(n) | Op::AwaitRef(n) if n == me => {}
            Op::Await(n) => {
                let task = self.handles[n].take();
                if let Some(task) = task {
                    let _ = task.await;
                }
            }
            Op::AwaitRef(n) => {
                let task = self.handles[n].take();
                if let Some(mut task) = task {
                    let _ = (&mut task).await;
                }
            }
            Op::Detach(n) => drop(self.handles[n].take()),
            Op::Cancel(n) => self.cancel(n),
            Op::CancelSelf => {
                assert_eq!(current_task().unwrap(), self.references.borrow()[me]);
                self.cancel(me);
            }
            Op::Open(gate) => self.gates[gate].open(),
            Op::Raise => raise_cancelled::<()>().await,
        }
    }
}

fn check(programs: Vec<Vec<Op>>, acts: Vec<Act>) {
    let executor = Executor::new();
    let seen = reports(&executor);
    let world = Rc::new(World::default());
    let forwarding = programs.iter().any(|ops| awaits(ops));
    for (n, ops) in programs.iter().enumerate() {
        let task = executor.spawn(world.run(n, ops.clone()));
        let reference = executor.enter(|| task.as_ref()).unwrap();
        world.references.borrow_mut().push(reference);
        *world.handles[n].borrow_mut() = Some(task);
    }
    let references = world.references.borrow().clone();
    let counts_balance = || {
        for (n, task) in references.iter().enumerate() {
            let direct = world.requests[n].get();
            if forwarding {
                assert!(task.done() || task.cancelling() >= direct.min(1));
            } else {
                assert_eq!(task.cancelling(), direct, "task {n}");
            }
        }
    };
    for act in acts {
        match act {
            Act::Turn => {
                turn(&executor);
            }
            Act::Settle => {
                settle(&executor);
            }
            Act::Cancel(n) => {
                world.cancel(n);
                if gives_way(&programs[n]) {
                    settle(&executor);
                    assert!(references[n].done(), "task {n} did not hear of a request");
                }
            }
            Act::Uncancel(n) => {
                let left = references[n].uncancel();
                if !forwarding {
                    let direct = world.requests[n].get().saturating_sub(1);
                    world.requests[n].set(direct);
                    assert_eq!(left, direct);
                } else {
                    world.requests[n].set(world.requests[n].get().min(left));
                }
            }
            Act::Open(gate) => executor.enter(|| world.gates[gate].open()),
        }
        counts_balance();
    }
    // Each request ends a scope or the task, and programs are finite.
    for round in 0.. {
        settle(&executor);
        counts_balance();
        if executor.stats().living == 0 {
            break;
        }
        assert!(round < 200, "a task does not end however often it is asked");
        for (n, task) in references.iter().enumerate() {
            if !task.done() {
                world.cancel(n);
            }
        }
    }
    assert!(references.iter().all(TaskRef::done));
    assert_eq!(executor.all_tasks().len(), 0);
    assert_eq!(executor.ready_len(), 0);
    drop(references);
    // A handle may lie in the world itself, and the outcome with it.
    for handle in &world.handles {
        if let Some(task) = handle.take() {
            let outcome = task.try_take().unwrap();
            assert!(outcome.is_ok() || outcome.unwrap_err().is_cancelled());
        }
    }
    assert_eq!(world.drops.count(), world.made.get());
    assert_eq!(seen.take(), [""; 0]);
}

fn check_closed_over(programs: Vec<Vec<Op>>, turns: usize) {
    let executor = Executor::new();
    let seen = reports(&executor);
    let world = Rc::new(World::default());
    for (n, ops) in programs.into_iter().enumerate() {
        let task = executor.spawn(world.run(n, ops));
        let reference = executor.enter(|| task.as_ref()).unwrap();
        world.references.borrow_mut().push(reference);
        *world.handles[n].borrow_mut() = Some(task);
    }
    for _ in 0..turns {
        turn(&executor);
    }
    drop(executor);
    assert!(world.references.borrow().iter().all(TaskRef::done));
    for handle in &world.handles {
        drop(handle.take());
    }
    assert_eq!(world.drops.count(), world.made.get());
    assert_eq!(seen.take(), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_program_ends_once_all_of_it_is_cancelled(
        programs in prop::collection::vec(ops(), TASKS),
        acts in acts(),
    ) {
        check(programs, acts);
    }

    #[test]
    fn every_program_can_be_closed_over_at_any_turn(
        programs in prop::collection::vec(ops(), TASKS),
        turns in 0..8usize,
    ) {
        check_closed_over(programs, turns);
    }
}
