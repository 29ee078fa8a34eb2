//! The clients of `memory-conn`: they echo once and then say nothing more.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::rows::SMALL;

/// The size of the future with which the server treats a client: the program's own, whatever runs it.
static CLIENT: AtomicUsize = AtomicUsize::new(0);

/// Notes the size of such a future.
pub(crate) fn client<F: Future>(future: F) -> F {
    CLIENT.store(size_of::<F>(), Ordering::Relaxed);
    future
}

/// What the program itself holds for a client: the future, and the buffer it reads into.
pub(crate) fn of_the_program() -> f64 {
    (CLIENT.load(Ordering::Relaxed) + SMALL) as f64
}

/// Connections to a server in this process, opened by a thread of their own and never closed.
#[derive(Debug)]
pub(crate) struct Idlers {
    idle: Arc<AtomicBool>,
}

impl Idlers {
    pub(crate) fn connect(port: u16, count: usize) -> Self {
        let idle = Arc::new(AtomicBool::new(false));
        let all = Arc::clone(&idle);
        thread::spawn(move || {
            let message = [b'x'; SMALL];
            for _ in 0..count {
                let mut stream =
                    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
                let mut echo = [0; SMALL];
                stream
                    .write_all(&message)
                    .and_then(|()| stream.read_exact(&mut echo))
                    .expect("the server echoes");
                assert_eq!(echo, message);
                // It stays open until the process ends, and no list of them counts as the server's memory.
                std::mem::forget(stream);
            }
            // The last one has its echo a moment before its task waits again.
            thread::sleep(Duration::from_millis(20));
            all.store(true, Ordering::Release);
        });
        Self { idle }
    }

    /// Whether every connection waits for a message that will not come.
    pub(crate) fn all_idle(&self) -> bool {
        self.idle.load(Ordering::Acquire)
    }
}
