//! The endpoint: a socket, and a thread that answers what is asked there.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::{address, registry, wire};

/// How long a loop has to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long whoever asks has to say so, and to take each piece of the answer.
const SLOWEST: Duration = Duration::from_secs(5);

const LONGEST_QUESTION: u64 = 100;

/// The process that serves; a child that was forked from it is another one.
static SERVED: Mutex<Option<u32>> = Mutex::new(None);

pub(crate) fn serve() -> io::Result<()> {
    let mut served = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
    let pid = std::process::id();
    if *served == Some(pid) {
        return Ok(());
    }
    let listener = address::listen(pid)?;
    thread::Builder::new()
        .name("asyncio-inspect".to_owned())
        .spawn(move || {
            for stream in listener.incoming() {
                match stream {
                    // Who went away, or may not look, is nobody's concern here.
                    Ok(stream) => drop(answer(&stream, pid)),
                    // No descriptors left: later, maybe.
                    Err(_) => thread::sleep(PATIENCE),
                }
            }
        })?;
    *served = Some(pid);
    registry::keep_pulses();
    Ok(())
}

fn answer(mut stream: &UnixStream, pid: u32) -> io::Result<()> {
    if !address::may_look(stream) {
        return Ok(());
    }
    stream.set_read_timeout(Some(SLOWEST))?;
    stream.set_write_timeout(Some(SLOWEST))?;
    let mut question = String::new();
    BufReader::new(stream)
        .take(LONGEST_QUESTION)
        .read_line(&mut question)?;
    // Whatever version asks: it sees from the first line what it is told.
    stream.write_all(wire::head(pid).as_bytes())?;
    for answer in registry::ask_all(PATIENCE, wire::asks_for_stacks(&question)) {
        stream.write_all(answer.encode().as_bytes())?;
    }
    stream.write_all(wire::END.as_bytes())
}
