//! Who may be inside: the one place where a handler on any thread meets the thread that closes a descriptor.

use crate::sync::{AtomicUsize, Ordering, yield_now};

/// The gate is open. The rest of the word counts the visitors.
const OPEN: usize = 1 << (usize::BITS - 1);

/// Lets visitors in without making them wait, until it is closed; closing waits until the last one has left.
///
/// Everything is decided by the order of changes to one word, so a visitor either finds the gate closed, or is seen by who
/// closes it.
pub(crate) struct Gate {
    word: AtomicUsize,
}

impl Gate {
    pub(crate) fn closed() -> Gate {
        Gate {
            word: AtomicUsize::new(0),
        }
    }

    /// Lets visitors in. They see what was written before.
    pub(crate) fn open(&self) {
        // Release: partner of the Acquire in `visit`.
        self.word.fetch_or(OPEN, Ordering::Release);
    }

    /// Calls `inside` if the gate is open. Never waits: for handlers.
    pub(crate) fn visit(&self, inside: impl FnOnce()) {
        // Acquire: partner of the Release in `open`.
        if self.word.fetch_add(1, Ordering::Acquire) & OPEN != 0 {
            inside();
        }
        // Release: partner of the Acquire in `close`.
        self.word.fetch_sub(1, Ordering::Release);
    }

    /// Lets nobody in any more, and waits until nobody is inside. Not for handlers: one that interrupted a visitor would
    /// wait for ever.
    pub(crate) fn close(&self) {
        self.word.fetch_and(!OPEN, Ordering::Relaxed);
        // Acquire: partner of the Release of the last visitor. It is inside for the time of one write.
        while self.word.load(Ordering::Acquire) != 0 {
            yield_now();
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::thread;

    use super::Gate;

    #[test]
    fn loom_no_visitor_is_inside_once_the_gate_is_closed() {
        loom::model(|| {
            let place = Arc::new((Gate::closed(), AtomicBool::new(false)));
            let (gate, descriptor_is_open) = &*place;
            descriptor_is_open.store(true, Ordering::Relaxed);
            gate.open();
            let visitors: Vec<_> = (0..2)
                .map(|_| {
                    let place = place.clone();
                    thread::spawn(move || {
                        place.0.visit(|| assert!(place.1.load(Ordering::Relaxed)));
                    })
                })
                .collect();
            gate.close();
            descriptor_is_open.store(false, Ordering::Relaxed);
            for visitor in visitors {
                visitor.join().unwrap();
            }
        });
    }

    #[test]
    fn loom_a_visitor_sees_what_was_written_before_the_gate_was_opened_again() {
        loom::model(|| {
            let place = Arc::new((Gate::closed(), AtomicBool::new(false)));
            let visitor = {
                let place = place.clone();
                thread::spawn(move || {
                    place.0.visit(|| assert!(place.1.load(Ordering::Relaxed)));
                })
            };
            place.1.store(true, Ordering::Relaxed);
            place.0.open();
            visitor.join().unwrap();
            place.0.close();
        });
    }
}
