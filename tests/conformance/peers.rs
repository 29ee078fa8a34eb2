//! Programs that others wrote, on the other end of our connections: `curl`, `nc`, `openssl`, a Redis and a PostgreSQL
//! server. Each test starts what it needs, and skips with a message where that is not installed.

mod curl;
mod nc;
mod openssl;
mod postgres;
mod program;
mod redis;
