//! Callbacks for descriptors of the user's own.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;

use asyncio_executor::{Context, ExceptionContext, call_soon, copy_context, is_entered, report};
use asyncio_reactor::{Interest, Reactor};

pub use sockets::{
    sock_accept, sock_connect, sock_recv, sock_recv_into, sock_recvfrom, sock_recvfrom_into,
    sock_sendall, sock_sendto,
};

pub(crate) mod sockets;

/// Calls `callback` whenever `fd` is readable, until [`remove_reader`]; asyncio: `loop.add_reader`.
///
/// - Level-triggered: it is called once in every turn of the loop in which there is something to read, so it should read
///   (S194). The end of the stream, a hang-up and an error count as readable.
/// - It runs as a callback of the loop, in a copy of the context that is current now (S244). A panic goes to the loop's
///   exception handler, and the callback stays.
/// - Adding again replaces the callback, even one that is about to run. A descriptor has one reader and one writer;
///   removing one leaves the other (S195).
///
/// Remove it before the descriptor is closed. What the callback owns is dropped when it is removed or the loop closes.
///
/// # Errors
/// `AlreadyExists` for a descriptor that a transport, a stream or a server of this loop waits for; `Unsupported`
/// for regular files; `NotConnected` outside a running loop.
///
/// ```
/// use asyncio_net::{add_reader, remove_reader};
/// use std::{cell::RefCell, io::{Read, Write}, os::unix::net::UnixStream, rc::Rc};
///
/// # asyncio_runtime::run(async {
/// let (ours, mut theirs) = UnixStream::pair()?;
/// let (ours, came) = (Rc::new(ours), Rc::new(RefCell::new(Vec::new())));
/// add_reader(&*ours, {
///     let (ours, came) = (ours.clone(), came.clone());
///     move || {
///         let mut buffer = [0; 64];
///         let n = (&*ours).read(&mut buffer).unwrap();
///         came.borrow_mut().extend_from_slice(&buffer[..n]);
///     }
/// })?;
/// theirs.write_all(b"hello")?;
/// while came.borrow().is_empty() {
///     asyncio_executor::yield_now().await;
/// }
/// assert_eq!(&*came.borrow(), b"hello");
/// assert!(remove_reader(&*ours));
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn add_reader(fd: &impl AsFd, callback: impl FnMut() + 'static) -> io::Result<()> {
    add(fd.as_fd(), Interest::Readable, callback, "add_reader")
}

/// Ends what [`add_reader`] began; returns whether there was a reader (S194). asyncio: `loop.remove_reader`.
///
/// The callback is not called any more, even if it was about to.
///
/// ```
/// # use asyncio_net::{add_reader, remove_reader};
/// # asyncio_runtime::run(async {
/// let (ours, _theirs) = std::io::pipe()?;
/// assert!(!remove_reader(&ours));
/// add_reader(&ours, || ())?;
/// assert!(remove_reader(&ours));
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub fn remove_reader(fd: &impl AsFd) -> bool {
    remove(fd.as_fd(), Interest::Readable)
}

/// Calls `callback` whenever there is room to write to `fd`, until [`remove_writer`]; asyncio: `loop.add_writer`.
///
/// All of [`add_reader`] holds for it. There usually *is* room, so remove the writer as soon as there is nothing to write.
///
/// # Errors
/// As [`add_reader`].
///
/// ```
/// # use asyncio_net::{add_writer, remove_writer};
/// # use std::{cell::Cell, rc::Rc};
/// # asyncio_runtime::run(async {
/// let (_theirs, ours) = std::io::pipe()?;
/// let calls = Rc::new(Cell::new(0));
/// let counter = calls.clone();
/// add_writer(&ours, move || counter.set(counter.get() + 1))?;
/// while calls.get() < 3 {
///     asyncio_executor::yield_now().await; // nobody writes, so there stays room
/// }
/// assert!(remove_writer(&ours));
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn add_writer(fd: &impl AsFd, callback: impl FnMut() + 'static) -> io::Result<()> {
    add(fd.as_fd(), Interest::Writable, callback, "add_writer")
}

/// Ends what [`add_writer`] began; returns whether there was a writer (S194). asyncio: `loop.remove_writer`.
pub fn remove_writer(fd: &impl AsFd) -> bool {
    remove(fd.as_fd(), Interest::Writable)
}

#[track_caller]
fn add(
    fd: BorrowedFd<'_>,
    interest: Interest,
    callback: impl FnMut() + 'static,
    call: &str,
) -> io::Result<()> {
    let callback = Rc::new(Callback {
        callback: RefCell::new(Some(Box::new(callback))),
        context: copy_context(),
        queued: Cell::new(false),
        removed: Cell::new(false),
        location: Location::caller(),
    });
    let in_force = InForce(callback);
    let reactor = Reactor::current()?;
    match reactor.watch(fd, interest, Rc::new(move || in_force.0.clone().enqueue())) {
        Ok(watch) => {
            watch.detach();
            Ok(())
        }
        Err(error) => Err(refused(error, fd, call)),
    }
}

fn remove(fd: BorrowedFd<'_>, interest: Interest) -> bool {
    Reactor::try_current().is_some_and(|reactor| reactor.unwatch(fd.as_raw_fd(), interest))
}

/// Says in words that somebody else waits for the descriptor (S195).
fn refused(error: io::Error, fd: BorrowedFd<'_>, call: &str) -> io::Error {
    if error.kind() != io::ErrorKind::AlreadyExists {
        return error;
    }
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!(
            "`{call}` on descriptor {}, which a transport, a stream or a server waits for: use its methods, or a \
             descriptor of your own",
            fd.as_raw_fd()
        ),
    )
}

/// A callback that can be called many times.
struct Callback {
    /// Away while it runs.
    callback: RefCell<Option<Box<dyn FnMut()>>>,
    context: Context,
    /// Whether a call is in the ready queue.
    queued: Cell<bool>,
    removed: Cell<bool>,
    location: &'static Location<'static>,
}

impl Callback {
    fn enqueue(self: Rc<Self>) {
        if is_entered() && !self.queued.replace(true) {
            call_soon(move || self.run());
        }
    }

    fn run(&self) {
        self.queued.set(false);
        let Some(mut callback) = self.callback.take() else {
            return;
        };
        let called = catch_unwind(AssertUnwindSafe(|| self.context.run(&mut *callback)));
        if !self.removed.get() {
            self.callback.replace(Some(callback));
        }
        if let Err(panic) = called {
            let message = "a panic in the callback of a reader or writer";
            report(ExceptionContext::panic(
                message,
                panic,
                Some(self.location),
                None,
            ));
        }
    }
}

/// What the reactor's table holds: the callback is in force as long as this lives.
struct InForce(Rc<Callback>);

impl Drop for InForce {
    fn drop(&mut self) {
        self.0.removed.set(true);
        let callback = self.0.callback.take();
        drop(callback);
    }
}
