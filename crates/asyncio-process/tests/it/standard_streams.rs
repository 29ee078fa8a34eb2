//! Our own standard streams: who shares them notices nothing.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use asyncio_process::{create_subprocess_exec, shared_reader, shared_writer, stdin, stdout};
use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;

use crate::support::*;

fn is_blocking(fd: impl AsFd) -> bool {
    !rustix::fs::fcntl_getfl(fd)
        .unwrap()
        .contains(OFlags::NONBLOCK)
}

/// The two sides of a terminal: ours, and the programs'.
fn terminal() -> (File, File) {
    let ours = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&ours).unwrap();
    rustix::pty::unlockpt(&ours).unwrap();
    let name = rustix::pty::ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options()
        .read(true)
        .write(true)
        .open(OsStr::from_bytes(name.to_bytes()))
        .unwrap();
    (File::from(ours), theirs)
}

#[test]
fn a_terminal_is_read_and_written_and_keeps_its_mode() {
    run(async {
        let (mut user, terminal) = terminal();
        let mut reader = shared_reader(&terminal, 1000).unwrap();
        let writer = shared_writer(&terminal).unwrap();
        user.write_all(b"typed\n").unwrap();
        assert_eq!(reader.readline().await.unwrap(), "typed\n");
        writer.write("shown");
        writer.drain().await.unwrap();
        let mut screen = [0; 12];
        user.read_exact(&mut screen).unwrap();
        assert_eq!(&screen, b"typed\r\nshown", "the echo first");
        let waiting = spawn(async move { reader.readline().await });
        yield_now().await;
        assert!(is_blocking(&terminal), "also while somebody waits");
        user.write_all(&[4]).unwrap(); // Ctrl-D
        assert_eq!(waiting.await.unwrap().unwrap(), "");
        drop(writer);
        assert!(is_blocking(&terminal));
    });
}

#[test]
fn pipes_and_sockets_keep_their_mode() {
    run(async {
        let (reader, writer) = std::io::pipe().unwrap();
        let (left, right) = UnixStream::pair().unwrap();
        let pairs: [(OwnedFd, OwnedFd); 2] =
            [(reader.into(), writer.into()), (left.into(), right.into())];
        for (from, to) in pairs {
            let mut reader = shared_reader(&from, 1000).unwrap();
            let waiting = spawn(async move { reader.readexactly(1_000_000).await });
            yield_now().await;
            let writer = shared_writer(&to).unwrap();
            // More than fits: the writer has to wait, too.
            writer.write(vec![b'x'; 1_000_000]);
            yield_now().await;
            assert!(is_blocking(&from) && is_blocking(&to));
            writer.drain().await.unwrap();
            assert_eq!(waiting.await.unwrap().unwrap().len(), 1_000_000);
            // The descriptors are still ours, and open.
            drop(writer);
            rustix::io::write(&to, b"y").unwrap();
            assert_eq!(rustix::io::read(&from, &mut [0; 8]).unwrap(), 1);
        }
    });
}

#[test]
fn a_regular_file_is_used_from_where_it_stands() {
    run(async {
        let path = std::env::temp_dir().join(format!("asyncio-process-{}", std::process::id()));
        let mut file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        std::fs::remove_file(&path).unwrap();
        file.write_all(b"one\n").unwrap();
        let writer = shared_writer(&file).unwrap();
        writer.write("two\nthree\n");
        writer.drain().await.unwrap();
        assert_eq!(file.stream_position().unwrap(), 14, "the place is shared");
        file.seek(std::io::SeekFrom::Start(4)).unwrap();
        let mut reader = shared_reader(&file, 1000).unwrap();
        assert_eq!(reader.readline().await.unwrap(), "two\n");
        assert_eq!(reader.readline().await.unwrap(), "three\n");
        assert_eq!(
            reader.readline().await.unwrap(),
            "",
            "the end, as often as asked"
        );
        assert_eq!(reader.readline().await.unwrap(), "");
    });
}

#[test]
fn a_device_that_is_always_ready_will_do() {
    run(async {
        let null = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .unwrap();
        let writer = shared_writer(&null).unwrap();
        writer.write("gone");
        writer.drain().await.unwrap();
        let mut reader = shared_reader(&null, 10).unwrap();
        assert_eq!(reader.read_to_end().await.unwrap(), "");
        let zero = File::open("/dev/zero").unwrap();
        let mut reader = shared_reader(&zero, 10).unwrap();
        assert_eq!(reader.readexactly(100_000).await.unwrap().len(), 100_000);
    });
}

/// Opening the side of a terminal that its emulator holds once more would give another terminal.
#[test]
fn what_becomes_something_else_when_it_is_opened_again_is_not_opened_again() {
    run(async {
        let (user, mut terminal) = terminal();
        let mut screen = shared_reader(&user, 1000).unwrap();
        let keyboard = shared_writer(&user).unwrap();
        terminal.write_all(b"shown\n").unwrap();
        assert_eq!(screen.readline().await.unwrap(), "shown\r\n");
        keyboard.write("typed\n");
        keyboard.drain().await.unwrap();
        let mut line = [0; 6];
        terminal.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"typed\n");
        assert!(is_blocking(&user));
    });
}

/// A program with a terminal, that runs the test below, starts a child in the middle of it, and is killed.
#[test]
fn a_child_finds_the_terminal_blocking_and_so_does_who_comes_after() {
    let (mut user, terminal) = terminal();
    let program = Command::new(std::env::current_exe().unwrap())
        .arg("standard_streams::in_a_terminal::echo_and_start_a_child")
        .args(["--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::from(terminal.try_clone().unwrap()))
        .stdout(Stdio::from(terminal.try_clone().unwrap()))
        .stderr(Stdio::null())
        .spawn();
    let mut program = program.unwrap();
    user.write_all(b"typed\n").unwrap();
    let mut screen = String::new();
    while !screen.contains("that was all") {
        let mut piece = [0; 1000];
        let n = user.read(&mut piece).unwrap();
        screen.push_str(&String::from_utf8_lossy(&piece[..n]));
    }
    assert!(screen.contains("you typed 6 bytes"), "{screen}");
    let flags: Vec<_> = screen
        .lines()
        .filter_map(|line| line.strip_prefix("flags:"))
        .map(|flags| u32::from_str_radix(flags.trim(), 8).unwrap())
        .collect();
    assert_eq!(flags.len(), 2, "{screen}");
    assert!(flags.iter().all(|flags| flags & 0o4000 == 0), "{screen}");
    // It waits for input. What is left of it is our own descriptor.
    program.kill().unwrap();
    program.wait().unwrap();
    assert!(is_blocking(&terminal));
}

mod in_a_terminal {
    use super::*;

    #[test]
    #[ignore = "run by `a_child_finds_the_terminal_blocking_and_so_does_who_comes_after`"]
    fn echo_and_start_a_child() {
        run(async {
            let (mut stdin, stdout) = (stdin().unwrap(), stdout().unwrap());
            let line = stdin.readline().await.unwrap();
            stdout.write(format!("you typed {} bytes\n", line.len()));
            stdout.drain().await.unwrap();
            let waiting = spawn(async move { stdin.readline().await });
            yield_now().await;
            let child = create_subprocess_exec("grep")
                .args(["-h", "flags", "/proc/self/fdinfo/0", "/proc/self/fdinfo/1"])
                .spawn();
            assert_eq!(child.await.unwrap().wait().await, 0);
            stdout.write("that was all\n");
            stdout.drain().await.unwrap();
            waiting.await.unwrap().unwrap();
        });
    }
}
