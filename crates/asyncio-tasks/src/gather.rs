//! Several at once, results in order.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_executor::{CancelledError, ForwardScope, IntoTask, Task};

use crate::kinds;
use crate::settle::{Child, Children, Settling, take_value};

/// Runs several awaitables at once and gives their outputs in order; asyncio: `gather(…, return_exceptions=True)`.
///
/// Takes a tuple (outputs of different types) or anything that iterates (outputs in a `Vec`). Each future becomes a
/// task at the call, not at the await (S68, S78); tasks are taken as they are. A `Result` is an output like any other:
/// nothing ends early. [`try_gather`] ends at the first error. A [`Future`](crate::Future) is taken, too; being a handle it
/// may be given twice, as clones, and gives its result in both places. A task or future has one owner, so that question of
/// S69 does not arise for them.
///
/// A task that panicked panics here, after all have ended. One that was cancelled by somebody else raises that
/// cancellation here.
///
/// # Cancel safety
///
/// A request goes to every task that has not ended, in order; this waits for all of them and then raises (S74, S76).
/// *Dropping* the gathering lets the tasks run on by themselves.
///
/// # Panics
///
/// Outside of a running loop.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::gather;
///
/// asyncio_runtime::run(async {
///     let (number, text) = gather((async { 1 }, async { "two" })).await;
///     assert_eq!((number, text), (1, "two"));
///
///     let squares = gather((0..4).map(|n| async move { n * n })).await;
///     assert_eq!(squares, [0, 1, 4, 9]);
/// });
/// ```
#[track_caller]
pub fn gather<Kind, G: Gather<Kind>>(awaitables: G) -> Gathering<Kind, G> {
    Gathering {
        scope: ForwardScope::new(),
        settling: Settling::new(awaitables.into_tasks(), false),
        over: false,
    }
}

/// Runs several awaitables of `Result`s at once; gives all values in order, or the first error as soon as it happens;
/// asyncio: `gather(…)`.
///
/// After an error the other tasks run on untouched (S71). A task that is cancelled by somebody else raises that
/// cancellation here at once (S73).
///
/// # Cancel safety
///
/// A request goes to every task that has not ended; as soon as one of them has ended cancelled, this raises (S75). If
/// one fails in its cleanup before, its error is the result.
/// *Dropping* the gathering lets the tasks run on by themselves.
///
/// # Panics
///
/// Outside of a running loop; and when one of the tasks panicked, with its panic.
///
/// # Examples
///
/// ```
/// use asyncio_tasks::try_gather;
///
/// asyncio_runtime::run(async {
///     let both = try_gather((async { Ok::<_, String>(1) }, async { Ok("two") })).await;
///     assert_eq!(both, Ok((1, "two")));
///
///     let failed = try_gather([1, 0, 2].map(|n| async move { 10u32.checked_div(n).ok_or("division by zero") })).await;
///     assert_eq!(failed, Err("division by zero"));
/// });
/// ```
#[track_caller]
pub fn try_gather<Kind, G: TryGather<Kind>>(awaitables: G) -> TryGathering<Kind, G> {
    TryGathering {
        scope: ForwardScope::new(),
        settling: Settling::new(awaitables.into_tasks(), true),
        values: G::Values::default(),
        over: false,
    }
}

/// What [`gather`] takes: a tuple of awaitables of any types, or anything that iterates over awaitables of one type.
///
/// `Kind` only tells the two apart. Not meant to be implemented elsewhere.
#[allow(private_bounds)]
pub trait Gather<Kind> {
    /// The tasks.
    #[doc(hidden)]
    type Tasks: Children;
    /// All outputs, in order.
    type Outputs;

    /// Spawns what is not a task yet, in order.
    #[doc(hidden)]
    #[track_caller]
    fn into_tasks(self) -> Self::Tasks;

    /// The outputs of tasks that have all ended; a cancellation among them wins over them.
    #[doc(hidden)]
    fn outputs(tasks: &mut Self::Tasks) -> Result<Self::Outputs, CancelledError>;
}

/// What [`try_gather`] takes: the same, of `Result`s with one error type.
#[allow(private_bounds)]
pub trait TryGather<Kind>: Gather<Kind> {
    /// The values as they come in.
    #[doc(hidden)]
    type Values: Default;
    /// All values, in order.
    type Output;
    /// The error.
    type Error;

    /// Takes the value of the task in one place, which has ended.
    #[doc(hidden)]
    fn take(
        tasks: &mut Self::Tasks,
        place: usize,
        values: &mut Self::Values,
    ) -> Result<(), Early<Self::Error>>;

    /// All values; every task has ended well.
    #[doc(hidden)]
    fn finish(values: Self::Values) -> Self::Output;
}

/// Why a [`try_gather`] is over early.
#[doc(hidden)]
#[derive(Debug)]
pub enum Early<E> {
    Error(E),
    Cancelled(CancelledError),
}

/// Future of [`gather`].
#[must_use = "the tasks run, but nobody waits for them; await it"]
pub struct Gathering<Kind, G: Gather<Kind>> {
    scope: ForwardScope,
    settling: Rc<Settling<G::Tasks>>,
    over: bool,
}

impl<Kind, G: Gather<Kind>> Future for Gathering<Kind, G> {
    type Output = G::Outputs;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<G::Outputs> {
        let this = &mut *self;
        if this.over {
            return Poll::Pending;
        }
        if let Some(request) = this.scope.take_request() {
            this.over = true;
            return request.raise_in_poll();
        }
        if !this.settling.all_ended() {
            suspend(&mut this.scope, &this.settling, cx);
            return Poll::Pending;
        }
        this.over = true;
        if let Some(request) = this.scope.finish() {
            // S76: once asked, it ends cancelled, also when every task swallowed the request.
            return request.raise_in_poll();
        }
        match G::outputs(&mut this.settling.children.borrow_mut()) {
            Ok(outputs) => Poll::Ready(outputs),
            Err(cancelled) => cancelled.raise_in_poll(),
        }
    }
}

impl<Kind, G: Gather<Kind>> fmt::Debug for Gathering<Kind, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathering")
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

/// Future of [`try_gather`].
#[must_use = "the tasks run, but nobody waits for them; await it"]
pub struct TryGathering<Kind, G: TryGather<Kind>> {
    scope: ForwardScope,
    settling: Rc<Settling<G::Tasks>>,
    values: G::Values,
    over: bool,
}

// Nothing in it is pinned: the tasks are on the heap, and values are only moved in and out.
impl<Kind, G: TryGather<Kind>> Unpin for TryGathering<Kind, G> {}

impl<Kind, G: TryGather<Kind>> TryGathering<Kind, G> {
    fn take_what_ended(&mut self) -> Result<(), Early<G::Error>> {
        for place in self.settling.newly_ended() {
            G::take(
                &mut self.settling.children.borrow_mut(),
                place,
                &mut self.values,
            )?;
        }
        Ok(())
    }
}

impl<Kind, G: TryGather<Kind>> Future for TryGathering<Kind, G> {
    type Output = Result<G::Output, G::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.over {
            return Poll::Pending;
        }
        if let Some(request) = this.scope.take_request() {
            this.over = true;
            return request.raise_in_poll();
        }
        let looked = this.take_what_ended();
        if looked.is_ok() && !this.settling.all_ended() {
            suspend(&mut this.scope, &this.settling, cx);
            return Poll::Pending;
        }
        this.over = true;
        let request = this.scope.finish();
        match (looked, request) {
            // Asked or not, the first task that failed or was cancelled decides (S75).
            (Err(Early::Error(error)), _) => Poll::Ready(Err(error)),
            // S76: once asked, it ends cancelled, also when every task swallowed the request.
            (_, Some(request)) => request.raise_in_poll(),
            (Err(Early::Cancelled(cancelled)), None) => cancelled.raise_in_poll(),
            (Ok(()), None) => Poll::Ready(Ok(G::finish(std::mem::take(&mut this.values)))),
        }
    }
}

impl<Kind, G: TryGather<Kind>> fmt::Debug for TryGathering<Kind, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryGathering")
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

fn suspend<C: Children>(scope: &mut ForwardScope, settling: &Rc<Settling<C>>, cx: &Context<'_>) {
    settling.wait(cx);
    scope.suspend(cx, || settling.clone());
}

// --- anything that iterates ---

impl<I> Gather<kinds::Iterator> for I
where
    I: IntoIterator,
    I::Item: IntoTask,
    <I::Item as IntoTask>::Output: 'static,
{
    type Tasks = Vec<Option<Task<<I::Item as IntoTask>::Output>>>;
    type Outputs = Vec<<I::Item as IntoTask>::Output>;

    #[track_caller]
    fn into_tasks(self) -> Self::Tasks {
        let items = self.into_iter();
        let mut tasks = Vec::with_capacity(items.size_hint().0);
        // A loop and not `map`: in a closure the place of the call would be lost.
        for item in items {
            tasks.push(Some(item.into_task()));
        }
        tasks
    }

    fn outputs(tasks: &mut Self::Tasks) -> Result<Self::Outputs, CancelledError> {
        tasks.iter_mut().map(take_value).collect()
    }
}

impl<T: 'static> Children for Vec<Option<Task<T>>> {
    fn each(&self, f: &mut dyn FnMut(usize, &dyn Child)) {
        for (place, task) in self.iter().enumerate() {
            if let Some(task) = task {
                f(place, task);
            }
        }
    }
}

impl<I, T, E> TryGather<kinds::Iterator> for I
where
    I: IntoIterator,
    I::Item: IntoTask<Output = Result<T, E>>,
    T: 'static,
    E: 'static,
{
    type Values = Vec<Option<T>>;
    type Output = Vec<T>;
    type Error = E;

    fn take(
        tasks: &mut Self::Tasks,
        place: usize,
        values: &mut Self::Values,
    ) -> Result<(), Early<E>> {
        if values.len() < tasks.len() {
            values.resize_with(tasks.len(), || None);
        }
        values[place] = Some(take_result(&mut tasks[place])?);
        Ok(())
    }

    fn finish(values: Self::Values) -> Vec<T> {
        values.into_iter().flatten().collect()
    }
}

fn take_result<T, E>(place: &mut Option<Task<Result<T, E>>>) -> Result<T, Early<E>> {
    match take_value(place) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Early::Error(error)),
        Err(cancelled) => Err(Early::Cancelled(cancelled)),
    }
}

// --- tuples ---

macro_rules! tuples {
    ($($name:ident $value:ident $place:tt),+) => {
        impl<$($name),+> Gather<kinds::Tuple> for ($($name,)+)
        where
            $($name: IntoTask, $name::Output: 'static,)+
        {
            type Tasks = ($(Option<Task<$name::Output>>,)+);
            type Outputs = ($($name::Output,)+);

            #[track_caller]
            fn into_tasks(self) -> Self::Tasks {
                ($(Some(self.$place.into_task()),)+)
            }

            fn outputs(tasks: &mut Self::Tasks) -> Result<Self::Outputs, CancelledError> {
                Ok(($(take_value(&mut tasks.$place)?,)+))
            }
        }

        impl<$($name: 'static),+> Children for ($(Option<Task<$name>>,)+) {
            fn each(&self, f: &mut dyn FnMut(usize, &dyn Child)) {
                $(if let Some(task) = &self.$place {
                    f($place, task);
                })+
            }
        }

        impl<$($name, $value,)+ Error> TryGather<kinds::Tuple> for ($($name,)+)
        where
            $($name: IntoTask<Output = Result<$value, Error>>, $value: 'static,)+
            Error: 'static,
        {
            type Values = ($(Option<$value>,)+);
            type Output = ($($value,)+);
            type Error = Error;

            fn take(
                tasks: &mut Self::Tasks,
                place: usize,
                values: &mut Self::Values,
            ) -> Result<(), Early<Error>> {
                match place {
                    $($place => values.$place = Some(take_result(&mut tasks.$place)?),)+
                    _ => unreachable!("a tuple has no such place"),
                }
                Ok(())
            }

            fn finish(values: Self::Values) -> Self::Output {
                match ($(values.$place,)+) {
                    ($(Some($value),)+) => ($($value,)+),
                    _ => unreachable!("finished before every value was there"),
                }
            }
        }
    };
}

#[allow(non_snake_case)]
mod implementations {
    use super::*;

    tuples!(A VA 0);
    tuples!(A VA 0, B VB 1);
    tuples!(A VA 0, B VB 1, C VC 2);
    tuples!(A VA 0, B VB 1, C VC 2, D VD 3);
    tuples!(A VA 0, B VB 1, C VC 2, D VD 3, E VE 4);
    tuples!(A VA 0, B VB 1, C VC 2, D VD 3, E VE 4, F VF 5);
    tuples!(A VA 0, B VB 1, C VC 2, D VD 3, E VE 4, F VF 5, G VG 6);
    tuples!(A VA 0, B VB 1, C VC 2, D VD 3, E VE 4, F VF 5, G VG 6, H VH 7);
}
