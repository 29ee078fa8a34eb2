//! A process to look at: this test binary once more, in which nothing but the test below does something.

use std::io::{BufRead, BufReader, Read, Write, stdin};
use std::process::{Child, Command, Stdio};

use asyncio_executor::spawn;
use asyncio_runtime::EventLoop;
use asyncio_tasks::{TaskGroup, to_thread};

const PROGRAM: &str = "ASYNCIO_INSPECT_TEST_PROGRAM";

/// Runs until its standard input ends.
pub(crate) struct Program {
    child: Child,
}

impl Program {
    pub(crate) fn start() -> Program {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "program::runs_when_it_is_asked_to",
                "--exact",
                "--nocapture",
            ])
            .env(PROGRAM, "1")
            .env("ASYNCIO_INSPECT", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut lines = stdout.lines().map(Result::unwrap);
        assert!(lines.any(|line| line == "ready"), "it says so when it runs");
        Program { child }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn runs_when_it_is_asked_to() {
    if std::env::var_os(PROGRAM).is_none() {
        return;
    }
    // Neither is to be told of: one is closed, the other one gone.
    let closed = EventLoop::new().unwrap();
    closed.close().unwrap();
    drop(EventLoop::new().unwrap());
    let idle = EventLoop::new().unwrap();
    let task = idle.create_task(async {});
    asyncio_runtime::run(async {
        let group = TaskGroup::<()>::scope(async |group| {
            group
                .spawn(std::future::pending::<()>())
                .set_name("reader\u{1b}[31m\twith a tab");
            spawn(std::future::pending::<()>()).name("alone").detach();
            to_thread(|| {
                std::io::stdout().write_all(b"\nready\n").unwrap();
                let _ = stdin().read(&mut [0]);
            })
            .await;
            Ok(())
        });
        let _ = group.await;
    });
    drop((task, idle));
}
