//! How a request finds those who want to hear of it.

use super::error::CancelledError;
use super::scopes::{Hook, Scopes};
use crate::local::Local;
use crate::meta::{Meta, flag};

/// Requests that a task end; asyncio: `Task.cancel` (S43). False if it has ended already.
pub(crate) fn request(task: &Meta, error: CancelledError) -> bool {
    if task.is_done() {
        return false;
    }
    task.cancelling.set(task.cancelling.get() + 1);
    task.set(flag::MARKED);
    let scopes = task.existing_scopes();
    // Only a message, a raise or scopes need the rare part; a plain request stays two bits.
    if error.message().is_some() || scopes.is_some() {
        task.with_new_extra(|extra| extra.cancel = Some(error.clone()));
    }
    match scopes {
        Some(scopes) if !scopes.is_empty() => ask_innermost(task, &scopes, None, &error),
        _ => {
            if !runs_now(task) {
                task.set(flag::ASKED);
                task.wake();
            }
        }
    }
    true
}

/// Takes one request back; asyncio: `Task.uncancel` (S56). Returns how many are left.
pub(crate) fn uncancel(task: &Meta) -> u32 {
    let left = task.cancelling.get().saturating_sub(1);
    task.cancelling.set(left);
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

/// Asks every innermost scope at or below `top`.
pub(super) fn ask_innermost(
    task: &Meta,
    scopes: &Scopes,
    top: Option<usize>,
    error: &CancelledError,
) {
    let mut all_forwarded = true;
    for key in scopes.innermost(top) {
        all_forwarded &= forward_or_ask(task, scopes, key, error);
    }
    // Where every scope has passed the request on, what it went to wakes the task when it is settled, and not before
    // (S62): woken now, the task would go on in the very turn in which a task it awaits ends, one turn too early.
    if !all_forwarded && !runs_now(task) {
        // Through its own waker too: a scope that nobody polls any more must not keep the task asleep.
        task.wake();
    }
}

/// Hands the request to one scope: to what it awaits, or to itself at its next poll. Says whether it was the former.
pub(super) fn forward_or_ask(
    task: &Meta,
    scopes: &Scopes,
    key: usize,
    error: &CancelledError,
) -> bool {
    let hook = {
        let nodes = scopes.nodes.borrow();
        // An earlier scope's hook may have run code that ended this one.
        let Some(node) = nodes.get(key) else {
            return false;
        };
        if node.polling {
            // Takes the mark when its body returns `Pending`.
            return false;
        }
        node.hook.clone()
    };
    if !matches!(hook, Hook::None) && hook.forward(error) {
        scopes.take_marks(key);
        if let Some(node) = scopes.nodes.borrow_mut().get_mut(key) {
            node.news_mut()
                .forwarded
                .get_or_insert_with(|| error.clone());
            task.set(flag::FORWARDED);
        }
        return true;
    }
    let waker = {
        let mut nodes = scopes.nodes.borrow_mut();
        let Some(node) = nodes.get_mut(key) else {
            return false;
        };
        node.news_mut().asked.get_or_insert_with(|| error.clone());
        node.waker.clone()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
    false
}

fn runs_now(task: &Meta) -> bool {
    Local::of(task.shared).is_some_and(|local| local.is_current(task))
}
