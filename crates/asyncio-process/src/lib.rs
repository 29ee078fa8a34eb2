//! Child processes and their pipes.
//!
//! [`create_subprocess_exec`] and [`create_subprocess_shell`] start a child and give a [`Process`]: its pipes as streams,
//! its end as something to wait for, signals to it.
//!
//! # How it works
//!
//! - Programs are started by `std`, on the loop's thread. The pipes are [`asyncio_net`]'s streams.
//! - The end of a child is an event of the reactor: a descriptor of the process becomes readable (`kernel.rs`), or SIGCHLD
//!   comes where the system has none. The reactor owns the child until it is reaped (`child.rs`), so no task waits for it
//!   in the background, and no zombie is left when a `Process` is dropped.
//! - Signals go through the process's descriptor, so that they never hit a stranger with the same number.
//!
//! # Example
//!
//! ```
//! use asyncio_process::{Stdio, create_subprocess_exec};
//!
//! asyncio_runtime::run(async {
//!     let mut wc = create_subprocess_exec("wc").arg("-c").stdin(Stdio::Piped).stdout(Stdio::Piped).spawn().await?;
//!     let output = wc.communicate("twelve bytes").await?;
//!     assert_eq!(output.stdout.unwrap().trim_ascii(), b"12");
//!     assert_eq!(wc.returncode(), Some(0));
//!     std::io::Result::Ok(())
//! })?;
//! # std::io::Result::Ok(())
//! ```
#![deny(unsafe_code)]
#![cfg(unix)]

mod builder;
mod child;
mod communicate;
mod kernel;
mod pre_exec;
mod process;
mod redirect;
mod stdio;
mod transport;

pub use builder::{SubprocessBuilder, create_subprocess_exec, create_subprocess_shell};
pub use communicate::Output;
pub use process::{Process, ProcessLookupError};
pub use redirect::Stdio;
pub use stdio::{shared_reader, shared_writer, stderr, stdin, stdout};
pub use transport::{SubprocessProtocol, SubprocessTransport, subprocess_exec};
