//! From addresses to names.

use std::io;
use std::net::SocketAddr;

use super::system::{on_duty, reason, shared_lane};

/// How [`getnameinfo`] writes what it finds; asyncio: its `flags`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "flags do nothing until they are given to `getnameinfo`"]
pub struct NameFlags {
    numeric_host: bool,
    numeric_service: bool,
    name_required: bool,
    datagram: bool,
}

impl NameFlags {
    /// Names where there are names, digits where there are none.
    pub fn new() -> NameFlags {
        NameFlags::default()
    }

    /// The host in digits (`NI_NUMERICHOST`).
    pub fn numeric_host(mut self, numeric: bool) -> NameFlags {
        self.numeric_host = numeric;
        self
    }

    /// The port in digits (`NI_NUMERICSERV`).
    pub fn numeric_service(mut self, numeric: bool) -> NameFlags {
        self.numeric_service = numeric;
        self
    }

    /// An error for a host without a name (`NI_NAMEREQD`).
    pub fn name_required(mut self, required: bool) -> NameFlags {
        self.name_required = required;
        self
    }

    /// The name the port has for datagrams (`NI_DGRAM`).
    pub fn datagram(mut self, datagram: bool) -> NameFlags {
        self.datagram = datagram;
        self
    }

    fn bits(self) -> i32 {
        [
            (self.numeric_host, libc::NI_NUMERICHOST),
            (self.numeric_service, libc::NI_NUMERICSERV),
            (self.name_required, libc::NI_NAMEREQD),
            (self.datagram, libc::NI_DGRAM),
        ]
        .iter()
        .filter(|(set, _)| *set)
        .fold(0, |bits, (_, bit)| bits | bit)
    }
}

/// The names of a host and a port; asyncio: `loop.getnameinfo`.
///
/// The system is asked, on the threads of [`SystemResolver`](super::SystemResolver). Nothing is cached.
///
/// # Cancel safety
/// Nothing is lost; a question that has not been asked yet is not.
///
/// # Errors
/// The system's; `NotFound` where a name is required and there is none.
///
/// ```
/// use asyncio_net::{getnameinfo, resolve::NameFlags};
///
/// asyncio_runtime::run(async {
///     let flags = NameFlags::new().numeric_host(true).numeric_service(true);
///     let (host, service) = getnameinfo("[::1]:8080".parse().unwrap(), flags).await?;
///     assert_eq!((&*host, &*service), ("::1", "8080"));
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn getnameinfo(address: SocketAddr, flags: NameFlags) -> io::Result<(String, String)> {
    let bits = flags.bits();
    let lane = on_duty(shared_lane());
    let found = lane.submit(move || dns_lookup::getnameinfo(&address, bits).map_err(reason));
    found.await.map_err(io::Error::other)?.map_err(|error| {
        let text = format!("cannot find the name of {address}: {error}");
        io::Error::new(error.kind(), text)
    })
}
