//! TLS by rustls, as a layer inside a connection: the reader and the writer of a connection are the same objects with it and
//! without it.
//!
//! - `session.rs`: the protocol's side, without I/O: ciphertext in and out, plaintext in and out;
//! - `transfer.rs`: what a connection does with it: open what is received, seal what is written, part in good manners;
//! - `handshake.rs`: how the layer comes to be there;
//! - `options.rs`, `roots.rs`, `verify.rs`: who is trusted and who one is;
//! - `error.rs`, `info.rs`: what can be said of it.

mod error;
mod handshake;
mod info;
mod options;
mod roots;
mod session;
mod transfer;
mod verify;

pub use error::TlsError;
pub(crate) use handshake::{client_handshake, server_handshake, start_tls};
pub use info::TlsInfo;
pub use options::TlsOptions;
pub use rustls;
pub(crate) use session::Layer;
