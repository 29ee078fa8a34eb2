//! Descriptors that are not sockets.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::pin::pin;
use std::task::Poll;

use asyncio_reactor::{Reactor, Source};

use crate::support::{Task, wait_for_wakes};

#[test]
fn a_pipe_delivers_data_and_end_together() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let reader = Source::new(reader).unwrap();
    let task = Task::new();
    let mut buffer = [0; 64];
    assert!(task.poll(pin!(reader.read(&mut buffer))).is_pending());
    writer.write_all(b"last").unwrap();
    drop(writer);
    wait_for_wakes(&reactor, &task, 1);
    assert_eq!(reactor.block_on(reader.read(&mut buffer)).unwrap(), 4);
    assert_eq!(reactor.block_on(reader.read(&mut buffer)).unwrap(), 0);
}

#[test]
fn a_full_pipe_makes_the_writer_wait_and_a_closed_one_is_an_error() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let writer = Source::new(writer).unwrap();
    while writer.try_write(&[0; 4096]).is_ok() {}
    let task = Task::new();
    {
        let slices = [IoSlice::new(b"a"), IoSlice::new(b"b")];
        let mut write = pin!(writer.write_vectored(&slices));
        assert!(task.poll(write.as_mut()).is_pending());
        reader.read_exact(&mut [0; 8192]).unwrap();
        wait_for_wakes(&reactor, &task, 1);
        assert!(matches!(task.poll(write), Poll::Ready(Ok(2))));
    }
    while writer.try_write(&[0; 4096]).is_ok() {}
    let mut write = pin!(writer.write(b"x"));
    assert!(task.poll(write.as_mut()).is_pending());
    let woken = task.wakes();
    drop(reader);
    wait_for_wakes(&reactor, &task, woken + 1);
    assert!(
        matches!(task.poll(write), Poll::Ready(Err(error)) if error.kind() == ErrorKind::BrokenPipe)
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_counter_that_reads_short_every_time_is_read_every_time() {
    use rustix::event::{EventfdFlags, eventfd};
    let reactor = Reactor::new().unwrap();
    // A semaphore: each read takes 1, always 8 bytes of the 64 asked for, and leaves the rest
    // without a new event.
    let counter =
        Source::new(eventfd(0, EventfdFlags::SEMAPHORE | EventfdFlags::NONBLOCK).unwrap()).unwrap();
    let _entered = reactor.enter();
    let task = Task::new();
    assert!(task.poll(pin!(counter.read(&mut [0; 64]))).is_pending());
    counter.try_write(&3u64.to_ne_bytes()).unwrap();
    for _ in 0..3 {
        assert_eq!(reactor.block_on(counter.read(&mut [0; 64])).unwrap(), 8);
    }
    assert_eq!(
        counter.try_read(&mut [0; 64]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
}

#[test]
fn a_regular_file_never_waits_and_cannot_be_waited_for() {
    let reactor = Reactor::new().unwrap();
    let file = Source::new(std::fs::File::open(std::env::current_exe().unwrap()).unwrap()).unwrap();
    reactor.block_on(async {
        assert_eq!(file.read(&mut [0; 4]).await.unwrap(), 4);
        if cfg!(target_os = "linux") {
            let error = file.readable().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("asyncio::fs"), "{error}");
        }
    });
}
