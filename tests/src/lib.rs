//! Promises of the whole workspace: asyncio's rules by number, layering, tidiness.
