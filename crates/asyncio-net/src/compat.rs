//! The streams under the traits of other libraries, each behind a feature.

#[cfg(feature = "hyper")]
pub(crate) mod hyper;
#[cfg(feature = "tokio-io")]
mod tokio_io;
