//! Eight threads, a million operations, a third of them given up half way: nothing is lost, nothing comes twice.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asyncio_sync::threadsafe::{
    Barrier, Condition, Mutex, Queue, RwLock, Semaphore, broadcast, oneshot, watch,
};
use futures_lite::future::{block_on, or, poll_once, yield_now};

const THREADS: usize = 8;
/// Per thread, in each of the tests that make up the million.
const OPERATIONS: usize = 25_000;
const TOO_LONG: Duration = Duration::from_secs(120);

/// A different sequence for each seed, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    /// Waits for the future; or gives it up after one poll, or after some: as a cancelled task or a timeout does.
    async fn wait<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        match self.roll(6) {
            0 => poll_once(future).await,
            1 => {
                let patience = self.roll(20);
                let gives_up = async {
                    for _ in 0..patience {
                        yield_now().await;
                    }
                    None
                };
                or(async { Some(future.await) }, gives_up).await
            }
            _ => Some(future.await),
        }
    }
}

/// Runs `work` in all threads and waits for them, but not for ever.
fn in_threads(work: impl AsyncFn(usize, Dice) + Send + Sync + 'static) {
    let (over, told) = mpsc::channel();
    let work = Arc::new(work);
    for number in 0..THREADS {
        let (work, over) = (work.clone(), over.clone());
        thread::spawn(move || {
            let dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
            block_on(work(number, dice));
            over.send(()).unwrap();
        });
    }
    drop(over);
    for ended in 0..THREADS {
        told.recv_timeout(TOO_LONG)
            .unwrap_or_else(|why| panic!("{ended} of {THREADS} threads ended, then: {why}"));
    }
}

#[test]
fn every_item_put_comes_out_once() {
    let queue = Arc::new(Queue::bounded(16));
    let (count, sum) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let producing = Arc::new(AtomicUsize::new(THREADS / 2));
    let seen = (queue.clone(), count.clone(), sum.clone());
    in_threads(async move |number, mut dice| {
        let (queue, count, sum) = &seen;
        if number % 2 == 0 {
            for n in 0..OPERATIONS * 2 {
                let item = number * OPERATIONS * 2 + n;
                // A put that is given up has not put.
                while dice.wait(queue.put(item)).await.is_none() {}
            }
            if producing.fetch_sub(1, Ordering::AcqRel) == 1 {
                queue.shutdown(false);
            }
            return;
        }
        loop {
            match dice.wait(queue.get()).await {
                Some(Ok(item)) => {
                    count.fetch_add(1, Ordering::Relaxed);
                    sum.fetch_add(item, Ordering::Relaxed);
                    queue.task_done().unwrap();
                }
                Some(Err(_)) => return,
                None => {}
            }
        }
    });
    let items = (0..THREADS)
        .step_by(2)
        .flat_map(|number| (0..OPERATIONS * 2).map(move |n| number * OPERATIONS * 2 + n));
    assert_eq!(count.load(Ordering::Relaxed), items.clone().count());
    assert_eq!(sum.load(Ordering::Relaxed), items.sum::<usize>());
    assert!(queue.empty() && queue.task_done().is_err());
}

#[test]
fn units_of_a_semaphore_are_neither_lost_nor_given_twice() {
    let semaphore = Arc::new(Semaphore::new(3));
    let (inside, shared) = (AtomicUsize::new(0), semaphore.clone());
    in_threads(async move |_, mut dice| {
        let mut done = 0;
        while done < OPERATIONS {
            let Some(permit) = dice.wait(shared.acquire()).await else {
                continue;
            };
            assert!(inside.fetch_add(1, Ordering::AcqRel) < 3);
            if dice.roll(8) == 0 {
                thread::yield_now();
            }
            inside.fetch_sub(1, Ordering::AcqRel);
            drop(permit);
            done += 1;
        }
    });
    assert_eq!(semaphore.value(), 3);
    assert!(!semaphore.locked(), "nobody is in line");
}

#[test]
fn a_mutex_counts_every_turn() {
    let count = Arc::new(Mutex::new(0));
    let shared = count.clone();
    in_threads(async move |_, mut dice| {
        let mut done = 0;
        while done < OPERATIONS {
            if let Some(mut count) = dice.wait(shared.lock()).await {
                *count += 1;
                done += 1;
            }
        }
    });
    assert_eq!(*count.try_lock().unwrap(), THREADS * OPERATIONS);
}

#[test]
fn readers_never_see_half_a_write() {
    let pair = Arc::new(RwLock::new((0, 0)));
    let shared = pair.clone();
    in_threads(async move |number, mut dice| {
        let mut done = 0;
        while done < OPERATIONS {
            if number % 4 == 0 {
                if let Some(mut pair) = dice.wait(shared.write()).await {
                    pair.0 += 1;
                    pair.1 -= 1;
                    done += 1;
                }
            } else if let Some(pair) = dice.wait(shared.read()).await {
                assert_eq!(pair.0, -pair.1);
                done += 1;
            }
        }
    });
    assert_eq!(
        pair.try_read().unwrap().0,
        (THREADS / 4 * OPERATIONS) as i64
    );
}

/// A ring of threads: each waits for its number, then makes it the next one's turn.
#[test]
fn notifications_go_round_and_none_gets_lost() {
    const ROUNDS: usize = 200;
    let turn = Arc::new(Mutex::new(0));
    let moved = Arc::new(Condition::with_lock(turn.clone()));
    let shared = turn.clone();
    in_threads(async move |number, mut dice| {
        let mut done = 0;
        while done < ROUNDS {
            let guard = shared.lock().await;
            let mine = moved.wait_for(guard, |turn| *turn % THREADS == number);
            if let Some(mut guard) = dice.wait(mine).await {
                *guard += 1;
                moved.notify_all().unwrap();
                done += 1;
            }
        }
    });
    assert_eq!(*turn.try_lock().unwrap(), THREADS * ROUNDS);
}

#[test]
fn a_barrier_lets_everybody_through_round_after_round() {
    const ROUNDS: usize = 500;
    let barrier = Barrier::new(THREADS).unwrap();
    let arrived = AtomicUsize::new(0);
    in_threads(async move |_, _| {
        for round in 1..=ROUNDS {
            arrived.fetch_add(1, Ordering::AcqRel);
            let index = barrier.wait().await.unwrap();
            assert!(index < THREADS);
            assert!(arrived.load(Ordering::Acquire) >= round * THREADS);
            barrier.wait().await.unwrap();
        }
    });
}

#[test]
fn channels_between_threads_lose_nothing() {
    const VALUES: usize = 2_000;
    let (sender, _keep) = broadcast::channel::<usize>(64);
    let (level, seen) = watch::channel(0);
    let replies = Arc::new(Queue::new());
    in_threads(async move |number, mut dice| {
        if number == 0 {
            while sender.receiver_count() < THREADS {
                thread::yield_now();
            }
            for n in 1..=VALUES {
                sender.send(n).unwrap();
                level.send(n).unwrap();
                let (reply, answer) = oneshot::channel();
                replies.put_nowait((n, reply)).unwrap();
                assert_eq!(answer.await, Ok(n));
            }
            sender.send(0).unwrap();
            replies.shutdown(false);
        } else if number == 1 {
            let _counts_as_one = sender.subscribe();
            while let Ok((n, reply)) = replies.get().await {
                reply.send(n).unwrap();
            }
        } else {
            let (mut news, mut seen, mut last) = (sender.subscribe(), seen.clone(), 0);
            loop {
                match dice.wait(news.recv()).await {
                    Some(Ok(0)) => break,
                    Some(Ok(n)) => {
                        assert_eq!(n, last + 1);
                        last = n;
                    }
                    Some(Err(broadcast::RecvError::Lagged(missed))) => last += missed as usize,
                    Some(Err(broadcast::RecvError::Closed)) => panic!("0 came first"),
                    None => {}
                }
            }
            assert_eq!(last, VALUES);
            assert_eq!(*seen.wait_for(|n| *n == VALUES).await.unwrap(), VALUES);
        }
    });
}
