//! What the kernel can tell or do: cores, processor time, resident memory.

use std::io;
use std::time::Duration;

use rustix::process::{
    PTracer, Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, set_ptracer,
    setrlimit,
};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Ties this process, and the threads it will start, to one core.
pub(crate) fn pin_to_core(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// A bench that is killed takes its children along.
pub(crate) fn die_with_parent() {
    set_parent_process_death_signal(Some(Signal::KILL)).expect("Linux has PR_SET_PDEATHSIG");
}

/// Raises the limit of open files as far as it goes: 2000 connections have both their ends in one process.
pub(crate) fn allow_many_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    // Where it cannot be raised, the row that needs it says so itself.
    let _ = setrlimit(Resource::Nofile, all);
}

/// Lets a process that is not an ancestor trace this one, where Yama forbids that.
pub(crate) fn let_strace_attach() {
    // Without Yama there is no such option and no need of it.
    let _ = set_ptracer(PTracer::Any);
}

/// Processor time (user and system, all threads) used by this process so far.
pub(crate) fn cpu_time() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The same of another process, read from its own CPU clock.
pub(crate) fn cpu_time_of(pid: u32) -> Duration {
    // What clock_getcpuclockid(3) computes: the complement of the process id over three bits, of
    // which 2 asks for the scheduler's sum over all threads.
    clock((!pid.cast_signed() << 3) | 2)
}

fn clock(id: libc::clockid_t) -> Duration {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid place for the answer for as long as the call lasts.
    let outcome = unsafe { libc::clock_gettime(id, &mut now) };
    assert_eq!(
        outcome,
        0,
        "no such CPU clock: {}",
        io::Error::last_os_error()
    );
    Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
}

/// Resident memory of this process in bytes.
pub(crate) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("procfs is mounted");
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("statm: size resident …") * rustix::param::page_size()
}
