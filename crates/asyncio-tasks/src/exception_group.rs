//! The errors of a group, together.

use std::error::Error;
use std::fmt;

use asyncio_executor::PanicPayload;

/// The failures of a task group, in the order in which they were noticed, the body's last; asyncio: `ExceptionGroup`.
///
/// Never empty. A lone failure is wrapped all the same (S121). Prints as a tree.
pub struct ExceptionGroup<E> {
    errors: Vec<GroupError<E>>,
}

/// One failure in an [`ExceptionGroup`].
#[derive(Debug)]
pub enum GroupError<E> {
    /// An `Err` that a child or the body returned.
    Error(E),
    /// A child panicked.
    Panicked(PanicPayload),
}

impl<E> ExceptionGroup<E> {
    pub(crate) fn new(errors: Vec<GroupError<E>>) -> ExceptionGroup<E> {
        ExceptionGroup { errors }
    }

    /// The failures.
    pub fn errors(&self) -> &[GroupError<E>] {
        &self.errors
    }

    /// The failures by value.
    pub fn into_errors(self) -> Vec<GroupError<E>> {
        self.errors
    }

    /// Those that match, and those that do not (`except*`). A side with nothing in it is `None`.
    pub fn split(
        self,
        matches: impl FnMut(&GroupError<E>) -> bool,
    ) -> (Option<ExceptionGroup<E>>, Option<ExceptionGroup<E>>) {
        let (yes, no): (Vec<_>, Vec<_>) = self.errors.into_iter().partition(matches);
        let group = |errors: Vec<_>| (!errors.is_empty()).then_some(ExceptionGroup { errors });
        (group(yes), group(no))
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupError::Error(error) => error.fmt(f),
            GroupError::Panicked(panic) => write!(f, "panicked: {}", panic.message()),
        }
    }
}

impl<E: fmt::Display> fmt::Display for ExceptionGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.errors.len();
        let plural = if count == 1 { "" } else { "s" };
        write!(f, "{count} failure{plural} in a task group")?;
        for (at, error) in self.errors.iter().enumerate() {
            let last = at + 1 == count;
            let (branch, rest) = if last {
                ("└── ", "    ")
            } else {
                ("├── ", "│   ")
            };
            // A nested group prints several lines: all but the first are moved under its branch.
            let text = error.to_string();
            let mut lines = text.lines();
            write!(f, "\n{branch}{}", lines.next().unwrap_or_default())?;
            for line in lines {
                write!(f, "\n{rest}{line}")?;
            }
        }
        Ok(())
    }
}

impl<E: fmt::Debug> fmt::Debug for ExceptionGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExceptionGroup").field(&self.errors).finish()
    }
}

impl<E: fmt::Display + fmt::Debug> Error for ExceptionGroup<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_group_prints_as_a_tree() {
        let inner = ExceptionGroup::new(vec![
            GroupError::Error("disk full".to_owned()),
            GroupError::Panicked(PanicPayload::new(Box::new("oops"))),
        ]);
        let outer = ExceptionGroup::new(vec![
            GroupError::Error(inner.to_string()),
            GroupError::Error("gone".to_owned()),
        ]);
        assert_eq!(
            outer.to_string(),
            "2 failures in a task group\n\
             ├── 2 failures in a task group\n\
             │   ├── disk full\n\
             │   └── panicked: oops\n\
             └── gone"
        );
    }

    #[test]
    fn split_keeps_the_order_and_has_no_empty_side() {
        let group = ExceptionGroup::new((1..=4).map(GroupError::Error).collect());
        let (even, odd) = group.split(|error| matches!(error, GroupError::Error(n) if n % 2 == 0));
        assert_eq!(even.unwrap().to_string().lines().count(), 3);
        let (none, all) = odd.unwrap().split(|_| false);
        assert!(none.is_none());
        assert_eq!(all.unwrap().errors().len(), 2);
    }
}
