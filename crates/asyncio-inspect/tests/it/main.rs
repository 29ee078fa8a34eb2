//! The promises of the endpoint and of the command, one file per group. What they say of programs that hang is tested
//! with the whole workspace, in `tests/conformance/introspection.rs`.
#![cfg(unix)]

mod command;
mod endpoint;
mod program;
