//! Where the standard streams of a child lead to.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::process;

/// Where a standard stream of a child leads to; asyncio: `PIPE`, `STDOUT`, `DEVNULL`, a file, `None`.
///
/// Files, pipes and other descriptors convert into it.
///
/// ```
/// use asyncio_process::{Stdio, create_subprocess_exec};
/// use std::fs::File;
///
/// # asyncio_runtime::run(async {
/// let mut cat = create_subprocess_exec("cat").stdin(File::open("/dev/null")?).stdout(Stdio::Piped).spawn().await?;
/// assert_eq!(cat.communicate("").await?.stdout.unwrap(), "");
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Stdio {
    /// Where ours leads to; asyncio: `None`.
    #[default]
    Inherit,
    /// To a stream in the [`Process`](crate::Process); asyncio: `PIPE`.
    Piped,
    /// For stderr only: to where the child's stdout leads; asyncio: `STDOUT`.
    Stdout,
    /// Nowhere; asyncio: `DEVNULL`.
    Null,
    /// To this descriptor, which is closed here when the child has it.
    Fd(OwnedFd),
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Stdio {
        Stdio::Fd(fd)
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Stdio {
        Stdio::Fd(file.into())
    }
}

impl From<PipeReader> for Stdio {
    fn from(pipe: PipeReader) -> Stdio {
        Stdio::Fd(pipe.into())
    }
}

impl From<PipeWriter> for Stdio {
    fn from(pipe: PipeWriter) -> Stdio {
        Stdio::Fd(pipe.into())
    }
}

/// Our ends of a child's pipes, and what its standard streams are to be.
pub(crate) struct Redirected {
    pub(crate) ours: OurEnds,
    pub(crate) theirs: [process::Stdio; 3],
}

/// Our ends of a child's pipes, as they were made: open files of our own, which block.
pub(crate) struct OurEnds {
    pub(crate) stdin: Option<PipeWriter>,
    pub(crate) stdout: Option<PipeReader>,
    pub(crate) stderr: Option<PipeReader>,
}

/// Makes the pipes.
pub(crate) fn redirect(stdin: Stdio, stdout: Stdio, stderr: Stdio) -> io::Result<Redirected> {
    let (stdin, writer) = match stdin {
        Stdio::Piped => {
            let (theirs, ours) = io::pipe()?;
            (Stdio::Fd(theirs.into()), Some(ours))
        }
        other => (other, None),
    };
    let (stdout, out) = piped_from(stdout)?;
    let (stderr, err) = match stderr {
        Stdio::Stdout => (copy_of(&stdout)?, None),
        other => piped_from(other)?,
    };
    Ok(Redirected {
        ours: OurEnds {
            stdin: writer,
            stdout: out,
            stderr: err,
        },
        theirs: [
            for_std(stdin, "stdin")?,
            for_std(stdout, "stdout")?,
            for_std(stderr, "stderr")?,
        ],
    })
}

fn piped_from(stdio: Stdio) -> io::Result<(Stdio, Option<PipeReader>)> {
    let Stdio::Piped = stdio else {
        return Ok((stdio, None));
    };
    let (ours, theirs) = io::pipe()?;
    Ok((Stdio::Fd(theirs.into()), Some(ours)))
}

/// The same as what stdout is.
fn copy_of(stdout: &Stdio) -> io::Result<Stdio> {
    Ok(match stdout {
        Stdio::Fd(fd) => Stdio::Fd(fd.try_clone()?),
        Stdio::Inherit => Stdio::Fd(io::stdout().as_fd().try_clone_to_owned()?),
        Stdio::Null => Stdio::Null,
        Stdio::Piped | Stdio::Stdout => return Err(only_for_stderr("stdout")),
    })
}

fn for_std(stdio: Stdio, name: &str) -> io::Result<process::Stdio> {
    Ok(match stdio {
        Stdio::Inherit => process::Stdio::inherit(),
        // Not `process::Stdio::null()`: where the program has closed its own standard streams `std` opens that under one of
        // their numbers, and then the child has none.
        Stdio::Null => File::options()
            .read(true)
            .write(true)
            .open("/dev/null")?
            .into(),
        Stdio::Fd(fd) => fd.into(),
        Stdio::Piped | Stdio::Stdout => return Err(only_for_stderr(name)),
    })
}

fn only_for_stderr(name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "`Stdio::Stdout` is for stderr only, and was given for {name}: choose `Piped`, `Null`, `Inherit` or a file"
        ),
    )
}
