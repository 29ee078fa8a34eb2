//! The system's own resolver, on threads of its own.

use std::fmt;
use std::io;
use std::sync::OnceLock;

use asyncio_blocking::ThreadPool;
use asyncio_timers::Timers;
use dns_lookup::{AddrFamily, AddrInfoHints, LookupError, LookupErrorKind, SockType};

use super::{Answer, Hints, IpFamily, Lookup, Resolve};

/// How many names the process looks up at a time.
const LANE: usize = 8;

/// Asks the system (`getaddrinfo`), which knows `/etc/hosts` and whatever else this machine is set up to use; aiohttp:
/// `ThreadedResolver`.
///
/// The call blocks, for half a minute when no name server answers. So it is made by threads that do nothing else: up to
/// eight for the whole process, started when they are needed and gone after a while. A lookup whose future is dropped
/// before its turn is not made.
///
/// ```
/// use asyncio_net::resolve::{Hints, Resolve, SystemResolver};
///
/// asyncio_runtime::run(async {
///     let answer = SystemResolver::new().lookup("localhost", Hints::new()).await?;
///     assert!(answer.addresses.iter().all(|address| address.ip().is_loopback()));
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct SystemResolver {
    lane: ThreadPool,
}

impl SystemResolver {
    /// On the threads that all such resolvers of the process share.
    pub fn new() -> SystemResolver {
        SystemResolver {
            lane: shared_lane().clone(),
        }
    }

    /// On at most so many threads of its own.
    ///
    /// # Panics
    /// For 0.
    #[track_caller]
    pub fn with_threads(threads: usize) -> SystemResolver {
        SystemResolver {
            lane: lane(threads),
        }
    }
}

impl Default for SystemResolver {
    fn default() -> SystemResolver {
        SystemResolver::new()
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemResolver").finish_non_exhaustive()
    }
}

impl Resolve for SystemResolver {
    fn lookup(&self, host: &str, hints: Hints) -> Lookup {
        let host = host.to_owned();
        let job = on_duty(&self.lane).submit(move || ask(&host, hints));
        Box::pin(async move { job.await.map_err(io::Error::other)? })
    }
}

/// The lane of [`SystemResolver::new`] and of [`getnameinfo`](super::getnameinfo).
pub(super) fn shared_lane() -> &'static ThreadPool {
    static SHARED: OnceLock<ThreadPool> = OnceLock::new();
    SHARED.get_or_init(|| lane(LANE))
}

/// The lane, or who stands in for it: virtual time that jumps when the loop is idle waits for the loop's own pool, and must wait
/// for this.
pub(super) fn on_duty(lane: &ThreadPool) -> ThreadPool {
    let jumping = Timers::try_current().is_some_and(|timers| timers.clock().jumps_when_idle());
    let loops_own = ThreadPool::try_current().filter(|_| jumping);
    loops_own.unwrap_or_else(|| lane.clone())
}

#[track_caller]
fn lane(threads: usize) -> ThreadPool {
    ThreadPool::builder()
        .name_prefix("asyncio-resolver")
        .max_threads(threads)
        .build()
}

/// Blocks, unless a numeric host is asked for, which is no question to anybody.
pub(super) fn ask(host: &str, hints: Hints) -> io::Result<Answer> {
    let wanted = AddrInfoHints {
        flags: if hints.numeric_host {
            libc::AI_NUMERICHOST
        } else {
            0
        },
        address: match hints.family {
            Some(IpFamily::V4) => AddrFamily::Inet.into(),
            Some(IpFamily::V6) => AddrFamily::Inet6.into(),
            None => 0,
        },
        // Of no consequence for the addresses, but without it each comes once for every type.
        socktype: SockType::Stream.into(),
        protocol: 0,
    };
    let found = dns_lookup::getaddrinfo(Some(host), None, Some(wanted)).map_err(reason)?;
    // Addresses of a family that is not IP are none for us.
    let addresses = found.flatten().map(|found| found.sockaddr).collect();
    Ok(Answer {
        addresses,
        ttl: None,
    })
}

/// The error under the kind that says whether it makes sense to ask again.
pub(super) fn reason(error: LookupError) -> io::Error {
    let kind = match error.kind() {
        LookupErrorKind::NoName | LookupErrorKind::NoData => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, io::Error::from(error).to_string())
}
