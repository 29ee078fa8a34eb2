//! asyncio's `Future` on the loop: callbacks through the ready queue, and a scope for whoever awaits it.

use std::error::Error;
use std::fmt;
use std::future::IntoFuture;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_executor::{
    AwaitNode, Awaited, CancelledError, Context as Variables, ExceptionContext, Forward,
    ForwardScope, Handle, is_debug, report,
};
use asyncio_sync::{FutureError, HookId};

/// Why `set_result` and the like were refused; asyncio: `InvalidStateError`.
use asyncio_sync::error::InvalidStateError;

/// A value somebody will set once; asyncio: `Future`.
///
/// A handle: clones are the same future. Any number of tasks may await it; all are woken in the order in which they
/// began (S29) and get a clone of the result.
///
/// # Cancel safety
///
/// A request to a task that awaits it cancels the *future*, at once (S47), and so ends the wait of everybody.
/// Dropping a handle or an await changes nothing.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::Future;
///
/// asyncio_runtime::run(async {
///     let future = Future::new();
///     let setter = future.clone();
///     asyncio_executor::call_soon(move || setter.set_result("done").unwrap());
///     assert_eq!(future.await.unwrap(), "done");
/// });
/// ```
pub struct Future<T: 'static> {
    promise: asyncio_sync::Future<T>,
}

impl<T: 'static> Future<T> {
    /// A pending future. In debug mode reports about it say where it was made (S236).
    #[track_caller]
    pub fn new() -> Future<T> {
        let promise = asyncio_sync::Future::new();
        // S33: earlier than in Python, when the last handle goes.
        if is_debug() {
            let place = Location::caller();
            promise.set_unretrieved_hook(Box::new(move |error: Rc<dyn Error>| {
                report_unretrieved(&*error, Some(place));
            }));
        } else {
            // A closure that holds nothing, so that the box takes no memory.
            promise.set_unretrieved_hook(Box::new(|error: Rc<dyn Error>| {
                report_unretrieved(&*error, None);
            }));
        }
        Future { promise }
    }

    /// Finishes it with a result (S20).
    ///
    /// # Errors
    ///
    /// [`InvalidStateError`] when it is done already, cancelled included (S22).
    pub fn set_result(&self, value: T) -> Result<(), InvalidStateError> {
        self.promise.set_result(value)
    }

    /// Finishes it with an error, which everybody who asks shares (S31).
    ///
    /// # Errors
    ///
    /// [`InvalidStateError`] when it is done already.
    pub fn set_exception(&self, error: impl Into<Box<dyn Error>>) -> Result<(), InvalidStateError> {
        self.promise.set_exception(error)
    }

    /// Cancels it, at once (S23). False if it was done.
    pub fn cancel(&self) -> bool {
        self.promise.cancel()
    }

    /// The same with a message (S60).
    pub fn cancel_with(&self, message: &str) -> bool {
        self.promise.cancel_with(message)
    }

    /// Whether it was cancelled.
    pub fn cancelled(&self) -> bool {
        self.promise.cancelled()
    }

    /// Whether it is finished or cancelled.
    pub fn done(&self) -> bool {
        self.promise.done()
    }

    /// The result.
    ///
    /// # Errors
    ///
    /// [`FutureError`]: pending, cancelled, or finished with an error (S21).
    pub fn result(&self) -> Result<T, FutureError>
    where
        T: Clone,
    {
        self.promise.result()
    }

    /// The error; `None` after a success.
    ///
    /// # Errors
    ///
    /// [`FutureError`]: pending or cancelled (S21).
    pub fn exception(&self) -> Result<Option<Rc<dyn Error>>, FutureError> {
        self.promise.exception()
    }

    /// Runs a callback when it is done, through the ready queue, in the order of registration among the tasks that
    /// await it (S24, S28); on a done future in the next turn (S25).
    ///
    /// # Panics
    ///
    /// At completion outside of a running loop, the callback is dropped unrun.
    #[track_caller]
    pub fn add_done_callback(&self, callback: impl FnOnce(&Future<T>) + 'static) -> HookId {
        let future = self.clone();
        let handle = Handle::unscheduled(move || callback(&future));
        self.promise.on_done(Box::new(move || handle.schedule()))
    }

    /// The same for a callback that runs in the given context itself, not in a copy of the current one; asyncio:
    /// `add_done_callback(…, context=…)` (S246).
    ///
    /// # Panics
    ///
    /// As [`add_done_callback`](Future::add_done_callback).
    #[track_caller]
    pub fn add_done_callback_in(
        &self,
        context: &Variables,
        callback: impl FnOnce(&Future<T>) + 'static,
    ) -> HookId {
        let future = self.clone();
        let handle = Handle::unscheduled_in(context, move || callback(&future));
        self.promise.on_done(Box::new(move || handle.schedule()))
    }

    /// Drops a callback that was not queued yet; false if it was, or is unknown (S26).
    pub fn remove_done_callback(&self, id: HookId) -> bool {
        self.promise.remove_hook(id)
    }
}

#[cold]
fn report_unretrieved(error: &dyn Error, made_at: Option<&'static Location<'static>>) {
    let mut context = ExceptionContext::error("a future's exception was never retrieved", error);
    context.created_at = made_at;
    report(context);
}

impl<T: 'static> Default for Future<T> {
    #[track_caller]
    fn default() -> Future<T> {
        Future::new()
    }
}

impl<T: 'static> Clone for Future<T> {
    fn clone(&self) -> Future<T> {
        Future {
            promise: self.promise.clone(),
        }
    }
}

impl<T: 'static> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.done(), self.cancelled()) {
            (false, _) => "pending",
            (true, false) => "finished",
            (true, true) => "cancelled",
        };
        write!(f, "Future({state})")
    }
}

impl<T: Clone + 'static> IntoFuture for Future<T> {
    type Output = Result<T, FutureError>;
    type IntoFuture = Wait<T>;

    fn into_future(self) -> Wait<T> {
        Wait {
            scope: ForwardScope::new(),
            promise: self.promise,
            raised: false,
        }
    }
}

impl<T: Clone + 'static> IntoFuture for &Future<T> {
    type Output = Result<T, FutureError>;
    type IntoFuture = Wait<T>;

    fn into_future(self) -> Wait<T> {
        self.clone().into_future()
    }
}

/// Future of awaiting a [`Future`].
///
/// # Cancel safety
///
/// A request cancels the awaited future (S47). Dropping this gives up its place in line, nothing else.
#[must_use = "futures do nothing unless awaited"]
pub struct Wait<T: 'static> {
    scope: ForwardScope,
    promise: asyncio_sync::Future<T>,
    raised: bool,
}

impl<T: Clone + 'static> std::future::Future for Wait<T> {
    type Output = Result<T, FutureError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.raised {
            return Poll::Pending;
        }
        if let Some(request) = this.scope.take_request() {
            // S48: done, but not taken yet: the result is lost to this await.
            this.raised = true;
            return request.raise_in_poll();
        }
        match Pin::new(&mut this.promise).poll(cx) {
            Poll::Pending => {
                let promise = &this.promise;
                this.scope.suspend(cx, || Rc::new(Cancel(promise.clone())));
                Poll::Pending
            }
            Poll::Ready(outcome) => match (outcome, this.scope.finish()) {
                (Err(FutureError::Cancelled { .. }), Some(request)) => {
                    this.raised = true;
                    request.raise_in_poll()
                }
                (outcome, _) => Poll::Ready(outcome),
            },
        }
    }
}

impl<T: 'static> fmt::Debug for Wait<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("done", &self.promise.done())
            .finish()
    }
}

/// The way a request to a waiting task goes: it cancels the future.
struct Cancel<T: 'static>(asyncio_sync::Future<T>);

impl<T: 'static> Forward for Cancel<T> {
    fn forward(&self, request: &CancelledError) -> bool {
        if self.0.done() {
            // Only asked: `cancel` on a done future would count as having looked at its error.
            return false;
        }
        match request.message() {
            Some(message) => self.0.cancel_with(message),
            None => self.0.cancel(),
        }
    }

    fn is_settled(&self) -> bool {
        self.0.done()
    }

    fn label(&self) -> &'static str {
        "Future"
    }

    fn each_awaited(&self, each: &mut dyn FnMut(Awaited)) {
        each(Awaited::Future(self.0.address()));
    }
}

impl<T: 'static> AwaitNode for Future<T> {
    fn await_node(&self) -> Awaited {
        Awaited::Future(self.promise.address())
    }
}
