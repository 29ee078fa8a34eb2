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
    action_with_flags(signal).0
}

/// The same, with those of its flags that a program sets.
pub(crate) fn action_with_flags(signal: Signal) -> (usize, i32) {
    let mut current = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set, and what is asked for is filled.
    let current = unsafe {
        assert_eq!(
            libc::sigaction(signal.as_raw(), ptr::null(), current.as_mut_ptr()),
            0
        );
        current.assume_init()
    };
    // glibc has a flag of its own, which says where a handler returns to.
    const SA_RESTORER: i32 = 0x0400_0000;
    (current.sa_sigaction, current.sa_flags & !SA_RESTORER)
}

/// Sets a handler with flags.
pub(crate) fn set_action_with(signal: Signal, handler: usize, flags: i32) {
    // SAFETY: all zeros is a valid `sigaction`, and the handlers of these tests only count.
    unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(
            libc::sigaction(signal.as_raw(), &action, ptr::null_mut()),
            0
        );
    }
}

/// Sets a handler, `SIG_DFL` and `SIG_IGN` included.
pub(crate) fn set_action(signal: Signal, handler: usize) {
    // SAFETY: the handlers of these tests only count.
    let former = unsafe { libc::signal(signal.as_raw(), handler) };
    assert_ne!(former, libc::SIG_ERR);
}
