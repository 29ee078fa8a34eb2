//! A connection to a plain blocking socket, and a few ways to look at futures.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use asyncio_net::{ConnectOptions, StreamReader, StreamWriter};

pub(crate) use asyncio_executor::{spawn, yield_now};
pub(crate) use asyncio_runtime::run;

/// Our two ends, and the peer as a blocking socket.
pub(crate) async fn with_peer() -> (StreamReader, StreamWriter, TcpStream) {
    with_peer_and_limit(65536).await
}

pub(crate) async fn with_peer_and_limit(limit: usize) -> (StreamReader, StreamWriter, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (reader, writer) = ConnectOptions::new()
        .limit(limit)
        .connect("127.0.0.1", port)
        .await
        .unwrap();
    let (peer, _) = listener.accept().unwrap();
    // A broken test should fail, not hang.
    peer.set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    peer.set_nodelay(true).unwrap();
    (reader, writer, peer)
}

/// What the peer can read without waiting.
pub(crate) fn readable_now(peer: &mut TcpStream) -> Vec<u8> {
    peer.set_nonblocking(true).unwrap();
    let mut data = Vec::new();
    let mut chunk = [0; 65536];
    while let Ok(n) = peer.read(&mut chunk) {
        if n == 0 {
            break;
        }
        data.extend_from_slice(&chunk[..n]);
    }
    peer.set_nonblocking(false).unwrap();
    data
}

/// Everything the peer receives up to the end of the stream, read by a thread of the pool.
pub(crate) async fn all_of(mut peer: TcpStream) -> Vec<u8> {
    asyncio_blocking::unblock(move || {
        let mut data = Vec::new();
        peer.read_to_end(&mut data).unwrap();
        data
    })
    .await
    .unwrap()
}

/// Closes the peer's socket so that our side sees a reset.
pub(crate) fn reset(peer: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
    drop(peer);
}

/// Polls once.
pub(crate) async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Makes a future, polls it once and drops it, until it is ready: a reader that is cancelled all the time.
pub(crate) async fn in_bits<R>(
    reader: &mut StreamReader,
    read: impl AsyncFn(&mut StreamReader) -> R,
) -> R {
    loop {
        if let Some(output) = poll_once(pin!(read(reader))).await {
            return output;
        }
        yield_now().await;
    }
}

pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

pub(crate) fn send(peer: &mut TcpStream, data: impl AsRef<[u8]>) {
    peer.write_all(data.as_ref()).unwrap();
}

pub(crate) type Ends = (StreamReader, StreamWriter);

/// Both ends of one connection: who connected, and who accepted.
pub(crate) async fn both_ends() -> (Ends, Ends) {
    let accepted = std::rc::Rc::new(std::cell::RefCell::new(None));
    let place = accepted.clone();
    let server = asyncio_net::start_server(
        move |reader, writer| {
            place.replace(Some((reader, writer)));
            async {}
        },
        "127.0.0.1",
        0,
    )
    .await
    .unwrap();
    let connected = asyncio_net::open_connection("127.0.0.1", server.local_addrs()[0].port())
        .await
        .unwrap();
    until(|| accepted.borrow().is_some()).await;
    let accepted = accepted.take().unwrap();
    (connected, accepted)
}

/// Runs a program on a loop with a clock of its own, a virtual one usually.
#[track_caller]
pub(crate) fn run_on<F>(clock: asyncio_timers::Clock, program: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    let event_loop = asyncio_runtime::EventLoop::builder()
        .clock(clock)
        .build()
        .unwrap();
    let output = event_loop.run_until_complete(program).unwrap();
    event_loop.close().unwrap();
    output
}

/// Runs a program in virtual time: where the loop would sleep, the clock jumps.
#[track_caller]
pub(crate) fn run_virtually<F>(program: F) -> F::Output
where
    F: Future + 'static,
    F::Output: 'static,
{
    run_on(asyncio_timers::Clock::auto(), program)
}
