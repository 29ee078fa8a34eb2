//! Leaving as a signal would have it: a test runs itself as a program that does.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use asyncio_signal::{SIGCHLD, SIGINT, SIGKILL, SIGTERM, Signal};

const BY: &str = "ASYNCIO_SIGNAL_TEST_EXIT_BY";

fn status_of_a_program_that_exits_by(signal: Signal) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["exiting::in_a_process_of_its_own::exit", "--exact"])
        .args(["--ignored", "--nocapture"])
        .env(BY, signal.as_raw().to_string())
        .output()
        .unwrap()
        .status
}

#[test]
fn a_shell_sees_a_program_that_the_signal_has_ended() {
    // Also by the one for which no action can be set.
    for signal in [SIGINT, SIGTERM, SIGKILL] {
        let status = status_of_a_program_that_exits_by(signal);
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
    }
}

#[test]
fn a_signal_that_ends_nobody_is_an_exit_status_as_a_shell_would_show_it() {
    let status = status_of_a_program_that_exits_by(SIGCHLD);
    assert_eq!(status.code(), Some(128 + SIGCHLD.as_raw()), "{status}");
}

mod in_a_process_of_its_own {
    use super::*;

    #[test]
    #[ignore = "run by the others of this file"]
    fn exit() {
        let number = std::env::var(BY).unwrap().parse().unwrap();
        asyncio_signal::exit_by(Signal::from_raw(number).unwrap())
    }
}
