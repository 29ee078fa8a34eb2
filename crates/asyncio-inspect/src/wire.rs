//! How a report travels: lines of fields, tab between, text escaped.
//!
//! ```text
//! asyncio-inspect 1
//! pid     4711
//! loop    4711    main    0
//! turning
//! task    3    reader    src/main.rs:7:9    waiting    1    0
//! edge    gather    t4    t5    f94033
//! stack    program::read    src/main.rs:12:9    program::main    src/main.rs:20:5
//! end
//! ```
//!
//! Fields of `loop`: thread, its name, tasks left out; of `task`: number, name, place, state, parent (0: none), requests.
//! `stack` comes only if the question, the first line of the answer, ends with ` stacks`. Instead of `turning` there may be `stuck`, milliseconds, state of the thread, and in what; or `notrun`, milliseconds.

use std::fmt::Write;
use std::str::Split;
use std::time::Duration;

use asyncio_executor::{Awaited, TaskState};

use crate::error::InspectError;
use crate::report::{
    EdgeReport, LoopReport, LoopState, Occupation, ProcessReport, StackFrame, TaskReport,
    ThreadReport, ThreadState, state_word,
};

/// The first line of question and answer.
pub(crate) const GREETING: &str = "asyncio-inspect 1";

/// The question.
#[cfg(unix)]
pub(crate) fn question(stacks: bool) -> String {
    format!("{GREETING}{}\n", if stacks { STACKS } else { "" })
}

#[cfg(unix)]
pub(crate) fn asks_for_stacks(question: &str) -> bool {
    question.trim_end().ends_with(STACKS)
}

#[cfg(unix)]
const STACKS: &str = " stacks";

/// No answer is longer.
#[cfg(unix)]
pub(crate) const LONGEST_ANSWER: u64 = 64 << 20;

/// The beginning of an answer; the loops and [`END`] follow.
pub(crate) fn head(pid: u32) -> String {
    format!("{GREETING}\npid\t{pid}\n")
}

/// What comes last, so that an answer that was cut off is none.
pub(crate) const END: &str = "end\n";

/// One loop as lines.
pub(crate) fn encode_loop(report: &LoopReport) -> String {
    let mut out = String::new();
    let thread = &report.thread;
    line(
        &mut out,
        &[
            "loop",
            &thread.id.to_string(),
            &thread.name,
            &report.left_out.to_string(),
        ],
    );
    match &report.state {
        LoopState::Turning => line(&mut out, &["turning"]),
        LoopState::NotRun { since } => line(&mut out, &["notrun", &millis(*since)]),
        LoopState::Stuck {
            since,
            doing,
            inside,
        } => {
            let since = millis(*since);
            let doing = doing_word(*doing);
            match inside {
                Occupation::Task {
                    id,
                    name,
                    spawned_at,
                } => line(
                    &mut out,
                    &[
                        "stuck",
                        &since,
                        doing,
                        "task",
                        &id.to_string(),
                        name,
                        spawned_at,
                    ],
                ),
                Occupation::Callback { scheduled_at } => line(
                    &mut out,
                    &["stuck", &since, doing, "callback", scheduled_at],
                ),
                Occupation::Waker => line(&mut out, &["stuck", &since, doing, "waker"]),
            }
        }
    }
    for task in &report.tasks {
        line(
            &mut out,
            &[
                "task",
                &task.id.to_string(),
                &task.name,
                &task.spawned_at,
                state_word(task.state),
                &task.parent.unwrap_or(0).to_string(),
                &task.cancelling.to_string(),
            ],
        );
        for edge in &task.awaits {
            let on = edge.on.iter().map(|awaited| match awaited {
                Awaited::Task(id) => format!("t{id}"),
                Awaited::Future(id) => format!("f{id}"),
                _ => String::new(),
            });
            let on: Vec<String> = on.filter(|node| !node.is_empty()).collect();
            let mut fields = vec!["edge", &edge.label];
            fields.extend(on.iter().map(String::as_str));
            line(&mut out, &fields);
        }
        for stack in &task.stacks {
            let frames = stack.iter();
            let frames = frames.flat_map(|frame| [&*frame.function, &*frame.place]);
            let fields: Vec<&str> = std::iter::once("stack").chain(frames).collect();
            line(&mut out, &fields);
        }
    }
    out
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn doing_word(doing: ThreadState) -> &'static str {
    match doing {
        ThreadState::Busy => "busy",
        ThreadState::Blocked => "blocked",
        ThreadState::Stopped => "stopped",
        ThreadState::Unknown => "unknown",
    }
}

fn line(out: &mut String, fields: &[&str]) {
    for (at, field) in fields.iter().enumerate() {
        if at > 0 {
            out.push('\t');
        }
        for c in field.chars() {
            match c {
                // A carriage return too: at the end of a line it would be taken for a part of the break.
                '\\' | '\t' | '\n' | '\r' => {
                    // Writing to a `String` cannot fail.
                    let _ = write!(out, "\\{:x};", u32::from(c));
                }
                c => out.push(c),
            }
        }
    }
    out.push('\n');
}

/// Reads an answer.
///
/// # Errors
///
/// [`InspectError::Unreadable`] with the line that is not what was expected there.
pub(crate) fn parse(text: &str) -> Result<ProcessReport, InspectError> {
    let mut lines = Lines {
        text: text.lines().enumerate(),
        number: 0,
    };
    if lines.next()? != GREETING {
        return Err(lines.unreadable("the greeting of this version"));
    }
    let mut fields = lines.fields()?;
    if fields.next() != Some("pid") {
        return Err(lines.unreadable("the number of the process"));
    }
    let pid = lines.number(&mut fields)?;
    let mut report = ProcessReport::new(pid, Vec::new());
    loop {
        let mut fields = lines.fields()?;
        match fields.next() {
            Some("end") => return Ok(report),
            Some("loop") => {
                let id = lines.number(&mut fields)?;
                let name = lines.text(&mut fields)?;
                let left_out = lines.number(&mut fields)?;
                let state = lines.loop_state()?;
                report.loops.push(LoopReport {
                    state,
                    left_out,
                    ..LoopReport::new(ThreadReport { name, id }, Vec::new())
                });
            }
            Some("task") => {
                let task = lines.task(&mut fields)?;
                match report.loops.last_mut() {
                    Some(report) => report.tasks.push(task),
                    None => return Err(lines.unreadable("a loop")),
                }
            }
            Some("edge") => {
                let edge = lines.edge(&mut fields)?;
                let task = report.loops.last_mut().and_then(|l| l.tasks.last_mut());
                match task {
                    Some(task) => task.awaits.push(edge),
                    None => return Err(lines.unreadable("a task")),
                }
            }
            Some("stack") => {
                let stack = lines.stack(&mut fields)?;
                let task = report.loops.last_mut().and_then(|l| l.tasks.last_mut());
                match task {
                    Some(task) => task.stacks.push(stack),
                    None => return Err(lines.unreadable("a task")),
                }
            }
            _ => return Err(lines.unreadable("a loop, a task, an edge, a stack or the end")),
        }
    }
}

struct Lines<'a, I: Iterator<Item = (usize, &'a str)>> {
    text: I,
    number: usize,
}

type Fields<'a> = Split<'a, char>;

impl<'a, I: Iterator<Item = (usize, &'a str)>> Lines<'a, I> {
    fn next(&mut self) -> Result<&'a str, InspectError> {
        self.number += 1;
        match self.text.next() {
            Some((_, line)) => Ok(line),
            None => Err(self.unreadable("there: the answer was cut off")),
        }
    }

    fn fields(&mut self) -> Result<Fields<'a>, InspectError> {
        Ok(self.next()?.split('\t'))
    }

    fn unreadable(&self, expected: &'static str) -> InspectError {
        InspectError::Unreadable {
            line: self.number,
            expected,
        }
    }

    fn number<N: std::str::FromStr>(&self, fields: &mut Fields<'a>) -> Result<N, InspectError> {
        let number = fields.next().and_then(|field| field.parse().ok());
        number.ok_or_else(|| self.unreadable("complete: a number is missing"))
    }

    fn text(&self, fields: &mut Fields<'a>) -> Result<String, InspectError> {
        let text = fields.next().and_then(unescape);
        text.ok_or_else(|| self.unreadable("complete: a text is missing"))
    }

    fn loop_state(&mut self) -> Result<LoopState, InspectError> {
        let mut fields = self.fields()?;
        let state = match fields.next() {
            Some("turning") => LoopState::Turning,
            Some("notrun") => LoopState::NotRun {
                since: Duration::from_millis(self.number(&mut fields)?),
            },
            Some("stuck") => LoopState::Stuck {
                since: Duration::from_millis(self.number(&mut fields)?),
                doing: match fields.next() {
                    Some("busy") => ThreadState::Busy,
                    Some("blocked") => ThreadState::Blocked,
                    Some("stopped") => ThreadState::Stopped,
                    _ => ThreadState::Unknown,
                },
                inside: match fields.next() {
                    Some("task") => Occupation::Task {
                        id: self.number(&mut fields)?,
                        name: self.text(&mut fields)?,
                        spawned_at: self.text(&mut fields)?,
                    },
                    Some("callback") => Occupation::Callback {
                        scheduled_at: self.text(&mut fields)?,
                    },
                    Some("waker") => Occupation::Waker,
                    _ => return Err(self.unreadable("something a loop can be in")),
                },
            },
            _ => return Err(self.unreadable("the state of a loop")),
        };
        Ok(state)
    }

    fn task(&self, fields: &mut Fields<'a>) -> Result<TaskReport, InspectError> {
        let id = self.number(fields)?;
        let (name, spawned_at) = (self.text(fields)?, self.text(fields)?);
        let state = match fields.next() {
            Some("running") => TaskState::Running,
            Some("ready") => TaskState::Ready,
            Some("waiting") => TaskState::Waiting,
            _ => return Err(self.unreadable("the state of a task")),
        };
        let parent = self.number(fields)?;
        Ok(TaskReport {
            state,
            parent: (parent != 0).then_some(parent),
            cancelling: self.number(fields)?,
            ..TaskReport::new(id, &name, &spawned_at)
        })
    }

    fn stack(&self, fields: &mut Fields<'a>) -> Result<Vec<StackFrame>, InspectError> {
        let mut stack = Vec::new();
        while let Some(function) = fields.next() {
            let function = unescape(function)
                .ok_or_else(|| self.unreadable("a stack: the name of a function is not text"))?;
            stack.push(StackFrame::new(&function, &self.text(fields)?));
        }
        Ok(stack)
    }

    fn edge(&self, fields: &mut Fields<'a>) -> Result<EdgeReport, InspectError> {
        let label = self.text(fields)?;
        let on: Option<Vec<Awaited>> = fields
            .map(|node| match node.split_at_checked(1)? {
                ("t", id) => Some(Awaited::Task(id.parse().ok()?)),
                ("f", id) => Some(Awaited::Future(id.parse().ok()?)),
                _ => None,
            })
            .collect();
        match on {
            Some(on) => Ok(EdgeReport { label, on }),
            None => Err(self.unreadable("a list of tasks and promises")),
        }
    }
}

fn unescape(field: &str) -> Option<String> {
    let mut pieces = field.split('\\');
    let mut text = pieces.next()?.to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_once(';')?;
        text.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        text.push_str(rest);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(report: &ProcessReport) -> String {
        let loops: String = report.loops.iter().map(encode_loop).collect();
        format!("{}{loops}{END}", head(report.pid))
    }

    fn example() -> ProcessReport {
        let thread = |name| ThreadReport::new(name, 7);
        let mut reader = TaskReport::new(3, "tab\there\nand \\ there\r", "src/main.rs:7:9")
            .awaiting("gather", [Awaited::Task(4), Awaited::Future(94_033)])
            .awaiting("wait\r", []);
        reader.state = TaskState::Ready;
        reader.parent = Some(1);
        reader.cancelling = 2;
        reader.stacks = vec![
            vec![
                StackFrame::new("read", "a:1:2"),
                StackFrame::new("main", ""),
            ],
            Vec::new(),
        ];
        let turning = LoopReport {
            left_out: 5,
            ..LoopReport::new(thread("main"), vec![reader, TaskReport::new(4, "", "")])
        };
        let since = Duration::from_millis(1500);
        let inside = [
            Occupation::Waker,
            Occupation::Callback {
                scheduled_at: "a:1:2".to_owned(),
            },
            Occupation::Task {
                id: 9,
                name: "nine".to_owned(),
                spawned_at: "b:3:4".to_owned(),
            },
        ];
        let mut states: Vec<LoopState> = inside
            .into_iter()
            .zip([
                ThreadState::Busy,
                ThreadState::Blocked,
                ThreadState::Stopped,
            ])
            .map(|(inside, doing)| LoopState::Stuck {
                since,
                doing,
                inside,
            })
            .collect();
        states.push(LoopState::NotRun { since });
        let silent = states.into_iter().map(|state| LoopReport {
            state,
            ..LoopReport::new(thread(""), Vec::new())
        });
        ProcessReport::new(12, std::iter::once(turning).chain(silent).collect())
    }

    #[test]
    fn what_was_written_is_read() {
        let report = example();
        assert_eq!(parse(&answer(&report)).unwrap(), report);
        let empty = ProcessReport::new(1, Vec::new());
        assert_eq!(parse(&answer(&empty)).unwrap(), empty);
    }

    #[test]
    fn an_answer_that_was_cut_off_anywhere_is_an_error_and_no_panic() {
        let whole = answer(&example());
        for end in (0..whole.len() - 1).filter(|end| whole.is_char_boundary(*end)) {
            // Without the line break at the very end it is whole.
            let cut = &whole[..end];
            assert!(parse(cut).is_err(), "{cut}");
        }
    }

    #[test]
    fn another_version_is_named_as_the_likely_cause() {
        let error = parse("asyncio-inspect 2\nend\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "line 1 of the answer is not the greeting of this version: are the process and this command of one \
             version?"
        );
    }

    #[test]
    fn garbage_is_an_error_that_names_its_line() {
        for (text, line) in [
            ("asyncio-inspect 1\npid\tx\n", 2),
            (
                "asyncio-inspect 1\npid\t1\ntask\t1\ta\tb\twaiting\t0\t0\n",
                3,
            ),
            ("asyncio-inspect 1\npid\t1\nloop\t1\ta\t0\nasleep\n", 4),
            ("asyncio-inspect 1\npid\t1\nloop\t1\t\\zz;\t0\n", 3),
            (
                "asyncio-inspect 1\npid\t1\nloop\t1\ta\t0\nturning\nedge\ta\n",
                5,
            ),
        ] {
            match parse(text) {
                Err(InspectError::Unreadable { line: found, .. }) => assert_eq!(found, line),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
