//! What a transport calls: the protocol traits, and how their panics are contained.

use std::cell::RefMut;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use asyncio_executor::{ExceptionContext, report};

use crate::transport::SocketTransport;

/// What all protocols have in common; asyncio: `BaseProtocol`.
///
/// `T` is the transport: a [`SocketTransport`] for streams and pipes, a [`DatagramTransport`](crate::DatagramTransport) for
/// datagrams. All methods take `&self` and have a default that does nothing: a protocol is shared between its transport and
/// the program, and may be called while it calls its transport (`pause_writing` comes from inside
/// [`write`](crate::WriteTransport::write)). Keep what changes in a `Cell` or `RefCell`, and hold no borrow while calling
/// the transport.
///
/// The order of calls is: `connection_made`, then data, at most one end of data, then one `connection_lost` (S200).
pub trait BaseProtocol<T = SocketTransport> {
    /// The connection stands. Called from the loop's queue, before the call that made the connection returns (S200).
    ///
    /// Keep a clone of the transport to write to it later. A panic is reported, and changes nothing (S205).
    fn connection_made(&self, transport: &T) {
        let _ = transport;
    }

    /// The connection is gone: the last call, and after `connection_made` there is exactly one, from the loop's queue (S200,
    /// S201).
    ///
    /// `error` is `None` when it was closed or aborted on this side or ended by the peer; otherwise what broke it. What is
    /// written now is dropped. A panic is reported (S205).
    fn connection_lost(&self, error: Option<io::Error>) {
        let _ = error;
    }

    /// More than the high water mark is unsent: stop writing. Called *inside* `write`, once until
    /// [`resume_writing`](BaseProtocol::resume_writing) (S203). A panic is reported.
    fn pause_writing(&self) {}

    /// No more than the low water mark is unsent. Follows each `pause_writing` unless the connection is lost (S203).
    fn resume_writing(&self) {}
}

/// A protocol for streams of bytes; asyncio: `Protocol`.
///
/// ```
/// use asyncio_net::{BaseProtocol, Protocol, SocketTransport, WriteTransport};
/// use std::cell::OnceCell;
///
/// /// Sends everything back.
/// #[derive(Default)]
/// struct Echo(OnceCell<SocketTransport>);
///
/// impl BaseProtocol for Echo {
///     fn connection_made(&self, transport: &SocketTransport) {
///         let _ = self.0.set(transport.clone());
///     }
/// }
///
/// impl Protocol for Echo {
///     fn data_received(&self, data: &[u8]) {
///         self.0.get().unwrap().write(data);
///     }
/// }
/// ```
pub trait Protocol: BaseProtocol {
    /// Bytes came, cut in any way. A panic is reported, and the connection aborted (S205).
    fn data_received(&self, data: &[u8]);

    /// The peer sends no more. `true` keeps this side's direction open; `false`, the default, closes the transport once
    /// everything is sent (S202). Not called for a connection that was closed here. A panic is reported, and the
    /// connection aborted (S205).
    fn eof_received(&self) -> bool {
        false
    }

    /// The other kind of protocol, for [`Buffered`], which has it.
    #[doc(hidden)]
    fn as_buffered(&self) -> Option<&dyn BufferedProtocol> {
        None
    }
}

/// A protocol that has its bytes received into a buffer of its own; asyncio: `BufferedProtocol`.
///
/// Hand it over as [`Buffered(protocol)`](Buffered).
///
/// ```
/// use asyncio_net::{BaseProtocol, Buffered, BufferedProtocol, ServerOptions, create_connection, create_server};
/// use std::cell::{Cell, RefCell, RefMut};
///
/// /// Collects everything, without a copy.
/// struct Collect {
///     buffer: RefCell<Vec<u8>>,
///     filled: Cell<usize>,
/// }
///
/// impl BaseProtocol for Collect {}
///
/// impl BufferedProtocol for Collect {
///     fn get_buffer(&self, size_hint: usize) -> RefMut<'_, [u8]> {
///         let mut buffer = self.buffer.borrow_mut();
///         let wanted = self.filled.get() + size_hint.min(4096);
///         if buffer.len() < wanted {
///             buffer.resize(wanted, 0);
///         }
///         RefMut::map(buffer, |buffer| &mut buffer[self.filled.get()..])
///     }
///
///     fn buffer_updated(&self, n: usize) {
///         self.filled.set(self.filled.get() + n);
///     }
/// }
/// # struct Greet;
/// # impl BaseProtocol for Greet { fn connection_made(&self, transport: &asyncio_net::SocketTransport) {
/// #     use asyncio_net::{BaseTransport, WriteTransport}; transport.write(b"hello"); transport.close() } }
/// # impl asyncio_net::Protocol for Greet { fn data_received(&self, _: &[u8]) {} }
/// # asyncio_runtime::run(async {
/// # let collect = || Buffered(Collect { buffer: RefCell::default(), filled: Cell::new(0) });
/// # let server = create_server(|| Greet, &ServerOptions::new(), "127.0.0.1", 0).await?;
/// # let options = asyncio_net::ConnectOptions::new();
/// # let (transport, protocol) = create_connection(collect, &options, "127.0.0.1", server.local_addrs()[0].port()).await?;
/// # while protocol.0.filled.get() < 5 { asyncio_executor::yield_now().await }
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub trait BufferedProtocol: BaseProtocol {
    /// Where to put what comes next. `size_hint` is how much may come; less is fine, nothing is an error that aborts the
    /// connection.
    ///
    /// No code but the system call runs between this and [`buffer_updated`](BufferedProtocol::buffer_updated), or the
    /// next `get_buffer`, if nothing came.
    fn get_buffer(&self, size_hint: usize) -> RefMut<'_, [u8]>;

    /// The first `n` bytes of the buffer have been filled. A panic is reported, and the connection aborted (S205).
    fn buffer_updated(&self, n: usize);

    /// As [`Protocol::eof_received`].
    fn eof_received(&self) -> bool {
        false
    }
}

/// Makes a [`BufferedProtocol`] a [`Protocol`], for the functions that take one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffered<P>(pub P);

impl<P: BaseProtocol> BaseProtocol for Buffered<P> {
    fn connection_made(&self, transport: &SocketTransport) {
        self.0.connection_made(transport);
    }

    fn connection_lost(&self, error: Option<io::Error>) {
        self.0.connection_lost(error);
    }

    fn pause_writing(&self) {
        self.0.pause_writing();
    }

    fn resume_writing(&self) {
        self.0.resume_writing();
    }
}

impl<P: BufferedProtocol> Protocol for Buffered<P> {
    /// Copies, for whoever calls it by hand; a transport receives into the buffer itself.
    fn data_received(&self, data: &[u8]) {
        let mut rest = data;
        while !rest.is_empty() {
            let mut buffer = self.0.get_buffer(rest.len());
            let n = buffer.len().min(rest.len());
            assert!(n > 0, "{EMPTY_BUFFER}");
            buffer[..n].copy_from_slice(&rest[..n]);
            drop(buffer);
            self.0.buffer_updated(n);
            rest = &rest[n..];
        }
    }

    fn eof_received(&self) -> bool {
        self.0.eof_received()
    }

    fn as_buffered(&self) -> Option<&dyn BufferedProtocol> {
        Some(&self.0)
    }
}

pub(crate) const EMPTY_BUFFER: &str =
    "`get_buffer` returned an empty buffer: give at least one byte of room";

/// Calls a method of a protocol. Its panic goes to the loop's exception handler, and comes back as an error (S205).
pub(crate) fn contained<R>(method: &str, call: impl FnOnce() -> R) -> io::Result<R> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| {
        let message = format!("a panic in `{method}` of a protocol");
        let context = ExceptionContext::panic(message.clone(), payload, None, None);
        let error = io::Error::other(match &context.exception {
            Some(text) => format!("{message}: {text}"),
            None => message,
        });
        report(context);
        error
    })
}
