//! Who is to be told: the table that the handler reads, without locks.
//!
//! A list of places that only grows and is never freed; a place whose listener has gone is used again. A handler that
//! writes to a place's descriptor is a visitor of it: who wants to close the descriptor closes the place's gate first.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

use crate::action::Fd;
use crate::gate::Gate;
use crate::signal::{LAST, Signal};

/// The first place of the list. `OnceLock::get` is one load, so a handler may use it.
static FIRST: OnceLock<&'static Slot> = OnceLock::new();

/// One listener's place.
pub(crate) struct Slot {
    taken: AtomicBool,
    /// The signals wanted.
    wanted: AtomicU64,
    /// Those that came since the listener last looked.
    came: AtomicU64,
    /// Those that came at all.
    heard: AtomicU64,
    counts: [AtomicU32; LAST],
    /// Where to write, as long as the gate is open.
    fd: AtomicI32,
    gate: Gate,
    next: OnceLock<&'static Slot>,
}

impl Slot {
    fn new() -> Slot {
        Slot {
            taken: AtomicBool::new(true),
            wanted: AtomicU64::new(0),
            came: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            counts: [const { AtomicU32::new(0) }; LAST],
            fd: AtomicI32::new(-1),
            gate: Gate::closed(),
            next: OnceLock::new(),
        }
    }

    /// A place for a listener that is told by a write to `fd`; [`release`](Slot::release) it before closing that.
    pub(crate) fn claim(fd: Fd) -> &'static Slot {
        let mut link = &FIRST;
        let slot = loop {
            let mut made = false;
            let slot = *link.get_or_init(|| {
                made = true;
                Box::leak(Box::new(Slot::new()))
            });
            // Acquire: partner of the Release in `release`, so that we see it empty.
            if made || !slot.taken.swap(true, Ordering::Acquire) {
                break slot;
            }
            link = &slot.next;
        };
        slot.fd.store(fd, Ordering::Relaxed);
        slot.gate.open();
        slot
    }

    /// Gives the place up. When this returns no handler is using the descriptor, nor will one.
    pub(crate) fn release(&self) {
        self.gate.close();
        self.wanted.store(0, Ordering::Relaxed);
        self.came.store(0, Ordering::Relaxed);
        self.heard.store(0, Ordering::Relaxed);
        for count in &self.counts {
            count.store(0, Ordering::Relaxed);
        }
        self.taken.store(false, Ordering::Release);
    }

    /// Begins to want a signal, or stops.
    pub(crate) fn want(&self, signal: Signal, wanted: bool) {
        if wanted {
            // A signal whose action is set after this finds it: `sigaction` is a system call.
            self.wanted.fetch_or(signal.bit(), Ordering::Release);
        } else {
            self.wanted.fetch_and(!signal.bit(), Ordering::Relaxed);
        }
    }

    /// Whether a signal came since the place was taken.
    pub(crate) fn has_heard(&self, signal: Signal) -> bool {
        self.heard.load(Ordering::Relaxed) & signal.bit() != 0
    }

    /// Whether a signal came since [`take`](Slot::take) was last called.
    pub(crate) fn has_come(&self) -> bool {
        self.came.load(Ordering::Relaxed) != 0
    }

    /// What came since this was last called, and how often.
    pub(crate) fn take(&self) -> Vec<(Signal, u32)> {
        // Acquire: partner of the Release in `announce`; the counts are at least what was announced.
        let came = self.came.swap(0, Ordering::Acquire);
        Signal::in_set(came)
            .filter_map(|signal| {
                let count = self.counts[signal.as_raw() as usize - 1].swap(0, Ordering::Relaxed);
                // 0: counted by the last call, and announced after it.
                (count > 0).then_some((signal, count))
            })
            .collect()
    }
}

/// For the handler: notes a signal in the places that want it, and has their descriptors written to.
///
/// A descriptor given to `ring` stays open until `ring` has returned.
pub(crate) fn announce(number: i32, ring: impl Fn(Fd)) {
    let Ok(index) = usize::try_from(number - 1) else {
        return;
    };
    let mut link = &FIRST;
    while let Some(slot) = link.get() {
        link = &slot.next;
        let Some(count) = slot.counts.get(index) else {
            return;
        };
        let bit = 1 << index;
        slot.gate.visit(|| {
            if slot.wanted.load(Ordering::Relaxed) & bit != 0 {
                count.fetch_add(1, Ordering::Relaxed);
                slot.heard.fetch_or(bit, Ordering::Relaxed);
                // Release: partner of the Acquire in `take`.
                slot.came.fetch_or(bit, Ordering::Release);
                ring(slot.fd.load(Ordering::Relaxed));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;
    use crate::{SIGHUP, SIGTERM};

    /// The list is one for the whole process: the tests take turns.
    fn turn() -> MutexGuard<'static, ()> {
        static TURN: Mutex<()> = Mutex::new(());
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Descriptors that exist nowhere.
    fn announced(signal: Signal, of_interest: &[Fd]) -> Vec<Fd> {
        let rung = RefCell::new(Vec::new());
        announce(signal.as_raw(), |fd| rung.borrow_mut().push(fd));
        let mut rung = rung.into_inner();
        rung.retain(|fd| of_interest.contains(fd));
        rung
    }

    #[test]
    fn only_those_who_want_a_signal_are_told_and_counts_are_kept() {
        let _turn = turn();
        let (both, one) = (Slot::claim(1001), Slot::claim(1002));
        both.want(SIGHUP, true);
        both.want(SIGTERM, true);
        one.want(SIGTERM, true);
        let mine = [1001, 1002];
        assert_eq!(announced(SIGHUP, &mine), [1001]);
        announced(SIGHUP, &mine);
        assert_eq!(announced(SIGTERM, &mine).len(), 2);
        assert!(both.has_come());
        assert_eq!(both.take(), [(SIGHUP, 2), (SIGTERM, 1)]);
        assert!(!both.has_come());
        assert_eq!(one.take(), [(SIGTERM, 1)]);
        assert_eq!(one.take(), []);
        assert!(both.has_heard(SIGHUP) && !one.has_heard(SIGHUP));
        both.want(SIGHUP, false);
        assert_eq!(announced(SIGHUP, &mine), []);
        both.release();
        one.release();
        assert_eq!(announced(SIGTERM, &mine), []);
    }

    #[test]
    fn a_place_is_used_again_and_is_empty_then() {
        let _turn = turn();
        let slot = Slot::claim(2001);
        slot.want(SIGHUP, true);
        announced(SIGHUP, &[]);
        slot.release();
        let again = Slot::claim(2002);
        assert!(std::ptr::eq(again, slot), "the place was not used again");
        assert!(!again.has_heard(SIGHUP));
        assert_eq!(again.take(), []);
        again.release();
    }
}
