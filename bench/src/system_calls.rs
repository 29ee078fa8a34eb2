//! Counts another process's system calls: by the kernel's own counter of `raw_syscalls:sys_enter`, which hardly slows it
//! down, or, where that is not allowed, by strace, which does.

use std::ffi::c_int;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::FromRawFd;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// A count that runs until [`end`](SystemCalls::end).
pub(crate) enum SystemCalls {
    /// One counter for each thread; threads that come later count with the one that made them.
    Counters(Vec<File>),
    Strace(Child, BufReader<ChildStderr>),
}

impl SystemCalls {
    /// Begins to count the calls of process `id`; the error says why that cannot be done.
    pub(crate) fn count(id: u32) -> Result<Self, String> {
        counters(id).map(Self::Counters).or_else(|kernel| {
            strace(id).map_err(|strace| {
                format!(
                    "system calls cannot be counted: by the kernel: {kernel}; by strace: {strace}"
                )
            })
        })
    }

    pub(crate) fn end(self) -> io::Result<u64> {
        match self {
            Self::Counters(counters) => counters.into_iter().map(read_counter).sum(),
            Self::Strace(mut strace, mut said) => {
                kill_process(Pid::from_child(&strace), Signal::INT)?;
                let mut table = String::new();
                said.read_to_string(&mut table)?;
                strace.wait()?;
                Ok(sum_of_calls(&table))
            }
        }
    }
}

fn counters(id: u32) -> io::Result<Vec<File>> {
    let tracepoint = fs::read_to_string("/sys/kernel/tracing/events/raw_syscalls/sys_enter/id")?;
    let tracepoint = tracepoint.trim().parse().map_err(io::Error::other)?;
    fs::read_dir(format!("/proc/{id}/task"))?
        .map(|thread| {
            let thread = thread?.file_name();
            let thread = thread.to_string_lossy().parse().map_err(io::Error::other)?;
            counter(tracepoint, thread)
        })
        .collect()
}

/// The first version of the kernel's `struct perf_event_attr`, which every later one understands.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    breakpoint_address: u64,
}

const PERF_TYPE_TRACEPOINT: u32 = 2;
/// The second bit of the flags.
const INHERIT: u64 = 1 << 1;
const PERF_FLAG_FD_CLOEXEC: u64 = 8;

fn counter(tracepoint: u64, thread: c_int) -> io::Result<File> {
    let attributes = Attributes {
        kind: PERF_TYPE_TRACEPOINT,
        size: size_of::<Attributes>() as u32,
        config: tracepoint,
        flags: INHERIT,
        ..Attributes::default()
    };
    let (any_core, no_group): (c_int, c_int) = (-1, -1);
    // SAFETY: `attributes` is a valid structure of the size that it says, and is only read.
    let descriptor = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            thread,
            any_core,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor, and nobody else knows it.
    Ok(unsafe { File::from_raw_fd(descriptor as c_int) })
}

fn read_counter(mut counter: File) -> io::Result<u64> {
    let mut count = [0; 8];
    counter.read_exact(&mut count)?;
    Ok(u64::from_ne_bytes(count))
}

fn strace(id: u32) -> Result<SystemCalls, String> {
    let mut strace = Command::new("strace")
        .args(["-c", "-f", "-p", &id.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut said = BufReader::new(strace.stderr.take().expect("it is piped"));
    let mut line = String::new();
    let outcome = said.read_line(&mut line);
    if outcome.is_ok() && line.contains("attached") {
        return Ok(SystemCalls::Strace(strace, said));
    }
    let _ = strace.kill();
    let _ = strace.wait();
    Err(line.trim().to_owned())
}

/// The fourth column of strace's table: share, seconds, microseconds for a call, calls, perhaps errors, name.
fn sum_of_calls(table: &str) -> u64 {
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.len() >= 5 && fields.last() != Some(&"total"))
        .filter(|fields| fields[0].parse::<f64>().is_ok())
        .filter_map(|fields| fields[3].parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_summed_over_strace_s_table_without_its_total() {
        let table = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 33.21    0.042371          16      2573           close
 18.99    0.024225           3      6245      1099 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.127587           7      8818      1099 total
";
        assert_eq!(sum_of_calls(table), 8818);
    }
}
