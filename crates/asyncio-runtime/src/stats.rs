//! What a loop counts about itself.

/// Figures of one loop since it was made; from [`LoopHandle::stats`](crate::LoopHandle::stats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoopStats {
    /// Turns, steps of tasks, callbacks run, wakes: what the executor counts.
    pub executor: asyncio_executor::Stats,
    /// Waits, system calls, events: what the reactor counts.
    pub reactor: asyncio_reactor::Stats,
    /// Deadlines waited for now.
    pub timers: usize,
}
