//! The endpoint: a socket, and a thread that answers what is asked there.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::{address, registry, wire};

/// How long a loop has to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long whoever asks may keep us waiting altogether, to say what it asks and to take the answer: meanwhile nobody
/// else is answered.
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

fn answer(stream: &UnixStream, pid: u32) -> io::Result<()> {
    if !address::may_look(stream) {
        return Ok(());
    }
    let mut stream = Patient {
        stream,
        left: SLOWEST,
    };
    let mut question = String::new();
    BufReader::new(&mut stream)
        .take(LONGEST_QUESTION)
        .read_line(&mut question)?;
    // Whatever version asks: it sees from the first line what it is told.
    stream.write_all(wire::head(pid).as_bytes())?;
    for answer in registry::ask_all(PATIENCE, wire::asks_for_stacks(&question)) {
        stream.write_all(answer.encode().as_bytes())?;
    }
    stream.write_all(wire::END.as_bytes())
}

/// A stream whose peer has so much time for all of it; what is done here between two calls does not count.
struct Patient<'a> {
    stream: &'a UnixStream,
    left: Duration,
}

impl Patient<'_> {
    /// One call, which takes no longer than what is left.
    fn spend<T>(
        &mut self,
        limit: impl FnOnce(&UnixStream, Option<Duration>) -> io::Result<()>,
        call: impl FnOnce(&UnixStream) -> io::Result<T>,
    ) -> io::Result<T> {
        // No time at all would be taken for no limit at all.
        if self.left.is_zero() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("whoever asked was too slow: it has {SLOWEST:?} altogether"),
            ));
        }
        limit(self.stream, Some(self.left))?;
        let begun = Instant::now();
        let done = call(self.stream);
        self.left = self.left.saturating_sub(begun.elapsed());
        done
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.spend(UnixStream::set_read_timeout, |mut stream| {
            stream.read(buffer)
        })
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.spend(UnixStream::set_write_timeout, |mut stream| {
            stream.write(bytes)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patient(stream: &UnixStream) -> Patient<'_> {
        let left = Duration::from_millis(2);
        Patient { stream, left }
    }

    #[test]
    fn who_says_nothing_has_used_its_time_for_all_that_follows() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut stream = patient(&ours);
        // The kernel may give up a little before our clock says so.
        while !stream.left.is_zero() {
            assert!(stream.read(&mut [0; 8]).is_err());
        }
        // Now it would be there.
        theirs.write_all(b"asyncio-inspect 1\n").unwrap();
        let refused = stream.read(&mut [0; 8]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        assert!(stream.write(b"answer").is_err());
    }

    #[test]
    fn who_takes_nothing_is_left() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut stream = patient(&ours);
        let piece = [0; 4096];
        while stream.write(&piece).is_ok() {}
        while !stream.left.is_zero() {
            assert!(stream.write(&piece).is_err());
        }
        assert_eq!(
            stream.write_all(&piece).unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
    }
}
