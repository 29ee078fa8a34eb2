//! Unix signals as readiness.
#![forbid(unsafe_code)]
#![cfg(unix)]
