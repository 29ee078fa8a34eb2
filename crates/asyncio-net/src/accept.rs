//! Accepting connections, and running the callback for each.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::Duration;

use asyncio_executor::{ExceptionContext, report, spawn, yield_now};
use asyncio_reactor::Source;
use rustix::io::Errno;

use crate::connection::Connection;
use crate::server::{Listener, Shared};
use crate::stream_reader::StreamReader;
use crate::stream_writer::StreamWriter;

/// How many connections are accepted before other tasks run.
const ACCEPTS_IN_A_ROW: u32 = 32;

/// How long accepting pauses when the system is out of descriptors and none of this server's becomes free (S223).
const PAUSE: Duration = Duration::from_secs(1);

/// What the future of a server's callback may return: `()`, or a `Result` whose error can be displayed.
///
/// An error goes to the loop's exception handler, and the connection is closed (S215).
///
/// ```
/// use asyncio_net::Outcome;
///
/// assert_eq!(().into_error(), None);
/// assert_eq!(Ok::<(), String>(()).into_error(), None);
/// assert_eq!(Err::<(), _>("no such file").into_error().unwrap(), "no such file");
/// ```
pub trait Outcome {
    /// The text of the error, if it is one.
    fn into_error(self) -> Option<String>;
}

impl Outcome for () {
    fn into_error(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Display> Outcome for Result<(), E> {
    fn into_error(self) -> Option<String> {
        // The alternate form tells the whole chain of causes, where an error has one to tell.
        self.err().map(|error| format!("{error:#}"))
    }
}

/// Starts a task for each listener of a server.
pub(crate) fn start<C, F>(server: &Rc<Shared>, callback: C, limit: usize)
where
    C: FnMut(StreamReader, StreamWriter) -> F + 'static,
    F: Future + 'static,
    F::Output: Outcome,
{
    let callback = Rc::new(RefCell::new(callback));
    let listeners = server.listeners.borrow().clone();
    for listener in listeners {
        server.accepting.set(server.accepting.get() + 1);
        let accepting = Accepting {
            server: server.clone(),
            listener,
        };
        let callback = callback.clone();
        let task = spawn(async move {
            accepting
                .run(|socket, peer| serve(&accepting.server, &callback, limit, socket, peer))
                .await;
        });
        server.tasks.borrow_mut().push(task.name("accept"));
    }
}

/// Makes a task of a connection.
fn serve<C, F>(
    server: &Rc<Shared>,
    callback: &Rc<RefCell<C>>,
    limit: usize,
    socket: OwnedFd,
    peer: Option<SocketAddr>,
) where
    C: FnMut(StreamReader, StreamWriter) -> F + 'static,
    F: Future + 'static,
    F::Output: Outcome,
{
    let connection = Connection::new(Source::assume_nonblocking(socket), peer);
    server.add_client(&connection);
    let unfinished = CloseUnlessFinished(Rc::downgrade(&connection));
    let reader = StreamReader::new(connection.clone(), limit);
    let writer = StreamWriter::new(connection);
    let callback = callback.clone();
    spawn(async move {
        // Called in the task: if it panics, that is the task's end, not the server's.
        let serving = (callback.borrow_mut())(reader, writer);
        drop(callback);
        match serving.await.into_error() {
            None => unfinished.disarm(),
            Some(error) => {
                report(ExceptionContext::error(
                    "an error in the callback of a server",
                    &CallbackError(error),
                ));
            }
        }
    })
    .detach();
}

/// Closes a connection whose callback has failed, panicked or been cancelled, wherever its ends are (S215).
struct CloseUnlessFinished(Weak<Connection>);

impl CloseUnlessFinished {
    fn disarm(mut self) {
        self.0 = Weak::new();
    }
}

impl Drop for CloseUnlessFinished {
    fn drop(&mut self) {
        if let Some(connection) = self.0.upgrade() {
            connection.close();
        }
    }
}

#[derive(Debug)]
struct CallbackError(String);

impl fmt::Display for CallbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for CallbackError {}

/// An accepting task's claim: the listener ends with it.
struct Accepting {
    server: Rc<Shared>,
    listener: Rc<Listener>,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.server.listener_ended(&self.listener);
    }
}

impl Accepting {
    async fn run(&self, serve: impl Fn(OwnedFd, Option<SocketAddr>)) {
        let mut in_a_row = 0;
        let mut reported = false;
        loop {
            let accepted = poll_fn(|cx| {
                let polled = match &*self.listener.source.borrow() {
                    Some(source) => source.poll_accept(cx).map(Some),
                    None => Poll::Ready(None),
                };
                if polled.is_pending() {
                    in_a_row = 0;
                }
                polled
            });
            match accepted.await {
                None => return,
                Some(Ok((socket, peer))) => {
                    reported = false;
                    serve(socket, peer);
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => {
                    if !std::mem::replace(&mut reported, true) {
                        let message = format!(
                            "server on {}: cannot accept connections for now; is the limit of open files (`ulimit -n`) too low?",
                            self.listener.address
                        );
                        report(ExceptionContext::error(message, &error));
                    }
                    self.pause().await;
                }
            }
            in_a_row += 1;
            if in_a_row >= ACCEPTS_IN_A_ROW {
                in_a_row = 0;
                yield_now().await;
            }
        }
    }

    /// Waits until a connection of this server is closed, but no longer than a second (S223).
    ///
    /// This crate knows no timers, so the second is slept by a thread of the pool.
    async fn pause(&self) {
        let before = self.server.clients();
        let one_is_gone = self
            .server
            .changes
            .until(|| (self.server.clients() < before).then_some(()));
        let second = asyncio_blocking::unblock(|| std::thread::sleep(PAUSE));
        let (mut one_is_gone, mut second) = (pin!(one_is_gone), pin!(second));
        let mut no_thread = false;
        poll_fn(|cx| {
            if one_is_gone.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            if no_thread {
                return Poll::Pending;
            }
            match second.as_mut().poll(cx) {
                Poll::Ready(Err(_)) if before > 0 => {
                    // No thread could be had either: wait for the clients alone.
                    no_thread = true;
                    Poll::Pending
                }
                polled => polled.map(drop),
            }
        })
        .await;
    }
}

/// Whether the error is that of one connection that broke before it was accepted, as Linux reports them.
fn is_passing(error: &io::Error) -> bool {
    const PASSING: [Errno; 10] = [
        Errno::CONNABORTED,
        Errno::CONNRESET,
        Errno::NETDOWN,
        Errno::NETUNREACH,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::OPNOTSUPP,
        Errno::TIMEDOUT,
    ];
    PASSING
        .iter()
        .any(|passing| error.raw_os_error() == Some(passing.raw_os_error()))
}
