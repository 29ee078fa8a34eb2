//! What does each primitive cost, in either family, on one thread?
//!
//!     cargo bench -p asyncio-sync [-- part of a row's name]
//!
//! The executor is a line of task numbers: a trip through it (first row) is part of every row in which somebody waits.
//! Best of seven passes. The comparison with other crates is in `bench/`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

/// Operations per pass.
const N: usize = 200_000;
const TASKS: usize = 1000;

thread_local! {
    static READY: RefCell<VecDeque<usize>> = const { RefCell::new(VecDeque::new()) };
}

type Work = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Default)]
struct Executor {
    /// Each with its waker; empty once it has ended.
    tasks: Vec<(Option<Work>, Waker)>,
}

struct Task(usize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        READY.with_borrow_mut(|ready| ready.push_back(self.0));
    }
}

impl Executor {
    fn spawn(&mut self, future: impl Future<Output = ()> + 'static) {
        let waker = Waker::from(Arc::new(Task(self.tasks.len())));
        waker.wake_by_ref();
        self.tasks.push((Some(Box::pin(future)), waker));
    }

    fn run(&mut self) {
        while let Some(number) = READY.with_borrow_mut(VecDeque::pop_front) {
            let (task, waker) = &mut self.tasks[number];
            if let Some(future) = task
                && future
                    .as_mut()
                    .poll(&mut Context::from_waker(waker))
                    .is_ready()
            {
                *task = None;
            }
        }
        assert!(
            self.tasks.iter().all(|(task, _)| task.is_none()),
            "somebody hangs"
        );
    }
}

/// To the end of the line, once.
async fn pass() {
    let mut passed = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn row(name: &str, mut work: impl FnMut(&mut Executor)) {
    let wanted = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    if wanted.is_some_and(|wanted| !name.contains(&wanted)) {
        return;
    }
    let best = (0..7)
        .map(|_| {
            let mut executor = Executor::default();
            let start = Instant::now();
            work(&mut executor);
            executor.run();
            start.elapsed().as_nanos() as f64 / N as f64
        })
        .fold(f64::MAX, f64::min);
    println!("{name:44} {best:8.1} ns");
}

macro_rules! rows {
    ($family:ident, $shared:path, $($import:tt)*) => {
        mod $family {
            use super::*;
            use $shared as Shared;
            use $($import)*::{Lock, Mutex, Queue, RwLock, Semaphore, oneshot, watch};

            pub(super) fn run() {
                let name = |what: &str| format!("{what}, {}", stringify!($family));
                row(&name("lock, uncontended"), |executor| {
                    let lock = Lock::new();
                    executor.spawn(async move {
                        for _ in 0..N {
                            let guard = lock.acquire().await;
                            black_box(&lock);
                            drop(guard);
                        }
                    });
                });
                row(&name("semaphore, uncontended"), |executor| {
                    let semaphore = Semaphore::new(3);
                    executor.spawn(async move {
                        for _ in 0..N {
                            let permit = semaphore.acquire().await;
                            black_box(&semaphore);
                            drop(permit);
                        }
                    });
                });
                row(&name("mutex, uncontended"), |executor| {
                    let mutex = Mutex::new(0);
                    executor.spawn(async move {
                        for _ in 0..N {
                            *mutex.lock().await += 1;
                        }
                    });
                });
                row(&name("rwlock read, uncontended"), |executor| {
                    let lock = RwLock::new(0);
                    executor.spawn(async move {
                        for _ in 0..N {
                            black_box(*lock.read().await);
                        }
                    });
                });
                row(&name("lock, 1000 tasks"), |executor| {
                    let lock = Shared::new(Lock::new());
                    lock.try_acquire().unwrap().forget();
                    for _ in 0..TASKS {
                        let lock = lock.clone();
                        executor.spawn(async move {
                            for _ in 0..N / TASKS {
                                drop(lock.acquire().await);
                            }
                        });
                    }
                    executor.spawn(async move { lock.release().unwrap() });
                });
                row(&name("semaphore of 1, 1000 tasks"), |executor| {
                    let semaphore = Shared::new(Semaphore::new(0));
                    for _ in 0..TASKS {
                        let semaphore = semaphore.clone();
                        executor.spawn(async move {
                            for _ in 0..N / TASKS {
                                drop(semaphore.acquire().await);
                            }
                        });
                    }
                    executor.spawn(async move { semaphore.release() });
                });
                row(&name("semaphore of 1, 1000 tasks, held over a trip"), |executor| {
                    let semaphore = Shared::new(Semaphore::new(1));
                    for _ in 0..TASKS {
                        let semaphore = semaphore.clone();
                        executor.spawn(async move {
                            for _ in 0..N / TASKS {
                                let permit = semaphore.acquire().await;
                                pass().await;
                                drop(permit);
                            }
                        });
                    }
                });
                row(&name("queue of 64, one to one"), |executor| {
                    let queue = Shared::new(Queue::bounded(64));
                    let other = queue.clone();
                    executor.spawn(async move {
                        for n in 0..N {
                            queue.put(n).await.unwrap();
                        }
                    });
                    executor.spawn(async move {
                        for _ in 0..N {
                            black_box(other.get().await.unwrap());
                        }
                    });
                });
                row(&name("queue of 64, 1000 to one"), |executor| {
                    let queue = Shared::new(Queue::bounded(64));
                    for _ in 0..TASKS {
                        let queue = queue.clone();
                        executor.spawn(async move {
                            for n in 0..N / TASKS {
                                queue.put(n).await.unwrap();
                            }
                        });
                    }
                    executor.spawn(async move {
                        for _ in 0..N {
                            black_box(queue.get().await.unwrap());
                        }
                    });
                });
                row(&name("ping-pong, per message"), |executor| {
                    let (there, back) = (Shared::new(Queue::new()), Shared::new(Queue::new()));
                    let (arrived, answer) = (there.clone(), back.clone());
                    executor.spawn(async move {
                        for n in 0..N / 2 {
                            there.put(n).await.unwrap();
                            black_box(back.get().await.unwrap());
                        }
                    });
                    executor.spawn(async move {
                        for _ in 0..N / 2 {
                            let n = arrived.get().await.unwrap();
                            answer.put(n).await.unwrap();
                        }
                    });
                });
                row(&name("oneshot, made, sent, received"), |executor| {
                    executor.spawn(async {
                        for n in 0..N {
                            let (sender, receiver) = oneshot::channel();
                            sender.send(n).unwrap();
                            black_box(receiver.await.unwrap());
                        }
                    });
                });
                row(&name("oneshot, waited for"), |executor| {
                    let queue = Shared::new(Queue::<oneshot::Sender<usize>>::new());
                    let requests = queue.clone();
                    executor.spawn(async move {
                        for _ in 0..N {
                            let (sender, receiver) = oneshot::channel();
                            queue.put_nowait(sender).unwrap();
                            black_box(receiver.await.unwrap());
                        }
                    });
                    executor.spawn(async move {
                        for n in 0..N {
                            requests.get().await.unwrap().send(n).unwrap();
                        }
                    });
                });
                row(&name("watch, changed and seen"), |executor| {
                    let (sender, mut receiver) = watch::channel(0);
                    executor.spawn(async move {
                        for n in 1..=N {
                            sender.send(n).unwrap();
                            pass().await;
                        }
                    });
                    executor.spawn(async move {
                        while receiver.changed().await.is_ok() {
                            black_box(*receiver.borrow());
                        }
                    });
                });
            }
        }
    };
}

rows!(local, std::rc::Rc, asyncio_sync);
rows!(threadsafe, std::sync::Arc, asyncio_sync::threadsafe);

fn main() {
    // `cargo test --benches` only wants to see it start.
    if std::env::args().any(|word| word == "--test") {
        return;
    }
    row("a trip through the executor", |executor| {
        for _ in 0..2 {
            executor.spawn(async {
                for _ in 0..N / 2 {
                    pass().await;
                }
            });
        }
    });
    local::run();
    threadsafe::run();
}
