//! The values cancellation travels in.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::exception::panic_text;

/// Someone asked for this to end; asyncio: `CancelledError`.
///
/// It is not an error of the program, so nothing converts it into one by accident (S61): `catch_cancelled` hands it
/// out, and [`propagate`](CancelledError::propagate) sends it on to the next scope.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct CancelledError {
    message: Option<Arc<str>>,
}

impl CancelledError {
    /// One without a message.
    pub fn new() -> CancelledError {
        CancelledError::default()
    }

    /// One with the message `cancel_with` carries (S60).
    pub fn with_message(message: impl Into<Arc<str>>) -> CancelledError {
        CancelledError {
            message: Some(message.into()),
        }
    }

    /// The message of the request, if it had one (S60).
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Raises it again: unwinds to the next scope outwards. Never returns to the caller.
    ///
    /// asyncio: `raise` in an `except CancelledError` block.
    ///
    /// # Cancel safety
    ///
    /// It *is* a cancellation. Dropped before it is polled, it raises nothing.
    ///
    /// # Panics
    ///
    /// When awaited outside a task.
    pub async fn propagate<T>(self) -> T {
        match super::raise::Raise::new(self).await {}
    }

    /// The same for a future written by hand: marks the nearest enclosing scope, or the task, and gives the `Pending`
    /// that the calling `poll` returns. The future is dropped by that scope; it must go on returning `Pending` and
    /// touch nothing if it is polled again before.
    ///
    /// # Panics
    ///
    /// Outside a task.
    #[track_caller]
    pub fn raise_in_poll<T>(self) -> std::task::Poll<T> {
        super::raise::raise_here(self);
        std::task::Poll::Pending
    }
}

impl fmt::Debug for CancelledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "CancelledError({message:?})"),
            None => f.write_str("CancelledError()"),
        }
    }
}

impl fmt::Display for CancelledError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "cancelled: {message}"),
            None => f.write_str("cancelled"),
        }
    }
}

impl std::error::Error for CancelledError {}

/// What a panicking task left behind.
pub struct PanicPayload {
    // The mutex makes it `Sync` without asking anything of the payload, so that errors of any kind can carry it.
    payload: Mutex<Box<dyn Any + Send>>,
    text: Box<str>,
}

impl PanicPayload {
    /// Wraps what `catch_unwind` returned.
    pub fn new(payload: Box<dyn Any + Send>) -> PanicPayload {
        PanicPayload {
            text: panic_text(&*payload).into(),
            payload: Mutex::new(payload),
        }
    }

    /// The message of the panic, or a placeholder where the payload is not text.
    pub fn message(&self) -> &str {
        &self.text
    }

    /// The payload itself, for `std::panic::resume_unwind`.
    pub fn into_inner(self) -> Box<dyn Any + Send> {
        self.payload
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on panicking where the task stopped.
    pub fn resume(self) -> ! {
        std::panic::resume_unwind(self.into_inner())
    }
}

impl fmt::Debug for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PanicPayload").field(&self.text).finish()
    }
}

/// How a task ended when it did not return a value.
#[derive(Debug)]
pub enum TaskError {
    /// It was cancelled, by somebody else than the one who awaits it.
    ///
    /// A request to the *awaiting* task never appears as this value: it unwinds that task.
    Cancelled(CancelledError),
    /// It panicked.
    Panicked(PanicPayload),
}

impl TaskError {
    /// Whether the task was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, TaskError::Cancelled(_))
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, TaskError::Panicked(_))
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskError::Cancelled(error) => write!(f, "the task was {error}"),
            TaskError::Panicked(panic) => write!(f, "the task panicked: {}", panic.message()),
        }
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TaskError::Cancelled(error) => Some(error),
            TaskError::Panicked(_) => None,
        }
    }
}
