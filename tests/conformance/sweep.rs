//! The sweep: a program is run once to count the places where it suspends, then once more per place, cancelled there.
//!
//! Whatever it was doing, afterwards no child is left, nothing is held or lost, every count is back and every task can
//! be named that is still at work. Each place is tried in two ways: by a request that comes while the task hangs there,
//! and by the task's own in the step that leads there.

use std::cell::{Cell, RefCell};
use std::future::{Future, IntoFuture, pending};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio::{
    Clock, EventLoop, Future as Promise, Lock, LoopTime, Queue, ReturnWhen, TaskError, TaskGroup,
    TaskRef, Timeout, all_tasks, as_completed, catch_cancelled, create_task, current_task, finally,
    gather, get_running_loop, open_connection, scope, shield, sleep, start_server, timeout,
    to_thread, try_gather, try_scope, wait, wait_for,
};
use futures_util::future::{join, select};
use futures_util::pin_mut;

use crate::harness::say;

mod others;
mod primitives;
mod threads;
mod waiting;

/// Who makes the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Somebody else, while the task hangs there.
    Outside,
    /// The task, in the step that ends there.
    Itself,
}

/// What a program may leave behind for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Children {
    /// Nothing: when the program has ended, so has all it started.
    EndWithIt,
    /// Tasks that end by themselves.
    EndLater,
}

/// A future that counts how often it suspended, and is cancelled at one of these places.
struct Counted<F> {
    body: Pin<Box<F>>,
    suspended: Rc<Cell<usize>>,
    cancel: Option<(usize, Way)>,
    /// Requests that were accepted.
    requests: Rc<Cell<u32>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let place = this.suspended.get();
        let me = current_task().unwrap();
        if this.cancel == Some((place, Way::Itself)) {
            assert!(me.cancel());
            this.requests.set(1);
        }
        let polled = this.body.as_mut().poll(cx);
        if polled.is_pending() {
            if this.cancel == Some((place, Way::Outside)) {
                let requests = this.requests.clone();
                get_running_loop().call_soon(move || requests.set(u32::from(me.cancel())));
            }
            this.suspended.set(place + 1);
        }
        polled
    }
}

/// What a run was like.
struct Run {
    suspended: usize,
    cancelled: bool,
}

struct Sweep {
    children: Children,
    /// Real threads and sockets do not wait for a clock that jumps.
    real_time: bool,
}

impl Sweep {
    /// Sweeps a program. It comes with a check of what it worked on, for after its end.
    #[track_caller]
    fn over<F, C>(&self, program: impl Fn() -> (F, C))
    where
        F: Future<Output = ()> + 'static,
        C: FnOnce() + 'static,
    {
        let whole = self.once(program(), None);
        assert!(!whole.cancelled && whole.suspended > 0, "nothing to sweep");
        let mut cancelled = 0;
        for place in 0..=whole.suspended {
            for way in [Way::Outside, Way::Itself] {
                let run = self.once(program(), Some((place, way)));
                cancelled += usize::from(run.cancelled);
            }
        }
        assert!(
            cancelled > 0,
            "no request was heard in {} places",
            whole.suspended
        );
    }

    #[track_caller]
    fn once<F, C>(&self, (program, check): (F, C), cancel: Option<(usize, Way)>) -> Run
    where
        F: Future<Output = ()> + 'static,
        C: FnOnce() + 'static,
    {
        let clock = if self.real_time {
            Clock::system()
        } else {
            Clock::auto()
        };
        // Virtual seconds cost nothing; a real one is more than any of these programs takes.
        let limit = if self.real_time { 20 } else { 100_000 };
        let children = self.children;
        let settling = if self.real_time { 0.02 } else { 1000.0 };
        let event_loop = EventLoop::builder().clock(clock).build().unwrap();
        let run = event_loop
            .run_until_complete(async move {
                let suspended = Rc::<Cell<usize>>::default();
                let requests = Rc::<Cell<u32>>::default();
                let mut task = create_task(Counted {
                    body: Box::pin(program),
                    suspended: suspended.clone(),
                    cancel,
                    requests: requests.clone(),
                });
                let program = task.as_ref().unwrap();
                let outcome = timeout(limit, shield(&mut task)).await;
                let cancelled = match outcome {
                    Ok(Ok(())) => false,
                    Ok(Err(TaskError::Cancelled(_))) => true,
                    Ok(Err(TaskError::Panicked(panic))) => panic.resume(),
                    Err(_) => panic!("{cancel:?}: the program hangs"),
                };
                assert_eq!(
                    program.cancelling(),
                    requests.get(),
                    "{cancel:?}: requests that were counted and not taken back"
                );
                if children == Children::EndLater {
                    sleep(settling).await;
                }
                let left: Vec<TaskRef> = all_tasks()
                    .into_iter()
                    .filter(|task| Some(task) != current_task().as_ref())
                    .collect();
                assert!(left.is_empty(), "{cancel:?}: {left:?} left behind");
                check();
                Run {
                    suspended: suspended.get(),
                    cancelled,
                }
            })
            .unwrap();
        let timers = event_loop.stats().timers;
        assert_eq!(timers, 0, "{cancel:?}: timers left behind");
        event_loop.close().unwrap();
        run
    }
}

/// The program ends with all it started.
#[track_caller]
fn sweep<F: Future<Output = ()> + 'static>(program: impl Fn() -> F) {
    let sweep = Sweep {
        children: Children::EndWithIt,
        real_time: false,
    };
    sweep.over(|| (program(), || ()));
}

/// The program works on something together with tasks that end by themselves.
#[track_caller]
fn sweep_shared<F, C>(program: impl Fn() -> (F, C))
where
    F: Future<Output = ()> + 'static,
    C: FnOnce() + 'static,
{
    let sweep = Sweep {
        children: Children::EndLater,
        real_time: false,
    };
    sweep.over(program);
}

/// Work that says how often it began and ended, cleanup included.
#[derive(Clone, Default)]
struct Work {
    open: Rc<Cell<i32>>,
}

impl Work {
    /// Holds something for so long, and gives it back with an await.
    async fn hold(self, seconds: u64) -> u64 {
        self.open.set(self.open.get() + 1);
        let open = self.open.clone();
        let cleanup = async move {
            // Guarded: a second request would otherwise unwind the cleanup (S54).
            let _ = catch_cancelled(sleep(1)).await;
            open.set(open.get() - 1);
        };
        let held = async move {
            sleep(seconds).await;
            seconds
        };
        finally(held, cleanup).await
    }

    fn check(self) -> impl FnOnce() {
        move || assert_eq!(self.open.get(), 0, "something is still held")
    }
}

#[test]
fn a_task_awaited() {
    sweep(|| async {
        let inner = create_task(async {
            let nested = create_task(sleep(1));
            nested.await.unwrap();
            sleep(1).await;
        });
        inner.await.unwrap();
        sleep(1).await;
    });
}

#[test]
fn gather_waits_for_every_child() {
    sweep(|| async {
        let work = Work::default();
        let all = gather((
            work.clone().hold(1),
            work.clone().hold(3),
            work.clone().hold(2),
        ));
        // Not even between the end of the last child and ours.
        let ended = catch_cancelled(all).await;
        work.check()();
        match ended {
            Ok(values) => assert_eq!(values, (1, 3, 2)),
            Err(cancelled) => cancelled.propagate().await,
        }
        let nested = gather([gather([sleep(1), sleep(2)]), gather([sleep(2), sleep(1)])]);
        nested.await;
    });
}

#[test]
fn try_gather_leaves_children_that_end_by_themselves() {
    sweep_shared(|| {
        let work = Work::default();
        let (one, two) = (work.clone(), work.clone());
        let program = async move {
            let fails = async {
                sleep(2).await;
                Err("failed")
            };
            let ok = async |work: Work, seconds| Ok(work.hold(seconds).await);
            let all = try_gather((ok(one, 1), fails, ok(two, 5)));
            assert_eq!(all.await.map(|(_, (), _)| ()), Err("failed"));
            sleep(1).await;
        };
        (program, work.check())
    });
}

#[test]
fn wait_for_waits_for_what_it_cancelled() {
    sweep(|| async {
        let work = Work::default();
        let in_time = wait_for(create_task(work.clone().hold(1)), 5);
        let held = catch_cancelled(in_time).await;
        work.clone().check()();
        if let Err(cancelled) = held {
            return cancelled.propagate().await;
        }
        let late = catch_cancelled(wait_for(create_task(work.clone().hold(100)), 2)).await;
        work.clone().check()();
        match late {
            Ok(outcome) => assert!(outcome.is_err()),
            Err(cancelled) => return cancelled.propagate().await,
        }
        assert!(wait_for(sleep(100), 2).await.is_err());
        assert!(wait_for(create_task(sleep(100)), 0).await.is_err());
    });
}

#[test]
fn a_scope_of_borrowing_children() {
    sweep(|| async {
        let work = Work::default();
        let seconds = [1, 4, 2];
        let held = scope(async |s| {
            let children: Vec<_> = seconds
                .iter()
                .map(|seconds| s.spawn(work.clone().hold(*seconds)))
                .collect();
            // One that nobody awaits, and one of a child.
            let (nested, held) = (s.clone(), work.clone());
            s.spawn(async move {
                let inner = nested.spawn(held.hold(3));
                assert_eq!(inner.await, 3);
            });
            let mut sum = 0;
            for child in children {
                sum += child.await;
            }
            sum
        });
        let ended = catch_cancelled(held).await;
        work.clone().check()();
        match ended {
            Ok(sum) => assert_eq!(sum, 7),
            Err(cancelled) => return cancelled.propagate().await,
        }
        // Under a timeout, which ends all of it.
        let late = timeout(2, scope(async |s| s.spawn(work.clone().hold(50)).await)).await;
        work.check()();
        assert!(late.is_err());
    });
}

#[test]
fn a_scope_whose_child_fails() {
    sweep(|| async {
        let work = Work::default();
        let failed = try_scope(async |s| {
            let held = work.clone();
            s.spawn(async move { Ok(held.hold(50).await) });
            let fails = s.spawn(async {
                sleep(2).await;
                Err::<(), _>("failed")
            });
            fails.await;
            Ok(())
        });
        let ended = catch_cancelled(failed).await;
        work.check()();
        match ended {
            Ok(outcome) => assert_eq!(outcome, Err("failed")),
            Err(cancelled) => return cancelled.propagate().await,
        }
        sleep(1).await;
    });
}

#[test]
fn shield_leaves_its_task_alone() {
    sweep_shared(|| {
        let ended = Rc::<Cell<bool>>::default();
        let end = ended.clone();
        let started = Rc::<Cell<bool>>::default();
        let start = started.clone();
        let program = async move {
            let mut task = create_task(async move {
                start.set(true);
                sleep(5).await;
                end.set(true);
            });
            let _ = wait_for(shield(&mut task), 2).await;
            shield(task).await.unwrap();
            sleep(1).await;
        };
        let check = move || assert_eq!(started.get(), ended.get(), "the shielded task was hit");
        (program, check)
    });
}

#[test]
fn timeouts_in_timeouts() {
    sweep(|| async {
        for (outer, inner) in [(3, 1), (1, 3), (2, 2), (0, 2), (2, 0)] {
            let work = Work::default();
            let held = work.clone();
            let body = async move {
                let _ = timeout(inner, held.hold(50)).await;
                sleep(50).await;
            };
            let ended = catch_cancelled(timeout(outer, body)).await;
            work.check()();
            match ended {
                Ok(outcome) => assert!(outcome.is_err()),
                Err(cancelled) => return cancelled.propagate().await,
            }
        }
    });
}

#[test]
fn groups_in_groups() {
    sweep(|| async {
        let work = Work::default();
        let (one, two, three) = (work.clone(), work.clone(), work.clone());
        let group = TaskGroup::<&str>::scope(async move |group| {
            drop(group.create_task(async move { Ok(one.hold(2).await) }));
            let inner = TaskGroup::<&str>::scope(async move |group| {
                drop(group.create_task(async move { Ok(two.hold(3).await) }));
                drop(group.create_task(async move {
                    sleep(2).await;
                    Err::<(), _>("inner")
                }));
                sleep(1).await;
                Ok(())
            });
            assert!(inner.await.is_err());
            let late = group.clone();
            drop(group.create_task(async move {
                sleep(1).await;
                drop(late.create_task(async move { Ok(three.hold(1).await) }));
                Ok(())
            }));
            sleep(1).await;
            Ok(())
        });
        let ended = catch_cancelled(group).await;
        work.check()();
        match ended {
            Ok(outcome) => assert!(outcome.is_ok()),
            Err(cancelled) => cancelled.propagate().await,
        }
    });
}

#[test]
fn a_group_that_fails_under_a_timeout() {
    sweep(|| async {
        for delay in [1, 2, 3, 4] {
            let work = Work::default();
            let (one, two) = (work.clone(), work.clone());
            let group = TaskGroup::<&str>::scope(async move |group| {
                drop(group.create_task(async move { Ok(one.hold(50).await) }));
                drop(group.create_task(async move {
                    sleep(2).await;
                    Err::<(), _>("failed")
                }));
                two.hold(50).await;
                Ok(())
            });
            let ended = catch_cancelled(timeout(delay, group)).await;
            work.check()();
            match ended {
                Ok(Ok(Ok(()))) => panic!("it can only fail"),
                Ok(_) => {}
                Err(cancelled) => return cancelled.propagate().await,
            }
        }
        sleep(1).await;
    });
}

#[test]
fn waiting_leaves_the_tasks_alone() {
    sweep_shared(|| {
        let ended = Rc::<Cell<u32>>::default();
        let begun = Rc::<Cell<u32>>::default();
        let (ends, begins) = (ended.clone(), begun.clone());
        let program = async move {
            let tasks = [1, 2, 3, 4].map(|n| {
                let (ends, begins) = (ends.clone(), begins.clone());
                create_task(async move {
                    begins.set(begins.get() + 1);
                    sleep(n).await;
                    ends.set(ends.get() + 1);
                })
            });
            let first = wait(tasks).return_when(ReturnWhen::FirstCompleted).await;
            assert_eq!(first.done.len(), 1);
            let more = wait(&first.pending).timeout(1.5).await;
            assert_eq!(more.pending.len(), 2);
            let mut completed = as_completed(first.pending);
            while let Some(task) = completed.next().await {
                task.await.unwrap();
            }
            sleep(1).await;
        };
        (program, move || {
            assert_eq!(begun.get(), ended.get(), "tasks were hit")
        })
    });
}

#[test]
fn a_timeout_that_is_moved() {
    sweep(|| async {
        let work = Work::default();
        let limit = Timeout::new(2);
        let held = work.clone();
        let ended = limit.scope(async move |limit| {
            sleep(1).await;
            let later = get_running_loop().time() + Duration::from_secs(30);
            limit.reschedule(later).unwrap();
            held.hold(2).await;
            limit.reschedule(LoopTime::ZERO).unwrap();
            sleep(50).await;
        });
        let ended = catch_cancelled(ended).await;
        work.check()();
        match ended {
            Ok(outcome) => assert!(outcome.is_err()),
            Err(cancelled) => cancelled.propagate().await,
        }
    });
}

#[test]
fn several_branches_in_one_task() {
    sweep_shared(|| {
        let work = Work::default();
        let (one, two, three) = (work.clone(), work.clone(), work.clone());
        let program = async move {
            let first = create_task(one.hold(1));
            let second = timeout(2, create_task(two.hold(20)));
            let (first, second) = join(async { first.await.unwrap() }, second).await;
            assert!(first == 1 && second.is_err());
            let third = create_task(three.hold(1)).into_future();
            let never = pending::<()>();
            pin_mut!(third, never);
            select(third, never).await;
            sleep(1).await;
        };
        (program, work.check())
    });
}

#[test]
fn a_lock_is_free_in_the_end() {
    sweep_shared(|| {
        let lock = Rc::new(Lock::new());
        let check = lock.clone();
        let program = async move {
            for n in 1..=2 {
                let lock = lock.clone();
                create_task(async move {
                    let _guard = lock.acquire().await;
                    sleep(n).await;
                })
                .detach();
            }
            sleep(0).await;
            {
                let _guard = lock.acquire().await; // behind the two
                sleep(1).await;
                let other = lock.clone();
                let next = create_task(async move { drop(other.acquire().await) });
                let _ = timeout(1, next).await;
            }
            let _guard = lock.acquire_owned().await;
            sleep(1).await;
        };
        let check = move || {
            assert!(!check.locked(), "the lock is held");
            assert!(check.try_acquire().is_some());
        };
        (program, check)
    });
}

#[test]
fn no_item_of_a_queue_is_lost() {
    sweep_shared(|| {
        let queue = Rc::new(Queue::bounded(2));
        let put = Rc::<RefCell<Vec<u32>>>::default();
        let got = Rc::<RefCell<Vec<u32>>>::default();
        let (all, others, rest) = (put.clone(), got.clone(), queue.clone());
        let program = async move {
            // Fills the queue and then waits for room, while this task gets; then the other way round.
            let (producer, sent) = (queue.clone(), put.clone());
            create_task(async move {
                for n in 0..5 {
                    // If nobody gets any more, this ends too, and takes its item with it.
                    if timeout(10, producer.put(n)).await.is_err() {
                        break;
                    }
                    sent.borrow_mut().push(n);
                }
            })
            .detach();
            for _ in 0..3 {
                sleep(1).await;
                let item = queue.get().await.unwrap();
                got.borrow_mut().push(item);
            }
            let (consumer, received) = (queue.clone(), got.clone());
            create_task(async move {
                while let Ok(Ok(n)) = timeout(10, consumer.get()).await {
                    received.borrow_mut().push(n);
                    consumer.task_done().unwrap();
                }
            })
            .detach();
            for n in 10..15 {
                queue.put(n).await.unwrap();
                put.borrow_mut().push(n);
            }
            sleep(1).await;
        };
        let check = move || {
            let mut found = others.take();
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

#[test]
fn futures_and_their_awaiters() {
    sweep_shared(|| {
        let future = Promise::<u32>::new();
        let check = future.clone();
        let program = async move {
            let other = future.clone();
            let awaiter = create_task(async move { drop(other.await) });
            let setter = future.clone();
            get_running_loop().call_later(2, move || {
                let _ = setter.set_result(1);
            });
            let _ = timeout(5, future.clone()).await.unwrap();
            awaiter.await.unwrap();
            sleep(1).await;
        };
        (program, move || drop(check))
    });
}

#[test]
fn calls_in_threads() {
    let sweep = Sweep {
        children: Children::EndLater,
        real_time: true,
    };
    sweep.over(|| {
        let program = async {
            let sum = to_thread(|| (1..=10).sum::<u32>()).await;
            assert_eq!(sum, 55);
            let both = gather([1, 2].map(|n| to_thread(move || n))).await;
            assert_eq!(both, [1, 2]);
        };
        (program, || ())
    });
}

/// How many sockets of this process have `port` at one end. `None` where there is no `/proc`.
fn sockets_with(port: u16) -> Option<usize> {
    let port = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/self/net/tcp").ok()?;
    let inodes: Vec<String> = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[1].ends_with(&port) || fields[2].ends_with(&port))
        .map(|fields| format!("socket:[{}]", fields[9]))
        .collect();
    let open = std::fs::read_dir("/proc/self/fd").ok()?;
    let links = open
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok());
    Some(
        links
            .filter(|link| {
                inodes
                    .iter()
                    .any(|inode| link.as_os_str() == inode.as_str())
            })
            .count(),
    )
}

#[test]
fn streams_over_loopback() {
    let ports = Rc::<RefCell<Vec<u16>>>::default();
    let sweep = Sweep {
        children: Children::EndLater,
        real_time: true,
    };
    sweep.over(|| {
        let ports = ports.clone();
        let program = async move {
            let echo = async |mut reader: asyncio::StreamReader, writer: asyncio::StreamWriter| {
                while let Ok(line) = reader.readline().await
                    && !line.is_empty()
                {
                    writer.write(&line);
                    if writer.drain().await.is_err() {
                        break;
                    }
                }
            };
            let server = start_server(echo, "127.0.0.1", 0).await.unwrap();
            let port = server.local_addrs()[0].port();
            ports.borrow_mut().push(port);
            let (mut reader, writer) = open_connection("127.0.0.1", port).await.unwrap();
            if let Some(open) = sockets_with(port) {
                assert!(
                    open >= 2,
                    "the listener and this end, and {open} were found"
                );
            }
            writer.write(b"hello\n");
            writer.drain().await.unwrap();
            assert_eq!(reader.readline().await.unwrap(), "hello\n");
            assert!(timeout(0.001, reader.readline()).await.is_err());
            writer.write(b"again\n");
            assert_eq!(reader.readexactly(6).await.unwrap(), "again\n");
            writer.close();
            writer.wait_closed().await.unwrap();
            server.close();
            server.wait_closed().await;
        };
        (program, || ())
    });
    let ports = ports.take();
    assert!(!ports.is_empty());
    let mut counted = true;
    for port in ports {
        match sockets_with(port) {
            Some(open) => assert_eq!(open, 0, "sockets of port {port} left open"),
            None => counted = false,
        }
    }
    if !counted {
        say("skipped: open descriptors after the sweep: there is no /proc here");
    }
}

#[test]
#[should_panic(expected = "left behind")]
fn the_sweep_finds_a_child_that_is_left() {
    sweep(|| async {
        create_task(sleep(10)).detach();
        sleep(1).await;
    });
}

#[test]
#[should_panic(expected = "not taken back")]
fn the_sweep_finds_a_count_that_is_not_taken_back() {
    sweep(|| async {
        if catch_cancelled(sleep(1)).await.is_err() {
            current_task().unwrap().cancel();
        }
    });
}

#[test]
#[should_panic(expected = "hangs")]
fn the_sweep_finds_a_program_that_never_ends() {
    sweep(|| async {
        let _ = catch_cancelled(sleep(1)).await;
        if asyncio::cancelling() > 0 {
            pending::<()>().await;
        }
    });
}
