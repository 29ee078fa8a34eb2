//! A thousand jobs, fifty a second, at most ten at once, on a clock that jumps over the waiting.
//!
//! Run it: `cargo run --example rate_limit`

use std::cell::Cell;
use std::rc::Rc;

use asyncio::{Clock, EventLoop, RateLimiter, Runner, Semaphore, gather, get_running_loop, sleep};

#[derive(Default)]
struct Gauge {
    now: Cell<u32>,
    most: Cell<u32>,
}

async fn jobs() {
    let rate = Rc::new(RateLimiter::new(50, 1.0).unwrap());
    let at_once = Rc::new(Semaphore::new(10));
    let gauge = Rc::new(Gauge::default());
    let began = get_running_loop().time();

    gather((0..1000).map(|_| {
        let (rate, at_once, gauge) = (rate.clone(), at_once.clone(), gauge.clone());
        async move {
            let _permit = at_once.acquire().await;
            rate.acquire().await;
            gauge.now.set(gauge.now.get() + 1);
            gauge.most.set(gauge.most.get().max(gauge.now.get()));
            sleep(0.1).await; // the job
            gauge.now.set(gauge.now.get() - 1);
        }
    }))
    .await;

    let took = (get_running_loop().time() - began).as_secs_f64();
    println!(
        "1000 jobs in {took:.2} s, at most {} at once",
        gauge.most.get()
    );
    assert!(gauge.most.get() <= 10);
    // The last of a thousand may begin after 999 fiftieths of a second, less what the burst lets through at once.
    assert!((18.9..20.2).contains(&took), "{took}");
}

fn main() {
    // Virtual time: the program is over at once.
    let mut runner = Runner::builder()
        .loop_factory(|| EventLoop::builder().clock(Clock::auto()).build())
        .build();
    runner.run(jobs()).unwrap();
    runner.close().unwrap();
}

#[test]
fn runs() {
    main();
}
