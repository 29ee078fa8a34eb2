//! What a thread of this process is about, asked of the system.

use crate::report::ThreadState;

/// The number of this thread with the system; 0 where that has none.
pub(crate) fn this_thread() -> u32 {
    #[cfg(target_os = "linux")]
    return u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
    #[cfg(not(target_os = "linux"))]
    0
}

/// What a thread does: on Linux by its line in `/proc`.
pub(crate) fn thread_state(id: u32) -> ThreadState {
    match std::fs::read_to_string(format!("/proc/self/task/{id}/stat")) {
        Ok(line) => state_in(&line),
        Err(_) => ThreadState::Unknown,
    }
}

/// The letter after the name, which is in parentheses and may hold anything: proc(5).
fn state_in(line: &str) -> ThreadState {
    let letter = line.rsplit_once(')').and_then(|(_, rest)| {
        let mut fields = rest.split_whitespace();
        fields.next()
    });
    match letter {
        Some("R") => ThreadState::Busy,
        Some("S" | "D" | "I") => ThreadState::Blocked,
        Some("T" | "t") => ThreadState::Stopped,
        _ => ThreadState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letter_is_found_behind_any_name() {
        assert_eq!(state_in("7 (a) R) S 1 7 7 0"), ThreadState::Blocked);
        assert_eq!(state_in("7 (loop) R 1 7 7 0"), ThreadState::Busy);
        assert_eq!(state_in("7 (loop) T 1"), ThreadState::Stopped);
        assert_eq!(state_in("nothing of the kind"), ThreadState::Unknown);
        assert_eq!(state_in(""), ThreadState::Unknown);
    }
}
