//! What the primitives promise. Rule numbers (S139 ...) are those of the project's asyncio semantics.

mod any_executor;
mod event;
mod future;
mod lock;
mod models;
mod queue;
mod semaphore;
mod stepper;
mod wait_queue;
