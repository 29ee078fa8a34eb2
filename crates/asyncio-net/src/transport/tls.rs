//! TLS in the middle of a connection.

use std::io;

use crate::tls::TlsOptions;
use crate::transport::SocketTransport;

/// Starts TLS on a transport that was plain so far, on whichever side the options are for (S216);
/// asyncio: `loop.start_tls`.
///
/// What was written before is sent first. Meanwhile nothing is read; afterwards the same transport goes on calling the
/// same protocol (asyncio returns a new transport), with what TLS has deciphered.
///
/// # Cancel safety
/// Once the handshake has begun the connection is closed. Before nothing is lost.
///
/// # Errors
/// Those of [`StreamWriter::start_tls`](crate::StreamWriter::start_tls); `InvalidInput` for a pipe, or while it is being
/// started already.
pub async fn start_tls(transport: &SocketTransport, options: &TlsOptions) -> io::Result<()> {
    let (mut reader, writer) = transport.lend_streams()?;
    writer.start_tls(reader.get(), options).await
}
