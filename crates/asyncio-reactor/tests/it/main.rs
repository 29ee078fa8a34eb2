//! What the reactor promises, a file for each group of promises.

mod accept;
mod budget;
mod connect;
mod datagrams;
mod lifecycle;
mod model;
mod notifier;
mod pipes;
mod streams;
mod support;
mod wakers;
mod watch;
