//! The sweep over the primitives that asyncio does not have, and over those that share their code with one that it has.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use asyncio::{
    BoundedSemaphore, CapacityLimiter, LifoQueue, Mutex, OnceCell, PriorityQueue, RateLimiter,
    RwLock, broadcast, create_task, get_running_loop, oneshot, sleep, threadsafe, timeout, watch,
};

use super::sweep_shared;

#[test]
fn a_read_write_lock_and_a_mutex_are_free_in_the_end() {
    sweep_shared(|| {
        let shared = Rc::new((RwLock::new(0), Mutex::new(0)));
        let check = shared.clone();
        let program = async move {
            for n in 1..=2 {
                let shared = shared.clone();
                create_task(async move {
                    *shared.1.lock().await += 1;
                    let _guard = shared.0.read().await;
                    sleep(n).await;
                    *shared.1.lock().await += 1;
                })
                .detach();
            }
            sleep(0).await;
            let mut guard = shared.0.write().await; // behind the readers
            *guard += 1;
            sleep(1).await;
            // Cancelled in line by its time.
            assert!(timeout(1, shared.0.read()).await.is_err());
            let _read = guard.downgrade();
            let mut value = shared.1.lock().await;
            sleep(1).await;
            *value += 1;
        };
        let check = move || {
            assert!(check.0.try_write().is_some(), "the lock is held");
            assert!(check.1.try_lock().is_some(), "the mutex is held");
        };
        (program, check)
    });
}

#[test]
fn bounded_permits_and_tokens_are_all_back_in_the_end() {
    sweep_shared(|| {
        let permits = Rc::new(BoundedSemaphore::new(1));
        let tokens = Rc::new(CapacityLimiter::new(2).unwrap());
        let check = (permits.clone(), tokens.clone());
        let program = async move {
            for n in 1..=3 {
                let (permits, tokens) = (permits.clone(), tokens.clone());
                create_task(async move {
                    let _token = tokens.acquire().await;
                    let _permit = permits.acquire().await;
                    sleep(n).await;
                })
                .detach();
            }
            sleep(0).await;
            let _token = tokens.acquire().await;
            let permit = permits.acquire().await;
            sleep(1).await;
            assert!(timeout(1, permits.acquire()).await.is_err());
            drop(permit);
            permits.acquire().await.forget();
            permits.release().unwrap();
        };
        let check = move || {
            assert_eq!(check.0.value(), 1, "permits");
            assert_eq!(check.1.borrowed_tokens(), 0, "tokens");
        };
        (program, check)
    });
}

#[test]
fn a_rate_limiter_lets_the_next_one_through_in_the_end() {
    sweep_shared(|| {
        let limiter = RateLimiter::new(1, 1.0).unwrap();
        let other = limiter.clone();
        let passed = Rc::<Cell<u32>>::default();
        let (count, check) = (passed.clone(), passed);
        let program = async move {
            let behind = other.clone();
            create_task(async move {
                sleep(1.5).await;
                behind.acquire().await;
                count.set(count.get() + 1);
            })
            .detach();
            for _ in 0..3 {
                other.acquire().await;
            }
            assert!(timeout(0.1, other.acquire_many(5)).await.is_err());
            other.acquire().await;
        };
        let check = move || {
            // Cancelled before its first step, it has started nobody.
            assert!(check.get() <= 1);
            let begin = get_running_loop().time();
            let mut next = Box::pin(limiter.acquire());
            let polled = std::future::Future::poll(
                next.as_mut(),
                &mut std::task::Context::from_waker(std::task::Waker::noop()),
            );
            assert!(polled.is_ready(), "somebody is in line at {begin:?}");
        };
        (program, check)
    });
}

/// The same for every kind of queue: what was put is got or still there.
macro_rules! no_item_is_lost {
    ($name:ident, $queue:expr) => {
        #[test]
        fn $name() {
            sweep_shared(|| {
                let queue = $queue;
                let put = Rc::<RefCell<Vec<u32>>>::default();
                let got = Rc::<RefCell<Vec<u32>>>::default();
                let (all, found, rest) = (put.clone(), got.clone(), queue.clone());
                let program = async move {
                    let (producer, sent) = (queue.clone(), put);
                    create_task(async move {
                        for n in [3, 1, 4, 2] {
                            // If nobody gets any more, this ends too, and takes its item with it.
                            if timeout(10, producer.put(n)).await.is_err() {
                                break;
                            }
                            sent.borrow_mut().push(n);
                        }
                    })
                    .detach();
                    for _ in 0..4 {
                        let item = queue.get().await.unwrap();
                        got.borrow_mut().push(item);
                        sleep(1).await;
                        queue.task_done().unwrap();
                    }
                    queue.join().await;
                    assert!(timeout(1, queue.get()).await.is_err());
                };
                let check = move || {
                    let mut found = found.take();
                    while let Ok(item) = rest.get_nowait() {
                        found.push(item);
                    }
                    found.sort_unstable();
                    let mut all = all.take();
                    all.sort_unstable();
                    assert_eq!(found, all, "items put and items found");
                };
                (program, check)
            });
        }
    };
}

no_item_is_lost!(
    no_item_of_a_priority_queue_is_lost,
    Rc::new(PriorityQueue::bounded(1))
);
no_item_is_lost!(
    no_item_of_a_lifo_queue_is_lost,
    Rc::new(LifoQueue::bounded(1))
);
no_item_is_lost!(
    no_item_of_a_thread_safe_queue_is_lost,
    Arc::new(threadsafe::Queue::bounded(1))
);

#[test]
fn a_thread_safe_lock_is_free_in_the_end() {
    sweep_shared(|| {
        let lock = Arc::new(threadsafe::Lock::new());
        let check = lock.clone();
        let program = async move {
            let other = lock.clone();
            create_task(async move {
                let _guard = other.acquire().await;
                sleep(2).await;
            })
            .detach();
            sleep(0).await;
            let guard = lock.clone().acquire_owned().await;
            sleep(1).await;
            drop(guard);
            let _guard = lock.acquire().await;
            sleep(1).await;
        };
        (program, move || {
            assert!(!check.locked(), "the lock is held")
        })
    });
}

#[test]
fn a_cell_that_is_filled_once_can_be_filled_in_the_end() {
    sweep_shared(|| {
        let cell = Rc::new(OnceCell::new());
        let check = cell.clone();
        let program = async move {
            let make = async |n: u32| {
                sleep(1).await;
                n
            };
            let other = cell.clone();
            let waits = create_task(async move {
                other.get_or_init(async || make(2).await).await;
            });
            let value = *cell.get_or_init(async || make(1).await).await;
            assert_eq!(value, 1);
            waits.await.unwrap();
        };
        // Empty, filled by one of them, and in no case being filled.
        let check = move || {
            let _ = check.set(3);
            assert!(check.get().is_some());
        };
        (program, check)
    });
}

#[test]
fn channels_lose_nothing_to_those_who_stay() {
    sweep_shared(|| {
        let (broadcasts, mut hears) = broadcast::channel::<u32>(8);
        let (states, mut sees) = watch::channel(0);
        let mut stays = broadcasts.subscribe();
        let last = states.subscribe();
        let heard = Rc::<RefCell<Vec<u32>>>::default();
        let all = heard.clone();
        let program = async move {
            let (answer, question) = oneshot::channel();
            create_task(async move {
                while let Ok(n) = stays.recv().await {
                    heard.borrow_mut().push(n);
                }
            })
            .detach();
            create_task(async move {
                for n in 1..=3 {
                    sleep(1).await;
                    // Whoever heard of it may have gone.
                    let _ = (broadcasts.send(n), states.send(n));
                }
                let _ = answer.send("all");
            })
            .detach();
            assert_eq!(hears.recv().await, Ok(1));
            sees.changed().await.unwrap();
            assert_eq!(hears.recv().await, Ok(2));
            assert_eq!(question.await, Ok("all"));
        };
        let check = move || {
            let all = all.take();
            // Cancelled before its first step, it has started nobody.
            assert!(all.is_empty() || all == [1, 2, 3], "{all:?}");
            assert_eq!(*last.borrow() as usize, all.len());
        };
        (program, check)
    });
}
