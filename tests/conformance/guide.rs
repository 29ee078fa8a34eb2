//! The programs of `docs/cancellation.md`, with their output: here they run, there they are read.

use std::fs;

use crate::layering::workspace;
use crate::twin::{log, taken};

/// In these programs, what is printed is kept.
macro_rules! println {
    ($($text:tt)*) => { log(format!($($text)*)) };
}

/// One program of the document, and what the document says that it prints.
fn documented(title: &str) -> (String, String) {
    let document = fs::read_to_string(workspace().join("docs/cancellation.md")).unwrap();
    let (_, after) = document
        .split_once(&format!("**{title}**"))
        .unwrap_or_else(|| panic!("no program **{title}** in docs/cancellation.md"));
    let block = |fence: &str, text: &str| {
        let (_, text) = text.split_once(&format!("```{fence}\n")).unwrap();
        let (block, rest) = text.split_once("```").unwrap();
        (block.to_owned(), rest.to_owned())
    };
    let (program, rest) = block("rust", after);
    let (output, _) = block("text", &rest);
    (program, output.trim_end().to_owned())
}

fn without_blanks(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Runs a program and compares text and output with the document's.
#[track_caller]
fn program(title: &str, run: fn()) {
    let (text, output) = documented(title);
    assert!(
        without_blanks(include_str!("guide.rs")).contains(&without_blanks(&text)),
        "the program **{title}** is another one in docs/cancellation.md"
    );
    drop(taken());
    run();
    assert_eq!(taken().join("\n"), output, "what **{title}** prints");
}

#[test]
fn unwinding_scope_by_scope() {
    program("Unwinding, scope by scope", || {
        use asyncio::{catch_cancelled, create_task, finally, sleep};

        async fn connection() {
            let goodbye = async {
                println!("connection: goodbye");
                sleep(0.001).await; // an answer may take a while
                println!("connection: closed");
            };
            finally(sleep(3600), goodbye).await;
        }

        asyncio::run(async {
            let worker = create_task(async {
                if let Err(cancelled) = catch_cancelled(connection()).await {
                    println!("worker: {cancelled}");
                    cancelled.propagate().await // Python's bare `raise`
                }
            });
            sleep(0.001).await;
            println!("heard: {}", worker.cancel_with("shutting down"));
            println!("main: {}", worker.await.unwrap_err());
        });
    });
}

#[test]
fn a_task_that_awaits_a_task() {
    program("A task that awaits a task", || {
        use asyncio::{catch_cancelled, create_task, sleep};

        asyncio::run(async {
            let outer = create_task(async {
                let inner = create_task(async {
                    match catch_cancelled(sleep(3600)).await {
                        Ok(()) => "all of it",
                        Err(_) => "what there was",
                    }
                });
                let value = inner.await.unwrap(); // the request goes on to `inner`
                println!("outer goes on with {value}");
            });
            sleep(0.001).await;
            outer.cancel();
            println!("requests: {}", outer.cancelling());
            println!("outer: {:?}", outer.await);
        });
    });
}

#[test]
fn a_group_that_fails() {
    program("A group that fails", || {
        use asyncio::{TaskGroup, finally, sleep};

        async fn member(name: &str) -> Result<(), String> {
            finally(sleep(3600), async { println!("{name} leaves") }).await;
            Ok(())
        }

        asyncio::run(async {
            let group = TaskGroup::scope(async |group| {
                drop(group.create_task(member("a")));
                drop(group.create_task(async {
                    sleep(0.001).await;
                    Err::<(), _>("disk full".to_owned())
                }));
                member("the body").await // cancelled here
            });
            println!("{}", group.await.unwrap_err());
        });
    });
}

#[test]
fn a_timeout_and_a_shield() {
    program("A timeout and a shield", || {
        use asyncio::{create_task, finally, shield, sleep, wait_for};

        asyncio::run(async {
            let cleanup = async { println!("cleaned up") };
            let asked = create_task(finally(sleep(3600), cleanup));
            println!("{}", wait_for(asked, 0.001).await.unwrap_err()); // after the cleanup

            let mut kept = create_task(async {
                sleep(0.01).await;
                "the answer"
            });
            println!("{}", wait_for(shield(&mut kept), 0.001).await.unwrap_err());
            println!("{}", kept.await.unwrap());
        });
    });
}

#[test]
fn dropping_is_no_request() {
    program("Dropping is no request", || {
        use asyncio::{create_task, finally, sleep};
        use futures_util::future::select;
        use std::pin::pin;

        struct Guard;

        impl Drop for Guard {
            fn drop(&mut self) {
                println!("`Drop` runs");
            }
        }

        asyncio::run(async {
            {
                let losing = async {
                    let _guard = Guard;
                    finally(sleep(3600), async { println!("never") }).await;
                };
                select(pin!(losing), pin!(sleep(0.001))).await;
            }
            // A task is asked instead, and waited for: so its cleanup runs.
            let cleanup = async { println!("cleaned up") };
            let task = create_task(finally(sleep(3600), cleanup));
            sleep(0.001).await;
            task.cancel();
            println!("{}", task.await.unwrap_err());
        });
    });
}
