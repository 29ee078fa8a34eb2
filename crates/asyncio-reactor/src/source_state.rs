//! What is known of a source's descriptor: shared by the source, which asks, and the reactor's table, which is told.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use crate::reactor::Directions;
use crate::readiness::{Flow, Interest, Readiness, Waiters};
use crate::stats::Counters;

/// The source reaches this without going through the table, since it asks several times for each message.
pub(crate) struct SourceState {
    readiness: Cell<Readiness>,
    pub(crate) flow: Cell<Flow>,
    /// What the portable backend has been asked for and has not reported yet.
    pub(crate) armed: Cell<Directions>,
    /// The reactor is gone: nothing will ever be told again.
    closed: Cell<bool>,
    reader: RefCell<Waiters>,
    writer: RefCell<Waiters>,
    /// Those of the reactor.
    pub(crate) counters: Rc<Counters>,
}

impl SourceState {
    pub(crate) fn new(readiness: Readiness, flow: Flow, counters: Rc<Counters>) -> Rc<SourceState> {
        Rc::new(SourceState {
            readiness: Cell::new(readiness),
            flow: Cell::new(flow),
            armed: Cell::default(),
            closed: Cell::new(false),
            reader: RefCell::default(),
            writer: RefCell::default(),
            counters,
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// An operation is not worth trying, and not waited for either, once the reactor is gone.
    pub(crate) fn worth_trying(&self, interest: Interest) -> bool {
        self.readiness.get().worth_trying(interest)
    }

    pub(crate) fn is_ready(&self, interest: Interest) -> bool {
        self.readiness.get().is_ready(interest)
    }

    pub(crate) fn clear(&self, interest: Interest) {
        let mut readiness = self.readiness.get();
        readiness.clear(interest);
        self.readiness.set(readiness);
    }

    /// Less was read or written than asked for, of a descriptor that carries bytes: there is no more for now.
    pub(crate) fn clear_after_short(&self, interest: Interest) {
        let mut readiness = self.readiness.get();
        readiness.clear_after_short(interest);
        self.readiness.set(readiness);
    }

    pub(crate) fn reset(&self) {
        self.readiness.set(Readiness::NONE);
    }

    /// Notes the news and takes out those who waited for it.
    pub(crate) fn ready(&self, news: Readiness, mut wake: impl FnMut(Waker)) {
        let mut readiness = self.readiness.get();
        readiness.insert(news);
        self.readiness.set(readiness);
        for interest in [Interest::Readable, Interest::Writable] {
            if news.is_ready(interest) {
                self.waiters(interest).borrow_mut().drain(&mut wake);
            }
        }
    }

    /// Keeps a waker until the next event of that direction.
    pub(crate) fn park(&self, interest: Interest, waker: &Waker) {
        let waiters = self.waiters(interest);
        // The usual case first: nobody waits, so nobody is asked whether it is this one.
        let waits = {
            let waiters = waiters.borrow();
            !waiters.is_empty() && waiters.contains(waker)
        };
        if waits {
            return;
        }
        // Cloned, and the one too many woken, with no borrow held: both are somebody else's code.
        let waker = waker.clone();
        let pushed_out = waiters.borrow_mut().push(waker);
        if let Some(waker) = pushed_out {
            waker.wake();
        }
    }

    pub(crate) fn wake_all(&self) {
        for waiters in [&self.reader, &self.writer] {
            // Taken out first: a waker may come back here.
            let mut waiting = waiters.take();
            waiting.drain(Waker::wake);
        }
    }

    pub(crate) fn wanted(&self) -> Directions {
        Directions {
            readable: !self.reader.borrow().is_empty(),
            writable: !self.writer.borrow().is_empty(),
        }
    }

    /// The reactor ends; hands back who waited, to be dropped when every source knows.
    pub(crate) fn close(&self) -> (Waiters, Waiters) {
        self.closed.set(true);
        self.reset();
        (self.reader.take(), self.writer.take())
    }

    fn waiters(&self, interest: Interest) -> &RefCell<Waiters> {
        match interest {
            Interest::Readable => &self.reader,
            Interest::Writable => &self.writer,
        }
    }
}
