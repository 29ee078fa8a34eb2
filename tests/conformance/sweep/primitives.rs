//! The sweep over the primitives that both families have: the loop-local ones, and those that threads share.

/// The same tests for a family, whose primitives are found at `$family` and shared by `$shared`.
macro_rules! of_family {
    ($name:ident, $family:path, $shared:path) => {
        mod $name {
            use std::cell::Cell;
            use std::rc::Rc;

            use asyncio::{create_task, get_running_loop, sleep, timeout};
            use $family::{Barrier, Condition, Event, Semaphore};
            use $shared as Shared;

            use crate::sweep::sweep_shared;

            #[test]
            fn a_semaphore_has_all_its_permits_in_the_end() {
                sweep_shared(|| {
                    let semaphore = Shared::new(Semaphore::new(2));
                    let check = semaphore.clone();
                    let program = async move {
                        for n in 1..=3 {
                            let semaphore = semaphore.clone();
                            create_task(async move {
                                let _permit = semaphore.acquire().await;
                                sleep(n).await;
                            })
                            .detach();
                        }
                        sleep(0).await;
                        let _first = semaphore.acquire().await;
                        let _second = semaphore.clone().acquire_owned().await;
                        sleep(1).await;
                        // Times out: both are ours.
                        assert!(timeout(1, semaphore.acquire()).await.is_err());
                    };
                    (program, move || assert_eq!(check.value(), 2, "permits"))
                });
            }

            #[test]
            fn an_event_wakes_everybody_else() {
                sweep_shared(|| {
                    let event = Shared::new(Event::new());
                    let woken = Rc::<Cell<u32>>::default();
                    let count = woken.clone();
                    let program = async move {
                        for _ in 0..2 {
                            let (event, woken) = (event.clone(), woken.clone());
                            create_task(async move {
                                event.wait().await;
                                woken.set(woken.get() + 1);
                            })
                            .detach();
                        }
                        let setter = event.clone();
                        get_running_loop().call_later(2, move || setter.set());
                        event.wait().await;
                        event.clear();
                        assert!(timeout(1, event.wait()).await.is_err());
                        sleep(1).await;
                    };
                    let check = move || {
                        // Cancelled before its first step, it has started nobody.
                        assert!(matches!(count.get(), 0 | 2), "{} were woken", count.get());
                    };
                    (program, check)
                });
            }

            #[test]
            fn a_condition_leaves_its_lock_free() {
                sweep_shared(|| {
                    let condition = Shared::new(Condition::new());
                    let check = condition.clone();
                    let program = async move {
                        let notifier = condition.clone();
                        create_task(async move {
                            for _ in 0..3 {
                                sleep(2).await;
                                let _guard = notifier.acquire().await;
                                notifier.notify_all().unwrap();
                                sleep(1).await; // who was notified waits for the lock
                            }
                        })
                        .detach();
                        let guard = condition.acquire().await;
                        let guard = condition.wait(guard).await;
                        let guard = condition.wait(guard).await;
                        sleep(1).await;
                        drop(guard);
                    };
                    (program, move || {
                        assert!(!check.locked(), "the lock is held")
                    })
                });
            }

            #[test]
            fn a_barrier_is_usable_in_the_end() {
                sweep_shared(|| {
                    let barrier = Shared::new(Barrier::new(2).unwrap());
                    let check = barrier.clone();
                    let program = async move {
                        for _ in 0..2 {
                            let other = barrier.clone();
                            let party = create_task(async move {
                                sleep(1).await;
                                let _ = timeout(5, other.wait()).await;
                            });
                            let _ = barrier.wait().await;
                            party.await.unwrap();
                        }
                    };
                    let check = move || {
                        assert_eq!(check.n_waiting(), 0, "somebody waits at the barrier");
                        assert!(!check.broken());
                    };
                    (program, check)
                });
            }
        }
    };
}

of_family!(local, asyncio, std::rc::Rc);
of_family!(threadsafe, asyncio::threadsafe, std::sync::Arc);
