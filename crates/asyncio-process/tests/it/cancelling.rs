//! Cancelling and dropping, wherever one waits.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io::Read;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio_executor::catch_cancelled;
use asyncio_process::create_subprocess_exec;

use crate::support::*;

// S231
#[test]
fn cancelling_the_start_kills_and_reaps_before_it_goes_on() {
    both_ways(|how| async move {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let task = spawn(async move {
            let child = create_subprocess_exec("sleep").arg("60").stdout(writer);
            let started = catch_cancelled(how(child).spawn()).await;
            // The pipe's other end was the child's alone: this would hang if it ran.
            let mut rest = [0];
            assert_eq!(reader.read(&mut rest).unwrap(), 0);
            started.map(|process| process.unwrap().pid())
        });
        yield_now().await; // the child has been started
        task.cancel();
        assert!(task.await.unwrap().is_err());
    });
}

#[test]
fn dropping_the_start_kills_the_child_whatever_was_said_for_later() {
    both_ways(|how| async move {
        let (reader, writer) = std::io::pipe().unwrap();
        {
            let child = create_subprocess_exec("sleep").arg("60").stdout(writer);
            let mut start = pin!(how(child).kill_on_drop(false).spawn());
            let pending = poll_fn(|cx| Poll::Ready(start.as_mut().poll(cx).is_pending())).await;
            assert!(pending);
        }
        let mut reader = asyncio_net::read_pipe(reader, 1).unwrap();
        assert_eq!(reader.read(1).await.unwrap(), "");
    });
}

#[test]
fn a_cancelled_communicate_loses_no_output_and_leaves_the_child_alone() {
    run(async {
        let (go_on, writer) = std::io::pipe().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&go_on);
        let script = "echo one; cat >/dev/null; echo fed >&2; read line <$GO_ON; echo two";
        let (fed, stderr) = std::io::pipe().unwrap();
        let mut fed = asyncio_net::read_pipe(fed, 100).unwrap();
        let child = shell(script)
            .env("GO_ON", format!("/proc/self/fd/{number}"))
            .pass_fd(go_on)
            .stderr(stderr)
            .spawn()
            .await
            .unwrap();
        let child = Rc::new(RefCell::new(Some(child)));
        let held = child.clone();
        let task = spawn(async move {
            let mut process = held.borrow_mut().take().unwrap();
            let ended = catch_cancelled(process.communicate("input")).await.is_ok();
            held.borrow_mut().replace(process);
            ended
        });
        assert_eq!(fed.readline().await.unwrap(), "fed\n");
        task.cancel();
        assert!(!task.await.unwrap());
        let mut child = child.borrow_mut().take().unwrap();
        assert_eq!(child.returncode(), None);
        std::io::Write::write_all(&mut &writer, b"go on\n").unwrap();
        let output = child.communicate("").await.unwrap();
        assert_eq!(output.stdout.unwrap(), "one\ntwo\n");
        assert_eq!(child.returncode(), Some(0));
    });
}

#[test]
fn a_communicate_cancelled_while_it_feeds_closes_stdin() {
    run(async {
        // Reads nothing until its own pipe is closed, and then says how much there was.
        let (go_on, writer) = std::io::pipe().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&go_on);
        let mut child = shell("read line <$GO_ON; wc -c")
            .env("GO_ON", format!("/proc/self/fd/{number}"))
            .pass_fd(go_on)
            .spawn()
            .await
            .unwrap();
        {
            let input = vec![b'x'; 10_000_000];
            let mut feeding = pin!(child.communicate(input));
            let pending = poll_fn(|cx| Poll::Ready(feeding.as_mut().poll(cx).is_pending())).await;
            assert!(pending);
        }
        assert!(child.stdin.is_none());
        drop(writer);
        let output = child.communicate("").await.unwrap().stdout.unwrap();
        let count: usize = std::str::from_utf8(&output)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert!(
            count > 0 && count < 10_000_000,
            "{count} bytes, and then the end"
        );
    });
}
