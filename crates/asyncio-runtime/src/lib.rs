//! The event loop: executor, timers and reactor taking turns.
//!
//! [`run`] makes a loop, drives one future on it to its end, cancels what is left, and closes it. [`Runner`] does the
//! same for several futures in a row; [`EventLoop`] is the loop itself, for those who want to turn it by hand.
//!
//! # Implementation
//!
//! The three leaves know nothing of each other; `turn.rs` is the one function where they meet. The loop makes them
//! current on its thread while it runs, so that a library finds *its* leaf (`asyncio_timers::Sleep`, a socket's
//! reactor, the pool) without knowing that a loop exists.
//!
//! # Examples
//!
//! ```
//! let answer = asyncio_runtime::run(async {
//!     asyncio_timers::Sleep::new(0.001).await;
//!     42
//! });
//! assert_eq!(answer, 42);
//! ```
#![forbid(unsafe_code)]

mod current_loop;
mod debug;
#[doc(hidden)]
pub mod entry;
mod error;
mod event_loop;
mod handle;
#[cfg(unix)]
mod interrupt;
mod runner;
#[cfg(unix)]
mod signal_handlers;
mod stats;
mod threadsafe;
mod threadsafe_handle;
mod turn;

pub use current_loop::{GetLoop, get_event_loop, new_event_loop, set_event_loop};
pub use error::RunError;
pub use event_loop::{Builder, EventLoop};
pub use handle::{LoopHandle, TimerHandle, get_running_loop, try_running_loop};
pub use runner::{Runner, RunnerBuilder, run};
#[cfg(unix)]
pub use signal_handlers::{add_signal_handler, remove_signal_handler};
pub use stats::LoopStats;
pub use threadsafe::{
    ConcurrentError, ConcurrentFuture, WrapFuture, run_coroutine_threadsafe, wrap_future,
};
pub use threadsafe_handle::ThreadsafeHandle;
