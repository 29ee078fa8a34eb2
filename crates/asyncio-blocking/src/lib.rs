//! A thread pool for calls that block.
