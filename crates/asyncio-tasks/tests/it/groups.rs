//! `TaskGroup` where its fine print is ours: handles, names, refusals, `cancel`, nesting. S116 to S138 against CPython's
//! traces are in `tests/conformance/task_groups.rs`.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::{Future as StdFuture, pending};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use asyncio_executor::{
    ExceptionContext, all_tasks, cancelling, catch_cancelled, current_task, spawn, yield_now,
};
use asyncio_runtime::{EventLoop, get_running_loop};
use asyncio_tasks::{ExceptionGroup, Future, GroupError, TaskGroup, TimeoutError, gather, timeout};
use asyncio_timers::{Clock, sleep};

use crate::support::{Trace, after, cleans_up, now, run, settle};

type Group = TaskGroup<&'static str>;

#[test]
fn a_child_of_any_type_is_a_value_for_spawn() {
    // S138
    run(async {
        struct Page(Vec<u8>);
        let ended = Group::scope(async |group| {
            let page = group.spawn(async { Page(vec![1, 2]) });
            let result = group.spawn(async { Err::<(), _>(7) }); // no failure: a value
            Ok((page.await.0.len(), result.await))
        });
        assert_eq!(ended.await.unwrap(), (2, Err(7)));
    });
}

#[test]
fn a_panic_is_a_failure_whatever_the_child_returns() {
    // S138
    run(async {
        let failed = Group::scope(async |group| {
            group.spawn(async { panic!("oops") });
            group.create_task(async { Err::<(), _>("no") });
            Ok(())
        });
        let text = failed.await.unwrap_err().to_string();
        assert_eq!(
            text,
            "2 failures in a task group\n├── panicked: oops\n└── no"
        );
    });
}

#[test]
fn a_destructor_that_panics_is_a_failure_too() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("bomb");
        }
    }
    run(async {
        for cancelled in [false, true] {
            let failed = Group::scope(async |group| {
                let bomb = Bomb;
                let child = group.spawn(async move {
                    let _bomb = &bomb;
                    if cancelled {
                        pending::<()>().await;
                    }
                });
                yield_now().await;
                child.cancel();
                Ok(())
            });
            let text = failed.await.unwrap_err().to_string();
            assert_eq!(text, "1 failure in a task group\n└── panicked: bomb");
        }
    });
}

#[test]
fn a_task_elsewhere_that_awaits_a_failing_child_is_cancelled() {
    run(async {
        let elsewhere = Rc::new(Cell::new(None));
        let out = elsewhere.clone();
        let failed = Group::scope(async move |group| {
            let child = group.create_task(async {
                sleep(1).await;
                Err::<u8, _>("failed")
            });
            let awaits = spawn(async move { child.await });
            out.set(Some(awaits));
            pending().await
        });
        let failed: Result<(), _> = failed.await;
        assert_eq!(failed.unwrap_err().leaves().count(), 1);
        let awaits = elsewhere.take().unwrap();
        assert_eq!(awaits.cancelling(), 0);
        assert!(awaits.await.unwrap_err().is_cancelled());
        assert_eq!(now(), 1.0);
    });
}

#[test]
fn a_child_that_failed_before_it_is_awaited_raises_at_once() {
    run(async {
        let failed: Result<(), _> = Group::scope(async |group| {
            let child = group.create_task(async { Err::<(), _>("failed") });
            assert!(catch_cancelled(yield_now()).await.is_ok());
            // Ended in this turn; the group hears of it in the next.
            assert!(child.done());
            assert!(catch_cancelled(child).await.is_err());
            Ok(())
        })
        .await;
        assert!(failed.is_err());
        assert_eq!(cancelling(), 0);
    });
}

#[test]
fn a_body_that_went_on_does_not_hang_on_a_child_that_failed() {
    // S119
    run(async {
        let failed: Result<(), _> = Group::scope(async |group| {
            let mut child = group.create_task(async { Err::<(), _>("failed") });
            assert!(catch_cancelled(&mut child).await.is_err());
            assert!(catch_cancelled(child).await.is_err()); // again, and not for ever
            Ok(())
        })
        .await;
        assert_eq!(failed.unwrap_err().errors().len(), 1);
    });
}

#[test]
fn an_awaited_child_hears_of_a_request_to_the_body_and_is_waited_for() {
    // S62, S125
    run(async {
        let trace = Trace::default();
        let (log, child_log) = (trace.clone(), trace.clone());
        let task = spawn(async move {
            let group = Group::scope::<(), _>(async |group| {
                let child = group.spawn(cleans_up::<()>(child_log, "child", 2.0));
                let caught = catch_cancelled(child).await;
                log.log(format!("body hears at {}: {}", now(), caught.is_err()));
                caught.unwrap_err().propagate().await
            });
            group.await
        });
        sleep(1).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(
            trace,
            ["child cleans up", "child is clean", "body hears at 3: true"]
        );
    });
}

#[test]
fn awaited_by_reference_a_child_is_left_alone() {
    run(async {
        let value = Group::scope(async |group| {
            let mut child = group.spawn(after(2.0, "value"));
            assert_eq!(timeout(1, &mut child).await, Err(TimeoutError));
            assert!(!child.done());
            Ok(child.await)
        });
        assert_eq!(value.await.unwrap(), "value");
    });
}

#[test]
fn a_child_that_was_cancelled_raises_where_it_is_awaited_and_fails_nothing() {
    // S122
    run(async {
        let ended = Group::scope(async |group| {
            let child = group.spawn(pending::<()>()).name("idle");
            assert_eq!(child.get_name(), "idle");
            yield_now().await;
            assert!(child.cancel_with("enough"));
            let raised = catch_cancelled(child).await.unwrap_err();
            Ok(raised.message().map(str::to_owned))
        });
        assert_eq!(ended.await.unwrap().unwrap(), "enough");
    });
}

#[test]
fn children_of_a_group_can_be_gathered() {
    run(async {
        let sum = Group::scope(async |group| {
            let children: Vec<_> = (1..=3).map(|n| group.spawn(async move { n })).collect();
            Ok(gather(children).await.into_iter().sum::<i32>())
        });
        assert_eq!(sum.await.unwrap(), 6);
    });
}

#[test]
fn a_group_that_is_ending_or_has_ended_refuses_children() {
    // S129
    run(async {
        let ran = Rc::new(Cell::new(false));
        let kept: Rc<RefCell<Option<Group>>> = Rc::default();
        let (late, keep) = (ran.clone(), kept.clone());
        let failed: Result<(), _> = Group::scope(async |group| {
            *keep.borrow_mut() = Some(group.clone());
            let again = group.clone();
            group.spawn(async move {
                if catch_cancelled(pending::<()>()).await.is_err() {
                    let refused = again.spawn(async move { late.set(true) });
                    assert!(refused.done() && refused.cancelled() && !refused.cancel());
                    assert!(catch_cancelled(refused).await.is_err());
                }
            });
            group.create_task(async { Err::<(), _>("failed") });
            Ok(())
        })
        .await;
        assert_eq!(failed.unwrap_err().leaves().count(), 1);
        let group = kept.take().unwrap();
        let refused = group.spawn(async {});
        assert!(refused.cancelled());
        assert_eq!(refused.id(), 0);
        group.cancel(); // harmless
        assert!(!ran.get());
    });
}

#[test]
fn children_are_asked_to_end_in_the_order_of_their_creation() {
    // S118: whatever the order in which they first suspended, and also those that have not begun.
    run(async {
        let trace = Trace::default();
        let failed: Result<(), _> = Group::scope(async |group| {
            for name in ["a", "b", "c"] {
                group.spawn(cleans_up::<()>(trace.clone(), name, 1.0));
            }
            yield_now().await;
            let guard = trace.on_drop("d is dropped unrun");
            group.spawn(async move { drop(guard) });
            Err("failed")
        })
        .await;
        assert!(failed.is_err());
        assert_eq!(
            trace,
            [
                "d is dropped unrun", // it was in the queue before the others were asked
                "a cleans up",
                "b cleans up",
                "c cleans up",
                "a is clean",
                "b is clean",
                "c is clean",
            ]
        );
    });
}

#[test]
fn cancel_ends_the_group_and_keeps_the_value_of_a_body_that_has_ended() {
    // asyncio 3.15
    run(async {
        let trace = Trace::default();
        let ended = Group::scope(async |group| {
            group.spawn(cleans_up::<()>(trace.clone(), "child", 1.0));
            let handle = group.clone();
            group.spawn(async move {
                sleep(1).await;
                handle.cancel();
                handle.cancel();
            });
            Ok("value")
        });
        assert_eq!(ended.await.unwrap(), "value");
        assert_eq!((now(), cancelling()), (2.0, 0));
        assert_eq!(trace, ["child cleans up", "child is clean"]);
    });
}

#[test]
fn cancel_ends_a_body_that_has_no_value_yet() {
    run(async {
        let ended: Result<(), _> = Group::scope(async |group| {
            let handle = group.clone();
            group.spawn(async move { handle.cancel() });
            pending().await
        })
        .await;
        let error = ended.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(cancelling(), 0);

        // Its own: it hears of it where it suspends.
        let ended: Result<(), _> = Group::scope(async |group| {
            group.cancel();
            let turn = catch_cancelled(yield_now()).await;
            assert!(turn.is_err());
            Ok(())
        })
        .await;
        assert!(ended.is_ok());

        // A request from outside is still that.
        let task = spawn(Group::scope(async |group| {
            group.cancel();
            current_task().unwrap().cancel();
            pending::<Result<(), _>>().await
        }));
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn children_that_fail_after_cancel_come_out() {
    run(async {
        let ended: Result<(), _> = Group::scope(async |group| {
            group.create_task(async {
                let _ = catch_cancelled(pending::<()>()).await;
                Err::<(), _>("in cleanup")
            });
            yield_now().await;
            group.cancel();
            Ok(())
        })
        .await;
        assert_eq!(
            ended.unwrap_err().to_string(),
            "1 failure in a task group\n└── in cleanup"
        );
    });
}

#[test]
fn a_deadline_waits_for_the_children() {
    // S134
    run(async {
        let trace = Trace::default();
        let log = trace.clone();
        let group = Group::scope(async move |group| {
            group.spawn(cleans_up::<()>(log, "child", 3.0));
            Ok(())
        });
        assert!(matches!(timeout(1, group).await, Err(TimeoutError)));
        assert_eq!((now(), cancelling()), (4.0, 0));
        assert_eq!(trace, ["child cleans up", "child is clean"]);
    });
}

#[test]
fn groups_in_children_nest_in_the_error() {
    // S121
    run(async {
        let failed: Result<(), ExceptionGroup<&str>> = Group::scope(async |outer| {
            outer.spawn_group(Group::scope(async |inner| {
                inner.create_task(async { Err::<(), _>("deep") });
                Ok(())
            }));
            outer.create_task(after(1.0, Err::<(), _>("never said")));
            pending().await
        })
        .await;
        let error = failed.unwrap_err();
        assert!(matches!(error.errors(), [GroupError::Group(_)]));
        let leaves: Vec<_> = error.leaves().filter_map(GroupError::error).collect();
        assert_eq!(leaves, [&"deep"]);
    });
}

#[test]
fn groups_in_bodies_nest_where_errors_are_boxed() {
    type Boxed = Box<dyn Error>;
    run(async {
        let failed: Result<(), _> = TaskGroup::<Boxed>::scope(async |outer| {
            outer.create_task(async {
                let _ = catch_cancelled(pending::<()>()).await;
                Err::<(), Boxed>("outer child".into())
            });
            TaskGroup::<Boxed>::scope(async |inner| {
                inner.create_task(async {
                    sleep(1).await;
                    Ok::<(), Boxed>(())
                });
                inner.create_task(async { Err::<(), Boxed>(TimeoutError.into()) });
                Ok(())
            })
            .await?;
            Ok(())
        })
        .await;
        let (timeouts, others) = failed
            .unwrap_err()
            .split(|leaf| leaf.error().is_some_and(|error| error.is::<TimeoutError>()));
        assert_eq!(
            timeouts.unwrap().to_string(),
            "1 failure in a task group\n└── 1 failure in a task group\n    └── timed out"
        );
        assert_eq!(
            others.unwrap().to_string(),
            "1 failure in a task group\n└── outer child"
        );
    });
}

#[test]
fn a_dropped_group_asks_its_children_to_end_and_lets_them_go() {
    // S137
    run(async {
        let trace = Trace::default();
        {
            let mut group = pin!(Group::scope(async |group| {
                group.spawn(cleans_up::<()>(trace.clone(), "child", 1.0));
                group.spawn(async { panic!("nobody is left to hear it") });
                pending::<Result<(), _>>().await
            }));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(group.as_mut().poll(&mut cx).is_pending());
            settle(1).await;
        }
        assert_eq!(cancelling(), 0);
        sleep(5).await;
        assert_eq!(trace, ["child cleans up", "child is clean"]);
        assert_eq!(all_tasks().len(), 1);
    });
}

#[test]
fn the_panic_of_a_child_of_a_dropped_group_is_reported() {
    let event_loop = EventLoop::builder().clock(Clock::auto()).build().unwrap();
    let reports: Rc<RefCell<Vec<String>>> = Rc::default();
    let sink = reports.clone();
    event_loop.set_exception_handler(Some(Rc::new(move |context: &ExceptionContext| {
        sink.borrow_mut()
            .push(context.exception.clone().unwrap_or_default());
    })));
    event_loop
        .run_until_complete(async {
            let group = Group::scope(async |group| {
                group.spawn(async {
                    let _ = catch_cancelled(pending::<()>()).await;
                    panic!("in cleanup");
                });
                pending::<Result<(), _>>().await
            });
            {
                let mut group = pin!(group);
                let mut cx = Context::from_waker(Waker::noop());
                assert!(group.as_mut().poll(&mut cx).is_pending());
                settle(1).await;
            }
            settle(5).await;
        })
        .unwrap();
    assert_eq!(*reports.borrow(), ["in cleanup"]);
}

#[test]
fn a_group_that_lives_long_keeps_nothing_of_children_that_have_ended() {
    run(async {
        let freed = Rc::new(());
        let held = freed.clone();
        let ended = Group::scope(async |group| {
            for _ in 0..1000 {
                let token = held.clone();
                group.spawn(async move {
                    yield_now().await;
                    drop(token);
                });
                settle(2).await;
                assert_eq!(group.live(), 1); // the last one is heard of in the next turn
                settle(1).await;
                assert_eq!((group.live(), Rc::strong_count(&held)), (0, 2));
            }
            Ok(())
        });
        ended.await.unwrap();
        assert_eq!(Rc::strong_count(&freed), 2);
    });
}

#[test]
fn the_end_of_the_loop_ends_group_and_children() {
    let trace = Trace::default();
    let log = trace.clone();
    let event_loop = EventLoop::builder().clock(Clock::auto()).build().unwrap();
    event_loop
        .run_until_complete(async move {
            spawn(Group::scope(async move |group| {
                let guard = log.on_drop("child dropped");
                group.spawn(async move {
                    let _guard = guard;
                    pending::<()>().await;
                });
                Ok(())
            }))
            .detach();
            settle(3).await;
            assert_eq!(get_running_loop().time().as_secs_f64(), 0.0);
        })
        .unwrap();
    event_loop.close().unwrap();
    assert_eq!(trace, ["child dropped"]);
}

#[test]
fn a_promise_awaited_by_two_children_is_cancelled_by_the_first_that_is_asked() {
    // S65 in a group
    run(async {
        let promise = Future::<()>::new();
        let (one, two) = (promise.clone(), promise.clone());
        let failed: Result<(), _> = Group::scope(async |group| {
            group.spawn(async move { drop(one.await) });
            group.spawn(async move { drop(two.await) });
            yield_now().await;
            Err("failed")
        })
        .await;
        assert!(failed.is_err());
        assert!(promise.cancelled());
    });
}
