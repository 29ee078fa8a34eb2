//! The protocol that makes a stream of what a transport receives.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;

use asyncio_executor::{ExceptionContext, report, spawn, yield_now};

use crate::accept::{CallbackError, Outcome};
use crate::changes::Changes;
use crate::error::Lost;
use crate::feed::StreamFeeder;
use crate::stream_reader::StreamReader;
use crate::transport::{BaseProtocol, BaseTransport, Protocol, ReadTransport, SocketTransport};

/// A protocol that feeds a [`StreamReader`] with what its transport receives; asyncio: `StreamReaderProtocol`.
///
/// For programs that are written with transports and want to *read* by awaiting. ([`open_connection`](crate::open_connection)
/// does without: its streams read straight from the socket.) Who writes to the transport awaits
/// [`drain`](StreamReaderProtocol::drain) now and then.
///
/// - While more than twice the limit waits to be read the transport is paused, until no more than the limit does (S210).
/// - The end that the peer says ends the stream, and leaves this side's direction open, except with TLS, where the transport is
///   closed (S202).
/// - An error that breaks the connection is raised by every later read (S212).
/// - When the reader is dropped, what comes is dropped, too.
///
/// It is a handle: clones stand for the same protocol. One is for one connection.
///
/// ```
/// use asyncio_net::{
///     BaseTransport, ConnectOptions, ServerOptions, StreamError, StreamReaderProtocol, WriteTransport, create_connection,
///     create_server,
/// };
///
/// # asyncio_runtime::run(async {
/// let echo = || {
///     StreamReaderProtocol::with_callback(64 * 1024, |mut reader, transport, protocol| async move {
///         while let Ok(line) = reader.readline().await && !line.is_empty() {
///             transport.write(&line);
///             protocol.drain().await?;
///         }
///         transport.close();
///         std::io::Result::Ok(())
///     })
/// };
/// let server = create_server(echo, &ServerOptions::new(), "127.0.0.1", 0).await?;
/// let port = server.local_addrs()[0].port();
///
/// let (protocol, mut reader) = StreamReaderProtocol::new(64 * 1024);
/// let (transport, protocol) = create_connection(|| protocol, &ConnectOptions::new(), "127.0.0.1", port).await?;
/// transport.write(b"hello\n");
/// protocol.drain().await?;
/// assert_eq!(reader.readline().await?, "hello\n");
/// transport.write_eof();
/// assert_eq!(reader.read_to_end().await?, "");
/// # Ok::<(), StreamError>(()) })?;
/// # Ok::<(), StreamError>(())
/// ```
#[derive(Clone)]
pub struct StreamReaderProtocol {
    shared: Rc<Shared>,
}

impl StreamReaderProtocol {
    /// A protocol, and the reader that it feeds. asyncio: `StreamReaderProtocol(reader)`.
    ///
    /// # Panics
    /// For a limit of 0.
    #[track_caller]
    pub fn new(limit: usize) -> (StreamReaderProtocol, StreamReader) {
        let (feeder, reader) = StreamReader::pair(limit);
        (StreamReaderProtocol::over(feeder, None), reader)
    }

    /// A protocol that gives its reader to a callback when the connection is made, for servers;
    /// asyncio: `StreamReaderProtocol(reader, client_connected_cb)`.
    ///
    /// The callback gets the reader, the transport to write to, and the protocol to [`drain`](StreamReaderProtocol::drain) it. Its
    /// future becomes a task. If that returns an error, it goes to the loop's exception handler, and the transport is closed;
    /// if it panics or is cancelled the transport is closed, too (S215). Otherwise the callback closes the transport.
    ///
    /// # Panics
    /// For a limit of 0.
    #[track_caller]
    pub fn with_callback<C, F>(limit: usize, client_connected: C) -> StreamReaderProtocol
    where
        C: FnOnce(StreamReader, SocketTransport, StreamReaderProtocol) -> F + 'static,
        F: Future + 'static,
        F::Output: Outcome,
    {
        let (feeder, reader) = StreamReader::pair(limit);
        let begin = move |transport: SocketTransport, protocol| {
            let unfinished = CloseUnlessFinished(Some(transport.clone()));
            let serving = client_connected(reader, transport, protocol);
            let task = spawn(async move {
                match serving.await.into_error() {
                    None => unfinished.disarm(),
                    Some(error) => report(ExceptionContext::error(
                        "an error in the callback of a stream's protocol",
                        &CallbackError(error),
                    )),
                }
            });
            task.detach();
        };
        StreamReaderProtocol::over(feeder, Some(Box::new(begin)))
    }

    /// Waits while writing is paused: from the moment when more than the high water mark is unsent until no more than the low
    /// mark is (S213).
    ///
    /// Several tasks may wait; all are released. If the transport is closing it lets the other tasks run once, so that the loop
    /// may find out what becomes of it.
    ///
    /// # Cancel safety
    /// Nothing is lost: sending goes on.
    ///
    /// # Errors
    /// The error by which the connection was lost; `ConnectionReset` when it was closed or aborted on this side (where asyncio
    /// tells those who waited already of no error).
    pub async fn drain(&self) -> io::Result<()> {
        let shared = &*self.shared;
        shared.feeder.check()?;
        if shared.is_closing() {
            yield_now().await;
        }
        shared.changes.until(|| shared.may_write_on()).await
    }

    fn over(feeder: StreamFeeder, begin: Option<Begin>) -> StreamReaderProtocol {
        let shared = Shared {
            feeder,
            begin: Cell::new(begin),
            transport: RefCell::default(),
            reading_paused: Cell::new(false),
            writing_paused: Cell::new(false),
            lost: RefCell::default(),
            changes: Changes::default(),
        };
        StreamReaderProtocol {
            shared: Rc::new(shared),
        }
    }
}

impl BaseProtocol for StreamReaderProtocol {
    /// Calls the callback, if there is one.
    fn connection_made(&self, transport: &SocketTransport) {
        let former = self.shared.transport.replace(Some(transport.clone()));
        drop(former);
        if let Some(begin) = self.shared.begin.take() {
            begin(transport.clone(), self.clone());
        }
    }

    fn connection_lost(&self, error: Option<io::Error>) {
        let shared = &*self.shared;
        let lost = match &error {
            Some(error) => {
                shared.feeder.set_exception(error);
                Lost::new(error)
            }
            None => {
                shared.feeder.feed_eof();
                Lost::message(io::ErrorKind::ConnectionReset, "the connection is closed")
            }
        };
        shared.lost.borrow_mut().get_or_insert(lost);
        let gone = (shared.transport.take(), shared.begin.take());
        drop(gone);
        shared.changes.announce();
    }

    fn pause_writing(&self) {
        self.shared.writing_paused.set(true);
    }

    fn resume_writing(&self) {
        self.shared.writing_paused.set(false);
        self.shared.changes.announce();
    }
}

impl Protocol for StreamReaderProtocol {
    /// Feeds the reader, and pauses the transport when that has enough (S210).
    fn data_received(&self, data: &[u8]) {
        self.shared.feeder.feed_data(data.to_vec());
        if self.shared.feeder.is_full() {
            pause_reading(&self.shared);
        }
    }

    /// Ends the stream; `false`, which closes the transport, with TLS only.
    fn eof_received(&self) -> bool {
        self.shared.feeder.feed_eof();
        !self.shared.is_over_tls()
    }
}

impl fmt::Debug for StreamReaderProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReaderProtocol")
            .field("feeder", &self.shared.feeder)
            .field("reading_paused", &self.shared.reading_paused.get())
            .field("writing_paused", &self.shared.writing_paused.get())
            .field("lost", &self.shared.lost.borrow().is_some())
            .finish_non_exhaustive()
    }
}

/// What is done when the connection is made.
type Begin = Box<dyn FnOnce(SocketTransport, StreamReaderProtocol)>;

struct Shared {
    feeder: StreamFeeder,
    begin: Cell<Option<Begin>>,
    /// There from `connection_made` to `connection_lost`.
    transport: RefCell<Option<SocketTransport>>,
    /// By us.
    reading_paused: Cell<bool>,
    writing_paused: Cell<bool>,
    lost: RefCell<Option<Lost>>,
    /// Told when writing goes on and when the connection is lost.
    changes: Changes,
}

/// Pauses the transport until the reader has caught up. Nobody waits for that: the read that brings it about resumes.
fn pause_reading(shared: &Rc<Shared>) {
    let transport = shared.transport.borrow().clone();
    if let Some(transport) = transport
        && !shared.reading_paused.replace(true)
    {
        transport.pause_reading();
        let paused = Rc::downgrade(shared);
        shared.feeder.when_low(move || {
            if let Some(shared) = paused.upgrade() {
                shared.resume_reading();
            }
        });
    }
}

impl Shared {
    fn resume_reading(&self) {
        self.reading_paused.set(false);
        let transport = self.transport.borrow().clone();
        if let Some(transport) = transport {
            transport.resume_reading();
        }
    }

    fn is_closing(&self) -> bool {
        let transport = self.transport.borrow();
        transport.as_ref().is_some_and(BaseTransport::is_closing)
    }

    fn may_write_on(&self) -> Option<io::Result<()>> {
        match &*self.lost.borrow() {
            Some(lost) => Some(Err(lost.to_error())),
            None => (!self.writing_paused.get()).then_some(Ok(())),
        }
    }

    /// Looked up when it matters: TLS may have been started meanwhile.
    #[cfg(feature = "tls")]
    fn is_over_tls(&self) -> bool {
        let transport = self.transport.borrow();
        transport
            .as_ref()
            .is_some_and(|transport| transport.tls().is_some())
    }

    #[cfg(not(feature = "tls"))]
    fn is_over_tls(&self) -> bool {
        false
    }
}

/// Closes the transport of a callback that has failed, panicked or been cancelled (S215).
struct CloseUnlessFinished(Option<SocketTransport>);

impl CloseUnlessFinished {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseUnlessFinished {
    fn drop(&mut self) {
        if let Some(transport) = &self.0 {
            transport.close();
        }
    }
}
