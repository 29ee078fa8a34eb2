//! The cells, written once. A macro and not a generic function, because tokio's `multi_thread`
//! demands `Send` of what it spawns and the others do not: only after expansion does each runtime
//! see the tasks with its own types.
//!
//! A module that names `cells!` brings the vocabulary:
//!
//! | name | meaning |
//! |---|---|
//! | `spawn(future) -> Handle`, `join(handle).await` | tasks |
//! | `yield_now().await` | the runtime's own yield |
//! | `sleep(duration).await`, `timeout(duration, future).await -> bool` | its own timers; `true` is in time |
//! | `queue::<T>() -> (sender, receiver)`, `send(&sender, value).await`, `receive(&mut receiver).await` | its own unbounded local queue |
//! | `bounded::<T>(slots) -> (sender, receiver)`, `put(&sender, value).await`, `take(&mut receiver).await` | its own bounded local queue; senders can be cloned |
//! | `oneshot::<T>() -> (sender, receiver)`, `tell(sender, value)`, `wait(receiver).await -> Option<T>` | its own local one-value channel |
//! | `watch() -> (sender, receiver)`, `publish(&sender, number)`, `changed(&mut receiver).await` | its own channel for the latest of a number, from 0; receivers can be cloned |
//! | `lock()`, `acquire(&lock).await -> guard` | its own local lock, shared: it can be cloned |
//! | `semaphore()`, `permit(&semaphore).await -> guard` | its own local semaphore of one permit, shared |
//! | `group(children).await` | so many empty tasks in a group, ended |
//! | `run_program(path).await` | a child process, started and waited for, with its own `Command` |
//! | `serve(service, bound).await` | a server on a port of 127.0.0.1 that tells `bound` which, and stays |

use crate::measure::Size;
use crate::rows::{Cell, Service};

/// A column of the table.
#[derive(Debug)]
pub(crate) struct Runtime {
    pub(crate) name: &'static str,
    /// The packages its version is read from.
    pub(crate) package: &'static str,
    /// What exactly runs, for the legend.
    pub(crate) what: &'static str,
    /// Runs one cell, reports, and leaves the process.
    pub(crate) run: fn(Cell, Size),
    /// Serves until the process is killed.
    pub(crate) serve: fn(Service),
}

/// `cells!(static NAME, "name", "package", "what it is", block_on)`: all cells over the vocabulary
/// in scope. Each cell is itself a task, so that no runtime is measured through its `block_on`.
macro_rules! cells {
    (static $id:ident, $name:literal, $package:literal, $what:literal, $block_on:path) => {
        pub(crate) static $id: $crate::cells::Runtime = {
            use std::hint::black_box;
            use std::sync::Arc;
            use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
            use std::time::{Duration, Instant};

            use $crate::idlers::Idlers;
            use $crate::measure::{self, Figures, Passes, Signals, Size};
            use $crate::rows::{Cell, SMALL, Service};
            use $crate::{alloc, sys};

            const HOUR: Duration = Duration::from_secs(3600);
            const SLOTS: usize = 64;

            async fn spawned(size: Size) -> Figures {
                let count = size.of(100_000);
                let mut passes = Passes::new(5);
                while passes.more() {
                    let start = Instant::now();
                    let mut tasks = Vec::with_capacity(count);
                    for index in 0..count {
                        tasks.push(spawn(async move { index }));
                    }
                    let mut sum = 0;
                    for task in tasks {
                        sum += join(task).await;
                    }
                    passes.record(start.elapsed(), count);
                    assert_eq!(sum, count * (count - 1) / 2);
                }
                Figures::one("ns", passes.nanoseconds())
            }

            async fn grouped(size: Size) -> Figures {
                let (groups, children) = (size.of(100), 1000);
                let mut passes = Passes::new(5);
                while passes.more() {
                    let start = Instant::now();
                    for _ in 0..groups {
                        group(children).await;
                    }
                    passes.record(start.elapsed(), groups * children);
                }
                Figures::one("ns", passes.nanoseconds())
            }

            async fn yielding(size: Size) -> Figures {
                let (count, yields) = (1000, size.of(1000));
                let mut passes = Passes::new(5);
                while passes.more() {
                    let start = Instant::now();
                    let mut tasks = Vec::with_capacity(count);
                    for _ in 0..count {
                        tasks.push(spawn(async move {
                            for _ in 0..yields {
                                yield_now().await;
                            }
                        }));
                    }
                    for task in tasks {
                        join(task).await;
                    }
                    passes.record(start.elapsed(), count * yields);
                }
                Figures::one("ns", passes.nanoseconds())
            }

            async fn ping_pong(size: Size) -> Figures {
                let trips = size.of(500_000);
                let mut passes = Passes::new(3);
                while passes.more() {
                    let start = Instant::now();
                    let (there, mut arrived) = queue::<usize>();
                    let (back, mut returned) = queue::<usize>();
                    let other = spawn(async move {
                        for _ in 0..trips {
                            let message = receive(&mut arrived).await;
                            send(&back, message + 1).await;
                        }
                    });
                    let mut message = 0;
                    for _ in 0..trips {
                        send(&there, message).await;
                        message = receive(&mut returned).await;
                    }
                    join(other).await;
                    passes.record(start.elapsed(), 2 * trips);
                    assert_eq!(message, trips);
                }
                Figures::one("ns", passes.nanoseconds())
            }

            async fn uncontended_lock(size: Size) -> Figures {
                let (count, lock) = (size.of(1_000_000), lock());
                let mut passes = Passes::new(5);
                while passes.more() {
                    let start = Instant::now();
                    for _ in 0..count {
                        drop(black_box(acquire(black_box(&lock)).await));
                    }
                    passes.record(start.elapsed(), count);
                }
                Figures::one("ns", passes.nanoseconds())
            }

            async fn uncontended_semaphore(size: Size) -> Figures {
                let (count, semaphore) = (size.of(1_000_000), semaphore());
                let mut passes = Passes::new(5);
                while passes.more() {
                    let start = Instant::now();
                    for _ in 0..count {
                        drop(black_box(permit(black_box(&semaphore)).await));
                    }
                    passes.record(start.elapsed(), count);
                }
                Figures::one("ns", passes.nanoseconds())
            }

            async fn contended_lock(size: Size) -> Figures {
                let (count, turns) = (1000, size.of(100));
                let mut passes = Passes::new(5);
                while passes.more() {
                    let start = Instant::now();
                    let lock = lock();
                    let mut tasks = Vec::with_capacity(count);
                    for _ in 0..count {
                        let lock = lock.clone();
                        tasks.push(spawn(async move {
                            for _ in 0..turns {
                                let _guard = acquire(&lock).await;
                                measure::one_trip().await;
                            }
                        }));
                    }
                    for task in tasks {
                        join(task).await;
                    }
                    passes.record(start.elapsed(), count * turns);
                }
                Figures::one("ns", passes.nanoseconds())
            }

            /// A million items through 64 slots.
            async fn through_slots(size: Size, producers: usize) -> Figures {
                let each = size.of(1_000_000) / producers;
                let mut passes = Passes::new(3);
                while passes.more() {
                    let start = Instant::now();
                    let (sender, mut receiver) = bounded::<usize>(SLOTS);
                    let mut tasks = Vec::with_capacity(producers);
                    for _ in 0..producers {
                        let sender = sender.clone();
                        tasks.push(spawn(async move {
                            for item in 0..each {
                                put(&sender, item).await;
                            }
                        }));
                    }
                    let mut sum = 0;
                    for _ in 0..producers * each {
                        sum += take(&mut receiver).await;
                    }
                    for task in tasks {
                        join(task).await;
                    }
                    passes.record(start.elapsed(), producers * each);
                    assert_eq!(sum, producers * (each * (each - 1) / 2));
                }
                Figures::one("ns", passes.nanoseconds())
            }

            async fn oneshots(size: Size) -> Figures {
                let count = size.of(1_000_000);
                let mut passes = Passes::new(5);
                while passes.more() {
                    let start = Instant::now();
                    let mut sum = 0;
                    for index in 0..count {
                        let (sender, receiver) = oneshot::<usize>();
                        tell(sender, index);
                        sum += wait(black_box(receiver)).await.expect("it was sent");
                    }
                    passes.record(start.elapsed(), count);
                    assert_eq!(sum, count * (count - 1) / 2);
                }
                Figures::one("ns", passes.nanoseconds())
            }

            async fn watched(size: Size) -> Figures {
                let (watchers, updates) = (10, size.of(100_000));
                let mut passes = Passes::new(5);
                while passes.more() {
                    let start = Instant::now();
                    let (sender, receiver) = watch();
                    let mut tasks = Vec::with_capacity(watchers);
                    for _ in 0..watchers {
                        let mut receiver = receiver.clone();
                        tasks.push(spawn(async move {
                            let mut seen = 1;
                            while changed(&mut receiver).await < updates {
                                seen += 1;
                            }
                            seen
                        }));
                    }
                    for update in 1..=updates {
                        publish(&sender, update);
                        measure::one_trip().await;
                    }
                    let mut seen = 0;
                    for task in tasks {
                        seen += join(task).await;
                    }
                    passes.record(start.elapsed(), seen);
                }
                Figures::one("ns", passes.nanoseconds())
            }

            async fn timeouts(size: Size) -> Figures {
                let count = size.of(1_000_000);
                let mut passes = Passes::new(3);
                while passes.more() {
                    let start = Instant::now();
                    for _ in 0..count {
                        assert!(timeout(HOUR, measure::one_trip()).await);
                    }
                    passes.record(start.elapsed(), count);
                }
                Figures::one("ns", passes.nanoseconds())
            }

            async fn ready_timeouts(size: Size) -> Figures {
                let count = size.of(1_000_000);
                let mut passes = Passes::new(3);
                while passes.more() {
                    let start = Instant::now();
                    for _ in 0..count {
                        assert!(timeout(HOUR, async {}).await);
                    }
                    passes.record(start.elapsed(), count);
                }
                Figures::one("ns", passes.nanoseconds())
            }

            async fn sleeps(size: Size) -> Figures {
                let count = size.of(100_000);
                let (mut cpu, mut wall) = (Passes::new(3), Passes::new(3));
                while cpu.more() {
                    let (start, cpu_start) = (Instant::now(), sys::cpu_time());
                    let mut tasks = Vec::with_capacity(count);
                    for index in 0..count {
                        tasks.push(spawn(sleep(measure::pseudo_random_sleep(index))));
                    }
                    for task in tasks {
                        join(task).await;
                    }
                    cpu.record(sys::cpu_time() - cpu_start, count);
                    wall.record(start.elapsed(), 1);
                }
                Figures::one("cpu", cpu.nanoseconds()).and("wall", wall.nanoseconds() / 1e6)
            }

            async fn precision(size: Size) -> Figures {
                let mut samples = Vec::new();
                for _ in 0..size.of(1000) {
                    let start = Instant::now();
                    sleep(Duration::from_millis(1)).await;
                    samples.push(measure::late(start));
                }
                Figures::one("median", measure::median(&mut samples))
                    .and("p99", measure::quantile(&mut samples, 0.99))
            }

            async fn thread_wakes(tasks: usize, rounds: usize, pause: Duration) -> (f64, f64) {
                let (signals, raiser) = Signals::raised_by_thread(tasks, rounds, pause);
                let mut waiting = Vec::with_capacity(tasks);
                for index in 0..tasks {
                    let signals = Arc::clone(&signals);
                    waiting.push(spawn(async move { signals.see(index, rounds).await }));
                }
                for task in waiting {
                    join(task).await;
                }
                raiser.join().expect("it does not panic")
            }

            static BEGUN: AtomicUsize = AtomicUsize::new(0);

            async fn memory(size: Size) -> Figures {
                let count = size.of(100_000);
                alloc::start_counting();
                sleep(Duration::from_millis(1)).await;
                // The handles are kept, outside the figures: where nobody holds a handle or a waker
                // of a task some runtimes free it.
                let mut tasks = Vec::with_capacity(count);
                let before = (alloc::live(), sys::resident());
                for _ in 0..count {
                    tasks.push(spawn(async {
                        BEGUN.fetch_add(1, Ordering::Relaxed);
                        std::future::pending::<()>().await;
                    }));
                }
                idle_memory(count, before).await
            }

            async fn waiting_memory(size: Size) -> Figures {
                let count = size.of(100_000);
                alloc::start_counting();
                sleep(Duration::from_millis(1)).await;
                let (mut tasks, mut senders) =
                    (Vec::with_capacity(count), Vec::with_capacity(count));
                let before = (alloc::live(), sys::resident());
                for _ in 0..count {
                    let (sender, receiver) = oneshot::<()>();
                    senders.push(sender);
                    tasks.push(spawn(async move {
                        BEGUN.fetch_add(1, Ordering::Relaxed);
                        wait(receiver).await;
                    }));
                }
                idle_memory(count, before).await
            }

            async fn idle_memory(count: usize, before: (usize, usize)) -> Figures {
                until_begun(count).await;
                let (heap, resident) = grown(before, count);
                Figures::one("heap", heap).and("rss", resident)
            }

            async fn until_begun(count: usize) {
                while BEGUN.load(Ordering::Relaxed) < count {
                    sleep(Duration::from_millis(1)).await;
                }
            }

            /// What heap and resident memory grew by since `before`, for each of `count`.
            fn grown(before: (usize, usize), count: usize) -> (f64, f64) {
                let heap = alloc::live().wrapping_sub(before.0) as f64;
                let resident = sys::resident().saturating_sub(before.1) as f64;
                (heap / count as f64, resident / count as f64)
            }

            /// First idle tasks, for what a task costs in this very process, then as many connections.
            async fn connection_memory(size: Size) -> Figures {
                let count = size.of(2000);
                static PORT: AtomicU16 = AtomicU16::new(0);
                alloc::start_counting();
                let idle_server = spawn(serve(Service::Echo { buffer: SMALL }, |port| {
                    PORT.store(port, Ordering::Relaxed);
                }));
                while PORT.load(Ordering::Relaxed) == 0 {
                    sleep(Duration::from_millis(1)).await;
                }
                let mut tasks = Vec::with_capacity(count);
                let before = (alloc::live(), sys::resident());
                for _ in 0..count {
                    tasks.push(spawn(async {
                        BEGUN.fetch_add(1, Ordering::Relaxed);
                        std::future::pending::<()>().await;
                    }));
                }
                until_begun(count).await;
                let (task, _) = grown(before, count);

                let before = (alloc::live(), sys::resident());
                let idlers = Idlers::connect(PORT.load(Ordering::Relaxed), count);
                while !idlers.all_idle() {
                    sleep(Duration::from_millis(1)).await;
                }
                let (heap, resident) = grown(before, count);
                drop((idle_server, tasks));
                Figures::one("heap", heap)
                    .and("beside", heap - task - crate::idlers::of_the_program())
                    .and("rss", resident)
            }

            async fn processes(size: Size) -> Figures {
                let (count, at_a_time) = (size.of(500), 16);
                let (mut cpu, mut wall) = (Passes::new(3), Passes::new(3));
                while cpu.more() {
                    let (start, cpu_start) = (Instant::now(), sys::cpu_time());
                    let begun = Arc::new(AtomicUsize::new(0));
                    let mut tasks = Vec::with_capacity(at_a_time);
                    for _ in 0..at_a_time {
                        let begun = Arc::clone(&begun);
                        tasks.push(spawn(async move {
                            while begun.fetch_add(1, Ordering::Relaxed) < count {
                                run_program("/bin/true").await;
                            }
                        }));
                    }
                    for task in tasks {
                        join(task).await;
                    }
                    cpu.record(sys::cpu_time() - cpu_start, count);
                    wall.record(start.elapsed(), count);
                }
                Figures::one("cpu", cpu.nanoseconds() / 1e3).and("wall", wall.nanoseconds() / 1e3)
            }

            async fn cell(cell: Cell, size: Size) -> Figures {
                match cell {
                    Cell::Spawn => spawned(size).await,
                    Cell::Group => grouped(size).await,
                    Cell::Yield => yielding(size).await,
                    Cell::PingPong => ping_pong(size).await,
                    Cell::Lock => uncontended_lock(size).await,
                    Cell::Semaphore => uncontended_semaphore(size).await,
                    Cell::Contended => contended_lock(size).await,
                    Cell::Bounded => through_slots(size, 1).await,
                    Cell::FanIn => through_slots(size, 1000).await,
                    Cell::Oneshot => oneshots(size).await,
                    Cell::Watch => watched(size).await,
                    Cell::Timeout => timeouts(size).await,
                    Cell::TimeoutReady => ready_timeouts(size).await,
                    Cell::Sleeps => sleeps(size).await,
                    Cell::Precision => precision(size).await,
                    Cell::Wake => {
                        let (mean, _) = thread_wakes(1, size.of(200_000), Duration::ZERO).await;
                        Figures::one("ns", mean)
                    }
                    Cell::WakeAsleep => {
                        let pause = Duration::from_micros(100);
                        let (_, median) = thread_wakes(1, size.of(10_000), pause).await;
                        Figures::one("us", median / 1e3)
                    }
                    Cell::WakeBurst => {
                        let (mean, _) = thread_wakes(1000, size.of(200), Duration::ZERO).await;
                        Figures::one("ns", mean / 1e3)
                    }
                    Cell::Memory => memory(size).await,
                    Cell::MemoryWait => waiting_memory(size).await,
                    Cell::MemoryConn => connection_memory(size).await,
                    Cell::Processes => processes(size).await,
                    Cell::Echo(..) | Cell::Connects | Cell::Hello => {
                        unreachable!("server and load are processes of their own")
                    }
                }
            }

            $crate::cells::Runtime {
                name: $name,
                package: $package,
                what: $what,
                run: |which, size| {
                    $block_on(async move { join(spawn(cell(which, size))).await.report() })
                },
                serve: |service| {
                    $block_on(async move { join(spawn(serve(service, measure::announce))).await })
                },
            }
        };
    };
}
pub(crate) use cells;
