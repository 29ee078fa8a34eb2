//! Servers: listening sockets and the connections that came from them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::{Rc, Weak};

use asyncio_executor::Task;
use asyncio_reactor::Source;
use slab::Slab;

use crate::changes::Changes;
use crate::connection::Connection;
use crate::server_options::cannot_listen;
use crate::socket;
use crate::unix::{self, SocketFile, UnixName};

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
    pub(crate) fn new(shared: Rc<Shared>) -> Server {
        Server { shared }
    }

    /// The IP addresses it listens on, none when it is closed.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        let listeners = self.shared.listeners.borrow();
        let addresses = listeners.iter().map(|listener| &listener.address);
        addresses
            .filter_map(|address| match address {
                ListenerAddress::Ip(address) => Some(*address),
                ListenerAddress::Unix(_) => None,
            })
            .collect()
    }

    /// Its listening sockets, to look at; none when it is closed. asyncio: `sockets`.
    ///
    /// ```
    /// # asyncio_runtime::run(async {
    /// let callback = |_reader, writer: asyncio_net::StreamWriter| async move { writer.write("hello") };
    /// let server = asyncio_net::start_server(callback, "127.0.0.1", 0).await?;
    /// for socket in server.sockets() {
    ///     println!("{socket:?}");
    /// }
    /// # assert!(server.sockets()[0].local_addr().unwrap().ip().is_loopback());
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn sockets(&self) -> Vec<ServerSocket> {
        let listeners = self.shared.listeners.borrow();
        listeners.iter().cloned().map(ServerSocket).collect()
    }

    /// Whether it accepts connections: it has been started, and is not closed.
    pub fn is_serving(&self) -> bool {
        self.shared.started.get() && !self.shared.closed.get()
    }

    /// Begins to accept connections, where [`ServerOptions::start_serving`](crate::ServerOptions::start_serving) was told not to;
    /// nothing, if it does already.
    ///
    /// # Cancel safety
    /// It has happened by the first poll; the rest gives other tasks a turn.
    ///
    /// # Errors
    /// `InvalidInput` when the server is closed; what the system says to listening, and then the server is closed.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, open_connection};
    ///
    /// asyncio_runtime::run(async {
    ///     let options = ServerOptions::new().start_serving(false);
    ///     let server = options.start(|_reader, _writer| async {}, "127.0.0.1", 0).await?;
    ///     let port = server.local_addrs()[0].port();
    ///     assert!(!server.is_serving() && open_connection("127.0.0.1", port).await.is_err());
    ///     server.start_serving().await?;
    ///     assert!(server.is_serving() && open_connection("127.0.0.1", port).await.is_ok());
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn start_serving(&self) -> io::Result<()> {
        self.shared.start()?;
        // S218.
        asyncio_executor::yield_now().await;
        Ok(())
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

    /// Closes every connection as [`StreamWriter::close`](crate::StreamWriter::close) does: what was written is sent (S221). Listening goes on.
    ///
    /// The tasks of the clients are not cancelled; they read the end of the stream.
    pub fn close_clients(&self) {
        self.shared.each_client(|connection| connection.close());
    }

    /// Closes every connection as [`StreamWriter::abort`](crate::StreamWriter::abort) does (S221). Listening goes on.
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
        if self.shared.serving_forever.get() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "`serve_forever` is being awaited already: once is enough",
            ));
        }
        self.shared.start()?;
        self.shared.serving_forever.set(true);
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

    /// Runs `body`, then closes the server and waits until its last connection is gone, whichever way the body ended;
    /// asyncio: `async with server` (S222).
    ///
    /// As [`wait_closed`](Server::wait_closed) it waits for ever if a client stays.
    ///
    /// # Cancel safety
    /// A request goes to the body, then the server is closed and waited for. Dropping the future closes the server, and waits for nothing.
    ///
    /// ```
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_runtime::run(async {
    ///     let server = start_server(|_reader, writer| async move { writer.write("hello") }, "127.0.0.1", 0).await?;
    ///     let greeting = server
    ///         .scope(async |server| {
    ///             let (mut reader, _writer) = open_connection("127.0.0.1", server.local_addrs()[0].port()).await?;
    ///             Ok::<_, std::io::Error>(reader.read_to_end().await?)
    ///         })
    ///         .await?;
    ///     assert_eq!(greeting, "hello");
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn scope<R>(self, body: impl AsyncFnOnce(&Server) -> R) -> R {
        asyncio_executor::finally(body(&self), async {
            self.close();
            self.wait_closed().await;
        })
        .await
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
            .field("sockets", &self.sockets())
            .field("is_serving", &self.is_serving())
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}

/// A listening socket of a [`Server`], to look at; asyncio: `TransportSocket`.
#[derive(Clone)]
pub struct ServerSocket(Rc<Listener>);

impl ServerSocket {
    /// The IP address it listens on; `None` for a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match &self.0.address {
            ListenerAddress::Ip(address) => Some(*address),
            ListenerAddress::Unix(_) => None,
        }
    }

    /// The path it listens on, or the abstract name behind a NUL byte; `None` for an IP socket.
    pub fn unix_path(&self) -> Option<&Path> {
        match &self.0.address {
            ListenerAddress::Ip(_) => None,
            ListenerAddress::Unix(name) => Some(name.path()),
        }
    }

    /// A second descriptor for the same socket, to get or set options of it, or to hand to another process. It listens as long as
    /// one of the two is open.
    ///
    /// # Errors
    /// `NotConnected` when the server is closed; out of descriptors.
    pub fn try_clone(&self) -> io::Result<OwnedFd> {
        match &*self.0.source.borrow() {
            Some(source) => source.get_ref().try_clone(),
            None => Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the server is closed, and so is its socket",
            )),
        }
    }
}

impl fmt::Debug for ServerSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerSocket({})", self.0.address)
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
    backlog: u32,
    /// Starts them; until then it holds the callback.
    starter: RefCell<Option<Starter>>,
    started: Cell<bool>,
    clients: RefCell<Slab<Weak<Connection>>>,
    /// How many clients have not ended their TLS handshake.
    pub(crate) handshakes: Cell<usize>,
    closed: Cell<bool>,
    serving_forever: Cell<bool>,
    /// Told when a connection is gone, when a handshake has ended, and when the server or an accepting task has.
    pub(crate) changes: Changes,
}

type Starter = Box<dyn FnOnce(&Rc<Shared>)>;

impl Shared {
    pub(crate) fn new(listeners: Vec<Rc<Listener>>, backlog: u32, starter: Starter) -> Rc<Shared> {
        Rc::new(Shared {
            listeners: RefCell::new(listeners),
            tasks: RefCell::default(),
            accepting: Cell::new(0),
            backlog,
            starter: RefCell::new(Some(starter)),
            started: Cell::new(false),
            clients: RefCell::default(),
            handshakes: Cell::new(0),
            closed: Cell::new(false),
            serving_forever: Cell::new(false),
            changes: Changes::default(),
        })
    }

    /// Listens and accepts, if it does not yet.
    fn start(self: &Rc<Self>) -> io::Result<()> {
        if self.closed.get() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the server is closed and cannot serve again: start another one",
            ));
        }
        let starter = self.starter.take();
        let Some(start) = starter else { return Ok(()) };
        let listening = self
            .listeners
            .borrow()
            .iter()
            .try_for_each(|listener| listener.listen(self.backlog));
        if let Err(error) = listening {
            self.close();
            return Err(error);
        }
        self.started.set(true);
        start(self);
        Ok(())
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
        let starter = self.starter.take();
        drop(starter);
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
    pub(crate) source: RefCell<Option<Source<OwnedFd>>>,
    pub(crate) address: ListenerAddress,
    /// The file of a Unix socket, if it is ours to remove.
    file: RefCell<Option<SocketFile>>,
}

impl Listener {
    pub(crate) fn new(
        source: Source<OwnedFd>,
        address: ListenerAddress,
        file: Option<SocketFile>,
    ) -> Rc<Listener> {
        Rc::new(Listener {
            source: RefCell::new(Some(source)),
            address,
            file: RefCell::new(file),
        })
    }

    fn listen(&self, backlog: u32) -> io::Result<()> {
        match &*self.source.borrow() {
            Some(source) => socket::listen(source.get_ref().as_fd(), backlog),
            None => Ok(()),
        }
        .map_err(|error| match &self.address {
            ListenerAddress::Ip(address) => cannot_listen(address, &error),
            ListenerAddress::Unix(name) => unix::cannot_listen(name, &error),
        })
    }

    fn close(&self) {
        // First the file: see `SocketFile`.
        let file = self.file.take();
        drop(file);
        // As with a connection: where it is in use further up the stack it is closed on drop.
        let source = self
            .source
            .try_borrow_mut()
            .ok()
            .and_then(|mut source| source.take());
        // Not only dropped: there may be other descriptors for this socket, on which others listen, and the reactor would go on
        // seeing their clients.
        drop(source.map(Source::into_inner));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a socket listens on.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum ListenerAddress {
    Ip(SocketAddr),
    Unix(UnixName),
}

impl fmt::Display for ListenerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenerAddress::Ip(address) => address.fmt(f),
            ListenerAddress::Unix(name) => name.fmt(f),
        }
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
