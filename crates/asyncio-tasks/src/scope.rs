//! Children that borrow: futures polled inside the one that spawned them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use asyncio_executor::{
    CancelledError, CatchCancelled, cancelling, catch_cancelled, current_task, uncancel,
};
use pin_project_lite::pin_project;
use slab::Slab;

use crate::request::Request;

/// Runs a body that may spawn children which borrow from around the call, and waits until all of them have ended.
///
/// The children are no tasks: they are polled inside this future, as the arms of a `join!` are, each when it was woken.
/// So they may use what the caller has on its stack, by reference, and the future that is given out may be leaked without
/// harm: what is never polled touches nothing.
///
/// | | `scope` | [`TaskGroup`](crate::TaskGroup) |
/// |---|---|---|
/// | a child | borrows, `+ 'a` | owns, `+ 'static` |
/// | is | part of the calling task: its name, its context, its count of requests | a task of its own |
/// | dropped half-way | is gone with everything in it | is asked to end, and may clean up |
/// | a child fails | [`try_scope`] ends the others and gives the first error | all failures come out together |
/// | a panic in a child | goes on in the caller at once, and drops the others | is a failure of the group |
///
/// Children end with the body's cancellation: a request to the task, or a timeout around the scope, reaches the body and
/// every child; each may clean up, with awaits; then the request goes on outwards. A body that ends normally waits for
/// its children, also those that children spawned.
///
/// # Cancel safety
///
/// A request is waited out as said. *Dropping* the future drops the body and every child; nothing outlives it.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::scope;
/// use asyncio_timers::sleep;
///
/// asyncio_runtime::run(async {
///     let pages = vec!["one".to_owned(), "three".to_owned()]; // no Rc, no clone
///     let longest = scope(async |s| {
///         let lengths: Vec<_> = pages
///             .iter()
///             .map(|page| s.spawn(async move {
///                 sleep(0.001).await;
///                 page.len()
///             }))
///             .collect();
///         let mut longest = 0;
///         for length in lengths {
///             longest = longest.max(length.await);
///         }
///         longest
///     })
///     .await;
///     assert_eq!((longest, pages.len()), (5, 2));
/// });
/// ```
///
/// What the body itself owns ends with the body, and children may live longer:
///
/// ```compile_fail
/// asyncio_runtime::run(asyncio_tasks::scope(async |s| {
///     let local = 1;
///     s.spawn(async { &local; });
/// }));
/// ```
pub async fn scope<'a, T, F>(body: F) -> T
where
    F: AsyncFnOnce(&Scope<'a>) -> T,
{
    let scope = Scope::new();
    let _clear = Clear(&scope.state);
    let ended = scope.state.run(body(&scope)).await;
    match ended {
        Ok(value) => value,
        Err(cancelled) => cancelled.propagate().await,
    }
}

/// [`scope`](scope()) for children that return `Result`s: the first `Err`, of a child or the body, asks the body and all
/// the others to end, waits for them, and is the result.
///
/// # Cancel safety
///
/// As [`scope`](scope()).
///
/// # Errors
///
/// The first one. Those of children that fail later, while they are cleaning up, are dropped.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::try_scope;
///
/// asyncio_runtime::run(async {
///     let numbers = [4, 2, 0];
///     let quotients: Result<Vec<u32>, &str> = try_scope(async |s| {
///         let divide = |n: &u32| 8u32.checked_div(*n).ok_or("division by zero");
///         let children: Vec<_> = numbers.iter().map(|n| s.spawn(async move { divide(n) })).collect();
///         let mut quotients = Vec::new();
///         for child in children {
///             quotients.push(child.await);
///         }
///         Ok(quotients)
///     })
///     .await;
///     assert_eq!(quotients, Err("division by zero"));
/// });
/// ```
pub async fn try_scope<'a, T, E, F>(body: F) -> Result<T, E>
where
    E: 'a,
    F: AsyncFnOnce(&TryScope<'a, E>) -> Result<T, E>,
{
    let scope = TryScope {
        scope: Scope::new(),
        error: Rc::new(Cell::new(None)),
    };
    let state = &scope.scope.state;
    let _clear = Clear(state);
    let entered_with = cancelling();
    let body = async {
        match body(&scope).await {
            Ok(value) => Some(value),
            Err(error) => {
                scope.fail(error);
                state.abort(false);
                None
            }
        }
    };
    let ended = state.run(body).await;
    match (scope.error.take(), ended) {
        (Some(error), _) => {
            if cancelling() > entered_with {
                // As in a group (S126): asked from outside, but the failure comes out: the request meets the next await.
                uncancel();
                if let Some(task) = current_task() {
                    task.cancel();
                }
            }
            Err(error)
        }
        (None, Ok(Some(value))) => Ok(value),
        (None, Ok(None)) => unreachable!("a body without a value left its error"),
        (None, Err(cancelled)) => cancelled.propagate().await,
    }
}

/// Where children are spawned: see [`scope`](scope()). Clones are the same scope; a child may take one along.
pub struct Scope<'a> {
    state: Rc<State<'a>>,
}

/// Where children that may fail are spawned: see [`try_scope`].
pub struct TryScope<'a, E> {
    scope: Scope<'a>,
    error: Rc<Cell<Option<E>>>,
}

impl<'a> Scope<'a> {
    fn new() -> Scope<'a> {
        Scope {
            state: Rc::new(State {
                children: RefCell::new(Slab::new()),
                spawned: Cell::new(0),
                ready: Arc::default(),
                closed: Cell::new(false),
                aborted: Cell::new(false),
                body_asked: Cell::new(false),
            }),
        }
    }

    /// Adds a child. It begins when the body next suspends, in the order of spawning.
    ///
    /// When the scope is ending already, the future is dropped unrun and the child counts as cancelled.
    pub fn spawn<F>(&self, future: F) -> ScopedTask<F::Output>
    where
        F: Future + 'a,
        F::Output: 'a,
    {
        let state = &self.state;
        let slot = Rc::new(Slot {
            outcome: RefCell::new(Outcome::Running),
            cancelled: Cell::new(false),
            asked: Cell::new(false),
            waker: RefCell::new(None),
            awaiter: RefCell::new(None),
        });
        if state.closed.get() {
            slot.settle(Outcome::Cancelled);
            return ScopedTask { slot };
        }
        let mut children = state.children.borrow_mut();
        let entry = children.vacant_entry();
        let waker = Arc::new(ChildWaker {
            place: entry.key(),
            queued: AtomicBool::new(true),
            ready: state.ready.clone(),
        });
        *slot.waker.borrow_mut() = Some(Waker::from(waker.clone()));
        state.ready.lock().queue.push(entry.key());
        let number = state.spawned.get();
        state.spawned.set(number + 1);
        let future = Box::pin(Child {
            body: catch_cancelled(future),
            slot: slot.clone(),
            asked: None,
            begun: false,
        });
        entry.insert(Entry {
            number,
            future: Some(future),
            handle: slot.clone(),
            waker,
            begun: false,
        });
        ScopedTask { slot }
    }

    /// Asks every child to end. The scope goes on.
    pub fn cancel_children(&self) {
        self.state.ask_children();
    }

    /// How many children have not ended.
    pub fn live(&self) -> usize {
        self.state.children.borrow().len()
    }
}

impl<'a, E: 'a> TryScope<'a, E> {
    /// Adds a child; its `Err` ends the scope. It begins when the body next suspends, in the order of spawning.
    ///
    /// When the scope is ending already, the future is dropped unrun and the child counts as cancelled.
    pub fn spawn<F, T>(&self, future: F) -> ScopedTask<T>
    where
        F: Future<Output = Result<T, E>> + 'a,
        T: 'a,
    {
        let scope = self.clone();
        self.scope.spawn(async move {
            match future.await {
                Ok(value) => value,
                Err(failure) => {
                    scope.fail(failure);
                    scope.scope.state.abort(true);
                    // There is no value; who awaits it is asked to end, too.
                    CancelledError::new().propagate().await
                }
            }
        })
    }

    fn fail(&self, error: E) {
        let first = self.error.take();
        self.error.set(Some(first.unwrap_or(error)));
    }

    /// Asks every child to end. The scope goes on.
    pub fn cancel_children(&self) {
        self.scope.cancel_children();
    }

    /// How many children have not ended.
    pub fn live(&self) -> usize {
        self.scope.live()
    }
}

impl Clone for Scope<'_> {
    fn clone(&self) -> Self {
        Scope {
            state: self.state.clone(),
        }
    }
}

impl<E> Clone for TryScope<'_, E> {
    fn clone(&self) -> Self {
        TryScope {
            scope: self.scope.clone(),
            error: self.error.clone(),
        }
    }
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.state.children.try_borrow().map(|all| all.len()).ok();
        f.debug_struct("Scope")
            .field("live", &live)
            .finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for TryScope<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryScope").field(&self.scope).finish()
    }
}

struct State<'a> {
    children: RefCell<Slab<Entry<'a>>>,
    spawned: Cell<u64>,
    ready: Arc<Ready>,
    /// No more children are taken in, and none begins.
    closed: Cell<bool>,
    /// Ended by the error of a child or the body.
    aborted: Cell<bool>,
    /// The body is to be asked to end.
    body_asked: Cell<bool>,
}

struct Entry<'a> {
    number: u64,
    /// `None` while it is polled.
    future: Option<Pin<Box<dyn Future<Output = ()> + 'a>>>,
    handle: Rc<dyn Cancel + 'a>,
    waker: Arc<ChildWaker>,
    begun: bool,
}

impl State<'_> {
    /// Polls body and children until all have ended. A request that ended the body, or that came from outside while
    /// only children were left, is the error.
    async fn run<T>(&self, body: impl Future<Output = T>) -> Result<T, CancelledError> {
        let mut body = pin!(catch_cancelled(body));
        let mut ended = None;
        let mut asked = None;
        let entered_with = cancelling();
        let mut outside = None;
        poll_fn(|cx| {
            self.ready.watch(cx.waker());
            if ended.is_none() {
                loop {
                    if self.body_asked.take() {
                        asked = Some(Request::count());
                        let _polled_at_once = body.as_mut().request(CancelledError::new());
                    }
                    match body.as_mut().poll(cx) {
                        Poll::Ready(result) => {
                            if result.is_err() {
                                self.closed.set(true);
                                let by_us = u32::from(asked.is_some()) + self.asked_children();
                                if cancelling() <= entered_with + by_us {
                                    // It raised by itself. A request from outside has reached the children already.
                                    self.ask_children();
                                }
                            }
                            ended = Some(result);
                            break;
                        }
                        Poll::Pending if self.body_asked.get() => {}
                        Poll::Pending => break,
                    }
                }
            }
            if let Some(request) = self.poll_children() {
                outside.get_or_insert(request);
            }
            if ended.is_some() && self.children.borrow().is_empty() {
                self.closed.set(true);
                return Poll::Ready(());
            }
            if !self.ready.lock().queue.is_empty() {
                // Spawned or woken meanwhile: their turn is the next.
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
        drop(asked); // Takes the request back.
        match (ended, outside) {
            (Some(Ok(_)), Some(request)) if cancelling() > entered_with => Err(request),
            (Some(ended), _) => ended,
            (None, _) => unreachable!("the wait above ends when the body has"),
        }
    }

    /// Polls the children that were woken; returns a request from outside that ended one after the body.
    fn poll_children(&self) -> Option<CancelledError> {
        let batch = mem::take(&mut self.ready.lock().queue);
        let mut request = None;
        for place in &batch {
            let (mut future, waker) = match self.children.borrow_mut().get_mut(*place) {
                // A waker may outlive its child.
                None => continue,
                Some(entry) => match entry.future.take() {
                    None => continue,
                    Some(future) => {
                        if self.closed.get() && !entry.begun {
                            // S45: it never begins.
                            entry.handle.cancel();
                        }
                        entry.begun = true;
                        (future, entry.waker.clone())
                    }
                },
            };
            waker.queued.store(false, Ordering::Release);
            let waker = Waker::from(waker);
            let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
            let mut children = self.children.borrow_mut();
            match polled {
                Poll::Pending => {
                    if let Some(entry) = children.get_mut(*place) {
                        entry.future = Some(future);
                    }
                }
                Poll::Ready(()) => {
                    let entry = children.remove(*place);
                    drop(children);
                    request = request.or(entry.handle.request_from_outside());
                    drop((entry, future));
                }
            }
        }
        let mut ready = self.ready.lock();
        if ready.queue.is_empty() {
            // Keeps the capacity for the next pass.
            ready.queue = batch;
            ready.queue.clear();
        }
        request
    }

    /// Ends the scope because of an error; with `body` the body is asked to end, too.
    fn abort(&self, body: bool) {
        if self.aborted.replace(true) {
            return;
        }
        self.closed.set(true);
        self.ask_children();
        if body {
            self.body_asked.set(true);
            self.ready.wake();
        }
    }

    /// How many requests this scope made of children that have not ended.
    fn asked_children(&self) -> u32 {
        let children = self.children.borrow();
        children
            .iter()
            .map(|(_, entry)| u32::from(entry.handle.is_asked()))
            .sum()
    }

    fn ask_children(&self) {
        let mut handles: Vec<_> = {
            let children = self.children.borrow();
            let handles = children
                .iter()
                .map(|(_, entry)| (entry.number, entry.handle.clone()));
            handles.collect()
        };
        handles.sort_by_key(|(number, _)| *number);
        for (_, handle) in handles {
            handle.cancel();
        }
    }
}

/// Drops the children with the scope: they may hold clones of it, and would keep themselves alive.
struct Clear<'s, 'a>(&'s State<'a>);

impl Drop for Clear<'_, '_> {
    fn drop(&mut self) {
        self.0.closed.set(true);
        let children = self.0.children.take();
        drop(children);
    }
}

/// What a child shares with its handle.
struct Slot<T> {
    outcome: RefCell<Outcome<T>>,
    /// Somebody in the scope asked it to end, and it did not hear of it yet.
    cancelled: Cell<bool>,
    /// It heard of it: the task's count of requests is one higher until it has ended.
    asked: Cell<bool>,
    /// Has the child polled; `None` for one that was refused.
    waker: RefCell<Option<Waker>>,
    /// Whoever awaits the handle.
    awaiter: RefCell<Option<Waker>>,
}

enum Outcome<T> {
    Running,
    Value(T),
    /// With the request, if that came from outside of the scope.
    Outside(CancelledError),
    Cancelled,
    Taken,
}

impl<T> Slot<T> {
    fn settle(&self, outcome: Outcome<T>) {
        self.outcome.replace(outcome);
        let awaiter = self.awaiter.take();
        if let Some(awaiter) = awaiter {
            awaiter.wake();
        }
    }

    fn is_running(&self) -> bool {
        matches!(*self.outcome.borrow(), Outcome::Running)
    }
}

/// A slot, whatever its value is.
trait Cancel {
    fn cancel(&self) -> bool;
    fn is_asked(&self) -> bool;
    fn request_from_outside(&self) -> Option<CancelledError>;
}

impl<T> Cancel for Slot<T> {
    fn cancel(&self) -> bool {
        if !self.is_running() {
            return false;
        }
        self.cancelled.set(true);
        let waker = self.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn is_asked(&self) -> bool {
        self.asked.get()
    }

    fn request_from_outside(&self) -> Option<CancelledError> {
        match &*self.outcome.borrow() {
            Outcome::Outside(request) => Some(request.clone()),
            _ => None,
        }
    }
}

pin_project! {
    struct Child<F: Future> {
        #[pin]
        body: CatchCancelled<F>,
        slot: Rc<Slot<F::Output>>,
        asked: Option<Request>,
        begun: bool,
    }
}

impl<F: Future> Future for Child<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if this.slot.cancelled.take() {
            if !*this.begun {
                // S45: it never begins.
                this.slot.settle(Outcome::Cancelled);
                return Poll::Ready(());
            }
            // Once: a second request would end its cleanup.
            if this.asked.is_none() {
                *this.asked = Some(Request::count());
                this.slot.asked.set(true);
                let _polled_at_once = this.body.as_mut().request(CancelledError::new());
            }
        }
        *this.begun = true;
        match this.body.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(ended) => {
                let by_scope = this.asked.take().is_some();
                this.slot.settle(match ended {
                    Ok(value) => Outcome::Value(value),
                    Err(_) if by_scope => Outcome::Cancelled,
                    Err(request) => Outcome::Outside(request),
                });
                Poll::Ready(())
            }
        }
    }
}

/// A child of a [`scope`](scope()): awaiting it gives the value itself.
///
/// A child that was cancelled has none: the await raises [`CancelledError`]. Dropping the handle changes nothing; the
/// scope waits for the child all the same.
///
/// # Cancel safety
///
/// Nothing is lost: a request to the task reaches the child anyway, as part of the task.
pub struct ScopedTask<T> {
    slot: Rc<Slot<T>>,
}

impl<T> ScopedTask<T> {
    /// Asks this child to end; false if it has ended. The scope goes on. Repeated, it changes nothing.
    pub fn cancel(&self) -> bool {
        self.slot.cancel()
    }

    /// Whether it has ended, in whatever way.
    pub fn done(&self) -> bool {
        !self.slot.is_running()
    }
}

impl<T> Future for ScopedTask<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut outcome = self.slot.outcome.borrow_mut();
        match mem::replace(&mut *outcome, Outcome::Taken) {
            Outcome::Value(value) => Poll::Ready(value),
            Outcome::Running => {
                *outcome = Outcome::Running;
                drop(outcome);
                let former = self.slot.awaiter.replace(Some(cx.waker().clone()));
                drop(former);
                Poll::Pending
            }
            Outcome::Taken => panic!("`ScopedTask` polled after it gave its value"),
            Outcome::Outside(request) => {
                *outcome = Outcome::Outside(request.clone());
                request.raise_in_poll()
            }
            Outcome::Cancelled => {
                *outcome = Outcome::Cancelled;
                CancelledError::with_message("the awaited child of a scope was cancelled")
                    .raise_in_poll()
            }
        }
    }
}

impl<T> fmt::Debug for ScopedTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedTask")
            .field("done", &self.done())
            .finish()
    }
}

/// The places of children that were woken, and who is to poll them.
#[derive(Default)]
struct Ready {
    state: Mutex<ReadyState>,
}

#[derive(Default)]
struct ReadyState {
    queue: Vec<usize>,
    waker: Option<Waker>,
}

impl Ready {
    fn lock(&self) -> MutexGuard<'_, ReadyState> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, waker: &Waker) {
        let mut state = self.lock();
        let same = matches!(&state.waker, Some(kept) if kept.will_wake(waker));
        if !same {
            let former = state.waker.replace(waker.clone());
            drop(state);
            drop(former);
        }
    }

    fn wake(&self) {
        let waker = self.lock().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Wakes one child: from any thread.
struct ChildWaker {
    place: usize,
    /// Its place is in the queue.
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for ChildWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Pairs with the store before the child is polled: a wake that finds it queued is seen by that poll.
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.lock().queue.push(self.place);
            self.ready.wake();
        }
    }
}
