//! Unix signals as readiness.
//!
//! A [`Listener`] has a closure called in the loop's thread whenever one of its signals came; [`signals`] gives them as a
//! stream. The callbacks of asyncio's `add_signal_handler` are made of it in `asyncio-runtime`, and so is its Ctrl-C.
//!
//! # How it works
//!
//! - The handler proper (`action.rs`, the only unsafe code) does what a handler may do and no more: it counts, and writes to
//!   the descriptor of each listener that wants the signal. The listener's reactor sees that and calls the closure.
//! - The table it looks into (`slots.rs`) is a list that only grows, without locks; places are used again. That no
//!   descriptor is closed under a handler's hands is the business of `gate.rs`, which loom checks.
//! - The first listener of a signal sets the process's action, the last one brings the *former* action back, be that the
//!   default, `SIG_IGN` or a handler of somebody else's (`registry.rs`). Where another part of the program has set an
//!   action of its own since, that stays.
//! - Any number of listeners, on any number of loops and threads, hear of the same signal.
//!
//! Signals of one kind may merge while they are pending, in the kernel and here: what is certain is that a listener is
//! called after the last one.
//!
//! # Example
//!
//! ```
//! use asyncio_signal::{SIGHUP, SIGTERM, signals};
//!
//! asyncio_runtime::run(async {
//!     let mut incoming = signals([SIGHUP, SIGTERM])?;
//!     # let me = rustix::process::getpid();
//!     # rustix::process::kill_process(me, rustix::process::Signal::HUP)?;
//!     match incoming.recv().await {
//!         SIGHUP => println!("reading the configuration again"),
//!         other => println!("{other}: going home"),
//!     }
//!     std::io::Result::Ok(())
//! })?;
//! # std::io::Result::Ok(())
//! ```
#![deny(unsafe_code)]
#![cfg(unix)]

mod action;
mod doorbell;
mod gate;
mod kept_statuses;
mod listener;
mod registry;
mod signal;
mod slots;
mod stream;
mod sync;

pub use action::exit_by;
#[doc(hidden)]
pub use action::kill;
#[doc(hidden)]
pub use kept_statuses::KeptStatuses;
pub use listener::Listener;
pub use signal::*;
pub use stream::{Signals, signals};
