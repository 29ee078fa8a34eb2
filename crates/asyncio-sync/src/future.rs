//! A value that somebody else will set.

use std::error::Error;
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use crate::error::{FutureState, InvalidStateError};
use crate::guard::{Family, Guard, Once};
use crate::wait_queue::{Left, Ticket, WaitQueue};

/// A value that somebody else will set: `asyncio.Future`. A handle; clones of it are the same future.
///
/// It is pending, until it becomes once and for all cancelled or finished, the latter with a result or an exception.
/// Any number of tasks may await it, each through a handle of its own; all are woken, in the order in which they began,
/// in one line with the [hooks](Self::on_done). A future that is done does not suspend who awaits it.
///
/// Everyone who asks gets the outcome: results are cloned (wrap what is costly to clone in an `Rc`), exceptions are shared.
///
/// ```
/// use asyncio_sync::Future;
/// use futures_lite::future::{block_on, zip};
///
/// let future = Future::new();
/// let wait = future.clone();
/// let (value, ()) = block_on(zip(wait, async { future.set_result("value").unwrap() }));
/// assert_eq!(value.unwrap(), "value");
/// // By reference, as often as one likes:
/// assert_eq!(block_on(async { (&future).await }).unwrap(), "value");
/// ```
///
/// # Cancel safety
///
/// Dropping a handle while it waits gives up its place in line, nothing else; the future stays as it is.
#[must_use = "await it, or keep it to set its result"]
pub struct Future<T, F: Family> {
    core: F::Shared<Core<T, F>>,
    /// This handle's own place in line, while it is being awaited.
    ticket: Option<Ticket>,
}

/// Why a [`Future`] gave no value.
///
/// ```
/// use asyncio_sync::{Future, FutureError};
///
/// let future = Future::<u8>::new();
/// assert!(matches!(future.result(), Err(FutureError::InvalidState(_))));
/// future.cancel_with("too late");
/// assert_eq!(future.result().unwrap_err().to_string(), "cancelled: too late");
/// ```
pub enum FutureError<F: Family> {
    /// It was cancelled.
    Cancelled {
        /// What [`Future::cancel_with`] said.
        message: Option<F::Shared<str>>,
    },
    /// It finished with this exception; everyone who asks gets the same one.
    Exception(F::Shared<F::Error>),
    /// It is still pending. Awaiting never gives this, [`Future::result`] and [`Future::exception`] may.
    InvalidState(InvalidStateError),
}

/// Names a hook, so that it can be removed: see [`Future::on_done`].
///
/// ```
/// let future = asyncio_sync::Future::<u8>::new();
/// let id: asyncio_sync::HookId = future.on_done(Box::new(|| unreachable!()));
/// assert!(future.remove_hook(id));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HookId(Option<Ticket>);

impl<T, F: Family> Future<T, F> {
    /// A pending future.
    ///
    /// ```
    /// assert!(!asyncio_sync::Future::<u8>::new().done());
    /// ```
    pub fn new() -> Self {
        let state = State {
            watchers: WaitQueue::new(),
            retrieved: false,
            on_unretrieved: None,
        };
        let core = Core {
            outcome: F::Once::empty(),
            state: F::Guarded::new(state),
        };
        Future {
            core: F::share(core),
            ticket: None,
        }
    }

    /// Finishes it with a result and wakes everybody.
    ///
    /// # Errors
    ///
    /// When it is done already, cancelled included; nothing changes.
    ///
    /// ```
    /// let future = asyncio_sync::Future::new();
    /// assert!(future.set_result(1).is_ok());
    /// assert!(future.set_result(2).is_err());
    /// assert_eq!(future.result().unwrap(), 1);
    /// ```
    pub fn set_result(&self, value: T) -> Result<(), InvalidStateError> {
        self.complete(Outcome::Finished(value))
    }

    /// Finishes it with an exception and wakes everybody. A text is an exception too.
    ///
    /// # Errors
    ///
    /// When it is done already, cancelled included; nothing changes.
    ///
    /// ```
    /// let future = asyncio_sync::Future::<u8>::new();
    /// future.set_exception("no such host").unwrap();
    /// assert_eq!(future.result().unwrap_err().to_string(), "no such host");
    /// ```
    pub fn set_exception(
        &self,
        exception: impl Into<Box<F::Error>>,
    ) -> Result<(), InvalidStateError> {
        self.complete(Outcome::Failed(F::share_error(exception.into())))
    }

    /// Cancels it at once and wakes everybody. False when it is done already; then an exception nobody has looked at
    /// counts as looked at.
    ///
    /// ```
    /// let future = asyncio_sync::Future::<u8>::new();
    /// assert!(future.cancel());
    /// assert!(future.cancelled());
    /// assert!(!future.cancel());
    /// ```
    pub fn cancel(&self) -> bool {
        self.cancel_as(None)
    }

    /// As [`cancel`](Self::cancel), with a message for whoever awaits it.
    ///
    /// ```
    /// let future = asyncio_sync::Future::<u8>::new();
    /// future.cancel_with("shutting down");
    /// assert_eq!(future.result().unwrap_err().to_string(), "cancelled: shutting down");
    /// ```
    pub fn cancel_with(&self, message: &str) -> bool {
        self.cancel_as(Some(F::share_text(message)))
    }

    /// Whether it was cancelled.
    ///
    /// ```
    /// let future = asyncio_sync::Future::new();
    /// future.set_result(1).unwrap();
    /// assert!(!future.cancelled());
    /// ```
    pub fn cancelled(&self) -> bool {
        matches!(self.core.outcome.get(), Some(Outcome::Cancelled(_)))
    }

    /// Whether it is finished or cancelled.
    ///
    /// ```
    /// let future = asyncio_sync::Future::new();
    /// future.set_result(1).unwrap();
    /// assert!(future.done());
    /// ```
    #[inline]
    pub fn done(&self) -> bool {
        self.core.outcome.get().is_some()
    }

    /// The result, without waiting.
    ///
    /// # Errors
    ///
    /// When there is none: it is pending, was cancelled, or finished with an exception.
    ///
    /// ```
    /// let future = asyncio_sync::Future::new();
    /// assert!(future.result().is_err());
    /// future.set_result(1).unwrap();
    /// assert_eq!(future.result().unwrap(), 1);
    /// ```
    pub fn result(&self) -> Result<T, FutureError<F>>
    where
        T: Clone,
    {
        match self.core.retrieve() {
            Some(outcome) => outcome.to_result(),
            None => Err(FutureError::InvalidState(InvalidStateError {
                found: FutureState::Pending,
            })),
        }
    }

    /// The exception, without waiting; `None` when it finished with a result.
    ///
    /// # Errors
    ///
    /// When it is pending or was cancelled.
    ///
    /// ```
    /// let future = asyncio_sync::Future::<u8>::new();
    /// assert!(future.exception().is_err());
    /// future.set_exception("broken").unwrap();
    /// assert_eq!(future.exception().unwrap().unwrap().to_string(), "broken");
    /// ```
    pub fn exception(&self) -> Result<Option<F::Shared<F::Error>>, FutureError<F>> {
        match self.core.retrieve() {
            Some(Outcome::Finished(_)) => Ok(None),
            Some(Outcome::Failed(exception)) => Ok(Some(exception.clone())),
            Some(Outcome::Cancelled(message)) => Err(FutureError::Cancelled {
                message: message.clone(),
            }),
            None => Err(FutureError::InvalidState(InvalidStateError {
                found: FutureState::Pending,
            })),
        }
    }

    /// Calls `hook` once, when this future is done: right inside the call that completes it, in one line with the tasks
    /// that await it, or at once if it is done already. For a callback that runs in a turn of its own, let the hook
    /// schedule it.
    ///
    /// A hook that holds a handle of this very future keeps it alive until it is done.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// let (future, told) = (asyncio_sync::Future::new(), Rc::new(Cell::new(false)));
    /// future.on_done(Box::new({ let told = told.clone(); move || told.set(true) }));
    /// future.set_result(1).unwrap();
    /// assert!(told.get());
    /// ```
    pub fn on_done(&self, hook: Box<F::Hook>) -> HookId {
        let mut hook = Some(hook);
        let ticket = self.core.state.with(|state| {
            if self.done() {
                return None;
            }
            hook.take()
                .map(|hook| state.watchers.push(Watcher::Hook(hook)))
        });
        if let Some(hook) = hook {
            hook();
        }
        HookId(ticket)
    }

    /// Removes a hook that has not been called; false if it has, or was removed before.
    ///
    /// ```
    /// let future = asyncio_sync::Future::new();
    /// let hook = future.on_done(Box::new(|| unreachable!()));
    /// assert!(future.remove_hook(hook));
    /// assert!(!future.remove_hook(hook));
    /// future.set_result(1).unwrap();
    /// ```
    pub fn remove_hook(&self, id: HookId) -> bool {
        let HookId(Some(ticket)) = id else {
            return false;
        };
        let left = self.core.state.with(|state| state.watchers.leave(ticket));
        matches!(left, Left::Waiting(_))
    }

    /// Whether somebody has looked at the outcome: awaited it to the end, called [`result`](Self::result) or
    /// [`exception`](Self::exception), or cancelled it when it was done.
    ///
    /// ```
    /// let future = asyncio_sync::Future::<u8>::new();
    /// future.set_exception("broken").unwrap();
    /// assert!(!future.was_retrieved());
    /// future.cancel();
    /// assert!(future.was_retrieved());
    /// ```
    pub fn was_retrieved(&self) -> bool {
        self.core.state.with(|state| state.retrieved)
    }

    /// Calls `hook` with the exception when the last handle goes and nobody has looked at it. One hook at a time: a new
    /// one replaces the old.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// let (future, told) = (asyncio_sync::Future::<u8>::new(), Rc::new(Cell::new(false)));
    /// future.set_unretrieved_hook(Box::new({ let told = told.clone(); move |_error| told.set(true) }));
    /// future.set_exception("broken").unwrap();
    /// drop(future);
    /// assert!(told.get());
    /// ```
    pub fn set_unretrieved_hook(&self, hook: Box<F::Report>) {
        drop(
            self.core
                .state
                .with(|state| state.on_unretrieved.replace(hook)),
        );
    }

    /// A number that no other future has as long as this one exists, the same for all its handles: for those who draw up
    /// who awaits whom.
    ///
    /// ```
    /// let future = asyncio_sync::Future::<u8>::new();
    /// assert_eq!(future.address(), future.clone().address());
    /// assert_ne!(future.address(), asyncio_sync::Future::<u8>::new().address());
    /// ```
    pub fn address(&self) -> usize {
        let core: &Core<T, F> = &self.core;
        std::ptr::from_ref(core).addr()
    }

    fn cancel_as(&self, message: Option<F::Shared<str>>) -> bool {
        let cancelled = self.complete(Outcome::Cancelled(message)).is_ok();
        if !cancelled {
            self.core.retrieve();
        }
        cancelled
    }

    fn complete(&self, outcome: Outcome<T, F>) -> Result<(), InvalidStateError> {
        // A refused outcome comes out, to be dropped after the guard is released.
        match self.core.state.with(|_| self.core.outcome.set(outcome)) {
            Ok(()) => {
                Completion(&self.core).run();
                Ok(())
            }
            Err(_refused) => Err(InvalidStateError {
                found: self.core.state(),
            }),
        }
    }
}

impl<T: Clone, F: Family> std::future::Future for Future<T, F> {
    type Output = Result<T, FutureError<F>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Future { core, ticket } = self.get_mut();
        let replaced = core.state.with(|state| {
            if core.outcome.get().is_some() {
                state.retrieved = true;
                return None;
            }
            let mut replaced = None;
            match ticket.and_then(|ticket| state.watchers.waker_mut(ticket)) {
                Some(Watcher::Task(waker)) if waker.will_wake(cx.waker()) => {}
                Some(watcher) => {
                    replaced = Some(std::mem::replace(
                        watcher,
                        Watcher::Task(cx.waker().clone()),
                    ));
                }
                None => *ticket = Some(state.watchers.push(Watcher::Task(cx.waker().clone()))),
            }
            Some(replaced)
        });
        if let Some(_replaced) = replaced {
            return Poll::Pending;
        }
        // Nobody joins the line any more, so this place need not be given back.
        *ticket = None;
        match core.outcome.get() {
            Some(outcome) => Poll::Ready(outcome.to_result()),
            None => unreachable!("a future that was done stays done"),
        }
    }
}

/// `(&future).await`: through a handle of its own.
impl<T: Clone, F: Family> IntoFuture for &Future<T, F> {
    type Output = Result<T, FutureError<F>>;
    type IntoFuture = Future<T, F>;

    fn into_future(self) -> Future<T, F> {
        self.clone()
    }
}

/// What all handles of a future share.
struct Core<T, F: Family> {
    /// Empty while pending. Written under the guard, read without.
    outcome: F::Once<Outcome<T, F>>,
    state: F::Guarded<State<F>>,
}

struct State<F: Family> {
    /// Tasks and hooks, in order of registration. When the future is done they are told, and nobody joins any more.
    watchers: WaitQueue<Watcher<F>>,
    retrieved: bool,
    on_unretrieved: Option<Box<F::Report>>,
}

enum Outcome<T, F: Family> {
    Cancelled(Option<F::Shared<str>>),
    Finished(T),
    Failed(F::Shared<F::Error>),
}

enum Watcher<F: Family> {
    Task(Waker),
    Hook(Box<F::Hook>),
}

/// Tells the watchers of a future that is done, in order. If a hook panics the rest still hear of it.
struct Completion<'a, T, F: Family>(&'a Core<T, F>);

impl<T, F: Family> Core<T, F> {
    /// The outcome, which counts as looked at from now on.
    fn retrieve(&self) -> Option<&Outcome<T, F>> {
        let outcome = self.outcome.get()?;
        self.state.with(|state| state.retrieved = true);
        Some(outcome)
    }

    fn state(&self) -> FutureState {
        match self.outcome.get() {
            None => FutureState::Pending,
            Some(Outcome::Cancelled(_)) => FutureState::Cancelled,
            Some(Outcome::Finished(_)) => FutureState::Finished,
            Some(Outcome::Failed(_)) => FutureState::Failed,
        }
    }
}

impl<T, F: Family> Outcome<T, F> {
    fn to_result(&self) -> Result<T, FutureError<F>>
    where
        T: Clone,
    {
        match self {
            Outcome::Finished(value) => Ok(value.clone()),
            Outcome::Failed(exception) => Err(FutureError::Exception(exception.clone())),
            Outcome::Cancelled(message) => Err(FutureError::Cancelled {
                message: message.clone(),
            }),
        }
    }
}

impl<T, F: Family> Completion<'_, T, F> {
    fn run(&self) {
        while let Some(watcher) = self.0.state.with(|state| state.watchers.notify_one()) {
            match watcher {
                Watcher::Task(waker) => waker.wake(),
                Watcher::Hook(hook) => hook(),
            }
        }
    }
}

impl<T, F: Family> Drop for Completion<'_, T, F> {
    fn drop(&mut self) {
        self.run();
    }
}

impl<T, F: Family> Drop for Core<T, F> {
    fn drop(&mut self) {
        let Some(Outcome::Failed(exception)) = self.outcome.get() else {
            return;
        };
        let report = self.state.with(|state| {
            if state.retrieved {
                None
            } else {
                state.on_unretrieved.take()
            }
        });
        if let Some(report) = report {
            report(exception.clone());
        }
    }
}

impl<T, F: Family> Drop for Future<T, F> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            drop(self.core.state.with(|state| state.watchers.leave(ticket)));
        }
    }
}

impl<T, F: Family> Clone for Future<T, F> {
    fn clone(&self) -> Self {
        Future {
            core: self.core.clone(),
            ticket: None,
        }
    }
}

// Nothing in it is ever pinned.
impl<T, F: Family> Unpin for Future<T, F> {}

impl<T, F: Family> Default for Future<T, F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, F: Family> fmt::Debug for Future<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Future").field(&self.core.state()).finish()
    }
}

impl<F: Family> Clone for FutureError<F> {
    fn clone(&self) -> Self {
        match self {
            FutureError::Cancelled { message } => FutureError::Cancelled {
                message: message.clone(),
            },
            FutureError::Exception(exception) => FutureError::Exception(exception.clone()),
            FutureError::InvalidState(error) => FutureError::InvalidState(*error),
        }
    }
}

impl<F: Family> fmt::Debug for FutureError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FutureError::Cancelled { message } => f
                .debug_struct("Cancelled")
                .field("message", &message.as_deref())
                .finish(),
            FutureError::Exception(exception) => {
                f.debug_tuple("Exception").field(&&**exception).finish()
            }
            FutureError::InvalidState(error) => f.debug_tuple("InvalidState").field(error).finish(),
        }
    }
}

impl<F: Family> fmt::Display for FutureError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FutureError::Cancelled { message: None } => f.write_str("cancelled"),
            FutureError::Cancelled {
                message: Some(message),
            } => write!(f, "cancelled: {}", &**message),
            FutureError::Exception(exception) => exception.fmt(f),
            FutureError::InvalidState(error) => error.fmt(f),
        }
    }
}

impl<F: Family> Error for FutureError<F> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Its own text stands for this error, so its source is ours.
            FutureError::Exception(exception) => exception.source(),
            FutureError::Cancelled { .. } | FutureError::InvalidState(_) => None,
        }
    }
}
