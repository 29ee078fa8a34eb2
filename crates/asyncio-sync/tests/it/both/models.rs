//! Random histories against simple models, with waiters dropped at any moment: nothing is lost, nobody overtakes.

use super::Shared;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::family::{Barrier, Lock, Queue, RwLock, Semaphore, WaitQueue};
use asyncio_sync::wait_queue::{Left, Ticket};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::stepper::Stepper;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// A waiter arrives.
    Arrive,
    /// A unit, an item or a notification becomes available.
    Provide,
    /// What was taken longest ago is given back, or room is made.
    GiveBack,
    /// The waiter of this number (of those that are left) is dropped where it hangs.
    Drop(usize),
    /// The first ready task is dropped instead of run: if it had been notified, that must be passed on.
    DropReady,
    /// The first ready task runs.
    Step,
    /// Everybody who is ready runs.
    Run,
}

fn history() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => Just(Op::Arrive),
        3 => Just(Op::Provide),
        2 => Just(Op::GiveBack),
        3 => any::<usize>().prop_map(Op::Drop),
        3 => Just(Op::DropReady),
        4 => Just(Op::Step),
        1 => Just(Op::Run),
    ];
    vec(op, 0..80)
}

proptest! {
    #[test]
    fn wait_queue_is_a_list_from_whose_middle_one_may_leave(history in history()) {
        let mut line = WaitQueue::new();
        let mut waiting: VecDeque<(usize, Ticket)> = VecDeque::new();
        let mut notified: Vec<(usize, Ticket)> = Vec::new();
        let mut used_up: Vec<Ticket> = Vec::new();
        for (n, op) in history.into_iter().enumerate() {
            match op {
                Op::Arrive | Op::Step => {
                    let ticket = line.push(n);
                    waiting.push_back((n, ticket));
                }
                Op::Provide => {
                    let first = waiting.pop_front();
                    prop_assert_eq!(line.notify_one(), first.map(|(n, _)| n));
                    notified.extend(first);
                }
                Op::Run => {
                    let all: Vec<_> = line.notify_all().collect();
                    prop_assert_eq!(all, waiting.iter().map(|(n, _)| *n).collect::<Vec<_>>());
                    notified.extend(waiting.drain(..));
                }
                Op::Drop(k) if !waiting.is_empty() => {
                    let (n, ticket) = waiting.remove(k % waiting.len()).unwrap();
                    prop_assert!(matches!(line.leave(ticket), Left::Waiting(w) if w == n));
                    used_up.push(ticket);
                }
                Op::GiveBack | Op::DropReady | Op::Drop(_) => {
                    if let Some((_, ticket)) = notified.pop() {
                        prop_assert!(matches!(line.leave(ticket), Left::Notified));
                        used_up.push(ticket);
                    }
                }
            }
            prop_assert_eq!((line.waiting(), line.notified()), (waiting.len(), notified.len()));
            for ticket in &used_up {
                prop_assert!(matches!(line.leave(*ticket), Left::Nothing));
            }
        }
        let rest: Vec<_> = line.notify_all().collect();
        prop_assert_eq!(rest, waiting.iter().map(|(n, _)| *n).collect::<Vec<_>>());
    }

    /// Units held, free and on their way always add up; survivors are served in order of arrival.
    #[test]
    fn semaphore_loses_no_unit_and_serves_survivors_in_order(start in 0usize..4, history in history()) {
        let (mut stepper, semaphore) = (Stepper::new(), Shared::new(Semaphore::new(start)));
        let mut units = start;
        let held = Rc::new(RefCell::new(Vec::new()));
        let served = Rc::new(RefCell::new(Vec::new()));
        let mut alive = Vec::new();
        for op in history {
            match op {
                Op::Arrive => {
                    let (semaphore, held, served) = (semaphore.clone(), held.clone(), served.clone());
                    let name = alive.len();
                    alive.push(stepper.spawn(async move {
                        let permit = semaphore.acquire_owned().await;
                        served.borrow_mut().push(name);
                        held.borrow_mut().push(permit);
                    }));
                }
                Op::Provide => {
                    semaphore.release();
                    units += 1;
                }
                Op::GiveBack => {
                    let permit = held.borrow_mut().pop();
                    drop(permit);
                }
                Op::Drop(k) if !alive.is_empty() => stepper.cancel(alive[k % alive.len()]),
                Op::Drop(_) => {}
                Op::DropReady => stepper.drop_ready(),
                Op::Step => drop(stepper.step()),
                Op::Run => {
                    stepper.run();
                    let waits = alive.iter().any(|id| !stepper.ended(*id));
                    prop_assert_eq!(held.borrow().len() == units, semaphore.locked());
                    prop_assert!(!waits || held.borrow().len() == units, "somebody waits while a unit is free");
                }
            }
        }
        stepper.run();
        prop_assert!(served.borrow().is_sorted(), "served {:?}", served);
        // Let everybody who is left have a unit: each gets one, and then all units are there.
        while alive.iter().any(|id| !stepper.ended(*id)) {
            let permit = held.borrow_mut().pop();
            if permit.is_none() {
                prop_assert_eq!(units, 0, "nobody holds a unit and somebody waits");
                semaphore.release();
                units += 1;
            }
            drop(permit);
            stepper.run();
        }
        prop_assert!(served.borrow().is_sorted(), "served {:?}", served);
        held.borrow_mut().clear();
        let all: Vec<_> = std::iter::from_fn(|| semaphore.try_acquire()).collect();
        prop_assert_eq!(all.len(), units);
    }

    /// As the semaphore: one holder at most, and the lock never lies free while somebody waits.
    #[test]
    fn lock_has_one_holder_and_never_lies_free_while_somebody_waits(history in history()) {
        let (mut stepper, lock) = (Stepper::new(), Shared::new(Lock::new()));
        let held = Rc::new(RefCell::new(None));
        let served = Rc::new(RefCell::new(Vec::new()));
        let mut alive = Vec::new();
        for op in history {
            match op {
                Op::Arrive => {
                    let (lock, held, served) = (lock.clone(), held.clone(), served.clone());
                    let name = alive.len();
                    alive.push(stepper.spawn(async move {
                        let guard = lock.acquire_owned().await;
                        served.borrow_mut().push(name);
                        assert!(held.borrow_mut().replace(guard).is_none(), "two hold the lock");
                    }));
                }
                Op::Provide | Op::GiveBack => {
                    let guard = held.borrow_mut().take();
                    drop(guard);
                }
                Op::Drop(k) if !alive.is_empty() => stepper.cancel(alive[k % alive.len()]),
                Op::Drop(_) => {}
                Op::DropReady => stepper.drop_ready(),
                Op::Step => drop(stepper.step()),
                Op::Run => {
                    stepper.run();
                    prop_assert_eq!(held.borrow().is_some(), lock.locked());
                    let waits = alive.iter().any(|id| !stepper.ended(*id));
                    prop_assert!(!waits || lock.locked(), "somebody waits for a free lock");
                }
            }
        }
        stepper.run();
        prop_assert!(served.borrow().is_sorted(), "served {:?}", served);
    }

    /// Every item that was accepted comes out once, in order; nobody sleeps beside an item or beside room.
    #[test]
    fn queue_loses_no_item_and_nobody_sleeps_beside_one(maxsize in 0usize..4, history in history()) {
        let (mut stepper, queue) = (Stepper::new(), Shared::new(Queue::<usize>::bounded(maxsize)));
        let accepted = Rc::new(RefCell::new(Vec::new()));
        let taken = Rc::new(RefCell::new(Vec::new()));
        let (mut getters, mut putters) = (Vec::new(), Vec::new());
        let mut next = 0;
        for op in history {
            match op {
                Op::Arrive => {
                    let (queue, taken) = (queue.clone(), taken.clone());
                    getters.push(stepper.spawn(async move {
                        let item = queue.get().await.unwrap();
                        taken.borrow_mut().push(item);
                    }));
                }
                Op::Provide => {
                    let (queue, accepted, item) = (queue.clone(), accepted.clone(), next);
                    next += 1;
                    putters.push(stepper.spawn(async move {
                        queue.put(item).await.unwrap();
                        accepted.borrow_mut().push(item);
                    }));
                }
                Op::GiveBack => {
                    // Somebody who does not wait takes one away under the nose of those who do, or puts one.
                    match queue.get_nowait() {
                        Ok(item) => taken.borrow_mut().push(item),
                        Err(_) => {
                            queue.put_nowait(next).unwrap();
                            accepted.borrow_mut().push(next);
                            next += 1;
                        }
                    }
                }
                Op::Drop(k) => {
                    let tasks = if k % 2 == 0 { &getters } else { &putters };
                    if !tasks.is_empty() {
                        stepper.cancel(tasks[k / 2 % tasks.len()]);
                    }
                }
                Op::DropReady => stepper.drop_ready(),
                Op::Step => drop(stepper.step()),
                Op::Run => {
                    stepper.run();
                    let getter_waits = getters.iter().any(|id| !stepper.ended(*id));
                    let putter_waits = putters.iter().any(|id| !stepper.ended(*id));
                    prop_assert!(!getter_waits || queue.empty(), "a getter sleeps beside an item");
                    prop_assert!(!putter_waits || queue.full(), "a putter sleeps beside room");
                    prop_assert!(maxsize == 0 || queue.qsize() <= maxsize);
                }
            }
        }
        stepper.run();
        loop {
            while let Ok(item) = queue.get_nowait() {
                taken.borrow_mut().push(item);
            }
            stepper.run();
            if queue.empty() {
                break;
            }
        }
        prop_assert_eq!(&*taken.borrow(), &*accepted.borrow());
    }

    /// Many readers or one writer; survivors are served in order of arrival, and nobody waits who could go in.
    #[test]
    fn rwlock_serves_survivors_in_order_and_leaves_nobody_outside(history in history()) {
        let (mut stepper, lock) = (Stepper::new(), Shared::new(RwLock::new(0)));
        let readers = Rc::new(RefCell::new(Vec::new()));
        let writer = Rc::new(RefCell::new(None));
        let served = Rc::new(RefCell::new(Vec::new()));
        let mut alive = Vec::new();
        for op in history {
            let name = alive.len();
            match op {
                Op::Arrive => {
                    let (lock, readers, writer, served) =
                        (lock.clone(), readers.clone(), writer.clone(), served.clone());
                    alive.push(stepper.spawn(async move {
                        let guard = lock.read_owned().await;
                        assert!(writer.borrow().is_none(), "a reader beside a writer");
                        served.borrow_mut().push((name, false));
                        readers.borrow_mut().push(guard);
                    }));
                }
                Op::Provide => {
                    let (lock, readers, writer, served) =
                        (lock.clone(), readers.clone(), writer.clone(), served.clone());
                    alive.push(stepper.spawn(async move {
                        let mut guard = lock.write_owned().await;
                        assert!(readers.borrow().is_empty(), "a writer beside readers");
                        *guard += 1;
                        served.borrow_mut().push((name, true));
                        assert!(writer.borrow_mut().replace(guard).is_none(), "two writers");
                    }));
                }
                Op::GiveBack => {
                    let (reader, writer) = (readers.borrow_mut().pop(), writer.borrow_mut().take());
                    drop((reader, writer));
                }
                Op::Drop(k) if !alive.is_empty() => stepper.cancel(alive[k % alive.len()]),
                Op::Drop(_) => {}
                Op::DropReady => stepper.drop_ready(),
                Op::Step => drop(stepper.step()),
                Op::Run => {
                    stepper.run();
                    let waits = alive.iter().any(|id| !stepper.ended(*id));
                    let free = readers.borrow().is_empty() && writer.borrow().is_none();
                    prop_assert!(!(waits && free), "somebody waits for a free lock");
                    prop_assert_eq!(lock.try_write().is_some(), free);
                }
            }
        }
        stepper.run();
        // Readers go in together, in whatever order they then run; nobody passes a writer, and no writer passes anybody.
        let served = served.borrow();
        for (at, (writer, _)) in served.iter().enumerate().filter(|(_, (_, writes))| *writes) {
            prop_assert!(served[..at].iter().all(|(name, _)| name < writer), "{served:?}");
            prop_assert!(served[at + 1..].iter().all(|(name, _)| name > writer), "{served:?}");
        }
    }

    /// The numbers of a round are distinct whoever goes away, and everybody who is left is either through or waiting.
    #[test]
    fn barrier_gives_distinct_numbers_and_keeps_count(parties in 1usize..4, history in history()) {
        let (mut stepper, barrier) = (Stepper::new(), Shared::new(Barrier::new(parties).unwrap()));
        let through = Rc::new(RefCell::new(Vec::new()));
        let mut alive = Vec::new();
        for op in history {
            match op {
                Op::Arrive | Op::Provide => {
                    let (barrier, through) = (barrier.clone(), through.clone());
                    alive.push(stepper.spawn(async move {
                        if let Ok(index) = barrier.wait().await {
                            let mut through = through.borrow_mut();
                            if index == parties - 1 {
                                through.clear(); // the last to arrive begins the way out of a round
                            }
                            assert!(!through.contains(&index), "{index} twice");
                            through.push(index);
                        }
                    }));
                }
                Op::GiveBack => barrier.reset(),
                Op::Drop(k) if !alive.is_empty() => stepper.cancel(alive[k % alive.len()]),
                Op::Drop(_) => {}
                Op::DropReady => stepper.drop_ready(),
                Op::Step => drop(stepper.step()),
                Op::Run => {
                    stepper.run();
                    let waits = alive.iter().filter(|id| !stepper.ended(**id)).count();
                    prop_assert_eq!(barrier.n_waiting(), waits);
                    prop_assert!(waits < parties);
                }
            }
        }
    }
}
