//! asyncio's names for everything below: the facade of the workspace.
