//! Scenarios that have a twin in Python: one trace, in `../python/NAME.trace`, which both must give.
//!
//! A test that calls [`twin`] is the twin of the coroutine of the same name in `../python/NAME.py`, where NAME is the
//! test's file. The words below are the same there (`../python/twin.py`), so that the two read alike; the trace and the
//! clock therefore belong to the thread, which runs one test.

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::future::IntoFuture;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use asyncio::{
    CancelledError, Clock, EventLoop, ExceptionGroup, FutureError, GroupError, InvalidStateError,
    Task, TaskError, TimeoutError, catch_cancelled, create_task, current_task, get_running_loop,
    sleep,
};

use crate::harness::say;

/// The expected traces, by file.
const TRACES: [(&str, &str); 14] = [
    ("futures", include_str!("../python/futures.trace")),
    ("tasks", include_str!("../python/tasks.trace")),
    ("requests", include_str!("../python/requests.trace")),
    ("network", include_str!("../python/network.trace")),
    ("context", include_str!("../python/context.trace")),
    ("eager", include_str!("../python/eager.trace")),
    ("handler", include_str!("../python/handler.trace")),
    ("threads", include_str!("../python/threads.trace")),
    (
        "awaiting_tasks",
        include_str!("../python/awaiting_tasks.trace"),
    ),
    ("gather", include_str!("../python/gather.trace")),
    ("wait", include_str!("../python/wait.trace")),
    (
        "wait_for_and_shield",
        include_str!("../python/wait_for_and_shield.trace"),
    ),
    ("timeouts", include_str!("../python/timeouts.trace")),
    ("task_groups", include_str!("../python/task_groups.trace")),
];

thread_local! {
    static TRACE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// Runs a scenario in virtual time and compares its trace with its twin's.
#[track_caller]
pub(crate) fn twin<F: AsyncFnOnce() + 'static>(scenario: F) {
    let (file, name) = place_of(&scenario);
    let expected = expected_trace(file, name);
    assert_eq!(
        trace_of(scenario),
        expected,
        "trace of `{name}` in python/{file}.trace"
    );
}

/// Runs a scenario that has no twin and gives its trace; the reason is in a comment beside it.
#[track_caller]
pub(crate) fn trace_of<F: AsyncFnOnce() + 'static>(scenario: F) -> Vec<String> {
    let clock = Clock::auto();
    TRACE.take();
    CLOCK.set(Some(clock.clone()));
    let event_loop = EventLoop::builder().clock(clock).build().unwrap();
    event_loop
        .run_until_complete(async move { scenario().await })
        .unwrap();
    let trace = TRACE.take();
    event_loop.close().unwrap();
    trace
}

/// The file and the function in which a closure was written.
fn place_of<F>(_closure: &F) -> (&'static str, &'static str) {
    let path = std::any::type_name::<F>();
    let mut parts = path
        .split("::")
        .skip(1)
        .filter(|part| !part.starts_with('{'));
    match (parts.next(), parts.next()) {
        (Some(file), Some(function)) => (file, function),
        _ => panic!("a scenario is a closure in a test, not {path}"),
    }
}

fn expected_trace(file: &str, name: &str) -> Vec<String> {
    let Some((_, text)) = TRACES.iter().find(|(candidate, _)| *candidate == file) else {
        panic!("no python/{file}.trace is read in twin.rs");
    };
    match scenarios(text)
        .into_iter()
        .find(|scenario| scenario.name == name)
    {
        Some(scenario) => scenario.trace,
        None => panic!("python/{file}.trace has no scenario `{name}`"),
    }
}

/// One scenario in a `.trace` file: a name at the margin, then its events, indented; `  # ` begins a remark.
struct Scenario {
    name: String,
    trace: Vec<String>,
}

fn scenarios(text: &str) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    for line in text.lines() {
        let line = line.split("  # ").next().unwrap_or_default().trim_end();
        match line.strip_prefix("    ") {
            Some(event) => {
                let scenario = scenarios.last_mut().expect("an event before any name");
                scenario.trace.push(event.to_owned());
            }
            None if line.is_empty() || line.starts_with('#') => {}
            None => scenarios.push(Scenario {
                name: line.to_owned(),
                trace: Vec::new(),
            }),
        }
    }
    scenarios
}

// --- the words ---

pub(crate) fn log(line: impl Into<String>) {
    TRACE.with_borrow_mut(|trace| trace.push(line.into()));
}

/// What was logged since the last call.
pub(crate) fn taken() -> Vec<String> {
    TRACE.take()
}

/// The loop's time, which begins at 0.
pub(crate) fn now() -> String {
    let seconds = get_running_loop().time().as_secs_f64();
    format!("{seconds}s")
}

/// As if somebody had blocked the loop for so long.
pub(crate) fn skip(seconds: u64) {
    CLOCK.with_borrow(|clock| {
        clock
            .as_ref()
            .expect("a scenario runs")
            .advance(Duration::from_secs(seconds));
    });
}

/// Requests for cancellation of the current task.
pub(crate) fn me() -> u32 {
    asyncio::cancelling()
}

pub(crate) fn current() -> asyncio::TaskRef {
    current_task().unwrap()
}

pub(crate) use crate::harness::settle;

/// Logs the turns that follow.
pub(crate) fn ticks(count: u32) {
    create_task(async move {
        for turn in 0..count {
            log(format!("turn {turn}"));
            sleep(0).await;
        }
    })
    .detach();
}

/// Awaits something and logs what came of it.
pub(crate) async fn outcome<T: Told>(name: &'static str, awaitable: impl IntoFuture<Output = T>) {
    let outcome = catch_cancelled(awaitable).await;
    log(format!("{name}: {}", outcome.told()));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) &'static str);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Failure {}

pub(crate) async fn works<T>(name: &'static str, delay: u64, value: T) -> T {
    sleep(delay).await;
    log(format!("{name} done"));
    value
}

/// `works`, where a `Result` is expected.
pub(crate) async fn succeeds<T>(name: &'static str, delay: u64, value: T) -> Result<T, Failure> {
    Ok(works(name, delay, value).await)
}

pub(crate) async fn fails(name: &'static str, delay: u64) -> Result<(), Failure> {
    sleep(delay).await;
    log(format!("{name} fails"));
    Err(Failure(name))
}

/// Waits for ever, and ends when cancelled.
pub(crate) async fn hangs(name: &'static str) {
    if let Err(cancelled) = catch_cancelled(sleep(10_000)).await {
        log(format!("{name} cancelled"));
        cancelled.propagate().await
    }
}

/// Waits for ever; when cancelled, takes a while to clean up.
pub(crate) async fn cleans(name: &'static str, delay: u64) {
    if let Err(cancelled) = catch_cancelled(sleep(10_000)).await {
        log(format!("{name} cleans up"));
        sleep(delay).await;
        log(format!("{name} clean"));
        cancelled.propagate().await
    }
}

/// Waits for ever; when cancelled, returns a value after a while.
pub(crate) async fn swallows<T>(name: &'static str, delay: u64, value: T) -> T {
    let _ = catch_cancelled(sleep(10_000)).await;
    log(format!("{name} swallows"));
    sleep(delay).await;
    value
}

/// Waits for ever; when cancelled, fails after a while.
pub(crate) async fn fails_in_cleanup(name: &'static str, delay: u64) -> Result<(), Failure> {
    let _ = catch_cancelled(sleep(10_000)).await;
    fails(name, delay).await
}

/// Gives what Python gives.
pub(crate) trait Told {
    fn told(&self) -> String;
}

impl Told for () {
    fn told(&self) -> String {
        "None".to_owned()
    }
}

impl Told for bool {
    fn told(&self) -> String {
        if *self { "True" } else { "False" }.to_owned()
    }
}

impl Told for i32 {
    fn told(&self) -> String {
        self.to_string()
    }
}

impl Told for &str {
    fn told(&self) -> String {
        (*self).to_owned()
    }
}

impl Told for String {
    fn told(&self) -> String {
        self.clone()
    }
}

impl Told for Failure {
    fn told(&self) -> String {
        format!("Failure({self})")
    }
}

impl Told for CancelledError {
    fn told(&self) -> String {
        "CancelledError".to_owned()
    }
}

impl Told for TimeoutError {
    fn told(&self) -> String {
        "TimeoutError".to_owned()
    }
}

impl Told for TaskError {
    fn told(&self) -> String {
        match self {
            TaskError::Cancelled(error) => error.told(),
            TaskError::Panicked(panic) => format!("panic({})", panic.message()),
        }
    }
}

impl Told for FutureError {
    fn told(&self) -> String {
        match self {
            FutureError::Cancelled { .. } => "CancelledError".to_owned(),
            FutureError::InvalidState(error) => error.told(),
            FutureError::Exception(error) => match error.downcast_ref::<Failure>() {
                Some(failure) => failure.told(),
                None => error.to_string(),
            },
        }
    }
}

impl Told for InvalidStateError {
    fn told(&self) -> String {
        "InvalidStateError".to_owned()
    }
}

impl<E: Told> Told for GroupError<E> {
    fn told(&self) -> String {
        match self {
            GroupError::Error(error) => error.told(),
            GroupError::Panicked(panic) => format!("panic({})", panic.message()),
            GroupError::Group(group) => group.told(),
            GroupError::Cancelled => "cancelled".to_owned(),
        }
    }
}

impl<E: Told> Told for ExceptionGroup<E> {
    fn told(&self) -> String {
        let errors: Vec<String> = self.errors().iter().map(Told::told).collect();
        format!("ExceptionGroup({})", errors.join(", "))
    }
}

impl<T: Told> Told for Vec<T> {
    fn told(&self) -> String {
        let items: Vec<String> = self.iter().map(Told::told).collect();
        format!("[{}]", items.join(", "))
    }
}

impl<A: Told, B: Told, C: Told> Told for (A, B, C) {
    fn told(&self) -> String {
        format!("[{}, {}, {}]", self.0.told(), self.1.told(), self.2.told())
    }
}

impl<T: Told, E: Told> Told for Result<T, E> {
    fn told(&self) -> String {
        match self {
            Ok(value) => value.told(),
            Err(error) => error.told(),
        }
    }
}

/// The value of a task that has ended.
pub(crate) fn result_of<T: Told>(task: Task<T>) -> String {
    match task.try_take() {
        Ok(outcome) => outcome.told(),
        Err(_) => "not done".to_owned(),
    }
}

// --- the twins themselves ---

fn twins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("python")
}

/// A CPython of 3.13 or later, on the path or among pyenv's.
pub(crate) fn python() -> Option<PathBuf> {
    let mut candidates: Vec<PathBuf> = ["python3.14", "python3.13", "python3"]
        .map(PathBuf::from)
        .into();
    if let Some(home) = std::env::var_os("HOME")
        && let Ok(versions) = fs::read_dir(Path::new(&home).join(".pyenv/versions"))
    {
        candidates.extend(
            versions
                .flatten()
                .map(|version| version.path().join("bin/python")),
        );
    }
    // A shim may be on the path and have nothing behind it: what counts is the answer.
    let check =
        "import sys; assert sys.implementation.name == 'cpython' and sys.version_info >= (3, 13)";
    candidates.into_iter().find(|candidate| {
        Command::new(candidate)
            .args(["-c", check])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

#[test]
fn cpython_gives_the_traces_that_we_are_compared_with() {
    let Some(python) = python() else {
        return say("skipped: the twins in tests/python: no CPython 3.13 or later was found");
    };
    let running: Vec<_> = TRACES
        .iter()
        .map(|(file, _)| {
            Command::new(&python)
                .arg("-B")
                .arg(twins().join(format!("{file}.py")))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for ((file, text), process) in TRACES.iter().zip(running) {
        let output = process.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{file}.py: {errors}");
        let printed = scenarios(&String::from_utf8(output.stdout).unwrap());
        let expected = scenarios(text);
        for (printed, expected) in printed.iter().zip(&expected) {
            assert_eq!(printed.name, expected.name, "order of scenarios in {file}");
            assert_eq!(
                printed.trace, expected.trace,
                "`{}` in {file}.py",
                printed.name
            );
        }
        assert_eq!(printed.len(), expected.len(), "scenarios in {file}");
    }
}

#[test]
fn every_twin_in_python_has_one_here() {
    let mut count = 0;
    for (file, text) in TRACES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("conformance/{file}.rs"));
        let source = fs::read_to_string(path).unwrap();
        for scenario in scenarios(text) {
            let test = format!("fn {}() {{", scenario.name);
            assert!(source.contains(&test), "{file}.rs has no `{test}`");
            count += 1;
        }
    }
    for entry in fs::read_dir(twins()).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        assert!(
            name == "twin" || name == "__pycache__" || TRACES.iter().any(|(file, _)| *file == name),
            "{} is not run by anything",
            path.display()
        );
    }
    say(&format!("{count} scenarios compared with CPython's traces"));
}

#[test]
fn a_trace_file_has_names_events_and_remarks() {
    let read = scenarios("# remark\none\n    a\n    b  # why\ntwo\n");
    assert_eq!(read[0].name, "one");
    assert_eq!(read[0].trace, ["a", "b"]);
    assert!(read[1].trace.is_empty());
}
