//! Who is woken, how often, and with what held.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::Write;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};

use asyncio_reactor::{Reactor, Source};

use crate::support::{Task, look_around, unix_pair, wait_for_wakes};

#[test]
fn two_tasks_in_one_direction_are_both_woken_and_do_not_chase_each_other() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    let tasks = [Task::new(), Task::new()];
    let (mut a, mut b) = ([0; 1], [0; 1]);
    let (mut first, mut second) = (pin!(ours.recv(&mut a)), pin!(ours.recv(&mut b)));
    assert!(tasks[0].poll(first.as_mut()).is_pending());
    assert!(tasks[1].poll(second.as_mut()).is_pending());
    look_around(&reactor);
    assert_eq!(
        [tasks[0].wakes(), tasks[1].wakes()],
        [0, 0],
        "neither pushes the other out"
    );
    theirs.write_all(b"x").unwrap();
    wait_for_wakes(&reactor, &tasks[0], 1);
    assert_eq!(tasks[1].wakes(), 1);
    // The first gets the byte, the second waits on, and hears of the next one.
    assert!(matches!(tasks[0].poll(first), Poll::Ready(Ok(1))));
    assert!(tasks[1].poll(second.as_mut()).is_pending());
    theirs.write_all(b"y").unwrap();
    wait_for_wakes(&reactor, &tasks[1], 2);
    assert!(matches!(tasks[1].poll(second), Poll::Ready(Ok(1))));
}

#[test]
fn polling_again_with_the_same_waker_parks_it_once() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    let task = Task::new();
    let mut buffer = [0; 8];
    let mut recv = pin!(ours.recv(&mut buffer));
    for _ in 0..10 {
        assert!(task.poll(recv.as_mut()).is_pending());
    }
    theirs.write_all(b"x").unwrap();
    wait_for_wakes(&reactor, &task, 1);
    assert_eq!(task.wakes(), 1);
}

#[test]
fn wakers_are_called_in_the_order_of_the_events() {
    struct Named(usize, Arc<std::sync::Mutex<Vec<usize>>>);
    impl Wake for Named {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let order = Arc::default();
    let mut pairs: Vec<_> = (0..5).map(|_| unix_pair()).collect();
    for (index, (ours, _)) in pairs.iter().enumerate() {
        let waker = Waker::from(Arc::new(Named(index, Arc::clone(&order))));
        assert!(
            ours.poll_recv(&mut Context::from_waker(&waker), &mut [0; 8])
                .is_pending()
        );
    }
    look_around(&reactor);
    for index in [3, 0, 4, 1, 2] {
        pairs[index].1.write_all(b"x").unwrap();
    }
    look_around(&reactor);
    assert_eq!(*order.lock().unwrap(), [3, 0, 4, 1, 2]);
}

#[test]
fn a_source_that_is_dropped_wakes_nobody() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, _theirs) = unix_pair();
    let task = Task::new();
    assert!(task.poll(pin!(ours.recv(&mut [0; 8]))).is_pending());
    drop(ours);
    look_around(&reactor);
    assert_eq!(task.wakes(), 0);
    assert_eq!(Arc::strong_count(&task), 1, "and keeps no waker");
}

#[test]
fn an_owner_can_wake_those_who_wait_in_both_directions() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, _theirs) = unix_pair();
    let (reading, writing) = (Task::new(), Task::new());
    assert!(reading.poll(pin!(ours.recv(&mut [0; 8]))).is_pending());
    while ours.try_send(&[0; 4096]).is_ok() {}
    assert!(writing.poll(pin!(ours.send(b"x"))).is_pending());
    ours.wake_all();
    assert_eq!([reading.wakes(), writing.wakes()], [1, 1]);
    ours.wake_all();
    assert_eq!([reading.wakes(), writing.wakes()], [1, 1], "once each");
}

/// A waker made of an `Rc`, whose drop and wake run code of the test's: such as using the reactor.
fn local_waker(on_wake: impl Fn() + 'static, on_drop: impl Fn() + 'static) -> Waker {
    struct Hooks {
        wake: Box<dyn Fn()>,
        drop: Box<dyn Fn()>,
    }
    impl Drop for Hooks {
        fn drop(&mut self) {
            (self.drop)();
        }
    }
    const VTABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: every pointer with this table comes from `Rc::into_raw`; the tests use it on
            // one thread only.
            unsafe { Rc::increment_strong_count(data.cast::<Hooks>()) };
            RawWaker::new(data, &VTABLE)
        },
        |data| {
            // SAFETY: as above; waking by value gives up the reference.
            let hooks = unsafe { Rc::from_raw(data.cast::<Hooks>()) };
            (hooks.wake)();
        },
        |data| {
            // SAFETY: as above; waking by reference keeps it.
            unsafe { ((*data.cast::<Hooks>()).wake)() }
        },
        |data| {
            // SAFETY: as above.
            drop(unsafe { Rc::from_raw(data.cast::<Hooks>()) });
        },
    );
    let hooks = Rc::new(Hooks {
        wake: Box::new(on_wake),
        drop: Box::new(on_drop),
    });
    // SAFETY: the table above keeps the contract of `RawWaker`, on one thread.
    unsafe { Waker::from_raw(RawWaker::new(Rc::into_raw(hooks).cast(), &VTABLE)) }
}

#[test]
fn wakers_are_called_and_dropped_with_no_borrow_held() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (first, mut theirs) = unix_pair();
    let (second, _theirs) = unix_pair();
    assert!(
        Task::new()
            .poll(pin!(second.recv(&mut [0; 8])))
            .is_pending()
    );
    let second = Rc::new(RefCell::new(Some(second)));
    let wakes = Rc::new(Cell::new(0));
    let waker = {
        let (reactor, second, wakes) = (reactor.clone(), second.clone(), wakes.clone());
        let in_drop = reactor.clone();
        local_waker(
            move || {
                wakes.set(wakes.get() + 1);
                // Everything one can do with a reactor, from within a waker.
                second.borrow_mut().take();
                let (fresh, _peer) = unix_pair();
                assert!(Task::new().poll(pin!(fresh.recv(&mut [0; 8]))).is_pending());
                look_around(&reactor);
            },
            move || {
                let (fresh, _peer) = unix_pair();
                assert!(Task::new().poll(pin!(fresh.recv(&mut [0; 8]))).is_pending());
                look_around(&in_drop);
            },
        )
    };
    assert!(
        first
            .poll_recv(&mut Context::from_waker(&waker), &mut [0; 8])
            .is_pending()
    );
    theirs.write_all(b"x").unwrap();
    while wakes.get() == 0 {
        reactor.wait(None).unwrap();
    }
    assert!(second.borrow().is_none());
    // And dropped by the source's own drop.
    assert_eq!(first.try_recv(&mut [0; 8]).unwrap(), 1);
    assert!(
        first
            .poll_recv(&mut Context::from_waker(&waker), &mut [0; 8])
            .is_pending()
    );
    drop(waker);
    drop(first);
}

#[test]
fn a_waker_that_panics_does_not_swallow_the_wakes_after_it() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (first, mut theirs) = unix_pair();
    let (second, mut their_second) = unix_pair();
    let bad = local_waker(|| panic!("a bad waker"), || ());
    let good = Task::new();
    assert!(
        first
            .poll_recv(&mut Context::from_waker(&bad), &mut [0; 8])
            .is_pending()
    );
    assert!(good.poll(pin!(second.recv(&mut [0; 8]))).is_pending());
    look_around(&reactor);
    theirs.write_all(b"x").unwrap();
    their_second.write_all(b"x").unwrap();
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| look_around(&reactor)));
    assert!(result.is_err());
    assert_eq!(good.wakes(), 1);
}

#[test]
fn a_future_that_owns_its_source_may_be_dropped_by_the_last_waker() {
    // The last reference to a task may be the waker parked in the reactor: dropping the reactor
    // drops the waker, which drops the task, which drops the source that is registered with the
    // reactor.
    let reactor = Reactor::new().unwrap();
    let entered = reactor.enter();
    let (ours, _theirs) = unix_pair();
    let ours = Rc::new(ours);
    let kept = RefCell::new(Some(ours.clone()));
    let waker = local_waker(|| (), move || drop(kept.take()));
    assert!(
        ours.poll_recv(&mut Context::from_waker(&waker), &mut [0; 8])
            .is_pending()
    );
    drop((waker, ours));
    drop(entered);
    drop(reactor);
}

#[test]
fn sources_work_with_a_boxed_future_as_well() {
    // What an executor does: the future is boxed and owns its source.
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = unix_pair();
    theirs.write_all(b"boxed").unwrap();
    let future: Pin<Box<dyn Future<Output = (Source<_>, usize)>>> = Box::pin(async move {
        let n = ours.recv(&mut [0; 8]).await.unwrap();
        (ours, n)
    });
    assert_eq!(reactor.block_on(future).1, 5);
}
