//! What a message costs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;

use asyncio_net::{Server, StreamReader, StreamWriter, start_server};
use asyncio_sync::Future;

use crate::support::*;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts what each thread allocates.
struct Counting;

// SAFETY: every call goes to the system's allocator as it came; counting touches a thread-local without destructor only.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the server's side has used so far.
#[derive(Clone, Copy, Debug)]
struct Used {
    system_calls: u64,
    allocations: u64,
}

fn used() -> Used {
    Used {
        system_calls: asyncio_runtime::get_running_loop().stats().reactor.syscalls,
        allocations: ALLOCATIONS.get(),
    }
}

/// The portable backend of the reactor has to ask for each event anew.
const ARMING: u64 = if cfg!(all(target_os = "linux", not(asyncio_polling_backend))) {
    0
} else {
    1
};
const WARM_UP: usize = 50;
const ROUND_TRIPS: usize = 1000;

/// Makes that many round trips from a thread; returns what the server's side used for those after the first few.
async fn cost<F>(size: usize, serve: fn(StreamReader, StreamWriter, Rounds) -> F) -> Used
where
    F: std::future::Future<Output = std::io::Result<()>> + 'static,
{
    let result = Future::new();
    let told = result.clone();
    let server: Server = start_server(
        move |reader, writer| {
            serve(
                reader,
                writer,
                Rounds {
                    seen: 0,
                    at_start: None,
                    result: told.clone(),
                },
            )
        },
        "127.0.0.1",
        0,
    )
    .await
    .unwrap();
    let address = server.local_addrs()[0];
    let client = std::thread::spawn(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        let (message, mut answer) = (vec![7; size], vec![0; size]);
        for _ in 0..WARM_UP + ROUND_TRIPS + 1 {
            socket.write_all(&message).unwrap();
            socket.read_exact(&mut answer).unwrap();
        }
        assert_eq!(answer, message);
    });
    let used = result.await.unwrap();
    server.close();
    server.wait_closed().await;
    client.join().unwrap();
    used
}

/// Looks at the counters when the warm-up is over and when the round trips are.
struct Rounds {
    seen: usize,
    at_start: Option<Used>,
    result: Future<Used>,
}

impl Rounds {
    fn another(&mut self) {
        self.seen += 1;
        if self.seen == WARM_UP {
            self.at_start = Some(used());
        }
        if self.seen == WARM_UP + ROUND_TRIPS {
            let (now, start) = (used(), self.at_start.unwrap());
            self.result
                .set_result(Used {
                    system_calls: now.system_calls - start.system_calls,
                    allocations: now.allocations - start.allocations,
                })
                .unwrap();
        }
    }
}

#[test]
fn an_echo_by_read_into_and_write_costs_three_system_calls_and_no_allocation() {
    let used = run(cost(64, |mut reader, writer, mut rounds| async move {
        let mut buffer = [0; 64];
        loop {
            let n = reader.read_into(&mut buffer).await?;
            if n == 0 {
                return Ok(());
            }
            writer.write(&buffer[..n]);
            writer.drain().await?;
            rounds.another();
        }
    }));
    assert_eq!(
        used.system_calls,
        (3 + ARMING) * ROUND_TRIPS as u64,
        "{used:?}"
    );
    assert_eq!(used.allocations, 0, "{used:?}");
}

#[test]
fn an_echo_into_a_large_buffer_costs_three_system_calls_and_no_allocation() {
    let used = run(cost(1000, |mut reader, writer, mut rounds| async move {
        let mut buffer = vec![0; 65536];
        loop {
            let n = reader.read_into(&mut buffer).await?;
            if n == 0 {
                return Ok(());
            }
            writer.write(&buffer[..n]);
            rounds.another();
        }
    }));
    assert_eq!(
        used.system_calls,
        (3 + ARMING) * ROUND_TRIPS as u64,
        "{used:?}"
    );
    assert_eq!(used.allocations, 0, "{used:?}");
}

#[test]
fn an_echo_of_lines_costs_three_system_calls_and_an_allocation() {
    let used = run(cost(64, |mut reader, writer, mut rounds| async move {
        loop {
            let data = reader.read(65536).await?;
            if data.is_empty() {
                return Ok(());
            }
            writer.write(&data);
            writer.drain().await?;
            rounds.another();
        }
    }));
    assert_eq!(
        used.system_calls,
        (3 + ARMING) * ROUND_TRIPS as u64,
        "{used:?}"
    );
    assert!(used.allocations <= ROUND_TRIPS as u64, "{used:?}");
}

#[test]
fn an_echo_of_large_messages_shares_the_buffer() {
    let used = run(cost(2000, |mut reader, writer, mut rounds| async move {
        loop {
            let data = reader.read(65536).await?;
            if data.is_empty() {
                return Ok(());
            }
            writer.write(&data);
            rounds.another();
        }
    }));
    assert_eq!(
        used.system_calls,
        (3 + ARMING) * ROUND_TRIPS as u64,
        "{used:?}"
    );
    assert!(used.allocations <= ROUND_TRIPS as u64, "{used:?}");
}

#[test]
fn head_and_body_written_one_after_the_other_are_gathered_without_allocating() {
    let used = run(cost(64, |mut reader, writer, mut rounds| async move {
        let mut buffer = [0; 64];
        loop {
            let n = reader.read_into(&mut buffer).await?;
            if n == 0 {
                return Ok(());
            }
            writer.write(&buffer[..1]);
            writer.write(&buffer[1..2]);
            writer.write(&buffer[2..n]);
            rounds.another();
        }
    }));
    assert_eq!(
        used.system_calls,
        (4 + ARMING) * ROUND_TRIPS as u64,
        "{used:?}"
    );
    assert_eq!(used.allocations, 0, "{used:?}");
}
