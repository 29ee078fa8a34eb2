//! The command `asyncio`.

use std::process::{Command, Output};

use crate::program::Program;

fn asyncio(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_asyncio"))
        .args(arguments)
        .output()
        .unwrap()
}

fn stdout(arguments: &[&str]) -> String {
    let output = asyncio(arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{text}"
    );
    text
}

fn stderr(arguments: &[&str]) -> String {
    let output = asyncio(arguments);
    assert!(!output.status.success() && output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn without_arguments_it_says_how_to_use_it_and_fails() {
    assert!(stderr(&[]).starts_with("usage: asyncio ps"));
    assert!(stderr(&["top", "1"]).starts_with("usage: asyncio ps"));
    assert!(stdout(&["--help"]).starts_with("usage: asyncio ps"));
}

#[test]
fn what_is_no_process_is_named() {
    assert!(stderr(&["ps", "me"]).starts_with("asyncio: `me` is not the number of a process\n"));
    let unknown = u32::MAX.to_string();
    let text = stderr(&["pstree", &unknown]);
    assert!(text.contains("start it with ASYNCIO_INSPECT=1"), "{text}");
}

#[test]
fn ps_and_pstree_print_every_task_and_nothing_a_terminal_would_act_on() {
    let program = Program::start();
    let pid = program.pid().to_string();
    for arguments in [["ps", &pid].as_slice(), &["pstree", "--stacks", &pid]] {
        let text = stdout(arguments);
        assert!(text.contains("alone"), "{text}");
        assert!(
            text.contains("reader\u{fffd}[31m\u{fffd}with a tab"),
            "{text}"
        );
        assert!(text.contains("TaskGroup: "), "{text}");
        assert!(text.contains("nobody has run it for "), "{text}");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
    }
}
