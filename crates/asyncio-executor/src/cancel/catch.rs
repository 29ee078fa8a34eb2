//! The scope with a body: hears of a request instead of dying of it.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::error::CancelledError;
use super::scopes::Scope;

/// Awaits a future and turns a request for cancellation into a value; asyncio: `try: await x / except CancelledError`.
///
/// When a request reaches this scope the future is dropped and the await gives `Err(CancelledError)`. The code after
/// it is free to await cleanup, to go on (the count of requests stays, S55), or to raise again with
/// [`CancelledError::propagate`]. Polled outside a task it only awaits.
///
/// # Cancel safety
///
/// A request drops `future`; whatever that loses, is lost. Dropping `CatchCancelled` itself is not a request: it drops
/// the future and nobody hears of it.
///
/// # Examples
///
/// ```
/// use asyncio_executor::{Executor, catch_cancelled, yield_now};
///
/// let executor = Executor::new();
/// let outcome = executor.run(async {
///     let task = asyncio_executor::spawn(async {
///         match catch_cancelled(std::future::pending::<()>()).await {
///             Ok(()) => "done",
///             Err(_) => "cleaned up",
///         }
///     });
///     yield_now().await; // let it start
///     task.cancel();
///     task.await.unwrap()
/// });
/// assert_eq!(outcome.unwrap(), "cleaned up");
/// ```
pub fn catch_cancelled<F: IntoFuture>(future: F) -> CatchCancelled<F::IntoFuture> {
    CatchCancelled {
        scope: Scope::default(),
        body: Some(future.into_future()),
    }
}

pin_project! {
    /// Future of [`catch_cancelled`], and the building block of every scope with a body: timeouts and groups hold one
    /// and aim their own requests at it with [`request`](CatchCancelled::request).
    #[must_use = "futures do nothing unless awaited"]
    pub struct CatchCancelled<F> {
        scope: Scope,
        #[pin]
        body: Option<F>,
    }
}

impl<F: Future> CatchCancelled<F> {
    /// Aims a request at this scope: the innermost scopes in its body hear of it, or it itself, and nothing outside.
    ///
    /// Counts in the task's `cancelling()` like any other; whoever makes it takes it back with
    /// [`uncancel`](crate::uncancel) when the scope has ended (S105). Without effect before the first poll and after
    /// the end.
    ///
    /// Whoever must be polled for it is woken, so the caller may return `Pending` unless this returns true: then an
    /// earlier request waits to be taken, and the caller has to poll the scope at once. A scope around it would take
    /// `Pending` for the answer of those inside and end them unheard.
    pub fn request(self: Pin<&mut Self>, error: CancelledError) -> bool {
        self.project().scope.request(error)
    }
}

impl<F: Future> Future for CatchCancelled<F> {
    type Output = Result<F::Output, CancelledError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.body.is_none() {
            panic!("`CatchCancelled` polled after it ended");
        }
        let in_task = this.scope.join(cx);
        let error = if in_task {
            this.scope.take_asked()
        } else {
            None
        };
        let error = match error {
            Some(error) => error,
            None => {
                let polled = this
                    .scope
                    .poll_body(|| this.body.as_mut().as_pin_mut().map(|body| body.poll(cx)));
                match polled {
                    Some(Poll::Ready(value)) => {
                        // The scope stays until its body is gone: children in it still leave in order.
                        this.body.set(None);
                        this.scope.leave();
                        return Poll::Ready(Ok(value));
                    }
                    _ => match this.scope.interrupted() {
                        Some(error) => error,
                        None => return Poll::Pending,
                    },
                }
            }
        };
        this.body.set(None);
        this.scope.leave();
        Poll::Ready(Err(error))
    }
}

impl<F> fmt::Debug for CatchCancelled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchCancelled")
            .field("ended", &self.body.is_none())
            .finish()
    }
}
