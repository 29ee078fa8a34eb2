//! Asking another process.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use crate::error::InspectError;
use crate::report::ProcessReport;
use crate::{address, wire};

/// Longer than an endpoint waits for its loops; the names of functions may take a while to be found.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn ask(pid: u32, stacks: bool) -> Result<ProcessReport, InspectError> {
    let mut stream = match address::connect(pid) {
        Ok(stream) => stream,
        Err(error) => {
            return Err(match error.kind() {
                ErrorKind::ConnectionRefused | ErrorKind::NotFound => {
                    InspectError::NoEndpoint { pid }
                }
                ErrorKind::PermissionDenied => InspectError::NotYours { pid },
                _ => InspectError::Io(error),
            });
        }
    };
    if !address::is_answered_by(&stream, pid) {
        return Err(InspectError::NotYours { pid });
    }
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut text = String::new();
    let talk = stream
        .write_all(wire::question(stacks).as_bytes())
        .and_then(|()| {
            (&stream)
                .take(wire::LONGEST_ANSWER)
                .read_to_string(&mut text)
        });
    match talk {
        // It hung up on us.
        Ok(0) => Err(InspectError::NotYours { pid }),
        Ok(_) => wire::parse(&text),
        Err(error) if is_timeout(&error) => Err(InspectError::NoAnswer { pid }),
        Err(error) => Err(error.into()),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
