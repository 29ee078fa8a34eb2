//! One turn of the loop: the only place where executor, timers and reactor meet.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use asyncio_timers::LoopTime;

use crate::event_loop::Inner;

/// A busy loop looks at the kernel after this many polls. Not after so many turns: two tasks that play ping-pong make a
/// turn of every poll, and a look costs as much as several of them.
const POLLS_BETWEEN_LOOKS: usize = 61;
/// A deadline closer than this is checked in every turn, so that near timers fire in the turn they are due (S13).
const NEAR: Duration = Duration::from_millis(1);
/// The longest sleep (S4).
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// What a loop remembers from turn to turn.
pub(crate) struct Pace {
    polls_since_look: Cell<usize>,
    /// Deadlines up to here are near: `NEAR` after the clock was last read.
    near: Cell<LoopTime>,
}

impl Pace {
    pub(crate) fn new(now: LoopTime) -> Pace {
        Pace {
            polls_since_look: Cell::new(0),
            near: Cell::new(now + NEAR),
        }
    }
}

impl Inner {
    /// One turn: wait or look, take in what became ready, run exactly that (S2, S3).
    ///
    /// Sleeps at most `max_wait`, and not at all if something is ready or a stop is pending. Returns how many steps
    /// and callbacks ran.
    #[inline]
    pub(crate) fn turn(&self, max_wait: Option<Duration>) -> io::Result<usize> {
        let pace = &self.pace;
        // 1. Remote wakes. One relaxed load when there are none.
        self.executor.take_foreign();
        let idle = self.executor.ready_len() == 0 && !self.stopping.get();
        let look = idle || pace.polls_since_look.get() >= POLLS_BETWEEN_LOOKS;
        if look {
            // 2. Nothing to do: sleep until an event, a notification or the earliest deadline. Busy: look at the kernel
            //    now and then, so that work cannot starve I/O.
            if idle {
                self.sleep(max_wait)?;
            } else {
                self.reactor.wait(Some(Duration::ZERO))?;
            }
            pace.polls_since_look.set(0);
            // The wait used up the notification behind what came meanwhile.
            self.executor.take_foreign();
        }
        // 3. Expired timers, after what was queued and after I/O (S3).
        if let Some(deadline) = self.timers.next_deadline()
            && (look || deadline <= pace.near.get() || self.clock_is_virtual)
        {
            self.fire_timers(deadline);
        }
        // 4. Exactly what is ready now; what that makes ready waits for the next turn (S2). Writes gathered
        //    meanwhile are flushed at its end.
        let ran = self.executor.run_ready();
        pace.polls_since_look.set(pace.polls_since_look.get() + ran);
        Ok(ran)
    }

    #[inline(never)]
    fn fire_timers(&self, earliest: LoopTime) {
        let now = self.read_clock();
        if earliest <= now {
            // S19: the timer has its place in this turn, and the task it wakes goes on in the next one.
            self.timers
                .fire_with(now, |waker| self.executor.wake_soon(waker));
        }
    }

    fn read_clock(&self) -> LoopTime {
        let now = self.timers.now();
        self.pace.near.set(now + NEAR);
        now
    }

    #[inline(never)]
    fn sleep(&self, max_wait: Option<Duration>) -> io::Result<()> {
        let deadline = self.timers.next_deadline();
        if self.clock_is_virtual {
            return self.sleep_on_virtual_time(deadline, max_wait);
        }
        let until_deadline = deadline.map(|deadline| {
            let now = self.read_clock();
            deadline.saturating_duration_since(now)
        });
        let wait = [until_deadline, max_wait].into_iter().flatten().min();
        self.reactor.wait(wait.map(|wait| wait.min(LONGEST_WAIT)))?;
        Ok(())
    }

    /// Virtual time passes only while nothing else can happen: no event, no notification, no job in the pool.
    fn sleep_on_virtual_time(
        &self,
        deadline: Option<LoopTime>,
        max_wait: Option<Duration>,
    ) -> io::Result<()> {
        if self.reactor.wait(Some(Duration::ZERO))? > 0 || self.executor.foreign_announced() {
            return Ok(());
        }
        // A callback of the reactor may have queued something without an event of its own.
        if self.executor.ready_len() > 0 {
            return Ok(());
        }
        let clock = self.timers.clock();
        match deadline {
            Some(deadline) if deadline <= clock.now() => {}
            Some(deadline) if clock.jumps_when_idle() && !self.pool_is_busy() => {
                clock.advance_to(deadline);
            }
            _ => {
                self.reactor.wait(max_wait)?;
            }
        }
        Ok(())
    }

    fn pool_is_busy(&self) -> bool {
        let stats = self.pool.borrow().stats();
        stats.running + stats.queued > 0
    }
}
