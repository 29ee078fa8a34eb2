//! What a program's tasks wait for, seen from inside and from outside.
//!
//! - [`graph`]: who awaits a task, from within the program; asyncio's `capture_call_graph` and `format_call_graph`.
//! - [`tools`]: `ps` and `pstree` of another process, as functions and as the command `asyncio`.
//!
//! # A hung program that explains itself
//!
//! A process answers when it was started with the environment variable `ASYNCIO_INSPECT=1`, or called
//! [`tools::serve`]. Then
//!
//! ```sh
//! asyncio ps PID       # every task: what it is about, and who awaits it
//! asyncio pstree PID   # the same as a tree; tasks that wait for each other in a circle are an error that names them
//! ```
//!
//! Both also say so when a loop does not turn, for how long, and which task keeps it: whether that task computes
//! without awaiting, or sits in a call that blocks.
//!
//! # How it works
//!
//! Nothing is recorded while a program runs: a task's scopes, which requests for cancellation travel along, lead to what
//! it awaits (`asyncio_executor::TaskRef::awaits`). The endpoint is a Unix socket served by a thread of its own. It asks
//! each loop for its tasks; one that does not answer within a second is told of by its *pulse*
//! (`asyncio_executor::Pulse`), which a loop keeps only while there is an endpoint.
//!
//! # Who may look
//!
//! The user of the process, and root. On Linux the socket has an abstract name and the kernel tells either side who the
//! other one is; elsewhere it lies in a folder that only its user may enter.
//!
//! # Examples
//!
//! ```
//! use asyncio_executor::spawn;
//! use asyncio_inspect::graph::{CallGraphOptions, format_call_graph};
//!
//! asyncio_runtime::run(async {
//!     let inner = spawn(std::future::pending::<()>());
//!     let outer = spawn(async move { inner.await });
//!     asyncio_executor::yield_now().await;
//!     asyncio_executor::yield_now().await;
//!     let text = format_call_graph(Some(&outer), &CallGraphOptions::default()).unwrap();
//!     assert!(text.starts_with("* Task(name='Task-"));
//!     outer.cancel();
//! });
//! ```
#![forbid(unsafe_code)]

pub mod graph;
pub mod tools;

#[cfg(target_os = "linux")]
#[path = "address/linux.rs"]
mod address;
#[cfg(all(unix, not(target_os = "linux")))]
#[path = "address/folder.rs"]
mod address;
#[cfg(unix)]
mod client;
#[cfg(unix)]
mod endpoint;
mod error;
mod links;
mod registry;
mod report;
mod stack;
mod table;
mod thread_state;
mod tree;
mod wire;

pub use registry::{Registration, register};
