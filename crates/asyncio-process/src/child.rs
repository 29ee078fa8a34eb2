//! A child on its loop: who waits for its end, and who sees to it that it is reaped.
//!
//! The reactor watches the child's descriptor, or listens for SIGCHLD where there is none, and owns the child until it is
//! reaped: nobody has to hold the [`Process`](crate::Process). A reactor that closes gives the children it still has to
//! the list of orphans, from which the next loop of the program that starts a child takes them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::process;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use asyncio_executor::ExceptionContext;
use asyncio_reactor::{Interest, Reactor, Watch};
use asyncio_signal::{Listener, SIGCHLD, SIGKILL, Signal};
use asyncio_sync::Event;
use rustix::process::Pid;

use crate::kernel::KernelChild;
use crate::process::ProcessLookupError;

/// Children whose loop has gone.
static ORPHANS: Mutex<Vec<Arc<KernelChild>>> = Mutex::new(Vec::new());

/// A child, shared by its handle and its reactor.
pub(crate) struct Child {
    pub(crate) kernel: Arc<KernelChild>,
    pub(crate) leads_group: bool,
    returncode: Cell<Option<i32>>,
    ended: Event,
    /// By what the reactor hears of the end.
    watching: RefCell<Option<Watching>>,
    killed: Cell<bool>,
}

enum Watching {
    Pidfd { watch: Watch },
    Sigchld { listener: Listener },
}

impl Watching {
    fn is_by(&self, reactor: &Reactor) -> bool {
        match self {
            Watching::Pidfd { watch } => watch.is_by(reactor),
            Watching::Sigchld { listener } => listener.is_by(reactor),
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
            // `Custody` has made it an orphan, and nobody else will start one for a while, perhaps.
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
            watching: RefCell::new(None),
            killed: Cell::new(false),
        })
    }

    fn watch(self: &Rc<Child>, reactor: &Reactor) -> io::Result<()> {
        let custody = Custody {
            child: self.clone(),
        };
        let watching = match self.kernel.pidfd() {
            Some(pidfd) => Watching::Pidfd {
                watch: reactor.watch(
                    pidfd,
                    Interest::Readable,
                    Rc::new(move || custody.child.look()),
                )?,
            },
            None => Watching::Sigchld {
                listener: Listener::new(reactor, [SIGCHLD], move |_, _| custody.child.look())?,
            },
        };
        let by_signal = matches!(watching, Watching::Sigchld { .. });
        self.watching.replace(Some(watching));
        if by_signal {
            // It may have ended before we listened.
            self.look();
        }
        Ok(())
    }

    /// Has the running loop watch a child whose own loop has gone, or stands still while this one runs.
    fn watch_from_here(self: &Rc<Child>) {
        let Ok(reactor) = Reactor::current() else {
            return;
        };
        let is_watched = |watching: &Watching| watching.is_by(&reactor);
        if self.returncode.get().is_some()
            || self.watching.borrow().as_ref().is_some_and(is_watched)
        {
            return;
        }
        // Makes it an orphan, which it is for no longer than this.
        let former = self.watching.take();
        drop(former);
        if self.watch(&reactor).is_ok() {
            ORPHANS
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|orphan| !Arc::ptr_eq(orphan, &self.kernel));
        }
    }

    pub(crate) fn returncode(&self) -> Option<i32> {
        self.returncode.get()
    }

    pub(crate) async fn wait(self: &Rc<Child>) -> i32 {
        self.watch_from_here();
        loop {
            if let Some(code) = self.returncode.get() {
                return code;
            }
            self.ended.wait().await;
        }
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
        if self.returncode.get().is_none() && self.watching.borrow().is_none() {
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

/// A reactor's care for a child. Dropped when the child is reaped, or when the reactor is.
struct Custody {
    child: Rc<Child>,
}

impl Drop for Custody {
    fn drop(&mut self) {
        let child = &self.child;
        if child.returncode.get().is_some() {
            return;
        }
        let watching = child.watching.take();
        drop(watching);
        let end = if child.killed.get() {
            // So that a program whose last loop ends leaves no zombie behind.
            child.kernel.reap_within_a_moment()
        } else {
            child.kernel.try_reap()
        };
        if end.is_none() {
            add_orphan(child.kernel.clone());
        }
    }
}

fn add_orphan(kernel: Arc<KernelChild>) {
    ORPHANS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(kernel);
}

/// Reaps the orphans that have ended.
fn forget_ended_orphans() {
    ORPHANS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .retain(|kernel| kernel.try_reap().is_none());
}

/// Reaps the orphans that have ended, and takes the others into this reactor's care.
fn adopt_orphans(reactor: &Reactor) {
    let orphans = std::mem::take(&mut *ORPHANS.lock().unwrap_or_else(PoisonError::into_inner));
    for kernel in orphans {
        if kernel.try_reap().is_none() {
            // On an error it goes back to the list, by the end of `Custody`.
            let _ = Child::new(kernel, false).watch(reactor);
        }
    }
}

/// Kills a child that cannot be watched, and waits for its end: nobody would hear of it.
fn abandon(kernel: KernelChild) {
    let _ = kernel.send(SIGKILL);
    if kernel.reap_within_a_moment().is_none() {
        add_orphan(Arc::new(kernel));
    }
}
