//! A thread pool for calls that block.
//!
//! An event loop must never wait for a disk, a name server or a long computation. Hand such a
//! call to a [`ThreadPool`] and await the [`Job`] it gives back: the loop goes on meanwhile.
//!
//! ```
//! use asyncio_blocking::ThreadPool;
//!
//! let pool = ThreadPool::new(4);
//! futures_lite::future::block_on(async {
//!     let hosts = pool.submit(|| std::fs::read_to_string("/etc/hosts"));
//!     let sum = pool.submit(|| (1..=1000).sum::<u64>());
//!     assert_eq!(sum.await.unwrap(), 500_500);
//!     let _ = hosts.await.unwrap();
//! });
//! ```
//!
//! # How it works
//!
//! - Work starts at the call, not at the first poll. A thread is started only when a job finds
//!   none free, up to the pool's maximum; beyond that jobs queue, first in, first out.
//! - Idle threads lie on a stack and the one that went idle last is woken first, because its
//!   caches are warm and the others can then leave when their keep-alive is over. Before it
//!   sleeps a thread stays awake for ten microseconds, as the next job often follows at once.
//! - A thread counts as free *before* the result of its job is seen. Whoever awaits one job and
//!   then submits the next therefore finds it free, and a sequential program uses one thread.
//! - Dropping a [`Job`] cancels it if it has not started; a running one goes on to its end and
//!   its result is dropped. A thread cannot be interrupted.
//! - A panic is carried to whoever awaits the job. It never ends a thread of the pool.
//! - The threads are daemons: a process that ends does not wait for them. Use
//!   [`ThreadPool::join`] or [`ThreadPool::wait_closed`] where the work must be finished first.
//!
//! The pool works under any executor and needs no event loop. The pool of the running loop, if
//! there is one, is [`ThreadPool::current`], and [`unblock`] submits to it.
//!
//! # Checking the protocol
//!
//! The hand-over between submitters, sleeping threads and awaiting tasks is explored with loom:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
//!     cargo test -p asyncio-blocking --lib --release loom
//! ```
#![forbid(unsafe_code)]

mod current;
mod error;
mod handover;
mod job;
mod pool;
mod queue;
mod sync;
mod worker;

#[cfg(all(test, loom))]
mod loom_models;

pub use current::{EnterGuard, unblock};
pub use error::{JobError, Panic};
pub use job::Job;
pub use pool::{Builder, Stats, ThreadPool, WaitClosed};
