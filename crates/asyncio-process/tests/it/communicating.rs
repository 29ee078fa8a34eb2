//! Everything in, everything out.

use std::io::ErrorKind;

use asyncio_process::{Stdio, create_subprocess_exec};

use crate::support::*;

const TEN_MB: usize = 10_000_000;

// S226
#[test]
fn input_and_both_outputs_go_at_the_same_time() {
    run(async {
        // More than any pipe holds, in all three directions at once: taken one after the other this would never end.
        let mut child = shell("tee /dev/stderr")
            .stderr(Stdio::Piped)
            .spawn()
            .await
            .unwrap();
        let input: Vec<u8> = (0..TEN_MB).map(|i| (i % 251) as u8).collect();
        let output = child.communicate(&input).await.unwrap();
        assert!(output.stdout.unwrap() == input && output.stderr.unwrap() == input);
        assert_eq!(
            child.returncode(),
            Some(0),
            "it has waited for the end, too"
        );
        assert!(child.stdin.is_none());
    });
}

// S226
#[test]
fn stdin_is_closed_also_where_there_is_nothing_to_write() {
    run(async {
        let mut child = shell("cat; echo end").spawn().await.unwrap();
        let output = child.communicate("").await.unwrap();
        assert_eq!(
            (output.stdout.unwrap(), output.stderr),
            ("end\n".into(), None)
        );
    });
}

// S226
#[test]
fn a_child_that_does_not_read_its_input_is_no_error() {
    run(async {
        for script in [
            "echo done",
            "exec 0<&-; echo done",
            "head -c 10 >/dev/null; echo done",
        ] {
            let mut child = shell(script).spawn().await.unwrap();
            let output = child.communicate(vec![b'x'; TEN_MB]).await.unwrap();
            assert_eq!(output.stdout.unwrap(), "done\n", "{script}");
            assert_eq!(child.returncode(), Some(0));
        }
    });
}

#[test]
fn a_child_that_closes_its_output_early_is_waited_for() {
    run(async {
        let mut child = shell("echo out; exec 1>&-; cat >/dev/null; exit 4")
            .spawn()
            .await
            .unwrap();
        let output = child.communicate(vec![b'x'; TEN_MB]).await.unwrap();
        assert_eq!(output.stdout.unwrap(), "out\n");
        assert_eq!(child.returncode(), Some(4));
    });
}

// S227: the end of a process and the end of its pipes are two things.
#[test]
fn a_grandchild_may_hold_the_pipe_longer_than_the_child_lives() {
    both_ways(|how| async move {
        let mut child = how(shell("exec 3<&0; cat <&3 & echo child"))
            .spawn()
            .await
            .unwrap();
        assert_eq!(child.wait().await, 0);
        assert_eq!(line(&mut child).await, "child\n");
        let output = child.communicate("for the grandchild").await.unwrap();
        assert_eq!(output.stdout.unwrap(), "for the grandchild");
    });
}

#[test]
fn a_stranger_can_be_held_to_a_limit() {
    run(async {
        let mut child = shell("yes").spawn().await.unwrap();
        let error = child.communicate_within(100_000, "").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        assert!(
            error.to_string().contains("100000 bytes to its stdout"),
            "{error}"
        );
        assert_eq!(child.returncode(), None, "it is left to us");
        child.kill().unwrap();
        assert_eq!(child.wait().await, -9);

        for (written, fits) in [(100, true), (101, false)] {
            let mut child = create_subprocess_exec("head")
                .args(["-c", &written.to_string(), "/dev/zero"])
                .stdout(Stdio::Piped)
                .spawn()
                .await
                .unwrap();
            assert_eq!(child.communicate_within(100, "").await.is_ok(), fits);
        }
        let mut child = create_subprocess_exec("true")
            .stdout(Stdio::Piped)
            .spawn()
            .await
            .unwrap();
        assert_eq!(
            child
                .communicate_within(0, "")
                .await
                .unwrap()
                .stdout
                .unwrap(),
            ""
        );
    });
}
