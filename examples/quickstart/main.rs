//! A whole program: an HTTP/1.1 file server and a bounded crawler of it, checked byte by byte.
//!
//! Run it: `cargo run --release --example quickstart`, or `cargo run --release --example quickstart -- --serve [PORT]`
//! to keep serving until Ctrl-C (try `curl` on it).
//!
//! It serves the checkout's own files on a free loopback port, fetches all of them with at most 16 connections at a
//! time, compares every byte with the disk, shuts down in order, and prints what the loop did. Wrong bytes or a task
//! left over end it with exit status 1.

mod client;
mod files;
mod server;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Instant;

use asyncio::{Semaphore, TaskGroup, all_tasks, get_running_loop, start_server, to_thread};
use indicatif::{ProgressBar, ProgressStyle};

const AT_A_TIME: usize = 16;

#[asyncio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        None => fetch_everything().await,
        Some("--serve") => match arguments.next().as_deref().unwrap_or("0").parse() {
            Ok(port) => serve(port).await,
            Err(_) => Err(io::Error::other(
                "--serve takes a port number between 0 and 65535",
            )),
        },
        Some(other) => Err(io::Error::other(format!(
            "unknown argument {other:?}; there is only --serve [PORT]"
        ))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until Ctrl-C, which cancels this task: the server is then closed in order, and the process leaves with the
/// signal's status.
async fn serve(port: u16) -> io::Result<()> {
    let root = Rc::new(files::root());
    let server = start_server(
        move |reader, writer| server::connection(root.clone(), reader, writer),
        "127.0.0.1",
        port,
    )
    .await?;
    for address in server.local_addrs() {
        println!(
            "serving {} on http://{address}/; Ctrl-C ends it",
            files::root().display()
        );
    }
    server.serve_forever().await
}

async fn fetch_everything() -> io::Result<()> {
    let began = Instant::now();
    let root = Rc::new(files::root());
    let listed = files::root();
    let paths = to_thread(move || files::list(&listed)).await?;

    let serving = root.clone();
    let server = start_server(
        move |reader, writer| server::connection(serving.clone(), reader, writer),
        "127.0.0.1",
        0,
    )
    .await?;
    let port = server.local_addrs()[0].port();

    let progress = progress_bar(paths.len() as u64);
    let permits = Rc::new(Semaphore::new(AT_A_TIME));
    // No fetch outlives the group; the first failure cancels the others and comes out here.
    let bytes: io::Result<u64> = TaskGroup::scope(async |group| {
        let mut fetches = Vec::new();
        for path in &paths {
            let (path, root) = (path.clone(), root.clone());
            let (permits, progress) = (permits.clone(), progress.clone());
            fetches.push(group.create_task(async move {
                let _permit = permits.acquire().await;
                let bytes = fetch_and_compare(port, &root, path).await?;
                progress.inc(1);
                Ok::<u64, io::Error>(bytes)
            }));
        }
        let mut bytes = 0;
        for fetch in fetches {
            bytes += fetch.await;
        }
        Ok(bytes)
    })
    .await
    .map_err(|failures| io::Error::other(failures.to_string()));
    progress.finish_and_clear();
    let bytes = bytes?;

    server.close();
    server.wait_closed().await;
    // Only this task may be left: everything else was waited for.
    let left: Vec<_> = all_tasks()
        .into_iter()
        .map(|task| task.info().to_string())
        .collect();
    if left.len() != 1 {
        return Err(io::Error::other(format!("tasks are left over: {left:?}")));
    }

    let seconds = began.elapsed().as_secs_f64();
    let stats = get_running_loop().stats();
    println!(
        "{} files, {bytes} bytes fetched and compared in {seconds:.3} s",
        paths.len()
    );
    println!(
        "the loop: {} turns, {} tasks, {} polls, {} wakes ({} from other threads), {} system calls",
        stats.executor.turns,
        stats.executor.spawned,
        stats.executor.polls,
        stats.executor.wakes,
        stats.executor.foreign,
        stats.reactor.syscalls
    );
    Ok(())
}

async fn fetch_and_compare(port: u16, root: &std::path::Path, path: PathBuf) -> io::Result<u64> {
    let served = client::fetch(port, &files::url_path(&path)).await?;
    let file = root.join(&path);
    let on_disk = to_thread(move || std::fs::read(file)).await?;
    if served != on_disk {
        return Err(io::Error::other(format!(
            "{}: {} bytes came over the wire, {} are on the disk, and they differ",
            path.display(),
            served.len(),
            on_disk.len()
        )));
    }
    Ok(on_disk.len() as u64)
}

/// A bar on a terminal, nothing elsewhere.
fn progress_bar(length: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} files, {per_sec}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

#[cfg(test)]
mod tests;
