//! The outermost future of a task: catches panics, takes requests no scope took, and ends the task.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::cancel::{CancelledError, PanicPayload, TaskError};
use crate::context;
use crate::exception::ExceptionContext;
use crate::local::Local;
use crate::meta::{Meta, flag};
use crate::run_queue::Entry;
use crate::task::TaskInfo;
use crate::trace::tracing_waker;

/// What a task leaves behind. The error is boxed so that a task's cell is not larger than its future needs.
pub(crate) type Outcome<T> = Result<T, Box<TaskError>>;

pin_project! {
    pub(crate) struct Root<F> {
        #[pin]
        body: Option<F>,
    }
}

impl<F> Root<F> {
    pub(crate) fn new(body: F) -> Root<F> {
        Root { body: Some(body) }
    }
}

impl<F: Future> Future for Root<F> {
    type Output = Outcome<F::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut body = self.project().body;
        let (local, meta) = here();
        local.set_current_waker(cx.waker());

        let tracing;
        let mut waker = cx.waker();
        if meta.has(flag::BEFORE_POLL) {
            if let Some(error) = before_poll(meta) {
                return Poll::Ready(end(local, meta, body, cancelled(error)));
            }
            if meta.has(flag::TRACED) {
                meta.unset(flag::TRACED);
                // Gone when this returns, like the step's own waker soon after: nobody asks for the current waker between
                // the end of a poll and the next step.
                tracing = tracing_waker(waker);
                waker = &tracing;
                local.set_current_waker(waker);
            }
        }
        let mut cx = Context::from_waker(waker);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            body.as_mut().as_pin_mut().map(|body| body.poll(&mut cx))
        }));
        match polled {
            Ok(Some(Poll::Ready(value))) => Poll::Ready(end(local, meta, body, Ok(value))),
            Ok(_) => {
                // One look for the usual case: suspended before, and nobody wants anything.
                if meta.flags() & (flag::AT_PENDING | flag::HAS_WAKER) != flag::HAS_WAKER {
                    if meta.has(flag::AT_PENDING)
                        && let Some(error) = at_pending(local, meta)
                    {
                        return Poll::Ready(end(local, meta, body, cancelled(error)));
                    }
                    if !meta.has_waker() {
                        local.keep(meta, cx.waker().clone());
                    }
                }
                Poll::Pending
            }
            Err(panic) => {
                let outcome = Err(Box::new(TaskError::Panicked(PanicPayload::new(panic))));
                Poll::Ready(end(local, meta, body, outcome))
            }
        }
    }
}

/// The executor and the task of the step this is part of.
#[inline]
fn here<'a>() -> (&'a Local, &'a Meta) {
    let local = Local::current();
    let meta = local.and_then(Local::current_meta);
    match (local, meta) {
        (Some(local), Some(meta)) => (local, meta),
        // `Local::step` is the only caller of `Runnable::run` in this crate, and sets both.
        _ => unreachable!("a task was run outside of its executor"),
    }
}

fn cancelled<T>(error: CancelledError) -> Outcome<T> {
    Err(Box::new(TaskError::Cancelled(error)))
}

/// Makes the task's context current, and looks for a request that must be taken before the body is polled.
#[cold]
fn before_poll(meta: &Meta) -> Option<CancelledError> {
    if meta.has(flag::CONTEXT) {
        meta.enter_context();
    }
    if meta.has(flag::CLOSING) {
        return Some(CancelledError::new());
    }
    if meta.has(flag::ASKED) {
        meta.unset(flag::MARKED | flag::ASKED);
        return Some(taken(meta));
    }
    None
}

/// A request or a raise that nothing inside took: the task itself takes it (S50).
#[cold]
fn at_pending(local: &Local, meta: &Meta) -> Option<CancelledError> {
    if meta.has(flag::MARKED | flag::RAISED) {
        meta.unset(flag::MARKED | flag::RAISED);
        return Some(taken(meta));
    }
    // Asks hooks, which may be a user's code.
    if meta.has(flag::FORWARDED)
        && let Some(scopes) = meta.existing_scopes()
        && let Err(panic) = catch_unwind(AssertUnwindSafe(|| scopes.revive_forwarded()))
    {
        local.report(ExceptionContext::panic(
            "panic in `Forward::is_settled`",
            panic,
            None,
            Some(TaskInfo::of(meta)),
        ));
    }
    // The step is over.
    if meta.has(flag::CONTEXT) {
        context::set_current(ptr::null());
    }
    None
}

fn taken(meta: &Meta) -> CancelledError {
    meta.with_extra(|extra| extra.cancel.take())
        .flatten()
        .unwrap_or_default()
}

/// The end of a task: its future goes, then it leaves the list, then its callbacks are queued.
#[inline]
fn end<F: Future>(
    local: &Local,
    meta: &Meta,
    mut body: Pin<&mut Option<F>>,
    mut outcome: Outcome<F::Output>,
) -> Outcome<F::Output> {
    let requested = meta.has(flag::MARKED);
    // async-task would abort the process if this destructor panicked; here that is the task's own outcome.
    if !std::mem::needs_drop::<F>() {
        body.set(None);
    } else if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body.set(None))) {
        outcome = Err(Box::new(TaskError::Panicked(PanicPayload::new(panic))));
    }
    if requested && outcome.is_ok() {
        // S52: a request came and the body returned without suspending again.
        outcome = cancelled(taken(meta));
    }
    let how = match &outcome {
        Ok(_) => flag::DONE,
        Err(error) if error.is_cancelled() => flag::DONE | flag::CANCELLED,
        Err(_) => flag::DONE | flag::PANICKED,
    };
    meta.set_flags((meta.flags() & (flag::DETACHED | flag::HAS_WAKER)) | how);
    local.forget(meta);
    // From here on no scope may take a place in this task, and nobody may find it as the current one.
    local.leave_task();
    // S24: callbacks go through the queue, in the order of registration.
    meta.retire(|callback| local.push(Entry::Call(callback)));
    if meta.has(flag::DETACHED)
        && let Err(error) = &outcome
        && error.is_panic()
    {
        report_unseen(local, meta, error);
    }
    if meta.has(flag::DETACHED)
        && match &outcome {
            Ok(_) => std::mem::needs_drop::<F::Output>(),
            Err(error) => error.is_panic(),
        }
    {
        outcome = drop_unseen(local, meta, outcome);
    }
    outcome
}

/// Drops an outcome nobody can take: async-task would, too, but abort the process if that panicked.
#[cold]
fn drop_unseen<T>(local: &Local, meta: &Meta, outcome: Outcome<T>) -> Outcome<T> {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(outcome))) {
        local.report_of(
            meta,
            ExceptionContext::panic(
                "panic in the destructor of a task's outcome",
                panic,
                None,
                Some(TaskInfo::of(meta)),
            ),
        );
    }
    cancelled(CancelledError::new())
}

/// Tells the exception handler of a panic nobody looked at or can look at any more.
#[cold]
pub(crate) fn report_unseen(local: &Local, meta: &Meta, error: &TaskError) {
    local.report_of(
        meta,
        ExceptionContext {
            exception: Some(error.to_string()),
            task: Some(TaskInfo::of(meta)),
            ..ExceptionContext::new("a task panicked and nobody awaited it")
        },
    );
}
