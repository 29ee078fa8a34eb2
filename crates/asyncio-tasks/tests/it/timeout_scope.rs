//! `Timeout` as an object: S103, S113 to S115; and `wait_for` without any time: S95.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use asyncio_executor::{cancelling, catch_cancelled, spawn};
use asyncio_tasks::{Future, Timeout, TimeoutError, shield, timeout, wait_for};
use asyncio_timers::{LoopTime, sleep};

use crate::support::{after, now, run, settle, time, turns_of};

fn at(seconds: u64) -> LoopTime {
    LoopTime::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn the_deadline_is_fixed_where_the_timeout_is_made() {
    // S103
    run(async {
        let cm = Timeout::new(2);
        assert_eq!(cm.when(), Some(at(2)));
        sleep(1).await;
        assert_eq!(cm.scope(async |_| sleep(5).await).await, Err(TimeoutError));
        assert_eq!(now(), 2.0);
        assert!(cm.expired());
    });
}

#[test]
fn it_can_be_moved_away_while_the_body_runs() {
    // S113
    run(async {
        let cm = Timeout::new(1);
        let value = cm
            .scope(async |cm| {
                cm.reschedule(at(5)).unwrap();
                assert_eq!(cm.when(), Some(at(5)));
                sleep(4).await;
                "in time"
            })
            .await;
        assert_eq!(value, Ok("in time"));
        assert!(!cm.expired());
        assert_eq!(now(), 4.0);
    });
}

#[test]
fn it_can_be_moved_nearer_after_the_body_has_suspended() {
    run(async {
        let late = Timeout::new(100)
            .scope(async |cm| {
                sleep(1).await;
                cm.reschedule(at(3)).unwrap();
                pending::<()>().await;
            })
            .await;
        assert_eq!((late, now()), (Err(TimeoutError), 3.0));
    });
}

#[test]
fn none_disarms_it() {
    // S113
    run(async {
        let cm = Timeout::new(1);
        let value = cm.scope(async |cm| {
            cm.reschedule(None).unwrap();
            assert_eq!(cm.when(), None);
            after(1000.0, 7).await
        });
        assert_eq!(value.await, Ok(7));

        let never = Timeout::new(None::<f64>);
        assert_eq!(never.when(), None);
        let late = never.scope(async |cm| {
            sleep(1).await;
            cm.reschedule(time() + Duration::from_secs(1)).unwrap();
            pending::<()>().await;
        });
        assert_eq!((late.await, now()), (Err(TimeoutError), 1002.0));
    });
}

#[test]
fn a_time_that_has_passed_is_over_in_the_next_turn() {
    // S113, appendix 1: two turns
    run(async {
        sleep(5).await;
        let (turns, late) = turns_of(|| async {
            Timeout::new(10)
                .scope(async |cm| {
                    cm.reschedule(at(1)).unwrap();
                    assert!(!cm.expired());
                    drop(Future::<()>::new().await);
                })
                .await
        })
        .await;
        assert_eq!((turns, late), (2, Err(TimeoutError)));
        assert_eq!(now(), 5.0);
        settle(1).await;

        // A body that does not suspend is never disturbed (S104).
        let in_time = Timeout::new(10)
            .scope(async |cm| {
                cm.reschedule(at(1)).unwrap();
                "done"
            })
            .await;
        assert_eq!(in_time, Ok("done"));
    });
}

#[test]
fn somebody_else_may_move_it() {
    run(async {
        let cm = Timeout::new(1);
        let handle = cm.clone();
        spawn(async move {
            sleep(0.5).await;
            handle.reschedule(at(3)).unwrap();
            sleep(1).await;
            handle.reschedule(at(1)).unwrap(); // over already
        })
        .detach();
        assert_eq!(
            cm.scope(async |_| pending::<()>().await).await,
            Err(TimeoutError)
        );
        assert_eq!(now(), 1.5);
    });
}

#[test]
fn it_can_be_moved_only_while_its_scope_runs_and_its_time_is_not_over() {
    // S113
    run(async {
        let cm = Timeout::new(1);
        let refused = |cm: &Timeout| cm.reschedule(None).unwrap_err().to_string();
        assert!(refused(&cm).contains("has not been entered"));
        let ended = cm
            .scope(async |cm| {
                let caught = catch_cancelled(pending::<()>()).await;
                assert!(caught.is_err());
                assert!(cm.expired()); // S114
                assert!(refused(cm).contains("is over"));
                "went on"
            })
            .await;
        // S107: swallowed, and the count is back.
        assert_eq!(
            (ended, cm.expired(), cancelling()),
            (Ok("went on"), true, 0)
        );
        assert!(refused(&cm).contains("has expired"));

        let in_time = Timeout::new(1);
        in_time.scope(async |_| ()).await.unwrap();
        assert!(refused(&in_time).contains("has ended"));
    });
}

#[test]
#[should_panic(expected = "a `Timeout` can be entered once")]
fn it_can_be_entered_once() {
    // S115
    run(async {
        let cm = Timeout::new(1);
        cm.scope(async |_| ()).await.unwrap();
        let _ = cm.scope(async |_| ()).await;
    });
}

#[test]
fn dropped_inside_it_takes_its_request_back() {
    run(async {
        let cm = Timeout::new(1);
        {
            let scope = cm.scope(async |_| {
                let _ = catch_cancelled(pending::<()>()).await;
                pending::<()>().await
            });
            assert!(timeout(5, scope).await.is_err());
        }
        assert_eq!(cancelling(), 0);
        assert!(cm.expired());
        assert!(cm.reschedule(None).is_err());
    });
}

#[test]
fn without_any_time_a_future_is_never_started() {
    // S95
    run(async {
        let started = Rc::new(Cell::new(false));
        for delay in [0.0, -1.0] {
            let begun = started.clone();
            let refused = wait_for(async move { begun.set(true) }, delay).await;
            assert_eq!(refused, Err(TimeoutError));
        }
        let begun = started.clone();
        let task = spawn(async move { begun.set(true) });
        assert!(wait_for(task, 0).await.is_err());
        assert!(!started.get());
        assert_eq!(cancelling(), 0);
    });
}

#[test]
fn without_any_time_what_is_done_gives_its_result() {
    // S95
    run(async {
        let mut task = spawn(async { 7 });
        settle(1).await;
        assert_eq!(wait_for(&mut task, 0).await.unwrap().unwrap(), 7);

        let future = Future::new();
        future.set_result(8).unwrap();
        assert_eq!(wait_for(&future, 0).await.unwrap().unwrap(), 8);
    });
}

#[test]
fn without_any_time_a_running_task_is_cancelled_and_waited_for() {
    // S95
    run(async {
        let cleans = spawn(async {
            let _ = catch_cancelled(pending::<()>()).await;
            sleep(2).await;
            "swallowed"
        });
        settle(1).await;
        assert_eq!(wait_for(cleans, 0).await.unwrap().unwrap(), "swallowed");
        assert_eq!((now(), cancelling()), (2.0, 0));

        let mut kept = spawn(after(1.0, 5));
        settle(1).await;
        assert!(wait_for(shield(&mut kept), 0).await.is_err());
        assert_eq!(kept.await.unwrap(), 5);
    });
}

#[test]
fn without_any_time_the_shield_of_a_task_that_is_done_gives_its_result() {
    // S95: a shield is a handle, as in asyncio, where that of a task that is done is the task itself.
    run(async {
        let mut done = spawn(async { 5 });
        let other = spawn(async { 6 });
        settle(1).await;
        assert_eq!(wait_for(shield(&mut done), 0).await.unwrap().unwrap(), 5);
        assert!(done.done());
        assert_eq!(wait_for(shield(other), 0).await.unwrap().unwrap(), 6);
    });
}
