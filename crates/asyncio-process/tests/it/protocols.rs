//! Children by callbacks.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use asyncio_executor::catch_cancelled;
use asyncio_net::{BaseProtocol, BaseTransport, ReadTransport, WriteTransport};
use asyncio_process::{
    Stdio, SubprocessBuilder, SubprocessProtocol, SubprocessTransport, create_subprocess_exec,
    create_subprocess_shell, subprocess_exec,
};
use asyncio_runtime::get_running_loop;
use asyncio_sync::Event;

use crate::support::*;

/// Writes everything down.
#[derive(Default)]
struct Log {
    calls: Rc<RefCell<Vec<String>>>,
    output: Rc<RefCell<Vec<u8>>>,
    ended: Rc<Event>,
    transport: RefCell<Option<SubprocessTransport>>,
}

impl Log {
    fn note(&self, call: impl Into<String>) {
        self.calls.borrow_mut().push(call.into());
    }
}

impl BaseProtocol<SubprocessTransport> for Log {
    fn connection_made(&self, transport: &SubprocessTransport) {
        self.note("made");
        self.transport.replace(Some(transport.clone()));
    }

    fn connection_lost(&self, error: Option<io::Error>) {
        self.note(format!("lost {error:?}"));
        self.ended.set();
    }

    fn pause_writing(&self) {
        self.note("pause");
    }

    fn resume_writing(&self) {
        self.note("resume");
    }
}

impl SubprocessProtocol for Log {
    fn pipe_data_received(&self, fd: i32, data: &[u8]) {
        self.note(format!("{fd}: {}", String::from_utf8_lossy(data)));
        self.output.borrow_mut().extend_from_slice(data);
    }

    fn pipe_connection_lost(&self, fd: i32, error: Option<io::Error>) {
        self.note(format!("{fd}: end {error:?}"));
    }

    fn process_exited(&self) {
        let returncode = self.transport.borrow().as_ref().unwrap().get_returncode();
        self.note(format!("exited {returncode:?}"));
    }
}

fn piped(script: &str) -> SubprocessBuilder {
    shell(script).stderr(Stdio::Piped)
}

fn at(calls: &[String], call: &str) -> usize {
    let found = calls.iter().position(|known| known == call);
    found.unwrap_or_else(|| panic!("no {call:?} in {calls:?}"))
}

// S230
#[test]
fn the_events_of_a_pipe_are_in_order_and_the_end_of_all_comes_last() {
    both_ways(|how| async move {
        let script = "read a; echo $a; read a; echo $a >&2; exit 3";
        let (transport, log) = subprocess_exec(Log::default, how(piped(script)))
            .await
            .unwrap();
        assert_eq!(*log.calls.borrow(), ["made"], "before the call returns");
        let stdin = transport.get_pipe_transport(0).unwrap();
        assert!(transport.get_pipe_transport(3).is_none());
        stdin.write(b"one\n");
        until(|| log.calls.borrow().len() == 2).await;
        stdin.write(b"two\n");
        log.ended.wait().await;
        let calls = log.calls.borrow();
        assert!(at(&calls, "1: one\n") < at(&calls, "1: end None"));
        assert!(at(&calls, "2: two\n") < at(&calls, "2: end None"));
        at(&calls, "0: end None");
        at(&calls, "exited Some(3)");
        assert_eq!(at(&calls, "lost None"), calls.len() - 1);
        assert_eq!(calls.len(), 8, "each once: {calls:?}");
        assert!(transport.get_protocol().is_none());
    });
}

// S230
#[test]
fn without_pipes_there_is_the_exit_and_the_end() {
    run(async {
        let (transport, log) = subprocess_exec(Log::default, create_subprocess_exec("true"))
            .await
            .unwrap();
        log.ended.wait().await;
        assert_eq!(*log.calls.borrow(), ["made", "exited Some(0)", "lost None"]);
        let error = transport.kill().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
}

// S230
#[test]
fn the_exit_may_come_before_the_end_of_a_pipe_that_a_grandchild_holds() {
    run(async {
        let child = piped("exec 2>&-; exec 3<&0; cat <&3 >&1 3<&- & exec 3<&-");
        let (transport, log) = subprocess_exec(Log::default, child).await.unwrap();
        until(|| {
            log.calls
                .borrow()
                .iter()
                .any(|call| call == "exited Some(0)")
        })
        .await;
        log.ended.wait().await;
        let calls = log.calls.borrow();
        assert!(
            at(&calls, "exited Some(0)") < at(&calls, "lost None"),
            "{calls:?}"
        );
        assert_eq!(transport.get_returncode(), Some(0));
    });
}

#[test]
fn a_child_can_be_talked_to_with_flow_control_in_both_directions() {
    run(async {
        let child = create_subprocess_exec("cat")
            .stdin(Stdio::Piped)
            .stdout(Stdio::Piped);
        let (transport, log) = subprocess_exec(Log::default, child).await.unwrap();
        let (stdin, stdout) = (
            transport.get_pipe_transport(0).unwrap(),
            transport.get_pipe_transport(1).unwrap(),
        );
        stdout.pause_reading();
        stdin.write(&vec![b'x'; 1_000_000]);
        assert_eq!(*log.calls.borrow(), ["made", "pause"]);
        for _ in 0..10 {
            yield_now().await;
        }
        assert!(log.output.borrow().is_empty(), "paused");
        stdout.resume_reading();
        until(|| log.output.borrow().len() == 1_000_000).await;
        at(&log.calls.borrow(), "resume");
        stdin.close();
        log.ended.wait().await;
        assert_eq!(transport.get_returncode(), Some(0));
    });
}

// S232
#[test]
fn closing_the_transport_kills_the_child() {
    both_ways(|how| async move {
        let child = how(piped("echo ready; exec sleep 60"));
        let (transport, log) = subprocess_exec(Log::default, child).await.unwrap();
        until(|| log.calls.borrow().len() > 1).await;
        assert!(!transport.is_closing());
        transport.close();
        transport.close();
        assert!(transport.is_closing());
        log.ended.wait().await;
        at(&log.calls.borrow(), "exited Some(-9)");
        assert_eq!(log.calls.borrow().last().unwrap(), "lost None");
    });
}

// S232
#[test]
fn the_end_of_the_run_kills_the_child_and_says_so() {
    let log = run(async {
        let child = piped("echo ready; exec sleep 60");
        let (transport, log) = subprocess_exec(Log::default, child).await.unwrap();
        until(|| log.calls.borrow().len() > 1).await;
        drop(transport);
        (log.calls.clone(), Rc::downgrade(&log))
    });
    let calls = log.0.borrow();
    at(&calls, "exited Some(-9)");
    assert_eq!(calls.last().unwrap(), "lost None");
    assert!(
        log.1.upgrade().is_none(),
        "protocol and transport are gone, though they hold each other"
    );
}

// S231
#[test]
fn cancelling_the_start_kills_and_reaps() {
    run(async {
        let (mut reader, writer) = io::pipe().unwrap();
        let calls = Rc::new(RefCell::new(Vec::new()));
        let log = Log {
            calls: calls.clone(),
            ..Log::default()
        };
        let task = spawn(async move {
            let child = create_subprocess_shell("exec sleep 60")
                .stdin(Stdio::Piped)
                .stdout(writer);
            let started = catch_cancelled(subprocess_exec(|| log, child)).await;
            assert_eq!(
                io::Read::read(&mut reader, &mut [0]).unwrap(),
                0,
                "it is dead"
            );
            started.is_err()
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.unwrap());
        assert!(
            calls.borrow().is_empty(),
            "the protocol was never connected"
        );
    });
}

/// Panics wherever it can.
struct Panics(Rc<Event>);

impl BaseProtocol<SubprocessTransport> for Panics {
    fn connection_made(&self, _: &SubprocessTransport) {
        panic!("made");
    }

    fn connection_lost(&self, _: Option<io::Error>) {
        self.0.set();
        panic!("lost");
    }
}

impl SubprocessProtocol for Panics {
    fn process_exited(&self) {
        panic!("exited");
    }
}

// S205
#[test]
fn a_panic_of_the_protocol_is_reported_and_stops_nothing() {
    run(async {
        let reports = Rc::new(Cell::new(0));
        let count = reports.clone();
        get_running_loop().set_exception_handler(Some(Rc::new(move |report| {
            assert!(report.message.contains("subprocess protocol"), "{report}");
            count.set(count.get() + 1);
        })));
        let ended = Rc::new(Event::new());
        let protocol = Panics(ended.clone());
        subprocess_exec(|| protocol, create_subprocess_exec("true"))
            .await
            .unwrap();
        ended.wait().await;
        yield_now().await;
        assert_eq!(reports.get(), 3);
    });
}
