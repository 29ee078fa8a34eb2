//! Thousands of connections with random traffic, cancelled and reset at random, and then every count is where it was.
//!
//! ```sh
//! ASYNCIO_SOAK_SECONDS=60 cargo test -p conformance soak -- --nocapture
//! ```
//!
//! Ten seconds unless told otherwise. `ASYNCIO_SOAK_SEED` takes the number that a run prints; what the kernel and the clock
//! add to chance it cannot repeat. The server has a loop and a thread, the clients have another.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use asyncio::{
    StreamError, StreamReader, StreamWriter, Task, TaskRef, all_tasks, create_task, current_task,
    sleep, threadsafe, timeout, yield_now,
};

use rustix::net::sockopt::{set_socket_linger, set_socket_send_buffer_size};

use crate::alone::{self, allocated, allow_descriptors, alone_for, descriptors};
use crate::wire::{Wire, port};

#[test]
fn five_thousand_connections_under_random_fire_leave_every_count_where_it_was() {
    let seconds = from_environment("ASYNCIO_SOAK_SECONDS").unwrap_or(10);
    alone_for(Duration::from_secs(2 * seconds), || {
        soak(Wire::Tcp, 5000, Duration::from_secs(seconds));
    });
}

#[test]
fn so_do_a_few_hundred_with_tls() {
    let seconds = from_environment("ASYNCIO_SOAK_SECONDS").unwrap_or(10);
    alone_for(Duration::from_secs(2 * seconds), || {
        soak(Wire::Tls, 300, Duration::from_secs(seconds));
    });
}

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}: a whole number, not {text:?}")),
    )
}

/// Two rounds of half the time each: what the second takes beyond the first is a leak.
fn soak(wire: Wire, wanted: usize, duration: Duration) {
    // Two ends of each connection, and the rest.
    let allowed = allow_descriptors(2 * wanted as u64 + 200);
    let connections = wanted.min((allowed as usize - 200) / 2);
    if connections < wanted {
        println!("noted: {connections} connections, since only {allowed} descriptors are allowed");
    }
    let seed =
        from_environment("ASYNCIO_SOAK_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    println!("noted: ASYNCIO_SOAK_SEED={seed}");
    let before = descriptors();
    let mut memory = Vec::new();
    for round in 0..2 {
        let chance = Chance(seed.wrapping_add(round));
        let tally = one_round(wire, connections, duration / 2, chance);
        println!("noted: {tally:?}");
        assert!(tally.of("message echoed") > 0 && tally.of("task cancelled") > 0);
        drop(tally);
        assert_eq!(descriptors(), before, "after round {round}");
        memory.push(allocated());
    }
    println!("noted: bytes allocated after each round: {memory:?}");
    let grown = memory[1].saturating_sub(memory[0]);
    assert!(
        grown < 64 * 1024,
        "the second round took {grown} bytes more"
    );
}

fn one_round(wire: Wire, connections: usize, duration: Duration, mut chance: Chance) -> Tally {
    let over = Arc::new(threadsafe::Event::new());
    let (tell_port, told_port) = mpsc::channel();
    let (may_end, server_chance) = (over.clone(), chance.fork());
    let server = thread::spawn(move || serve(wire, tell_port, may_end, server_chance));
    let port = told_port.recv().unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let (may_stop, vandal_chance) = (stop.clone(), chance.fork());
    let vandal = thread::spawn(move || vandalise(wire, port, &may_stop, vandal_chance));

    let tally = Tally::default();
    let counts = tally.clone();
    alone::run_cleanly(async move {
        all_clients(wire, port, connections, duration, chance, counts).await;
    });
    stop.store(true, Ordering::Relaxed);
    vandal.join().unwrap();
    over.set();
    for report in server.join().unwrap() {
        let expected = [
            "reset",
            "pipe",
            "ended after",
            "closed on this side",
            "cancelled",
        ];
        assert!(
            expected.iter().any(|text| report.contains(text)),
            "{report}"
        );
        tally.count("report to the server's handler");
    }
    tally
}

/// The server's thread: echoes frames, and now and then sends clients away or cancels their tasks.
fn serve(
    wire: Wire,
    tell_port: mpsc::Sender<u16>,
    over: Arc<threadsafe::Event>,
    mut chance: Chance,
) -> Vec<String> {
    alone::run(async move {
        let tasks: Rc<RefCell<BTreeMap<u64, TaskRef>>> = Rc::default();
        let known = tasks.clone();
        let numbers = Cell::new(0);
        let server = wire
            .serve(move |reader, writer| {
                let number = numbers.replace(numbers.get() + 1);
                let entry = Entry {
                    known: known.clone(),
                    number,
                };
                async move {
                    let task = current_task().expect("a callback is a task");
                    entry.known.borrow_mut().insert(number, task);
                    let result = echo_frames(reader, writer).await;
                    drop(entry);
                    result
                }
            })
            .await;
        tell_port.send(port(&server)).unwrap();
        let harass = async {
            loop {
                sleep(Duration::from_millis(chance.below(20))).await;
                match chance.below(1000) {
                    0 => server.close_clients(),
                    1 => server.abort_clients(),
                    _ => {
                        let tasks = tasks.borrow();
                        let first = tasks.keys().next().copied().unwrap_or(0);
                        for _ in 0..chance.below(6) {
                            let from = first + chance.below(5000);
                            if let Some((_, victim)) = tasks.range(from..).next() {
                                victim.cancel();
                            }
                        }
                    }
                }
            }
        };
        until(over.wait(), harass).await;
        server.close();
        server.close_clients();
        server.wait_closed().await;
        // A callback ends a turn or so after its connection.
        while !tasks.borrow().is_empty() {
            yield_now().await;
        }
    })
}

/// A callback's place in the list of those that may be cancelled.
struct Entry {
    known: Rc<RefCell<BTreeMap<u64, TaskRef>>>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.known.borrow_mut().remove(&self.number);
    }
}

async fn echo_frames(mut reader: StreamReader, writer: StreamWriter) -> Result<(), StreamError> {
    loop {
        let head = match reader.readexactly(4).await {
            Ok(head) => head,
            Err(StreamError::Incomplete(error)) if error.partial.is_empty() => break,
            Err(error) => return Err(error),
        };
        let length = u32::from_be_bytes(head[..].try_into().unwrap());
        let body = reader.readexactly(length as usize).await?;
        writer.writelines([&head, &body]);
        writer.drain().await?;
    }
    Ok(())
}

/// The clients' loop: keeps so many at it until the time is up, and cancels some of them all along.
async fn all_clients(
    wire: Wire,
    port: u16,
    connections: usize,
    duration: Duration,
    mut chance: Chance,
    tally: Tally,
) {
    let begun = Instant::now();
    let stop = Rc::new(Cell::new(false));
    let start = |chance: Chance| -> Task<()> {
        create_task(client(wire, port, chance, stop.clone(), tally.clone()))
    };
    let mut clients: Vec<Task<()>> = (0..connections).map(|_| start(chance.fork())).collect();
    while begun.elapsed() < duration {
        sleep(Duration::from_micros(chance.below(2000))).await;
        let mut victims = Vec::new();
        for _ in 0..chance.below(50) {
            let at = chance.below(connections as u64) as usize;
            let victim = std::mem::replace(&mut clients[at], start(chance.fork()));
            victim.cancel();
            victims.push(victim);
        }
        for victim in victims {
            match victim.await {
                Ok(()) => panic!("a client ends when it is told to"),
                Err(error) => assert!(error.is_cancelled(), "{error}"),
            }
            tally.count("task cancelled");
        }
    }
    stop.set(true);
    for client in clients {
        client.await.unwrap();
    }
    // What the last of them wrote is still being sent in the background, and with TLS they say goodbye there; after 30
    // seconds without an answer they give up.
    let goodbyes = async {
        while all_tasks().len() > 1 {
            sleep(0.001).await;
        }
    };
    timeout(40, goodbyes).await.unwrap();
}

/// One client after the other in the same task.
async fn client(wire: Wire, port: u16, mut chance: Chance, stop: Rc<Cell<bool>>, tally: Tally) {
    while !stop.get() {
        let connecting = wire.connect(port);
        let connected = match chance.below(10) {
            0 => match cut_short(&mut chance, connecting).await {
                Some(connected) => connected,
                None => {
                    tally.count("connect cut short");
                    continue;
                }
            },
            _ => connecting.await,
        };
        let result = match connected {
            Ok((reader, writer)) => session(reader, writer, &mut chance, &stop, &tally).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => tally.count("session ended well"),
            Err(error) => {
                use io::ErrorKind::*;
                let expected = match error.kind() {
                    ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => true,
                    // The system is out of ports for a moment: closed connections keep theirs.
                    AddrNotAvailable => true,
                    _ => false,
                };
                assert!(expected, "{error:?}");
                tally.count(&format!("session failed: {:?}", error.kind()));
                sleep(Duration::from_millis(chance.below(20))).await;
            }
        }
    }
}

async fn session(
    mut reader: StreamReader,
    writer: StreamWriter,
    chance: &mut Chance,
    stop: &Cell<bool>,
    tally: &Tally,
) -> io::Result<()> {
    for _ in 0..1 + chance.below(8) {
        if stop.get() {
            break;
        }
        let frame = chance.frame();
        if chance.below(16) == 0 {
            // The kernel takes little, and whatever it does not take makes the next drain wait.
            writer.set_write_buffer_limits(0, 0);
            if let Some(socket) = writer.socket() {
                set_socket_send_buffer_size(socket, 4096)?;
            }
        }
        // In one piece or two; draining may be given up and tried again.
        let (begin, rest) = frame.split_at(chance.below(frame.len() as u64) as usize);
        writer.write(begin);
        if chance.below(4) == 0
            && cut_short(chance, writer.drain())
                .await
                .transpose()?
                .is_none()
        {
            tally.count("drain cut short");
        }
        writer.write(rest);
        writer.drain().await?;
        // A read that is given up loses nothing.
        let mut echoed = None;
        while echoed.is_none() {
            echoed = match chance.below(3) {
                0 => cut_short(chance, reader.readexactly(frame.len()))
                    .await
                    .transpose()?,
                _ => Some(reader.readexactly(frame.len()).await?),
            };
            if echoed.is_none() {
                tally.count("read cut short");
            }
        }
        assert!(echoed.unwrap() == frame, "the echo is not what was sent");
        tally.count("message echoed");
        sleep(Duration::from_millis(chance.below(100))).await;
    }
    match chance.below(7) {
        0 => {
            writer.close();
            writer.wait_closed().await?;
        }
        1 => {
            writer.write_eof();
            let rest = reader.read_to_end().await?;
            assert!(rest.is_empty(), "{} bytes nobody sent", rest.len());
        }
        // In the middle of a frame.
        2 => {
            writer.write(&chance.frame()[..4]);
            writer.abort();
        }
        // With the echo unread, which makes the kernel reset the connection.
        3 => {
            writer.write(chance.frame());
            drop(writer);
            yield_now().await;
        }
        4 => {
            drop(reader);
            yield_now().await;
            writer.write(chance.frame());
        }
        // Without a word: the other side sees a reset.
        5 => {
            if let Some(socket) = writer.socket() {
                set_socket_linger(socket, Some(Duration::ZERO))?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The thread of those who slam doors: sockets that are nobody's of ours, reset at any point of a frame.
fn vandalise(wire: Wire, port: u16, stop: &AtomicBool, mut chance: Chance) {
    use std::io::{Read, Write};
    while !stop.load(Ordering::Relaxed) {
        let mut peers: Vec<_> = (0..chance.below(20)).map(|_| wire.peer(port)).collect();
        for peer in &mut peers {
            let frame = chance.frame();
            let part = chance.below(frame.len() as u64 + 1) as usize;
            // The server may have sent it away already.
            if peer.write_all(&frame[..part]).is_ok() && part == frame.len() {
                let _ = peer.read(&mut [0; 10]);
            }
        }
        for mut peer in peers {
            match chance.below(3) {
                0 => peer.end(),
                1 => {}
                _ => peer.reset(),
            }
        }
        thread::sleep(Duration::from_millis(chance.below(20)));
    }
}

/// Drops a future after it has been polled a few times, or a moment has passed; `None` if it was not ready by then.
async fn cut_short<F: Future>(chance: &mut Chance, future: F) -> Option<F::Output> {
    if chance.below(2) == 0 {
        return timeout(Duration::from_micros(chance.below(3000)), future)
            .await
            .ok();
    }
    let mut polls_left = chance.below(3);
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if polls_left == 0 => Poll::Ready(None),
        Poll::Pending => {
            polls_left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Runs `other`, which does not end, until `first` has ended.
async fn until(first: impl Future, other: impl Future) {
    let (mut first, mut other) = (pin!(first), pin!(other));
    poll_fn(|cx| {
        if first.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let _ = other.as_mut().poll(cx).is_pending();
        Poll::Pending
    })
    .await;
}

/// Random numbers: splitmix64.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// 0 for a limit of 0.
    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn fork(&mut self) -> Chance {
        Chance(self.next())
    }

    /// A length in four bytes and so many more. Mostly few, at times more than any buffer holds.
    fn frame(&mut self) -> Vec<u8> {
        let length = match self.below(100) {
            0 => self.below(300_000),
            1..=9 => self.below(20_000),
            _ => self.below(200),
        };
        let mut frame = (length as u32).to_be_bytes().to_vec();
        // Each place differs from its neighbours, and each frame from others.
        let pattern: Vec<u8> = (0..251).map(|_| self.next() as u8).collect();
        frame.extend(pattern.iter().cycle().take(length as usize));
        frame
    }
}

/// What happened, and how often.
#[derive(Clone, Debug, Default)]
struct Tally(Rc<RefCell<BTreeMap<String, usize>>>);

impl Tally {
    fn count(&self, what: &str) {
        let mut counts = self.0.borrow_mut();
        match counts.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(counts.insert(what.to_owned(), 1)),
        }
    }

    fn of(&self, what: &str) -> usize {
        self.0.borrow().get(what).copied().unwrap_or(0)
    }
}
