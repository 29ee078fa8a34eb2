//! The promises of asyncio-process, one file per group. Children are real programs: `sh`, `cat`, `sleep` and their like.
#![cfg(target_os = "linux")]

mod cancelling;
mod communicating;
mod ending;
mod protocols;
mod resources;
mod standard_streams;
mod starting;
mod support;
