//! Sockets, buffered streams and servers on the loop.
