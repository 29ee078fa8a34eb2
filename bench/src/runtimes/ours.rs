//! Ours: the facade crate `asyncio`, with the loop-local primitives.

use std::rc::Rc;

use asyncio::{create_task as spawn, run as block_on, sleep, yield_now};

use super::ours_common::{group, join, run_program, serve, timeout};

super::ours_common::primitives!(Rc, asyncio_sync);

crate::cells::cells!(static OURS, "ours", "asyncio", "asyncio", block_on);
