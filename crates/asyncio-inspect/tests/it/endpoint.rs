//! What a process tells, and to whom.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use asyncio_executor::{Awaited, TaskState};
use asyncio_inspect::tools::{
    InspectError, LoopState, TaskReport, get_all_awaited_by, get_all_stacks,
};

use crate::program::Program;

fn find<'a>(tasks: &'a [TaskReport], name: &str) -> &'a TaskReport {
    tasks
        .iter()
        .find(|task| task.name.starts_with(name))
        .unwrap()
}

#[test]
fn every_open_loop_is_told_of_with_its_tasks_and_edges() {
    let program = Program::start();
    let report = get_all_awaited_by(program.pid()).unwrap();
    assert_eq!(report.pid, program.pid());
    let states: Vec<&LoopState> = report.loops.iter().map(|report| &report.state).collect();
    assert!(
        matches!(states[..], [LoopState::NotRun { .. }, LoopState::Turning]),
        "the closed one and the one that is gone are not among them: {states:?}"
    );
    let tasks = &report.loops[1].tasks;
    let names: Vec<&str> = tasks.iter().map(|task| &*task.name).collect();
    assert_eq!(names[1..], ["reader\u{1b}[31m\twith a tab", "alone"]);
    let reader = find(tasks, "reader");
    assert_eq!(tasks[0].awaits.len(), 1);
    assert_eq!(tasks[0].awaits[0].on, [Awaited::Task(reader.id)]);
    assert_eq!(reader.state, TaskState::Waiting);
    assert_eq!(reader.parent, Some(tasks[0].id));
    assert!(reader.spawned_at.contains("program.rs:"));
    assert!(reader.stacks.is_empty(), "nobody asked for them");
}

#[test]
fn stacks_lead_to_the_await_in_the_program() {
    let program = Program::start();
    let report = get_all_stacks(program.pid()).unwrap();
    let main = &report.loops[1].tasks[0];
    let frames: Vec<_> = main.stacks.iter().flatten().collect();
    assert!(
        frames
            .iter()
            .any(|frame| frame.place.contains("program.rs:")),
        "{frames:?}"
    );
    // `pending` keeps no waker, so there is nothing to see.
    assert!(find(&report.loops[1].tasks, "alone").stacks.is_empty());
    // Looking changes nothing.
    let again = get_all_stacks(program.pid()).unwrap();
    assert_eq!(report.loops[1], again.loops[1]);
}

#[cfg(target_os = "linux")]
fn connect(pid: u32) -> UnixStream {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let name = format!("asyncio-inspect-{pid}");
    let address = SocketAddr::from_abstract_name(name).unwrap();
    UnixStream::connect_addr(&address).unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn who_asks_garbage_or_goes_away_does_not_keep_others_from_an_answer() {
    let program = Program::start();
    drop(connect(program.pid()));
    connect(program.pid()).write_all(&[0xff; 4096]).ok();
    let mut quiet = connect(program.pid());
    quiet.write_all(b"\n").unwrap();
    let mut text = String::new();
    quiet.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("asyncio-inspect 1\n") && text.ends_with("\nend\n"));
    assert_eq!(get_all_awaited_by(program.pid()).unwrap().loops.len(), 2);
}

#[cfg(target_os = "linux")]
#[test]
fn who_answers_in_the_name_of_another_process_is_not_believed() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    let pid = u32::MAX - 7; // no process has it
    let name = format!("asyncio-inspect-{pid}");
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let _impostor = UnixListener::bind_addr(&address).unwrap();
    let error = get_all_awaited_by(pid).unwrap_err();
    assert!(matches!(error, InspectError::NotYours { .. }), "{error:?}");
}

#[test]
fn an_endpoint_can_be_asked_for_as_often_as_one_likes() {
    asyncio_inspect::tools::serve().unwrap();
    asyncio_inspect::tools::serve().unwrap();
    // This process has no loop.
    let report = get_all_awaited_by(std::process::id()).unwrap();
    assert!(report.loops.is_empty());
}
