//! Children, and a look at what is left of them.

use std::fs;

use asyncio_process::{Process, Stdio, SubprocessBuilder, create_subprocess_shell};

pub(crate) use asyncio_executor::{spawn, yield_now};
pub(crate) use asyncio_runtime::run;

/// A shell whose input and output are ours.
pub(crate) fn shell(script: &str) -> SubprocessBuilder {
    create_subprocess_shell(script)
        .stdin(Stdio::Piped)
        .stdout(Stdio::Piped)
}

/// The next line the child writes.
pub(crate) async fn line(process: &mut Process) -> String {
    let line = process.stdout.as_mut().unwrap().readline().await.unwrap();
    String::from_utf8(line.to_vec()).unwrap()
}

/// Runs a promise with the end of children heard both ways.
pub(crate) fn both_ways<F: Future<Output = ()> + 'static>(
    promise: impl Fn(fn(SubprocessBuilder) -> SubprocessBuilder) -> F,
) {
    run(promise(|builder| builder));
    run(promise(SubprocessBuilder::without_pidfd));
}

/// State and parent of a process, `None` if there is no such process.
fn stat(pid: &str) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses, and may have anything in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
}

/// Whether a process has ended and waits to be reaped.
pub(crate) fn is_zombie(pid: u32) -> bool {
    stat(&pid.to_string()).is_some_and(|(state, _)| state == "Z")
}

/// The states of all children of this process.
pub(crate) fn children() -> Vec<String> {
    let me = std::process::id().to_string();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| stat(entry.ok()?.file_name().to_str()?))
        .filter(|(_, parent)| *parent == me)
        .map(|(state, _)| state)
        .collect()
}

/// Waits for what no descriptor tells.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        asyncio_timers::Sleep::new(0.001).await;
    }
}
