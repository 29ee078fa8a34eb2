//! From host and port to addresses, off the loop.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// The addresses of a host, each once, in the order of preference the system gives them.
///
/// Addresses in digits cost nothing; names are looked up by a thread of the loop's pool.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let digits = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if let Ok(address) = digits.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if host.is_empty() || host.contains('\0') {
        let text = format!("cannot resolve {host:?}: give a host name or an address");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let name = host.to_owned();
    let found =
        asyncio_blocking::unblock(move || (&*name, port).to_socket_addrs().map(Vec::from_iter));
    let reason = match found.await {
        Ok(Ok(addresses)) if !addresses.is_empty() => return Ok(each_once(addresses)),
        Ok(Ok(_)) => "it has no addresses".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!(
            "cannot resolve host \"{host}\": {reason}; check the spelling, and that this machine can resolve names \
             (/etc/resolv.conf, /etc/hosts, `getent hosts {host}`)"
        ),
    ))
}

fn each_once(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut unique = Vec::with_capacity(addresses.len());
    for address in addresses {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    unique
}
