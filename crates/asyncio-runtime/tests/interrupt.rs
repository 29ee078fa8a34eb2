//! Ctrl-C, from outside: this program runs itself as a child, once for each promise, and sends it SIGINT (S181).

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("child") => unix::child(&std::env::args().nth(2).unwrap_or_default()),
        _ => unix::parent(),
    }
}

#[cfg(unix)]
mod unix {
    use std::future::pending;
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, ExitStatus, Stdio};

    use asyncio_executor::{call_soon, catch_cancelled, current_task, finally, yield_now};
    use asyncio_runtime::{RunError, Runner, add_signal_handler, remove_signal_handler, run};
    use asyncio_signal::SIGINT;
    use asyncio_timers::Sleep;

    pub(super) fn parent() {
        let promises: &[(&str, fn())] = &[
            (
                "the_first_interrupt_lets_cleanup_run_and_leaves_with_the_signals_status",
                || {
                    let mut child = Started::new("cleanup");
                    child.interrupt();
                    let (rest, status) = child.end();
                    assert_eq!(rest, "cleaned up\nleftover cleaned up\n");
                    assert_eq!(status.signal(), Some(2), "{status}");
                },
            ),
            (
                "what_was_printed_without_an_end_of_line_is_not_lost",
                || {
                    let mut child = Started::new("unfinished line");
                    child.interrupt();
                    let (rest, status) = child.end();
                    assert_eq!(rest, "50 %");
                    assert_eq!(status.signal(), Some(2), "{status}");
                },
            ),
            (
                "a_main_task_that_swallows_the_request_returns_normally",
                || {
                    let mut child = Started::new("swallow");
                    child.interrupt();
                    let (rest, status) = child.end();
                    assert_eq!(rest, "went on\n");
                    assert_eq!(status.code(), Some(0), "{status}");
                },
            ),
            (
                // S181: CPython, too, raises KeyboardInterrupt in place of the result.
                "an_interrupt_in_the_last_step_of_the_main_task_is_not_lost",
                || {
                    let mut child = Started::new("last step");
                    child.interrupt();
                    drop(child.child.stdin.take());
                    let (rest, status) = child.end();
                    assert_eq!(rest, "leftover cleaned up\n");
                    assert_eq!(status.signal(), Some(2), "{status}");
                },
            ),
            ("a_second_interrupt_ends_the_process_at_once", || {
                let mut child = Started::new("stubborn");
                child.interrupt();
                assert_eq!(child.line(), "will not end");
                child.interrupt();
                let (rest, status) = child.end();
                assert_eq!(rest, "");
                assert_eq!(status.signal(), Some(2), "{status}");
            }),
            (
                "a_runner_gives_interrupted_as_an_error_and_can_run_again",
                || {
                    let mut child = Started::new("runner");
                    child.interrupt();
                    let (rest, status) = child.end();
                    assert_eq!(rest, "interrupted by SIGINT (Ctrl-C)\nran again\n");
                    assert_eq!(status.code(), Some(0), "{status}");
                },
            ),
            (
                "with_another_request_outstanding_the_outcome_is_cancelled",
                || {
                    let mut child = Started::new("also cancelled");
                    child.interrupt();
                    let (rest, _) = child.end();
                    assert_eq!(rest, "the main task was cancelled\n");
                },
            ),
            ("between_runs_the_default_action_is_back", || {
                let mut child = Started::new("between");
                child.interrupt();
                let (_, status) = child.end();
                assert_eq!(status.signal(), Some(2), "{status}");
            }),
            (
                "a_handler_of_the_loop_has_ctrl_c_until_it_is_removed",
                || {
                    let mut child = Started::new("handled");
                    child.interrupt();
                    assert_eq!(child.line(), "handled");
                    child.interrupt();
                    let (rest, status) = child.end();
                    assert_eq!(rest, "cleaned up\n");
                    assert_eq!(status.signal(), Some(2), "{status}");
                },
            ),
            ("a_program_that_ignores_the_signal_is_left_alone", || {
                let mut child = Started::through("trap '' INT; exec \"$0\" child ignoring");
                child.interrupt();
                drop(child.child.stdin.take());
                let (rest, status) = child.end();
                assert_eq!(rest, "not disturbed\n");
                assert_eq!(status.code(), Some(0), "{status}");
            }),
        ];
        for (name, promise) in promises {
            promise();
            println!("test {name} ... ok");
        }
        println!("{} passed, 0 failed", promises.len());
    }

    pub(super) fn child(part: &str) {
        match part {
            "cleanup" => run(async {
                asyncio_executor::spawn(finally(pending::<()>(), async {
                    yield_now().await;
                    println!("leftover cleaned up");
                }))
                .detach();
                println!("ready");
                finally(pending::<()>(), async {
                    yield_now().await; // cleanup may await
                    println!("cleaned up");
                })
                .await;
            }),
            "unfinished line" => run(async {
                println!("ready");
                print!("50 %");
                pending::<()>().await;
            }),
            "swallow" => run(async {
                println!("ready");
                assert!(catch_cancelled(pending::<()>()).await.is_err());
                println!("went on");
            }),
            "last step" => {
                run(async {
                    asyncio_executor::spawn(finally(pending::<()>(), async {
                        println!("leftover cleaned up");
                    }))
                    .detach();
                    yield_now().await;
                    println!("ready");
                    // Holds the loop, which so never looks; the signal comes first.
                    let _ = std::io::stdin().read_to_end(&mut Vec::new());
                });
                println!("went on as if nothing had been asked");
            }
            "stubborn" => run(async {
                println!("ready");
                let _ = catch_cancelled(pending::<()>()).await;
                println!("will not end");
                pending::<()>().await;
            }),
            "runner" => {
                let mut runner = Runner::new();
                let interrupted = runner.run(async {
                    println!("ready");
                    pending::<()>().await;
                });
                println!("{}", interrupted.unwrap_err());
                println!("{}", runner.run(async { "ran again" }).unwrap());
                runner.close().unwrap();
            }
            "also cancelled" => {
                let mut runner = Runner::new();
                let outcome = runner.run(async {
                    let main = current_task().unwrap();
                    println!("ready");
                    let _ = catch_cancelled(pending::<()>()).await;
                    // Somebody else asks, too, before the first request has led to the end.
                    call_soon(move || {
                        main.cancel();
                    });
                    pending::<()>().await;
                });
                match outcome {
                    Err(error @ RunError::Cancelled(_)) => println!("{error}"),
                    other => println!("{other:?}"),
                }
            }
            "between" => {
                run(async { yield_now().await });
                println!("ready");
                // Read to the end: the signal comes first.
                let _ = std::io::stdin().read_to_end(&mut Vec::new());
                println!("survived");
            }
            "handled" => run(async {
                add_signal_handler(SIGINT, || {
                    assert!(remove_signal_handler(SIGINT));
                    println!("handled");
                })
                .unwrap();
                println!("ready");
                finally(pending::<()>(), async { println!("cleaned up") }).await;
            }),
            "ignoring" => run(async {
                println!("ready");
                let job = asyncio_blocking::unblock(|| {
                    let _ = std::io::stdin().read_to_end(&mut Vec::new());
                });
                Sleep::new(0.001).await;
                job.await.unwrap();
                println!("not disturbed");
            }),
            other => panic!("no such part: {other}"),
        }
    }

    struct Started {
        child: Child,
        lines: BufReader<std::process::ChildStdout>,
    }

    impl Started {
        fn new(part: &str) -> Started {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["child", part]);
            Started::spawn(command)
        }

        fn through(script: &str) -> Started {
            let mut command = Command::new("sh");
            command
                .arg("-c")
                .arg(script)
                .arg(std::env::current_exe().unwrap());
            Started::spawn(command)
        }

        fn spawn(mut command: Command) -> Started {
            let mut child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap());
            let mut started = Started { child, lines };
            assert_eq!(started.line(), "ready");
            started
        }

        fn line(&mut self) -> String {
            let mut line = String::new();
            self.lines.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        }

        fn interrupt(&mut self) {
            let sent = Command::new("sh")
                .args(["-c", &format!("kill -INT {}", self.child.id())])
                .status()
                .unwrap();
            assert!(sent.success());
        }

        fn end(mut self) -> (String, ExitStatus) {
            let mut rest = String::new();
            self.lines.read_to_string(&mut rest).unwrap();
            (rest, self.child.wait().unwrap())
        }
    }
}
