//! How late does a wait end, and what does an echo cost? `cargo bench -p asyncio-reactor --bench
//! wait`

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use asyncio_reactor::{Reactor, Source};

fn main() {
    let reactor = Reactor::new().unwrap();
    println!("timeout   late: median      99 %       max   waits  syscalls");
    for (micros, times) in [
        (50, 2000),
        (200, 2000),
        (1_000, 1000),
        (1_900, 500),
        (5_000, 200),
        (20_000, 100),
        (150_000, 10),
    ] {
        lateness(&reactor, Duration::from_micros(micros), times);
    }
    looking_around(&reactor);
    echo(&reactor);
}

/// Waits as a loop would that has nothing but this one deadline.
fn lateness(reactor: &Reactor, timeout: Duration, times: usize) {
    let before = reactor.stats();
    let mut late: Vec<Duration> = (0..times)
        .map(|_| {
            let end = Instant::now() + timeout;
            loop {
                let now = Instant::now();
                if now >= end {
                    return now - end;
                }
                reactor.wait(Some(end - now)).unwrap();
            }
        })
        .collect();
    let after = reactor.stats();
    late.sort();
    println!(
        "{timeout:>8.1?}  {:>12.1?}{:>10.1?}{:>10.1?}{:>8.2}{:>10.2}",
        late[times / 2],
        late[times * 99 / 100],
        late[times - 1],
        (after.waits - before.waits) as f64 / times as f64,
        (after.syscalls - before.syscalls) as f64 / times as f64,
    );
}

fn looking_around(reactor: &Reactor) {
    let times = 1_000_000;
    let start = Instant::now();
    for _ in 0..times {
        reactor.wait(Some(Duration::ZERO)).unwrap();
    }
    println!("wait(0): {:?}", start.elapsed() / times);
}

fn echo(reactor: &Reactor) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_nodelay(true).unwrap();
    let server = listener.accept().unwrap().0;
    server.set_nodelay(true).unwrap();
    let server = Source::new(server).unwrap();
    let rounds = 50_000;
    let client = std::thread::spawn(move || {
        let mut buffer = [1; 64];
        for _ in 0..rounds {
            client.write_all(&buffer).unwrap();
            client.read_exact(&mut buffer).unwrap();
        }
    });
    let before = reactor.stats();
    let start = Instant::now();
    reactor.block_on(async {
        let mut buffer = [0; 4096];
        loop {
            let n = server.recv(&mut buffer).await.unwrap();
            if n == 0 {
                break;
            }
            server.send(&buffer[..n]).await.unwrap();
        }
    });
    let elapsed = start.elapsed();
    client.join().unwrap();
    let syscalls = reactor.stats().syscalls - before.syscalls;
    println!(
        "echo of 64 B over loopback: {:?}, {:.3} syscalls",
        elapsed / rounds,
        syscalls as f64 / f64::from(rounds)
    );
}
