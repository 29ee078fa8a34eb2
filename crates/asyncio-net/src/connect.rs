//! Opening connections.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::ops::DerefMut;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use asyncio_reactor::Source;
use asyncio_timers::{IntoDuration, Sleep, sleep};

use crate::connect_error::ConnectError;
use crate::connection::Connection;
use crate::resolve::{Hints, IpFamily, Resolve, resolve_with};
use crate::socket;
use crate::staggered::staggered_race;
use crate::stream_reader::{DEFAULT_LIMIT, StreamReader};
use crate::stream_writer::StreamWriter;
#[cfg(feature = "tls")]
use crate::tls::{TlsOptions, client_handshake};

/// Connects to a TCP port and gives the two ends of the connection; asyncio: `open_connection`.
///
/// `host` is a name or an address. A name's addresses are tried one after the other (S217); the first that answers is
/// taken. `TCP_NODELAY` is set, as asyncio does. [`ConnectOptions`] has more, Happy Eyeballs and time limits among it.
///
/// # Cancel safety
/// Dropping the future gives the attempt up; no socket is left.
///
/// # Errors
/// - `NotFound` for a name that does not resolve;
/// - when no address answers, one error that names host, port and each address with its reason, with a [`ConnectError`] in it.
///   Its kind is that of the reasons, if they agree, and `Other` if not.
///
/// ```
/// # use asyncio_net::{open_connection, start_server};
/// # asyncio_runtime::run(async {
/// # let server = start_server(|_reader, writer| async move { writer.write(b"welcome\n"); }, "127.0.0.1", 0).await?;
/// # let port = server.local_addrs()[0].port();
/// let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
/// assert_eq!(reader.readline().await?, "welcome\n");
/// assert_eq!(writer.peer_addr()?.port(), port);
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn open_connection(host: &str, port: u16) -> io::Result<(StreamReader, StreamWriter)> {
    ConnectOptions::new().connect(host, port).await
}

/// How to connect: the keyword arguments of asyncio's `open_connection` and `open_unix_connection`.
///
/// ```
/// # use asyncio_net::{ConnectOptions, start_server};
/// # asyncio_runtime::run(async {
/// # let server = start_server(|_reader, writer| async move { writer.write(b"hello"); }, "127.0.0.1", 0).await?;
/// # let port = server.local_addrs()[0].port();
/// let (reader, writer) = ConnectOptions::new()
///     .limit(1024 * 1024)
///     .local_addr("127.0.0.1:0".parse().unwrap())
///     .happy_eyeballs_delay(0.25)
///     .timeout(10)
///     .connect("127.0.0.1", port)
///     .await?;
/// # assert_eq!(reader.limit(), 1024 * 1024);
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until `connect` is called"]
pub struct ConnectOptions {
    limit: usize,
    nodelay: bool,
    local_addrs: Vec<SocketAddr>,
    family: Option<IpFamily>,
    happy_eyeballs_delay: Option<Duration>,
    interleave: Option<usize>,
    attempt_timeout: Option<Duration>,
    timeout: Option<Duration>,
    resolver: Option<Rc<dyn Resolve>>,
    #[cfg(feature = "tls")]
    tls: Option<TlsOptions>,
}

impl ConnectOptions {
    /// The options of [`open_connection`].
    pub fn new() -> ConnectOptions {
        ConnectOptions {
            limit: DEFAULT_LIMIT,
            nodelay: true,
            local_addrs: Vec::new(),
            family: None,
            happy_eyeballs_delay: None,
            interleave: None,
            attempt_timeout: None,
            timeout: None,
            resolver: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The most bytes [`StreamReader::readuntil`] accepts before the separator; 64 KiB at first.
    ///
    /// # Panics
    /// For 0.
    #[track_caller]
    pub fn limit(mut self, limit: usize) -> ConnectOptions {
        assert!(limit > 0, "the limit of a stream must be at least 1");
        self.limit = limit;
        self
    }

    /// Whether small writes leave at once (`TCP_NODELAY`); they do unless told otherwise.
    pub fn nodelay(mut self, nodelay: bool) -> ConnectOptions {
        self.nodelay = nodelay;
        self
    }

    /// An address to connect from; it may be called again to give several. Each attempt takes the first one of its family that is
    /// free. Addresses of the host that are of another family than all of these are passed over.
    pub fn local_addr(mut self, address: SocketAddr) -> ConnectOptions {
        self.local_addrs.push(address);
        self
    }

    /// Connect only to addresses of this family; asyncio: `family`.
    pub fn family(mut self, family: impl Into<Option<IpFamily>>) -> ConnectOptions {
        self.family = family.into();
        self
    }

    /// After how long without an answer the next address is tried as well, while the attempts before go on (Happy
    /// Eyeballs, RFC 8305). A quarter of a second is what the RFC recommends.
    ///
    /// Without it addresses are tried one by one, each until it has failed, as asyncio does: a host whose first
    /// address does not answer then takes minutes, unless there is an [`attempt_timeout`](ConnectOptions::attempt_timeout).
    ///
    /// # Panics
    /// For NaN.
    #[track_caller]
    pub fn happy_eyeballs_delay(mut self, delay: impl IntoDuration) -> ConnectOptions {
        self.happy_eyeballs_delay = Some(delay.into_duration());
        self
    }

    /// Alternates between the families of addresses, after so many of the family that comes first; 0 leaves the
    /// order as the resolver gave it. asyncio: `interleave`, there and here 1 with Happy Eyeballs and 0 without it.
    pub fn interleave(mut self, first_address_family_count: usize) -> ConnectOptions {
        self.interleave = Some(first_address_family_count);
        self
    }

    /// How long one address may take to answer. No limit but the system's (about two minutes) at first.
    ///
    /// # Panics
    /// For NaN.
    #[track_caller]
    pub fn attempt_timeout(mut self, limit: impl IntoDuration) -> ConnectOptions {
        self.attempt_timeout = Some(limit.into_duration());
        self
    }

    /// How long all of it may take, from the name to the connection, with the TLS handshake if there is one. No limit at first.
    ///
    /// # Panics
    /// For NaN.
    #[track_caller]
    pub fn timeout(mut self, limit: impl IntoDuration) -> ConnectOptions {
        self.timeout = Some(limit.into_duration());
        self
    }

    /// Who resolves the name; the loop's resolver at first, see [`resolve`](crate::resolve).
    pub fn resolver(mut self, resolver: Rc<dyn Resolve>) -> ConnectOptions {
        self.resolver = Some(resolver);
        self
    }

    /// Speak TLS; asyncio: `ssl`, and the options of `ssl` that are on [`TlsOptions`]. The certificate must be for the host that is
    /// connected to, or for [`TlsOptions::server_hostname`], which Unix sockets and adopted ones need.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, tls: TlsOptions) -> ConnectOptions {
        self.tls = Some(tls);
        self
    }

    /// Connects, see [`open_connection`].
    ///
    /// # Cancel safety
    /// As [`open_connection`].
    ///
    /// # Errors
    /// As [`open_connection`]; `TimedOut` when the time is up; what a TLS handshake ends with.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<(StreamReader, StreamWriter)> {
        let mut time = self.time();
        let (source, peer) = self.connect_tcp(&mut time, host, port).await?;
        let name = format_args!("{} port {port}", host.escape_debug());
        self.streams(&mut time, source, Some(peer), Some(host), name)
            .await
    }

    /// Makes streams of a socket that is connected already, TCP or Unix; asyncio: `open_connection(sock=…)`.
    ///
    /// The socket becomes non-blocking. Only [`limit`](ConnectOptions::limit), [`nodelay`](ConnectOptions::nodelay), and
    /// TLS with its part of the [`timeout`](ConnectOptions::timeout) have an effect.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    ///
    /// # Errors
    /// `InvalidInput` for what is no stream socket, `NotConnected` for one that is not connected.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::ConnectOptions;
    ///
    /// asyncio_runtime::run(async {
    ///     let (one, other) = UnixStream::pair()?;
    ///     let (mut reader, _writer) = ConnectOptions::new().adopt(one).await?;
    ///     let (_reader, writer) = ConnectOptions::new().adopt(other).await?;
    ///     writer.write(b"hello");
    ///     assert_eq!(reader.readexactly(5).await?, "hello");
    ///     std::io::Result::Ok(())
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn adopt(
        &self,
        socket: impl Into<OwnedFd>,
    ) -> io::Result<(StreamReader, StreamWriter)> {
        let socket = socket.into();
        socket::must_be_stream(&socket)?;
        let peer = rustix::net::getpeername(&socket).map_err(|error| {
            let error = io::Error::from(error);
            let text = format!("cannot make streams of this socket: {error}; connect it first");
            io::Error::new(error.kind(), text)
        })?;
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        if self.nodelay && peer.is_some() {
            socket::set_nodelay(&socket)?;
        }
        let source = Source::new(socket)?;
        let name = "the socket's peer";
        self.streams(&mut self.time(), source, peer, None, name)
            .await
    }

    /// The time that is left for everything; it counts from the first time that something has to be waited for.
    pub(crate) fn time(&self) -> Option<Sleep> {
        self.timeout.map(sleep)
    }

    /// The streams of a connected socket, after the TLS handshake if there is to be one. `host` is whom the certificate must be
    /// for, `name` what the peer is called in errors.
    pub(crate) async fn streams(
        &self,
        time: &mut Option<Sleep>,
        source: Source<OwnedFd>,
        peer: Option<SocketAddr>,
        host: Option<&str>,
        name: impl fmt::Display,
    ) -> io::Result<(StreamReader, StreamWriter)> {
        let connection = Connection::new(source, peer);
        self.secure(time, &connection, host, name).await?;
        let reader = StreamReader::new(connection.clone(), self.limit);
        Ok((reader, StreamWriter::new(connection)))
    }

    #[cfg(not(feature = "tls"))]
    async fn secure(
        &self,
        _time: &mut Option<Sleep>,
        _connection: &Rc<Connection>,
        _host: Option<&str>,
        _name: impl fmt::Display,
    ) -> io::Result<()> {
        Ok(())
    }

    #[cfg(feature = "tls")]
    async fn secure(
        &self,
        time: &mut Option<Sleep>,
        connection: &Rc<Connection>,
        host: Option<&str>,
        name: impl fmt::Display,
    ) -> io::Result<()> {
        let Some(tls) = &self.tls else { return Ok(()) };
        let Some(host) = host.or(tls.get_server_hostname()) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "TLS to a socket without a host name: say whom the certificate must be for by `TlsOptions::server_hostname`",
            ));
        };
        // Boxed, so that connections without TLS do not carry the room for it.
        let handshake = Box::pin(client_handshake(connection, tls, host));
        match within(time, handshake).await {
            Some(result) => result,
            None => Err(self.too_late(format_args!(
                "cannot connect to {name}: the TLS handshake was not done"
            ))),
        }
    }

    /// A connected socket, and the address it is connected to.
    async fn connect_tcp(
        &self,
        time: &mut Option<Sleep>,
        host: &str,
        port: u16,
    ) -> io::Result<(Source<OwnedFd>, SocketAddr)> {
        // What has become of the addresses tried so far; nothing yet, where it is `None`.
        let tried: RefCell<Vec<(SocketAddr, Option<io::Error>)>> = RefCell::default();
        let failures = || {
            let tried = tried.take().into_iter();
            let no_answer = || io::Error::new(io::ErrorKind::TimedOut, "no answer yet");
            tried
                .map(|(address, error)| (address, error.unwrap_or_else(no_answer)))
                .collect()
        };
        let connecting = async {
            let hints = Hints::new().family(self.family);
            let found = resolve_with(self.resolver.as_ref(), host, port, hints).await?;
            let addresses = match (self.interleave, self.happy_eyeballs_delay) {
                (Some(0), _) | (None, None) => found,
                (Some(count), _) => interleaved(found, count),
                (None, Some(_)) => interleaved(found, 1),
            };
            let attempts = addresses.into_iter().map(|address| {
                let tried = &tried;
                async move || {
                    let place = tried.borrow().len();
                    tried.borrow_mut().push((address, None));
                    self.attempt(address).await.map_err(|error| {
                        tried.borrow_mut()[place].1 = Some(error);
                    })
                }
            });
            match staggered_race(attempts, self.happy_eyeballs_delay).await {
                Ok((won, _)) => Ok(won),
                Err(_) => Err(ConnectError::failed(host, port, failures())),
            }
        };
        match within(time, pin!(connecting)).await {
            Some(result) => result,
            None => {
                let limit = self.timeout.unwrap_or_default();
                Err(ConnectError::time_was_up(host, port, limit, failures()))
            }
        }
    }

    /// The error for when the time is up.
    pub(crate) fn too_late(&self, what: impl fmt::Display) -> io::Error {
        let limit = self.timeout.unwrap_or_default();
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{what} within {limit:?} (`ConnectOptions::timeout`)"),
        )
    }

    async fn attempt(&self, address: SocketAddr) -> io::Result<(Source<OwnedFd>, SocketAddr)> {
        let socket = socket::stream(&address)?;
        self.bind(&socket, &address)?;
        if self.nodelay {
            socket::set_nodelay(&socket)?;
        }
        let source = Source::assume_stream(socket);
        let mut time = self.attempt_timeout.map(sleep);
        match within(&mut time, pin!(source.connect(address))).await {
            Some(result) => result?,
            None => {
                let limit = self.attempt_timeout.unwrap_or_default();
                let text = format!("no answer within {limit:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
        Ok((source, address))
    }

    /// Binds to the first of the local addresses that will do for `address`.
    fn bind(&self, socket: &OwnedFd, address: &SocketAddr) -> io::Result<()> {
        if self.local_addrs.is_empty() {
            return Ok(());
        }
        let family = IpFamily::of(address);
        let mut refused = None;
        for local in &self.local_addrs {
            if IpFamily::of(local) != family {
                continue;
            }
            match socket::bind(socket, local) {
                Ok(()) => return Ok(()),
                Err(error) => refused = Some((local, error)),
            }
        }
        let (kind, text) = match refused {
            Some((local, error)) => (
                error.kind(),
                format!("cannot bind to the local address {local}: {error}"),
            ),
            None => (
                io::ErrorKind::AddrNotAvailable,
                format!(
                    "it cannot be reached from {}, an address of the other family",
                    self.local_addrs[0].ip()
                ),
            ),
        };
        Err(io::Error::new(kind, text))
    }
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions::new()
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("limit", &self.limit)
            .field("nodelay", &self.nodelay)
            .field("local_addrs", &self.local_addrs)
            .field("family", &self.family)
            .field("happy_eyeballs_delay", &self.happy_eyeballs_delay)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What the future gives, if it does so in time; without a time, whenever it does.
pub(crate) async fn within<F: Future>(
    time: &mut Option<Sleep>,
    mut future: Pin<impl DerefMut<Target = F>>,
) -> Option<F::Output> {
    poll_fn(|cx| match (future.as_mut().poll(cx), &mut *time) {
        (Poll::Ready(output), _) => Poll::Ready(Some(output)),
        (Poll::Pending, Some(time)) => Pin::new(time).poll(cx).map(|()| None),
        (Poll::Pending, None) => Poll::Pending,
    })
    .await
}

/// Takes addresses from the families in turn, after `count` of the family that comes first (RFC 8305, section 4).
fn interleaved(addresses: Vec<SocketAddr>, count: usize) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(IpFamily::of) else {
        return addresses;
    };
    let (mut these, those): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| IpFamily::of(address) == first);
    let ahead = count.saturating_sub(1).min(these.len());
    let rest = these.split_off(ahead);
    let mut ordered = these;
    let (mut rest, mut those) = (rest.into_iter(), those.into_iter());
    loop {
        match (rest.next(), those.next()) {
            (None, None) => return ordered,
            (this, that) => ordered.extend(this.into_iter().chain(that)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // S217
    #[test]
    fn families_alternate_after_so_many_of_the_first() {
        let order = |hosts: &[&str], count| {
            let addresses = hosts
                .iter()
                .map(|host| SocketAddr::new(host.parse().unwrap(), 1));
            let ordered = interleaved(addresses.collect(), count);
            let ordered: Vec<_> = ordered
                .iter()
                .map(|address| address.ip().to_string())
                .collect();
            ordered.join(" ")
        };
        let hosts = ["::1", "::2", "::3", "0.0.0.1", "0.0.0.2"];
        assert_eq!(order(&hosts, 1), "::1 0.0.0.1 ::2 0.0.0.2 ::3");
        assert_eq!(order(&hosts, 2), "::1 ::2 0.0.0.1 ::3 0.0.0.2");
        assert_eq!(order(&hosts, 9), "::1 ::2 ::3 0.0.0.1 0.0.0.2");
        assert_eq!(order(&["0.0.0.1", "0.0.0.2"], 1), "0.0.0.1 0.0.0.2");
        assert_eq!(order(&[], 1), "");
    }
}
