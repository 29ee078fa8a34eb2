//! The promises of structured concurrency, one file per topic. Numbers like S81 are asyncio's rules.
#![forbid(unsafe_code)]

mod support;

mod as_completed;
mod groups;
mod no_time;
mod promises;
mod rate_limiter;
mod scope;
mod timeout_scope;
mod wait;
