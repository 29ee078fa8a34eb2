//! Making transports: by connecting, by serving, of sockets and pipes that exist.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;

use asyncio_executor::yield_now;
use rustix::fs::FileType;

use crate::connect::ConnectOptions;
use crate::pipe::{read_pipe, write_pipe};
use crate::server::Server;
use crate::server_options::{Hosts, ServerOptions};
use crate::stream_reader::{DEFAULT_LIMIT, StreamReader};
use crate::stream_writer::StreamWriter;
use crate::transport::{BaseTransport, Protocol, SocketTransport};

/// Connects to a TCP port, and has the protocol which `factory` makes called with what comes; asyncio:
/// `loop.create_connection`.
///
/// `connection_made` has been called when this returns. What [`ConnectOptions`] says of streams' limits means nothing here.
///
/// # Cancel safety
/// Dropping the future gives the attempt up, and closes what was opened.
///
/// # Errors
/// Those of [`open_connection`](crate::open_connection).
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// use asyncio_net::{
///     BaseProtocol, BaseTransport, ConnectOptions, Protocol, ServerOptions, SocketTransport, WriteTransport,
///     create_connection, create_server,
/// };
/// use std::cell::{OnceCell, RefCell};
///
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
///
/// #[derive(Default)]
/// struct Client(RefCell<Vec<u8>>);
///
/// impl BaseProtocol for Client {
///     fn connection_made(&self, transport: &SocketTransport) {
///         transport.write(b"hello");
///     }
/// }
///
/// impl Protocol for Client {
///     fn data_received(&self, data: &[u8]) {
///         self.0.borrow_mut().extend_from_slice(data);
///     }
/// }
///
/// # asyncio_runtime::run(async {
/// let server = create_server(Echo::default, &ServerOptions::new(), "127.0.0.1", 0).await?;
/// let port = server.local_addrs()[0].port();
/// let (transport, client) = create_connection(Client::default, &ConnectOptions::new(), "127.0.0.1", port).await?;
/// while client.0.borrow().len() < 5 {
///     asyncio_executor::yield_now().await;
/// }
/// transport.close();
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn create_connection<P: Protocol + 'static>(
    factory: impl FnOnce() -> P,
    options: &ConnectOptions,
    host: &str,
    port: u16,
) -> io::Result<(SocketTransport, Rc<P>)> {
    let (reader, writer) = options.connect(host, port).await?;
    start(factory, Some(reader), Some(writer)).await
}

/// Connects to a Unix socket; asyncio: `loop.create_unix_connection`. See [`create_connection`].
///
/// # Cancel safety
/// As [`create_connection`].
///
/// # Errors
/// Those of [`open_unix_connection`](crate::open_unix_connection).
pub async fn create_unix_connection<P: Protocol + 'static>(
    factory: impl FnOnce() -> P,
    options: &ConnectOptions,
    path: impl AsRef<Path>,
) -> io::Result<(SocketTransport, Rc<P>)> {
    let (reader, writer) = options.connect_unix(path).await?;
    start(factory, Some(reader), Some(writer)).await
}

/// Makes a transport of a stream socket that is connected already, one that was accepted by other means for instance;
/// asyncio: `loop.connect_accepted_socket`, and `create_connection(sock=…)`.
///
/// # Cancel safety
/// Dropping the future closes the socket.
///
/// # Errors
/// `InvalidInput` for what is no stream socket, `NotConnected` for one that is not connected.
///
/// ```
/// # use asyncio_net::{BaseProtocol, ConnectOptions, Protocol, SocketTransport, WriteTransport, connect_accepted_socket};
/// # use std::{io::Read, os::unix::net::UnixStream};
/// # struct Quiet;
/// # impl BaseProtocol for Quiet {}
/// # impl Protocol for Quiet { fn data_received(&self, _: &[u8]) {} }
/// # asyncio_runtime::run(async {
/// let (ours, mut theirs) = UnixStream::pair()?;
/// let (transport, _) = connect_accepted_socket(|| Quiet, &ConnectOptions::new(), ours).await?;
/// transport.write(b"hello");
/// let mut buffer = [0; 5];
/// theirs.read_exact(&mut buffer)?;
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn connect_accepted_socket<P: Protocol + 'static>(
    factory: impl FnOnce() -> P,
    options: &ConnectOptions,
    sock: impl Into<OwnedFd>,
) -> io::Result<(SocketTransport, Rc<P>)> {
    let (reader, writer) = options.adopt(sock).await?;
    start(factory, Some(reader), Some(writer)).await
}

/// Reads a pipe, a terminal or the like by a protocol; asyncio: `loop.connect_read_pipe`.
///
/// The transport takes the descriptor over, and switches it to non-blocking mode. At the end `eof_received` is called, then
/// `connection_lost(None)`, whatever it returned.
///
/// # Cancel safety
/// Dropping the future closes the pipe.
///
/// # Errors
/// Those of [`read_pipe`].
///
/// ```
/// # use asyncio_net::{BaseProtocol, Protocol, connect_read_pipe};
/// # use std::{cell::RefCell, io::Write};
/// #[derive(Default)]
/// struct Collect(RefCell<Vec<u8>>);
/// impl BaseProtocol for Collect {}
/// impl Protocol for Collect {
///     fn data_received(&self, data: &[u8]) {
///         self.0.borrow_mut().extend_from_slice(data);
///     }
/// }
///
/// # asyncio_runtime::run(async {
/// let (ours, mut theirs) = std::io::pipe()?;
/// let (transport, collect) = connect_read_pipe(Collect::default, ours).await?;
/// theirs.write_all(b"hello")?;
/// while collect.0.borrow().len() < 5 {
///     asyncio_executor::yield_now().await;
/// }
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn connect_read_pipe<P: Protocol + 'static>(
    factory: impl FnOnce() -> P,
    pipe: impl Into<OwnedFd>,
) -> io::Result<(SocketTransport, Rc<P>)> {
    start(factory, Some(read_pipe(pipe, DEFAULT_LIMIT)?), None).await
}

/// Writes to a pipe, a terminal or the like by a transport; asyncio: `loop.connect_write_pipe`.
///
/// The transport takes the descriptor over, and switches it to non-blocking mode. The protocol hears of flow control, and of
/// the end: when nobody reads from the pipe any more, `connection_lost` is called, with an error if something was unsent.
///
/// # Cancel safety
/// Dropping the future closes the pipe.
///
/// # Errors
/// Those of [`write_pipe`].
pub async fn connect_write_pipe<P: Protocol + 'static>(
    factory: impl FnOnce() -> P,
    pipe: impl Into<OwnedFd>,
) -> io::Result<(SocketTransport, Rc<P>)> {
    let pipe = pipe.into();
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&pipe)?.st_mode);
    let protocol = Rc::new(factory());
    let transport = SocketTransport::start(None, Some(write_pipe(pipe)?), protocol.clone());
    // A terminal for writing is one for reading, too: that somebody types says nothing.
    if matches!(kind, FileType::Fifo | FileType::Socket) {
        transport.hear_hang_up();
    }
    made(transport, protocol).await
}

async fn start<P: Protocol + 'static>(
    factory: impl FnOnce() -> P,
    reader: Option<StreamReader>,
    writer: Option<StreamWriter>,
) -> io::Result<(SocketTransport, Rc<P>)> {
    let protocol = Rc::new(factory());
    let transport = SocketTransport::start(reader, writer, protocol.clone());
    made(transport, protocol).await
}

async fn made<P>(
    transport: SocketTransport,
    protocol: Rc<P>,
) -> io::Result<(SocketTransport, Rc<P>)> {
    let closing = CloseOnDrop(Some(&transport));
    // S200: the driver has its first step, with `connection_made`, before this goes on.
    yield_now().await;
    closing.disarm();
    Ok((transport, protocol))
}

/// Listens on a TCP port, and makes a transport with a protocol from `factory` for each client; asyncio:
/// `loop.create_server`.
///
/// It listens as [`start_server`](crate::start_server) does. A `factory` that panics is reported, and its client hung up on.
///
/// # Cancel safety
/// Dropping the future before it is ready leaves nothing behind.
///
/// # Errors
/// Those of [`start_server`](crate::start_server).
///
/// # Panics
/// Outside a running loop.
///
/// See [`create_connection`] for an example.
pub async fn create_server<P: Protocol + 'static>(
    factory: impl FnMut() -> P + 'static,
    options: &ServerOptions,
    hosts: impl Hosts,
    port: u16,
) -> io::Result<Server> {
    options.start(served(factory), hosts, port).await
}

/// Listens on a Unix socket; asyncio: `loop.create_unix_server`. See [`create_server`].
///
/// # Cancel safety
/// As [`create_server`].
///
/// # Errors
/// Those of [`start_unix_server`](crate::start_unix_server).
pub async fn create_unix_server<P: Protocol + 'static>(
    factory: impl FnMut() -> P + 'static,
    options: &ServerOptions,
    path: impl AsRef<Path>,
) -> io::Result<Server> {
    options.start_unix(served(factory), path).await
}

/// Listens on a socket that is bound already, TCP or Unix; asyncio: `loop.create_server(sock=…)`. See [`create_server`].
///
/// # Cancel safety
/// Dropping the future closes the socket.
///
/// # Errors
/// Those of [`ServerOptions::start_on`].
pub async fn create_server_on<P: Protocol + 'static>(
    factory: impl FnMut() -> P + 'static,
    options: &ServerOptions,
    sock: impl Into<OwnedFd>,
) -> io::Result<Server> {
    options.start_on(served(factory), sock).await
}

/// A server's callback whose task is the transport's driver.
fn served<P: Protocol + 'static>(
    factory: impl FnMut() -> P + 'static,
) -> impl FnMut(StreamReader, StreamWriter) -> Pin<Box<dyn Future<Output = ()>>> + 'static {
    let mut factory = factory;
    move |reader, writer| {
        let (_, driver) = SocketTransport::new(Some(reader), Some(writer), Rc::new(factory()));
        Box::pin(driver.run())
    }
}

/// Closes a transport whose maker has gone before it was handed over.
struct CloseOnDrop<'a>(Option<&'a SocketTransport>);

impl CloseOnDrop<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(transport) = self.0 {
            transport.close();
        }
    }
}
