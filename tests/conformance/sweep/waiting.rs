//! The sweep over what waits for several tasks and cancels none: they go on, whatever happens to who waits.

use std::cell::Cell;
use std::rc::Rc;

use asyncio::{ReturnWhen, Task, as_completed, create_task, gather, sleep, try_wait};

use super::sweep_shared;

/// Tasks that count how many of them began, and how many came to their end; the first of each pair fails.
#[derive(Clone, Default)]
struct Workers {
    begun: Rc<Cell<u32>>,
    ended: Rc<Cell<u32>>,
}

impl Workers {
    fn start<const N: usize>(&self, seconds: [u64; N]) -> Vec<Task<Result<u64, u64>>> {
        let start = |seconds: u64| {
            let workers = self.clone();
            create_task(async move {
                workers.begun.set(workers.begun.get() + 1);
                sleep(seconds).await;
                workers.ended.set(workers.ended.get() + 1);
                if seconds % 2 == 1 {
                    Ok(seconds)
                } else {
                    Err(seconds)
                }
            })
        };
        seconds.map(start).into()
    }

    fn check(self) -> impl FnOnce() {
        move || assert_eq!(self.begun.get(), self.ended.get(), "tasks were hit")
    }
}

#[test]
fn trying_to_wait_leaves_the_tasks_alone() {
    sweep_shared(|| {
        let workers = Workers::default();
        let check = workers.clone().check();
        let program = async move {
            let mut first = try_wait(workers.start([1, 2, 3, 5, 6]))
                .return_when(ReturnWhen::FirstException)
                .await;
            // The one that ended well, and the one that failed.
            assert_eq!((first.done.len(), first.pending.len()), (2, 3));
            let late = try_wait(&mut first.pending).timeout(0.5).await;
            assert_eq!(late.done.len(), 0);
            let next = try_wait(first.pending)
                .return_when(ReturnWhen::FirstCompleted)
                .await;
            assert_eq!((next.done.len(), next.pending.len()), (1, 2));
            let rest = try_wait(next.pending).await;
            assert_eq!(rest.done.len(), 2);
            gather(rest.done).await;
        };
        (program, check)
    });
}

#[test]
fn tasks_as_they_complete_are_left_alone_also_when_the_time_is_over() {
    sweep_shared(|| {
        let workers = Workers::default();
        let check = workers.clone().check();
        let program = async move {
            let mut completed = as_completed(workers.start([5, 1, 2, 9])).timeout(4);
            let mut given = Vec::new();
            while let Some(Ok(task)) = completed.next().await {
                given.push(task.await.unwrap());
                sleep(0).await;
            }
            assert_eq!(given, [Ok(1), Err(2)]);
            // It was told once, and is over.
            assert!(completed.next().await.is_none());
            let late = completed.into_pending();
            assert_eq!(late.len(), 2);
            let mut completed = as_completed(late).timeout(100);
            let next = completed.next().await.unwrap().unwrap();
            assert_eq!(next.await.unwrap(), Ok(5));
            assert_eq!(completed.into_pending().len(), 1);
        };
        (program, check)
    });
}
