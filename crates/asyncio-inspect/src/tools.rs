//! `ps` and `pstree` of another process; asyncio: `python -m asyncio ps PID` and `asyncio.tools`.

use std::io;

pub use crate::error::InspectError;
pub use crate::report::{
    EdgeReport, LoopReport, LoopState, Occupation, ProcessReport, StackFrame, TaskReport,
    ThreadReport, ThreadState,
};
pub use crate::table::{TableRow, build_task_table, format_task_table};
pub use crate::tree::{
    AsyncTree, CycleFound, NodeType, TreeNode, build_async_tree, format_async_tree,
};

/// Lets others ask this process what its tasks wait for: starts a thread that answers the command `asyncio`, once,
/// for as long as the process lives.
///
/// The environment variable `ASYNCIO_INSPECT=1` does the same when the first loop is made. While there is an endpoint
/// every step of a loop costs about 0.1 us more, since it says beforehand what it is.
///
/// # Errors
///
/// When the system refuses the socket or the thread, or knows no Unix sockets.
///
/// # Examples
///
/// ```
/// use asyncio_inspect::tools;
///
/// tools::serve()?;
/// asyncio_runtime::run(async {
///     let me = std::process::id();
///     // From a thread: on the loop's own it would keep the loop from answering.
///     let asked = asyncio_tasks::to_thread(move || tools::get_all_awaited_by(me)).await;
///     let report = asked.unwrap();
///     assert_eq!(report.loops[0].tasks.len(), 1);
///     println!("{}", tools::format_task_table(&report));
/// });
/// # std::io::Result::Ok(())
/// ```
pub fn serve() -> io::Result<()> {
    #[cfg(unix)]
    return crate::endpoint::serve();
    #[cfg(not(unix))]
    Err(io::ErrorKind::Unsupported.into())
}

/// The tasks of another process and what they wait for; asyncio: `get_all_awaited_by` (S250).
///
/// Blocks, a second if one of its loops does not turn, half a minute if the process was stopped.
///
/// # Errors
///
/// [`InspectError`], which says what to do.
///
/// # Examples
///
/// ```
/// use asyncio_inspect::tools::{InspectError, get_all_awaited_by};
///
/// let refused = get_all_awaited_by(u32::MAX).unwrap_err(); // no such process
/// assert!(matches!(refused, InspectError::NoEndpoint { .. }));
/// ```
pub fn get_all_awaited_by(pid: u32) -> Result<ProcessReport, InspectError> {
    ask(pid, false)
}

/// The same with the calls by which tasks wait: which lock, which socket, and from where.
///
/// For that the process polls each task that waits once more (a thousand at most), which a program may not notice, but
/// which is work for it. Names and places are as good as the debug information the program was built with.
///
/// # Errors
///
/// As [`get_all_awaited_by`].
pub fn get_all_stacks(pid: u32) -> Result<ProcessReport, InspectError> {
    ask(pid, true)
}

fn ask(pid: u32, stacks: bool) -> Result<ProcessReport, InspectError> {
    #[cfg(unix)]
    return crate::client::ask(pid, stacks);
    #[cfg(not(unix))]
    {
        let _ = stacks;
        Err(InspectError::NoEndpoint { pid })
    }
}
