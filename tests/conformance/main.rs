//! The rules of asyncio by number, bad use, layering and tidiness, as promises: a test's name says what holds.
//!
//! Time is virtual ([`harness`]); the order of events is asserted as one literal trace. Many programs have a twin in
//! Python with the same trace, which is run as well where CPython is found ([`twin`]). Where order depends on how many
//! turns something takes, the numbers were measured under CPython 3.13 (`hops.rs`). Programs are also cancelled at
//! each place where they suspend (`sweep.rs`), made up at random (`programs.rs`), and over real sockets (`goodbyes.rs`).
//!
//! Other tests run in real time and in processes of their own ([`alone`]): with programs that others wrote (`peers.rs`), with
//! peers that mean no good (`hostile.rs`), and with thousands of connections at once (`soak.rs`).
#![forbid(unsafe_code)]

mod alone;
mod authority;
mod harness;
mod twin;
mod wire;

mod awaiting_tasks;
mod branches;
mod cancellation;
mod context;
mod debug;
mod eager;
mod futures;
mod gather;
mod goodbyes;
mod guide;
mod handler;
mod hops;
mod hostile;
mod introspection;
mod layering;
mod misuse;
mod network;
mod peers;
mod programs;
mod ready_queue;
mod requests;
mod rules;
mod soak;
mod surface;
mod sweep;
mod task_groups;
mod tasks;
mod threads;
mod tidy;
mod time;
mod timeouts;
mod wait;
mod wait_for_and_shield;
