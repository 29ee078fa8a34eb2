//! The promises of asyncio-net, one file per group. Peers are real sockets on the loopback interface.

mod budget;
mod compat;
mod connecting;
mod datagrams;
mod feeding;
mod happy_eyeballs;
mod hostile;
mod low_level;
mod pipes;
mod reading;
mod resolving;
mod resources;
mod sendfile;
mod serving;
mod support;
mod tls;
mod tls_hostile;
mod tls_openssl;
mod tls_serving;
mod tls_support;
mod traits;
mod transports;
mod transports_hostile;
mod transports_tls;
mod unix;
mod writing;
