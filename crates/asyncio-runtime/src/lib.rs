//! The event loop: executor, timers and reactor taking turns.
