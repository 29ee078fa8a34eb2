//! Child processes and their pipes.
#![forbid(unsafe_code)]
#![cfg(unix)]
