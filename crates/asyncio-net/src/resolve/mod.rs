//! From host names to addresses, and back.
//!
//! [`open_connection`](crate::open_connection) and its like ask the resolver of their loop. Until another is
//! [set](set_resolver) that is a [`CachingResolver`] around a [`SystemResolver`]: the system's own `getaddrinfo`, so that
//! `/etc/hosts`, `nsswitch.conf` and what else this machine knows count; on threads of its own, so that a name server that does
//! not answer takes no thread from `to_thread`, nor the other way round; tasks that ask the same at once share one lookup, and
//! an answer is kept for a moment.
//!
//! Addresses in digits never reach a resolver.
//!
//! # A resolver of one's own
//!
//! [`Resolve`] is one method. A program that speaks to name servers itself, or to a service registry, implements it and
//! has the cache and the joining of lookups by wrapping itself into a [`CachingResolver`]:
//!
//! ```
//! use std::{net::IpAddr, rc::Rc, time::Duration};
//! use asyncio_net::resolve::{Answer, CachingResolver, Hints, Lookup, Resolve, set_resolver};
//! use asyncio_net::getaddrinfo;
//!
//! /// Asks somebody who also says for how long the answer holds.
//! struct Registry;
//!
//! impl Resolve for Registry {
//!     fn lookup(&self, host: &str, _hints: Hints) -> Lookup {
//!         let host = host.to_owned();
//!         Box::pin(async move {
//!             // Here one would await an exchange with a name server: over sockets of this crate, or of a library.
//!             match &*host {
//!                 "printer.corp" => Ok(Answer::from([IpAddr::from([10, 0, 0, 7])]).ttl(Duration::from_secs(300))),
//!                 _ => Err(std::io::Error::new(std::io::ErrorKind::NotFound, "nobody has registered it")),
//!             }
//!         })
//!     }
//! }
//!
//! asyncio_runtime::run(async {
//!     set_resolver(Rc::new(CachingResolver::new(Registry)));
//!     let addresses = getaddrinfo("printer.corp", 631, Hints::new()).await?;
//!     assert_eq!(addresses, ["10.0.0.7:631".parse().unwrap()]);
//!     std::io::Result::Ok(())
//! })?;
//! # std::io::Result::Ok(())
//! ```

mod caching;
mod name;
mod reverse;
mod system;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use asyncio_executor::{Remote, current_remote};
use asyncio_timers::IntoDuration;

pub use caching::CachingResolver;
pub use reverse::{NameFlags, getnameinfo};
pub use system::SystemResolver;

/// As many addresses of one name are looked at. Whoever owns a name could give it any number.
const MOST_ADDRESSES: usize = 64;

/// Finds the addresses of names; aiohttp: `AbstractResolver`.
///
/// See the [module](self) for an example. It stays on the thread of its loop and need not be `Send`.
pub trait Resolve {
    /// Begins a lookup. It may begin to work at once, or when the future is first polled; dropping the future should end it.
    ///
    /// `host` is neither empty nor an address in digits, and its labels are of legal length.
    ///
    /// # Errors
    /// `NotFound` means that the name certainly has no address; the text should say why, it is shown behind the name.
    fn lookup(&self, host: &str, hints: Hints) -> Lookup;
}

/// A lookup on its way.
pub type Lookup = Pin<Box<dyn Future<Output = io::Result<Answer>>>>;

/// What a resolver found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The addresses, best first. Their ports are not looked at.
    pub addresses: Vec<SocketAddr>,
    /// For how long this may be used again; `None` if the resolver does not know.
    pub ttl: Option<Duration>,
}

impl Answer {
    /// The same, which may be used again for so long.
    ///
    /// # Panics
    /// For NaN.
    ///
    /// ```
    /// # use std::{net::IpAddr, time::Duration};
    /// # use asyncio_net::resolve::Answer;
    /// let answer = Answer::from([IpAddr::from([127, 0, 0, 1])]).ttl(60);
    /// assert_eq!(answer.ttl, Some(Duration::from_secs(60)));
    /// ```
    #[track_caller]
    pub fn ttl(mut self, ttl: impl IntoDuration) -> Answer {
        self.ttl = Some(ttl.into_duration());
        self
    }
}

impl<const N: usize> From<[IpAddr; N]> for Answer {
    fn from(addresses: [IpAddr; N]) -> Answer {
        addresses.into_iter().collect()
    }
}

impl From<Vec<IpAddr>> for Answer {
    fn from(addresses: Vec<IpAddr>) -> Answer {
        addresses.into_iter().collect()
    }
}

impl FromIterator<IpAddr> for Answer {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Answer {
        Answer {
            addresses: addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0))
                .collect(),
            ttl: None,
        }
    }
}

/// Which addresses are wanted; asyncio: the keyword arguments of `getaddrinfo`.
///
/// (`type` and `proto` are missing since they do not change the addresses of a host.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "hints do nothing until they are given to `getaddrinfo`"]
pub struct Hints {
    family: Option<IpFamily>,
    numeric_host: bool,
}

impl Hints {
    /// Any addresses.
    pub fn new() -> Hints {
        Hints::default()
    }

    /// Only addresses of one family.
    pub fn family(mut self, family: impl Into<Option<IpFamily>>) -> Hints {
        self.family = family.into();
        self
    }

    /// Accept only hosts in digits, and ask nobody (`AI_NUMERICHOST`).
    pub fn numeric_host(mut self, numeric_host: bool) -> Hints {
        self.numeric_host = numeric_host;
        self
    }

    /// The family that is wanted; `None` for both.
    pub fn wanted_family(self) -> Option<IpFamily> {
        self.family
    }

    fn wants(self, address: &SocketAddr) -> bool {
        self.family
            .is_none_or(|family| family == IpFamily::of(address))
    }
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpFamily {
    /// IPv4, `AF_INET`.
    V4,
    /// IPv6, `AF_INET6`.
    V6,
}

impl IpFamily {
    pub(crate) fn of(address: &SocketAddr) -> IpFamily {
        match address {
            SocketAddr::V4(_) => IpFamily::V4,
            SocketAddr::V6(_) => IpFamily::V6,
        }
    }

    fn name(self) -> &'static str {
        match self {
            IpFamily::V4 => "IPv4",
            IpFamily::V6 => "IPv6",
        }
    }
}

/// The addresses of a host, each once, best first; asyncio: `loop.getaddrinfo`.
///
/// `host` is a name or an address in digits, an IPv6 one with or without brackets. It is asked of the loop's resolver, see
/// the [module](self); without a loop the system is asked. Of a name with more than 64 addresses the first 64 are given.
///
/// # Cancel safety
/// Nothing is lost; the lookup ends if nobody else waits for it.
///
/// # Errors
/// - `InvalidInput` for what cannot be a name: empty, labels of no or more than 63 bytes, more than 253 in all;
/// - `NotFound` for a name without addresses (of the wanted family);
/// - what the resolver gave otherwise, for instance when no name server answers.
///
/// ```
/// use asyncio_net::{getaddrinfo, resolve::{Hints, IpFamily}};
///
/// asyncio_runtime::run(async {
///     let addresses = getaddrinfo("localhost", 80, Hints::new().family(IpFamily::V4)).await?;
///     assert_eq!(addresses, ["127.0.0.1:80".parse().unwrap()]);
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn getaddrinfo(host: &str, port: u16, hints: Hints) -> io::Result<Vec<SocketAddr>> {
    resolve_with(None, host, port, hints).await
}

/// The addresses of a host for a stream or datagram socket, by the loop's resolver.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    resolve_with(None, host, port, Hints::new()).await
}

/// The same, by the resolver given, if one is.
pub(crate) async fn resolve_with(
    resolver: Option<&Rc<dyn Resolve>>,
    host: &str,
    port: u16,
    hints: Hints,
) -> io::Result<Vec<SocketAddr>> {
    let addresses = match name::in_digits(host) {
        Some(address) => vec![SocketAddr::new(address, port)],
        None => {
            let host = name::without_brackets(host);
            name::check(host)?;
            let found = if hints.numeric_host {
                system::ask(host, hints)
            } else {
                let resolver = resolver.cloned().unwrap_or_else(current_resolver);
                let lookup = resolver.lookup(host, hints);
                drop(resolver);
                lookup.await
            };
            match found {
                Ok(answer) => answer.addresses,
                Err(error) => return Err(cannot_resolve(host, error.kind(), &error.to_string())),
            }
        }
    };
    let mut found: Vec<SocketAddr> = Vec::with_capacity(addresses.len().min(MOST_ADDRESSES));
    for mut address in addresses.into_iter().filter(|address| hints.wants(address)) {
        address.set_port(port);
        if !found.contains(&address) {
            found.push(address);
        }
        if found.len() == MOST_ADDRESSES {
            break;
        }
    }
    if found.is_empty() {
        let reason = match hints.family {
            Some(family) => format!("it has no {} address", family.name()),
            None => "it has no addresses".to_owned(),
        };
        return Err(cannot_resolve(host, io::ErrorKind::NotFound, &reason));
    }
    Ok(found)
}

fn cannot_resolve(host: &str, kind: io::ErrorKind, reason: &str) -> io::Error {
    // It may come from anybody, and must not add lines to a log.
    let host = host.escape_debug();
    io::Error::new(
        kind,
        format!(
            "cannot resolve host \"{host}\": {reason}; check the spelling, and that this machine can resolve names \
             (/etc/resolv.conf, /etc/hosts, `getent hosts {host}`)"
        ),
    )
}

thread_local! {
    /// The resolvers of the loops of this thread.
    static RESOLVERS: RefCell<Vec<(Remote, Rc<dyn Resolve>)>> = const { RefCell::new(Vec::new()) };
}

/// Sets the resolver of the running loop, for its life. See the [module](self) for an example.
///
/// Lookups that are under way stay with the former one.
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// use std::rc::Rc;
/// use asyncio_net::resolve::{CachingResolver, SystemResolver, set_resolver};
///
/// asyncio_runtime::run(async {
///     set_resolver(Rc::new(SystemResolver::new())); // without a cache
///     set_resolver(Rc::new(CachingResolver::new(SystemResolver::new()).ttl(60))); // with a patient one
/// });
/// ```
#[track_caller]
pub fn set_resolver(resolver: Rc<dyn Resolve>) {
    match current_remote() {
        Some(here) => keep(here, resolver),
        None => panic!(
            "no running event loop: `set_resolver` sets the resolver of the loop that runs; call it inside `asyncio::run(async {{ … }})`"
        ),
    }
}

fn keep(here: Remote, resolver: Rc<dyn Resolve>) {
    let former = RESOLVERS.try_with(|resolvers| {
        let mut resolvers = resolvers.borrow_mut();
        // Those of loops that are gone go as well.
        let (kept, former): (Vec<_>, Vec<_>) = std::mem::take(&mut *resolvers)
            .into_iter()
            .partition(|(of, _)| !of.is_closed() && !of.same_executor(&here));
        *resolvers = kept;
        resolvers.push((here, resolver));
        former
    });
    // Not while the list is borrowed: what is dropped may be anybody's.
    drop(former);
}

fn current_resolver() -> Rc<dyn Resolve> {
    let Some(here) = current_remote() else {
        return Rc::new(SystemResolver::new());
    };
    let found = RESOLVERS.try_with(|resolvers| {
        let resolvers = resolvers.borrow();
        let found = resolvers.iter().find(|(of, _)| of.same_executor(&here));
        found.map(|(_, resolver)| resolver.clone())
    });
    match found {
        Ok(Some(resolver)) => resolver,
        Ok(None) => {
            let resolver: Rc<dyn Resolve> = Rc::new(CachingResolver::new(SystemResolver::new()));
            keep(here, resolver.clone());
            resolver
        }
        // The thread is tearing down its locals.
        Err(_) => Rc::new(SystemResolver::new()),
    }
}
