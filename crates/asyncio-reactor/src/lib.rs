//! The one place where a thread waits for file descriptors.
