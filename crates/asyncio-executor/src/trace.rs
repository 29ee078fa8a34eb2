//! By which calls a suspended task hangs where it does: found out by one more poll of it.
//!
//! A future that suspends clones the waker it is polled with, to keep the clone. So a task is polled once more with a
//! waker whose clone notes the calls that led there, and then gives what was asked for: a clone of the task's own waker.
//! A poll that nobody asked for is allowed at any time; nothing else of the task is touched.

use std::backtrace::Backtrace;
use std::mem::ManuallyDrop;
use std::ops::ControlFlow;
use std::ptr;
use std::task::{RawWaker, RawWakerVTable, Waker};

use crate::callback;
use crate::local::Local;
use crate::meta::{Meta, flag};
use crate::run_queue::Entry;
use crate::task_ref::TaskRef;

/// By which calls a task waits: one stack for each place where it does, several under a `join!`.
#[derive(Debug)]
#[non_exhaustive]
pub struct TaskTrace {
    /// The task's number.
    pub id: u64,
    /// The calls, innermost first, with those of the executor around them. Not resolved yet, which takes long: leave that
    /// to another thread.
    pub stacks: Vec<Backtrace>,
}

/// No more places of one task are noted.
const MOST_STACKS: usize = 8;

/// Polls waiting tasks of the current executor once more, `limit` at most, and then calls `done` with what was seen,
/// all in the next turn. Nothing where no executor is entered.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use asyncio_executor::{Executor, spawn, trace_waiting, yield_now};
///
/// Executor::new().run(async {
///     let task = spawn(async {
///         std::future::poll_fn(|cx| {
///             let _kept = cx.waker().clone();
///             std::task::Poll::<()>::Pending
///         })
///         .await
///     });
///     yield_now().await;
///     let seen = Rc::new(Cell::new(0));
///     let count = seen.clone();
///     trace_waiting(100, move |traces| count.set(traces[0].stacks.len()));
///     yield_now().await;
///     assert_eq!(seen.get(), 1);
///     task.cancel();
/// }).unwrap();
/// ```
pub fn trace_waiting(limit: usize, done: impl FnOnce(Vec<TaskTrace>) + 'static) {
    let Some(local) = Local::current() else {
        return;
    };
    let ready = local.ready_ids();
    let mut asked = Vec::new();
    let _ = local.try_each_suspended(|meta| {
        if asked.len() == limit {
            return ControlFlow::Break(());
        }
        if !ready.contains(&meta.id()) && !local.is_current(meta) {
            asked.extend(TaskRef::of(meta));
        }
        ControlFlow::Continue(())
    });
    for task in &asked {
        task.meta().set(flag::TRACED);
        task.meta().wake();
    }
    // Behind them in the queue.
    let take = move || {
        for task in &asked {
            // Not polled in this turn, as another thread has woken it just before: let its next poll be one like any other.
            task.meta().unset(flag::TRACED);
        }
        let traces = Local::current().map(|local| local.traces.take());
        done(traces.unwrap_or_default());
    };
    let location = std::panic::Location::caller();
    local.push(Entry::Call(callback::once(take, None, location)));
}

/// A waker that notes who clones it. It may be used as long as `real` is where it is; its clones are clones of `real`.
pub(crate) fn tracing_waker(real: &Waker) -> ManuallyDrop<Waker> {
    let raw = RawWaker::new(ptr::from_ref(real).cast(), &VTABLE);
    // SAFETY: the functions below keep the contract as long as `real` is borrowed: `clone` gives a waker of the same task,
    // waking wakes that task, and there is nothing to drop. They are thread-safe: `real` is, and on another thread nothing
    // is noted.
    ManuallyDrop::new(unsafe { Waker::from_raw(raw) })
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, |_| {});

fn clone(data: *const ()) -> RawWaker {
    note();
    // SAFETY: `tracing_waker` was given a reference, which whoever uses the waker still holds.
    let real = ManuallyDrop::new(unsafe { &*data.cast::<Waker>() }.clone());
    RawWaker::new(real.data(), real.vtable())
}

fn wake(data: *const ()) {
    // SAFETY: as in `clone`.
    unsafe { &*data.cast::<Waker>() }.wake_by_ref();
}

#[cold]
fn note() {
    let Some(local) = Local::current() else {
        return;
    };
    let Some(id) = local.current_meta().map(Meta::id) else {
        return;
    };
    let mut traces = local.traces.borrow_mut();
    let known = traces.iter().rposition(|trace| trace.id == id);
    let at = known.unwrap_or_else(|| {
        traces.push(TaskTrace {
            id,
            stacks: Vec::new(),
        });
        traces.len() - 1
    });
    let stacks = &mut traces[at].stacks;
    if stacks.len() < MOST_STACKS {
        stacks.push(Backtrace::force_capture());
    }
}
