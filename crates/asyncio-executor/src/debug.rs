//! Debug mode: which step or callback kept everything else waiting. And the pulse, which says so while it does.

use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use crate::callback::Call;
use crate::exception::ExceptionContext;
use crate::local::Local;
use crate::meta::Meta;
use crate::pulse::Pulse;
use crate::task::TaskInfo;

/// How an executor in debug mode finds what is slow; for [`Executor::set_debug`](crate::Executor::set_debug).
#[derive(Clone)]
pub struct Debug {
    threshold: Duration,
    clock: Rc<dyn Fn() -> Duration>,
}

impl Debug {
    /// Reports every step and callback that takes at least `threshold` by `clock`: the time since whenever.
    pub fn new(threshold: Duration, clock: impl Fn() -> Duration + 'static) -> Debug {
        Debug {
            threshold,
            clock: Rc::new(clock),
        }
    }
}

impl fmt::Debug for Debug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Debug")
            .field("threshold", &self.threshold)
            .finish_non_exhaustive()
    }
}

/// An entry of the ready queue, known by name also after it ran.
pub(crate) enum Subject {
    /// The waker keeps the metadata alive.
    Task(NonNull<Meta>, #[expect(dead_code)] Waker),
    Call(Rc<dyn Call>),
    Wake,
}

impl Local {
    /// [`Local::run`] with a look at the clock around each entry (S234), and a word before it to those who watch.
    #[cold]
    pub(crate) fn run_watched(
        &self,
        limit: usize,
        debug: Option<&Debug>,
        pulse: Option<&Pulse>,
    ) -> usize {
        /// Also when the run unwinds.
        struct Rest<'a>(Option<&'a Pulse>);
        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                if let Some(pulse) = self.0 {
                    pulse.rests();
                }
            }
        }
        let _rest = Rest(pulse);
        let mut ran = 0;
        let mut before = debug.map(|debug| (debug.clock)());
        while ran < limit {
            let Some(subject) = self.next_subject() else {
                break;
            };
            if let Some(pulse) = pulse {
                pulse.begins(&subject);
            }
            ran += self.run(1);
            if let (Some(debug), Some(before)) = (debug, &mut before) {
                let after = (debug.clock)();
                let took = after.saturating_sub(*before);
                *before = after;
                if took >= debug.threshold {
                    self.report_slow(&subject, took);
                }
            }
        }
        ran
    }

    fn report_slow(&self, subject: &Subject, took: Duration) {
        let (what, task, scheduled_at) = match subject {
            Subject::Task(meta, _) => {
                // SAFETY: the waker beside it keeps it alive, and this is its loop's thread.
                let info = TaskInfo::of(unsafe { meta.as_ref() });
                (info.name.clone(), Some(info), None)
            }
            Subject::Call(call) => ("a callback".to_owned(), None, Some(call.location())),
            Subject::Wake => ("a waker".to_owned(), None, None),
        };
        self.report(ExceptionContext {
            task,
            scheduled_at,
            ..ExceptionContext::new(format!(
                "executing {what} took {:.3} seconds: nothing else could run meanwhile",
                took.as_secs_f64()
            ))
        });
    }
}
