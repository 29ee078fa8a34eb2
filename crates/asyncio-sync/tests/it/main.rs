//! What the primitives promise. Rule numbers (S139 ...) are those of the project's asyncio semantics.
//!
//! The files in `both/` are compiled twice, once for each family: they name it `family`, and its counted pointer `Shared`.

#![allow(
    clippy::duplicate_mod,
    reason = "that is how the same tests run over both families"
)]

mod any_executor;
mod rules;
mod sends;
mod stepper;
mod stress;
mod wait_queue;

#[path = "both"]
mod local {
    use std::rc::Rc as Shared;

    use asyncio_sync as family;

    mod barrier;
    mod channels;
    mod condition;
    mod disciplines;
    mod event;
    mod future;
    mod limiter;
    mod lock;
    mod models;
    mod mutex;
    mod once_cell;
    mod queue;
    mod rwlock;
    mod semaphore;
}

#[path = "both"]
mod threadsafe {
    use std::sync::Arc as Shared;

    use asyncio_sync::threadsafe as family;

    mod barrier;
    mod channels;
    mod condition;
    mod disciplines;
    mod event;
    mod future;
    mod limiter;
    mod lock;
    mod models;
    mod mutex;
    mod once_cell;
    mod queue;
    mod rwlock;
    mod semaphore;
}
