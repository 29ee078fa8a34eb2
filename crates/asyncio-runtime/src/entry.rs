//! What the attributes `#[asyncio::main]` and `#[asyncio::test]` call.

use std::future::Future;

use asyncio_timers::Clock;

use crate::event_loop::EventLoop;
use crate::runner::{Runner, run, run_once};

/// Runs the body of an `#[asyncio::main]`.
#[track_caller]
pub fn run_main<F>(body: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    run(body)
}

/// Runs the body of an `#[asyncio::test]`; with `virtual_time` on a clock that jumps whenever the loop is idle.
#[track_caller]
pub fn run_test<F>(body: F, virtual_time: bool) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    if !virtual_time {
        return run(body);
    }
    let runner = Runner::builder()
        .loop_factory(|| EventLoop::builder().clock(Clock::auto()).build())
        .build();
    run_once(runner, body)
}
