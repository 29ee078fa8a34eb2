//! Waking a loop that sleeps in the kernel, from any thread, at the price of a system call only if
//! it does sleep.
//!
//! The loop's thread and any number of notifying threads share one byte, the [`Doorbell`]:
//!
//! | state | meaning | the loop may | a notifier must |
//! |---|---|---|---|
//! | `AWAKE` | the loop runs and will look around before it sleeps | fall asleep | set `NOTIFIED` |
//! | `SLEEPING` | the loop is in the kernel, or about to be | only wake up | set `NOTIFIED`, then wake the kernel's sleeper |
//! | `NOTIFIED` | somebody rang since the loop last looked | not sleep | nothing more |
//!
//! *Argument.* Every transition is a read-modify-write of that one byte, so all of them lie in one
//! order. A ring that comes before the loop's `AWAKE -> SLEEPING` makes that compare-exchange fail,
//! and the loop does not sleep. A ring that comes after it reads `SLEEPING`, and its thread rings
//! the bell: the bell is a descriptor the sleeper is watching, so ringing it before, during or
//! after the system call has begun ends the sleep. Only the ring that *replaced* `SLEEPING` rings
//! the bell, and `SLEEPING` is entered once per sleep: at most one write per sleep. A write that
//! comes late, when the loop has woken for another reason, ends the next sleep early and does
//! no other harm. `loom` checks this at the end of the file.

use std::fmt;
use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::sync::{AtomicU8, Ordering};
use crate::sys::Bell;

/// Wakes the loop from any thread: its next, or present, [`Reactor::wait`](crate::Reactor::wait)
/// does not sleep.
///
/// Costs one atomic operation, and a system call only if the loop does sleep and nobody else has
/// rung yet. What a thread wrote before [`notify`](Notifier::notify) is visible to the loop when
/// `wait` returns. A notifier may outlive its reactor; then it does nothing.
///
/// ```
/// let reactor = asyncio_reactor::Reactor::new()?;
/// let notifier = reactor.notifier();
/// let other = std::thread::spawn(move || notifier.notify());
/// reactor.wait(None)?; // would sleep for ever without the notification
/// other.join().unwrap();
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Notifier {
    shared: Arc<Shared>,
}

impl Notifier {
    pub(crate) fn new(bell: Bell) -> Notifier {
        let doorbell = Doorbell::new();
        let rings = std::sync::atomic::AtomicU64::new(0);
        Notifier {
            shared: Arc::new(Shared {
                doorbell,
                bell,
                rings,
            }),
        }
    }

    /// Makes the loop look around: it will not sleep, or wakes up.
    ///
    /// Several notifications before the loop looks count as one. Never blocks; may be called from a
    /// waker.
    pub fn notify(&self) {
        self.shared.notify();
    }

    pub(crate) fn doorbell(&self) -> &Doorbell {
        &self.shared.doorbell
    }

    /// How often the bell was rung, that is: system calls made by notifying threads.
    pub(crate) fn rings(&self) -> u64 {
        // Relaxed: a statistic, ordered with nothing.
        self.shared.rings.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl From<Notifier> for Waker {
    /// A waker whose `wake` is [`Notifier::notify`].
    fn from(notifier: Notifier) -> Waker {
        notifier.shared.into()
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier")
            .field("rings", &self.rings())
            .finish_non_exhaustive()
    }
}

struct Shared {
    doorbell: Doorbell,
    bell: Bell,
    rings: std::sync::atomic::AtomicU64,
}

impl Shared {
    fn notify(&self) {
        if self.doorbell.ring() {
            self.rings
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            self.bell.ring();
        }
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.notify();
    }
}

const AWAKE: u8 = 0;
const SLEEPING: u8 = 1;
const NOTIFIED: u8 = 2;

/// The state machine of the table above, apart from the descriptor, so that it can be
/// model-checked.
pub(crate) struct Doorbell {
    state: AtomicU8,
}

impl Doorbell {
    pub(crate) fn new() -> Doorbell {
        Doorbell {
            state: AtomicU8::new(AWAKE),
        }
    }

    /// A notifying thread calls this; `true` means the loop sleeps and the caller must wake it.
    #[must_use]
    pub(crate) fn ring(&self) -> bool {
        // Release: what this thread published before is seen by the loop after the Acquire in
        // `wake_up`. A ring that finds NOTIFIED is still a read-modify-write, so the
        // release sequence of the earlier ring goes on through it. Acquire is not needed:
        // the ringer reads nothing the loop wrote.
        self.state.swap(NOTIFIED, Ordering::Release) == SLEEPING
    }

    /// The loop calls this before a wait that may sleep; `false` means somebody rang and it must
    /// not.
    #[must_use]
    pub(crate) fn fall_asleep(&self) -> bool {
        // Relaxed: nothing is published or read through this step. That a ring cannot slip between
        // two states follows from the single modification order of the byte; what a ringer
        // published is acquired in `wake_up`, which always follows.
        self.state
            .compare_exchange(AWAKE, SLEEPING, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// The loop calls this after every wait, before it looks at what other threads left for it.
    pub(crate) fn wake_up(&self) {
        // A busy loop passes here all the time and is rarely rung: a load first. Missing a ring
        // that comes just now is fine: it stays in the byte, and the next `fall_asleep` or
        // `wake_up` sees it.
        if self.state.load(Ordering::Relaxed) != AWAKE {
            // Acquire: partner of the Release in `ring`.
            self.state.swap(AWAKE, Ordering::Acquire);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_ring_while_awake_needs_no_bell_and_forbids_the_next_sleep() {
        let doorbell = Doorbell::new();
        assert!(!doorbell.ring());
        assert!(!doorbell.fall_asleep());
        doorbell.wake_up();
        assert!(doorbell.fall_asleep());
    }

    #[test]
    fn only_the_first_ring_of_a_sleep_rings_the_bell() {
        let doorbell = Doorbell::new();
        assert!(doorbell.fall_asleep());
        assert!(doorbell.ring());
        assert!(!doorbell.ring());
        doorbell.wake_up();
        assert!(!doorbell.ring());
    }
}

/// The model: `cargo test` under `--cfg loom` explores every interleaving of a loop and its
/// notifiers. The bell is a flag under a mutex with a condition variable, which like an eventfd
/// remembers a ring that came before the wait.
#[cfg(all(test, loom))]
mod loom_model {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::sync::{Condvar, Mutex};
    use loom::thread;

    struct Model {
        doorbell: Doorbell,
        rung: Mutex<bool>,
        bell: Condvar,
        writes: AtomicUsize,
        messages: AtomicUsize,
    }

    impl Model {
        fn new() -> Arc<Model> {
            Arc::new(Model {
                doorbell: Doorbell::new(),
                rung: Mutex::new(false),
                bell: Condvar::new(),
                writes: AtomicUsize::new(0),
                messages: AtomicUsize::new(0),
            })
        }

        fn notify(&self) {
            if self.doorbell.ring() {
                self.writes.fetch_add(1, Ordering::Relaxed);
                *self.rung.lock().unwrap() = true;
                self.bell.notify_one();
            }
        }

        /// `Reactor::wait(None)`: returns whether it slept.
        fn wait(&self) -> bool {
            let slept = self.doorbell.fall_asleep();
            if slept {
                let mut rung = self.rung.lock().unwrap();
                while !*rung {
                    rung = self.bell.wait(rung).unwrap();
                }
                *rung = false; // edge-triggered: a ring is reported once
            }
            self.doorbell.wake_up();
            slept
        }
    }

    #[test]
    fn loom_every_message_is_seen_without_another_notification() {
        // Three threads around a loop of sleeps: an exhaustive search did not end in minutes, and
        // bugs of this kind need few preemptions, so their number is bounded. The two
        // models below are exhaustive.
        let mut bounded = loom::model::Builder::new();
        bounded.preemption_bound = Some(3);
        bounded.check(|| {
            let model = Model::new();
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let model = model.clone();
                    thread::spawn(move || {
                        // Relaxed on purpose: the doorbell alone must make the message visible.
                        model.messages.fetch_add(1, Ordering::Relaxed);
                        model.notify();
                    })
                })
                .collect();
            // A lost notification would leave the loop asleep for ever, which loom reports as a
            // deadlock.
            let mut sleeps = 0;
            while model.messages.load(Ordering::Relaxed) < 2 {
                sleeps += usize::from(model.wait());
            }
            for thread in threads {
                thread.join().unwrap();
            }
            assert!(model.writes.load(Ordering::Relaxed) <= sleeps);
        });
    }

    #[test]
    fn loom_what_was_written_before_the_notification_is_visible_after_the_wait() {
        loom::model(|| {
            let model = Model::new();
            let value = Arc::new(UnsafeCell::new(0));
            let thread = {
                let (model, value) = (model.clone(), value.clone());
                thread::spawn(move || {
                    // SAFETY: the loop reads the cell only after its wait, which the notification
                    // below ends; loom checks that claim, and fails the test
                    // where the two accesses are not ordered.
                    value.with_mut(|value| unsafe { *value = 7 });
                    model.notify();
                })
            };
            model.wait();
            // SAFETY: as above.
            assert_eq!(value.with(|value| unsafe { *value }), 7);
            thread.join().unwrap();
        });
    }

    #[test]
    fn loom_two_notifiers_and_one_sleep_make_at_most_one_write() {
        loom::model(|| {
            let model = Model::new();
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let model = model.clone();
                    thread::spawn(move || model.notify())
                })
                .collect();
            let slept = model.wait();
            for thread in threads {
                thread.join().unwrap();
            }
            assert!(model.writes.load(Ordering::Relaxed) <= usize::from(slept));
        });
    }
}
