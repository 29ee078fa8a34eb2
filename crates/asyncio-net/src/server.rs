//! Servers: listening sockets and the connections that came from them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::rc::{Rc, Weak};

use asyncio_executor::Task;
use asyncio_reactor::Source;
use slab::Slab;

use crate::accept::{self, Outcome};
use crate::changes::Changes;
use crate::connection::Connection;
use crate::resolve::resolve;
use crate::socket;
use crate::stream_reader::{DEFAULT_LIMIT, StreamReader};
use crate::stream_writer::StreamWriter;

/// Listens on a TCP port and runs `callback` as a task of its own for each client; asyncio: `start_server`.
///
/// - `host` is an address, a name (every address of it gets a socket) or `""` for all interfaces, IPv4 and IPv6. Port 0 means
///   any free one, for each socket another; [`Server::local_addrs`] tells (S218).
/// - The callback's future returns `()` or a `Result`. An `Err` or a panic goes to the loop's exception handler and
///   closes the connection; cancelling the task only closes it (S215). Usually the future owns both ends, so that they close when it ends.
/// - [`ServerOptions`] has the rest.
///
/// It listens when this returns.
///
/// # Cancel safety
/// Dropping the future before it is ready leaves nothing behind.
///
/// # Errors
/// `AddrInUse` and the like, naming the address and what to do; `NotFound` for a name that does not resolve.
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// use asyncio_net::{StreamReader, StreamWriter, open_connection, start_server};
///
/// async fn echo(mut reader: StreamReader, writer: StreamWriter) -> std::io::Result<()> {
///     loop {
///         let data = reader.read(65536).await?;
///         if data.is_empty() {
///             return Ok(());
///         }
///         writer.write(&data);
///         writer.drain().await?;
///     }
/// }
///
/// asyncio_runtime::run(async {
///     let server = start_server(echo, "127.0.0.1", 0).await?;
///     let (mut reader, writer) = open_connection("127.0.0.1", server.local_addrs()[0].port()).await?;
///     writer.write(b"hello");
///     assert_eq!(reader.readexactly(5).await?, "hello");
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn start_server<C, F>(callback: C, host: &str, port: u16) -> io::Result<Server>
where
    C: FnMut(StreamReader, StreamWriter) -> F + 'static,
    F: Future + 'static,
    F::Output: Outcome,
{
    ServerOptions::new().start(callback, host, port).await
}

/// How to listen: the keyword arguments of asyncio's `start_server`.
///
/// ```
/// use asyncio_net::ServerOptions;
///
/// asyncio_runtime::run(async {
///     let server = ServerOptions::new()
///         .backlog(1024)
///         .limit(8 * 1024)
///         .start(|_reader, writer| async move { writer.write(b"good bye\n") }, "127.0.0.1", 0)
///         .await?;
///     assert!(server.is_serving());
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `start` is called"]
pub struct ServerOptions {
    backlog: u32,
    limit: usize,
    reuse_port: bool,
    nodelay: bool,
}

impl ServerOptions {
    /// The options of [`start_server`].
    pub fn new() -> ServerOptions {
        ServerOptions {
            backlog: 100,
            limit: DEFAULT_LIMIT,
            reuse_port: false,
            nodelay: true,
        }
    }

    /// How many clients may wait in the kernel to be accepted; 100 at first.
    pub fn backlog(mut self, backlog: u32) -> ServerOptions {
        self.backlog = backlog;
        self
    }

    /// The most bytes [`StreamReader::readuntil`] accepts before the separator; 64 KiB at first.
    ///
    /// # Panics
    /// For 0.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> ServerOptions {
        assert!(limit > 0, "the limit of a stream must be at least 1");
        self.limit = limit;
        self
    }

    /// Whether other sockets may listen on the same port (`SO_REUSEPORT`), and the kernel spreads the clients: for one
    /// loop per core. Not unless told.
    pub fn reuse_port(mut self, reuse_port: bool) -> ServerOptions {
        self.reuse_port = reuse_port;
        self
    }

    /// Whether small writes leave at once (`TCP_NODELAY`); they do unless told otherwise.
    pub fn nodelay(mut self, nodelay: bool) -> ServerOptions {
        self.nodelay = nodelay;
        self
    }

    /// Listens, see [`start_server`].
    ///
    /// # Cancel safety
    /// As [`start_server`].
    ///
    /// # Errors
    /// As [`start_server`].
    ///
    /// # Panics
    /// As [`start_server`].
    pub async fn start<C, F>(&self, callback: C, host: &str, port: u16) -> io::Result<Server>
    where
        C: FnMut(StreamReader, StreamWriter) -> F + 'static,
        F: Future + 'static,
        F::Output: Outcome,
    {
        let addresses = if host.is_empty() {
            vec![
                (Ipv4Addr::UNSPECIFIED, port).into(),
                (Ipv6Addr::UNSPECIFIED, port).into(),
            ]
        } else {
            resolve(host, port).await?
        };
        let mut listeners = Vec::new();
        let mut refused = None;
        for address in &addresses {
            match socket::listener(address, self.backlog, self.reuse_port, self.nodelay) {
                Ok(listener) => listeners.push(Rc::new(Listener::new(listener)?)),
                // The system has no such protocol or interface. That is an error only if it has none of them.
                Err(error) if addresses.len() > 1 && is_unavailable(&error) => {
                    refused = Some((address, error))
                }
                Err(error) => return Err(cannot_listen(address, &error)),
            }
        }
        if let (true, Some((address, error))) = (listeners.is_empty(), &refused) {
            return Err(cannot_listen(address, error));
        }
        let server = Server {
            shared: Shared::new(listeners),
        };
        accept::start(&server.shared, callback, self.limit);
        // S218.
        asyncio_executor::yield_now().await;
        Ok(server)
    }
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions::new()
    }
}

fn is_unavailable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn cannot_listen(address: &SocketAddr, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program, or another server of this one, listens there: stop it, or choose another port (0 means any free one)"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need privileges: choose another port"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: use \"\" for all interfaces"
        }
        _ => "",
    };
    io::Error::new(
        error.kind(),
        format!("cannot listen on {address}: {error}{advice}"),
    )
}

/// A server; asyncio: `Server`.
///
/// # Dropping
///
/// Dropping it closes the listening sockets; connections stay, as with [`close`](Server::close). (In asyncio a server whose
/// object is forgotten goes on listening: keep it as long as it is to serve.)
#[must_use = "a server that is dropped stops listening: keep it, and await `serve_forever`"]
pub struct Server {
    shared: Rc<Shared>,
}

impl Server {
    /// The addresses it listens on, none when it is closed; asyncio: `sockets`.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.shared
            .listeners
            .borrow()
            .iter()
            .map(|listener| listener.address)
            .collect()
    }

    /// Whether it accepts connections.
    pub fn is_serving(&self) -> bool {
        !self.shared.closed.get()
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.clients.borrow().len()
    }

    /// Stops listening; connections stay, and [`serve_forever`](Server::serve_forever) ends (S219).
    ///
    /// Clients in the kernel's backlog are refused. May be called again.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Closes every connection as [`StreamWriter::close`] does: what was written is sent (S221). Listening goes on.
    ///
    /// The tasks of the clients are not cancelled; they read the end of the stream.
    pub fn close_clients(&self) {
        self.shared.each_client(|connection| connection.close());
    }

    /// Closes every connection as [`StreamWriter::abort`] does (S221). Listening goes on.
    pub fn abort_clients(&self) {
        self.shared.each_client(|connection| connection.abort());
    }

    /// Waits until the server is closed *and* its last connection is, in either order (S220).
    ///
    /// It waits for ever if a client stays: [`close_clients`](Server::close_clients) sends them away.
    ///
    /// ```
    /// # asyncio_runtime::run(async {
    /// # let echo = |mut reader: asyncio_net::StreamReader, _writer| async move { reader.read(1).await.map(drop) };
    /// # let server = asyncio_net::start_server(echo, "127.0.0.1", 0).await?;
    /// // An orderly end: nobody new, everybody out, lights off.
    /// server.close();
    /// server.close_clients();
    /// server.wait_closed().await;
    /// assert!(!server.is_serving() && server.connections() == 0);
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn wait_closed(&self) {
        self.shared.wait_closed().await;
    }

    /// Serves until it is closed, then waits until that is done (S222).
    ///
    /// A request to end the task that awaits this closes the server, waits as [`wait_closed`](Server::wait_closed)
    /// does, and then goes on unwinding. (asyncio raises `CancelledError` also when the server was closed by
    /// [`close`](Server::close); here that is no error.)
    ///
    /// # Cancel safety
    /// Dropping the future closes the server, and waits for nothing.
    ///
    /// # Errors
    /// `InvalidInput` when it is being awaited already, or the server is closed.
    ///
    /// ```
    /// use asyncio_net::start_server;
    ///
    /// asyncio_runtime::run(async {
    ///     let server = start_server(|_reader, writer| async move { writer.write(b"hello") }, "127.0.0.1", 0).await?;
    ///     let task = asyncio_executor::spawn(async move { server.serve_forever().await });
    ///     asyncio_executor::yield_now().await;
    ///     task.cancel();
    ///     assert!(task.await.unwrap_err().is_cancelled());
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn serve_forever(&self) -> io::Result<()> {
        let misuse = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if self.shared.closed.get() {
            return misuse("`serve_forever` on a server that is closed: start another one");
        }
        if self.shared.serving_forever.replace(true) {
            return misuse("`serve_forever` is being awaited already: once is enough");
        }
        let closing = CloseOnDrop(&self.shared);
        let closed = self
            .shared
            .changes
            .until(|| self.shared.closed.get().then_some(()));
        asyncio_executor::finally(closed, async {
            self.shared.close();
            self.shared.wait_closed().await;
        })
        .await;
        drop(closing);
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("local_addrs", &self.local_addrs())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

struct CloseOnDrop<'a>(&'a Shared);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.serving_forever.set(false);
        self.0.close();
    }
}

/// What a server, its accepting tasks and its connections share.
pub(crate) struct Shared {
    pub(crate) listeners: RefCell<Vec<Rc<Listener>>>,
    /// The accepting tasks, one for each listener.
    pub(crate) tasks: RefCell<Vec<Task<()>>>,
    /// How many of them have not ended.
    pub(crate) accepting: Cell<usize>,
    clients: RefCell<Slab<Weak<Connection>>>,
    closed: Cell<bool>,
    serving_forever: Cell<bool>,
    /// Told when a connection is gone, and when the server or an accepting task has ended.
    pub(crate) changes: Changes,
}

impl Shared {
    fn new(listeners: Vec<Rc<Listener>>) -> Rc<Shared> {
        Rc::new(Shared {
            listeners: RefCell::new(listeners),
            tasks: RefCell::default(),
            accepting: Cell::new(0),
            clients: RefCell::default(),
            closed: Cell::new(false),
            serving_forever: Cell::new(false),
            changes: Changes::default(),
        })
    }

    pub(crate) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        for listener in self.listeners.take() {
            listener.close();
        }
        for task in self.tasks.take() {
            task.cancel();
        }
        self.changes.announce();
    }

    /// One listener is no more: with the last one the server is closed.
    pub(crate) fn listener_ended(&self, listener: &Rc<Listener>) {
        listener.close();
        self.listeners
            .borrow_mut()
            .retain(|other| !Rc::ptr_eq(other, listener));
        self.accepting.set(self.accepting.get() - 1);
        if self.accepting.get() == 0 {
            self.close();
        }
        self.changes.announce();
    }

    pub(crate) fn add_client(self: &Rc<Self>, connection: &Rc<Connection>) {
        let key = self.clients.borrow_mut().insert(Rc::downgrade(connection));
        connection.join(Membership {
            server: self.clone(),
            key,
        });
    }

    pub(crate) fn clients(&self) -> usize {
        self.clients.borrow().len()
    }

    fn each_client(&self, act: impl Fn(&Connection)) {
        // Closing one takes it out of the table.
        let clients: Vec<_> = self
            .clients
            .borrow()
            .iter()
            .filter_map(|(_, client)| client.upgrade())
            .collect();
        for client in clients {
            act(&client);
        }
    }

    async fn wait_closed(&self) {
        let is_over = || self.closed.get() && self.accepting.get() == 0 && self.clients() == 0;
        self.changes.until(|| is_over().then_some(())).await;
    }
}

/// A listening socket, until it is closed.
pub(crate) struct Listener {
    pub(crate) source: RefCell<Option<Source<TcpListener>>>,
    pub(crate) address: SocketAddr,
}

impl Listener {
    fn new(listener: TcpListener) -> io::Result<Listener> {
        let address = listener.local_addr()?;
        Ok(Listener {
            source: RefCell::new(Some(Source::assume_nonblocking(listener))),
            address,
        })
    }

    fn close(&self) {
        // As with a connection: where it is in use further up the stack it is closed on drop.
        let source = self
            .source
            .try_borrow_mut()
            .ok()
            .and_then(|mut source| source.take());
        drop(source);
    }
}

/// A connection's place among the clients of a server, until it is closed.
pub(crate) struct Membership {
    server: Rc<Shared>,
    key: usize,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.server.clients.borrow_mut().remove(self.key);
        self.server.changes.announce();
    }
}
