//! Reports of what nobody else can hear of: panics in callbacks, outcomes nobody looked at.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use crate::task::TaskInfo;

/// What an executor calls with each report; asyncio: the loop's exception handler.
pub type ExceptionHandler = Rc<dyn Fn(&ExceptionContext)>;

/// One report; asyncio: the context dictionary of an exception handler (S182).
#[derive(Debug)]
#[non_exhaustive]
pub struct ExceptionContext {
    /// What happened, in words.
    pub message: String,
    /// The text of the panic or error, if there was one.
    pub exception: Option<String>,
    /// The task concerned.
    pub task: Option<TaskInfo>,
    /// Where the callback concerned was scheduled.
    pub scheduled_at: Option<&'static Location<'static>>,
    /// Where the thing concerned was made; known in debug mode (S236).
    pub created_at: Option<&'static Location<'static>>,
}

impl ExceptionContext {
    /// A report in words.
    pub fn new(message: impl Into<String>) -> ExceptionContext {
        ExceptionContext {
            message: message.into(),
            exception: None,
            task: None,
            scheduled_at: None,
            created_at: None,
        }
    }

    /// A report about an error value.
    pub fn error(message: impl Into<String>, error: &dyn Error) -> ExceptionContext {
        ExceptionContext {
            exception: Some(error.to_string()),
            ..ExceptionContext::new(message)
        }
    }

    /// A report about a panic, given its payload.
    pub fn panic(
        message: impl Into<String>,
        payload: Box<dyn Any + Send>,
        scheduled_at: Option<&'static Location<'static>>,
        task: Option<TaskInfo>,
    ) -> ExceptionContext {
        let exception = Some(panic_text(&*payload).to_owned());
        // A payload's own destructor may panic; a report must not.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(payload)));
        ExceptionContext {
            message: message.into(),
            exception,
            task,
            scheduled_at,
            created_at: None,
        }
    }

    /// The default handler: the report on standard error (S183).
    pub fn print(&self) {
        eprintln!("{self}");
    }
}

impl fmt::Display for ExceptionContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asyncio: {}", self.message)?;
        if let Some(exception) = &self.exception {
            write!(f, "\n  exception: {exception}")?;
        }
        if let Some(place) = self.scheduled_at {
            write!(f, "\n  scheduled at: {place}")?;
        }
        if let Some(place) = self.created_at {
            write!(f, "\n  created at: {place}")?;
        }
        if let Some(task) = &self.task {
            write!(f, "\n  task: {task}")?;
        }
        Ok(())
    }
}

/// The text of a panic payload.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a panic whose payload is not text"
    }
}
