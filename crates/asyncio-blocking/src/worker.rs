//! A thread of the pool, and the slot it sleeps on.

use std::{
    cell::Cell,
    hint::spin_loop,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    handover::{Handover, Turn},
    sync::{AtomicBool, Sleeper, ThreadBuilder, thread_local},
};

/// Starts a thread that is already counted as arriving when it first takes the pool's lock.
pub(crate) fn start(pool: Arc<Handover>, number: u64) -> io::Result<()> {
    #[cfg(test)]
    if number >= pool.config.system_limit {
        return Err(io::Error::from(io::ErrorKind::WouldBlock));
    }
    let config = &pool.config;
    let mut builder = ThreadBuilder::new().name(format!("{}_{number}", config.name_prefix));
    if let Some(size) = config.stack_size {
        builder = builder.stack_size(size);
    }
    builder.spawn(move || work(&pool)).map(drop)
}

thread_local! {
    /// The address of the pool whose thread this is, for `is_worker_of`.
    static WORKS_FOR: Cell<usize> = Cell::default();
}

/// Whether this thread belongs to the pool, which could then never see it leave.
pub(crate) fn is_worker_of(pool: &Arc<Handover>) -> bool {
    WORKS_FOR.with(Cell::get) == Arc::as_ptr(pool).addr()
}

/// The life of a thread: run what there is, sleep where there is nothing, leave in the end.
fn work(pool: &Arc<Handover>) {
    WORKS_FOR.with(|pool_of_thread| pool_of_thread.set(Arc::as_ptr(pool).addr()));
    let parker = Arc::new(Parker::for_this_thread());
    let mut turn = pool.arrive(&parker);
    loop {
        turn = match turn {
            // The thread is back on the stack, or has its next job, before the result is seen.
            Turn::Run(job) => job.run(&mut || pool.next(&parker)),
            Turn::Rest => {
                if !parker.linger(pool.config.linger) && !parker.sleep(pool.config.keep_alive) {
                    if pool.retire(&parker) {
                        return;
                    }
                    // Somebody took this thread off the stack just now: the wake is on its way,
                    // and left unread it would disturb the next sleep.
                    parker.sleep(Duration::MAX);
                }
                pool.arrive(&parker)
            }
            Turn::Leave => return pool.depart(),
        };
    }
}

/// How long an idle thread stays awake before it sleeps, on a machine of several processors.
///
/// About what it costs to put a thread to sleep and wake it again, so at worst that cost doubles,
/// and at best it is never paid: a lone caller's round trip, measured on two processors, falls
/// from 15 to 40 microseconds to about 6.
pub(crate) const LINGER: Duration = Duration::from_micros(10);

/// Where one thread sleeps until it, and no other, is woken.
pub(crate) struct Parker {
    /// The sleeper's token is not enough: the jobs on this thread may park and unpark it too.
    woken: AtomicBool,
    sleeper: Sleeper,
}

impl Parker {
    pub(crate) fn for_this_thread() -> Self {
        Self {
            woken: AtomicBool::new(false),
            sleeper: Sleeper::for_this_thread(),
        }
    }

    /// Stays awake for a moment, and tells whether a wake came meanwhile.
    ///
    /// To be called on the parker's own thread.
    pub(crate) fn linger(&self, moment: Duration) -> bool {
        if moment.is_zero() {
            return false;
        }
        let begun = Instant::now();
        while begun.elapsed() < moment {
            for _ in 0..16 {
                spin_loop();
                // Looked at first, because a swap would take the cache line from the waker each
                // time. The relaxed load decides nothing: the swap after it has the ordering.
                if self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::Acquire) {
                    return true;
                }
            }
        }
        false
    }

    /// Sleeps until woken, or until the timeout is over; tells whether it was woken.
    ///
    /// To be called on the parker's own thread.
    pub(crate) fn sleep(&self, timeout: Duration) -> bool {
        let begun = Instant::now();
        // Pairs with the release in `wake`, although what the threads tell each other lies
        // under the lock of the pool or of the job.
        while !self.woken.swap(false, Ordering::Acquire) {
            // A sleep without end is one that the clock has no word for.
            let left = match begun.checked_add(timeout) {
                None => None,
                Some(_) => match timeout.checked_sub(begun.elapsed()) {
                    None | Some(Duration::ZERO) => return false,
                    left => left,
                },
            };
            self.sleeper.park(left);
        }
        true
    }

    pub(crate) fn wake(&self) {
        // The release pairs with the acquire in `sleep`. A plain store would do, but loom 0.7
        // lets a later swap overlook it, and `unpark` costs more than the difference.
        self.woken.swap(true, Ordering::Release);
        self.sleeper.unpark();
    }
}

/// Runs code that is not ours, such as a waker or a destructor, where a panic has nobody to go to.
///
/// The panic hook has reported it already; the pool and its thread go on.
pub(crate) fn contain(call: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(call)) {
        // Its destructor might panic in turn; to leak the payload is the lesser evil.
        mem::forget(payload);
    }
}
