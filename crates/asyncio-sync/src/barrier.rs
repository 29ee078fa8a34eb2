//! A place where a fixed number of tasks wait for each other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{BarrierPartiesError, BrokenBarrierError};
use crate::guard::{Family, Guard};
use crate::wait_queue::{Ticket, Turn, WaitQueue, Wakers};

/// A place where a fixed number of tasks wait for each other: `asyncio.Barrier`.
///
/// When all parties have arrived they go through, and the barrier can be used again. Until every party of a round has
/// left, new arrivals wait outside.
///
/// ```
/// use asyncio_sync::Barrier;
/// use futures_lite::future::{block_on, zip};
///
/// let barrier = Barrier::new(2).unwrap();
/// let (first, last) = block_on(zip(barrier.wait(), barrier.wait()));
/// assert_eq!((first, last), (Ok(0), Ok(1)));
/// ```
pub struct Barrier<F: Family> {
    state: F::Guarded<State>,
    parties: usize,
}

/// Waits for the other parties of a [`Barrier`]: see [`Barrier::wait`].
///
/// ```
/// use asyncio_sync::{Barrier, Local, barrier::Wait};
///
/// let barrier = Barrier::new(1).unwrap();
/// let wait: Wait<'_, Local> = barrier.wait();
/// assert_eq!(futures_lite::future::block_on(wait), Ok(0));
/// ```
#[must_use = "a wait does nothing until it is awaited: write `barrier.wait().await`"]
pub struct Wait<'a, F: Family> {
    barrier: &'a Barrier<F>,
    place: Place,
}

struct State {
    phase: Phase,
    /// How many are inside: arrived, and neither gone through nor away.
    count: usize,
    /// Places of this round that were taken and given up again.
    vacant: Vec<usize>,
    inside: WaitQueue,
    /// Arrivals that wait for the last round to leave.
    outside: WaitQueue,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Parties arrive.
    Filling,
    /// All have arrived and are leaving; arrivals wait outside.
    Draining,
    /// It was reset with parties inside: they leave with an error, arrivals wait outside.
    Resetting,
    /// It was aborted: everybody gets an error, until it is reset.
    Broken,
}

#[derive(Clone, Copy)]
enum Place {
    /// Not arrived yet, or outside.
    Outside(Option<Ticket>),
    Inside {
        index: usize,
        ticket: Ticket,
    },
    Gone,
}

impl<F: Family> Barrier<F> {
    /// A barrier for so many parties.
    ///
    /// # Errors
    ///
    /// When `parties` is 0.
    ///
    /// ```
    /// use asyncio_sync::Barrier;
    ///
    /// assert_eq!(Barrier::new(3).unwrap().parties(), 3);
    /// assert!(Barrier::new(0).is_err());
    /// ```
    pub fn new(parties: usize) -> Result<Self, BarrierPartiesError> {
        if parties == 0 {
            return Err(BarrierPartiesError);
        }
        let state = State {
            phase: Phase::Filling,
            count: 0,
            vacant: Vec::new(),
            inside: WaitQueue::new(),
            outside: WaitQueue::new(),
        };
        Ok(Barrier {
            state: F::Guarded::new(state),
            parties,
        })
    }

    /// Waits until all parties have arrived. Gives each a number of its own, in order of arrival: the last to arrive gets
    /// `parties - 1` and does not suspend.
    ///
    /// # Errors
    ///
    /// When the barrier is reset while it waits, or is aborted.
    ///
    /// # Cancel safety
    ///
    /// Dropping it gives up its place, nothing else: one more party has to arrive, and the barrier is not broken.
    ///
    /// ```
    /// let barrier = asyncio_sync::Barrier::new(1).unwrap();
    /// assert_eq!(futures_lite::future::block_on(barrier.wait()), Ok(0));
    /// ```
    pub fn wait(&self) -> Wait<'_, F> {
        Wait {
            barrier: self,
            place: Place::Outside(None),
        }
    }

    /// Back to the beginning: whoever is inside gets an error and arrivals begin a new round when they have left. Also
    /// makes an aborted barrier usable again.
    ///
    /// ```
    /// let barrier = asyncio_sync::Barrier::new(2).unwrap();
    /// barrier.abort();
    /// barrier.reset();
    /// assert!(!barrier.broken());
    /// ```
    pub fn reset(&self) {
        self.turn_to(Phase::Resetting);
    }

    /// Breaks the barrier: whoever waits, and whoever arrives until the next [`reset`](Self::reset), gets an error.
    ///
    /// ```
    /// let barrier = asyncio_sync::Barrier::new(2).unwrap();
    /// barrier.abort();
    /// assert!(futures_lite::future::block_on(barrier.wait()).is_err());
    /// ```
    pub fn abort(&self) {
        self.turn_to(Phase::Broken);
    }

    /// How many have to arrive.
    ///
    /// ```
    /// assert_eq!(asyncio_sync::Barrier::new(3).unwrap().parties(), 3);
    /// ```
    pub fn parties(&self) -> usize {
        self.parties
    }

    /// How many wait for the others to arrive; 0 while a round leaves.
    ///
    /// ```
    /// assert_eq!(asyncio_sync::Barrier::new(3).unwrap().n_waiting(), 0);
    /// ```
    pub fn n_waiting(&self) -> usize {
        self.state.with(|state| match state.phase {
            Phase::Filling => state.count,
            Phase::Draining | Phase::Resetting | Phase::Broken => 0,
        })
    }

    /// Whether it was aborted and not reset since.
    ///
    /// ```
    /// assert!(!asyncio_sync::Barrier::new(3).unwrap().broken());
    /// ```
    pub fn broken(&self) -> bool {
        self.state.with(|state| state.phase == Phase::Broken)
    }

    fn turn_to(&self, phase: Phase) {
        let (inside, outside) = self.state.with(|state| {
            state.phase = match phase {
                Phase::Resetting if state.count == 0 => Phase::Filling,
                phase => phase,
            };
            (state.inside.notify_all(), state.outside.notify_all())
        });
        inside.wake();
        outside.wake();
    }
}

impl State {
    /// One more inside; its number.
    fn enter(&mut self) -> usize {
        let at = (0..self.vacant.len()).min_by_key(|at| self.vacant[*at]);
        // The smallest number nobody has, so that they are distinct, and the last to arrive gets the highest.
        let index = match at {
            Some(at) => self.vacant.swap_remove(at),
            None => self.count,
        };
        self.count += 1;
        index
    }

    /// One less inside; the last one of a round opens the barrier for the next.
    fn exit(&mut self) -> Wakers {
        self.count -= 1;
        if self.count > 0 {
            return Wakers::new();
        }
        self.vacant.clear();
        if let Phase::Draining | Phase::Resetting = self.phase {
            self.phase = Phase::Filling;
        }
        self.outside.notify_all()
    }
}

impl<F: Family> Future for Wait<'_, F> {
    type Output = Result<usize, BrokenBarrierError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Wait { barrier, place } = self.get_mut();
        let (poll, _replaced, wakers) = barrier.state.with(|state| match place {
            Place::Outside(ticket) => {
                if ticket.is_some()
                    && let Turn::Waiting { replaced } = state.outside.poll(ticket, cx.waker())
                {
                    return (Poll::Pending, replaced, None);
                }
                match state.phase {
                    Phase::Draining | Phase::Resetting => {
                        *ticket = Some(state.outside.push(cx.waker().clone()));
                        (Poll::Pending, None, None)
                    }
                    Phase::Broken => {
                        *place = Place::Gone;
                        (Poll::Ready(Err(BrokenBarrierError)), None, None)
                    }
                    Phase::Filling => {
                        let index = state.enter();
                        if state.count < barrier.parties {
                            let ticket = state.inside.push(cx.waker().clone());
                            *place = Place::Inside { index, ticket };
                            return (Poll::Pending, None, None);
                        }
                        *place = Place::Gone;
                        state.phase = Phase::Draining;
                        let through = state.inside.notify_all();
                        let wakers = Some((through, state.exit()));
                        (Poll::Ready(Ok(index)), None, wakers)
                    }
                }
            }
            Place::Inside { index, ticket } => {
                let (index, ticket) = (*index, &mut Some(*ticket));
                if let Turn::Waiting { replaced } = state.inside.poll(ticket, cx.waker()) {
                    return (Poll::Pending, replaced, None);
                }
                *place = Place::Gone;
                let outcome = match state.phase {
                    Phase::Draining => Ok(index),
                    Phase::Resetting | Phase::Broken => Err(BrokenBarrierError),
                    Phase::Filling => unreachable!("a round begins when all of the last have left"),
                };
                let wakers = Some((Wakers::new(), state.exit()));
                (Poll::Ready(outcome), None, wakers)
            }
            Place::Gone => {
                panic!("`Wait` was polled again after it was ready: call `wait()` for each round")
            }
        });
        if let Some((through, next)) = wakers {
            through.wake();
            next.wake();
        }
        poll
    }
}

impl<F: Family> Drop for Wait<'_, F> {
    fn drop(&mut self) {
        let state = &self.barrier.state;
        match self.place {
            Place::Outside(None) | Place::Gone => {}
            // A notification need not be passed on: everybody outside was told.
            Place::Outside(Some(ticket)) => {
                drop(state.with(|state| state.outside.leave(ticket)));
            }
            Place::Inside { index, ticket } => {
                let (left, next) = state.with(|state| {
                    state.vacant.push(index);
                    (state.inside.leave(ticket), state.exit())
                });
                drop(left);
                next.wake();
            }
        }
    }
}

impl<F: Family> fmt::Debug for Barrier<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (phase, count) = self.state.with(|state| {
            let phase = match state.phase {
                Phase::Filling => "filling",
                Phase::Draining => "draining",
                Phase::Resetting => "resetting",
                Phase::Broken => "broken",
            };
            (phase, state.count)
        });
        f.debug_struct("Barrier")
            .field("parties", &self.parties)
            .field("phase", &phase)
            .field("count", &count)
            .finish()
    }
}

impl<F: Family> fmt::Debug for Wait<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inside = matches!(self.place, Place::Inside { .. });
        f.debug_struct("Wait").field("inside", &inside).finish()
    }
}
