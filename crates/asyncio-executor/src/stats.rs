//! What an executor counts about itself.

/// Counters of an executor since it was made; from [`Executor::stats`](crate::Executor::stats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns: calls of [`run_ready`](crate::Executor::run_ready).
    pub turns: u64,
    /// Tasks made.
    pub spawned: u64,
    /// Steps of tasks.
    pub polls: u64,
    /// Callbacks run.
    pub callbacks: u64,
    /// Wakes that came from the executor's own thread.
    pub wakes: u64,
    /// Wakes and calls that came from other threads.
    pub foreign: u64,
    /// Tasks that have not ended.
    pub living: usize,
}
