//! Waiting for several tasks at once: counts them down by their done callbacks and wakes one awaiter.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

use asyncio_executor::{AwaitNode, Awaited, CancelledError, Forward, Task, TaskError};

/// Tasks whose end is awaited together. One whose outcome was taken leaves an empty place.
pub(crate) trait Children: 'static {
    /// Calls `f` with each task, in order, and its place.
    fn each(&self, f: &mut dyn FnMut(usize, &dyn Child));
}

/// A task, whatever it gives.
pub(crate) trait Child: AwaitNode {
    fn done(&self) -> bool;
    fn cancel(&self, request: &CancelledError) -> bool;
    fn on_done(&self, callback: Box<dyn FnOnce()>);
}

impl<T> Child for Task<T> {
    fn done(&self) -> bool {
        Task::done(self)
    }

    fn cancel(&self, request: &CancelledError) -> bool {
        match request.message() {
            Some(message) => self.cancel_with(message),
            None => Task::cancel(self),
        }
    }

    fn on_done(&self, callback: Box<dyn FnOnce()>) {
        self.add_done_callback(callback);
    }
}

/// What a gathering future shares with the callbacks of its tasks.
pub(crate) struct Settling<C> {
    pub(crate) children: RefCell<C>,
    pending: Cell<usize>,
    /// The places of tasks that have ended since the awaiter last looked, in the order of their ends; kept only for
    /// an awaiter that wants to be woken at each.
    ended: Option<RefCell<Vec<usize>>>,
    waker: RefCell<Option<Waker>>,
}

impl<C: Children> Settling<C> {
    /// Starts to count. With `each_end` the awaiter is woken at each end and told the places, else at the last only.
    pub(crate) fn new(children: C, each_end: bool) -> Rc<Settling<C>> {
        let settling = Rc::new(Settling {
            children: RefCell::new(children),
            pending: Cell::new(0),
            ended: each_end.then(RefCell::default),
            waker: RefCell::new(None),
        });
        settling.children.borrow().each(&mut |place, task| {
            settling.pending.set(settling.pending.get() + 1);
            if task.done() {
                settling.one_ended(place);
            } else {
                let settling = settling.clone();
                task.on_done(Box::new(move || settling.one_ended(place)));
            }
        });
        settling
    }

    pub(crate) fn all_ended(&self) -> bool {
        self.pending.get() == 0
    }

    /// The places of tasks that have ended since the last call.
    pub(crate) fn newly_ended(&self) -> Vec<usize> {
        self.ended.as_ref().map(RefCell::take).unwrap_or_default()
    }

    pub(crate) fn wait(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *waker = Some(cx.waker().clone()),
        }
    }

    fn one_ended(&self, place: usize) {
        self.pending.set(self.pending.get() - 1);
        if let Some(ended) = &self.ended {
            ended.borrow_mut().push(place);
        }
        if self.pending.get() == 0 || self.ended.is_some() {
            let waker = self.waker.take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<C: Children> Forward for Settling<C> {
    fn forward(&self, request: &CancelledError) -> bool {
        let mut any = false;
        // S74: every task that has not ended, in order.
        self.children
            .borrow()
            .each(&mut |_, task| any |= task.cancel(request));
        any
    }

    fn is_settled(&self) -> bool {
        self.all_ended()
    }

    fn label(&self) -> &'static str {
        "gather"
    }

    fn each_awaited(&self, each: &mut dyn FnMut(Awaited)) {
        // Taken apart just now, by something further up the stack: then nothing is awaited any more.
        if let Ok(children) = self.children.try_borrow() {
            children.each(&mut |_, task| each(task.await_node()));
        }
    }
}

/// Takes the value of a task that has ended: its panic goes on here, its cancellation is the caller's to raise.
pub(crate) fn take_value<T>(place: &mut Option<Task<T>>) -> Result<T, CancelledError> {
    let Some(Ok(outcome)) = place.take().map(Task::try_take) else {
        unreachable!("taken twice, or before the count-down said that the task has ended");
    };
    match outcome {
        Ok(value) => Ok(value),
        Err(TaskError::Cancelled(error)) => Err(error),
        Err(TaskError::Panicked(panic)) => panic.resume(),
    }
}
