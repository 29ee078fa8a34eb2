//! Thousands of connections, a hundred at a time: which ports of this machine does somebody listen on?
//!
//! It looks at the loopback interface only. Run it: `cargo run --example port_scanner`, or
//! `cargo run --example port_scanner -- 1-65535`

use std::io;
use std::rc::Rc;
use std::time::Duration;

use asyncio::{ConnectOptions, Semaphore, gather, start_server};

/// The ports of a host that somebody listens on.
async fn scan(host: &'static str, ports: impl Iterator<Item = u16>, at_once: usize) -> Vec<u16> {
    let allowed = Rc::new(Semaphore::new(at_once));
    // A firewall may swallow what it does not like: do not wait for it as long as the system would.
    let options = ConnectOptions::new().timeout(Duration::from_millis(500));
    let probes = ports.map(|port| {
        let (allowed, options) = (allowed.clone(), options.clone());
        async move {
            let _permit = allowed.acquire().await;
            let open = match options.connect(host, port).await {
                // The socket is closed at once: whoever listens there sees a client come and go.
                Ok((_reader, writer)) => {
                    writer.abort();
                    true
                }
                Err(_) => false,
            };
            open.then_some(port)
        }
    });
    gather(probes).await.into_iter().flatten().collect()
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    if let Some((first, last)) = std::env::args().nth(1).as_deref().and_then(range) {
        let host = "127.0.0.1";
        let open = scan(host, first..=last, 100).await;
        println!(
            "{} of {host}'s ports {first} to {last} are open: {open:?}",
            open.len()
        );
        return Ok(());
    }

    // Something to find: three servers, somewhere; where there is a spare loopback address, apart from everybody else's.
    let host = if cfg!(target_os = "linux") {
        "127.0.0.77"
    } else {
        "127.0.0.1"
    };
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(start_server(|_reader, _writer| async {}, host, 0).await?);
    }
    let ports: Vec<u16> = servers
        .iter()
        .map(|server| server.local_addrs()[0].port())
        .collect();

    // A thousand ports around each.
    let around = ports
        .iter()
        .flat_map(|port| port.saturating_sub(500)..=port.saturating_add(500));
    let mut open = scan(host, around, 100).await;
    open.sort_unstable();
    open.dedup();
    for port in &ports {
        assert!(open.contains(port), "{port} is open");
    }
    println!("found all of {ports:?} among {} open ports", open.len());

    for server in &servers {
        server.close();
        server.wait_closed().await;
    }
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
