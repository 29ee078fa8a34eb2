//! What an executor is doing at this moment, for other threads to see.

use std::fmt;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::debug::Subject;
use crate::task::TaskInfo;

/// Where an executor says what it runs, so that another thread can tell of a step that does not end; for
/// [`Executor::set_pulse`](crate::Executor::set_pulse).
///
/// ```
/// use std::sync::Arc;
/// use asyncio_executor::{Activity, Executor, Pulse, current_task};
///
/// let executor = Executor::new();
/// let pulse = Arc::new(Pulse::new());
/// executor.set_pulse(Some(pulse.clone()));
/// executor.run(async move {
///     let me = current_task().unwrap();
///     let (activity, _since) = pulse.activity();
///     assert!(matches!(activity, Activity::Task(info) if info.id == me.id()));
/// }).unwrap();
/// ```
pub struct Pulse {
    beat: Mutex<Beat>,
}

/// Made anew with each entry of the ready queue: no text is copied unless a task has a name of its own.
struct Beat {
    now: Now,
    since: Instant,
}

enum Now {
    Nothing,
    Task {
        id: u64,
        name: Option<Box<str>>,
        spawned_at: &'static Location<'static>,
        parent: Option<u64>,
    },
    Callback(&'static Location<'static>),
    Waker,
}

/// What an executor does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Activity {
    /// It runs nothing: it sleeps, or its owner does something else.
    Nothing,
    /// A step of this task.
    Task(TaskInfo),
    /// A callback scheduled at this place.
    Callback(&'static Location<'static>),
    /// Somebody's waker.
    Waker,
}

impl Pulse {
    /// One of an executor that runs nothing.
    pub fn new() -> Pulse {
        Pulse {
            beat: Mutex::new(Beat {
                now: Now::Nothing,
                since: Instant::now(),
            }),
        }
    }

    /// What the executor does, and since when.
    pub fn activity(&self) -> (Activity, Instant) {
        let beat = self.lock();
        let activity = match &beat.now {
            Now::Nothing => Activity::Nothing,
            Now::Task {
                id,
                name,
                spawned_at,
                parent,
            } => Activity::Task(TaskInfo {
                id: *id,
                name: match name {
                    Some(name) => name.to_string(),
                    None => TaskInfo::default_name(*id),
                },
                spawned_at,
                parent: *parent,
            }),
            Now::Callback(place) => Activity::Callback(place),
            Now::Waker => Activity::Waker,
        };
        (activity, beat.since)
    }

    pub(crate) fn begins(&self, subject: &Subject) {
        let now = match subject {
            Subject::Task(meta, _) => {
                // SAFETY: the waker beside it keeps it alive, and this is its loop's thread.
                let meta = unsafe { meta.as_ref() };
                Now::Task {
                    id: meta.id(),
                    name: meta.given_name(),
                    spawned_at: meta.location(),
                    parent: meta.parent(),
                }
            }
            Subject::Call(call) => Now::Callback(call.location()),
            Subject::Wake => Now::Waker,
        };
        self.beats(now);
    }

    pub(crate) fn rests(&self) {
        self.beats(Now::Nothing);
    }

    fn beats(&self, now: Now) {
        let since = Instant::now();
        *self.lock() = Beat { now, since };
    }

    fn lock(&self) -> MutexGuard<'_, Beat> {
        // Nothing panics while it is held.
        self.beat.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Pulse {
    fn default() -> Pulse {
        Pulse::new()
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pulse").field(&self.activity().0).finish()
    }
}
