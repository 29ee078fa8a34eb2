//! `RateLimiter`.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use asyncio_executor::spawn;
use asyncio_tasks::{RateError, RateLimiter, gather, timeout};
use asyncio_timers::sleep;

use crate::support::{now, run, settle};

fn limiter(rate: u32, burst: u32) -> RateLimiter {
    RateLimiter::new(rate, 1.0).unwrap().burst(burst).unwrap()
}

#[test]
fn a_thousand_jobs_at_fifty_a_second_take_19_98_seconds() {
    run(async {
        let limiter = limiter(50, 1);
        let begun = gather((0..1000).map(|_| {
            let limiter = limiter.clone();
            async move {
                limiter.acquire().await;
                now()
            }
        }))
        .await;
        assert_eq!(begun[999], 19.98);
        for (n, at) in begun.iter().enumerate() {
            // Evenly spaced, and in order of arrival.
            assert!((at - 0.02 * n as f64).abs() < 1e-9, "job {n} at {at}");
        }
    });
}

#[test]
fn after_a_pause_a_burst_goes_at_once() {
    run(async {
        let limiter = limiter(10, 3);
        let mut at = Vec::new();
        for _ in 0..5 {
            limiter.acquire().await;
            at.push(now());
        }
        assert_eq!(at, [0.0, 0.0, 0.0, 0.1, 0.2]);
        sleep(100).await; // the bucket holds no more than three, however long the pause
        for expected in [100.2, 100.2, 100.2, 100.3] {
            limiter.acquire().await;
            assert!((now() - expected).abs() < 1e-9);
        }
    });
}

#[test]
fn a_permit_may_cost_more_than_one() {
    run(async {
        let limiter = limiter(10, 5);
        limiter.acquire_many(4).await;
        limiter.acquire_many(3).await; // two have to leak out before
        assert_eq!(now(), 0.2);
        limiter.acquire_many(0).await;
        assert_eq!(now(), 0.2);
    });
}

#[test]
fn a_cost_above_the_burst_goes_when_the_bucket_is_empty() {
    run(async {
        let limiter = limiter(10, 2);
        limiter.acquire().await;
        limiter.acquire_many(10).await;
        assert_eq!(now(), 0.1);
        limiter.acquire().await; // room for one again: nine of ten have leaked out
        assert_eq!(now(), 1.0);
    });
}

#[test]
fn nobody_overtakes_one_who_waits_for_much() {
    run(async {
        let order: Rc<RefCell<Vec<&str>>> = Rc::default();
        let limiter = limiter(10, 5);
        limiter.acquire_many(5).await;
        for (name, cost) in [("much", 5), ("little", 1)] {
            let (limiter, order) = (limiter.clone(), order.clone());
            spawn(async move {
                limiter.acquire_many(cost).await;
                order.borrow_mut().push(name);
            })
            .detach();
        }
        settle(2).await;
        assert!(!limiter.try_acquire());
        sleep(1).await;
        assert_eq!(*order.borrow(), ["much", "little"]);
    });
}

#[test]
fn cancelled_in_line_it_gives_up_its_place_and_has_taken_nothing() {
    run(async {
        let limiter = limiter(1, 1);
        limiter.acquire().await;
        let first = spawn({
            let limiter = limiter.clone();
            async move { limiter.acquire().await }
        });
        let second = spawn({
            let limiter = limiter.clone();
            async move {
                limiter.acquire().await;
                now()
            }
        });
        sleep(0.5).await;
        first.cancel();
        assert_eq!(second.await.unwrap(), 1.0); // when the first would have had its turn
        assert!(timeout(0.5, limiter.acquire()).await.is_err());
        limiter.acquire().await;
        assert_eq!(now(), 2.0);
    });
}

#[test]
fn try_acquire_takes_only_what_is_there() {
    run(async {
        let limiter = limiter(10, 2);
        assert!(limiter.try_acquire());
        assert!(!limiter.try_acquire_many(2));
        assert!(limiter.try_acquire());
        assert!(!limiter.try_acquire());
        sleep(0.1).await;
        assert!(limiter.try_acquire());
    });
}

#[test]
fn a_rate_that_lets_nothing_or_everything_through_is_an_error() {
    for rate in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        assert!(matches!(
            RateLimiter::new(rate, 1.0),
            Err(RateError::Rate(_))
        ));
    }
    assert!(matches!(
        RateLimiter::new(1, 0.0),
        Err(RateError::Period(Duration::ZERO))
    ));
    assert!(matches!(
        RateLimiter::new(1, f64::INFINITY),
        Err(RateError::Period(_))
    ));
    let error = RateLimiter::new(1, 1.0).unwrap().burst(0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a bucket holds at least 1, got a burst of 0"
    );
    let error = RateLimiter::new(-2, 1.0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a rate is a positive number of permits in a period, got -2"
    );
}
