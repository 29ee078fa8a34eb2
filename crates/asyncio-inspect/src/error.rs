//! Why a process could not be looked at.

use std::error::Error;
use std::fmt;
use std::io;

/// Why [`get_all_awaited_by`](crate::tools::get_all_awaited_by) gave nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum InspectError {
    /// There is no endpoint in the process, or no such process.
    NoEndpoint {
        /// The process that was asked for.
        pid: u32,
    },
    /// Somebody else's process answered.
    NotYours {
        /// The process that was asked for.
        pid: u32,
    },
    /// It did not answer in time: it was stopped, or the machine is very busy.
    NoAnswer {
        /// The process that was asked for.
        pid: u32,
    },
    /// The answer is none: another version, or cut off.
    Unreadable {
        /// The line of the answer, from 1.
        line: usize,
        /// What was expected there.
        expected: &'static str,
    },
    /// The system refused.
    Io(io::Error),
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InspectError::NoEndpoint { pid } => write!(
                f,
                "process {pid} does not run or has no endpoint: start it with ASYNCIO_INSPECT=1, or let it call \
                 `asyncio::tools::serve()`"
            ),
            InspectError::NotYours { pid } => write!(
                f,
                "process {pid} belongs to another user, or another process answers for it: ask as its user, or as root"
            ),
            InspectError::NoAnswer { pid } => write!(
                f,
                "process {pid} did not answer: see whether it was stopped (`ps -o stat= -p {pid}` says T)"
            ),
            InspectError::Unreadable { line, expected } => write!(
                f,
                "line {line} of the answer is not {expected}: are the process and this command of one version?"
            ),
            InspectError::Io(error) => write!(f, "the process could not be asked: {error}"),
        }
    }
}

impl Error for InspectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            InspectError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for InspectError {
    fn from(error: io::Error) -> InspectError {
        InspectError::Io(error)
    }
}
