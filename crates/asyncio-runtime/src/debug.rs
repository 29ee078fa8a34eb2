//! The switch of debug mode, and what counts as slow.

use std::cell::Cell;
use std::env;
use std::time::Duration;

use asyncio_executor::Debug;

use crate::event_loop::Inner;

/// asyncio's `slow_callback_duration` (S234).
const SLOW: Duration = Duration::from_millis(100);

/// What a loop remembers of it; the executor has the rest.
pub(crate) struct SlowCallbacks {
    duration: Cell<Duration>,
}

impl Default for SlowCallbacks {
    fn default() -> SlowCallbacks {
        SlowCallbacks {
            duration: Cell::new(SLOW),
        }
    }
}

/// What the environment says: `ASYNCIO_DEBUG` is set, and neither empty nor `0` (S233).
pub(crate) fn wanted_by_environment() -> bool {
    env::var_os("ASYNCIO_DEBUG").is_some_and(|value| !value.is_empty() && value != "0")
}

impl Inner {
    pub(crate) fn set_debug(&self, on: bool) {
        // By the loop's clock, as everything: on virtual time nothing is slow that does not move it.
        let debug = on.then(|| {
            let timers = self.timers.clone();
            let origin = timers.now();
            Debug::new(self.slow.duration.get(), move || {
                timers.now().saturating_duration_since(origin)
            })
        });
        self.executor.set_debug(debug);
    }

    pub(crate) fn slow_callback_duration(&self) -> Duration {
        self.slow.duration.get()
    }

    pub(crate) fn set_slow_callback_duration(&self, duration: Duration) {
        self.slow.duration.set(duration);
        if self.executor.is_debug() {
            self.set_debug(true);
        }
    }
}
