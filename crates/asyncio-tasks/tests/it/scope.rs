//! `scope` and `try_scope`: children that borrow.

use std::cell::{Cell, RefCell};
use std::future::{Future as StdFuture, pending, poll_fn};
use std::mem;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use asyncio_executor::{
    cancelling, catch_cancelled, current_task, raise_cancelled, spawn, yield_now,
};
use asyncio_tasks::{Scope, TimeoutError, scope, timeout, to_thread, try_scope};
use asyncio_timers::sleep;

use crate::support::{Trace, after, cleans_up, now, run, settle};

#[test]
fn children_borrow_from_the_caller_and_run_at_the_same_time() {
    run(async {
        let words = vec!["a".to_owned(), "bc".to_owned()];
        let seen = RefCell::new(Vec::new());
        let total = scope(async |s| {
            let lengths = words.iter().enumerate().map(|(n, word)| {
                let seen = &seen;
                s.spawn(async move {
                    sleep(2 - n as i32).await;
                    seen.borrow_mut().push(word.as_str());
                    word.len()
                })
            });
            let lengths: Vec<_> = lengths.collect();
            let mut total = 0;
            for length in lengths {
                total += length.await;
            }
            total
        })
        .await;
        assert_eq!((total, now()), (3, 2.0));
        assert_eq!(*seen.borrow(), ["bc", "a"]);
        drop(words);
    });
}

#[test]
fn children_may_change_what_they_borrow_alone() {
    run(async {
        let (mut left, mut right) = (vec![1, 2], vec![3]);
        let (l, r) = (&mut left, &mut right);
        scope(async move |s| {
            s.spawn(async move {
                yield_now().await;
                l.push(4);
            });
            s.spawn(async move { r.clear() });
        })
        .await;
        assert_eq!((left, right), (vec![1, 2, 4], vec![]));
    });
}

#[test]
fn it_waits_for_all_children_also_those_of_children() {
    run(async {
        let trace = Trace::default();
        fn deeper<'a>(s: &Scope<'a>, trace: &'a Trace, level: u32) {
            let again = s.clone();
            s.spawn(async move {
                sleep(1).await;
                trace.log(format!("level {level} at {}", now()));
                if level < 3 {
                    deeper(&again, trace, level + 1);
                }
            });
        }
        let value = scope(async |s| {
            deeper(s, &trace, 1);
            "body"
        })
        .await;
        assert_eq!(value, "body");
        assert_eq!(trace, ["level 1 at 1", "level 2 at 2", "level 3 at 3"]);
    });
}

#[test]
fn children_begin_in_order_when_the_body_suspends() {
    run(async {
        let trace = Trace::default();
        scope(async |s| {
            let a = s.spawn(async { trace.log("a") });
            s.spawn(async { trace.log("b") });
            trace.log("body");
            a.await;
            trace.log("body goes on");
        })
        .await;
        assert_eq!(trace, ["body", "a", "b", "body goes on"]);
    });
}

#[test]
fn only_what_was_woken_is_polled() {
    run(async {
        let polls = Cell::new(0);
        scope(async |s| {
            s.spawn(async {
                let mut slow = pin!(sleep(100));
                poll_fn(|cx| {
                    polls.set(polls.get() + 1);
                    slow.as_mut().poll(cx)
                })
                .await;
            });
            s.spawn(async {
                for _ in 0..50 {
                    sleep(1).await;
                }
            });
        })
        .await;
        assert_eq!(polls.get(), 2);
    });
}

#[test]
fn a_child_is_woken_from_another_thread() {
    asyncio_runtime::run(async {
        let base = 40;
        let sum = scope(async |s| {
            let two = s.spawn(async { to_thread(|| 2).await + base });
            two.await
        })
        .await;
        assert_eq!(sum, 42);
    });
}

#[test]
fn a_request_reaches_body_and_children_and_waits_for_their_cleanup() {
    run(async {
        let trace = Trace::default();
        let log = trace.clone();
        let task = spawn(async move {
            scope(async |s| {
                s.spawn(cleans_up::<()>(log.clone(), "a", 2.0));
                s.spawn(cleans_up::<()>(log.clone(), "b", 1.0));
                let _guard = log.on_drop("body dropped");
                pending::<()>().await;
            })
            .await;
            log.log("never");
        });
        settle(2).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(now(), 2.0);
        assert_eq!(
            trace,
            [
                "body dropped",
                "a cleans up",
                "b cleans up",
                "b is clean",
                "a is clean"
            ]
        );
    });
}

#[test]
fn a_request_while_only_children_are_left_goes_on_outwards() {
    run(async {
        let late = timeout(1, scope(async |s| drop(s.spawn(pending::<()>())))).await;
        assert_eq!((late, now(), cancelling()), (Err(TimeoutError), 1.0, 0));

        // Unless every one of them swallows it.
        let in_time = scope(async |s| {
            s.spawn(async { drop(catch_cancelled(pending::<()>()).await) });
            "value"
        });
        assert_eq!(timeout(1, in_time).await, Ok("value"));
        assert_eq!(cancelling(), 0);
    });
}

#[test]
fn a_child_can_be_cancelled_alone_and_raises_where_it_is_awaited() {
    run(async {
        let trace = Trace::default();
        scope(async |s| {
            let child = s.spawn(cleans_up::<()>(trace.clone(), "child", 1.0));
            let unborn = s.spawn(async { trace.log("never") });
            unborn.cancel();
            yield_now().await;
            assert!(child.cancel());
            assert!(child.cancel()); // once is enough
            assert!(catch_cancelled(child).await.is_err());
            assert!(unborn.done() && !unborn.cancel());
        })
        .await;
        assert_eq!((now(), cancelling()), (1.0, 0));
        assert_eq!(trace, ["child cleans up", "child is clean"]);
    });
}

#[test]
fn a_body_that_raises_by_itself_ends_the_children() {
    run(async {
        let trace = Trace::default();
        let caught = catch_cancelled(scope(async |s| {
            s.spawn(cleans_up::<()>(trace.clone(), "child", 1.0));
            yield_now().await;
            s.spawn(async { trace.log("never") });
            raise_cancelled::<()>().await
        }))
        .await;
        assert!(caught.is_err());
        assert_eq!((now(), cancelling()), (1.0, 0));
        assert_eq!(trace, ["child cleans up", "child is clean"]);
    });
}

#[test]
fn a_child_that_raises_by_itself_ends_nothing_else() {
    run(async {
        let value = scope(async |s| {
            s.spawn(raise_cancelled::<()>());
            after(1.0, "value").await
        });
        assert_eq!(value.await, "value");
    });
}

#[test]
fn dropped_it_drops_everything() {
    run(async {
        let trace = Trace::default();
        {
            let mut dropped = pin!(scope(async |s| {
                let (again, guard) = (s.clone(), trace.on_drop("child"));
                s.spawn(async move {
                    let _held = (again, guard); // a child that holds its scope leaks nothing
                    pending::<()>().await;
                });
                let _guard = trace.on_drop("body");
                pending::<()>().await;
            }));
            let polled = poll_fn(|cx| Poll::Ready(dropped.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
        }
        assert_eq!(trace, ["body", "child"]);
    });
}

#[test]
fn leaked_it_touches_nothing_any_more() {
    run(async {
        let word = "borrowed".to_owned();
        let seen = Cell::new(0);
        let mut leaked = Box::pin(scope(async |s| {
            s.spawn(async {
                loop {
                    seen.set(seen.get() + word.len());
                    yield_now().await;
                }
            });
        }));
        let polled = leaked
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        mem::forget(leaked);
        settle(3).await;
        assert_eq!(seen.get(), 8); // nobody polls it
    });
}

#[test]
fn a_panic_in_a_child_goes_on_in_the_caller() {
    run(async {
        let trace = Trace::default();
        let mut panics = Box::pin(scope(async |s| {
            let guard = trace.on_drop("other child dropped");
            s.spawn(async move {
                let _guard = guard;
                pending::<()>().await;
            });
            s.spawn(async { panic!("oops") });
            pending::<()>().await;
        }));
        let caught = poll_fn(|cx| {
            let poll = AssertUnwindSafe(|| panics.as_mut().poll(cx));
            Poll::Ready(std::panic::catch_unwind(poll))
        })
        .await;
        assert_eq!(caught.unwrap_err().downcast_ref::<&str>(), Some(&"oops"));
        drop(panics);
        assert_eq!(trace, ["other child dropped"]);
    });
}

#[test]
fn the_value_of_a_child_may_leave_the_scope_in_its_handle() {
    run(async {
        let handle = scope(async |s| s.spawn(after(1.0, 7))).await;
        assert!(handle.done());
        assert_eq!(handle.await, 7);
    });
}

#[test]
fn children_are_part_of_the_task() {
    run(async {
        let me = current_task().unwrap().id();
        let ids = scope(async |s| s.spawn(async { current_task().unwrap().id() }).await).await;
        assert_eq!(ids, me);
    });
}

#[test]
fn a_scope_in_a_scope_ends_first() {
    run(async {
        let trace = Trace::default();
        let late = timeout(1, async {
            scope(async |outer| {
                outer.spawn(cleans_up::<()>(trace.clone(), "outer", 1.0));
                scope(async |inner| {
                    inner.spawn(async {
                        cleans_up::<()>(trace.clone(), "inner", 2.0).await;
                    });
                })
                .await;
            })
            .await;
        });
        assert_eq!(late.await, Err(TimeoutError));
        // One request, heard by all at once: they are parts of one task. The body has its turn first.
        assert_eq!(
            trace,
            [
                "inner cleans up",
                "outer cleans up",
                "outer is clean",
                "inner is clean"
            ]
        );
        assert_eq!((now(), cancelling()), (3.0, 0));
    });
}

#[test]
fn the_first_error_of_a_child_ends_the_others_and_is_the_result() {
    run(async {
        let trace = Trace::default();
        let failed: Result<(), &str> = try_scope(async |s| {
            s.spawn(async {
                cleans_up::<()>(trace.clone(), "a", 2.0).await;
                Ok(())
            });
            let b = s.spawn(async {
                sleep(1).await;
                Err::<(), _>("b failed")
            });
            let caught = catch_cancelled(b).await;
            trace.log(format!("body hears at {}: {}", now(), caught.is_err()));
            caught.unwrap_err().propagate().await
        })
        .await;
        assert_eq!(failed, Err("b failed"));
        assert_eq!((now(), cancelling()), (3.0, 0));
        assert_eq!(
            trace,
            ["body hears at 1: true", "a cleans up", "a is clean"]
        );
    });
}

#[test]
fn an_error_of_the_body_ends_the_children() {
    run(async {
        let ended: Result<(), &str> = try_scope(async |s| {
            s.spawn(pending::<Result<(), &str>>());
            yield_now().await;
            Err("body failed")
        })
        .await;
        assert_eq!((ended, cancelling()), (Err("body failed"), 0));

        let fine: Result<i32, &str> = try_scope(async |s| {
            let a = s.spawn(async { Ok(1) });
            let b = s.spawn(after(1.0, Ok(2)));
            Ok(a.await + b.await)
        })
        .await;
        assert_eq!(fine, Ok(3));
    });
}

#[test]
fn an_error_wins_over_a_request_which_meets_the_next_await() {
    // As in a group, S126.
    run(async {
        let task = spawn(async {
            let failed: Result<(), &str> = try_scope(async |s| {
                s.spawn(async {
                    let _ = catch_cancelled(pending::<()>()).await;
                    Err::<(), _>("in cleanup")
                });
                pending().await
            })
            .await;
            assert_eq!((failed, cancelling()), (Err("in cleanup"), 1));
            catch_cancelled(sleep(1)).await.is_err()
        });
        settle(2).await;
        task.cancel();
        assert!(task.await.unwrap());
    });
}

#[test]
fn a_timeout_in_a_child_is_heard_by_what_was_due_with_it() {
    // The wake of the sleeper reaches the child, but that poll is the one in which the time is over.
    run(async {
        let ended = Cell::new(None);
        scope(async |outer| {
            outer.spawn(async {
                let inner = scope(async |inner| drop(inner.spawn(sleep(3))));
                ended.set(Some(timeout(3, inner).await));
            });
        })
        .await;
        assert_eq!((ended.get(), now()), (Some(Err(TimeoutError)), 3.0));
    });
}

/// A small random number from a state.
fn dice(state: &Cell<u64>, sides: u64) -> u64 {
    let next = state
        .get()
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    state.set(next);
    (next >> 33) % sides
}

/// Counts how many children are alive.
struct Alive<'a>(&'a Cell<i32>);

impl<'a> Alive<'a> {
    fn new(count: &'a Cell<i32>) -> Alive<'a> {
        count.set(count.get() + 1);
        Alive(count)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A random tree of scopes, timeouts, cleanups, cancels and raises.
fn tree<'a>(
    state: &'a Cell<u64>,
    alive: &'a Cell<i32>,
    depth: u32,
) -> std::pin::Pin<Box<dyn StdFuture<Output = ()> + 'a>> {
    Box::pin(async move {
        let _alive = Alive::new(alive);
        for _ in 0..dice(state, 3) {
            match dice(state, if depth == 0 { 4 } else { 8 }) {
                0 => yield_now().await,
                1 => sleep(dice(state, 4) as f64).await,
                2 => {
                    if let Err(cancelled) = catch_cancelled(sleep(3)).await {
                        sleep(1).await; // cleanup
                        if dice(state, 3) > 0 {
                            cancelled.propagate::<()>().await;
                        }
                    }
                }
                3 => {
                    if dice(state, 8) == 0 {
                        raise_cancelled::<()>().await;
                    }
                }
                4 => drop(timeout(dice(state, 4) as f64, tree(state, alive, depth - 1)).await),
                5 => drop(catch_cancelled(tree(state, alive, depth - 1)).await),
                6 => {
                    let _: Result<(), ()> = try_scope(async |s| {
                        for _ in 0..dice(state, 4) {
                            s.spawn(async {
                                tree(state, alive, depth - 1).await;
                                if dice(state, 3) == 0 { Err(()) } else { Ok(()) }
                            });
                        }
                        tree(state, alive, depth - 1).await;
                        Ok(())
                    })
                    .await;
                }
                _ => {
                    scope(async |s| {
                        let children: Vec<_> = (0..dice(state, 4))
                            .map(|_| s.spawn(tree(state, alive, depth - 1)))
                            .collect();
                        tree(state, alive, depth - 1).await;
                        for child in children {
                            match dice(state, 3) {
                                0 => drop(child.cancel()),
                                1 => child.await,
                                _ => {}
                            }
                        }
                    })
                    .await;
                }
            }
        }
    })
}

#[test]
fn random_trees_end_leave_nothing_and_keep_the_count() {
    for seed in 0..3000 {
        run(async move {
            let task = spawn(async move {
                let (state, alive) = (Cell::new(seed), Cell::new(0));
                let ended = catch_cancelled(tree(&state, &alive, 4)).await;
                assert_eq!(alive.get(), 0, "seed {seed}");
                (ended.is_err(), cancelling())
            });
            // Every third is asked to end at some time.
            let target = task.as_ref().unwrap();
            let asked = seed % 3 == 0;
            if asked {
                sleep((seed % 7) as f64 * 0.5).await;
                target.cancel();
            }
            match task.await {
                Ok((_, count)) => assert!(count <= u32::from(asked), "seed {seed}: {count}"),
                Err(error) => assert!(asked && error.is_cancelled(), "seed {seed}: {error}"),
            }
        });
    }
}
