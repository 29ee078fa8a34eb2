//! Making a task with options.

use std::future::Future;
use std::panic::Location;

use crate::context::Context;
use crate::current::with_current;
use crate::task::{Launch, Task, launch};

/// How an executor starts tasks whose builder does not say; asyncio: the task factory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TaskFactory {
    /// The first step is queued (S35).
    #[default]
    Lazy,
    /// The first step runs within the call that makes the task (S237); asyncio: `eager_task_factory`.
    Eager,
}

/// Options of a task; asyncio: the keyword arguments of `create_task`.
///
/// # Examples
///
/// ```
/// use asyncio_executor::{Executor, TaskBuilder};
///
/// Executor::new().run(async {
///     let task = TaskBuilder::new().name("cached").eager_start(true).spawn(async { 42 });
///     assert!(task.done()); // it did not have to wait for anything (S238)
///     assert_eq!(task.await.unwrap(), 42);
/// }).unwrap();
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until `spawn` is called"]
pub struct TaskBuilder {
    name: Option<Box<str>>,
    context: Option<Context>,
    eager: Option<bool>,
    location: Option<&'static Location<'static>>,
}

impl TaskBuilder {
    /// No options yet: [`spawn`](TaskBuilder::spawn) is then what [`crate::spawn`] is.
    pub fn new() -> TaskBuilder {
        TaskBuilder::default()
    }

    /// Its name.
    pub fn name(mut self, name: &str) -> TaskBuilder {
        self.name = Some(name.into());
        self
    }

    /// The context it runs in: this one itself, not a copy. Tasks that share one see each other's changes (S246).
    pub fn context(mut self, context: &Context) -> TaskBuilder {
        self.context = Some(context.clone());
        self
    }

    /// Whether the first step runs within [`spawn`](TaskBuilder::spawn) (S237), whatever the executor's factory is
    /// (S242). Where the executor does not run, it is queued all the same.
    ///
    /// A task that ends in that step never enters the ready queue. Bodies then interleave with their creators: nothing
    /// says any more that a task starts only when its creator waits.
    pub fn eager_start(mut self, eager: bool) -> TaskBuilder {
        self.eager = Some(eager);
        self
    }

    /// The spawn place that reports name, where it is not the caller of [`spawn`](TaskBuilder::spawn): for a function
    /// that makes tasks on behalf of others.
    pub fn spawned_at(mut self, place: &'static Location<'static>) -> TaskBuilder {
        self.location = Some(place);
        self
    }

    /// Makes the task, on the current executor.
    ///
    /// # Panics
    ///
    /// Where no executor is entered on this thread.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let location = self.location.unwrap_or(Location::caller());
        let how = Launch {
            name: self.name,
            context: self.context,
            eager: self.eager,
        };
        with_current("TaskBuilder::spawn", |local| {
            launch(local, future, location, how)
        })
    }
}
