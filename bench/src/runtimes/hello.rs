//! The HTTP server of the hyper row: the same for every runtime, over the adapter that makes its connections hyper's.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

/// Answers requests on one connection until the client closes it.
pub(super) async fn hello(connection: impl Read + Write + Unpin) {
    // An error means that the load has gone.
    let _ = http1::Builder::new()
        .serve_connection(connection, service_fn(answer))
        .await;
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(
        b"Hello, World!",
    ))))
}
