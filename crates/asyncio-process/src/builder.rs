//! Starting a child process.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use asyncio_executor::{catch_cancelled, yield_now};
use asyncio_net::{read_pipe, write_pipe};
use asyncio_reactor::Reactor;
use asyncio_signal::KeptStatuses;

use crate::child::Child;
use crate::pre_exec;
use crate::process::Process;
use crate::redirect::{OurEnds, Redirected, Stdio, redirect};

/// The most bytes before a separator in what a child writes, unless told otherwise (S210).
const DEFAULT_LIMIT: usize = 64 * 1024;

/// A program to be started with arguments; asyncio: `create_subprocess_exec`.
///
/// No shell is involved: arguments are taken as they are (S225). Text modes do not exist, everything is bytes.
///
/// ```
/// use asyncio_process::{Stdio, create_subprocess_exec};
///
/// # asyncio_runtime::run(async {
/// let mut date = create_subprocess_exec("echo").args(["one", "two words"]).stdout(Stdio::Piped).spawn().await?;
/// let output = date.communicate("").await?;
/// assert_eq!(output.stdout.unwrap(), "one two words\n");
/// assert_eq!(date.returncode(), Some(0));
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub fn create_subprocess_exec(program: impl AsRef<OsStr>) -> SubprocessBuilder {
    SubprocessBuilder::new(Command::new(program))
}

/// A command line to be run by `/bin/sh`; asyncio: `create_subprocess_shell`.
///
/// Quoting is the caller's job: never put what a stranger wrote into it, give it as an [`arg`](SubprocessBuilder::arg),
/// which the command line sees as `$0`, `$1` and so on.
///
/// ```
/// use asyncio_process::{Stdio, create_subprocess_shell};
///
/// # asyncio_runtime::run(async {
/// let mut shell = create_subprocess_shell("echo one; echo two >&2; exit 3")
///     .stdout(Stdio::Piped)
///     .stderr(Stdio::Stdout)
///     .spawn()
///     .await?;
/// assert_eq!(shell.communicate("").await?.stdout.unwrap(), "one\ntwo\n");
/// assert_eq!(shell.wait().await, 3);
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub fn create_subprocess_shell(command_line: impl AsRef<OsStr>) -> SubprocessBuilder {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(command_line);
    SubprocessBuilder::new(command)
}

/// A child process to be started; asyncio: the keyword arguments of `create_subprocess_exec`, most of them `Popen`'s.
///
/// ```
/// use asyncio_process::{Stdio, create_subprocess_exec};
///
/// # asyncio_runtime::run(async {
/// let mut child = create_subprocess_exec("sh")
///     .args(["-c", "pwd; echo $COLOUR"])
///     .current_dir("/")
///     .env_clear()
///     .env("COLOUR", "green")
///     .process_group(0) // the terminal's Ctrl-C does not reach it
///     .stdout(Stdio::Piped)
///     .spawn()
///     .await?;
/// assert_eq!(child.communicate("").await?.stdout.unwrap(), "/\ngreen\n");
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
#[must_use = "a builder does nothing until `spawn` is called and awaited"]
pub struct SubprocessBuilder {
    command: Command,
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
    limit: usize,
    process_group: Option<i32>,
    new_session: bool,
    passed: Vec<OwnedFd>,
    kill_on_drop: bool,
    without_pidfd: bool,
}

impl SubprocessBuilder {
    fn new(command: Command) -> SubprocessBuilder {
        SubprocessBuilder {
            command,
            stdin: Stdio::Inherit,
            stdout: Stdio::Inherit,
            stderr: Stdio::Inherit,
            limit: DEFAULT_LIMIT,
            process_group: None,
            new_session: false,
            passed: Vec::new(),
            kill_on_drop: true,
            without_pidfd: false,
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> SubprocessBuilder {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub fn args(mut self, args: impl IntoIterator<Item: AsRef<OsStr>>) -> SubprocessBuilder {
        self.command.args(args);
        self
    }

    /// A variable of the child's environment, which otherwise is a copy of ours.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> SubprocessBuilder {
        self.command.env(name, value);
        self
    }

    /// Takes a variable out of the child's environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> SubprocessBuilder {
        self.command.env_remove(name);
        self
    }

    /// Takes all variables out that were not set by [`env`](SubprocessBuilder::env) after this.
    pub fn env_clear(mut self) -> SubprocessBuilder {
        self.command.env_clear();
        self
    }

    /// The folder the child works in; asyncio: `cwd`. If the program is given by a relative path with a slash in it, say it
    /// from the root instead: systems differ on which folder it starts from.
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> SubprocessBuilder {
        self.command.current_dir(folder);
        self
    }

    /// Where the child reads its input from; by default where we do.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> SubprocessBuilder {
        self.stdin = stdin.into();
        self
    }

    /// Where the child writes its output to; by default where we do.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> SubprocessBuilder {
        self.stdout = stdout.into();
        self
    }

    /// Where the child writes its errors to; by default where we do.
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> SubprocessBuilder {
        self.stderr = stderr.into();
        self
    }

    /// The limit of the readers of stdout and stderr, in bytes (S210); 64 KiB by default.
    pub fn limit(mut self, limit: usize) -> SubprocessBuilder {
        self.limit = limit;
        self
    }

    /// Puts the child into a process group: one of its own for 0, so that
    /// [`send_signal_to_group`](Process::send_signal_to_group) reaches it and its children, and the terminal's Ctrl-C does
    /// not.
    pub fn process_group(mut self, group: i32) -> SubprocessBuilder {
        self.process_group = Some(group);
        self
    }

    /// Has the child begin a session, and with it a process group, without a terminal.
    pub fn start_new_session(mut self, on: bool) -> SubprocessBuilder {
        self.new_session = on;
        self
    }

    /// Has the child inherit a descriptor under the number that it has here. Closed here when the child has it; not
    /// for 0 to 2, which are the standard streams. asyncio: `pass_fds`.
    pub fn pass_fd(mut self, fd: impl Into<OwnedFd>) -> SubprocessBuilder {
        self.passed.push(fd.into());
        self
    }

    /// Whether dropping the [`Process`] kills the child; it does unless this says false (S232).
    pub fn kill_on_drop(mut self, kill: bool) -> SubprocessBuilder {
        self.kill_on_drop = kill;
        self
    }

    /// The user the child runs as. Needs privileges.
    pub fn uid(mut self, user: u32) -> SubprocessBuilder {
        self.command.uid(user);
        self
    }

    /// The group the child runs as. Needs privileges.
    pub fn gid(mut self, group: u32) -> SubprocessBuilder {
        self.command.gid(group);
        self
    }

    /// Hears of the child's end by SIGCHLD, as on systems without descriptors of processes. For tests.
    #[doc(hidden)]
    pub fn without_pidfd(mut self) -> SubprocessBuilder {
        self.without_pidfd = true;
        self
    }

    /// Starts the program.
    ///
    /// It is started at once, on this thread: the loop stands still until the new program is loaded, a millisecond or so,
    /// and the system says whether it could be. Afterwards other tasks have a turn.
    ///
    /// # Cancel safety
    /// A request in that turn kills the child and waits for its end before it goes on (S231). Dropping the future
    /// then kills the child, too, and leaves its end to the loop. Before the first poll there is no child.
    ///
    /// # Errors
    /// What the system says: `NotFound` where there is no such program, `PermissionDenied` and so on; `InvalidInput` for
    /// options that contradict each other; `NotConnected` where no loop runs. Then there is no child.
    ///
    /// # Panics
    /// For a limit of 0.
    pub async fn spawn(self) -> io::Result<Process> {
        let kill_on_drop = self.kill_on_drop;
        let mut process = self.start()?;
        // Nobody else knows of it yet.
        process.set_kill_on_drop(true);
        if let Err(cancelled) = catch_cancelled(yield_now()).await {
            process.kill_and_wait().await;
            cancelled.propagate().await
        }
        process.set_kill_on_drop(kill_on_drop);
        Ok(process)
    }

    /// Starts the program, without a turn for others.
    fn start(self) -> io::Result<Process> {
        let (limit, kill_on_drop) = (self.limit, self.kill_on_drop);
        assert!(limit > 0, "the limit of a stream must be at least 1");
        let (child, ours) = self.launch()?;
        // Made first, so that the child is killed if a stream cannot be.
        let mut process = Process::new(child, true);
        process.stdin = ours.stdin.map(write_pipe).transpose()?;
        process.stdout = ours.stdout.map(|pipe| read_pipe(pipe, limit)).transpose()?;
        process.stderr = ours.stderr.map(|pipe| read_pipe(pipe, limit)).transpose()?;
        process.set_kill_on_drop(kill_on_drop);
        Ok(process)
    }

    /// Starts the program; what is done with the pipes is the caller's business.
    pub(crate) fn launch(mut self) -> io::Result<(Rc<Child>, OurEnds)> {
        let reactor = Reactor::current()?;
        self.check()?;
        let program = self.command.get_program().to_owned();
        let Redirected { ours, theirs } = redirect(self.stdin, self.stdout, self.stderr)?;
        let [stdin, stdout, stderr] = theirs;
        self.command.stdin(stdin).stdout(stdout).stderr(stderr);
        if let Some(group) = self.process_group {
            self.command.process_group(group);
        }
        pre_exec::prepare(&mut self.command, self.new_session, self.passed);
        // Until the child is adopted: `std` may have to wait for one that cannot be, and we for one that ends at once.
        let _kept = KeptStatuses::ask()?;
        let started = self.command.spawn();
        // Our copies of the child's ends: as long as they are open no pipe ends.
        drop(self.command);
        let started = started.map_err(|error| cannot_start(&program, &error))?;
        let leads_group = self.new_session || self.process_group == Some(0);
        let child = Child::adopt(&reactor, started, leads_group, !self.without_pidfd)?;
        Ok((child, ours))
    }

    fn check(&self) -> io::Result<()> {
        let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if self.new_session && self.process_group.is_some() {
            return invalid(
                "a new session has a process group of its own: choose `start_new_session` or `process_group`"
                    .to_owned(),
            );
        }
        if let Some(fd) = self.passed.iter().find(|fd| fd.as_raw_fd() < 3) {
            return invalid(format!(
                "descriptor {} is a standard stream of the child: use `stdin`, `stdout` or `stderr` instead of `pass_fd`",
                fd.as_raw_fd()
            ));
        }
        Ok(())
    }
}

fn cannot_start(program: &OsString, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot start `{}`: {error}", program.display()),
    )
}

impl fmt::Debug for SubprocessBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubprocessBuilder")
            .field("command", &self.command)
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}
