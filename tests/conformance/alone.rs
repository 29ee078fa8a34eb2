//! Tests that need a process of their own, since descriptors, threads and memory belong to a process, and what must be
//! left there at the end: as much as there was at the beginning.

use std::any::type_name;
use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use asyncio::{Clock, EventLoop, all_tasks, get_running_loop, yield_now};
use peak_alloc::PeakAlloc;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{collect_reports, say};

/// Set in the process that runs one test alone, to the name of that test.
const INSIDE: &str = "ASYNCIO_TEST_ALONE";

/// What that process says when the test has been run.
const DONE: &str = "alone: nothing is left";

/// A test that hangs should fail. None takes a tenth of this, but for the soak, which gets its own time on top.
const TOO_LONG: Duration = Duration::from_secs(120);

/// Runs `body`, a closure written in the test itself, in a process that runs nothing else, and asserts that it leaves no
/// descriptor, thread or process behind. What it prints in lines that begin with `skipped:` or `noted:` every run shows.
#[track_caller]
pub(crate) fn alone<F: FnOnce()>(body: F) {
    alone_for(Duration::ZERO, body);
}

/// As [`alone`], for a test that is told to take some time.
#[track_caller]
pub(crate) fn alone_for<F: FnOnce()>(duration: Duration, body: F) {
    // `conformance::hostile::the_test::{{closure}}`: what the harness of the tests calls the function between.
    let path = type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, test) = path.split_once("::").expect("a closure in a test");
    if std::env::var(INSIDE).as_deref() == Ok(test) {
        // The harness has begun a line.
        println!();
        let before = Belongings::now();
        body();
        before.must_be_all_there_is();
        println!("\n{DONE}");
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, test)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (success, output) = finish(child, TOO_LONG + duration);
    for line in output.lines() {
        if line.starts_with("skipped:") || line.starts_with("noted:") {
            say(&format!("{test}: {line}"));
        }
    }
    assert!(success && output.contains(DONE), "{output}");
}

/// Waits for the end of a process and gives whether it was a success, and what it said; kills it when it takes too long.
fn finish(mut child: Child, too_long: Duration) -> (bool, String) {
    let (lines, said) = channel();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    for pipe in [Box::new(stdout) as Box<dyn Read + Send>, Box::new(stderr)] {
        let lines = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
    }
    drop(lines);
    let begun = Instant::now();
    let mut output = String::new();
    loop {
        match said.recv_timeout(too_long.saturating_sub(begun.elapsed())) {
            Ok(line) => output += &(line + "\n"),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                output += &format!("killed: it took longer than {too_long:?}\n");
                let _ = child.kill();
                break;
            }
        }
    }
    (child.wait().unwrap().success(), output)
}

/// What a process has that must be given back.
#[derive(Debug, PartialEq)]
struct Belongings {
    /// What each descriptor leads to.
    descriptors: BTreeMap<String, String>,
    threads: usize,
}

impl Belongings {
    fn now() -> Belongings {
        let folder = if cfg!(target_os = "linux") {
            "/proc/self/fd"
        } else {
            "/dev/fd"
        };
        let mut descriptors = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            // The one that reads the folder is closed by now, or leads to the folder.
            let Ok(leads_to) = fs::read_link(entry.path()) else {
                continue;
            };
            let leads_to = leads_to.to_string_lossy().into_owned();
            if !leads_to.ends_with("/fd") {
                descriptors.insert(entry.file_name().to_string_lossy().into_owned(), leads_to);
            }
        }
        let threads = fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
        Belongings {
            descriptors,
            threads,
        }
    }

    /// A thread that was joined is in the table of the system a little longer, hence the patience.
    fn must_be_all_there_is(&self) {
        let begun = Instant::now();
        let mut now = Belongings::now();
        while now != *self && begun.elapsed() < Duration::from_secs(5) {
            thread::yield_now();
            now = Belongings::now();
        }
        assert_eq!(
            now, *self,
            "left: what is there now, and what was there before"
        );
    }
}

/// How many descriptors this process has open.
pub(crate) fn descriptors() -> usize {
    Belongings::now().descriptors.len()
}

/// Runs a program in real time on a loop of its own to its end, where no other task and no timer may be left, and gives
/// what the exception handler was told.
#[track_caller]
pub(crate) fn run<F: Future<Output = ()> + 'static>(program: F) -> Vec<String> {
    run_on(EventLoop::new().unwrap(), program)
}

/// As [`run`], in virtual time.
#[track_caller]
pub(crate) fn run_in_virtual_time<F: Future<Output = ()> + 'static>(program: F) -> Vec<String> {
    run_on(
        EventLoop::builder().clock(Clock::auto()).build().unwrap(),
        program,
    )
}

#[track_caller]
fn run_on<F: Future<Output = ()> + 'static>(event_loop: EventLoop, program: F) -> Vec<String> {
    let reports = collect_reports(&event_loop);
    let program = async move {
        program.await;
        nothing_is_left().await;
    };
    event_loop.run_until_complete(program).unwrap();
    event_loop.close().unwrap();
    reports.take()
}

/// As [`run`], for a program about which there is nothing to report.
#[track_caller]
pub(crate) fn run_cleanly<F: Future<Output = ()> + 'static>(program: F) {
    assert_eq!(run(program), [""; 0]);
}

/// Asserts that this task is the only one, and no deadline is kept. What has been told to end gets the turns to do so.
pub(crate) async fn nothing_is_left() {
    for _ in 0..100 {
        if all_tasks().len() == 1 {
            break;
        }
        yield_now().await;
    }
    let others: Vec<_> = all_tasks().iter().map(|task| format!("{task:?}")).collect();
    assert_eq!(others.len(), 1, "tasks left: {others:#?}");
    assert_eq!(get_running_loop().stats().timers, 0, "timers left");
}

/// Counts every byte that Rust code allocates: what the system says of a process has holes in it that nobody uses.
#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// How many bytes are allocated. What another test of this process does shows in it, so see [`alone`].
pub(crate) fn allocated() -> usize {
    HEAP.current_usage()
}

/// How many bytes more were allocated at the worst moment of `future` than before it.
pub(crate) async fn extra_memory_of<F: Future>(future: F) -> (usize, F::Output) {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let output = future.await;
    (HEAP.peak_usage().saturating_sub(before), output)
}

/// Raises the number of descriptors this process may have to `wanted`, as far as the hard limit goes; gives what it is now.
pub(crate) fn allow_descriptors(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(u64::MAX);
    let now = limit.current.unwrap_or(u64::MAX);
    if now >= wanted {
        return now;
    }
    let current = wanted.min(hard);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(current),
            maximum: limit.maximum,
        },
    )
    .unwrap();
    current
}
