//! The calls by which a task waits, made readable.

use std::backtrace::Backtrace;

use crate::report::{StackFrame, printable};

/// The calls between the task and the place where it waits, innermost first: what the standard library and this runtime
/// do among themselves is left out.
///
/// A [`Backtrace`] can only be read as text. Should that change its form, there are no stacks any more, and nothing worse.
pub(crate) fn frames(backtrace: &Backtrace) -> Vec<StackFrame> {
    frames_in(&backtrace.to_string())
}

/// Each stack once, and none that is only the way to another one: a group keeps a waker around its body.
pub(crate) fn innermost(stacks: Vec<Vec<StackFrame>>) -> Vec<Vec<StackFrame>> {
    let mut kept: Vec<Vec<StackFrame>> = Vec::new();
    for stack in stacks {
        if kept.iter().any(|known| known.ends_with(&stack)) {
            continue;
        }
        kept.retain(|known| !stack.ends_with(known));
        kept.push(stack);
    }
    kept
}

/// A frame as people read it.
pub(crate) fn frame_line(frame: &StackFrame) -> String {
    let (function, place) = (printable(&frame.function), printable(&frame.place));
    match (&*function, &*place) {
        ("", place) => format!("at {place}"),
        (function, "") => format!("in {function}"),
        (function, place) => format!("in {function} at {place}"),
    }
}

/// Frames of one task that are told of.
const MOST_FRAMES: usize = 50;

fn frames_in(text: &str) -> Vec<StackFrame> {
    let all = parse(text);
    // Up to here: how the waker was cloned. From there on: how the task was polled.
    let first = all
        .iter()
        .rposition(|frame| frame.function.contains("asyncio_executor::trace::"));
    let inside = &all[first.map_or(0, |first| first + 1)..];
    let end = inside
        .iter()
        .position(|frame| frame.function.contains("asyncio_executor::root::Root<"));
    let inside = &inside[..end.unwrap_or(inside.len())];
    let mut frames: Vec<StackFrame> = Vec::new();
    for frame in inside.iter().filter(|frame| !is_std(frame)) {
        let function = readable(&frame.function);
        let frame = match module_of_ours(&function) {
            // Of a module of this runtime the name says enough, and once is enough.
            Some(module) => StackFrame::new(&module, ""),
            None if is_place_of_ours(&frame.place) => continue,
            None => StackFrame::new(&function, &frame.place),
        };
        if frames.last() != Some(&frame) {
            frames.push(frame);
        }
    }
    frames.truncate(MOST_FRAMES);
    frames
}

/// Lines of the form `  12: function`, each followed by `  at place` if that is known.
fn parse(text: &str) -> Vec<StackFrame> {
    let mut frames: Vec<StackFrame> = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if let Some(place) = line.strip_prefix("at ") {
            if let Some(last) = frames.last_mut() {
                last.place = place.to_owned();
            }
        } else if let Some((number, function)) = line.split_once(": ")
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            frames.push(StackFrame {
                function: function.to_owned(),
                place: String::new(),
            });
        }
    }
    frames
}

/// Without what the compiler adds: `{{closure}}`, type arguments, the trait of a method.
fn readable(function: &str) -> String {
    let function = match function.strip_prefix('<') {
        // `<Type as Trait>::method`
        Some(rest) => {
            let (inside, method) = split_at_closing(rest);
            let of = inside.split(" as ").next().unwrap_or(inside);
            format!("{}{method}", of.trim_start_matches('&'))
        }
        None => function.to_owned(),
    };
    let mut plain = String::new();
    let mut depth = 0_usize;
    for c in function.chars() {
        match c {
            '<' | '{' => depth += 1,
            '>' | '}' => depth = depth.saturating_sub(1),
            c if depth == 0 => plain.push(c),
            _ => {}
        }
    }
    let pieces: Vec<&str> = plain
        .split("::")
        .filter(|piece| !piece.is_empty())
        .collect();
    pieces.join("::")
}

/// At the `>` that closes what began before the text.
fn split_at_closing(text: &str) -> (&str, &str) {
    let mut depth = 1_usize;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&text[..at], &text[at + 1..]);
        }
    }
    (text, "")
}

/// What is between any two awaits. Where names are short, as with line tables only, the place tells.
fn is_std(frame: &StackFrame) -> bool {
    let function = frame.function.trim_start_matches(['<', '&']);
    frame.place.contains("/rustc/")
        || frame.place.is_empty() && !function.contains("::")
        || ["core::", "std::", "alloc::"]
            .iter()
            .any(|name| function.starts_with(name))
}

/// `asyncio_sync::lock` of `asyncio_sync::lock::Acquire::poll`.
fn module_of_ours(function: &str) -> Option<String> {
    let mut pieces = function.split("::");
    let (name, module) = (pieces.next()?, pieces.next()?);
    let is_ours = name.starts_with("asyncio_") && pieces.next().is_some();
    // What every primitive stands on.
    let is_below = ["wait_queue", "guard"].contains(&module);
    (is_ours && !is_below).then(|| format!("{name}::{module}"))
}

fn is_place_of_ours(place: &str) -> bool {
    place
        .split_once("/asyncio-")
        .is_some_and(|(_, rest)| rest.contains("/src/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "   0: std::backtrace_rs::backtrace::trace
             at /rustc/abc/library/std/src/backtrace.rs:1:1
   1: asyncio_executor::trace::note
             at ./crates/asyncio-executor/src/trace.rs:1:1
   2: asyncio_executor::trace::clone
   3: <core::task::wake::Waker as core::clone::Clone>::clone
             at /rustc/abc/library/core/src/task/wake.rs:1:1
   4: asyncio_sync::wait_queue::WaitQueue<F,T>::join
             at ./crates/asyncio-sync/src/wait_queue.rs:7:1
   5: asyncio_sync::lock::Lock<F>::poll_acquire
             at ./crates/asyncio-sync/src/lock.rs:8:1
   6: <asyncio_sync::lock::Acquire<F> as core::future::future::Future>::poll
             at ./crates/asyncio-sync/src/lock.rs:9:1
   7: poll<asyncio_sync::lock::Acquire<F>>
             at ./crates/asyncio-executor/src/cancel/catch.rs:80:1
   8: <asyncio_tasks::timeout::WithTimeout<F,C> as core::future::future::Future>::poll
             at ./crates/asyncio-tasks/src/timeout.rs:9:1
   9: program::transfer::{{closure}}
             at ./src/main.rs:12:9
  10: {async_fn#0}
             at ./src/main.rs:20:5
  11: do_call<program::main>
             at /rustc/abc/library/std/src/panicking.rs:1:1
  12: __rust_try
  13: <asyncio_executor::root::Root<F> as core::future::future::Future>::poll::{{closure}}
  14: std::panicking::try
";

    #[test]
    fn what_is_left_is_what_the_program_called_and_where() {
        let lines: Vec<String> = frames_in(TEXT).iter().map(frame_line).collect();
        assert_eq!(
            lines,
            [
                "in asyncio_sync::lock",
                "in asyncio_tasks::timeout",
                "in program::transfer at ./src/main.rs:12:9",
                "at ./src/main.rs:20:5",
            ]
        );
    }

    #[test]
    fn the_way_to_another_stack_is_none_of_its_own() {
        let frame = |name| StackFrame::new(name, "");
        let way = vec![frame("group"), frame("main")];
        let mut leaf = vec![frame("lock")];
        leaf.extend(way.clone());
        let other = vec![frame("sleep"), frame("main")];
        let stacks = vec![way, leaf.clone(), other.clone(), leaf.clone(), Vec::new()];
        assert_eq!(innermost(stacks), [leaf, other]);
    }

    #[test]
    fn other_text_has_no_frames() {
        assert!(frames_in("").is_empty());
        assert!(frames_in("disabled backtrace").is_empty());
    }
}
