//! What the tasks of another process wait for: `asyncio ps PID`, `asyncio pstree PID`.

#![forbid(unsafe_code)]

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use asyncio_inspect::tools::{
    ProcessReport, build_async_tree, format_async_tree, format_task_table, get_all_awaited_by,
    get_all_stacks,
};

const USAGE: &str = "\
usage: asyncio ps [--stacks] PID       every task of a process: what it is about, and who awaits it
       asyncio pstree [--stacks] PID   the same as a tree

With --stacks it also says by which calls each task waits: which lock, which socket, and from where.

The process must have been started with ASYNCIO_INSPECT=1, or have called `asyncio::tools::serve()`.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let text = match arguments[..] {
        ["ps", pid] => report(pid, false).map(|report| format_task_table(&report)),
        ["ps", "--stacks", pid] => report(pid, true).map(|report| format_task_table(&report)),
        ["pstree", pid] => report(pid, false).and_then(pstree),
        ["pstree", "--stacks", pid] => report(pid, true).and_then(pstree),
        ["--help" | "-h" | "help"] => Ok(USAGE.to_owned()),
        _ => Err(USAGE.to_owned()),
    };
    match text {
        Ok(text) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            // Whoever read it has gone.
            Err(_) => ExitCode::FAILURE,
        },
        Err(text) => {
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

fn report(pid: &str, stacks: bool) -> Result<ProcessReport, String> {
    let pid = pid
        .parse()
        .map_err(|_| format!("asyncio: `{pid}` is not the number of a process\n{USAGE}"))?;
    let report = if stacks {
        get_all_stacks(pid)
    } else {
        get_all_awaited_by(pid)
    };
    report.map_err(|error| format!("asyncio: {error}\n"))
}

fn pstree(report: ProcessReport) -> Result<String, String> {
    match build_async_tree(&report) {
        Ok(trees) => Ok(trees.iter().map(format_async_tree).collect()),
        Err(cycle) => Err(format!("asyncio: {cycle}\n")),
    }
}
