//! The exit statuses of children where the program ignores SIGCHLD. In a process of its own: other tests have children.

use std::cell::Cell;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use asyncio_reactor::Reactor;
use asyncio_signal::{KeptStatuses, Listener, SIGCHLD};

use crate::support::{action, action_with_flags, raise, set_action_with};

#[test]
fn exit_statuses_are_kept_where_sigchld_is_ignored_and_listeners_do_not_notice() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["kept_statuses::in_a_process_of_its_own::kept", "--exact"])
        .args(["--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

mod in_a_process_of_its_own {
    use super::*;

    #[test]
    #[ignore = "run by the other of this file"]
    fn kept() {
        let reactor = Reactor::new().unwrap();
        assert!(KeptStatuses::ask().unwrap().is_none(), "kept by default");
        let heard = Rc::new(Cell::new(0));
        let seen = heard.clone();
        let listen = || {
            let seen = seen.clone();
            Listener::new(&reactor, [SIGCHLD], move |_, times| {
                seen.set(seen.get() + times)
            })
            .unwrap()
        };
        let no_wait = libc::SA_NOCLDWAIT;
        for (handler, flags) in [(libc::SIG_IGN, 0), (libc::SIG_DFL, no_wait)] {
            set_action_with(SIGCHLD, handler, flags);
            let kept = KeptStatuses::ask().unwrap().unwrap();
            assert_ne!(action(SIGCHLD), handler);
            let again = KeptStatuses::ask().unwrap().unwrap();
            drop(kept);
            assert_ne!(action(SIGCHLD), handler, "one is left");
            let listener = listen();
            drop(again);
            raise(SIGCHLD);
            reactor.wait(Some(Duration::ZERO)).unwrap();
            assert_eq!(heard.take(), 1);
            let outlives_the_listener = KeptStatuses::ask().unwrap().unwrap();
            drop(listener);
            assert_ne!(action(SIGCHLD), handler);
            drop(outlives_the_listener);
            assert_eq!(action_with_flags(SIGCHLD), (handler, flags));
        }
    }
}
