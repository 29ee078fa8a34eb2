//! Attempts that start one after the other and race.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_timers::{Sleep, sleep};

/// Starts attempts one after the other and gives the outcome of the first that succeeds, and its number; asyncio:
/// `staggered.staggered_race`, the heart of Happy Eyeballs (RFC 8305).
///
/// The next attempt starts when the one before has failed, or has taken `delay` without succeeding; without a delay only
/// when it has failed. Attempts that were overtaken go on meanwhile. Where two succeed at the same time the earlier one wins.
///
/// The losing attempts are dropped before this returns. All run in the calling task.
///
/// # Cancel safety
/// Dropping the future drops every attempt.
///
/// # Errors
/// When all attempts have failed, their errors in the order of the attempts; none, if there was no attempt.
///
/// # Panics
/// With a delay, outside a running loop.
///
/// ```
/// use std::time::Duration;
/// use asyncio_net::staggered_race;
/// use asyncio_timers::sleep;
///
/// asyncio_runtime::run(async {
///     let servers = [("far", 0.2), ("near", 0.01)];
///     let attempts = servers.map(|(name, seconds)| async move || {
///         sleep(seconds).await;
///         Ok::<_, std::io::Error>(name)
///     });
///     // "far" has a head start of 20 ms, and loses all the same.
///     let delay = Some(Duration::from_millis(20));
///     assert_eq!(staggered_race(attempts, delay).await.unwrap(), ("near", 1));
/// });
/// ```
pub async fn staggered_race<A, F, T, E>(
    attempts: impl IntoIterator<Item = A>,
    delay: Option<Duration>,
) -> Result<(T, usize), Vec<E>>
where
    A: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
{
    let mut race = Race {
        waiting: attempts.into_iter().fuse(),
        delay,
        started: 0,
        running: Vec::new(),
        next: None,
        failures: Vec::new(),
    };
    match poll_fn(|cx| race.poll(cx)).await {
        Some(won) => Ok(won),
        None => {
            let mut failures = race.failures;
            failures.sort_by_key(|(number, _)| *number);
            Err(failures.into_iter().map(|(_, error)| error).collect())
        }
    }
}

struct Race<I, F, E> {
    waiting: I,
    delay: Option<Duration>,
    started: usize,
    /// In the order in which they were started.
    running: Vec<(usize, Pin<Box<F>>)>,
    /// Until the next attempt is due, whatever the last one does.
    next: Option<Sleep>,
    failures: Vec<(usize, E)>,
}

impl<I, A, F, T, E> Race<I, F, E>
where
    I: Iterator<Item = A>,
    A: FnOnce() -> F,
    F: Future<Output = Result<T, E>>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<(T, usize)>> {
        let mut place = 0;
        loop {
            while let Some((number, attempt)) = self.running.get_mut(place) {
                let number = *number;
                match attempt.as_mut().poll(cx) {
                    Poll::Pending => place += 1,
                    Poll::Ready(Ok(won)) => {
                        self.running.clear();
                        return Poll::Ready(Some((won, number)));
                    }
                    Poll::Ready(Err(error)) => {
                        self.failures.push((number, error));
                        self.running.remove(place);
                    }
                }
            }
            if !self.is_due(cx) {
                return Poll::Pending;
            }
            match self.waiting.next() {
                Some(attempt) => {
                    self.running.push((self.started, Box::pin(attempt())));
                    self.started += 1;
                    self.next = self.delay.map(sleep);
                    // Only the new one is polled on the way round.
                }
                None if self.running.is_empty() => return Poll::Ready(None),
                None => {
                    self.next = None;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Whether the last attempt has failed or has taken too long.
    fn is_due(&mut self, cx: &mut Context<'_>) -> bool {
        let last_is_running = self
            .running
            .last()
            .is_some_and(|(number, _)| number + 1 == self.started);
        let overdue = self
            .next
            .as_mut()
            .is_some_and(|next| Pin::new(next).poll(cx).is_ready());
        overdue || !last_is_running
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::task::Waker;

    use super::*;

    type Attempt = Pin<Box<dyn Future<Output = Result<u32, &'static str>>>>;

    fn poll(
        race: Pin<&mut impl Future<Output = Result<(u32, usize), Vec<&'static str>>>>,
    ) -> Poll<Result<(u32, usize), Vec<&'static str>>> {
        race.poll(&mut Context::from_waker(Waker::noop()))
    }

    fn race(attempts: Vec<Attempt>) -> Poll<Result<(u32, usize), Vec<&'static str>>> {
        let attempts = attempts.into_iter().map(|attempt| || attempt);
        poll(std::pin::pin!(staggered_race(attempts, None)))
    }

    #[test]
    fn without_a_delay_the_next_starts_only_when_one_has_failed() {
        let failing = || -> Attempt { Box::pin(ready(Err("no"))) };
        assert_eq!(race(vec![]), Poll::Ready(Err(vec![])));
        assert_eq!(
            race(vec![failing(), failing()]),
            Poll::Ready(Err(vec!["no", "no"]))
        );
        assert_eq!(
            race(vec![failing(), Box::pin(ready(Ok(7)))]),
            Poll::Ready(Ok((7, 1)))
        );
        assert_eq!(
            race(vec![Box::pin(pending()), Box::pin(ready(Ok(7)))]),
            Poll::Pending
        );
    }
}
