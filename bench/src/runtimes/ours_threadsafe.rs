//! Ours with the primitives that are `Send` and `Sync`.

use std::sync::Arc;

use asyncio::{create_task as spawn, run as block_on, sleep, yield_now};

use super::ours_common::{group, join, run_program, serve, timeout};

super::ours_common::primitives!(Arc, asyncio_sync::threadsafe);

crate::cells::cells!(static OURS_THREADSAFE, "ours-threadsafe", "asyncio-sync", "asyncio, asyncio_sync::threadsafe", block_on);
