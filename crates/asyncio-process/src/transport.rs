//! Children by callbacks: asyncio's `subprocess_exec`, its transport and protocol.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::{Rc, Weak};

use asyncio_executor::{ExceptionContext, catch_cancelled, report, spawn, yield_now};
use asyncio_net::{
    BaseProtocol, BaseTransport, Protocol, SocketTransport, connect_read_pipe, connect_write_pipe,
};
use asyncio_signal::{IntoSignal, SIGKILL, SIGTERM};
use asyncio_sync::Event;

use crate::builder::SubprocessBuilder;
use crate::child::Child;
use crate::redirect::OurEnds;

/// What is told of a child; asyncio: `SubprocessProtocol`.
///
/// The order of the calls (S230): `connection_made` first; data of one pipe in order, and its `pipe_connection_lost` after
/// them; `process_exited` before or after these; `connection_lost` last, when the child has ended and every pipe is closed. A
/// panic is reported to the loop's exception handler.
///
/// All methods take `&self` and have a default that does nothing, as those of [`BaseProtocol`].
pub trait SubprocessProtocol: BaseProtocol<SubprocessTransport> {
    /// The child wrote `data` to descriptor `fd`: 1 is its output, 2 its errors.
    fn pipe_data_received(&self, fd: i32, data: &[u8]) {
        let _ = (fd, data);
    }

    /// A pipe is closed, with an error if something broke it. 0 is the child's input.
    fn pipe_connection_lost(&self, fd: i32, error: Option<io::Error>) {
        let _ = (fd, error);
    }

    /// The child has ended: [`get_returncode`](SubprocessTransport::get_returncode) says how.
    fn process_exited(&self) {}
}

/// Starts a child that a protocol of `factory`'s is told of; asyncio: `loop.subprocess_exec`, and `loop.subprocess_shell` with
/// a builder from [`create_subprocess_shell`](crate::create_subprocess_shell).
///
/// What is piped is what the builder says, unlike in asyncio, which pipes all three streams here. Its limit and
/// [`kill_on_drop`](SubprocessBuilder::kill_on_drop) mean nothing here: a transport lives without a handle, until it is
/// closed, the child and its pipes have ended, or the run ends, which kills the child.
///
/// # Cancel safety
/// A request kills the child and waits for its end before it goes on (S231). Dropping the future kills the child.
///
/// # Errors
/// Those of [`SubprocessBuilder::spawn`].
///
/// ```
/// use asyncio_net::BaseProtocol;
/// use asyncio_process::{Stdio, SubprocessProtocol, SubprocessTransport, create_subprocess_exec, subprocess_exec};
/// use std::{cell::RefCell, io, rc::Rc};
///
/// #[derive(Default)]
/// struct Collect {
///     output: RefCell<Vec<u8>>,
///     ended: Rc<asyncio_sync::Event>,
/// }
///
/// impl BaseProtocol<SubprocessTransport> for Collect {
///     fn connection_lost(&self, _: Option<io::Error>) {
///         self.ended.set();
///     }
/// }
///
/// impl SubprocessProtocol for Collect {
///     fn pipe_data_received(&self, _fd: i32, data: &[u8]) {
///         self.output.borrow_mut().extend_from_slice(data);
///     }
/// }
///
/// # asyncio_runtime::run(async {
/// let echo = create_subprocess_exec("echo").arg("hello").stdout(Stdio::Piped);
/// let (transport, collect) = subprocess_exec(Collect::default, echo).await?;
/// collect.ended.wait().await;
/// assert_eq!(*collect.output.borrow(), b"hello\n");
/// assert_eq!(transport.get_returncode(), Some(0));
/// # io::Result::Ok(()) })?;
/// # io::Result::Ok(())
/// ```
pub async fn subprocess_exec<P: SubprocessProtocol + 'static>(
    factory: impl FnOnce() -> P,
    child: SubprocessBuilder,
) -> io::Result<(SubprocessTransport, Rc<P>)> {
    let protocol = Rc::new(factory());
    let (child, ours) = child.launch()?;
    let transport = SubprocessTransport {
        inner: Rc::new(Inner {
            child,
            protocol: RefCell::new(Some(protocol.clone())),
            pipes: RefCell::default(),
            open_pipes: Cell::new(0),
            pipes_closed: Event::new(),
            early: RefCell::new(Some(VecDeque::new())),
            closing: Cell::new(false),
        }),
    };
    let closing = CloseOnDrop(Some(&transport));
    let made = async {
        transport.connect(ours).await?;
        spawn(drive(transport.inner.clone()))
            .name("subprocess")
            .detach();
        // `connection_made` before this goes on, as for the other transports (S200).
        yield_now().await;
        io::Result::Ok(())
    };
    match catch_cancelled(made).await {
        Ok(result) => result?,
        Err(cancelled) => {
            transport.close();
            transport.inner.child.wait().await;
            cancelled.propagate().await
        }
    }
    closing.disarm();
    Ok((transport, protocol))
}

/// A child with a protocol; asyncio: `SubprocessTransport`. From [`subprocess_exec`].
///
/// A handle: clones stand for the same child.
#[derive(Clone)]
pub struct SubprocessTransport {
    inner: Rc<Inner>,
}

impl SubprocessTransport {
    /// The number of the process.
    pub fn get_pid(&self) -> u32 {
        let pid = self.inner.child.kernel.pid();
        pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// What the child returned, -n if signal n ended it, `None` as long as it runs (S228).
    pub fn get_returncode(&self) -> Option<i32> {
        self.inner.child.returncode()
    }

    /// The transport of a pipe: 0 to write to the child's input, 1 and 2 to pause and resume reading its output and errors.
    /// `None` where there is no pipe.
    pub fn get_pipe_transport(&self, fd: i32) -> Option<SocketTransport> {
        let pipes = self.inner.pipes.borrow();
        pipes
            .iter()
            .find(|(known, _)| *known == fd)
            .map(|(_, pipe)| pipe.clone())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// As [`Process::send_signal`](crate::Process::send_signal).
    pub fn send_signal(&self, signal: impl IntoSignal) -> io::Result<()> {
        self.inner.child.send_signal(signal.into_signal()?)
    }

    /// Asks the child to end, by SIGTERM.
    ///
    /// # Errors
    /// As [`Process::send_signal`](crate::Process::send_signal).
    pub fn terminate(&self) -> io::Result<()> {
        self.send_signal(SIGTERM)
    }

    /// Ends the child, by SIGKILL.
    ///
    /// # Errors
    /// As [`Process::send_signal`](crate::Process::send_signal).
    pub fn kill(&self) -> io::Result<()> {
        self.send_signal(SIGKILL)
    }

    /// Closes the pipes and kills the child if it runs (S232). The protocol hears of the end in its order.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Whether [`close`](SubprocessTransport::close) was called.
    pub fn is_closing(&self) -> bool {
        self.inner.closing.get()
    }

    /// Calls another protocol from now on. It is not told that the connection is made.
    pub fn set_protocol(&self, protocol: Rc<dyn SubprocessProtocol>) {
        let mut place = self.inner.protocol.borrow_mut();
        if place.is_some() {
            let former = place.replace(protocol);
            drop(place);
            drop(former);
        }
    }

    /// The protocol that is called; `None` after `connection_lost`.
    pub fn get_protocol(&self) -> Option<Rc<dyn SubprocessProtocol>> {
        self.inner.protocol.borrow().clone()
    }

    async fn connect(&self, ours: OurEnds) -> io::Result<()> {
        let protocol = |fd| PipeProtocol {
            fd,
            subprocess: Rc::downgrade(&self.inner),
        };
        if let Some(pipe) = ours.stdin {
            let (pipe, _) = connect_write_pipe(|| protocol(0), pipe).await?;
            self.inner.add_pipe(0, pipe);
        }
        for (fd, pipe) in [(1, ours.stdout), (2, ours.stderr)] {
            if let Some(pipe) = pipe {
                let (pipe, _) = connect_read_pipe(|| protocol(fd), pipe).await?;
                self.inner.add_pipe(fd, pipe);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SubprocessTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubprocessTransport")
            .field("pid", &self.get_pid())
            .field("returncode", &self.get_returncode())
            .field("closing", &self.is_closing())
            .finish_non_exhaustive()
    }
}

struct Inner {
    child: Rc<Child>,
    /// There until `connection_lost` was called.
    protocol: RefCell<Option<Rc<dyn SubprocessProtocol>>>,
    pipes: RefCell<Vec<(i32, SocketTransport)>>,
    /// Pipes whose protocol has been made and has not heard of the end.
    open_pipes: Cell<usize>,
    pipes_closed: Event,
    /// What came before `connection_made`; `None` after that.
    early: RefCell<Option<VecDeque<Call>>>,
    closing: Cell<bool>,
}

/// A call of the protocol that waits for its turn.
type Call = Box<dyn FnOnce(&dyn SubprocessProtocol)>;

impl Inner {
    fn add_pipe(&self, fd: i32, pipe: SocketTransport) {
        self.pipes.borrow_mut().push((fd, pipe));
    }

    /// Calls the protocol, or has it called after `connection_made`.
    fn call(&self, method: &str, call: impl FnOnce(&dyn SubprocessProtocol)) {
        let Some(protocol) = self.protocol.borrow().clone() else {
            return;
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(&*protocol))) {
            let message = format!("a panic in `{method}` of a subprocess protocol");
            report(ExceptionContext::panic(message, payload, None, None));
        }
    }

    /// Puts a call into the queue if `connection_made` has not been called; hands it back otherwise.
    fn is_early(&self, call: impl FnOnce() -> Call) -> bool {
        match &mut *self.early.borrow_mut() {
            Some(early) => {
                early.push_back(call());
                true
            }
            None => false,
        }
    }

    fn data_received(&self, fd: i32, data: &[u8]) {
        if !self.is_early(|| {
            let data = data.to_vec();
            Box::new(move |protocol| protocol.pipe_data_received(fd, &data))
        }) {
            self.call("pipe_data_received", |protocol| {
                protocol.pipe_data_received(fd, data)
            });
        }
    }

    fn pipe_lost(&self, fd: i32, error: Option<io::Error>) {
        if self.early.borrow().is_some() {
            self.is_early(|| Box::new(move |protocol| protocol.pipe_connection_lost(fd, error)));
        } else {
            self.call("pipe_connection_lost", |protocol| {
                protocol.pipe_connection_lost(fd, error)
            });
        }
    }

    /// The protocol of a pipe, however it ends.
    fn pipe_protocol_gone(&self) {
        self.open_pipes.set(self.open_pipes.get() - 1);
        if self.open_pipes.get() == 0 {
            self.pipes_closed.set();
        }
    }

    fn connection_made(self: &Rc<Inner>) {
        let transport = SubprocessTransport {
            inner: self.clone(),
        };
        self.call("connection_made", |protocol| {
            protocol.connection_made(&transport)
        });
        loop {
            // One after the other: a call may lead to more.
            let next = match &mut *self.early.borrow_mut() {
                Some(early) => early.pop_front(),
                None => None,
            };
            match next {
                Some(call) => self.call("an early event", call),
                None => break,
            }
        }
        self.early.replace(None);
    }

    fn close_pipes(&self, which: impl Fn(i32) -> bool) {
        let pipes: Vec<_> = self.pipes.borrow().clone();
        for (fd, pipe) in pipes {
            if which(fd) {
                pipe.close();
            }
        }
    }

    fn close(&self) {
        if self.closing.replace(true) {
            return;
        }
        self.close_pipes(|_| true);
        self.child.kill();
    }

    /// Waits for the end of everything, and says so.
    async fn see_it_end(&self, exited: &Cell<bool>) {
        self.child.wait().await;
        if !exited.replace(true) {
            self.call("process_exited", |protocol| protocol.process_exited());
            // That nobody reads its input any more would show only when something is written.
            self.close_pipes(|fd| fd == 0);
        }
        if self.open_pipes.get() > 0 {
            self.pipes_closed.wait().await;
        }
    }
}

/// The task behind a subprocess transport.
async fn drive(inner: Rc<Inner>) {
    // However this task ends, the child does not outlive it.
    struct Close(Rc<Inner>);
    impl Drop for Close {
        fn drop(&mut self) {
            self.0.close();
            // Protocols usually hold their transport: this opens the circle.
            let (protocol, pipes) = (self.0.protocol.take(), self.0.pipes.take());
            drop((protocol, pipes));
        }
    }
    inner.connection_made();
    let guard = Close(inner);
    let exited = Cell::new(false);
    let seen = catch_cancelled(guard.0.see_it_end(&exited)).await;
    if seen.is_err() {
        guard.0.close();
        guard.0.see_it_end(&exited).await;
    }
    guard
        .0
        .call("connection_lost", |protocol| protocol.connection_lost(None));
    if let Err(cancelled) = seen {
        drop(guard);
        cancelled.propagate().await
    }
}

/// The protocol of one pipe, which passes everything on.
struct PipeProtocol {
    fd: i32,
    subprocess: Weak<Inner>,
}

impl BaseProtocol for PipeProtocol {
    fn connection_made(&self, _: &SocketTransport) {
        if let Some(subprocess) = self.subprocess.upgrade() {
            subprocess.open_pipes.set(subprocess.open_pipes.get() + 1);
            subprocess.pipes_closed.clear();
        }
    }

    fn connection_lost(&self, error: Option<io::Error>) {
        if let Some(subprocess) = self.subprocess.upgrade() {
            subprocess.pipe_lost(self.fd, error);
            subprocess.pipe_protocol_gone();
        }
    }

    fn pause_writing(&self) {
        if let Some(subprocess) = self.subprocess.upgrade() {
            subprocess.call("pause_writing", |protocol| protocol.pause_writing());
        }
    }

    fn resume_writing(&self) {
        if let Some(subprocess) = self.subprocess.upgrade() {
            subprocess.call("resume_writing", |protocol| protocol.resume_writing());
        }
    }
}

impl Protocol for PipeProtocol {
    fn data_received(&self, data: &[u8]) {
        if let Some(subprocess) = self.subprocess.upgrade() {
            subprocess.data_received(self.fd, data);
        }
    }
}

/// Kills a child whose transport is given up while it is made.
struct CloseOnDrop<'a>(Option<&'a SubprocessTransport>);

impl CloseOnDrop<'_> {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(transport) = self.0 {
            transport.close();
        }
    }
}
