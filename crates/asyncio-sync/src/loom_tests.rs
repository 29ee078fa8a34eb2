//! What holds in every order in which threads may meet: no wake-up is lost, no unit, no item.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::sync::{Condvar, Mutex};
use loom::thread;

use crate::threadsafe::{
    Barrier, Condition, Event, Future as Promise, Lock, Mutex as AsyncMutex, OnceCell, Queue,
    RwLock, Semaphore, broadcast, oneshot, watch,
};

/// Explores with at most three forced switches, which finds what there is to find and ends soon.
fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(5);
    builder.check(f);
}

/// A thread that waits for one future. A lost wake-up is a deadlock, which loom reports.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let parker = Arc::new(Parker::default());
    let waker = Waker::from(parker.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        let mut woken = parker.woken.lock().unwrap();
        while !*woken {
            woken = parker.told.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// Polls once and drops the future, ready or not.
fn try_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let waker = Waker::from(Arc::new(Parker::default()));
    match pin!(future).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[derive(Default)]
struct Parker {
    woken: Mutex<bool>,
    told: Condvar,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        *self.woken.lock().unwrap() = true;
        self.told.notify_one();
    }
}

/// Adds 1 in two steps: loses one if two do it at the same time, or if one does not see what the last one wrote.
fn add_one(count: &AtomicUsize) {
    count.store(count.load(Relaxed) + 1, Relaxed);
}

fn in_threads<const N: usize>(jobs: [Box<dyn FnOnce() + Send>; N]) {
    let threads = jobs.map(thread::spawn);
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn loom_a_lock_lets_in_one_at_a_time_and_everybody_in_the_end() {
    model(|| {
        let shared = Arc::new((Lock::new(), AtomicUsize::new(0)));
        let job = || -> Box<dyn FnOnce() + Send> {
            let shared = shared.clone();
            Box::new(move || {
                let (lock, count) = &*shared;
                let _guard = block_on(lock.acquire());
                add_one(count);
            })
        };
        in_threads([job(), job()]);
        let last = job();
        last();
        let (lock, count) = &*shared;
        assert_eq!((count.load(Relaxed), lock.locked()), (3, false));
    });
}

#[test]
fn loom_a_lock_waiter_that_goes_away_takes_no_turn_with_it() {
    model(|| {
        let shared = Arc::new((Lock::new(), AtomicUsize::new(0)));
        let (gone, stays) = (shared.clone(), shared.clone());
        let guard = shared.0.try_acquire().unwrap();
        let goes = thread::spawn(move || {
            let (lock, count) = &*gone;
            if let Some(_guard) = try_once(lock.acquire()) {
                add_one(count);
            }
        });
        let waits = thread::spawn(move || {
            let (lock, count) = &*stays;
            let _guard = block_on(lock.acquire());
            add_one(count);
        });
        drop(guard);
        goes.join().unwrap();
        waits.join().unwrap();
        let (lock, count) = &*shared;
        assert!(matches!(count.load(Relaxed), 1 | 2));
        assert!(lock.try_acquire().is_some());
    });
}

#[test]
fn loom_a_semaphore_loses_no_unit_when_a_waiter_goes_away_while_one_is_released() {
    model(|| {
        let semaphore = Arc::new(Semaphore::new(0));
        let (gone, stays) = (semaphore.clone(), semaphore.clone());
        let goes = thread::spawn(move || {
            if let Some(permit) = try_once(gone.acquire()) {
                permit.forget();
                gone.release();
            }
        });
        let waits = thread::spawn(move || block_on(stays.acquire()).forget());
        semaphore.release();
        goes.join().unwrap();
        waits.join().unwrap();
        assert!(semaphore.locked(), "the one unit was taken");
        semaphore.release();
        assert_eq!(semaphore.value(), 1);
    });
}

#[test]
fn loom_a_semaphore_of_one_lets_in_one_at_a_time() {
    model(|| {
        let shared = Arc::new((Semaphore::new(1), AtomicUsize::new(0)));
        let job = || -> Box<dyn FnOnce() + Send> {
            let shared = shared.clone();
            Box::new(move || {
                let (semaphore, count) = &*shared;
                let _permit = block_on(semaphore.acquire());
                add_one(count);
            })
        };
        in_threads([job(), job()]);
        let (semaphore, count) = &*shared;
        assert_eq!((count.load(Relaxed), semaphore.value()), (2, 1));
    });
}

#[test]
fn loom_an_event_that_is_set_releases_who_waits() {
    model(|| {
        let shared = Arc::new((Event::new(), AtomicUsize::new(0)));
        let waits = shared.clone();
        let thread = thread::spawn(move || {
            let (event, data) = &*waits;
            block_on(event.wait());
            assert_eq!(
                data.load(Relaxed),
                7,
                "what was written before `set` is seen"
            );
        });
        let (event, data) = &*shared;
        data.store(7, Relaxed);
        event.set();
        event.clear();
        event.set();
        thread.join().unwrap();
    });
}

/// The wait queue under a mutex, as every primitive uses it: who leaves after it was notified passes it on.
#[test]
fn loom_a_getter_that_goes_away_takes_no_item_and_no_notification_with_it() {
    model(|| {
        let queue = Arc::new(Queue::new());
        let (gone, stays) = (queue.clone(), queue.clone());
        let goes = thread::spawn(move || {
            if let Some(item) = try_once(gone.get()) {
                gone.put_nowait(item.unwrap()).unwrap();
            }
        });
        let waits = thread::spawn(move || block_on(stays.get()));
        queue.put_nowait(7).unwrap();
        goes.join().unwrap();
        assert_eq!(waits.join().unwrap(), Ok(7));
    });
}

#[test]
fn loom_a_queue_of_one_place_hands_every_item_over_in_order() {
    model(|| {
        let queue = Arc::new(Queue::bounded(1));
        let producer = queue.clone();
        let thread = thread::spawn(move || {
            for n in 0..3 {
                block_on(producer.put(n)).unwrap();
            }
        });
        let items = [(); 3].map(|()| block_on(queue.get()).unwrap());
        assert_eq!(items, [0, 1, 2]);
        thread.join().unwrap();
    });
}

#[test]
fn loom_a_notification_finds_whoever_saw_under_the_lock_that_it_must_wait() {
    model(|| {
        let shared = Arc::new((Condition::new(), AtomicUsize::new(0)));
        let waits = shared.clone();
        let thread = thread::spawn(move || {
            let (condition, level) = &*waits;
            block_on(async {
                let guard = condition.acquire().await;
                let _guard = condition
                    .wait_for(guard, |_| level.load(Relaxed) == 1)
                    .await;
            });
        });
        let (condition, level) = &*shared;
        let guard = block_on(condition.acquire());
        level.store(1, Relaxed);
        condition.notify(1).unwrap();
        drop(guard);
        thread.join().unwrap();
        assert!(!condition.locked());
    });
}

#[test]
fn loom_a_writer_is_alone_with_the_value() {
    model(|| {
        let lock = Arc::new(RwLock::new(0));
        let (one, two) = (lock.clone(), lock.clone());
        let writer = thread::spawn(move || *block_on(one.write()) += 1);
        let reader = thread::spawn(move || {
            let value = *block_on(two.read());
            assert!((0..=2).contains(&value));
        });
        *block_on(lock.write()) += 1;
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(*lock.try_read().unwrap(), 2);
    });
}

#[test]
fn loom_a_oneshot_hands_its_value_over_or_says_that_none_comes() {
    for send in [true, false] {
        model(move || {
            let (sender, receiver) = oneshot::channel();
            let thread = thread::spawn(move || {
                if send {
                    sender.send(7).unwrap();
                }
            });
            assert_eq!(block_on(receiver).ok(), send.then_some(7));
            thread.join().unwrap();
        });
    }
}

#[test]
fn loom_a_oneshot_value_is_dropped_once_whoever_goes_first() {
    model(|| {
        let value = Arc::new(());
        let (sender, receiver) = oneshot::channel();
        let sent = value.clone();
        let thread = thread::spawn(move || drop(sender.send(sent)));
        drop(try_once(receiver));
        thread.join().unwrap();
        assert_eq!(Arc::strong_count(&value), 1);
    });
}

#[test]
fn loom_a_future_that_is_done_reaches_who_awaits_it() {
    model(|| {
        let promise = Promise::new();
        let awaited = promise.clone();
        let thread = thread::spawn(move || block_on(awaited).unwrap());
        promise.set_result(7).unwrap();
        assert_eq!(thread.join().unwrap(), 7);
    });
}

#[test]
fn loom_a_mutex_waiter_that_goes_away_takes_no_turn_with_it() {
    model(|| {
        let mutex = Arc::new(AsyncMutex::new(0));
        let (gone, stays) = (mutex.clone(), mutex.clone());
        let guard = mutex.try_lock().unwrap();
        let goes = thread::spawn(move || drop(try_once(gone.lock())));
        let waits = thread::spawn(move || *block_on(stays.lock()) += 1);
        drop(guard);
        goes.join().unwrap();
        waits.join().unwrap();
        assert_eq!(*mutex.try_lock().unwrap(), 1);
    });
}

#[test]
fn loom_a_rwlock_waiter_that_goes_away_keeps_nobody_out() {
    model(|| {
        let lock = Arc::new(RwLock::new(0));
        let (gone, stays) = (lock.clone(), lock.clone());
        let guard = lock.try_read().unwrap();
        let goes = thread::spawn(move || drop(try_once(gone.write())));
        let waits = thread::spawn(move || *block_on(stays.write()) += 1);
        drop(guard);
        goes.join().unwrap();
        waits.join().unwrap();
        assert_eq!(*lock.try_write().unwrap(), 1);
    });
}

#[test]
fn loom_a_barrier_lets_both_through_twice() {
    model(|| {
        let barrier = Arc::new(Barrier::new(2).unwrap());
        let other = barrier.clone();
        let twice = |barrier: &Barrier| [(); 2].map(|()| block_on(barrier.wait()).unwrap());
        let thread = thread::spawn(move || twice(&other));
        let (here, there) = (twice(&barrier), thread.join().unwrap());
        for round in 0..2 {
            assert_eq!(here[round] + there[round], 1, "{here:?} {there:?}");
        }
    });
}

#[test]
fn loom_a_value_is_made_once() {
    model(|| {
        let cell = Arc::new(OnceCell::new());
        let other = cell.clone();
        let thread = thread::spawn(move || *block_on(other.get_or_init(async || 1)));
        let here = *block_on(cell.get_or_init(async || 2));
        assert_eq!(thread.join().unwrap(), here);
    });
}

#[test]
fn loom_receivers_hear_of_every_value_and_of_the_end() {
    model(|| {
        let (sender, mut receiver) = broadcast::channel(2);
        let thread = thread::spawn(move || {
            sender.send(1).unwrap();
            sender.send(2).unwrap();
        });
        let received = [(); 3].map(|()| block_on(receiver.recv()));
        assert_eq!(received, [Ok(1), Ok(2), Err(broadcast::RecvError::Closed)]);
        thread.join().unwrap();
    });
}

#[test]
fn loom_a_watcher_sees_the_last_value() {
    model(|| {
        let (sender, mut receiver) = watch::channel(0);
        let thread = thread::spawn(move || {
            sender.send(1).unwrap();
            sender.send(2).unwrap();
        });
        let last = block_on(receiver.wait_for(|value| *value == 2));
        assert_eq!(last.map(|value| *value), Ok(2));
        thread.join().unwrap();
    });
}
