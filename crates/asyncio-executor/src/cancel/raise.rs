//! Unwinding on purpose: raising a cancellation from inside.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::error::CancelledError;
use crate::local::Local;
use crate::meta::flag;

/// Ends the task as if it had been cancelled, unwinding scope by scope (S37); asyncio: `raise CancelledError`.
///
/// Never returns. The nearest enclosing scope (a [`catch_cancelled`](crate::catch_cancelled), a timeout, a group)
/// drops its body and reacts; where there is none, the task ends cancelled. In one branch of a `join!` it unwinds the
/// scope around the whole combinator, and so drops the other branches too.
///
/// # Cancel safety
///
/// It *is* a cancellation. Dropped before it is polled, it raises nothing.
///
/// # Panics
///
/// When awaited outside a task.
///
/// # Examples
///
/// ```
/// use asyncio_executor::{Executor, catch_cancelled, raise_cancelled};
///
/// let executor = Executor::new();
/// let caught = executor.run(async { catch_cancelled(async { raise_cancelled::<u8>().await }).await });
/// assert!(caught.unwrap().is_err());
///
/// let ended = executor.run(async { raise_cancelled::<u8>().await });
/// assert!(ended.unwrap_err().is_cancelled());
/// ```
pub async fn raise_cancelled<T>() -> T {
    match Raise::new(CancelledError::new()).await {}
}

/// The future behind every raise: marks the nearest scope and stays pending until that drops it.
pub(crate) struct Raise {
    error: Option<CancelledError>,
}

impl Raise {
    pub(crate) fn new(error: CancelledError) -> Raise {
        Raise { error: Some(error) }
    }
}

impl Future for Raise {
    type Output = Infallible;

    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Infallible> {
        if let Some(error) = self.error.take() {
            raise_here(error);
        }
        Poll::Pending
    }
}

/// Marks the scope that is being polled, or the task. The caller returns `Pending` and is not polled again.
#[track_caller]
pub(crate) fn raise_here(error: CancelledError) {
    let task = Local::current().and_then(Local::current_meta).expect(
        "a cancellation can be raised only inside a task: spawn the future that awaits this",
    );
    if let Some(scopes) = task.existing_scopes()
        && scopes.raise(&error)
    {
        return;
    }
    task.set(flag::RAISED);
    task.with_new_extra(|extra| extra.cancel = Some(error));
}
