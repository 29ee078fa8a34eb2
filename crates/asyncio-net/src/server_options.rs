//! How to listen, and the start of a server.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use asyncio_reactor::Source;
use rustix::net::{SocketAddrUnix, getsockname};

use crate::accept::{self, Outcome};
use crate::resolve::{Hints, IpFamily, resolve_with};
use crate::server::{Listener, ListenerAddress, Server, Shared};
use crate::socket::{self, ListenerOptions};
use crate::stream_reader::{DEFAULT_LIMIT, StreamReader};
use crate::stream_writer::StreamWriter;
#[cfg(feature = "tls")]
use crate::tls::TlsOptions;
use crate::unix::{self, SocketFile, UnixName};

/// Listens on a TCP port and runs `callback` as a task of its own for each client; asyncio: `start_server`.
///
/// - `hosts` is an address, a name (every address of it gets a socket), `""` for all interfaces, IPv4 and IPv6, or a list of
///   these. Port 0 means any free one, for each socket another; [`Server::local_addrs`] tells (S218). Of several addresses those
///   that this machine does not have are passed over, as in asyncio, unless it has none of them.
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
pub async fn start_server<C, F>(callback: C, hosts: impl Hosts, port: u16) -> io::Result<Server>
where
    C: FnMut(StreamReader, StreamWriter) -> F + 'static,
    F: Future + 'static,
    F::Output: Outcome,
{
    ServerOptions::new().start(callback, hosts, port).await
}

/// How to listen: the keyword arguments of asyncio's `start_server` and `start_unix_server`.
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
    pub(crate) backlog: u32,
    pub(crate) limit: usize,
    pub(crate) max_connections: usize,
    socket: ListenerOptions,
    family: Option<IpFamily>,
    start_serving: bool,
    cleanup_socket: bool,
    exclusive: bool,
    mode: Option<u32>,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<TlsOptions>,
    #[cfg(feature = "tls")]
    max_handshakes: usize,
}

impl ServerOptions {
    /// The options of [`start_server`].
    pub fn new() -> ServerOptions {
        ServerOptions {
            backlog: 100,
            limit: DEFAULT_LIMIT,
            max_connections: usize::MAX,
            socket: ListenerOptions {
                reuse_address: true,
                reuse_port: false,
                ipv6_only: true,
                nodelay: true,
                keep_alive: false,
            },
            family: None,
            start_serving: true,
            cleanup_socket: true,
            exclusive: false,
            mode: None,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            max_handshakes: usize::MAX,
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

    /// How many connections may be open at a time; the next clients wait in the kernel, as many as the
    /// [`backlog`](ServerOptions::backlog) holds. No limit at first.
    ///
    /// # Panics
    /// For 0.
    ///
    /// ```
    /// # use asyncio_net::{ServerOptions, open_connection};
    /// # asyncio_runtime::run(async {
    /// let one_by_one = ServerOptions::new().max_connections(1);
    /// let server = one_by_one.start(|_reader, writer| async move { writer.write("hello") }, "127.0.0.1", 0).await?;
    /// for _ in 0..3 {
    ///     let (mut reader, _writer) = open_connection("127.0.0.1", server.local_addrs()[0].port()).await?;
    ///     assert_eq!(reader.read_to_end().await?, "hello");
    /// }
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[track_caller]
    pub fn max_connections(mut self, connections: usize) -> ServerOptions {
        assert!(connections > 0, "a server must allow at least 1 connection");
        self.max_connections = connections;
        self
    }

    /// Whether a port may be taken over on which connections of an ended server linger (`SO_REUSEADDR`). It may, unless told
    /// otherwise.
    pub fn reuse_address(mut self, reuse_address: bool) -> ServerOptions {
        self.socket.reuse_address = reuse_address;
        self
    }

    /// Whether other sockets may listen on the same port (`SO_REUSEPORT`), and the kernel spreads the clients: for one
    /// loop per core. Not unless told.
    pub fn reuse_port(mut self, reuse_port: bool) -> ServerOptions {
        self.socket.reuse_port = reuse_port;
        self
    }

    /// Whether the listening socket is shared with servers in other loops or processes, each of which has its own descriptor of it
    /// (by [`ServerSocket::try_clone`](crate::ServerSocket::try_clone) and [`start_on`](ServerOptions::start_on)): a client then wakes one of those
    /// that have nothing to do, and not all. Not unless told; to be told to all of them.
    ///
    /// Whoever is free takes the next client, where [`reuse_port`](ServerOptions::reuse_port) has the kernel deal them out in advance. A
    /// server that is at its [limit](ServerOptions::max_connections) may be the one that is woken: limits and this do not go
    /// together well.
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, open_connection};
    ///
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let clients = asyncio_runtime::run(async move {
    ///     let other = listener.try_clone()?;
    ///     let options = ServerOptions::new().exclusive(true);
    ///     let greet = |_reader, writer: asyncio_net::StreamWriter| async move { writer.write("hello") };
    ///     let here = options.start_on(greet, listener).await?;
    ///     // Usually on another thread, in a loop of its own:
    ///     let there = options.start_on(greet, other).await?;
    ///     let (mut reader, _writer) = open_connection("127.0.0.1", address.port()).await?;
    ///     assert_eq!(reader.read_to_end().await?, "hello");
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn exclusive(mut self, exclusive: bool) -> ServerOptions {
        self.exclusive = exclusive;
        self
    }

    /// Whether sockets on IPv6 addresses leave IPv4 alone, as they do at first. Otherwise one on `::`, which is then what `""` stands
    /// for, accepts both, IPv4 clients with addresses like `::ffff:192.0.2.1`.
    pub fn ipv6_only(mut self, ipv6_only: bool) -> ServerOptions {
        self.socket.ipv6_only = ipv6_only;
        self
    }

    /// Listen only on addresses of this family; asyncio: `family`.
    pub fn family(mut self, family: impl Into<Option<IpFamily>>) -> ServerOptions {
        self.family = family.into();
        self
    }

    /// Whether small writes leave at once (`TCP_NODELAY`); they do unless told otherwise.
    pub fn nodelay(mut self, nodelay: bool) -> ServerOptions {
        self.socket.nodelay = nodelay;
        self
    }

    /// Whether the kernel asks silent clients from time to time if they are there (`SO_KEEPALIVE`). Not unless told.
    pub fn keep_alive(mut self, keep_alive: bool) -> ServerOptions {
        self.socket.keep_alive = keep_alive;
        self
    }

    /// Whether it listens at once, as it does unless told otherwise. If not, it is bound to its addresses but clients are refused
    /// until [`Server::start_serving`] or [`Server::serve_forever`]. (Linux lets somebody else listen there first, with
    /// [`reuse_address`](ServerOptions::reuse_address) set on both.)
    pub fn start_serving(mut self, start_serving: bool) -> ServerOptions {
        self.start_serving = start_serving;
        self
    }

    /// Whether a server on a Unix socket removes its file when it closes (S224), as it does unless told otherwise.
    pub fn cleanup_socket(mut self, cleanup_socket: bool) -> ServerOptions {
        self.cleanup_socket = cleanup_socket;
        self
    }

    /// The permissions of a Unix socket's file, for instance `0o600`; what the umask leaves, unless told.
    pub fn mode(mut self, mode: u32) -> ServerOptions {
        self.mode = Some(mode);
        self
    }

    /// Speak TLS; asyncio: `ssl`, and the options of `ssl` that are on [`TlsOptions`].
    ///
    /// The callback is called after the handshake, which each client has in its own task. One that fails ends that connection and
    /// nothing else; the loop's exception handler hears of it in debug mode only, since anybody can cause it.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: TlsOptions) -> ServerOptions {
        self.tls = Some(tls);
        self
    }

    /// How many clients may be in the middle of their TLS handshake at a time; the next ones wait in the kernel. No limit at first.
    ///
    /// Handshakes cost time, and clients that never end theirs cost memory and descriptors until
    /// [`TlsOptions::handshake_timeout`] is over.
    ///
    /// # Panics
    /// For 0.
    #[cfg(feature = "tls")]
    #[track_caller]
    pub fn max_handshakes(mut self, handshakes: usize) -> ServerOptions {
        assert!(handshakes > 0, "a server must allow at least 1 handshake");
        self.max_handshakes = handshakes;
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
    pub async fn start<C, F>(&self, callback: C, hosts: impl Hosts, port: u16) -> io::Result<Server>
    where
        C: FnMut(StreamReader, StreamWriter) -> F + 'static,
        F: Future + 'static,
        F::Output: Outcome,
    {
        let addresses = self.addresses(hosts.into_hosts(), port).await?;
        let mut listeners = Vec::new();
        let mut refused = None;
        for address in &addresses {
            match self.listener(address) {
                Ok(listener) => listeners.push(listener),
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
        self.server(callback, listeners).await
    }

    /// Listens on a Unix socket, see [`start_unix_server`](crate::start_unix_server). What concerns names, addresses and TCP has no
    /// effect.
    ///
    /// # Cancel safety
    /// As [`start_unix_server`](crate::start_unix_server).
    ///
    /// # Errors
    /// As [`start_unix_server`](crate::start_unix_server).
    ///
    /// # Panics
    /// Outside a running loop.
    pub async fn start_unix<C, F>(&self, callback: C, path: impl AsRef<Path>) -> io::Result<Server>
    where
        C: FnMut(StreamReader, StreamWriter) -> F + 'static,
        F: Future + 'static,
        F::Output: Outcome,
    {
        let name = UnixName::new(path.as_ref())?;
        let (socket, file) = unix::listener(&name, self.mode)?;
        let listener = self.adopted(socket, ListenerAddress::Unix(name), file)?;
        self.server(callback, vec![listener]).await
    }

    /// Serves on a socket that is bound already, or listens: one of std, TCP or Unix, perhaps inherited from a supervisor;
    /// asyncio: `start_server(sock=…)`.
    ///
    /// The socket becomes non-blocking, and listens with this [`backlog`](ServerOptions::backlog). The file of a Unix socket counts
    /// as the server's own, see [`cleanup_socket`](ServerOptions::cleanup_socket).
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    ///
    /// # Errors
    /// `InvalidInput` for what is no stream socket or not bound.
    ///
    /// # Panics
    /// Outside a running loop.
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, open_connection};
    ///
    /// asyncio_runtime::run(async {
    ///     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    ///     let port = listener.local_addr()?.port();
    ///     let server = ServerOptions::new()
    ///         .start_on(|_reader, writer| async move { writer.write("hello") }, listener)
    ///         .await?;
    ///     let (mut reader, _writer) = open_connection("127.0.0.1", port).await?;
    ///     assert_eq!(reader.read_to_end().await?, "hello");
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn start_on<C, F>(
        &self,
        callback: C,
        socket: impl Into<OwnedFd>,
    ) -> io::Result<Server>
    where
        C: FnMut(StreamReader, StreamWriter) -> F + 'static,
        F: Future + 'static,
        F::Output: Outcome,
    {
        let socket = socket.into();
        socket::must_be_stream(&socket)?;
        let address = address_of(&socket)?;
        if let ListenerAddress::Ip(address) = &address
            && address.port() == 0
        {
            return Err(not_bound());
        }
        let file = match &address {
            ListenerAddress::Unix(name) if !name.is_abstract() => SocketFile::at(name.path()).ok(),
            ListenerAddress::Ip(_) => {
                socket::set_inherited(&socket, self.socket)?;
                None
            }
            ListenerAddress::Unix(_) => None,
        };
        let listener = self.adopted(socket, address, file)?;
        self.server(callback, vec![listener]).await
    }

    pub(crate) fn handshake_limit(&self) -> usize {
        #[cfg(feature = "tls")]
        return self.max_handshakes;
        #[cfg(not(feature = "tls"))]
        usize::MAX
    }

    /// Where to listen, each address once.
    async fn addresses(&self, hosts: Vec<String>, port: u16) -> io::Result<Vec<SocketAddr>> {
        if hosts.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the list of hosts to listen on is empty: give one, or \"\" for all interfaces",
            ));
        }
        let mut addresses = Vec::new();
        for host in hosts {
            let found = if host.is_empty() {
                let all: [SocketAddr; 2] = [
                    (Ipv4Addr::UNSPECIFIED, port).into(),
                    (Ipv6Addr::UNSPECIFIED, port).into(),
                ];
                let all = all.into_iter();
                match self.family {
                    Some(family) => all
                        .filter(|address| IpFamily::of(address) == family)
                        .collect(),
                    None if !self.socket.ipv6_only && has_ipv6() => all.skip(1).collect(),
                    None => all.collect(),
                }
            } else {
                let hints = Hints::new().family(self.family);
                resolve_with(None, &host, port, hints).await?
            };
            for address in found {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Ok(addresses)
    }

    fn listener(&self, address: &SocketAddr) -> io::Result<Rc<Listener>> {
        let socket = socket::listener(address, self.socket)?;
        let address = address_of(&socket)?;
        let source = self.source(Source::assume_nonblocking(socket));
        Ok(Listener::new(source, address, None))
    }

    fn source(&self, source: Source<OwnedFd>) -> Source<OwnedFd> {
        if self.exclusive {
            source.exclusive()
        } else {
            source
        }
    }

    fn adopted(
        &self,
        socket: OwnedFd,
        address: ListenerAddress,
        file: Option<SocketFile>,
    ) -> io::Result<Rc<Listener>> {
        let source = self.source(Source::new(socket)?);
        let file = match file {
            Some(file) if !self.cleanup_socket => {
                file.keep();
                None
            }
            file => file,
        };
        Ok(Listener::new(source, address, file))
    }

    async fn server<C, F>(&self, callback: C, listeners: Vec<Rc<Listener>>) -> io::Result<Server>
    where
        C: FnMut(StreamReader, StreamWriter) -> F + 'static,
        F: Future + 'static,
        F::Output: Outcome,
    {
        let options = self.clone();
        let start = move |server: &Rc<Shared>| accept::start(server, callback, options);
        let server = Server::new(Shared::new(listeners, self.backlog, Box::new(start)));
        if self.start_serving {
            server.start_serving().await?;
        }
        Ok(server)
    }
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions::new()
    }
}

/// What a server may be told to listen on: one host, or a list of them. Not to be implemented elsewhere.
///
/// ```
/// use asyncio_net::start_server;
///
/// asyncio_runtime::run(async {
///     let callback = |_reader, writer: asyncio_net::StreamWriter| async move { writer.write("hello") };
///     let server = start_server(callback, ["127.0.0.1", "127.0.0.1"], 0).await?;
///     assert_eq!(server.local_addrs().len(), 1, "each address once");
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub trait Hosts: sealed::Sealed {
    #[doc(hidden)]
    fn into_hosts(self) -> Vec<String>;
}

mod sealed {
    #[allow(unnameable_types)] // it is what closes `Hosts`
    pub trait Sealed {}
    impl Sealed for &str {}
    impl Sealed for String {}
    impl Sealed for &String {}
    impl<S: AsRef<str>> Sealed for &[S] {}
    impl<S: AsRef<str>> Sealed for Vec<S> {}
    impl<S: AsRef<str>> Sealed for &Vec<S> {}
    impl<S: AsRef<str>, const N: usize> Sealed for [S; N] {}
    impl<S: AsRef<str>, const N: usize> Sealed for &[S; N] {}
}

impl Hosts for &str {
    fn into_hosts(self) -> Vec<String> {
        vec![self.to_owned()]
    }
}

impl Hosts for String {
    fn into_hosts(self) -> Vec<String> {
        vec![self]
    }
}

impl Hosts for &String {
    fn into_hosts(self) -> Vec<String> {
        vec![self.clone()]
    }
}

impl<S: AsRef<str>> Hosts for &[S] {
    fn into_hosts(self) -> Vec<String> {
        self.iter().map(|host| host.as_ref().to_owned()).collect()
    }
}

impl<S: AsRef<str>> Hosts for Vec<S> {
    fn into_hosts(self) -> Vec<String> {
        self.as_slice().into_hosts()
    }
}

impl<S: AsRef<str>> Hosts for &Vec<S> {
    fn into_hosts(self) -> Vec<String> {
        self.as_slice().into_hosts()
    }
}

impl<S: AsRef<str>, const N: usize> Hosts for [S; N] {
    fn into_hosts(self) -> Vec<String> {
        self.as_slice().into_hosts()
    }
}

impl<S: AsRef<str>, const N: usize> Hosts for &[S; N] {
    fn into_hosts(self) -> Vec<String> {
        self.as_slice().into_hosts()
    }
}

fn address_of(socket: impl AsFd) -> io::Result<ListenerAddress> {
    let address = getsockname(socket)?;
    if let Ok(address) = SocketAddr::try_from(address.clone()) {
        return Ok(ListenerAddress::Ip(address));
    }
    let unix = SocketAddrUnix::try_from(address).ok();
    match unix.as_ref().and_then(UnixName::of) {
        Some(name) => Ok(ListenerAddress::Unix(name)),
        None => Err(not_bound()),
    }
}

fn not_bound() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "cannot serve on this socket: it is not bound to an IP address or a Unix name",
    )
}

fn has_ipv6() -> bool {
    let any = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    socket::stream(&any).is_ok_and(|socket| socket::bind(&socket, &any).is_ok())
}

fn is_unavailable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

pub(crate) fn cannot_listen(address: &SocketAddr, error: &io::Error) -> io::Error {
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
