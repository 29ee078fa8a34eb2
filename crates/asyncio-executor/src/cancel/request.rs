//! How a request finds those who want to hear of it.

use std::ptr::NonNull;
use std::task::Waker;

use super::error::CancelledError;
use super::scopes::{Hook, Scopes};
use crate::local::Local;
use crate::meta::{Meta, flag};

/// Requests that a task end; asyncio: `Task.cancel` (S43). False if it has ended already.
///
/// The caller keeps the task's metadata alive: hooks and wakers may be a user's code, which may even end the task.
pub(crate) fn request(task: &Meta, error: CancelledError) -> bool {
    if task.is_done() {
        return false;
    }
    let Some(mut round) = Round::begin(task) else {
        // Made by a hook or a waker of the round that goes through this task now. It is counted and marked; asking the
        // scopes again from in here could go on for ever.
        mark(task, &error);
        rouse(task);
        return true;
    };
    round.ask_task(task, &error);
    round.go_on(&error);
    true
}

/// Aims a request at one scope and what is below it.
pub(super) fn request_below(task: &Meta, scopes: &Scopes, top: usize, error: &CancelledError) {
    // What is run on the way may end the task. One without a waker is in its first step, further up the stack.
    let _claim = task.clone_waker();
    task.count_request();
    scopes.set_mark(top, error.clone());
    match Round::begin(task) {
        Some(mut round) => {
            round.ask_innermost(task, scopes, Some(top), error);
            round.go_on(error);
        }
        None => rouse(task),
    }
}

/// Takes one request back; asyncio: `Task.uncancel` (S56). Returns how many are left.
pub(crate) fn uncancel(task: &Meta) -> u32 {
    let left = task.uncount_request();
    if left == 0 && !task.is_done() {
        let scopes = task.existing_scopes();
        let marked = scopes.as_ref().is_some_and(|scopes| scopes.has_marks());
        if task.has(flag::MARKED) || marked {
            if task.has(flag::MARKED) {
                task.unset(flag::MARKED | flag::ASKED);
                if !task.has(flag::RAISED) {
                    task.with_extra(|extra| extra.cancel = None);
                }
            }
            if let Some(scopes) = scopes {
                scopes.withdraw();
            }
        }
    }
    left
}

/// One request on its way: the task it was made to, and the awaited tasks it was passed on to (S62).
///
/// These wait in a list, not on the stack: a chain of tasks that await each other may be as long as it likes.
pub(super) struct Round<'a> {
    origin: &'a Meta,
    /// The tasks passed on to, with a claim that keeps each alive; one without a waker is in its first step.
    onward: Vec<(NonNull<Meta>, Option<Waker>)>,
}

impl<'a> Round<'a> {
    /// `None` where a round goes through this task already, further up the stack.
    pub(super) fn begin(origin: &'a Meta) -> Option<Round<'a>> {
        if origin.has(flag::ASKING) {
            return None;
        }
        origin.set(flag::ASKING);
        Some(Round {
            origin,
            onward: Vec::new(),
        })
    }

    /// Counts and marks the request on a task, and takes it to the task's innermost scopes.
    fn ask_task(&mut self, task: &Meta, error: &CancelledError) {
        mark(task, error);
        match task.existing_scopes() {
            Some(scopes) if !scopes.is_empty() => self.ask_innermost(task, &scopes, None, error),
            _ => {
                if !runs_now(task) {
                    task.set(flag::ASKED);
                    task.wake();
                }
            }
        }
    }

    /// Asks every innermost scope at or below `top`.
    fn ask_innermost(
        &mut self,
        task: &Meta,
        scopes: &Scopes,
        top: Option<usize>,
        error: &CancelledError,
    ) {
        scopes.count_request();
        let mut asked = false;
        for key in scopes.innermost(top) {
            asked |= self.forward_or_ask(scopes, key, top, error);
        }
        // Where every scope has passed the request on, what it went to wakes the task when it is settled, and not before
        // (S62): woken now, the task would go on in the very turn in which a task it awaits ends, one turn too early.
        if asked {
            // Through its own waker too: a scope that nobody polls any more must not keep the task asleep.
            rouse(task);
        }
    }

    /// Hands the request to one scope: to what it awaits, or to itself at its next poll. Returns whether it has to be
    /// polled for it.
    pub(super) fn forward_or_ask(
        &mut self,
        scopes: &Scopes,
        key: usize,
        target: Option<usize>,
        error: &CancelledError,
    ) -> bool {
        let hook = {
            let nodes = scopes.nodes.borrow();
            // An earlier scope's hook may have run code that ended this one.
            let Some(node) = nodes.get(key) else {
                return false;
            };
            node.hook.clone()
        };
        if scopes.is_polling(key) {
            // Takes the mark when its body returns `Pending`.
            return false;
        }
        let accepted = match hook {
            Hook::None => false,
            // SAFETY: the node is in the tree, see the variant; nothing ran since it was looked at.
            Hook::Task(awaited) => self.pass_on(unsafe { &*awaited }, error),
            Hook::Custom(hook) => hook.forward(error),
        };
        if accepted {
            scopes.note_forwarded(key, target, error);
            return false;
        }
        let waker = {
            let mut nodes = scopes.nodes.borrow_mut();
            let Some(node) = nodes.get_mut(key) else {
                return false;
            };
            scopes.news(node).ask(error);
            node.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Passes the request on to an awaited task. False if it has ended, or if the request came from there.
    fn pass_on(&mut self, task: &Meta, error: &CancelledError) -> bool {
        if task.is_done() || task.has(flag::ASKING) {
            return false;
        }
        if !task.has_waker() && task.existing_scopes().is_none() {
            // Not stepped yet: nothing in it can run for this, and a claim would be hard to get.
            self.ask_task(task, error);
        } else {
            task.set(flag::ASKING);
            self.onward.push((NonNull::from(task), task.clone_waker()));
        }
        true
    }

    /// Asks the tasks passed on to, and those passed on to by them.
    pub(super) fn go_on(&mut self, error: &CancelledError) {
        let mut at = 0;
        while let Some((task, _claim)) = self.onward.get(at) {
            at += 1;
            // SAFETY: the claim beside it keeps the metadata alive; so does the list, which only grows.
            let task = unsafe { task.as_ref() };
            if !task.is_done() {
                self.ask_task(task, error);
            }
        }
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        for (task, _claim) in &self.onward {
            // SAFETY: as in `go_on`.
            unsafe { task.as_ref() }.unset(flag::ASKING);
        }
        self.origin.unset(flag::ASKING);
    }
}

/// Counts a request to a task and marks it.
fn mark(task: &Meta, error: &CancelledError) {
    task.count_request();
    // S53: a task that waits hears of the first request, one that has not begun (or runs) of the last.
    let has_heard = task.has(flag::ASKED) && task.has_waker();
    task.set(flag::MARKED);
    // Only a message, a raise or scopes need the rare part; a plain request stays two bits.
    if !has_heard && (error.message().is_some() || task.existing_scopes().is_some()) {
        task.with_new_extra(|extra| extra.cancel = Some(error.clone()));
    }
}

/// Has a task polled once more: also when it is being polled now, since that poll may be past the place concerned.
pub(super) fn rouse(task: &Meta) {
    match Local::of(task.shared) {
        Some(local) if local.is_current(task) => {
            if let Some(waker) = local.current_waker() {
                waker.wake_by_ref();
            }
        }
        _ => task.wake(),
    }
}

fn runs_now(task: &Meta) -> bool {
    Local::of(task.shared).is_some_and(|local| local.is_current(task))
}
