//! A child on its loop: who waits for its end, and who sees to it that it is reaped.
//!
//! The reactor watches the child's descriptor, or listens for SIGCHLD where there is none, and owns the child until it is
//! reaped: nobody has to hold the [`Process`](crate::Process). Each loop on which somebody waits for the child does so; which
//! of them hears of the end first tells all. A reactor that closes, if no other watches, gives the children it still has to
//! the list of orphans, from which the next loop of the program that starts a child takes them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::process;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use asyncio_executor::ExceptionContext;
use asyncio_reactor::{Interest, Reactor, Watch};
use asyncio_signal::{Listener, SIGCHLD, SIGKILL, Signal};
use asyncio_sync::Event;
use asyncio_timers::{Sleep, Timers};
use rustix::process::Pid;

use crate::kernel::KernelChild;
use crate::process::ProcessLookupError;

/// Children whose loop has gone.
static ORPHANS: Mutex<Vec<Arc<KernelChild>>> = Mutex::new(Vec::new());

/// How often a child is looked for that cannot be watched.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// A child, shared by its handle and its reactor.
pub(crate) struct Child {
    pub(crate) kernel: Arc<KernelChild>,
    pub(crate) leads_group: bool,
    returncode: Cell<Option<i32>>,
    ended: Event,
    /// By what reactors hear of the end: that of the loop it was started on, and those of others that wait for it.
    watching: RefCell<Vec<Watching>>,
    last_watching: Cell<u64>,
    killed: Cell<bool>,
}

/// One reactor's care.
struct Watching {
    id: u64,
    by: By,
}

enum By {
    Pidfd(Watch),
    Sigchld(Listener),
}

impl Watching {
    fn is_by(&self, reactor: &Reactor) -> bool {
        match &self.by {
            By::Pidfd(watch) => watch.is_by(reactor),
            By::Sigchld(listener) => listener.is_by(reactor),
        }
    }
}

impl Child {
    /// Takes a child that was just started into the reactor's care.
    pub(crate) fn adopt(
        reactor: &Reactor,
        started: process::Child,
        leads_group: bool,
        with_pidfd: bool,
    ) -> io::Result<Rc<Child>> {
        adopt_orphans(reactor);
        let pid = Pid::from_child(&started);
        // Where this fails we are out of descriptors and nobody could hear of the child's end. It has hardly begun.
        let kernel = match KernelChild::new(pid, with_pidfd) {
            Ok(kernel) => Arc::new(kernel),
            Err(error) => {
                abandon(KernelChild::without_pidfd(pid));
                return Err(error);
            }
        };
        let child = Child::new(kernel, leads_group);
        if let Err(error) = child.watch(reactor) {
            add_orphan(&child.kernel);
            // Nobody else will start one for a while, perhaps.
            child.kill_for_good();
            return Err(error);
        }
        Ok(child)
    }

    fn new(kernel: Arc<KernelChild>, leads_group: bool) -> Rc<Child> {
        Rc::new(Child {
            kernel,
            leads_group,
            returncode: Cell::new(None),
            ended: Event::new(),
            watching: RefCell::default(),
            last_watching: Cell::new(0),
            killed: Cell::new(false),
        })
    }

    /// Has a reactor hear of the end, and care for the child until then. On an error nothing has changed.
    fn watch(self: &Rc<Child>, reactor: &Reactor) -> io::Result<()> {
        let id = self.last_watching.get() + 1;
        self.last_watching.set(id);
        let custody = Rc::new(Custody {
            child: self.clone(),
            id,
            begun: Cell::new(false),
        });
        let held = custody.clone();
        let by = match self.kernel.pidfd() {
            Some(pidfd) => By::Pidfd(reactor.watch(
                pidfd,
                Interest::Readable,
                Rc::new(move || held.child.look()),
            )?),
            None => By::Sigchld(Listener::new(reactor, [SIGCHLD], move |_, _| {
                held.child.look()
            })?),
        };
        custody.begun.set(true);
        let by_signal = matches!(by, By::Sigchld(_));
        self.watching.borrow_mut().push(Watching { id, by });
        if by_signal {
            // It may have ended before we listened.
            self.look();
        }
        Ok(())
    }

    /// Has the running loop watch a child, too, whose own loop has gone, or may stand still while this one runs.
    fn watch_from_here(self: &Rc<Child>) -> io::Result<()> {
        let Ok(reactor) = Reactor::current() else {
            return Ok(());
        };
        let is_by_this = |watching: &Watching| watching.is_by(&reactor);
        if self.returncode.get().is_some() || self.watching.borrow().iter().any(is_by_this) {
            return Ok(());
        }
        self.watch(&reactor)?;
        no_orphan(&self.kernel);
        Ok(())
    }

    pub(crate) fn returncode(&self) -> Option<i32> {
        self.returncode.get()
    }

    pub(crate) async fn wait(self: &Rc<Child>) -> i32 {
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            let watched = self.watch_from_here();
            if let Err(error) = &watched {
                if !told {
                    told = true;
                    asyncio_executor::report(ExceptionContext::error(
                        format!(
                            "the end of child process {} cannot be heard of on this loop; it is looked for from time to time",
                            self.kernel.pid()
                        ),
                        error,
                    ));
                }
                self.look();
            }
            if let Some(code) = self.returncode.get() {
                return code;
            }
            match watched {
                Err(_) if Timers::try_current().is_some() => {
                    self.ended_or_after(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                _ => self.ended.wait().await,
            }
        }
    }

    /// Waits until it is known to have ended, or for some time.
    async fn ended_or_after(&self, pause: Duration) {
        let mut ended = pin!(self.ended.wait());
        let mut sleep = pin!(Sleep::new(pause));
        poll_fn(|cx| {
            if ended.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            sleep.as_mut().poll(cx)
        })
        .await;
    }

    /// Kills the child; nobody cares for it any more.
    pub(crate) fn kill(&self) {
        if self.returncode.get().is_none() {
            self.killed.set(true);
            // An error would be that of a child that became somebody else's by a setuid program.
            let _ = self.kernel.send(SIGKILL);
        }
    }

    /// Kills the child when its last handle is dropped, or when there will be none.
    pub(crate) fn kill_for_good(&self) {
        self.kill();
        if self.returncode.get().is_none() && self.watching.borrow().is_empty() {
            // Its loop has gone before.
            self.kernel.reap_within_a_moment();
            forget_ended_orphans();
        }
    }

    /// Sends a signal (S229).
    pub(crate) fn send_signal(&self, signal: Signal) -> io::Result<()> {
        let sent = self.kernel.send(signal)?;
        self.or_lookup_error(sent)
    }

    /// Sends a signal to the group that the child leads.
    pub(crate) fn send_signal_to_group(&self, signal: Signal) -> io::Result<()> {
        let sent = self.kernel.send_to_group(signal)?;
        self.or_lookup_error(sent)
    }

    fn or_lookup_error(&self, sent: bool) -> io::Result<()> {
        if sent {
            return Ok(());
        }
        let pid = self.kernel.pid().as_raw_nonzero().get().unsigned_abs();
        let error = ProcessLookupError { pid };
        Err(io::Error::new(io::ErrorKind::NotFound, error))
    }

    /// Looks whether the child has ended, and if so tells everybody.
    fn look(&self) {
        if self.returncode.get().is_some() {
            return;
        }
        let Some(end) = self.kernel.try_reap() else {
            return;
        };
        self.returncode.set(Some(end.returncode));
        if end.reaped_elsewhere {
            asyncio_executor::report(ExceptionContext::new(format!(
                "the exit status of child process {} is unknown, 255 is given instead: somebody else has waited for it, or \
                 the program ignores SIGCHLD",
                self.kernel.pid()
            )));
        }
        let watching = self.watching.take();
        drop(watching);
        no_orphan(&self.kernel);
        self.ended.set();
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("pid", &self.kernel.pid())
            .field("returncode", &self.returncode.get())
            .finish_non_exhaustive()
    }
}

/// A reactor's care for a child. Dropped when the child is reaped, or when the reactor closes.
struct Custody {
    child: Rc<Child>,
    id: u64,
    /// False where it could not be watched.
    begun: Cell<bool>,
}

impl Drop for Custody {
    fn drop(&mut self) {
        let child = &self.child;
        if !self.begun.get() || child.returncode.get().is_some() {
            return;
        }
        let mut watching = child.watching.borrow_mut();
        let ended: Vec<_> = watching
            .extract_if(.., |watching| watching.id == self.id)
            .collect();
        let others_watch = !watching.is_empty();
        drop(watching);
        drop(ended);
        if others_watch {
            return;
        }
        let end = if child.killed.get() {
            // So that a program whose last loop ends leaves no zombie behind.
            child.kernel.reap_within_a_moment()
        } else {
            child.kernel.try_reap()
        };
        if end.is_none() {
            add_orphan(&child.kernel);
        }
    }
}

fn orphans() -> MutexGuard<'static, Vec<Arc<KernelChild>>> {
    ORPHANS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn add_orphan(kernel: &Arc<KernelChild>) {
    let mut orphans = orphans();
    // One that was an orphan, and could not be watched, is there still.
    if !orphans.iter().any(|orphan| Arc::ptr_eq(orphan, kernel)) {
        orphans.push(kernel.clone());
    }
}

/// It has ended, or is in a reactor's care again.
fn no_orphan(kernel: &Arc<KernelChild>) {
    orphans().retain(|orphan| !Arc::ptr_eq(orphan, kernel));
}

/// Reaps the orphans that have ended.
fn forget_ended_orphans() {
    orphans().retain(|kernel| kernel.try_reap().is_none());
}

/// Reaps the orphans that have ended, and takes the others into this reactor's care.
fn adopt_orphans(reactor: &Reactor) {
    let found = std::mem::take(&mut *orphans());
    for kernel in found {
        if kernel.try_reap().is_none() && Child::new(kernel.clone(), false).watch(reactor).is_err()
        {
            add_orphan(&kernel);
        }
    }
}

/// Kills a child that cannot be watched, and waits for its end: nobody would hear of it.
fn abandon(kernel: KernelChild) {
    let _ = kernel.send(SIGKILL);
    if kernel.reap_within_a_moment().is_none() {
        add_orphan(&Arc::new(kernel));
    }
}
