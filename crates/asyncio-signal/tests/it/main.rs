//! The promises of asyncio-signal, one file per group. Signals belong to the whole process and the tests run side by side:
//! each has signals of its own, real-time ones mostly, and only ends by them if a promise is broken.
#![cfg(target_os = "linux")]

mod exiting;
mod former_action;
mod kept_statuses;
mod listening;
mod standing_in;
mod streams;
mod support;
