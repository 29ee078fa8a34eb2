//! Keeps deadlines: time goes in, wakers come out.
//!
//! A loop owns one [`Timers`]. It asks for the [next deadline](Timers::next_deadline), sleeps no longer than that, and
//! then [fires](Timers::fire) what is due: wakers are woken, callbacks are called, earliest deadline first and in the
//! order they were set where deadlines are equal. Futures such as [`Sleep`] find the loop's timers by themselves,
//! through the thread's [current](Timers::current) handle, which the loop [enters](Timers::enter) while it runs.
//!
//! Nothing in here waits, and one file reads the machine's clock. A program under test hands its loop another
//! [`Clock`], one it moves itself, and hours pass in microseconds.
//!
//! ```
//! use std::time::Duration;
//! use std::{cell::Cell, rc::Rc};
//! use asyncio_timers::{Clock, Timers};
//!
//! let timers = Timers::new(Clock::manual());
//! let rang = Rc::new(Cell::new(false));
//! let bell = rang.clone();
//! timers.call_at(timers.now() + Duration::from_secs(3600), Box::new(move || bell.set(true)));
//!
//! // What a loop does in each turn, with a clock that never makes it wait:
//! let deadline = timers.next_deadline().expect("one timer is set");
//! timers.clock().advance_to(deadline);
//! timers.fire(timers.now());
//! assert!(rang.get());
//! ```
//!
//! From the bottom up:
//!
//! - [`LoopTime`] is a point in time, [`IntoDuration`] whatever may be said for a length of it;
//! - [`Clock`] tells the time: the machine's, or a virtual one;
//! - [`Deadlines`] is the pure structure, an ordered map that knows neither clocks nor wakers;
//! - [`Timers`] puts wakers and callbacks into it, one handle per loop;
//! - [`Sleep`] and [`Interval`] are the futures on top.
//!
//! Clocks, timers and the futures on them belong to one thread, as a loop does: they are not `Send`.

#![forbid(unsafe_code)]

mod clock;
mod deadlines;
mod duration;
mod interval;
mod sleep;
mod time;
mod timers;

pub use clock::Clock;
pub use deadlines::{Deadlines, Key};
pub use duration::IntoDuration;
pub use interval::{Interval, MissedTick, interval, interval_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use time::LoopTime;
pub use timers::{Entered, TimerKey, Timers};
