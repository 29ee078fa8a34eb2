//! A running child.

use std::error::Error;
use std::fmt;
use std::io;
use std::rc::Rc;

use asyncio_executor::ExceptionContext;
use asyncio_net::{StreamReader, StreamWriter};
use asyncio_signal::{IntoSignal, SIGKILL, SIGTERM};

use crate::child::Child;

/// A child process; asyncio: `asyncio.subprocess.Process`. From
/// [`create_subprocess_exec`](crate::create_subprocess_exec) or
/// [`create_subprocess_shell`](crate::create_subprocess_shell).
///
/// # Dropping
///
/// Dropping it closes the pipes and, while the child runs, kills it (S232), unless
/// [`kill_on_drop(false)`](crate::SubprocessBuilder::kill_on_drop) was said. Its end is left to the loop, which
/// reaps it: there are no zombies. If the loop ends first, the next one that starts a child, or waits for this one, does
/// it; a child that was killed is waited for as the loop ends, 100 ms at most.
///
/// ```
/// use asyncio_process::{Stdio, create_subprocess_exec};
///
/// # asyncio_runtime::run(async {
/// let mut sort = create_subprocess_exec("sort").stdin(Stdio::Piped).stdout(Stdio::Piped).spawn().await?;
/// let mut stdin = sort.stdin.take().unwrap();
/// stdin.write("b\na\n");
/// stdin.close();
/// assert_eq!(sort.stdout.as_mut().unwrap().readline().await?, "a\n");
/// assert_eq!(sort.stdout.as_mut().unwrap().readline().await?, "b\n");
/// assert_eq!(sort.wait().await, 0);
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct Process {
    /// The writing end of the child's input, if that is piped.
    pub stdin: Option<StreamWriter>,
    /// The reading end of the child's output, if that is piped.
    pub stdout: Option<StreamReader>,
    /// The reading end of the child's errors, if they are piped.
    pub stderr: Option<StreamReader>,
    child: Rc<Child>,
    kill_on_drop: bool,
}

impl Process {
    pub(crate) fn new(child: Rc<Child>, kill_on_drop: bool) -> Process {
        Process {
            stdin: None,
            stdout: None,
            stderr: None,
            child,
            kill_on_drop,
        }
    }

    /// The number of the process. After its end was processed the number may be another's: send signals through this
    /// handle, which cannot hit a stranger.
    pub fn pid(&self) -> u32 {
        self.child
            .kernel
            .pid()
            .as_raw_nonzero()
            .get()
            .unsigned_abs()
    }

    /// What the child returned; -n if signal n ended it; `None` until the loop has processed its end (S228).
    ///
    /// 255 if somebody else waited for it, which is reported to the loop's exception handler.
    pub fn returncode(&self) -> Option<i32> {
        self.child.returncode()
    }

    /// Waits for the child's end and gives what it returned, or -n if signal n ended it (S227).
    ///
    /// Any number of tasks may wait, also on other loops of this thread than the one that started the child; each of these
    /// hears of the end. A loop that cannot watch the child, being out of descriptors, reports that to its exception
    /// handler and looks for the end from time to time, at least twice a second.
    ///
    /// A child that writes into a full pipe never ends: read its pipes, or use [`communicate`](Process::communicate).
    ///
    /// # Cancel safety
    /// Nothing is lost, and the child is not affected.
    pub async fn wait(&self) -> i32 {
        self.child.wait().await
    }

    /// Sends a signal.
    ///
    /// A child that has ended, but whose end the loop has not processed, takes no notice (S229).
    ///
    /// # Errors
    /// [`ProcessLookupError`] in an error of kind `NotFound` after the end was processed; `InvalidInput` for a number that
    /// no signal has; `PermissionDenied` for a child that has become another user's.
    ///
    /// ```
    /// use asyncio_process::{ProcessLookupError, create_subprocess_exec};
    ///
    /// # asyncio_runtime::run(async {
    /// let sleep = create_subprocess_exec("sleep").arg("60").spawn().await?;
    /// sleep.send_signal(15)?;
    /// assert_eq!(sleep.wait().await, -15);
    /// let error = sleep.terminate().unwrap_err();
    /// assert!(error.get_ref().unwrap().is::<ProcessLookupError>());
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn send_signal(&self, signal: impl IntoSignal) -> io::Result<()> {
        self.child.send_signal(signal.into_signal()?)
    }

    /// Asks the child to end, by SIGTERM.
    ///
    /// # Errors
    /// As [`send_signal`](Process::send_signal).
    pub fn terminate(&self) -> io::Result<()> {
        self.send_signal(SIGTERM)
    }

    /// Ends the child, by SIGKILL.
    ///
    /// # Errors
    /// As [`send_signal`](Process::send_signal).
    pub fn kill(&self) -> io::Result<()> {
        self.send_signal(SIGKILL)
    }

    /// Sends a signal to the whole process group that the child leads, its own children included; Python: `os.killpg`.
    ///
    /// # Errors
    /// `InvalidInput` unless it was started with `process_group(0)` or `start_new_session(true)`; else as
    /// [`send_signal`](Process::send_signal). Once the child's end was processed this is an error even if others of
    /// its group are left: the number might be another group's by now.
    pub fn send_signal_to_group(&self, signal: impl IntoSignal) -> io::Result<()> {
        let signal = signal.into_signal()?;
        if !self.child.leads_group {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the child has no process group of its own: start it with `process_group(0)` or `start_new_session(true)`",
            ));
        }
        self.child.send_signal_to_group(signal)
    }

    pub(crate) fn set_kill_on_drop(&mut self, kill: bool) {
        self.kill_on_drop = kill;
    }

    pub(crate) async fn kill_and_wait(&self) {
        self.child.kill();
        self.child.wait().await;
    }

    pub(crate) fn child(&self) -> &Rc<Child> {
        &self.child
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.kill_on_drop || self.child.returncode().is_some() {
            return;
        }
        if asyncio_executor::is_debug() {
            asyncio_executor::report(ExceptionContext::new(format!(
                "child process {} still ran when its `Process` was dropped, and was killed: wait for it, or say \
                 `kill_on_drop(false)`",
                self.pid()
            )));
        }
        self.child.kill_for_good();
    }
}

/// The process has ended, and its end was processed: there is nobody to send a signal to; Python: `ProcessLookupError`.
///
/// It is the inner error of an `io::Error` of kind `NotFound`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessLookupError {
    /// The number it had.
    pub pid: u32,
}

impl fmt::Display for ProcessLookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} has ended: no signal was sent", self.pid)
    }
}

impl Error for ProcessLookupError {}
