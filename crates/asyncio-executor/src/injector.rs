//! The way in from other threads: a queue that can be closed, a flag that is cheap to look at, and a pender.
//!
//! Vocabulary: a *foreign* thread pushes, the *loop* takes. The *pender* is the closure that makes a sleeping
//! loop get up; the executor does not know how its thread sleeps.
//!
//! Protocol. A push appends to the queue, then sets the flag; only the push that found the flag clear calls the
//! pender. The loop clears the flag first and then takes what is in the queue. A push that finds the flag set may
//! stay silent: the loop has not cleared it yet, so its taking is still to come and sees the item (the swap of the
//! pusher and the swap of the taker are read-modify-writes of one atomic and so ordered; each is AcqRel). After
//! `close` a push gets its item back. `loom` checks both halves in the tests below.

use concurrent_queue::{ConcurrentQueue, PushError};

use crate::sync::{AtomicBool, Ordering};

pub(crate) struct Injector<T> {
    queue: ConcurrentQueue<T>,
    /// Set while something may be in the queue that the loop has not been told of.
    flag: AtomicBool,
    pender: Box<dyn Fn() + Send + Sync>,
}

impl<T> Injector<T> {
    pub(crate) fn new(pender: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            queue: ConcurrentQueue::unbounded(),
            flag: AtomicBool::new(false),
            pender,
        }
    }

    /// Appends an item and wakes the loop; gives the item back if the loop is closed.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        match self.queue.push(item) {
            Ok(()) => {
                // AcqRel: releases the push to the taker's swap, see the module text.
                if !self.flag.swap(true, Ordering::AcqRel) {
                    (self.pender)();
                }
                Ok(())
            }
            Err(PushError::Closed(item) | PushError::Full(item)) => Err(item),
        }
    }

    /// Whether a push has been announced. One relaxed load: the loop asks every turn.
    #[inline]
    pub(crate) fn announced(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Takes what is there now, in order; what is pushed meanwhile waits for the next call.
    pub(crate) fn take(&self, mut each: impl FnMut(T)) -> usize {
        if !self.announced() {
            return 0;
        }
        // AcqRel: acquires the pushes whose flag this clears.
        self.flag.swap(false, Ordering::AcqRel);
        let mut taken = 0;
        for _ in 0..self.queue.len() {
            match self.queue.pop() {
                Ok(item) => each(item),
                Err(_) => break,
            }
            taken += 1;
        }
        if !self.queue.is_empty() {
            // A push got in between; it may have seen the flag still set and kept silent.
            self.flag.store(true, Ordering::Release);
        }
        taken
    }

    /// Refuses every later push. What is in the queue can still be taken.
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.queue.is_closed()
    }

    /// Takes everything left, flag or no flag; for use after `close`.
    pub(crate) fn drain(&self, mut each: impl FnMut(T)) {
        while let Ok(item) = self.queue.pop() {
            each(item);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use std::sync::Arc as StdArc;

    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::sync::{Arc, Condvar, Mutex};

    use super::Injector;

    /// A loop that sleeps on a condition variable and is woken by nothing but the pender.
    struct Sleeper {
        woken: Mutex<bool>,
        condition: Condvar,
    }

    impl Sleeper {
        fn notify(&self) {
            *self.woken.lock().unwrap() = true;
            self.condition.notify_one();
        }

        fn sleep(&self) {
            let mut woken = self.woken.lock().unwrap();
            while !*woken {
                woken = self.condition.wait(woken).unwrap();
            }
            *woken = false;
        }
    }

    #[test]
    fn a_push_is_taken_or_wakes_the_sleeper() {
        // Without a bound this runs for hours: the queue alone has many interleavings.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let sleeper = Arc::new(Sleeper {
                woken: Mutex::new(false),
                condition: Condvar::new(),
            });
            let waker = sleeper.clone();
            let injector = Arc::new(Injector::new(Box::new(move || waker.notify())));
            let pushers: Vec<_> = (0..2)
                .map(|n| {
                    let injector = injector.clone();
                    loom::thread::spawn(move || injector.push(n).unwrap())
                })
                .collect();
            let mut taken = 0;
            while taken < 2 {
                let now = injector.take(|_| ());
                taken += now;
                if now == 0 && !injector.announced() {
                    // Sleeping for ever here is what the model would report as a deadlock.
                    sleeper.sleep();
                }
            }
            for pusher in pushers {
                pusher.join().unwrap();
            }
        });
    }

    #[test]
    fn after_close_an_item_is_either_drained_or_given_back_never_both_never_lost() {
        loom::model(|| {
            let injector = Arc::new(Injector::new(Box::new(|| ())));
            let given_back = Arc::new(AtomicUsize::new(0));
            let pusher = {
                let (injector, given_back) = (injector.clone(), given_back.clone());
                loom::thread::spawn(move || {
                    // `StdArc` stands for a runnable: dropping it where it must not be would show.
                    if injector.push(StdArc::new(1)).is_err() {
                        given_back.fetch_add(1, Ordering::Relaxed);
                    }
                })
            };
            injector.close();
            let mut drained = 0;
            injector.drain(|_| drained += 1);
            pusher.join().unwrap();
            // The push may have been past the closed check when `close` was called: a second look takes it.
            injector.drain(|_| drained += 1);
            assert_eq!(drained + given_back.load(Ordering::Relaxed), 1);
        });
    }
}
