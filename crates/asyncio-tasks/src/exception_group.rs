//! The errors of a group, together.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::{slice, vec};

use asyncio_executor::PanicPayload;

/// The failures of a task group, in the order in which they were noticed, the body's last; asyncio: `ExceptionGroup`.
///
/// Never empty. A lone failure is wrapped all the same (S121). Prints as a tree. A member may itself be a group: a child
/// or a body that ran a group of its own and failed with it.
///
/// The errors have one type `E`. Where they differ take `Box<dyn Error>`: every error converts into it with `?`, and a
/// group of boxed errors that was boxed on its way is a nested group again here.
///
/// # Examples
///
/// ```
/// use std::error::Error;
/// use asyncio_tasks::{ExceptionGroup, GroupError, TaskGroup};
///
/// type Boxed = Box<dyn Error>;
///
/// asyncio_runtime::run(async {
///     let failed = TaskGroup::<Boxed>::scope(async |outer| {
///         outer.create_task(async { Ok::<i32, Boxed>("12x".parse::<i32>()?) });
///         TaskGroup::<Boxed>::scope(async |inner| {
///             inner.create_task(async { Err::<(), Boxed>("disk full".into()) });
///             Ok(())
///         })
///         .await?;
///         Ok(())
///     })
///     .await
///     .unwrap_err();
///     assert_eq!(
///         failed.to_string(),
///         "2 failures in a task group\n\
///          ├── invalid digit found in string\n\
///          └── 1 failure in a task group\n\
///          \u{20}   └── disk full"
///     );
///
///     // `except* ParseIntError`: by kind, nesting kept.
///     let is_parse = |leaf: &GroupError<Boxed>| {
///         matches!(leaf, GroupError::Error(error) if error.is::<std::num::ParseIntError>())
///     };
///     let (parse, other) = failed.split(is_parse);
///     assert_eq!(parse.unwrap().leaves().count(), 1);
///     assert!(matches!(other.unwrap().errors(), [GroupError::Group(_)]));
/// });
/// ```
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
    /// A group inside this one failed.
    Group(ExceptionGroup<E>),
    /// [`TaskGroup::cancel`](crate::TaskGroup::cancel) ended the body before it had a value. Alone in its group.
    Cancelled,
}

impl<E> ExceptionGroup<E> {
    pub(crate) fn new(errors: Vec<GroupError<E>>) -> ExceptionGroup<E> {
        debug_assert!(!errors.is_empty());
        ExceptionGroup { errors }
    }

    /// A group of these errors; `None` if there are none.
    ///
    /// ```
    /// use asyncio_tasks::ExceptionGroup;
    ///
    /// let group = ExceptionGroup::from_errors(["first", "second"]).unwrap();
    /// assert_eq!(group.errors().len(), 2);
    /// assert!(ExceptionGroup::<&str>::from_errors([]).is_none());
    /// ```
    pub fn from_errors(errors: impl IntoIterator<Item = E>) -> Option<ExceptionGroup<E>> {
        ExceptionGroup::from_members(errors.into_iter().map(GroupError::Error))
    }

    /// The same of members, which may be groups themselves.
    pub fn from_members(
        members: impl IntoIterator<Item = GroupError<E>>,
    ) -> Option<ExceptionGroup<E>> {
        let errors: Vec<_> = members.into_iter().collect();
        (!errors.is_empty()).then_some(ExceptionGroup { errors })
    }

    /// The members: errors, and groups as they are.
    pub fn errors(&self) -> &[GroupError<E>] {
        &self.errors
    }

    /// The members by value.
    pub fn into_errors(self) -> Vec<GroupError<E>> {
        self.errors
    }

    /// Every failure that is not itself a group, at any depth, in the order in which they print.
    ///
    /// ```
    /// use asyncio_tasks::{ExceptionGroup, GroupError};
    ///
    /// let inner = ExceptionGroup::from_errors([1, 2]).unwrap();
    /// let outer = ExceptionGroup::from_members([inner.into(), GroupError::Error(3)]).unwrap();
    /// let numbers: Vec<_> = outer.leaves().filter_map(GroupError::error).copied().collect();
    /// assert_eq!(numbers, [1, 2, 3]);
    /// ```
    pub fn leaves(&self) -> Leaves<'_, E> {
        Leaves {
            open: vec![self.errors.iter()],
        }
    }

    /// The same by value.
    pub fn into_leaves(self) -> IntoLeaves<E> {
        IntoLeaves {
            open: vec![self.errors.into_iter()],
        }
    }

    /// Those failures that match, and those that do not (`except*`); nested groups keep their place on both sides. A
    /// side, or a nested group, with nothing in it is left out.
    ///
    /// The question is asked of leaves only.
    pub fn split(
        self,
        mut matches: impl FnMut(&GroupError<E>) -> bool,
    ) -> (Option<ExceptionGroup<E>>, Option<ExceptionGroup<E>>) {
        self.split_by(&mut matches)
    }

    fn split_by(
        self,
        matches: &mut dyn FnMut(&GroupError<E>) -> bool,
    ) -> (Option<ExceptionGroup<E>>, Option<ExceptionGroup<E>>) {
        let (mut yes, mut no) = (Vec::new(), Vec::new());
        for error in self.errors {
            match error {
                GroupError::Group(group) => {
                    let (matching, rest) = group.split_by(matches);
                    yes.extend(matching.map(GroupError::Group));
                    no.extend(rest.map(GroupError::Group));
                }
                leaf if matches(&leaf) => yes.push(leaf),
                leaf => no.push(leaf),
            }
        }
        let group = |errors: Vec<_>| (!errors.is_empty()).then_some(ExceptionGroup { errors });
        (group(yes), group(no))
    }

    /// The same group with other errors: `group.map(Box::<dyn Error>::from)`, `group.map(MyError::from)`.
    pub fn map<F>(self, mut convert: impl FnMut(E) -> F) -> ExceptionGroup<F> {
        self.map_by(&mut convert)
    }

    fn map_by<F>(self, convert: &mut dyn FnMut(E) -> F) -> ExceptionGroup<F> {
        let member = |error| match error {
            GroupError::Error(error) => GroupError::Error(convert(error)),
            GroupError::Panicked(panic) => GroupError::Panicked(panic),
            GroupError::Group(group) => GroupError::Group(group.map_by(convert)),
            GroupError::Cancelled => GroupError::Cancelled,
        };
        ExceptionGroup {
            errors: self.errors.into_iter().map(member).collect(),
        }
    }

    /// Whether nothing failed and [`TaskGroup::cancel`](crate::TaskGroup::cancel) ended the body.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.errors[..], [GroupError::Cancelled])
    }
}

impl<E> GroupError<E> {
    /// The error, if it is one.
    pub fn error(&self) -> Option<&E> {
        match self {
            GroupError::Error(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: 'static> GroupError<E> {
    /// A member for what a child or a body returned: a boxed group of boxed errors is a group again.
    pub(crate) fn of(error: E) -> GroupError<E> {
        type Local = Box<dyn Error>;
        type Shared = Box<dyn Error + Send + Sync>;
        let mut error = Some(error);
        let group = unbox::<E, Local>(&mut error, <dyn Error>::downcast)
            .or_else(|| unbox::<E, Shared>(&mut error, <dyn Error + Send + Sync>::downcast));
        match (group, error) {
            (Some(group), _) => GroupError::Group(group),
            (None, Some(error)) => GroupError::Error(error),
            (None, None) => unreachable!("the error is taken out for a group only"),
        }
    }
}

/// Takes the error out if its type `E` is the box `B` and a group of such boxes is in it.
fn unbox<E: 'static, B: 'static>(
    error: &mut Option<E>,
    open: impl FnOnce(B) -> Result<Box<ExceptionGroup<B>>, B>,
) -> Option<ExceptionGroup<E>> {
    let error: &mut dyn Any = error;
    let boxed = error.downcast_mut::<Option<B>>()?;
    match open(boxed.take()?) {
        Ok(group) => {
            let group: Box<dyn Any> = group;
            group.downcast().ok().map(|group| *group)
        }
        Err(other) => {
            *boxed = Some(other);
            None
        }
    }
}

impl<E> From<E> for GroupError<E> {
    fn from(error: E) -> GroupError<E> {
        GroupError::Error(error)
    }
}

impl<E> From<ExceptionGroup<E>> for GroupError<E> {
    fn from(group: ExceptionGroup<E>) -> GroupError<E> {
        GroupError::Group(group)
    }
}

impl<E> From<E> for ExceptionGroup<E> {
    fn from(error: E) -> ExceptionGroup<E> {
        ExceptionGroup {
            errors: vec![GroupError::Error(error)],
        }
    }
}

impl<E> IntoIterator for ExceptionGroup<E> {
    type Item = GroupError<E>;
    type IntoIter = vec::IntoIter<GroupError<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a ExceptionGroup<E> {
    type Item = &'a GroupError<E>;
    type IntoIter = slice::Iter<'a, GroupError<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.iter()
    }
}

/// Iterator of [`ExceptionGroup::leaves`].
#[derive(Debug)]
pub struct Leaves<'a, E> {
    /// The groups that were gone into, outermost first.
    open: Vec<slice::Iter<'a, GroupError<E>>>,
}

impl<'a, E> Iterator for Leaves<'a, E> {
    type Item = &'a GroupError<E>;

    fn next(&mut self) -> Option<&'a GroupError<E>> {
        loop {
            match self.open.last_mut()?.next() {
                Some(GroupError::Group(group)) => self.open.push(group.errors.iter()),
                Some(leaf) => return Some(leaf),
                None => {
                    self.open.pop();
                }
            }
        }
    }
}

/// Iterator of [`ExceptionGroup::into_leaves`].
#[derive(Debug)]
pub struct IntoLeaves<E> {
    open: Vec<vec::IntoIter<GroupError<E>>>,
}

impl<E> Iterator for IntoLeaves<E> {
    type Item = GroupError<E>;

    fn next(&mut self) -> Option<GroupError<E>> {
        loop {
            match self.open.last_mut()?.next() {
                Some(GroupError::Group(group)) => self.open.push(group.errors.into_iter()),
                Some(leaf) => return Some(leaf),
                None => {
                    self.open.pop();
                }
            }
        }
    }
}

impl<E: fmt::Display> fmt::Display for GroupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GroupError::Error(error) => error.fmt(f),
            GroupError::Panicked(panic) => write!(f, "panicked: {}", panic.message()),
            GroupError::Group(group) => group.fmt(f),
            GroupError::Cancelled => f.write_str("cancelled by `TaskGroup::cancel`"),
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
            GroupError::Group(inner),
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

    fn tree() -> ExceptionGroup<i32> {
        let innermost = ExceptionGroup::from_errors([2, 3]).unwrap();
        let inner = ExceptionGroup::new(vec![GroupError::Group(innermost), GroupError::Error(4)]);
        ExceptionGroup::new(vec![
            GroupError::Error(1),
            GroupError::Group(inner),
            GroupError::Error(5),
        ])
    }

    #[test]
    fn leaves_come_in_the_order_in_which_they_print() {
        let by_reference: Vec<_> = tree()
            .leaves()
            .filter_map(GroupError::error)
            .copied()
            .collect();
        assert_eq!(by_reference, [1, 2, 3, 4, 5]);
        assert_eq!(tree().into_leaves().count(), 5);
    }

    #[test]
    fn split_keeps_nesting_on_both_sides() {
        let (odd, even) = tree().split(|leaf| leaf.error().is_some_and(|n| n % 2 == 1));
        assert_eq!(
            format!("{:?}", odd.unwrap()),
            "ExceptionGroup([Error(1), Group(ExceptionGroup([Group(ExceptionGroup([Error(3)]))])), Error(5)])"
        );
        assert_eq!(
            format!("{:?}", even.unwrap()),
            "ExceptionGroup([Group(ExceptionGroup([Group(ExceptionGroup([Error(2)])), Error(4)]))])"
        );
    }

    #[test]
    fn a_boxed_group_is_a_group_again() {
        type Boxed = Box<dyn Error + Send + Sync>;
        let inner: Boxed = ExceptionGroup::<Boxed>::from(Boxed::from("inner")).into();
        assert!(matches!(GroupError::of(inner), GroupError::Group(_)));
        assert!(matches!(
            GroupError::of(Boxed::from("plain")),
            GroupError::Error(_)
        ));

        let inner: Box<dyn Error> =
            ExceptionGroup::<Box<dyn Error>>::from(<Box<dyn Error>>::from("inner")).into();
        assert!(matches!(GroupError::of(inner), GroupError::Group(_)));
        assert!(matches!(GroupError::of(7), GroupError::Error(7)));
    }

    #[test]
    fn map_changes_the_errors_and_keeps_the_shape() {
        let texts = tree().map(|n| n.to_string());
        assert_eq!(texts.to_string(), tree().to_string());
    }
}
