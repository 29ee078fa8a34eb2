//! Free functions that act on the executor entered on this thread.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::callback::Handle;
use crate::cancel::request;
use crate::context;
use crate::exception::ExceptionContext;
use crate::executor::{all_tasks_on, call_soon_on};
use crate::local::{Local, TurnEnd};
use crate::meta::flag;
use crate::pulse::Pulse;
use crate::shared::Remote;
use crate::task::{self, Task};
use crate::task_ref::TaskRef;

/// Runs `f` with the current executor.
///
/// # Panics
///
/// Where there is none; `what` names the call the user made.
#[track_caller]
pub(crate) fn with_current<R>(what: &str, f: impl FnOnce(&'static Local) -> R) -> R {
    match Local::current() {
        Some(local) => f(local),
        None => panic!(
            "no running event loop: `{what}` needs one; call it inside `asyncio::run(async {{ … }})` or \
             `Executor::run`"
        ),
    }
}

/// Makes a task on the current executor; its first step is queued (S35). asyncio: `create_task`.
///
/// # Panics
///
/// Where no executor is entered on this thread.
#[inline]
#[track_caller]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let location = Location::caller();
    with_current("create_task", |local| task::spawn(local, future, location))
}

/// Queues a callback on the current executor (S1).
///
/// # Panics
///
/// Where no executor is entered on this thread.
#[track_caller]
pub fn call_soon(callback: impl FnOnce() + 'static) -> Handle {
    let location = Location::caller();
    with_current("call_soon", |local| {
        call_soon_on(local, callback, context::copy_current(), location)
    })
}

/// Calls `hook` once when everything that is ready now has run, before the loop sleeps again: the place to flush what
/// was gathered meanwhile. At once where no executor is entered.
pub fn at_turn_end(hook: Rc<dyn TurnEnd>) {
    match Local::current() {
        Some(local) => local.at_turn_end(hook),
        None => hook.turn_ended(),
    }
}

/// The number of the turn that runs on the current executor: what happens in one turn sees one number. 0 where no
/// executor is entered.
#[inline]
pub fn turn_number() -> u64 {
    Local::current().map_or(0, Local::turn_number)
}

/// Whether an executor is entered on this thread.
pub fn is_entered() -> bool {
    Local::current().is_some()
}

/// A handle of the current executor for other threads; `None` where none is entered.
pub fn current_remote() -> Option<Remote> {
    // SAFETY: an entered executor is alive.
    Local::current().map(|local| unsafe { Remote::new(local.shared) })
}

/// The task being stepped; `None` in a plain callback and outside (S41), and in what is dropped at close (S11).
pub fn current_task() -> Option<TaskRef> {
    Local::current()
        .filter(|local| !local.is_closing())
        .and_then(TaskRef::current)
}

/// The tasks of the current executor that have not ended, oldest first (S42); empty where none is entered.
pub fn all_tasks() -> Vec<TaskRef> {
    Local::current().map(all_tasks_on).unwrap_or_default()
}

/// The requests to the current task not taken back; 0 outside a task. The short form of `current_task().cancelling()`.
pub fn cancelling() -> u32 {
    Local::current()
        .and_then(Local::current_meta)
        .map_or(0, |meta| meta.cancelling())
}

/// Takes one request to the current task back (S56); returns how many are left.
pub fn uncancel() -> u32 {
    Local::current()
        .and_then(Local::current_meta)
        .map_or(0, request::uncancel)
}

/// Whether the current executor is in debug mode; false where none is entered.
pub fn is_debug() -> bool {
    Local::current().is_some_and(|local| local.debug().is_some())
}

/// The same as [`Executor::set_pulse`](crate::Executor::set_pulse), on the current executor; nothing where none is entered.
pub fn set_pulse(pulse: Option<Arc<Pulse>>) {
    if let Some(local) = Local::current() {
        local.set_pulse(pulse);
    }
}

/// Hands a report to the current executor's exception handler, or prints it where there is none.
pub fn report(context: ExceptionContext) {
    match Local::current() {
        Some(local) => local.report(context),
        None => context.print(),
    }
}

/// Lets everything that is ready run once before the caller goes on; asyncio: `sleep(0)` (S18).
///
/// # Cancel safety
///
/// Nothing is lost.
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// Future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether the current task was asked to end and nobody in it took the request yet.
pub fn cancellation_pending() -> bool {
    Local::current()
        .and_then(Local::current_meta)
        .is_some_and(|meta| meta.has(flag::MARKED))
}
