//! Structured concurrency: groups, gathering, timeouts, shielding.
