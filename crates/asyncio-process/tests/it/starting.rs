//! What the child finds.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;

use asyncio_net::StreamError;
use asyncio_process::{Stdio, SubprocessBuilder, create_subprocess_exec, create_subprocess_shell};
use futures_util::FutureExt;

use crate::support::*;

async fn output_of(builder: SubprocessBuilder) -> String {
    let mut process = builder.stdout(Stdio::Piped).spawn().await.unwrap();
    let output = process.communicate("").await.unwrap().stdout.unwrap();
    String::from_utf8(output.to_vec()).unwrap()
}

// S225
#[test]
fn there_are_streams_for_the_pipes_asked_for_and_for_no_others() {
    run(async {
        let process = create_subprocess_exec("true").spawn().await.unwrap();
        assert!(process.stdin.is_none() && process.stdout.is_none() && process.stderr.is_none());
        let process = create_subprocess_exec("true")
            .stdin(Stdio::Null)
            .stdout(Stdio::Piped)
            .stderr(Stdio::Stdout)
            .spawn()
            .await
            .unwrap();
        assert!(process.stdin.is_none() && process.stdout.is_some() && process.stderr.is_none());
    });
}

// S225
#[test]
fn exec_takes_arguments_as_they_are_and_shell_one_command_line() {
    run(async {
        let args = ["$HOME", "two  spaces", "*", ""];
        let printed = output_of(create_subprocess_exec("printf").arg("<%s>").args(args)).await;
        assert_eq!(printed, "<$HOME><two  spaces><*><>");
        let printed =
            output_of(create_subprocess_shell("echo a   b | tr a c; echo $0").arg("zero"));
        assert_eq!(printed.await, "c b\nzero\n");
    });
}

#[test]
fn environment_and_folder_are_the_childs_own() {
    run(async {
        let script = "echo $ONE-$TWO; pwd";
        let child = create_subprocess_shell(script)
            .env("ONE", "1")
            .env("TWO", "2")
            .env_remove("TWO")
            .current_dir("/");
        assert_eq!(output_of(child).await, "1-\n/\n");
        let child = create_subprocess_exec("/usr/bin/env")
            .env_clear()
            .env("ONLY", "this");
        assert_eq!(output_of(child).await, "ONLY=this\n");
        assert!(std::env::var("ONE").is_err());
    });
}

#[test]
fn a_program_that_is_not_there_is_an_error_that_names_it() {
    run(async {
        let error = create_subprocess_exec("/no/such/program")
            .spawn()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("/no/such/program"), "{error}");
        let error = create_subprocess_exec("/etc/passwd")
            .spawn()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    });
}

#[test]
fn stderr_goes_where_stdout_goes() {
    let script = "echo out; echo err >&2";
    run(async move {
        let child = create_subprocess_shell(script).stderr(Stdio::Stdout);
        assert_eq!(output_of(child).await, "out\nerr\n");
        let (mut reader, writer) = std::io::pipe().unwrap();
        let child = create_subprocess_shell(script)
            .stdout(writer)
            .stderr(Stdio::Stdout);
        assert_eq!(child.spawn().await.unwrap().wait().await, 0);
        let mut written = String::new();
        // Ends: nothing here holds the writing end any more.
        reader.read_to_string(&mut written).unwrap();
        assert_eq!(written, "out\nerr\n");
        let child = create_subprocess_shell(script)
            .stdout(Stdio::Null)
            .stderr(Stdio::Stdout);
        assert_eq!(child.spawn().await.unwrap().wait().await, 0);
    });
}

#[test]
fn stdout_is_a_place_for_stderr_only() {
    run(async {
        let error = create_subprocess_exec("true")
            .stdout(Stdio::Stdout)
            .spawn()
            .await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
        let error = create_subprocess_exec("true")
            .stdin(Stdio::Stdout)
            .spawn()
            .await;
        assert!(error.unwrap_err().to_string().contains("stdin"));
    });
}

#[test]
fn a_file_can_be_the_childs_input() {
    run(async {
        let passwd = File::open("/etc/passwd").unwrap();
        let child = create_subprocess_exec("cat").stdin(passwd);
        let expected = std::fs::read_to_string("/etc/passwd").unwrap();
        assert_eq!(output_of(child).await, expected);
    });
}

#[test]
fn a_passed_descriptor_has_its_number_in_the_child() {
    run(async {
        let passwd = File::open("/etc/passwd").unwrap();
        let number = passwd.as_raw_fd();
        let not_passed = File::open("/etc/group").unwrap();
        let child = create_subprocess_shell(format!(
            "cat /proc/self/fd/{number}; test -e /proc/self/fd/{} || echo end",
            not_passed.as_raw_fd()
        ));
        let expected = std::fs::read_to_string("/etc/passwd").unwrap() + "end\n";
        assert_eq!(output_of(child.pass_fd(passwd)).await, expected);
    });
}

/// A shell's bit mask of signals, as `/proc` shows it.
fn signals(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    u64::from_str_radix(line.unwrap().trim_start_matches(':').trim(), 16).unwrap()
}

// Rust programs ignore SIGPIPE, and listeners have handlers: neither is the child's business.
#[test]
fn a_child_starts_with_no_signal_blocked_and_none_of_our_actions() {
    run(async {
        let _heard = asyncio_signal::signals([asyncio_signal::SIGUSR1]).unwrap();
        let status = || create_subprocess_exec("cat").arg("/proc/self/status");
        let passed = File::open("/dev/null").unwrap();
        // By `posix_spawn`, and by `fork`.
        for child in [status(), status().pass_fd(passed)] {
            let status = output_of(child).await;
            let pipe = 1 << (asyncio_signal::SIGPIPE.as_raw() - 1);
            assert_eq!(signals(&status, "SigBlk"), 0, "{status}");
            assert_eq!(signals(&status, "SigIgn") & pipe, 0, "{status}");
            assert_eq!(signals(&status, "SigCgt"), 0, "{status}");
        }
    });
}

/// Pipes that a sibling has a copy of would not end when they should.
#[test]
fn children_started_by_many_threads_at_once_get_nothing_of_each_others() {
    // What the tests themselves were given, and the folder that is listed.
    fn numbers(listed: &[u8]) -> Vec<u32> {
        let text = std::str::from_utf8(listed).unwrap();
        let mut all: Vec<_> = text.lines().map(|line| line.parse().unwrap()).collect();
        all.sort_unstable();
        all
    }
    let list = ["-c", "exec ls /proc/self/fd"];
    let expected = std::process::Command::new("sh").args(list).output();
    let expected = numbers(&expected.unwrap().stdout).len();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                run(async move {
                    for round in 0..25 {
                        let held = shell("exec cat").stderr(Stdio::Piped).spawn().await;
                        let mut held = held.unwrap();
                        let mut child = create_subprocess_exec("sh").args(list);
                        child = child.stdin(Stdio::Piped).stdout(Stdio::Piped);
                        if (thread + round) % 2 == 0 {
                            child = child.start_new_session(true); // by `fork`
                        }
                        let mut child = child.spawn().await.unwrap();
                        let output = child.communicate("").await.unwrap().stdout.unwrap();
                        assert_eq!(numbers(&output).len(), expected, "{output:?}");
                        let output = held.communicate("ends").await.unwrap();
                        assert_eq!(output.stdout.unwrap(), "ends");
                    }
                });
            });
        }
    });
}

/// Process, group and session, as the child sees them.
async fn ids(builder: SubprocessBuilder) -> [u32; 3] {
    let stat = output_of(builder).await;
    let pid = stat.split(' ').next().unwrap().parse().unwrap();
    let mut rest = stat.rsplit_once(") ").unwrap().1.split(' ').skip(2);
    let mut next = || rest.next().unwrap().parse().unwrap();
    [pid, next(), next()]
}

#[test]
fn a_child_can_have_a_group_or_a_session_of_its_own() {
    run(async {
        let cat = || create_subprocess_exec("cat").arg("/proc/self/stat");
        let [pid, group, session] = ids(cat()).await;
        assert!(group != pid && session != pid);
        let [pid, group, of_none] = ids(cat().process_group(0)).await;
        assert_eq!((group, of_none), (pid, session));
        let [pid, group, session] = ids(cat().start_new_session(true)).await;
        assert_eq!((group, session), (pid, pid));
        let both = cat().start_new_session(true).process_group(0).spawn().await;
        assert_eq!(both.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_child_can_be_another_users() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: another user's child: needs privileges");
        return;
    }
    run(async {
        let child = create_subprocess_shell("id -u; id -g")
            .uid(65534)
            .gid(65533);
        assert_eq!(output_of(child).await, "65534\n65533\n");
    });
}

// S210, S225
#[test]
fn the_limit_is_that_of_the_readers() {
    run(async {
        let mut child = shell("head -c 100 /dev/zero")
            .limit(10)
            .spawn()
            .await
            .unwrap();
        let stdout = child.stdout.as_mut().unwrap();
        assert_eq!(stdout.limit(), 10);
        let error = stdout.readline().await.unwrap_err();
        assert!(matches!(error, StreamError::LimitOverrun(_)), "{error}");
    });
}

#[test]
fn the_childs_ends_of_the_pipes_do_block() {
    run(async {
        let child = create_subprocess_shell("grep -h flags /proc/self/fdinfo/[012]");
        let child = child.stdin(Stdio::Piped).stderr(Stdio::Piped);
        let flags = output_of(child).await;
        assert_eq!(flags.lines().count(), 3);
        for line in flags.lines() {
            let flags = line.split_whitespace().nth(1).unwrap();
            let flags = u32::from_str_radix(flags, 8).unwrap();
            assert_eq!(flags & 0o4000, 0, "O_NONBLOCK: {line}");
        }
    });
}

#[test]
fn it_needs_a_loop() {
    let error = create_subprocess_exec("true").spawn().now_or_never();
    let error = error.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}
