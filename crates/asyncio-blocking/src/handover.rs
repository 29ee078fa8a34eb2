//! How a job finds a thread: the state that submitters and threads share.
//!
//! # Vocabulary
//!
//! A thread of the pool is at any time in exactly one of these conditions:
//!
//! - **running** a job;
//! - **idle**: its parker lies on the stack, and it sleeps or is about to;
//! - **arriving**: it was started, or taken off the stack and woken, and has not looked at the
//!   queue since.
//!
//! # Protocol
//!
//! A submitter puts its job in the queue. If more jobs wait than threads arrive it takes the top
//! parker off the stack and wakes that thread, or, with an empty stack, starts a thread. A thread
//! that arrives or has run a job takes the first job of the queue, or lays its parker on the
//! stack. All of this happens under one lock; only the wake itself comes after it.
//!
//! # Why no job is left lying
//!
//! Two things hold whenever the lock is free. *A thread is idle only if the queue is empty, or
//! as many threads arrive as jobs wait*: a thread goes idle only when it found the queue empty,
//! and each job pushed later either is covered by a thread already arriving or makes one arrive.
//! *If the pool is at its maximum and nobody is idle or arriving, every thread is running* and
//! will look at the queue before it sleeps. A thread whose keep-alive is over leaves the stack and
//! the count of threads in one step, so a submitter either finds it on the stack or knows it gone.

use std::{
    mem,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use crate::{
    error::JobError,
    job::Run,
    queue::{Queue, Ticket},
    sync::{Condvar, Mutex, MutexGuard, lock},
    worker::{self, Parker},
};

/// What a pool was built with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name_prefix: String,
    pub(crate) max_threads: usize,
    pub(crate) keep_alive: Duration,
    /// How long an idle thread stays awake before it sleeps.
    pub(crate) linger: Duration,
    pub(crate) stack_size: Option<usize>,
    /// How many threads the pretended system starts before it refuses.
    #[cfg(test)]
    pub(crate) system_limit: u64,
}

/// What the handles, the jobs and the threads of one pool have in common.
pub(crate) struct Handover {
    pub(crate) config: Config,
    state: Mutex<State>,
    /// Notified when the pool is closed and its last thread has left.
    all_left: Condvar,
}

#[derive(Default)]
struct State {
    queue: Queue,
    /// The most recently idle thread is the last.
    idle: Vec<Arc<Parker>>,
    arriving: usize,
    running: usize,
    /// All threads, in whichever condition.
    threads: usize,
    /// How many threads were ever started, for their names.
    started: u64,
    closed: bool,
    /// Those who await the end of a closed pool.
    waiting_for_end: Vec<(u64, Waker)>,
    next_waiter: u64,
}

impl State {
    /// Nothing runs and nothing ever will.
    fn ended(&self) -> bool {
        self.closed && self.threads == 0
    }
}

/// What a thread does next.
pub(crate) enum Turn {
    /// Run this job.
    Run(Arc<dyn Run>),
    /// Sleep: the thread's parker lies on the stack.
    Rest,
    /// The pool is closed and its queue empty: depart.
    Leave,
}

/// The numbers behind [`Stats`](crate::Stats).
pub(crate) struct Counts {
    pub(crate) threads: usize,
    pub(crate) idle: usize,
    pub(crate) queued: usize,
    pub(crate) running: usize,
}

/// The submitter's side.
impl Handover {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            state: Mutex::new(State::default()),
            all_left: Condvar::new(),
        }
    }

    /// Queues a job and sees to it that a thread comes for it.
    ///
    /// A refused job's last reference is the caller's, so its closure is dropped by the caller.
    pub(crate) fn push(self: &Arc<Self>, job: Arc<dyn Run>) -> Result<Ticket, JobError> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(JobError::ShutDown);
        }
        let ticket = state.queue.push(job);
        if state.queue.len() <= state.arriving {
            // A thread already on its way will take this job, or leave it to one that is faster.
            return Ok(ticket);
        }
        if let Some(parker) = state.idle.pop() {
            state.arriving += 1;
            drop(state);
            parker.wake();
        } else if state.threads < self.config.max_threads {
            // Started under the lock, although that takes a while: were the lock free meanwhile,
            // others would count on a thread that may turn out not to exist.
            match worker::start(Arc::clone(self), state.started) {
                Ok(()) => {
                    state.started += 1;
                    state.threads += 1;
                    state.arriving += 1;
                }
                Err(error) if state.threads == 0 => {
                    state.queue.remove(ticket);
                    return Err(JobError::NoThread(error));
                }
                // One of the threads there are will come for it.
                Err(_) => {}
            }
        }
        Ok(ticket)
    }

    /// Takes a cancelled job out of the queue, if no thread was faster. Once for a ticket.
    pub(crate) fn remove(&self, ticket: Ticket) {
        let removed = lock(&self.state).queue.remove(ticket);
        drop(removed);
    }

    /// Takes all jobs out of the queue.
    pub(crate) fn drain(&self) -> Vec<Arc<dyn Run>> {
        lock(&self.state).queue.drain()
    }

    pub(crate) fn counts(&self) -> Counts {
        let state = lock(&self.state);
        Counts {
            threads: state.threads,
            idle: state.idle.len(),
            queued: state.queue.len(),
            running: state.running,
        }
    }
}

/// The thread's side.
impl Handover {
    /// A thread that was started or woken looks at the queue.
    pub(crate) fn arrive(&self, parker: &Arc<Parker>) -> Turn {
        let mut state = lock(&self.state);
        state.arriving -= 1;
        Self::take_or_rest(&mut state, parker)
    }

    /// A thread that has run its job looks at the queue, before it delivers the result.
    pub(crate) fn next(&self, parker: &Arc<Parker>) -> Turn {
        let mut state = lock(&self.state);
        state.running -= 1;
        Self::take_or_rest(&mut state, parker)
    }

    fn take_or_rest(state: &mut State, parker: &Arc<Parker>) -> Turn {
        if let Some(job) = state.queue.pop() {
            state.running += 1;
            Turn::Run(job)
        } else if state.closed {
            Turn::Leave
        } else {
            state.idle.push(Arc::clone(parker));
            Turn::Rest
        }
    }

    /// A thread whose keep-alive is over departs; `false` if it was just taken off the stack
    /// and must arrive instead.
    pub(crate) fn retire(&self, parker: &Arc<Parker>) -> bool {
        let mut state = lock(&self.state);
        let Some(index) = state.idle.iter().position(|idle| Arc::ptr_eq(idle, parker)) else {
            return false;
        };
        state.idle.remove(index);
        self.depart_locked(state);
        true
    }

    /// A thread leaves for good.
    pub(crate) fn depart(&self) {
        self.depart_locked(lock(&self.state));
    }

    fn depart_locked(&self, mut state: MutexGuard<'_, State>) {
        state.threads -= 1;
        self.announce_end(state);
    }
}

/// Closing, and waiting for the end.
impl Handover {
    /// Refuses jobs from now on and lets the threads leave when the queue is empty.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        state.closed = true;
        let resting = mem::take(&mut state.idle);
        state.arriving += resting.len();
        self.announce_end(state);
        for parker in resting {
            parker.wake();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    /// If this was the end, tells everybody who waits for it.
    fn announce_end(&self, mut state: MutexGuard<'_, State>) {
        if !state.ended() {
            return;
        }
        let wakers = mem::take(&mut state.waiting_for_end);
        drop(state);
        self.all_left.notify_all();
        for (_, waker) in wakers {
            worker::contain(|| waker.wake());
        }
    }

    /// Whether the pool has ended; if not, `waker` is woken when it has.
    ///
    /// `key` is the waiter's entry, made by its first call.
    pub(crate) fn poll_end(&self, key: &mut Option<u64>, waker: &Waker) -> bool {
        // Cloned before the lock is taken and dropped after: a waker's code is not ours.
        let waker = waker.clone();
        let mut state = lock(&self.state);
        if state.ended() {
            return true;
        }
        let entry = match *key {
            Some(key) => state
                .waiting_for_end
                .iter_mut()
                .find(|(other, _)| *other == key),
            None => None,
        };
        let replaced = match entry {
            Some((_, old)) => Some(mem::replace(old, waker)),
            None => {
                let new = state.next_waiter;
                state.next_waiter += 1;
                state.waiting_for_end.push((new, waker));
                *key = Some(new);
                None
            }
        };
        drop(state);
        drop(replaced);
        false
    }

    /// Forgets a waiter that gave up.
    pub(crate) fn forget_waiter(&self, key: u64) {
        let mut state = lock(&self.state);
        let waiters = &mut state.waiting_for_end;
        let index = waiters.iter().position(|(other, _)| *other == key);
        let removed = index.map(|index| waiters.swap_remove(index));
        drop(state);
        drop(removed);
    }

    /// Blocks until the pool has ended, or the deadline is over; tells which.
    pub(crate) fn wait_for_end(&self, deadline: Option<Instant>) -> bool {
        let mut state = lock(&self.state);
        while !state.ended() {
            state = match deadline {
                None => self
                    .all_left
                    .wait(state)
                    .unwrap_or_else(|poisoned| poisoned.into_inner()),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    self.all_left
                        .wait_timeout(state, left)
                        .unwrap_or_else(|poisoned| poisoned.into_inner())
                        .0
                }
            };
        }
        true
    }
}
