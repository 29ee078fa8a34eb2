//! `add_reader` and `add_writer`.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;

use asyncio_reactor::{Interest, Reactor, Watch};

use crate::support::{Task, look_around, unix_pair};

/// A watch that counts its calls.
fn counting(
    reactor: &Reactor,
    stream: &UnixStream,
    interest: Interest,
) -> (Watch, Rc<Cell<usize>>) {
    let calls = Rc::new(Cell::new(0));
    let counter = calls.clone();
    let callback = Rc::new(move || counter.set(counter.get() + 1));
    (
        reactor.watch(stream.as_fd(), interest, callback).unwrap(),
        calls,
    )
}

#[test]
fn a_watch_is_called_in_every_wait_while_the_descriptor_is_ready() {
    let reactor = Reactor::new().unwrap();
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let (_watch, calls) = counting(&reactor, &ours, Interest::Readable);
    assert_eq!(look_around(&reactor), 0);
    theirs.write_all(b"ab").unwrap();
    for expected in 1..=3 {
        assert_eq!(look_around(&reactor), 1);
        assert_eq!(calls.get(), expected);
    }
    ours.read_exact(&mut [0; 2]).unwrap();
    assert_eq!(look_around(&reactor), 0);
    assert_eq!(calls.get(), 3);
}

#[test]
fn a_new_watch_replaces_the_old_whose_drop_then_removes_nothing() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    let (old, old_calls) = counting(&reactor, &ours, Interest::Readable);
    let (new, new_calls) = counting(&reactor, &ours, Interest::Readable);
    assert_eq!(
        Rc::strong_count(&old_calls),
        1,
        "the replaced callback is gone"
    );
    assert!(!old.remove());
    look_around(&reactor);
    assert_eq!((old_calls.get(), new_calls.get()), (0, 1));
    assert!(new.remove());
    assert_eq!(look_around(&reactor), 0);
}

#[test]
fn one_descriptor_has_a_reader_and_a_writer_and_removing_one_leaves_the_other() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    let (_reader, reads) = counting(&reactor, &ours, Interest::Readable);
    let (writer, writes) = counting(&reactor, &ours, Interest::Writable);
    look_around(&reactor);
    assert_eq!((reads.get(), writes.get()), (1, 1));
    assert!(writer.remove());
    look_around(&reactor);
    assert_eq!((reads.get(), writes.get()), (2, 1));
    assert!(reactor.unwatch(ours.as_raw_fd(), Interest::Readable));
    assert!(!reactor.unwatch(ours.as_raw_fd(), Interest::Readable));
    assert!(!reactor.unwatch(ours.as_raw_fd(), Interest::Writable));
    assert_eq!(look_around(&reactor), 0);
}

#[test]
fn a_callback_may_remove_its_own_watch_and_set_another() {
    let reactor = Reactor::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    let watch: Rc<Cell<Option<Watch>>> = Rc::default();
    let (weak, inner, fd) = (
        Rc::downgrade(&watch),
        reactor.clone(),
        ours.try_clone().unwrap(),
    );
    let callback = Rc::new(move || {
        let watch = weak.upgrade().unwrap();
        assert!(watch.take().unwrap().remove());
        watch.set(Some(
            inner
                .watch(fd.as_fd(), Interest::Writable, Rc::new(|| ()))
                .unwrap(),
        ));
    });
    watch.set(Some(
        reactor
            .watch(ours.as_fd(), Interest::Readable, callback)
            .unwrap(),
    ));
    look_around(&reactor);
    assert_eq!(watch.take().unwrap().interest(), Interest::Writable);
}

#[test]
fn a_descriptor_that_a_source_waits_for_cannot_be_watched_nor_the_other_way_round() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, _theirs) = unix_pair();
    assert!(Task::new().poll(pin!(ours.recv(&mut [0; 8]))).is_pending());
    let error = reactor
        .watch(ours.as_fd(), Interest::Readable, Rc::new(|| ()))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);

    let (ours, _theirs) = unix_pair();
    let watch = reactor
        .watch(ours.as_fd(), Interest::Readable, Rc::new(|| ()))
        .unwrap();
    let error = reactor.block_on(ours.recv(&mut [0; 8])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    drop(watch);
    assert!(Task::new().poll(pin!(ours.recv(&mut [0; 8]))).is_pending());
}

#[test]
fn a_regular_file_cannot_be_watched() {
    let reactor = Reactor::new().unwrap();
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    if cfg!(target_os = "linux") {
        let error = reactor
            .watch(file.as_fd(), Interest::Readable, Rc::new(|| ()))
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

#[test]
#[cfg(all(target_os = "linux", not(asyncio_polling_backend)))]
fn a_watch_whose_descriptor_was_closed_does_not_touch_the_next_owner_of_the_number() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (watch, calls) = counting(&reactor, &ours, Interest::Readable);
    // A replacement under the same number, as closing and opening would give it.
    let (fresh, mut their_fresh) = UnixStream::pair().unwrap();
    let mut number = std::os::fd::OwnedFd::from(ours);
    rustix::io::dup2(&fresh, &mut number).unwrap();
    let source = asyncio_reactor::Source::new(number).unwrap();
    let task = Task::new();
    let mut buffer = [0; 8];
    let mut recv = pin!(source.recv(&mut buffer));
    assert!(task.poll(recv.as_mut()).is_pending());
    assert!(!watch.remove(), "it ended when its number came back");
    their_fresh.write_all(b"x").unwrap();
    crate::support::wait_for_wakes(&reactor, &task, 1);
    assert!(task.poll(recv).is_ready());
    assert!(theirs.write_all(b"x").is_err());
    assert_eq!(calls.get(), 0);
}

#[test]
fn a_watch_that_another_callback_of_the_same_wait_removes_is_not_called_any_more() {
    let reactor = Reactor::new().unwrap();
    let pairs = [UnixStream::pair().unwrap(), UnixStream::pair().unwrap()];
    let watches: Rc<[Cell<Option<Watch>>; 2]> = Rc::default();
    let calls = Rc::new(Cell::new(0));
    for (n, (ours, theirs)) in pairs.iter().enumerate() {
        (&*theirs).write_all(b"x").unwrap();
        let (watches_inside, calls) = (Rc::downgrade(&watches), calls.clone());
        let callback = Rc::new(move || {
            calls.set(calls.get() + 1);
            drop(watches_inside.upgrade().unwrap()[1 - n].take());
        });
        let watch = reactor.watch(ours.as_fd(), Interest::Readable, callback);
        watches[n].set(Some(watch.unwrap()));
    }
    assert_eq!(look_around(&reactor), 2, "both had something to read");
    assert_eq!(calls.get(), 1, "the first to be called removed the other");
}

#[test]
#[cfg(all(target_os = "linux", not(asyncio_polling_backend)))]
fn a_watch_whose_descriptor_was_closed_is_not_called_for_the_next_watched_one_of_its_number() {
    let reactor = Reactor::new().unwrap();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let (stale, stale_calls) = counting(&reactor, &ours, Interest::Writable);
    let (fresh, mut their_fresh) = UnixStream::pair().unwrap();
    let mut number = std::os::fd::OwnedFd::from(ours);
    rustix::io::dup2(&fresh, &mut number).unwrap();
    let fresh = UnixStream::from(number);
    let (watch, calls) = counting(&reactor, &fresh, Interest::Readable);
    assert_eq!(look_around(&reactor), 0, "nothing to read, nobody writes");
    their_fresh.write_all(b"x").unwrap();
    assert_eq!(look_around(&reactor), 1);
    assert_eq!((stale_calls.get(), calls.get()), (0, 1));
    assert!(!stale.remove(), "it ended when its number came back");
    assert!(watch.remove());
}

#[test]
#[cfg(all(target_os = "linux", not(asyncio_polling_backend)))]
fn a_regular_file_cannot_be_watched_under_the_number_of_a_closed_descriptor_either() {
    let reactor = Reactor::new().unwrap();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let (stale, _calls) = counting(&reactor, &ours, Interest::Readable);
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let mut number = std::os::fd::OwnedFd::from(ours);
    rustix::io::dup2(&file, &mut number).unwrap();
    let error = reactor
        .watch(number.as_fd(), Interest::Readable, Rc::new(|| ()))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!stale.remove(), "it ended when its number came back");
}

#[test]
#[cfg(all(target_os = "linux", not(asyncio_polling_backend)))]
fn a_watch_that_takes_over_from_a_dropped_source_is_level_triggered_and_hears_of_its_direction_only()
 {
    let reactor = Reactor::new().unwrap();
    let entered = reactor.enter();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(ours);
    // Its descriptor stays open, and the kernel goes on knowing it.
    let source = asyncio_reactor::Source::new(ours.clone()).unwrap();
    assert!(
        Task::new()
            .poll(pin!(source.recv(&mut [0; 8])))
            .is_pending()
    );
    drop((source, entered));
    let (_watch, calls) = counting(&reactor, &ours, Interest::Readable);
    assert_eq!(look_around(&reactor), 0, "there is nothing to read");
    theirs.write_all(b"x").unwrap();
    for expected in 1..=3 {
        assert_eq!(look_around(&reactor), 1);
        assert_eq!(calls.get(), expected);
    }
}
