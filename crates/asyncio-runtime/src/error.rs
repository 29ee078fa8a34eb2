//! Why a run did not give a result.

use std::fmt;
use std::io;

use asyncio_executor::{CancelledError, PanicPayload, TaskError};

/// Why a run did not give its future's result.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The thread is running a loop already (S10, S175).
    AlreadyRunning,
    /// The loop or runner was closed (S10, S180).
    Closed,
    /// `stop()` ended the run before the future was done (S9); its task stays and goes on in the next run.
    Stopped,
    /// The main task was cancelled.
    Cancelled(CancelledError),
    /// The main task panicked.
    Panicked(PanicPayload),
    /// Ctrl-C: the main task was cancelled by SIGINT and ended so (S181).
    Interrupted,
    /// The system refused something the loop needs.
    Io(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::AlreadyRunning => f.write_str(
                "an event loop is running in this thread already: await the future (or `create_task` it) instead of \
                 calling `run` inside `run`",
            ),
            RunError::Closed => {
                f.write_str("the event loop is closed: make a new `Runner` or `EventLoop` for another run")
            }
            RunError::Stopped => f.write_str(
                "the event loop was stopped before the future completed: its task is still pending and goes on when \
                 the loop runs again",
            ),
            RunError::Cancelled(error) => write!(f, "the main task was {error}"),
            RunError::Panicked(panic) => write!(f, "the main task panicked: {}", panic.message()),
            RunError::Interrupted => f.write_str("interrupted by SIGINT (Ctrl-C)"),
            RunError::Io(error) => write!(f, "the event loop could not go on: {error}"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RunError::Cancelled(error) => Some(error),
            RunError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> RunError {
        RunError::Io(error)
    }
}

impl From<TaskError> for RunError {
    fn from(error: TaskError) -> RunError {
        match error {
            TaskError::Cancelled(error) => RunError::Cancelled(error),
            TaskError::Panicked(panic) => RunError::Panicked(panic),
        }
    }
}
