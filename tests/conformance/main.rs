//! The rules of asyncio (S1 to S61), bad use, layering and tidiness, as promises: a test's name says what holds.
//!
//! Time is virtual throughout ([`harness`]); the order of events is asserted as one literal trace. Where order depends
//! on how many turns something takes, the numbers were measured under CPython 3.13 (`hops.rs`).
#![forbid(unsafe_code)]

mod harness;

mod cancellation;
mod futures;
mod hops;
mod layering;
mod misuse;
mod ready_queue;
mod rules;
mod tasks;
mod tidy;
mod time;
