//! Safe code that does what nobody should: it may panic or wait for ever, but nothing dangles, and the loop goes on.

use std::cell::{Cell, RefCell};
use std::future::IntoFuture;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use asyncio_executor::{
    CancelledError, Executor, Forward, ForwardScope, Join, Task, TurnEnd, all_tasks, at_turn_end,
    call_soon, catch_cancelled, current_task, spawn, yield_now,
};

use crate::support::{Drops, HomeDrops, OnDrop, Trace, forget, poll_once, reports, settle, turn};

/// A waker that runs a closure on its own thread.
fn waker(f: impl Fn() + 'static) -> Waker {
    struct Run(Box<dyn Fn()>, thread::ThreadId);
    // Asserted at run time.
    struct Sendable(Run);
    impl Wake for Sendable {
        fn wake(self: Arc<Self>) {
            let Run(f, home) = &self.0;
            assert_eq!(thread::current().id(), *home);
            f();
        }
    }
    // SAFETY: the tests that use it keep the waker on the thread that made it; `wake` checks that.
    unsafe impl Send for Sendable {}
    // SAFETY: as above.
    unsafe impl Sync for Sendable {}
    Waker::from(Arc::new(Sendable(Run(Box::new(f), thread::current().id()))))
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

/// A leaf that awaits something that can be asked to end.
struct Leaf {
    scope: ForwardScope,
    hook: Rc<dyn Forward>,
    over: bool,
}

impl Leaf {
    fn new(hook: impl Forward + 'static) -> Leaf {
        Leaf {
            scope: ForwardScope::new(),
            hook: Rc::new(hook),
            over: false,
        }
    }
}

impl Future for Leaf {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.over {
            return Poll::Pending;
        }
        if let Some(request) = this.scope.take_request() {
            this.over = true;
            return request.raise_in_poll();
        }
        let hook = this.hook.clone();
        this.scope.suspend(cx, || hook);
        Poll::Pending
    }
}

/// A hook made of two closures.
struct Hooks<F, S>(F, S);

impl<F: Fn() -> bool, S: Fn() -> bool> Forward for Hooks<F, S> {
    fn forward(&self, _request: &CancelledError) -> bool {
        (self.0)()
    }

    fn is_settled(&self) -> bool {
        (self.1)()
    }
}

#[test]
fn run_ready_without_enter_enters_by_itself() {
    let executor = Executor::new();
    let task = executor.spawn(async { current_task().is_some() });
    assert_eq!(executor.run_ready(), 1);
    assert!(task.try_take().unwrap().unwrap());
    assert_eq!(executor.all_tasks().len(), 0);
}

#[test]
fn run_ready_within_a_task_of_another_executor_steps_its_own_tasks() {
    let outer = Executor::new();
    let inner = Executor::new();
    let task = inner.spawn(async { current_task().unwrap().id() });
    let id = task.id();
    let ended = outer.run(async move {
        let me = current_task().unwrap();
        assert_eq!(inner.run_ready(), 1);
        assert_eq!(current_task().unwrap(), me);
        yield_now().await;
        assert_eq!(inner.all_tasks().len(), 0);
        task.try_take().unwrap().unwrap()
    });
    assert_eq!(ended.unwrap(), id);
    assert_eq!(outer.all_tasks().len(), 0);
}

#[test]
fn an_executor_run_within_its_own_task_steps_the_others() {
    let executor = Rc::new(Executor::new());
    let inner = executor.clone();
    let value = executor.run(async move {
        let me = current_task().unwrap();
        let other = spawn(yield_now());
        inner.run(yield_now()).unwrap();
        assert!(other.done());
        assert_eq!(current_task().unwrap(), me);
        // Scopes and raises still find their task.
        catch_cancelled(asyncio_executor::raise_cancelled::<()>())
            .await
            .is_err()
    });
    assert!(value.unwrap());
}

#[test]
fn a_waker_that_looks_around_when_a_detached_task_ends_finds_no_task() {
    // The awaiter is woken after the task's memory may be gone.
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    let waker = waker(move || {
        log.log(format!("{:?}", current_task().is_none()));
        spawn(async {}).detach();
    });
    let mut task = executor.spawn(yield_now());
    assert!(
        task.poll_outcome(&mut Context::from_waker(&waker))
            .is_pending()
    );
    task.detach();
    settle(&executor);
    assert_eq!(trace.take(), ["true"]);
    assert_eq!(executor.stats().living, 0);
}

#[test]
fn a_handler_that_polls_scopes_leaves_none_behind_in_the_ended_task() {
    // The last reference of the task goes away on another thread, where no scope may be.
    let executor = Executor::new();
    let kept: Rc<RefCell<Vec<_>>> = Rc::default();
    let keep = kept.clone();
    executor.set_exception_handler(Some(Rc::new(move |_| {
        let mut scope = Box::pin(catch_cancelled(std::future::pending::<()>()));
        assert!(poll_once(scope.as_mut()).is_pending());
        keep.borrow_mut().push(scope);
    })));
    let (send, receive) = mpsc::channel();
    executor
        .spawn(async move {
            std::future::poll_fn(move |cx| {
                send.send(cx.waker().clone()).unwrap();
                Poll::Ready(())
            })
            .await;
            panic!("reported");
        })
        .detach();
    settle(&executor);
    let waker = receive.recv().unwrap();
    thread::spawn(move || drop(waker)).join().unwrap();
    assert_eq!(kept.borrow().len(), 1);
    kept.borrow_mut().clear();
}

#[test]
fn an_outcome_whose_destructor_polls_scopes_is_harmless() {
    struct Curious(Rc<RefCell<Vec<Boxed>>>);
    impl Drop for Curious {
        fn drop(&mut self) {
            let mut scope: Boxed = Box::pin(async {
                let _ = catch_cancelled(std::future::pending::<()>()).await;
            });
            assert!(poll_once(scope.as_mut()).is_pending());
            self.0.borrow_mut().push(scope);
        }
    }
    let executor = Executor::new();
    let kept: Rc<RefCell<Vec<_>>> = Rc::default();
    for in_body in [false, true] {
        let curious = Curious(kept.clone());
        executor
            .spawn(async move {
                yield_now().await;
                if in_body {
                    drop(curious);
                    None
                } else {
                    Some(curious)
                }
            })
            .detach();
        settle(&executor);
    }
    drop(executor);
    assert_eq!(kept.borrow().len(), 2);
    kept.borrow_mut().clear();
}

#[test]
fn a_hook_may_drop_the_scope_it_belongs_to() {
    let executor = Executor::new();
    let slot: Rc<RefCell<Option<Pin<Box<Leaf>>>>> = Rc::default();
    let (drop_it, poll_it) = (slot.clone(), slot.clone());
    *slot.borrow_mut() = Some(Box::pin(Leaf::new(Hooks(
        move || {
            drop(drop_it.take());
            true
        },
        || false,
    ))));
    let task = executor.spawn(async move {
        std::future::poll_fn(|cx| match poll_it.borrow_mut().as_mut() {
            Some(leaf) => leaf.as_mut().poll(cx),
            None => Poll::Pending,
        })
        .await;
    });
    turn(&executor);
    assert!(task.cancel());
    settle(&executor);
    // Nobody is left to hear how that ended.
    assert!(task.cancelled() || task.cancel());
    settle(&executor);
    assert!(task.cancelled());
}

#[test]
fn a_hook_may_end_the_tasks_the_request_is_on_its_way_through() {
    // Outer awaits middle, middle awaits a leaf whose hook runs the loop until outer and middle are gone.
    let executor = Rc::new(Executor::new());
    let drops = Drops::default();
    let (runs, token) = (executor.clone(), drops.token());
    let leaf_gone = Rc::new(Cell::new(false));
    let seen = leaf_gone.clone();
    let middle = executor.spawn(async move {
        let _token = token;
        Leaf::new(Hooks(
            move || {
                seen.set(true);
                for task in all_tasks_of(&runs) {
                    task.cancel();
                }
                settle(&runs);
                false
            },
            || false,
        ))
        .await;
    });
    let token = drops.token();
    let outer = executor.spawn(async move {
        let _token = token;
        let _ = middle.await;
    });
    let reference = executor.enter(|| outer.as_ref()).unwrap();
    outer.detach();
    settle(&executor);
    assert!(reference.cancel());
    drop(reference);
    settle(&executor);
    assert!(leaf_gone.get());
    for task in executor.all_tasks() {
        task.cancel();
    }
    settle(&executor);
    assert_eq!(drops.count(), 2);
    assert_eq!(executor.stats().living, 0);
}

fn all_tasks_of(executor: &Executor) -> Vec<asyncio_executor::TaskRef> {
    executor.all_tasks()
}

#[test]
fn a_hook_may_drop_another_await_of_the_same_task() {
    let executor = Executor::new();
    let (slot, drops) = (Rc::new(RefCell::new(None::<Join<()>>)), Drops::default());
    let (fill, forward, settled) = (slot.clone(), slot.clone(), slot.clone());
    let token = drops.token();
    let task = executor.spawn(async move {
        // Two leaves around an await, so that it is visited after one of them, whatever the order.
        let hooks = |forward: Rc<RefCell<Option<Join<()>>>>,
                     settled: Rc<RefCell<Option<Join<()>>>>| {
            Leaf::new(Hooks(
                move || {
                    drop(forward.take());
                    true
                },
                move || {
                    drop(settled.take());
                    false
                },
            ))
        };
        let first = hooks(forward.clone(), settled.clone());
        let last = hooks(forward, settled);
        *fill.borrow_mut() = Some(
            spawn(async move {
                let _token = token;
                yield_now().await;
            })
            .into_future(),
        );
        let join = std::future::poll_fn(|cx| match fill.borrow_mut().as_mut() {
            Some(join) => Pin::new(join).poll(cx).map(|_| ()),
            None => Poll::Pending,
        });
        futures_util::join!(first, join, last);
    });
    turn(&executor);
    task.cancel();
    settle(&executor);
    assert!(slot.borrow().is_none());
    task.cancel();
    settle(&executor);
    drop(executor);
    assert!(task.done());
    assert_eq!(drops.count(), 1);
}

#[test]
fn panicking_hooks_reach_the_caller_or_the_handler() {
    let executor = Executor::new();
    let seen = reports(&executor);
    let task = executor.spawn(Leaf::new(Hooks(|| panic!("forward"), || true)));
    turn(&executor);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task.cancel()));
    assert_eq!(
        *panic.unwrap_err().downcast_ref::<&str>().unwrap(),
        "forward"
    );
    assert_eq!(task.cancelling(), 1);
    // The mark is still there, and the request can be made again.
    turn(&executor);
    drop(executor);
    assert!(task.done());

    let executor = Executor::new();
    let seen_later = reports(&executor);
    let task = executor.spawn(Leaf::new(Hooks(|| true, || panic!("settled"))));
    turn(&executor);
    task.cancel();
    executor
        .enter(|| task.as_ref().unwrap())
        .set_name("still here");
    // Polled again by somebody.
    let reference = executor.enter(|| task.as_ref()).unwrap();
    drop(reference);
    settle(&executor);
    drop(executor);
    assert!(task.done());
    assert_eq!(seen.take(), [""; 0]);
    let _ = seen_later.take();
}

#[test]
fn a_waker_used_by_a_request_may_come_back_into_the_executor() {
    // A scope polled with a foreign waker: waking it cancels again, spawns, and runs the loop.
    let executor = Rc::new(Executor::new());
    let trace = Trace::default();
    let (log, runs) = (trace.clone(), executor.clone());
    let inside = Rc::new(Cell::new(false));
    let custom = waker(move || {
        if !inside.replace(true) {
            log.log("woken");
            for task in runs.all_tasks() {
                task.cancel();
            }
            runs.spawn(async {}).detach();
            settle(&runs);
            inside.set(false);
        }
    });
    let drops = Drops::default();
    let token = drops.token();
    let task = executor.spawn(async move {
        let _token = token;
        let mut scope = Box::pin(catch_cancelled(std::future::pending::<()>()));
        std::future::poll_fn(move |_| scope.as_mut().poll(&mut Context::from_waker(&custom)))
            .await
            .unwrap_err()
            .propagate::<()>()
            .await;
    });
    settle(&executor);
    let reference = executor.enter(|| task.as_ref()).unwrap();
    task.detach();
    reference.cancel();
    drop(reference);
    settle(&executor);
    assert_eq!(trace.take()[0], "woken");
    assert_eq!(drops.count(), 1);
    assert_eq!(executor.stats().living, 0);
}

#[test]
fn a_panicking_waker_destructor_at_the_end_of_a_task_is_reported() {
    struct Bomb(AtomicBool);
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            if self.0.swap(false, Ordering::SeqCst) {
                panic!("waker");
            }
        }
    }
    let executor = Executor::new();
    let (seen, trace) = (reports(&executor), Trace::default());
    let kept: Rc<RefCell<Option<Boxed>>> = Rc::default();
    let keep = kept.clone();
    let task = executor.spawn(async move {
        let mut scope: Boxed = Box::pin(async {
            let _ = catch_cancelled(std::future::pending::<()>()).await;
        });
        {
            let bomb = Waker::from(Arc::new(Bomb(AtomicBool::new(true))));
            assert!(
                scope
                    .as_mut()
                    .poll(&mut Context::from_waker(&bomb))
                    .is_pending()
            );
        }
        *keep.borrow_mut() = Some(scope);
    });
    let log = trace.clone();
    task.add_done_callback(move || log.log("told"));
    settle(&executor);
    assert_eq!(trace.take(), ["told"]);
    assert_eq!(
        seen.take(),
        ["panic in the destructor of something a task awaited: waker"]
    );
    assert!(executor.enter(|| task.try_take().is_ok()));
}

#[test]
fn forgotten_handles_awaits_and_executors_leak_and_nothing_else() {
    let executor = Executor::new();
    let drops = HomeDrops::default();
    let token = drops.token();
    forget(executor.spawn(async move { drop(token) }));
    let token = drops.token();
    let task = executor.spawn(async move {
        let _token = token;
        let mut join = Box::pin(spawn(yield_now()).into_future());
        std::future::poll_fn(|cx| {
            assert!(join.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        forget(join);
        std::future::pending::<()>().await;
    });
    settle(&executor);
    task.cancel();
    settle(&executor);
    // The forgotten await had passed the request on, and what it awaits has ended long ago.
    assert!(task.cancelled());
    assert_eq!(drops.count(), 2);

    let forgotten = Executor::new();
    let remote = forgotten.remote();
    forgotten.spawn(async {}).detach();
    forget(forgotten);
    remote.call(|| unreachable!("nobody runs it")).unwrap();
    assert_eq!(executor.run(async { 1 }).unwrap(), 1);
}

#[test]
fn done_callbacks_may_drop_the_last_handle_and_take_the_outcome() {
    let executor = Executor::new();
    let drops = Drops::default();
    let slot: Rc<RefCell<Option<Task<_>>>> = Rc::default();
    let (token, last) = (drops.token(), slot.clone());
    let task = executor.spawn(async move {
        yield_now().await;
        token
    });
    task.add_done_callback(move || drop(last.take()));
    *slot.borrow_mut() = Some(task);
    settle(&executor);
    assert_eq!(drops.count(), 1);

    let (token, last) = (drops.token(), slot.clone());
    let task = executor.spawn(async move {
        yield_now().await;
        token
    });
    task.add_done_callback(move || drop(last.take().unwrap().try_take().unwrap().unwrap()));
    *slot.borrow_mut() = Some(task);
    settle(&executor);
    assert_eq!(drops.count(), 2);

    // A callback that owns the handle is a cycle until the task ends.
    let token = drops.token();
    let task = Rc::new(executor.spawn(async move {
        let _token = token;
        std::future::pending::<()>().await;
    }));
    let own = task.clone();
    task.add_done_callback(move || assert!(own.cancelled()));
    settle(&executor);
    task.cancel();
    drop(task);
    settle(&executor);
    assert_eq!(drops.count(), 3);
}

#[test]
fn a_future_that_drops_its_own_handle_and_spawns_in_its_destructor_ends_once() {
    let executor = Executor::new();
    let drops = Drops::default();
    let slot: Rc<RefCell<Option<Task<()>>>> = Rc::default();
    let (own, token, spawned) = (slot.clone(), drops.token(), drops.token());
    *slot.borrow_mut() = Some(executor.spawn(async move {
        let _token = token;
        let _on_drop = OnDrop::new(move || {
            drop(own.take());
            spawn(async move { drop(spawned) }).detach();
            assert!(current_task().is_some());
        });
        yield_now().await;
    }));
    settle(&executor);
    assert!(slot.borrow().is_none());
    assert_eq!(drops.count(), 2);
    assert_eq!(executor.stats().living, 0);
}

#[test]
fn wakes_of_an_executor_that_is_not_the_one_entered_arrive() {
    let (first, second) = (Executor::new(), Executor::new());
    let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
    let keep = kept.clone();
    let task = first.spawn(async move {
        let mut polls = 0;
        std::future::poll_fn(move |cx| {
            polls += 1;
            *keep.borrow_mut() = Some(cx.waker().clone());
            if polls == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    });
    turn(&first);
    second.enter(|| kept.take().unwrap().wake());
    assert_eq!(turn(&first), 1);
    first.enter(|| second.enter(|| first.enter(|| kept.take().unwrap().wake())));
    assert_eq!(turn(&first), 1);
    assert!(task.done());
    assert_eq!(first.stats().foreign, 1);
    // A request to a task of an executor that is not entered arrives, too.
    let task = first.spawn(std::future::pending::<()>());
    turn(&first);
    second.enter(|| task.cancel());
    turn(&first);
    assert!(task.cancelled());
}

#[test]
fn dropping_an_executor_within_another_ones_task_is_harmless() {
    let outer = Executor::new();
    let drops = Drops::default();
    let token = drops.token();
    let count = drops.clone();
    outer
        .run(async move {
            let inner = Executor::new();
            let task = inner.spawn(async move {
                let _token = token;
                std::future::pending::<()>().await;
            });
            inner.run(yield_now()).unwrap();
            drop(inner);
            assert_eq!(count.count(), 1);
            assert!(task.await.unwrap_err().is_cancelled());
            spawn(async {}).await.unwrap();
        })
        .unwrap();
}

#[test]
fn a_panicking_hook_at_the_end_of_a_turn_does_not_lose_the_queue() {
    struct Bomb;
    impl TurnEnd for Bomb {
        fn turn_ended(&self) {
            panic!("turn end");
        }
    }
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    executor.call_soon(move || {
        at_turn_end(Rc::new(Bomb));
        call_soon(move || log.log("next turn"));
    });
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| turn(&executor)));
    assert!(panic.is_err());
    assert!(current_task().is_none() && all_tasks().is_empty());
    turn(&executor);
    assert_eq!(trace.take(), ["next turn"]);
    executor.enter(|| at_turn_end(Rc::new(Bomb)));
    executor.set_exception_handler(Some(Rc::new(|_| ())));
    executor.close();
    assert!(executor.remote().call(|| ()).is_err());
}

#[test]
fn a_task_polled_again_after_its_outcome_was_taken_panics() {
    let executor = Executor::new();
    let outcome = executor.run(async {
        let mut task = spawn(async {});
        (&mut task).await.unwrap();
        (&mut task).await.unwrap();
    });
    let Err(asyncio_executor::TaskError::Panicked(panic)) = outcome else {
        unreachable!("it panics");
    };
    assert_eq!(panic.message(), "`Task` polled after its outcome was taken");
}

#[test]
fn a_spent_handle_is_done_and_says_what_is_wrong_when_it_is_asked_anything_else() {
    let executor = Executor::new();
    let mut task = executor.spawn(async {});
    settle(&executor);
    let taken = task.poll_outcome(&mut Context::from_waker(Waker::noop()));
    assert!(taken.is_ready() && task.done());
    let asked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task.cancelled()));
    let text = *asked.unwrap_err().downcast::<&str>().unwrap();
    assert!(
        text.starts_with("`Task` used after its outcome was taken"),
        "{text}"
    );
    assert_eq!(format!("{task:?}"), "Task(outcome taken)");
}

#[test]
fn a_pender_that_panics_has_its_item_queued_all_the_same() {
    let executor = Executor::with_pender(|| panic!("pender"));
    let remote = executor.remote();
    let ran = Arc::new(AtomicBool::new(false));
    let run = ran.clone();
    let result = thread::spawn(move || remote.call(move || run.store(true, Ordering::SeqCst)));
    assert!(result.join().is_err());
    settle(&executor);
    assert!(ran.load(Ordering::SeqCst));
}
