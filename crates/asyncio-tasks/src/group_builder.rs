//! Options of one child of a group.

use std::fmt;
use std::future::Future;

use asyncio_executor::{Context, TaskBuilder};

use crate::exception_group::ExceptionGroup;
use crate::group::TaskGroup;
use crate::group_task::{ChildOutput, Fallible, GroupTask, Nested, Plain};

/// Options of a child of a group; asyncio: the keyword arguments of `TaskGroup.create_task`. From
/// [`TaskGroup::builder`].
///
/// # Examples
///
/// ```
/// use asyncio_tasks::TaskGroup;
///
/// asyncio_runtime::run(async {
///     let length = TaskGroup::<String>::scope(async |group| {
///         let child = group.builder().name("reader").eager_start(true).create_task(async { Ok("text") });
///         assert!(child.done()); // it did not have to wait for anything (S238)
///         assert_eq!(child.get_name(), "reader");
///         Ok(child.await.len())
///     });
///     assert_eq!(length.await.unwrap(), 4);
/// });
/// ```
#[must_use = "a builder does nothing until a child is made with it"]
pub struct GroupTaskBuilder<'a, E: 'static> {
    group: &'a TaskGroup<E>,
    task: TaskBuilder,
}

impl<'a, E: 'static> GroupTaskBuilder<'a, E> {
    pub(crate) fn new(group: &'a TaskGroup<E>) -> GroupTaskBuilder<'a, E> {
        GroupTaskBuilder {
            group,
            task: TaskBuilder::new(),
        }
    }

    fn with(self, change: impl FnOnce(TaskBuilder) -> TaskBuilder) -> GroupTaskBuilder<'a, E> {
        GroupTaskBuilder {
            group: self.group,
            task: change(self.task),
        }
    }

    /// Its name.
    pub fn name(self, name: &str) -> GroupTaskBuilder<'a, E> {
        self.with(|task| task.name(name))
    }

    /// The context it runs in: this one itself, not a copy (S246).
    pub fn context(self, context: &Context) -> GroupTaskBuilder<'a, E> {
        self.with(|task| task.context(context))
    }

    /// Whether its first step runs within the call that makes it (S237), whatever the loop's factory is (S242).
    pub fn eager_start(self, eager: bool) -> GroupTaskBuilder<'a, E> {
        self.with(|task| task.eager_start(eager))
    }

    /// Makes a child as [`TaskGroup::create_task`] does.
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    #[track_caller]
    pub fn create_task<F>(self, future: F) -> GroupTask<<F::Output as ChildOutput<E>>::Value>
    where
        F: Future + 'static,
        F::Output: ChildOutput<E>,
    {
        self.group.add_with::<F, Fallible>(self.task, future)
    }

    /// Makes a child as [`TaskGroup::spawn`] does.
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> GroupTask<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.group.add_with::<F, Plain>(self.task, future)
    }

    /// Makes a child as [`TaskGroup::spawn_group`] does.
    ///
    /// # Panics
    ///
    /// Outside of a running loop.
    #[track_caller]
    pub fn spawn_group<F, T>(self, future: F) -> GroupTask<T>
    where
        F: Future<Output = Result<T, ExceptionGroup<E>>> + 'static,
        T: 'static,
    {
        self.group.add_with::<F, Nested>(self.task, future)
    }
}

impl<E: 'static> fmt::Debug for GroupTaskBuilder<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupTaskBuilder")
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}
