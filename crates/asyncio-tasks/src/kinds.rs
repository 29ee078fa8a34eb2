//! Labels that tell the kinds of arguments of [`gather`](crate::gather) and [`shield`](crate::shield) apart.
//!
//! The compiler infers them; nobody writes them.

/// [`gather`](crate::gather) over anything that iterates.
#[derive(Debug)]
pub struct Iterator;

/// [`gather`](crate::gather) over a tuple.
#[derive(Debug)]
pub struct Tuple;

/// [`shield`](crate::shield) of a task or future by value.
#[derive(Debug)]
pub struct Owned;

/// [`shield`](crate::shield) of a task by reference.
#[derive(Debug)]
pub struct Borrowed;
