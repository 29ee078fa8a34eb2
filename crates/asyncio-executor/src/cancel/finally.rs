//! Cleanup that may await.

use std::future::{Future, IntoFuture};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::Poll;

use super::catch::catch_cancelled;

/// Awaits a future, then a cleanup, whichever way the future ended; asyncio: `try: … finally: await cleanup()`.
///
/// The cleanup runs when the future returned, when a request cancelled it (which is raised again afterwards) and when
/// it panicked (which goes on afterwards). It runs outside the scope: a second request during the cleanup unwinds the
/// cleanup too (S54), unless that guards itself with [`catch_cancelled`](crate::catch_cancelled) or runs in a task of
/// its own.
///
/// # Cancel safety
///
/// A request is what it is made for. *Dropping* the returned future (a losing arm of a `select`) drops the future
/// inside and does not run the cleanup: nothing can be awaited in a `Drop`.
///
/// # Examples
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use asyncio_executor::{Executor, finally, yield_now};
///
/// let closed = Rc::new(Cell::new(false));
/// let seen = closed.clone();
/// let executor = Executor::new();
/// executor.run(async move {
///     let task = asyncio_executor::spawn(finally(std::future::pending::<()>(), async move {
///         yield_now().await; // say goodbye over the wire
///         closed.set(true);
///     }));
///     yield_now().await;
///     task.cancel();
///     assert!(task.await.unwrap_err().is_cancelled());
/// }).unwrap();
/// assert!(seen.get());
/// ```
pub async fn finally<F, C>(future: F, cleanup: C) -> F::Output
where
    F: IntoFuture,
    C: IntoFuture<Output = ()>,
{
    let ended = {
        let mut body = pin!(catch_cancelled(future));
        std::future::poll_fn(
            |cx| match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(cx))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(ended)) => Poll::Ready(Ok(ended)),
                Err(panic) => Poll::Ready(Err(panic)),
            },
        )
        .await
        // The body is dropped here, its scope leaves, and only then the cleanup begins.
    };
    cleanup.into_future().await;
    match ended {
        Ok(Ok(value)) => value,
        Ok(Err(cancelled)) => cancelled.propagate().await,
        Err(panic) => resume_unwind(panic),
    }
}
