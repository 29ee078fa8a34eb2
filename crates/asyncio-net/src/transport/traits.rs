//! What transports can do, for code that works with any of them.

use asyncio_reactor::Address;

use crate::transport::WriteLimits;

/// What all transports can do; asyncio: `BaseTransport`.
pub trait BaseTransport {
    /// Reads no more, sends what is unsent, closes, and then has `connection_lost(None)` called (S201).
    ///
    /// Returns at once, and may be called again.
    fn close(&self);

    /// Whether it is closed, or about to be.
    fn is_closing(&self) -> bool;

    /// What is known about it; asyncio: `get_extra_info`.
    fn extra(&self) -> ExtraInfo;
}

/// What a transport with something to read can do; asyncio: `ReadTransport`.
pub trait ReadTransport: BaseTransport {
    /// Whether it reads: neither paused nor closing.
    fn is_reading(&self) -> bool;

    /// Stops calling `data_received`, also from inside it. What the peer sends waits in the kernel, and then with the peer;
    /// that it hangs up or resets shows only afterwards.
    fn pause_reading(&self);

    /// Ends [`pause_reading`](ReadTransport::pause_reading). Both may be called again.
    fn resume_reading(&self);
}

/// What a transport that can be written to can do; asyncio: `WriteTransport`.
pub trait WriteTransport: BaseTransport {
    /// Writes all of `data` without waiting: what cannot be sent at once is kept, and sent later.
    ///
    /// After the connection was closed or lost the data are dropped, and from the fifth time on that is reported (S204).
    ///
    /// # Panics
    /// After [`write_eof`](WriteTransport::write_eof) (S204), and where there is nothing to write to.
    fn write(&self, data: &[u8]);

    /// Writes several pieces as if they were one.
    ///
    /// # Panics
    /// As [`write`](WriteTransport::write).
    fn writelines(&self, pieces: &[&[u8]]);

    /// Ends this direction once everything is sent; reading goes on. A pipe has but one direction, and is closed.
    fn write_eof(&self);

    /// Whether [`write_eof`](WriteTransport::write_eof) leaves the other direction open.
    fn can_write_eof(&self) -> bool;

    /// Closes at once and drops what is unsent; `connection_lost(None)` follows (S201).
    fn abort(&self);

    /// Sets the marks of flow control (S203).
    fn set_write_buffer_limits(&self, limits: WriteLimits);

    /// The marks of flow control; 64 KiB and 16 KiB at first.
    fn get_write_buffer_limits(&self) -> WriteLimits;

    /// How many bytes were written and have not been given to the kernel.
    fn get_write_buffer_size(&self) -> usize;
}

/// A transport in both directions; asyncio: `Transport`.
///
/// ```
/// use asyncio_net::Transport;
///
/// /// Works with any transport.
/// fn refuse(transport: &impl Transport) {
///     transport.write(b"not today\n");
///     transport.close();
/// }
/// ```
pub trait Transport: ReadTransport + WriteTransport {}

impl<T: ReadTransport + WriteTransport> Transport for T {}

/// What is known about a transport; asyncio: the keys of `get_extra_info`.
///
/// Both are `None` for pipes, and for what was not asked before the transport was closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtraInfo {
    /// The address of the peer.
    pub peername: Option<Address>,
    /// The address of this side.
    pub sockname: Option<Address>,
}

impl ExtraInfo {
    pub(crate) fn new(peername: Option<Address>, sockname: Option<Address>) -> ExtraInfo {
        ExtraInfo { peername, sockname }
    }
}
