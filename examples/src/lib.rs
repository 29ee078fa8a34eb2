//! The examples: a course in asyncio for Rust, each asserting its own result.
//!
//! They are the example targets of this package; `README.md` beside the manifest gives the order to read them in.
