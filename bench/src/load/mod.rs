//! The load on a server: one thread on a core of its own, the same program for every server.

mod connects;
mod exchanges;
mod reply;

use std::io;
use std::time::{Duration, Instant};

use crate::measure::Figures;
use crate::rows::{Cell, LOAD_CALLS, LOAD_CPU, LOAD_RATE};
use crate::sys;
use crate::system_calls::SystemCalls;

use connects::Connects;
use exchanges::Exchanges;
use reply::Reply;

const WARM_UP: Duration = Duration::from_millis(200);

/// Puts the load of `cell` on the server that listens on `port`, for `period`.
pub(crate) fn run(cell: Cell, port: u16, period: Duration, server: u32) -> io::Result<Figures> {
    match cell {
        Cell::Echo(message, connections) => {
            let message = reply::message(message.bytes());
            let load = Exchanges::open(port, connections, message, Reply::echo)?;
            measure(load, period, server)
        }
        Cell::Hello => {
            let load = Exchanges::open(port, 64, reply::REQUEST.to_vec(), Reply::http)?;
            measure(load, period, server)
        }
        Cell::Connects => measure(Connects::new(port), period, server),
        _ => Err(io::Error::other(format!("{cell} has no load"))),
    }
}

trait Load {
    /// Works a little; says how many exchanges that completed.
    fn step(&mut self) -> io::Result<u64>;

    /// Completes what is under way and begins nothing; says how many exchanges that were. The next step begins again.
    fn drain(&mut self) -> io::Result<u64>;

    fn steps_for(&mut self, period: Duration) -> io::Result<(u64, Duration)> {
        let start = Instant::now();
        let mut completed = 0;
        loop {
            completed += self.step()?;
            let spent = start.elapsed();
            if spent >= period && completed > 0 {
                return Ok((completed, spent));
            }
        }
    }
}

fn measure(mut load: impl Load, period: Duration, server: u32) -> io::Result<Figures> {
    load.steps_for(WARM_UP)?;
    let before = sys::cpu_time_of(server);
    let (completed, spent) = load.steps_for(period)?;
    let cpu = sys::cpu_time_of(server) - before;
    let figures = Figures::one(LOAD_RATE, completed as f64 / spent.as_secs_f64())
        .and(LOAD_CPU, cpu.as_secs_f64() * 1e6 / completed as f64);
    let calls = calls_for_each(&mut load, period / 4, server)?;
    Ok(figures.and_perhaps(LOAD_CALLS, calls))
}

/// The server's system calls for an exchange, in a time of their own, as counting slows the server down. Nothing is
/// under way when the count begins and when it ends.
fn calls_for_each(
    load: &mut impl Load,
    period: Duration,
    server: u32,
) -> io::Result<Result<f64, String>> {
    load.drain()?;
    let counted = match SystemCalls::count(server) {
        Ok(counted) => counted,
        Err(reason) => return Ok(Err(reason)),
    };
    let (completed, _) = load.steps_for(period)?;
    let completed = completed + load.drain()?;
    Ok(counted
        .end()
        .map(|calls| calls as f64 / completed as f64)
        .map_err(|error| format!("counting system calls: {error}")))
}
