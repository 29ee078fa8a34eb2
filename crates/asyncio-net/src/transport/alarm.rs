//! Getting up whoever drives a transport.

use std::cell::RefCell;
use std::task::{Context, Waker};

/// The waker of a transport's driver.
#[derive(Default)]
pub(crate) struct Alarm(RefCell<Option<Waker>>);

impl Alarm {
    /// To be called in each poll.
    pub(crate) fn set(&self, cx: &Context<'_>) {
        let is_set = |waker: &Waker| waker.will_wake(cx.waker());
        if !self.0.borrow().as_ref().is_some_and(is_set) {
            let former = self.0.replace(Some(cx.waker().clone()));
            drop(former);
        }
    }

    pub(crate) fn ring(&self) {
        let waker = self.0.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
