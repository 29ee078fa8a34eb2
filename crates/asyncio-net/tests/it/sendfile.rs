//! Sending files, by the kernel where it can.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;

use asyncio_net::*;

use crate::support::*;

const SIZE: usize = 5_000_000;

/// A file of numbers, removed at the end of the test.
struct Sample {
    file: File,
    path: PathBuf,
    data: Vec<u8>,
}

impl Sample {
    fn new(test: &str) -> Sample {
        let path = std::env::temp_dir().join(format!("asyncio-net-{test}-{}", std::process::id()));
        let data: Vec<u8> = (0..SIZE as u32 / 4).flat_map(u32::to_be_bytes).collect();
        std::fs::write(&path, &data).unwrap();
        let file = File::open(&path).unwrap();
        Sample { file, path, data }
    }

    fn position(&self) -> u64 {
        (&self.file).stream_position().unwrap()
    }
}

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn is_unavailable(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|error| error.is::<SendfileNotAvailableError>())
}

#[test]
fn a_whole_file_arrives_after_what_was_written_before_and_before_what_is_written_meanwhile() {
    run(async {
        let sample = Sample::new("whole");
        let (_reader, writer, peer) = with_peer().await;
        writer.write(vec![1; 1_000_000]);
        {
            let mut sending = pin!(sendfile(&writer, &sample.file, ..));
            assert!(poll_once(sending.as_mut()).await.is_none());
            let receiving = spawn(all_of(peer));
            for _ in 0..10 {
                yield_now().await;
            }
            writer.write(b"the end");
            assert_eq!(sending.await.unwrap(), SIZE as u64);
            writer.write_eof();
            let came = receiving.await.unwrap();
            assert_eq!(came.len(), 1_000_000 + SIZE + 7);
            assert!(came[..1_000_000].iter().all(|&byte| byte == 1));
            let end = 1_000_000 + SIZE;
            assert!(came[1_000_000..end] == sample.data);
            assert_eq!(&came[end..], b"the end");
        }
        assert_eq!(sample.position(), SIZE as u64);
    });
}

#[test]
fn a_part_is_what_the_range_says_and_ends_where_the_file_does() {
    run(async {
        let sample = Sample::new("part");
        let size = SIZE as u64;
        let (_reader, writer, peer) = with_peer().await;
        assert_eq!(sendfile(&writer, &sample.file, 4..12).await.unwrap(), 8);
        assert_eq!(sample.position(), 12);
        assert_eq!(sendfile(&writer, &sample.file, 8..=11).await.unwrap(), 4);
        assert_eq!(
            sendfile(&writer, &sample.file, size - 4..size + 100)
                .await
                .unwrap(),
            4
        );
        assert_eq!(sample.position(), size);
        assert_eq!(
            sendfile(&writer, &sample.file, size + 5..).await.unwrap(),
            0
        );
        assert_eq!(sendfile(&writer, &sample.file, 7..7).await.unwrap(), 0);
        assert_eq!(
            sample.position(),
            size,
            "nothing was sent, nothing is moved"
        );
        writer.close();
        let expected = [
            &sample.data[4..12],
            &sample.data[8..12],
            &sample.data[SIZE - 4..],
        ]
        .concat();
        assert_eq!(all_of(peer).await, expected);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_plain_socket_the_kernel_sends_it() {
    run(async {
        let sample = Sample::new("native");
        let (_reader, writer, peer) = with_peer().await;
        let receiving = spawn(all_of(peer));
        let pool = asyncio_blocking::ThreadPool::try_current().unwrap();
        let sent = sendfile_native(&writer, &sample.file, ..).await.unwrap();
        assert_eq!(sent, SIZE as u64);
        // One job of the pool: the one of `all_of`.
        assert_eq!(pool.stats().threads, 1);
        writer.close();
        assert!(receiving.await.unwrap() == sample.data);
    });
}

#[test]
fn a_transport_sends_files_too_and_its_protocol_is_not_asked_to_pause() {
    struct Quiet;
    impl BaseProtocol for Quiet {
        fn pause_writing(&self) {
            panic!("nothing is buffered");
        }
    }
    impl Protocol for Quiet {
        fn data_received(&self, _: &[u8]) {}
    }
    run(async {
        let sample = Sample::new("transport");
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (transport, _) = connect_accepted_socket(|| Quiet, &ConnectOptions::new(), ours)
            .await
            .unwrap();
        let reading = asyncio_blocking::unblock(move || {
            let mut data = vec![0; SIZE];
            theirs.read_exact(&mut data).map(|()| data)
        });
        assert_eq!(
            sendfile(&transport, &sample.file, ..).await.unwrap(),
            SIZE as u64
        );
        assert!(reading.await.unwrap().unwrap() == sample.data);
        transport.close();
        let error = sendfile(&transport, &sample.file, ..).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_cancelled_transfer_tells_how_much_was_sent_and_leaves_the_connection_usable() {
    run(async {
        let sample = Rc::new(Sample::new("cancelled"));
        let (_reader, writer, peer) = with_peer().await;
        let (writer, file) = (Rc::new(writer), sample.clone());
        let sender = writer.clone();
        // Nobody reads, so the kernel takes only a part.
        let task = spawn(async move { sendfile(&*sender, &file.file, ..).await });
        for _ in 0..100 {
            yield_now().await;
        }
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        let sent = sample.position() as usize;
        assert!(sent > 0 && sent < SIZE, "{sent}");
        writer.write(b"that is all");
        writer.write_eof();
        let came = all_of(peer).await;
        assert!(came[..sent] == sample.data[..sent]);
        assert_eq!(&came[sent..], b"that is all");
    });
}

#[test]
fn two_files_at_once_are_sent_one_after_the_other() {
    run(async {
        let (one, two) = (Sample::new("first"), Sample::new("second"));
        let (_reader, writer, peer) = with_peer().await;
        let receiving = spawn(all_of(peer));
        let handle = asyncio_runtime::get_running_loop();
        let polls = handle.stats().executor.polls;
        let both = futures_util::future::join(
            sendfile(&writer, &one.file, ..),
            sendfile(&writer, &two.file, ..1000),
        );
        let (first, second) = both.await;
        assert_eq!((first.unwrap(), second.unwrap()), (SIZE as u64, 1000));
        let polls = handle.stats().executor.polls - polls;
        assert!(
            polls < 5000,
            "who waits for the other does not spin: {polls}"
        );
        writer.close();
        let came = receiving.await.unwrap();
        assert!(came[..SIZE] == one.data && came[SIZE..] == two.data[..1000]);
    });
}

#[test]
fn closing_meanwhile_ends_the_transfer_with_an_error() {
    run(async {
        let sample = Sample::new("closed");
        let (_reader, writer, _peer) = with_peer().await;
        let mut sending = pin!(sendfile(&writer, &sample.file, ..));
        assert!(poll_once(sending.as_mut()).await.is_none());
        writer.close();
        let error = sending.await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_peer_that_resets_ends_the_transfer() {
    run(async {
        let sample = Sample::new("reset");
        let (_reader, writer, peer) = with_peer().await;
        let mut sending = pin!(sendfile(&writer, &sample.file, ..));
        for _ in 0..100 {
            assert!(poll_once(sending.as_mut()).await.is_none());
            yield_now().await;
        }
        reset(peer);
        let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
        assert!(kinds.contains(&sending.await.unwrap_err().kind()));
        assert!(kinds.contains(&writer.drain().await.unwrap_err().kind()));
        let sent = sample.position();
        assert!(sent > 0 && sent < SIZE as u64);
    });
}

#[test]
fn after_the_end_of_writing_nothing_is_sent() {
    run(async {
        let sample = Sample::new("ended");
        let (_reader, writer, _peer) = with_peer().await;
        writer.write_eof();
        let error = sendfile(&writer, &sample.file, ..).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(sample.position(), 0);
    });
}

#[test]
fn the_end_that_is_said_meanwhile_comes_after_the_file() {
    run(async {
        let sample = Sample::new("end");
        let (_reader, writer, peer) = with_peer().await;
        let mut sending = pin!(sendfile(&writer, &sample.file, ..));
        assert!(poll_once(sending.as_mut()).await.is_none());
        writer.write_eof();
        let receiving = spawn(all_of(peer));
        assert_eq!(sending.await.unwrap(), SIZE as u64);
        assert!(receiving.await.unwrap() == sample.data);
    });
}

#[test]
fn what_the_kernel_cannot_send_is_read_and_written_or_refused() {
    run(async {
        let zeros = File::open("/dev/zero").unwrap();
        let (_reader, writer, peer) = with_peer().await;
        let receiving = spawn(all_of(peer));
        let error = sendfile_native(&writer, &zeros, ..1_000_000)
            .await
            .unwrap_err();
        assert!(is_unavailable(&error), "{error}");
        assert_eq!(
            sendfile(&writer, &zeros, ..1_000_000).await.unwrap(),
            1_000_000
        );
        writer.close();
        assert_eq!(receiving.await.unwrap(), vec![0; 1_000_000]);
        let error = sendfile(&writer, &zeros, ..10).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

        // What has no places to read from.
        let (pipe, mut end) = io::pipe().unwrap();
        end.write_all(b"x").unwrap();
        let (_reader, writer, _peer) = with_peer().await;
        let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
        let error = sendfile(&writer, &pipe, ..).await.unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::SPIPE.raw_os_error())
        );
    });
}

#[test]
fn a_file_goes_into_a_pipe() {
    run(async {
        let sample = Sample::new("pipe");
        let (mut theirs, ours) = io::pipe().unwrap();
        let writer = write_pipe(ours).unwrap();
        let reading = asyncio_blocking::unblock(move || {
            let mut data = Vec::new();
            theirs.read_to_end(&mut data).map(|_| data)
        });
        assert_eq!(
            sendfile(&writer, &sample.file, ..).await.unwrap(),
            SIZE as u64
        );
        writer.close();
        assert!(reading.await.unwrap().unwrap() == sample.data);
    });
}

// S196
#[test]
fn a_socket_of_the_users_own_sends_files_and_a_cancelled_one_is_not_waited_for_any_more() {
    run(async {
        let sample = Rc::new(Sample::new("sock"));
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let ours = Rc::new(ours);
        let (sender, file) = (ours.clone(), sample.clone());
        let task = spawn(async move { sock_sendfile(&*sender, &file.file, ..).await });
        for _ in 0..100 {
            yield_now().await;
        }
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!remove_writer(&*ours));
        let sent = sample.position();
        assert!(sent > 0 && sent < SIZE as u64);
        let reading = asyncio_blocking::unblock(move || {
            let mut data = vec![0; SIZE + 100_000];
            theirs.read_exact(&mut data).map(|()| data)
        });
        assert_eq!(
            sock_sendfile(&*ours, &sample.file, sent..).await.unwrap(),
            SIZE as u64 - sent
        );
        let zeros = File::open("/dev/zero").unwrap();
        let error = sock_sendfile_native(&*ours, &zeros, ..10)
            .await
            .unwrap_err();
        assert!(is_unavailable(&error));
        assert_eq!(
            sock_sendfile(&*ours, &zeros, ..100_000).await.unwrap(),
            100_000
        );
        let came = reading.await.unwrap().unwrap();
        assert!(came[..SIZE] == sample.data && came[SIZE..].iter().all(|&byte| byte == 0));

        asyncio_runtime::get_running_loop().set_debug(true);
        ours.set_nonblocking(false).unwrap();
        let error = sock_sendfile(&*ours, &sample.file, ..).await.unwrap_err();
        assert!(error.to_string().contains("`sock_sendfile`"), "{error}");
    });
}
