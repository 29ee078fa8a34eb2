//! The promises of asyncio-net, one file per group. Peers are real sockets on the loopback interface.

mod budget;
mod connecting;
mod hostile;
mod reading;
mod resources;
mod serving;
mod support;
mod traits;
mod writing;
