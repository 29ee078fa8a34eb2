//! The one place where a thread waits for file descriptors.
//!
//! # How it works
//!
//! A [`Reactor`] belongs to one thread, the one that runs an event loop, and so does everything in
//! this crate but the [`Notifier`]: there are no locks and no atomics on the way of a byte. The loop makes the reactor *current*
//! ([`Reactor::enter`]) and calls [`Reactor::wait`], which is at most one `epoll_wait`. It knows
//! wakers, never tasks.
//!
//! A [`Source`] is a non-blocking socket, pipe or the like with asynchronous operations. They *try
//! first*: `recv` is one `recv(2)`. Only when that would block is the descriptor registered, once
//! for its life, for edges in both directions; from then on the source remembers what the kernel
//! said last and does not ask again in vain. A read that brought less than it had room for has
//! drained a stream, so one echo on an otherwise idle connection costs three system calls: wait,
//! receive, send. [`Reactor::stats`] counts them, and the tests hold this crate to that number.
//!
//! What the user owns and reads by other means is *watched*, level-triggered, by
//! [`Reactor::watch`]. Other threads end the wait by a [`Notifier`], which makes a system call only
//! if the loop does sleep.
//!
//! On Linux the events come from epoll through rustix (`linux.rs` says why); on other Unix systems,
//! or with `--cfg asyncio_polling_backend`, from `polling::Poller` (`portable.rs`). Regular files
//! are not for waiting: they are always ready.
//!
//! # Example
//!
//! An echo server and its client, on nothing but this crate:
//!
//! ```
//! use asyncio_reactor::{Reactor, Source};
//! use std::{future::{Future, poll_fn}, net::{SocketAddr, TcpListener, TcpStream}, pin::pin, task::Poll};
//!
//! let reactor = Reactor::new()?;
//! let listener = Source::new(TcpListener::bind("127.0.0.1:0")?)?;
//! let address = listener.get_ref().local_addr()?;
//!
//! let mut server = pin!(async {
//!     let (connection, _peer) = listener.accept().await?;
//!     let connection = Source::assume_nonblocking(connection);
//!     let mut buffer = [0; 1024];
//!     loop {
//!         match connection.recv(&mut buffer).await? {
//!             0 => return std::io::Result::Ok(()),
//!             n => assert_eq!(connection.send(&buffer[..n]).await?, n),
//!         }
//!     }
//! });
//! let mut client = pin!(async {
//!     let connection = Source::new(TcpStream::connect(address)?)?;
//!     connection.send(b"hello").await?;
//!     let mut buffer = [0; 16];
//!     let n = connection.recv(&mut buffer).await?;
//!     std::io::Result::Ok(buffer[..n].to_vec())
//! });
//! let answer = reactor.block_on(poll_fn(|cx| {
//!     let _ = server.as_mut().poll(cx);
//!     client.as_mut().poll(cx)
//! }))?;
//! assert_eq!(answer, b"hello");
//! # std::io::Result::Ok(())
//! ```
//!
//! # Checking it
//!
//! The wake-up protocol between threads is model-checked, the other backend is tested on Linux too,
//! and the few lines of unsafe code run under AddressSanitizer:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test -p asyncio-reactor --lib --release loom
//! RUSTFLAGS="--cfg asyncio_polling_backend" CARGO_TARGET_DIR=target/portable cargo test -p asyncio-reactor
//! RUSTFLAGS=-Zsanitizer=address CARGO_TARGET_DIR=target/asan \
//!     cargo +nightly test -p asyncio-reactor --lib --tests --target x86_64-unknown-linux-gnu
//! ```

#![deny(unsafe_op_in_unsafe_fn)]
#![cfg(unix)]

#[cfg(all(target_os = "linux", not(asyncio_polling_backend)))]
#[path = "linux.rs"]
mod sys;
#[cfg(not(all(target_os = "linux", not(asyncio_polling_backend))))]
#[path = "portable.rs"]
mod sys;

mod address;
mod datagrams;
#[cfg(target_os = "linux")]
mod mmsg;
mod notifier;
mod ops;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod peer_cred;
mod reactor;
mod readiness;
mod sendfile;
mod source;
mod source_state;
mod stats;
mod sync;
mod watch;

pub use address::Address;
pub use datagrams::{Datagram, DatagramBatch};
pub use notifier::Notifier;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use peer_cred::PeerCred;
pub use reactor::{Entered, Reactor};
pub use readiness::Interest;
pub use source::Source;
pub use stats::Stats;
pub use watch::Watch;
