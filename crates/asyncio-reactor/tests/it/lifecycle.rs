//! Registering, closing, reusing.

use std::cell::Cell;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use asyncio_reactor::{Interest, Reactor, Source, Watch};

use crate::support::{Task, look_around, unix_pair, wait_for_wakes};

#[test]
fn a_stale_event_of_a_closed_descriptor_wakes_nobody() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    // A duplicate keeps the file open, and with it the kernel's registration.
    let duplicate = ours.get_ref().try_clone().unwrap();
    assert!(Task::new().poll(pin!(ours.recv(&mut [0; 8]))).is_pending());
    look_around(&reactor);
    drop(ours);
    // The next source gets the same place in the table, and the same descriptor number.
    let (next, _their_next) = unix_pair();
    let task = Task::new();
    assert!(task.poll(pin!(next.recv(&mut [0; 8]))).is_pending());
    look_around(&reactor);
    theirs.write_all(b"for the dead").unwrap();
    assert_eq!(look_around(&reactor), 0);
    assert_eq!(task.wakes(), 0);
    drop(duplicate);
}

#[test]
fn fd_reuse_does_not_inherit_readiness() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    for _ in 0..100 {
        let (ours, mut theirs) = unix_pair();
        let task = Task::new();
        assert!(task.poll(pin!(ours.readable())).is_pending());
        theirs.write_all(b"x").unwrap();
        wait_for_wakes(&reactor, &task, 1);
        assert!(task.poll(pin!(ours.readable())).is_ready());
    }
}

#[test]
fn a_shared_descriptor_can_be_waited_for_again_after_its_source_is_gone() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    fn wait_once(source: &Source<impl AsFd>) {
        assert!(
            Task::new()
                .poll(pin!(source.recv(&mut [0; 8])))
                .is_pending()
        );
    }
    // Borrowed: the kernel is told at once.
    let borrowed: BorrowedFd<'_> = ours.as_fd();
    wait_once(&Source::assume_nonblocking(borrowed));
    wait_once(&Source::assume_nonblocking(&ours));
    // Counted: the registration is left behind, and taken over by the next one.
    let ours = Rc::new(ours);
    wait_once(&Source::assume_nonblocking(ours.clone()));
    let last = Source::assume_nonblocking(ours.clone());
    let task = Task::new();
    assert!(task.poll(pin!(last.recv(&mut [0; 8]))).is_pending());
    theirs.write_all(b"x").unwrap();
    wait_for_wakes(&reactor, &task, 1);
    // But never two at a time.
    let error = reactor
        .block_on(Source::assume_nonblocking(ours.clone()).readable())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[test]
fn into_inner_gives_back_a_descriptor_the_reactor_has_forgotten() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    let number = ours.as_raw_fd();
    let task = Task::new();
    assert!(task.poll(pin!(ours.recv(&mut [0; 8]))).is_pending());
    let ours = ours.into_inner().unwrap();
    assert_eq!(ours.as_raw_fd(), number);
    theirs.write_all(b"x").unwrap();
    assert_eq!(look_around(&reactor), 0);
    assert_eq!(task.wakes(), 0);
    assert_eq!(
        reactor
            .block_on(Source::new(ours).unwrap().recv(&mut [0; 8]))
            .unwrap(),
        1
    );
}

#[test]
fn a_closed_reactor_is_a_clear_error_and_holds_no_wakers() {
    let reactor = Reactor::new().unwrap();
    let (ours, _theirs) = unix_pair();
    let task = Task::new();
    {
        let _entered = reactor.enter();
        assert!(task.poll(pin!(ours.recv(&mut [0; 8]))).is_pending());
    }
    drop(reactor);
    assert_eq!(Arc::strong_count(&task), 1);
    let another = Reactor::new().unwrap();
    let error = another.block_on(ours.recv(&mut [0; 8])).unwrap_err();
    assert!(error.to_string().contains("is closed"), "{error}");
    assert_eq!(
        ours.try_recv(&mut [0; 8]).unwrap_err().kind(),
        ErrorKind::WouldBlock,
        "what never waits still works"
    );
    drop(ours.into_inner().unwrap());
}

#[test]
fn closing_drops_watches_and_wakers_though_handles_are_left() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let (ours, mut theirs) = unix_pair();
    let task = Task::new();
    assert!(task.poll(pin!(ours.recv(&mut [0; 8]))).is_pending());
    let (watched, _other) = UnixStream::pair().unwrap();
    let owned = Rc::new(());
    let callback = {
        let owned = owned.clone();
        Rc::new(move || drop(owned.clone()))
    };
    let watch =
        |callback: Rc<dyn Fn()>| reactor.watch(watched.as_fd(), Interest::Writable, callback);
    let first = watch(callback).unwrap();
    for _ in 0..2 {
        reactor.close();
        assert_eq!(Rc::strong_count(&owned), 1);
        assert_eq!(Arc::strong_count(&task), 1);
        let std::task::Poll::Ready(Err(error)) = task.poll(pin!(ours.recv(&mut [0; 8]))) else {
            panic!()
        };
        assert!(error.to_string().contains("is closed"), "{error}");
        for error in [
            reactor.wait(None).unwrap_err(),
            watch(Rc::new(|| ())).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotConnected);
            assert!(error.to_string().contains("is closed"), "{error}");
        }
    }
    assert!(!first.remove());
    assert!(!reactor.unwatch(watched.as_raw_fd(), Interest::Writable));
    theirs.write_all(b"x").unwrap();
    // A source that has not had to wait yet is another loop's to wait for, and so is one that was taken out.
    let ours = ours.into_inner().unwrap();
    let another = Reactor::new().unwrap();
    let n = another.block_on(Source::new(ours).unwrap().recv(&mut [0; 8]));
    assert_eq!(n.unwrap(), 1);
}

#[test]
fn what_a_callback_owns_may_use_the_reactor_as_it_is_closed() {
    /// Uses whatever there is to use, when it is dropped.
    struct Meddler {
        reactor: Reactor,
        source: Source<UnixStream>,
        own: Rc<Cell<Option<Watch>>>,
        other: Rc<Cell<Option<Watch>>>,
        drops: Rc<Cell<u32>>,
    }
    impl Drop for Meddler {
        fn drop(&mut self) {
            self.reactor.close();
            assert!(self.reactor.wait(Some(Duration::ZERO)).is_err());
            let receiving = Task::new().poll(pin!(self.source.recv(&mut [0; 8])));
            assert!(matches!(receiving, std::task::Poll::Ready(Err(_))));
            drop(self.own.take());
            drop(self.other.take());
            let (fresh, _theirs) = UnixStream::pair().unwrap();
            let refused = self
                .reactor
                .watch(fresh.as_fd(), Interest::Readable, Rc::new(|| ()));
            assert!(refused.is_err());
            self.drops.set(self.drops.get() + 1);
        }
    }
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let drops = Rc::new(Cell::new(0));
    let places: [Rc<Cell<Option<Watch>>>; 2] = Default::default();
    let pairs = [UnixStream::pair().unwrap(), UnixStream::pair().unwrap()];
    for (number, (ours, _)) in pairs.iter().enumerate() {
        let (source, theirs) = unix_pair();
        assert!(
            Task::new()
                .poll(pin!(source.recv(&mut [0; 8])))
                .is_pending()
        );
        let meddler = Meddler {
            reactor: reactor.clone(),
            source,
            own: places[number].clone(),
            other: places[1 - number].clone(),
            drops: drops.clone(),
        };
        let callback = Rc::new(move || {
            let _ = (&meddler, &theirs);
        });
        let watch = reactor.watch(ours.as_fd(), Interest::Readable, callback);
        places[number].set(Some(watch.unwrap()));
    }
    reactor.close();
    assert_eq!(drops.get(), 2);
}

#[test]
fn a_callback_that_closes_the_reactor_is_the_last_one() {
    let reactor = Reactor::new().unwrap();
    let calls = Rc::new(Cell::new(0));
    let pairs = [UnixStream::pair().unwrap(), UnixStream::pair().unwrap()];
    let _watches = pairs.each_ref().map(|(ours, _)| {
        let (reactor, calls) = (reactor.clone(), calls.clone());
        let callback = Rc::new({
            let reactor = reactor.clone();
            move || {
                calls.set(calls.get() + 1);
                reactor.close();
            }
        });
        reactor
            .watch(ours.as_fd(), Interest::Writable, callback)
            .unwrap()
    });
    assert_eq!(reactor.wait(None).unwrap(), 2, "both were ready");
    assert_eq!(calls.get(), 1);
}

#[test]
fn waiting_where_no_loop_runs_says_what_to_do() {
    let (ours, mut theirs) = unix_pair();
    let task = Task::new();
    let std::task::Poll::Ready(Err(error)) = task.poll(pin!(ours.recv(&mut [0; 8]))) else {
        panic!()
    };
    assert!(
        error.to_string().contains("no running event loop"),
        "{error}"
    );
    assert!(error.to_string().contains("asyncio::run"), "{error}");
    // What need not wait needs no loop.
    theirs.write_all(b"x").unwrap();
    assert!(task.poll(pin!(ours.recv(&mut [0; 8]))).is_ready());
}

#[test]
fn entering_nests_and_leaving_restores() {
    let (outer, inner) = (Reactor::new().unwrap(), Reactor::new().unwrap());
    let _outer = outer.enter();
    {
        let _inner = inner.enter();
        Reactor::current().unwrap().notifier().notify();
        inner.wait(None).unwrap();
    }
    Reactor::current().unwrap().notifier().notify();
    outer.wait(None).unwrap();
}

#[test]
fn a_burst_is_taken_in_portions_while_the_loop_is_busy() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let mut pairs: Vec<_> = (0..200).map(|_| unix_pair()).collect();
    let task = Task::new();
    for (ours, _) in &pairs {
        assert!(task.poll(pin!(ours.recv(&mut [0; 8]))).is_pending());
    }
    while look_around(&reactor) > 0 {}
    for (_, theirs) in &mut pairs {
        theirs.write_all(b"x").unwrap();
    }
    let first = look_around(&reactor);
    let second = look_around(&reactor);
    assert!(
        first <= 128 && first > 0 && first + second == 200,
        "{first} and {second}"
    );
}

#[test]
fn what_was_shared_exclusively_can_be_waited_for_again_as_well() {
    let reactor = Reactor::new().unwrap();
    let _entered = reactor.enter();
    let listener = Rc::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    for _ in 0..2 {
        let source = Source::new(listener.clone()).unwrap().exclusive();
        let accepting = pin!(source.accept());
        assert!(Task::new().poll(accepting).is_pending());
    }
    let source = Source::new(listener.clone()).unwrap();
    let task = Task::new();
    assert!(task.poll(pin!(source.accept())).is_pending());
    let _peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    wait_for_wakes(&reactor, &task, 1);
}
