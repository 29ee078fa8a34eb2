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
use asyncio_timers::sleep;
use rustix::io::Errno;

use crate::connect::within;
use crate::connection::Connection;
use crate::server::{Listener, Shared};
use crate::server_options::ServerOptions;
use crate::stream_reader::StreamReader;
use crate::stream_writer::StreamWriter;

/// How many connections are accepted at most before other tasks run. asyncio accepts one more than the backlog (S223), which
/// for a large one is not fair.
const ACCEPTS_IN_A_ROW: u32 = 32;

/// How long accepting pauses when the system is out of descriptors and none of this server's becomes free (S223).
///
/// Meanwhile clients wait in the backlog. (To keep a descriptor in reserve, with which to accept and hang up at once, would tell
/// them sooner; but they would rather be served late.)
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

/// What becomes of a connection.
struct Service<C> {
    callback: RefCell<C>,
    options: ServerOptions,
}

/// Starts a task for each listener of a server.
pub(crate) fn start<C, F>(server: &Rc<Shared>, callback: C, options: ServerOptions)
where
    C: FnMut(StreamReader, StreamWriter) -> F + 'static,
    F: Future + 'static,
    F::Output: Outcome,
{
    let service = Rc::new(Service {
        callback: RefCell::new(callback),
        options,
    });
    let listeners = server.listeners.borrow().clone();
    for listener in listeners {
        server.accepting.set(server.accepting.get() + 1);
        let accepting = Accepting {
            server: server.clone(),
            listener,
            max_connections: service.options.max_connections,
            max_handshakes: service.options.handshake_limit(),
            in_a_row: ACCEPTS_IN_A_ROW.min(service.options.backlog.saturating_add(1)),
        };
        let service = service.clone();
        let task = spawn(async move {
            accepting
                .run(|socket, peer| serve(&accepting.server, &service, socket, peer))
                .await;
        });
        server.tasks.borrow_mut().push(task.name("accept"));
    }
}

/// Makes a task of a connection.
fn serve<C, F>(
    server: &Rc<Shared>,
    service: &Rc<Service<C>>,
    socket: OwnedFd,
    peer: Option<SocketAddr>,
) where
    C: FnMut(StreamReader, StreamWriter) -> F + 'static,
    F: Future + 'static,
    F::Output: Outcome,
{
    let connection = Connection::new(Source::assume_stream(socket), peer);
    server.add_client(&connection);
    let unfinished = CloseUnlessFinished(Rc::downgrade(&connection));
    let service = service.clone();
    #[cfg(feature = "tls")]
    let handshaking = service
        .options
        .tls
        .is_some()
        .then(|| Handshaking::new(server));
    spawn(async move {
        // Here and not where connections are accepted: a client that takes its time keeps nobody waiting.
        #[cfg(feature = "tls")]
        if let Some(tls) = &service.options.tls {
            // Boxed, so that clients without TLS do not carry the room for it.
            let secured = Box::pin(crate::tls::server_handshake(&connection, tls)).await;
            drop(handshaking);
            if let Err(error) = secured {
                // A matter of the client's, and anybody on the network can cause it.
                if asyncio_executor::is_debug() {
                    let message = "the TLS handshake with a client of a server failed";
                    report(ExceptionContext::error(message, &error));
                }
                return;
            }
        }
        let reader = StreamReader::new(connection.clone(), service.options.limit);
        let writer = StreamWriter::new(connection);
        // Called in the task: if it panics, that is the task's end, not the server's.
        let serving = (service.callback.borrow_mut())(reader, writer);
        drop(service);
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

/// A client whose TLS handshake has not ended, or not begun.
#[cfg(feature = "tls")]
struct Handshaking(Rc<Shared>);

#[cfg(feature = "tls")]
impl Handshaking {
    fn new(server: &Rc<Shared>) -> Handshaking {
        server.handshakes.set(server.handshakes.get() + 1);
        Handshaking(server.clone())
    }
}

#[cfg(feature = "tls")]
impl Drop for Handshaking {
    fn drop(&mut self) {
        self.0.handshakes.set(self.0.handshakes.get() - 1);
        self.0.changes.announce();
    }
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
pub(crate) struct CallbackError(pub(crate) String);

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
    max_connections: usize,
    max_handshakes: usize,
    in_a_row: u32,
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
            self.server
                .changes
                .until(|| self.has_room().then_some(()))
                .await;
            let accepted = poll_fn(|cx| {
                let polled = match &*self.listener.source.borrow() {
                    Some(source) => source.poll_accept(cx).map(Some),
                    None => Poll::Ready(None),
                };
                if polled.is_pending() {
                    in_a_row = 0;
                    // Only now is a shortage over: the system may look for a descriptor before it looks for a client.
                    reported = false;
                }
                polled
            });
            match accepted.await {
                None => return,
                Some(Ok((socket, peer))) => serve(socket, peer),
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
            if in_a_row >= self.in_a_row {
                in_a_row = 0;
                yield_now().await;
            }
        }
    }

    fn has_room(&self) -> bool {
        self.server.clients() < self.max_connections
            && self.server.handshakes.get() < self.max_handshakes
    }

    /// Waits until a connection of this server is closed, but no longer than a second (S223).
    async fn pause(&self) {
        let before = self.server.clients();
        let one_is_gone = self
            .server
            .changes
            .until(|| (self.server.clients() < before).then_some(()));
        within(&mut Some(sleep(PAUSE)), pin!(one_is_gone)).await;
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
