//! What is taken is given back: no zombie, no descriptor. Both belong to the process, so these tests have one each.

use std::cell::RefCell;
use std::future::poll_fn;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::rc::Rc;
use std::task::Poll;

use asyncio_net::{BaseProtocol, BaseTransport};
use asyncio_process::{
    Stdio, SubprocessBuilder, SubprocessProtocol, SubprocessTransport, create_subprocess_exec,
    subprocess_exec,
};
use asyncio_runtime::EventLoop;
use asyncio_sync::{Event, Semaphore};
use rustix::io::DupFlags;

use crate::support::*;

/// Runs one of the ignored tests below in a process with a limit of open files.
fn alone(test: &str, open_files: u32) {
    alone_by(test, &format!("ulimit -n {open_files} && exec"));
}

/// The same, in a process that a shell starts by this command.
fn alone_by(test: &str, command: &str) {
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("{command} \"$0\" \"$@\""))
        .arg(std::env::current_exe().unwrap())
        .arg(format!("resources::in_a_process_of_its_own::{test}"))
        .args(["--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn five_hundred_children_sixteen_at_a_time_leave_nothing() {
    alone("five_hundred_children", 256);
}

// S232
#[test]
fn dropped_handles_leave_no_zombies() {
    alone("dropped_handles", 256);
}

#[test]
fn a_loop_that_ends_with_children_running_leaves_no_zombies() {
    alone("the_end_of_the_loop", 256);
}

#[test]
fn a_child_that_outlives_its_loop_is_reaped_by_the_next_one() {
    alone("the_next_loop", 256);
}

// S231
#[test]
fn a_cancelled_start_leaves_no_process_behind() {
    alone("a_cancelled_start", 256);
}

#[test]
fn wherever_a_program_is_cancelled_or_dropped_nothing_is_left() {
    alone("cancelled_and_dropped_everywhere", 256);
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    alone("failed_starts", 256);
}

#[test]
fn out_of_descriptors_is_an_error_and_leaves_no_child() {
    alone("out_of_descriptors", 40);
}

#[test]
fn a_child_that_a_loop_cannot_watch_is_looked_for_and_that_is_reported() {
    alone("unwatched", 40);
}

#[test]
fn a_closed_loop_leaves_its_children_to_others_at_once() {
    alone("a_closed_loop", 256);
}

#[test]
fn a_program_that_has_closed_its_standard_streams_can_have_children() {
    alone("closed_standard_streams", 256);
}

#[test]
fn a_program_that_ignores_sigchld_can_start_children_and_goes_on_ignoring_it() {
    // A shell need not have its children ignore it.
    let env = "env --ignore-signal=CHLD";
    let known = Command::new("sh")
        .args(["-c", &format!("{env} true")])
        .output();
    if !known.unwrap().status.success() {
        println!("skipped: the program `env` has no option --ignore-signal");
        return;
    }
    alone_by("ignored_sigchld", &format!("exec {env}"));
}

mod in_a_process_of_its_own {
    use super::*;

    /// What is open. The list is what a broken test wants to see.
    fn descriptors() -> Vec<String> {
        let mut open: Vec<_> = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            .map(|path| {
                let path = path.to_string_lossy();
                path.trim_end_matches(|last: char| last.is_ascii_digit() || last == ']')
                    .to_owned()
            })
            .collect();
        open.sort();
        open
    }

    const WAYS: [fn(SubprocessBuilder) -> SubprocessBuilder; 2] =
        [|builder| builder, SubprocessBuilder::without_pidfd];

    #[test]
    #[ignore = "run by `five_hundred_children_sixteen_at_a_time_leave_nothing`"]
    fn five_hundred_children() {
        for how in WAYS {
            run(async move {
                let before = descriptors();
                let permits = Rc::new(Semaphore::new(16));
                let tasks: Vec<_> = (0..500_u32)
                    .map(|number| {
                        let permits = permits.clone();
                        spawn(async move {
                            let _permit = permits.acquire().await;
                            let mut child = how(shell("read n; echo $n; exit $((n % 200))"));
                            child = child.stderr(Stdio::Stdout);
                            let mut child = child.spawn().await.unwrap();
                            let output = child.communicate(format!("{number}\n")).await;
                            assert_eq!(output.unwrap().stdout.unwrap(), format!("{number}\n"));
                            assert_eq!(child.returncode(), Some(number as i32 % 200));
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                assert_eq!(children(), Vec::<String>::new());
                assert_eq!(descriptors(), before);
            });
        }
    }

    #[test]
    #[ignore = "run by `dropped_handles_leave_no_zombies`"]
    fn dropped_handles() {
        for how in WAYS {
            run(async move {
                // The loop's own timer is made when it is first needed.
                asyncio_timers::Sleep::new(0.001).await;
                let before = descriptors();
                for round in 0..20 {
                    let child = how(shell("exec sleep 60")).spawn().await.unwrap();
                    assert_eq!(children().len(), 1, "round {round}");
                    drop(child);
                    until(|| children().is_empty()).await;
                }
                assert_eq!(descriptors(), before);
            });
        }
    }

    #[test]
    #[ignore = "run by `a_loop_that_ends_with_children_running_leaves_no_zombies`"]
    fn the_end_of_the_loop() {
        for how in WAYS {
            let before = descriptors();
            run(async move {
                let held = how(shell("exec sleep 60")).spawn().await.unwrap();
                spawn(async move { held.wait().await }).detach();
                let dropped_last = how(shell("exec sleep 60")).spawn().await.unwrap();
                assert_eq!(children().len(), 2);
                drop(dropped_last);
            });
            assert_eq!(children(), Vec::<String>::new());
            // A handle that is dropped after the loop.
            let child = run(async move {
                let child = create_subprocess_exec("sleep").arg("60");
                how(child).spawn().await.unwrap()
            });
            assert_eq!(children().len(), 1);
            drop(child);
            assert_eq!(children(), Vec::<String>::new());
            assert_eq!(descriptors(), before);
        }
    }

    #[test]
    #[ignore = "run by `a_child_that_outlives_its_loop_is_reaped_by_the_next_one`"]
    fn the_next_loop() {
        for how in WAYS {
            let before = descriptors();
            let (reader, writer) = std::io::pipe().unwrap();
            run(async move {
                let child = create_subprocess_exec("cat")
                    .stdin(reader)
                    .kill_on_drop(false);
                drop(how(child).spawn().await.unwrap());
            });
            assert_eq!(children().len(), 1, "it runs on");
            run(async move {
                let other = create_subprocess_exec("true").spawn().await.unwrap();
                assert_eq!(other.wait().await, 0);
                assert_eq!(children().len(), 1);
                drop(writer); // and now it ends
                until(|| children().is_empty()).await;
            });
            assert_eq!(descriptors(), before);
        }
    }

    #[test]
    #[ignore = "run by `a_cancelled_start_leaves_no_process_behind`"]
    fn a_cancelled_start() {
        for how in WAYS {
            run(async move {
                let before = descriptors();
                let task = spawn(async move {
                    let _child = how(shell("exec sleep 60")).spawn().await;
                    unreachable!("cancelled while it started");
                });
                yield_now().await;
                assert_eq!(children().len(), 1);
                task.cancel();
                assert!(task.await.unwrap_err().is_cancelled());
                assert_eq!(
                    children(),
                    Vec::<String>::new(),
                    "reaped before the task ended"
                );
                assert_eq!(descriptors(), before);
            });
        }
    }

    /// Everything that waits, in one program.
    async fn program(how: fn(SubprocessBuilder) -> SubprocessBuilder) {
        let mut child = how(shell("cat; exit 3")).spawn().await.unwrap();
        let stdin = child.stdin.as_ref().unwrap();
        stdin.write("one\ntwo\n");
        assert_eq!(line(&mut child).await, "one\n");
        assert_eq!(line(&mut child).await, "two\n");
        let output = child.communicate(vec![b'x'; 200_000]).await.unwrap();
        assert_eq!(output.stdout.unwrap().len(), 200_000);
        let protocol = subprocess_exec(Nothing::default, how(shell("read a"))).await;
        let (transport, protocol) = protocol.unwrap();
        transport.get_pipe_transport(0).unwrap().close();
        protocol.0.wait().await;
        let held = how(shell("exec sleep 60")).spawn().await.unwrap();
        held.kill().unwrap();
        assert_eq!(held.wait().await, -9);
    }

    #[derive(Default)]
    struct Nothing(Event);

    impl BaseProtocol<SubprocessTransport> for Nothing {
        fn connection_lost(&self, _: Option<std::io::Error>) {
            self.0.set();
        }
    }

    impl SubprocessProtocol for Nothing {}

    #[test]
    #[ignore = "run by `wherever_a_program_is_cancelled_or_dropped_nothing_is_left`"]
    fn cancelled_and_dropped_everywhere() {
        for how in WAYS {
            for cancel in [true, false] {
                let mut ended = false;
                let mut waits = 0;
                while !ended {
                    waits += 1;
                    assert!(waits < 1000, "it ends some time");
                    ended = run(cut_after(waits, cancel, how));
                }
                assert!(waits > 6, "it waits more often: {waits}");
            }
        }
    }

    /// Ends the program where it waits for the `waits`th time; true if it does not wait so often.
    async fn cut_after(
        waits: usize,
        cancel: bool,
        how: fn(SubprocessBuilder) -> SubprocessBuilder,
    ) -> bool {
        asyncio_timers::Sleep::new(0.001).await;
        let before = descriptors();
        let mut waited = 0;
        let task = spawn(async move {
            let mut program = Box::pin(program(how));
            poll_fn(move |cx| {
                let polled = program.as_mut().poll(cx);
                waited += usize::from(polled.is_pending());
                match polled {
                    Poll::Pending if waited == waits && cancel => {
                        asyncio_executor::current_task().unwrap().cancel();
                        Poll::Pending
                    }
                    Poll::Pending if waited == waits => Poll::Ready(false),
                    polled => polled.map(|()| true),
                }
            })
            .await
        });
        let ended = task.await.unwrap_or(false);
        until(|| children().is_empty() && descriptors() == before).await;
        ended
    }

    #[test]
    #[ignore = "run by `a_start_that_fails_leaves_nothing_behind`"]
    fn failed_starts() {
        run(async {
            let before = descriptors();
            for _ in 0..20 {
                let child = create_subprocess_exec("/no/such/program").stdin(Stdio::Piped);
                let child = child.stdout(Stdio::Piped).stderr(Stdio::Piped);
                assert!(child.start_new_session(true).spawn().await.is_err());
            }
            assert_eq!(descriptors(), before);
            assert_eq!(children(), Vec::<String>::new());
        });
    }

    /// Whether SIGCHLD is ignored, as the system has it.
    fn ignores_sigchld() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("SigIgn:"));
        let ignored = line.unwrap().split_whitespace().nth(1).unwrap();
        u64::from_str_radix(ignored, 16).unwrap() & 1 << (17 - 1) != 0
    }

    #[test]
    #[ignore = "run by `a_program_that_ignores_sigchld_can_start_children_and_goes_on_ignoring_it`"]
    fn ignored_sigchld() {
        for how in WAYS {
            run(async move {
                assert!(ignores_sigchld());
                // By `fork`, where `std` itself waits for the child that cannot be.
                let nowhere = how(create_subprocess_exec("/no/such/program"));
                let error = nowhere.start_new_session(true).spawn().await.unwrap_err();
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
                let nowhere = how(create_subprocess_exec("/no/such/program"));
                assert!(nowhere.spawn().await.is_err());
                assert!(ignores_sigchld(), "the former action is back");
                for by_fork in [true, false] {
                    let mut child = how(shell("read a; exit $a")).start_new_session(by_fork);
                    child = child.stderr(Stdio::Null);
                    let child = child.spawn().await.unwrap();
                    child.stdin.as_ref().unwrap().write("0\n");
                    // The kernel may have forgotten it as it ended.
                    assert!([0, 255].contains(&child.wait().await));
                }
                assert_eq!(children(), Vec::<String>::new());
            });
            assert!(ignores_sigchld());
        }
    }

    #[test]
    #[ignore = "run by `out_of_descriptors_is_an_error_and_leaves_no_child`"]
    fn out_of_descriptors() {
        for how in WAYS {
            run(async move {
                let mut taken = Vec::new();
                while let Ok(file) = std::fs::File::open("/dev/null") {
                    taken.push(file);
                }
                // Without pipes it is only the child's end that cannot be heard of.
                let unheard = how(create_subprocess_exec("sleep").arg("60")).spawn();
                let error = unheard.await.unwrap_err();
                assert_eq!(error.raw_os_error(), Some(24), "{error}");
                // Two are needed to look.
                taken.truncate(taken.len() - 2);
                assert_eq!(children(), Vec::<String>::new());
                while let Ok(file) = std::fs::File::open("/dev/null") {
                    taken.push(file);
                }
                // One more each time, so that every step of a start is the first to fail once.
                let mut failures = 0;
                let started = loop {
                    match how(shell("exec sleep 60"))
                        .stderr(Stdio::Piped)
                        .spawn()
                        .await
                    {
                        Ok(child) => break child,
                        Err(error) => {
                            assert_eq!(error.raw_os_error().unwrap_or(24), 24, "{error}");
                            failures += 1;
                            taken.pop().unwrap();
                        }
                    }
                };
                assert!(failures >= 6, "{failures}");
                drop(taken);
                assert_eq!(started.returncode(), None);
                drop(started);
                until(|| children().is_empty()).await;
            });
        }
    }

    /// By SIGCHLD alone: a watch on the child's descriptor needs no other.
    #[test]
    #[ignore = "run by `a_child_that_a_loop_cannot_watch_is_looked_for_and_that_is_reported`"]
    fn unwatched() {
        for close in [false, true] {
            let loops = [EventLoop::new().unwrap(), EventLoop::new().unwrap()];
            let sleeping = create_subprocess_exec("sleep").arg("60").without_pidfd();
            let child = loops[0].run_until_complete(async { sleeping.spawn().await.unwrap() });
            let child = Rc::new(child.unwrap());
            if close {
                loops[0].close().unwrap();
            }
            let reports = Rc::new(RefCell::new(Vec::new()));
            let seen = reports.clone();
            loops[1].set_exception_handler(Some(Rc::new(move |report| {
                seen.borrow_mut().push(report.message.clone())
            })));
            let pid = child.pid();
            let code = loops[1].run_until_complete(async move {
                let mut taken = Vec::new();
                while let Ok(file) = std::fs::File::open("/dev/null") {
                    taken.push(file);
                }
                let waiter = child.clone();
                let waiter = spawn(async move { waiter.wait().await });
                // It looks more than once.
                asyncio_timers::Sleep::new(0.01).await;
                assert!(!waiter.done());
                child.kill().unwrap();
                waiter.await.unwrap()
            });
            assert_eq!(code.unwrap(), -9);
            let reports = reports.borrow();
            assert_eq!(reports.len(), 1, "{reports:?}");
            assert!(reports[0].contains(&pid.to_string()), "{reports:?}");
            drop(loops);
            assert_eq!(children(), Vec::<String>::new());
        }
    }

    #[test]
    #[ignore = "run by `a_closed_loop_leaves_its_children_to_others_at_once`"]
    fn a_closed_loop() {
        for how in WAYS {
            let before = descriptors();
            let (reader, writer) = std::io::pipe().unwrap();
            let closed = EventLoop::new().unwrap();
            closed
                .run_until_complete(async move {
                    let survivor = create_subprocess_exec("cat")
                        .stdin(reader)
                        .kill_on_drop(false);
                    drop(how(survivor).spawn().await.unwrap());
                    // Killed, and the loop has not heard of its end.
                    drop(how(shell("exec sleep 60")).spawn().await.unwrap());
                })
                .unwrap();
            closed.close().unwrap();
            assert_eq!(children().len(), 1, "only the one that was to survive");
            run(async move {
                let other = create_subprocess_exec("true").spawn().await.unwrap();
                assert_eq!(other.wait().await, 0);
                drop(writer); // and now it ends
                until(|| children().is_empty()).await;
            });
            drop(closed);
            assert_eq!(descriptors(), before);
        }
    }

    #[test]
    #[ignore = "run by `a_program_that_has_closed_its_standard_streams_can_have_children`"]
    fn closed_standard_streams() {
        for how in WAYS {
            for by_fork in [false, true] {
                run(async move {
                    let kept = close_standard_streams();
                    let outcome = spawn(without_standard_streams(move |child| {
                        how(child).start_new_session(by_fork)
                    }));
                    let outcome = outcome.await;
                    open_standard_streams(kept);
                    assert_eq!(children(), Vec::<String>::new());
                    outcome.unwrap();
                });
            }
        }
    }

    async fn without_standard_streams(how: impl Fn(SubprocessBuilder) -> SubprocessBuilder) {
        // What is made for a child has the very numbers that the child is to have.
        let script = "read a; echo out $a; echo err $a >&2; exit 3";
        let child = how(shell(script)).stderr(Stdio::Piped).spawn().await;
        let mut child = child.unwrap();
        let output = child.communicate("in\n").await.unwrap();
        assert_eq!(output.stdout.unwrap(), "out in\n");
        assert_eq!(output.stderr.unwrap(), "err in\n");
        assert_eq!(child.returncode(), Some(3));
        drop(child);

        let nowhere = |program: &str| {
            let child = how(create_subprocess_exec(program)).stdin(Stdio::Null);
            child.stdout(Stdio::Null).stderr(Stdio::Null)
        };
        let script = "for n in 0 1 2; do test -e /proc/self/fd/$n || exit 1$n; done";
        let child = nowhere("sh").args(["-c", script]).spawn().await.unwrap();
        assert_eq!(child.wait().await, 0, "it has all three");
        drop(child);
        assert!(nowhere("/no/such/program").spawn().await.is_err());

        // Nothing of ours is taken for the standard streams that there are not.
        let script = "for n in 0 1 2; do test -e /proc/self/fd/$n || echo no $n; done";
        let child = how(create_subprocess_exec("sh").args(["-c", script])).stdout(Stdio::Piped);
        let mut child = child.spawn().await.unwrap();
        let output = child.communicate("").await.unwrap().stdout.unwrap();
        assert_eq!(output, "no 0\nno 2\n");
    }

    fn close_standard_streams() -> [OwnedFd; 3] {
        let kept = [0, 1, 2].map(|number| {
            // SAFETY: nobody uses it until it is open again: the test prints nothing meanwhile.
            let standard = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
            standard.as_fd().try_clone_to_owned().unwrap()
        });
        for number in 0..3 {
            // SAFETY: as above.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
        kept
    }

    fn open_standard_streams(kept: [OwnedFd; 3]) {
        for (number, kept) in kept.iter().enumerate() {
            // SAFETY: what had the number has been closed.
            let place = unsafe { OwnedFd::from_raw_fd(number as i32) };
            rustix::io::dup3(kept, &mut ManuallyDrop::new(place), DupFlags::empty()).unwrap();
        }
    }
}
