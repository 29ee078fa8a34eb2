//! How a child ends, and who hears of it.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use asyncio_process::{ProcessLookupError, Stdio, SubprocessBuilder, create_subprocess_exec};
use asyncio_runtime::{EventLoop, get_running_loop};
use asyncio_signal::{SIGKILL, SIGTERM, SIGUSR1};
use rustix::process::{Pid, WaitId, WaitIdOptions};

use crate::support::*;

// S227
#[test]
fn any_number_of_tasks_wait_for_what_a_child_returns() {
    both_ways(|how| async move {
        let mut child = how(shell("read line; exit 7")).spawn().await.unwrap();
        let stdin = child.stdin.take().unwrap();
        let child = Rc::new(child);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let child = child.clone();
                spawn(async move { child.wait().await })
            })
            .collect();
        yield_now().await;
        stdin.write("go\n");
        for waiter in waiters {
            assert_eq!(waiter.await.unwrap(), 7);
        }
        assert_eq!(child.wait().await, 7, "and later, too");
        assert_eq!(child.returncode(), Some(7));
    });
}

// S227
#[test]
fn a_child_ended_by_a_signal_gives_its_negated_number() {
    both_ways(|how| async move {
        for (signal, code) in [(SIGTERM, -15), (SIGKILL, -9), (SIGUSR1, -10)] {
            let child = how(create_subprocess_exec("sleep").arg("60")).spawn().await;
            let child = child.unwrap();
            child.send_signal(signal).unwrap();
            assert_eq!(child.wait().await, code);
        }
        let real_time = how(create_subprocess_exec("sleep").arg("60")).spawn().await;
        let real_time = real_time.unwrap();
        real_time.send_signal(40).unwrap();
        assert_eq!(real_time.wait().await, -40);
    });
}

// S227
#[test]
fn a_cancelled_wait_does_not_affect_the_child() {
    both_ways(|how| async move {
        let mut child = how(shell("read line; exit 7")).spawn().await.unwrap();
        let stdin = child.stdin.take().unwrap();
        let child = Rc::new(child);
        let waiting = child.clone();
        let task = spawn(async move { waiting.wait().await });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(child.returncode(), None);
        stdin.write("go\n");
        assert_eq!(child.wait().await, 7);
    });
}

/// Holds the thread, and so the loop, until the child has ended.
fn block_until_ended(pid: u32) {
    while !is_zombie(pid) {
        std::thread::yield_now();
    }
}

// S228, S229: on Unix a signal to a process that ended and was not yet processed is ignored.
#[test]
fn until_the_loop_has_processed_the_end_there_is_no_returncode_and_signals_are_ignored() {
    both_ways(|how| async move {
        let child = how(create_subprocess_exec("true")).spawn().await.unwrap();
        // The loop may have seen the end in the turn that `spawn` gave it.
        if child.returncode().is_none() {
            block_until_ended(child.pid());
            assert_eq!(child.returncode(), None);
            child.terminate().unwrap();
            child.kill().unwrap();
            child.send_signal(SIGUSR1).unwrap();
        }
        assert_eq!(child.wait().await, 0);
        for result in [child.terminate(), child.kill(), child.send_signal(10)] {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            let inner: &ProcessLookupError = error.get_ref().unwrap().downcast_ref().unwrap();
            assert_eq!(*inner, ProcessLookupError { pid: child.pid() });
        }
        for number in [0, -1, 65] {
            let error = child.send_signal(number).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        }
    });
}

// S228
#[test]
fn a_child_reaped_elsewhere_gives_255_and_a_warning() {
    both_ways(|how| async move {
        let reports = Rc::new(RefCell::new(Vec::new()));
        let seen = reports.clone();
        get_running_loop().set_exception_handler(Some(Rc::new(move |report| {
            seen.borrow_mut().push(report.message.clone())
        })));
        let child = how(shell("read line")).spawn().await.unwrap();
        let pid = Pid::from_raw(child.pid().cast_signed()).unwrap();
        child.kill().unwrap();
        // Takes the exit status away before the loop has a turn.
        rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap();
        assert_eq!(child.wait().await, 255);
        let reports = reports.borrow();
        assert_eq!(reports.len(), 1);
        assert!(reports[0].contains(&child.pid().to_string()), "{reports:?}");
    });
}

#[test]
fn a_signal_to_the_group_reaches_grandchildren() {
    both_ways(|how| async move {
        let mut child = how(shell("sleep 60 & echo ready; wait"))
            .process_group(0)
            .spawn()
            .await
            .unwrap();
        assert_eq!(line(&mut child).await, "ready\n");
        child.send_signal_to_group(SIGKILL).unwrap();
        // Ends when the last process that has the pipe does.
        assert_eq!(line(&mut child).await, "");
        assert_eq!(child.wait().await, -9);
        let error = child.send_signal_to_group(SIGKILL).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

/// A number that is not held by a child of ours may be any group's.
#[test]
fn a_group_whose_leader_was_reaped_elsewhere_is_left_alone() {
    both_ways(|how| async move {
        let mut child = how(shell("exec 3<&0; cat <&3 & echo ready; wait"))
            .process_group(0)
            .spawn()
            .await
            .unwrap();
        assert_eq!(line(&mut child).await, "ready\n");
        child.kill().unwrap();
        let pid = Pid::from_raw(child.pid().cast_signed()).unwrap();
        rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::EXITED).unwrap();
        child.send_signal_to_group(SIGKILL).unwrap();
        child.stdin.take().unwrap().write("untouched\n");
        assert_eq!(line(&mut child).await, "untouched\n");
    });
}

#[test]
fn without_a_group_of_its_own_there_is_none_to_signal() {
    run(async {
        let child = shell("read line").spawn().await.unwrap();
        let error = child.send_signal_to_group(SIGTERM).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("process_group(0)"), "{error}");
        assert_eq!(child.returncode(), None);
    });
}

// S232
#[test]
fn dropping_the_handle_kills_a_running_child() {
    both_ways(|how| async move {
        let mut child = how(shell("echo ready; exec sleep 60"))
            .spawn()
            .await
            .unwrap();
        assert_eq!(line(&mut child).await, "ready\n");
        let pid = child.pid();
        let mut stdout = child.stdout.take().unwrap();
        drop(child);
        assert_eq!(stdout.read(1).await.unwrap(), "", "the pipe ends with it");
        until(|| !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
    });
}

// S232
#[test]
fn a_child_that_is_to_survive_its_handle_does() {
    both_ways(|how| async move {
        let mut child = how(shell("exec cat"))
            .kill_on_drop(false)
            .spawn()
            .await
            .unwrap();
        let (stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        drop(child);
        stdin.write("still there\n");
        assert_eq!(stdout.readline().await.unwrap(), "still there\n");
        drop(stdin);
        assert_eq!(stdout.readline().await.unwrap(), "");
    });
}

// S232
#[test]
fn debug_mode_tells_of_a_child_that_was_killed_by_dropping_its_handle() {
    run(async {
        let reports = Rc::new(RefCell::new(Vec::new()));
        let seen = reports.clone();
        let event_loop = get_running_loop();
        event_loop.set_debug(true);
        event_loop.set_slow_callback_duration(3600);
        event_loop.set_exception_handler(Some(Rc::new(move |report| {
            seen.borrow_mut().push(report.message.clone())
        })));
        let child = create_subprocess_exec("sleep")
            .arg("60")
            .spawn()
            .await
            .unwrap();
        let pid = child.pid();
        drop(child);
        assert!(reports.borrow()[0].contains(&format!("child process {pid} still ran")));
        let ended = create_subprocess_exec("true").spawn().await.unwrap();
        ended.wait().await;
        drop(ended);
        assert_eq!(reports.borrow().len(), 1);
    });
}

#[test]
fn a_child_can_be_waited_for_on_the_next_loop() {
    both_ways(|how| async move {
        let thread = std::thread::spawn(move || {
            let mut child =
                run(async move { how(shell("read line; exit 7")).spawn().await.unwrap() });
            // Its pipes were the first loop's.
            let stdin = child.stdin.take();
            run(async move {
                drop(stdin);
                assert_eq!(child.wait().await, 7);
            });
        });
        thread.join().unwrap();
    });
}

#[test]
fn a_child_can_be_waited_for_on_another_loop_while_its_own_stands_still() {
    for how in [|builder| builder, SubprocessBuilder::without_pidfd] {
        for close in [false, true] {
            let first = EventLoop::new().unwrap();
            let child = async move { how(shell("read line; exit 7")).spawn().await.unwrap() };
            let mut child = first.run_until_complete(child).unwrap();
            if close {
                first.close().unwrap();
            }
            let stdin = child.stdin.take();
            run(async move {
                drop(stdin);
                assert_eq!(child.wait().await, 7);
            });
        }
    }
}

#[test]
fn two_loops_that_wait_for_the_same_child_both_hear_of_its_end() {
    for how in [|builder| builder, SubprocessBuilder::without_pidfd] {
        // Whichever of them runs when it ends.
        for (runs, follows) in [(0, 1), (1, 0)] {
            let loops = [EventLoop::new().unwrap(), EventLoop::new().unwrap()];
            let child = async move { how(shell("read line; exit 7")).spawn().await.unwrap() };
            let mut child = loops[0].run_until_complete(child).unwrap();
            let stdin = child.stdin.take();
            let child = Rc::new(child);
            let mut waiters = loops.each_ref().map(|event_loop| {
                let child = child.clone();
                let waiter = event_loop.create_task(async move { child.wait().await });
                event_loop.turn(Some(Duration::ZERO)).unwrap();
                Some(waiter)
            });
            drop(stdin);
            for at in [runs, follows] {
                let mut waiter = waiters[at].take().unwrap();
                assert_eq!(loops[at].run_task(&mut waiter).unwrap(), 7);
            }
        }
    }
}

#[test]
fn the_close_of_a_loop_leaves_a_child_to_the_other_that_waits_for_it() {
    for how in [|builder| builder, SubprocessBuilder::without_pidfd] {
        let loops = [EventLoop::new().unwrap(), EventLoop::new().unwrap()];
        let child = async move { how(shell("read line; exit 7")).spawn().await.unwrap() };
        let mut child = loops[0].run_until_complete(child).unwrap();
        let stdin = child.stdin.take();
        let mut waiter = loops[1].create_task(async move { child.wait().await });
        loops[1].turn(Some(Duration::ZERO)).unwrap();
        loops[0].close().unwrap();
        drop(stdin);
        assert_eq!(loops[1].run_task(&mut waiter).unwrap(), 7);
    }
}

#[test]
fn the_output_of_an_ended_child_is_still_there() {
    run(async {
        let mut child = shell("echo one; echo two").spawn().await.unwrap();
        assert_eq!(child.wait().await, 0);
        assert_eq!(line(&mut child).await, "one\n");
        let output = child.communicate("").await.unwrap();
        assert_eq!(output.stdout.unwrap(), "two\n");
        assert_eq!(output.stderr, None);
    });
    run(async {
        let child = create_subprocess_exec("true").stderr(Stdio::Piped).spawn();
        let output = child.await.unwrap().communicate("ignored").await.unwrap();
        assert_eq!(output.stderr.unwrap(), "");
    });
}
