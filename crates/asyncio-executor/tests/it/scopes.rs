//! Scopes in combinators: several of them in one task, moved, kept, forgotten.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio_executor::{
    CancelledError, CatchCancelled, Executor, cancelling, catch_cancelled, current_task, finally,
    raise_cancelled, uncancel, yield_now,
};
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};

use crate::support::{Gate, Trace, forget, poll_once, settle, turn};

type Caught = Result<(), CancelledError>;
type BoxedScope = Pin<Box<CatchCancelled<Pin<Box<dyn Future<Output = ()>>>>>>;

fn boxed_scope(body: impl Future<Output = ()> + 'static) -> BoxedScope {
    Box::pin(catch_cancelled(
        Box::pin(body) as Pin<Box<dyn Future<Output = ()>>>
    ))
}

#[test]
fn every_branch_of_a_join_hears_a_request_once() {
    let executor = Executor::new();
    let task = executor.spawn(async {
        let branch = || async {
            let first = catch_cancelled(std::future::pending::<()>()).await.is_err();
            let second = catch_cancelled(yield_now()).await.is_err();
            (first, second)
        };
        let both = futures_util::join!(branch(), branch());
        (both, cancelling())
    });
    turn(&executor);
    task.cancel();
    settle(&executor);
    assert_eq!(
        task.try_take().unwrap().unwrap(),
        (((true, false), (true, false)), 1)
    );
}

#[test]
fn a_branch_without_scopes_goes_on() {
    let executor = Executor::new();
    let (gate, wait) = {
        let gate = Gate::default();
        (gate.clone(), gate)
    };
    let task = executor.spawn(async move {
        futures_util::join!(
            async { catch_cancelled(std::future::pending::<()>()).await.is_err() },
            wait.wait()
        )
    });
    turn(&executor);
    task.cancel();
    settle(&executor);
    assert!(!task.done());
    executor.enter(|| gate.open());
    settle(&executor);
    assert_eq!(task.try_take().unwrap().unwrap(), (true, ()));
}

#[test]
fn scopes_in_futures_unordered_are_woken_through_their_own_wakers() {
    let executor = Executor::new();
    let task = executor.spawn(async {
        let mut children: FuturesUnordered<_> = (0..5)
            .map(|n| async move {
                let caught = catch_cancelled(std::future::pending::<()>()).await.is_err();
                yield_now().await;
                (n, caught)
            })
            .collect();
        let mut ended = Vec::new();
        while let Some(child) = children.next().await {
            ended.push(child);
        }
        ended.sort_unstable();
        ended
    });
    turn(&executor);
    task.cancel();
    settle(&executor);
    assert_eq!(
        task.try_take().unwrap().unwrap(),
        [(0, true), (1, true), (2, true), (3, true), (4, true)]
    );
}

#[test]
fn a_branch_polled_before_the_one_that_cancels_the_task_hears_of_it_too() {
    // The request comes when the first branch has been polled for this time: the task is polled once more for it.
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    let task = executor.spawn(async move {
        let log = &log;
        futures_util::join!(
            async {
                let caught = catch_cancelled(std::future::pending::<()>()).await;
                log.log(format!("first {}", caught.is_err()));
            },
            async {
                yield_now().await;
                let caught = catch_cancelled(async {
                    current_task().unwrap().cancel();
                    std::future::pending::<()>().await;
                })
                .await;
                log.log(format!("second {}", caught.is_err()));
                std::future::pending::<()>().await;
            }
        )
    });
    settle(&executor);
    assert_eq!(trace.take(), ["second true", "first true"]);
    assert!(!task.done());
}

#[test]
fn a_request_goes_to_the_innermost_scope_and_no_further_unless_raised() {
    let executor = Executor::new();
    let trace = Trace::default();
    for raise in [false, true] {
        let log = trace.clone();
        let task = executor.spawn(async move {
            let outer = catch_cancelled(async {
                let inner = catch_cancelled(std::future::pending::<()>()).await;
                log.log(format!("inner {}", inner.is_err()));
                if raise {
                    inner.unwrap_err().propagate::<()>().await;
                }
            })
            .await;
            log.log(format!("outer {}", outer.is_err()));
        });
        turn(&executor);
        task.cancel();
        settle(&executor);
        assert!(task.done() && !task.cancelled());
        assert_eq!(
            trace.take(),
            ["inner true".to_owned(), format!("outer {raise}")]
        );
    }
}

#[test]
fn a_raise_in_one_branch_unwinds_the_scope_around_the_combinator() {
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    let task = executor.spawn(async move {
        let (a, b) = (log.on_drop("a dropped"), log.on_drop("b dropped"));
        let caught = catch_cancelled(async {
            futures_util::join!(
                async move {
                    let _a = a;
                    // A scope of its own does not protect this branch.
                    let _ = catch_cancelled(std::future::pending::<()>()).await;
                },
                async move {
                    let _b = b;
                    yield_now().await;
                    raise_cancelled::<()>().await;
                }
            )
        })
        .await;
        log.log(format!("caught {}", caught.is_err()));
    });
    settle(&executor);
    assert_eq!(trace.take(), ["b dropped", "a dropped", "caught true"]);
    assert!(task.done());
}

#[test]
fn a_request_aimed_at_a_scope_stays_in_its_subtree() {
    let executor = Executor::new();
    let gate = Gate::default();
    let wait = gate.clone();
    let trace = Trace::default();
    let log = trace.clone();
    let task = executor.spawn(async move {
        let log = &log;
        let aimed = async {
            let mut scope = std::pin::pin!(catch_cancelled(async {
                let inner = catch_cancelled(std::future::pending::<()>()).await;
                log.log(format!("inner {:?}", inner.as_ref().unwrap_err()));
                inner.unwrap_err().propagate::<()>().await;
            }));
            let mut timer = std::pin::pin!(wait.wait());
            let mut fired = false;
            let ended = std::future::poll_fn(|cx| {
                if !fired && timer.as_mut().poll(cx).is_ready() {
                    fired = true;
                    scope
                        .as_mut()
                        .request(CancelledError::with_message("timeout"));
                }
                scope.as_mut().poll(cx)
            })
            .await;
            log.log(format!("aimed {:?}, count {}", ended, cancelling()));
            assert_eq!(uncancel(), 0);
        };
        let other = async {
            let caught = catch_cancelled(async {
                for _ in 0..4 {
                    yield_now().await;
                }
            })
            .await;
            log.log(format!("other {caught:?}"));
        };
        futures_util::join!(aimed, other);
    });
    turn(&executor);
    executor.enter(|| gate.open());
    settle(&executor);
    assert_eq!(
        trace.take(),
        [
            "inner CancelledError(\"timeout\")",
            "aimed Err(CancelledError(\"timeout\")), count 1",
            "other Ok(())",
        ]
    );
    assert_eq!(task.cancelling(), 0);
}

#[test]
fn a_request_aimed_at_a_scope_from_outside_of_its_task_wakes_it() {
    let executor = Executor::new();
    let scope: Rc<RefCell<BoxedScope>> = Rc::new(RefCell::new(boxed_scope(std::future::pending())));
    let polled = scope.clone();
    let task = executor.spawn(async move {
        std::future::poll_fn(move |cx| polled.borrow_mut().as_mut().poll(cx)).await
    });
    // Without effect before the first poll.
    scope.borrow_mut().as_mut().request(CancelledError::new());
    turn(&executor);
    assert_eq!(task.cancelling(), 0);
    scope
        .borrow_mut()
        .as_mut()
        .request(CancelledError::with_message("now"));
    assert_eq!(task.cancelling(), 1);
    settle(&executor);
    let caught = executor.enter(|| task.try_take()).unwrap().unwrap();
    assert_eq!(caught.unwrap_err().message(), Some("now"));
    // Without effect after the end.
    scope.borrow_mut().as_mut().request(CancelledError::new());
}

#[test]
fn a_scope_outside_of_any_task_only_awaits() {
    let mut scope = std::pin::pin!(catch_cancelled(yield_now()));
    assert!(poll_once(scope.as_mut()).is_pending());
    scope.as_mut().request(CancelledError::new());
    assert!(matches!(poll_once(scope.as_mut()), Poll::Ready(Ok(()))));

    let executor = Executor::new();
    let seen = Trace::default();
    let log = seen.clone();
    executor.call_soon(move || {
        let mut scope = std::pin::pin!(catch_cancelled(std::future::ready(1)));
        log.log(format!("{:?}", poll_once(scope.as_mut())));
    });
    settle(&executor);
    assert_eq!(seen.take(), ["Ready(Ok(1))"]);
}

#[test]
fn a_scope_that_moved_to_another_task_answers_to_that_one() {
    let executor = Executor::new();
    let gate = Gate::default();
    let slot: Rc<RefCell<Option<BoxedScope>>> =
        Rc::new(RefCell::new(Some(boxed_scope(gate.wait()))));
    let first_slot = slot.clone();
    let first = executor.spawn(async move {
        std::future::poll_fn(|cx| match first_slot.borrow_mut().as_mut() {
            Some(scope) => scope.as_mut().poll(cx).map(|_| ()),
            None => Poll::Pending,
        })
        .await;
    });
    turn(&executor);
    // Asked, and then moved before it was polled for it.
    first.cancel();
    let scope = slot.take().unwrap();
    let second = executor.spawn(async move {
        let caught: Caught = scope.await;
        (caught.is_err(), cancelling())
    });
    settle(&executor);
    assert!(first.cancelled(), "the mark stayed with the first task");
    assert!(!second.done());
    second.cancel();
    settle(&executor);
    assert_eq!(second.try_take().unwrap().unwrap(), (true, 1));
}

#[test]
fn a_scope_outlives_its_task_and_is_polled_elsewhere() {
    let executor = Executor::new();
    for again_in_a_task in [false, true] {
        let gate = Gate::default();
        let slot: Rc<RefCell<Option<BoxedScope>>> =
            Rc::new(RefCell::new(Some(boxed_scope(gate.wait()))));
        let polled = slot.clone();
        let task = executor.spawn(async move {
            std::future::poll_fn(|cx| {
                let mut slot = polled.borrow_mut();
                assert!(slot.as_mut().unwrap().as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        });
        settle(&executor);
        assert!(task.done());
        drop(task);
        gate.open();
        let mut scope = slot.take().unwrap();
        scope.as_mut().request(CancelledError::new());
        if again_in_a_task {
            assert!(executor.run(scope).unwrap().is_ok());
        } else {
            assert!(matches!(poll_once(scope.as_mut()), Poll::Ready(Ok(()))));
        }
    }
}

#[test]
fn a_scope_kept_but_not_polled_does_not_swallow_a_request() {
    let executor = Executor::new();
    let trace = Trace::default();
    // With another scope around the place where the task is.
    let log = trace.clone();
    let task = executor.spawn(async move {
        let mut kept = std::pin::pin!(catch_cancelled(std::future::pending::<()>()));
        let Either::Right(_) = select(kept.as_mut(), std::pin::pin!(yield_now())).await else {
            unreachable!("it waits");
        };
        let caught = catch_cancelled(std::future::pending::<()>()).await;
        log.log(format!("caught {}", caught.is_err()));
    });
    settle(&executor);
    task.cancel();
    settle(&executor);
    assert_eq!(trace.take(), ["caught true"]);
    assert!(task.done() && !task.cancelled());
    // Without one.
    let task = executor.spawn(async move {
        let mut kept = std::pin::pin!(catch_cancelled(std::future::pending::<()>()));
        select(kept.as_mut(), std::pin::pin!(yield_now())).await;
        std::future::pending::<()>().await;
    });
    settle(&executor);
    task.cancel();
    settle(&executor);
    assert!(task.cancelled());
}

#[test]
fn a_scope_kept_from_within_another_is_not_in_its_way() {
    // The kept one hangs under a scope that goes on without it.
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    let task = executor.spawn(async move {
        let kept = RefCell::new(boxed_scope(std::future::pending()));
        let caught = catch_cancelled(async {
            std::future::poll_fn(|cx| {
                assert!(kept.borrow_mut().as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            std::future::pending::<()>().await;
        })
        .await;
        log.log(format!("outer {}", caught.is_err()));
        let quiet = catch_cancelled(yield_now()).await;
        log.log(format!("quiet {}", quiet.is_ok()));
    });
    settle(&executor);
    task.cancel();
    settle(&executor);
    assert_eq!(trace.take(), ["outer true", "quiet true"]);
    assert!(task.done());
}

#[test]
fn a_forgotten_scope_does_not_swallow_a_request() {
    let executor = Executor::new();
    let task = executor.spawn(async {
        let mut scope = boxed_scope(std::future::pending());
        std::future::poll_fn(|cx| {
            assert!(scope.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        forget(scope);
        catch_cancelled(std::future::pending::<()>()).await.is_err()
    });
    turn(&executor);
    task.cancel();
    settle(&executor);
    assert!(task.try_take().unwrap().unwrap());
}

#[test]
fn a_losing_arm_of_a_select_is_dropped_and_hears_nothing() {
    let executor = Executor::new();
    let trace = Trace::default();
    let (log, token) = (trace.clone(), trace.on_drop("arm dropped"));
    let value = executor.run(async move {
        let arm = finally(
            async move {
                let _token = token;
                std::future::pending::<()>().await;
            },
            async { unreachable!("dropping is not a request") },
        );
        select(Box::pin(arm), Box::pin(yield_now())).await;
        log.log("the select is over");
        catch_cancelled(yield_now()).await.is_ok()
    });
    assert!(value.unwrap());
    assert_eq!(trace.take(), ["arm dropped", "the select is over"]);
}

#[test]
fn a_request_while_a_nested_scope_begins_to_be_polled_is_taken_by_that() {
    // S50: the innermost scope at the suspension takes it.
    let executor = Executor::new();
    let trace = Trace::default();
    let log = trace.clone();
    let task = executor.spawn(async move {
        let outer = catch_cancelled(async {
            current_task().unwrap().cancel();
            let inner = catch_cancelled(yield_now()).await;
            log.log(format!("inner {}", inner.is_err()));
        })
        .await;
        log.log(format!("outer {}", outer.is_err()));
    });
    settle(&executor);
    assert_eq!(trace.take(), ["inner true", "outer false"]);
    assert!(task.done());
}

#[test]
fn two_hundred_nested_scopes_unwind_one_by_one() {
    let executor = Executor::new();
    let trace = Trace::default();
    fn nest(depth: usize, trace: Trace) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(async move {
            if depth == 0 {
                return std::future::pending::<()>().await;
            }
            let log = trace.clone();
            finally(nest(depth - 1, trace), async move {
                yield_now().await;
                log.log(format!("{depth}"));
            })
            .await;
        })
    }
    let task = executor.spawn(nest(200, trace.clone()));
    turn(&executor);
    task.cancel();
    settle(&executor);
    assert!(task.cancelled());
    assert!(
        trace
            .take()
            .into_iter()
            .eq((1..=200).map(|n| n.to_string()))
    );
}

#[test]
fn a_panic_in_a_body_leaves_the_tree_in_order() {
    let executor = Executor::new();
    let task = executor.spawn(async {
        let caught = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(
            catch_cancelled(async {
                let _inner = catch_cancelled(async {
                    yield_now().await;
                    panic!("inside");
                })
                .await;
            }),
        ))
        .await
        .is_err();
        // A request finds no remains of the two.
        let heard = catch_cancelled(std::future::pending::<()>()).await.is_err();
        (caught, heard)
    });
    settle(&executor);
    task.cancel();
    settle(&executor);
    assert_eq!(task.try_take().unwrap().unwrap(), (true, true));
}

#[test]
fn a_scope_polled_after_it_ended_panics_and_the_task_takes_it() {
    let executor = Executor::new();
    let outcome = executor.run(async {
        let mut scope = std::pin::pin!(catch_cancelled(std::future::ready(())));
        scope.as_mut().await.unwrap();
        scope.as_mut().await.unwrap();
    });
    assert!(outcome.unwrap_err().is_panic());
}
