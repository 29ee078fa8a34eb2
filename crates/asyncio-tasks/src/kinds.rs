//! Labels that tell the kinds of arguments of [`gather`](crate::gather), [`shield`](crate::shield()) and
//! [`wait_for`](crate::wait_for) apart.
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

/// [`wait_for`](crate::wait_for) a future, which does nothing before it is polled.
#[derive(Debug)]
pub struct Unstarted;

/// [`wait_for`](crate::wait_for) a handle of something that runs by itself.
#[derive(Debug)]
pub struct Handle;
