//! The promises of the executor, one file per group.

mod cancelling;
mod closing;
mod contexts;
mod debugging;
mod eager;
mod foreign;
mod joining;
mod looking;
mod memory;
mod misuse;
mod order;
mod panics;
mod programs;
mod scopes;
mod support;
mod tasks;
