use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;

use asyncio_net::{StreamError, read_pipe, write_pipe};

use crate::support::*;

/// As many bytes as the pipe takes now, so that a write to it waits.
fn filled(pipe: &std::io::PipeWriter) -> usize {
    let flags = rustix::fs::fcntl_getfl(pipe).unwrap();
    rustix::fs::fcntl_setfl(pipe, flags | rustix::fs::OFlags::NONBLOCK).unwrap();
    let mut total = 0;
    while let Ok(n) = rustix::io::write(pipe, &[b'-'; 4096]) {
        total += n;
    }
    total
}

#[test]
fn a_pipe_is_read_like_a_connection() {
    run(async {
        let (ours, mut theirs) = std::io::pipe().unwrap();
        let mut reader = read_pipe(ours, 16).unwrap();
        {
            let mut line = pin!(reader.readline());
            assert!(poll_once(line.as_mut()).await.is_none());
            theirs.write_all(b"one\nt").unwrap();
            assert_eq!(line.await.unwrap(), "one\n");
        }
        // A read that is given up loses nothing.
        assert!(poll_once(pin!(reader.readline())).await.is_none());
        theirs.write_all(b"wo\n").unwrap();
        assert_eq!(reader.readline().await.unwrap(), "two\n");
        theirs.write_all(b"longer than the limit\nrest").unwrap();
        assert!(matches!(
            reader.readline().await,
            Err(StreamError::LimitOverrun(_))
        ));
        drop(theirs);
        assert_eq!(reader.read_to_end().await.unwrap(), "rest");
        assert!(reader.at_eof());
    });
}

#[test]
fn every_byte_goes_through_a_pipe_that_is_slower_than_its_writer() {
    run(async {
        let (theirs, ours) = std::io::pipe().unwrap();
        let writer = write_pipe(ours).unwrap();
        let mut reader = read_pipe(theirs, 1024).unwrap();
        let reading = spawn(async move { reader.read_to_end().await.unwrap() });
        let mut expected = Vec::new();
        for n in 0..300u32 {
            let piece = vec![n as u8; n as usize * 41];
            writer.write(&piece);
            writer.writelines([&piece[..10.min(piece.len())], b"!"]);
            writer.drain().await.unwrap();
            expected.extend_from_slice(&piece);
            expected.extend_from_slice(&piece[..10.min(piece.len())]);
            expected.push(b'!');
        }
        writer.close();
        writer.wait_closed().await.unwrap();
        assert!(reading.await.unwrap() == expected);
    });
}

#[test]
fn the_end_of_writing_closes_the_pipe_after_what_was_written() {
    run(async {
        let (mut theirs, ours) = std::io::pipe().unwrap();
        let already = filled(&ours);
        let writer = write_pipe(ours).unwrap();
        writer.write(b"the end");
        writer.write_eof();
        assert!(writer.is_closing());
        assert_eq!(writer.get_write_buffer_size(), 7);
        let reading = std::thread::spawn(move || {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).unwrap();
            all
        });
        writer.wait_closed().await.unwrap();
        let all = reading.join().unwrap();
        assert_eq!((all.len(), &all[already..]), (already + 7, &b"the end"[..]));
    });
}

#[test]
fn dropping_the_only_end_closes_the_pipe() {
    run(async {
        let (mut theirs, ours) = std::io::pipe().unwrap();
        let writer = write_pipe(ours).unwrap();
        writer.write("one");
        writer.write(" two");
        drop(writer);
        let mut all = String::new();
        theirs.read_to_string(&mut all).unwrap();
        assert_eq!(all, "one two");

        let (ours, mut theirs) = std::io::pipe().unwrap();
        drop(read_pipe(ours, 10).unwrap());
        assert_eq!(
            theirs.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    });
}

#[test]
fn a_reader_that_is_gone_is_a_broken_pipe() {
    run(async {
        let (theirs, ours) = std::io::pipe().unwrap();
        let writer = write_pipe(ours).unwrap();
        drop(theirs);
        writer.write("x");
        assert_eq!(
            writer.drain().await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        assert_eq!(
            writer.wait_closed().await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    });
}

#[test]
fn a_reader_that_goes_releases_a_drain_that_waits() {
    run(async {
        let (theirs, ours) = std::io::pipe().unwrap();
        filled(&ours);
        let writer = write_pipe(ours).unwrap();
        writer.write(vec![1; 200_000]);
        let mut drain = pin!(writer.drain());
        assert!(poll_once(drain.as_mut()).await.is_none());
        drop(theirs);
        assert_eq!(drain.await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn what_cannot_be_waited_for_is_refused_by_name() {
    run(async {
        let program =
            || OwnedFd::from(std::fs::File::open(std::env::current_exe().unwrap()).unwrap());
        let error = read_pipe(program(), 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error
                .to_string()
                .starts_with("pipes, sockets and character devices only: this is a regular file"),
            "{error}"
        );
        let folder = std::fs::File::open(".").unwrap();
        let error = write_pipe(folder).unwrap_err();
        assert!(error.to_string().contains("a directory"), "{error}");
    });
}

#[test]
fn character_devices_and_sockets_will_do() {
    run(async {
        let zero = std::fs::File::open("/dev/zero").unwrap();
        let mut reader = read_pipe(zero, 10).unwrap();
        assert_eq!(reader.readexactly(3).await.unwrap(), [0; 3][..]);
        let null = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/null")
            .unwrap();
        let writer = write_pipe(null).unwrap();
        writer.write(vec![0; 1_000_000]);
        writer.close();
        writer.wait_closed().await.unwrap();

        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let (writer, mut reader) = (write_pipe(ours).unwrap(), read_pipe(theirs, 10).unwrap());
        writer.write("through a socket");
        writer.write_eof();
        assert_eq!(reader.read_to_end().await.unwrap(), "through a socket");
    });
}

#[test]
fn the_other_side_of_a_terminal_that_goes_is_the_end() {
    run(async {
        let Ok(master) =
            rustix::pty::openpt(rustix::pty::OpenptFlags::RDWR | rustix::pty::OpenptFlags::NOCTTY)
        else {
            eprintln!("skipped: no pseudo-terminals here");
            return;
        };
        rustix::pty::grantpt(&master).unwrap();
        rustix::pty::unlockpt(&master).unwrap();
        let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
        let mut terminal = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let mut reader = read_pipe(master.as_fd().try_clone_to_owned().unwrap(), 100).unwrap();
        drop(master);
        terminal.write_all(b"login: ").unwrap();
        assert_eq!(reader.readexactly(7).await.unwrap(), "login: ");
        let mut end = pin!(reader.read(10));
        assert!(poll_once(end.as_mut()).await.is_none());
        drop(terminal);
        assert_eq!(end.await.unwrap(), "");
    });
}
