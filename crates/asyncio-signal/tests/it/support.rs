//! What the tests share: sending signals to ourselves, and looking at actions.

use std::mem::MaybeUninit;
use std::ptr;

use asyncio_signal::Signal;

/// A real-time signal; each test has its own numbers.
pub(crate) fn real_time(number: i32) -> Signal {
    assert!((35..=64).contains(&number), "glibc keeps 32 to 34");
    Signal::from_raw(number).unwrap()
}

/// Sends a signal to this process.
pub(crate) fn send(signal: Signal) {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::kill(libc::getpid(), signal.as_raw()) };
    assert_eq!(result, 0);
}

/// Sends a signal to this thread; what it leads to in the handler has happened when this returns.
pub(crate) fn raise(signal: Signal) {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::raise(signal.as_raw()) };
    assert_eq!(result, 0);
}

/// The handler in force, `SIG_DFL` and `SIG_IGN` included.
pub(crate) fn action(signal: Signal) -> usize {
    let mut current = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set, and what is asked for is filled.
    unsafe {
        assert_eq!(
            libc::sigaction(signal.as_raw(), ptr::null(), current.as_mut_ptr()),
            0
        );
        current.assume_init().sa_sigaction
    }
}

/// Sets a handler, `SIG_DFL` and `SIG_IGN` included.
pub(crate) fn set_action(signal: Signal, handler: usize) {
    // SAFETY: the handlers of these tests only count.
    let former = unsafe { libc::signal(signal.as_raw(), handler) };
    assert_ne!(former, libc::SIG_ERR);
}
