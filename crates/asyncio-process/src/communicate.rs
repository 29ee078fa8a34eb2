//! Everything in, everything out.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use asyncio_net::{StreamReader, StreamWriter};
use bytes::{Bytes, BytesMut};
use futures_io::AsyncWrite;

use crate::process::Process;

/// What a child wrote, from [`Process::communicate`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// To its output; `None` if that was not piped, or taken.
    pub stdout: Option<Bytes>,
    /// To its errors; `None` if they were not piped, or taken.
    pub stderr: Option<Bytes>,
}

impl Process {
    /// Writes `input` to the child's stdin and closes it, reads stdout and stderr to their ends, all at once, and then
    /// waits for the child's end (S226).
    ///
    /// Stdin is closed also where there is nothing to write. That the child does not read all of it is no error. Pipes
    /// that do not exist, or were taken, are left out. The outputs end when the last process that has them ends: a
    /// grandchild in the background keeps this waiting.
    ///
    /// The outputs are kept in memory, whatever their size:
    /// [`communicate_within`](Process::communicate_within) has a limit.
    ///
    /// # Cancel safety
    /// The child goes on. What it wrote is still in the streams, and a second call gives it; how much of `input` was
    /// written is not known, and stdin is closed.
    ///
    /// # Errors
    /// Those of the pipes, but for a stdin that nobody reads.
    ///
    /// ```
    /// use asyncio_process::{Stdio, create_subprocess_exec};
    ///
    /// # asyncio_runtime::run(async {
    /// let mut sort = create_subprocess_exec("sort").stdin(Stdio::Piped).stdout(Stdio::Piped).spawn().await?;
    /// let output = sort.communicate("b\na\n").await?;
    /// assert_eq!((output.stdout.unwrap(), output.stderr), ("a\nb\n".into(), None));
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub async fn communicate(&mut self, input: impl AsRef<[u8]>) -> io::Result<Output> {
        self.exchange(input.as_ref(), None).await
    }

    /// [`communicate`](Process::communicate) with a child that one does not trust: at most `limit` bytes of each output.
    ///
    /// # Cancel safety
    /// The child goes on, but what was read is lost.
    ///
    /// # Errors
    /// `InvalidData` as soon as an output is longer than the limit. The child still runs: kill it, or drop the `Process`.
    /// Else as [`communicate`](Process::communicate).
    pub async fn communicate_within(
        &mut self,
        limit: usize,
        input: impl AsRef<[u8]>,
    ) -> io::Result<Output> {
        self.exchange(input.as_ref(), Some(limit)).await
    }

    async fn exchange(&mut self, input: &[u8], limit: Option<usize>) -> io::Result<Output> {
        let child = self.child().clone();
        // Owned by the future from here on: stdin is closed whichever way this ends.
        let stdin = self.stdin.take();
        let mut feed = pin!(feed(stdin, input));
        let mut stdout = pin!(read(self.stdout.as_mut(), limit, "stdout"));
        let mut stderr = pin!(read(self.stderr.as_mut(), limit, "stderr"));
        let (mut fed, mut output) = (false, Output::default());
        let (mut out_ended, mut err_ended) = (false, false);
        poll_fn(|cx| {
            if !fed && let Poll::Ready(result) = feed.as_mut().poll(cx) {
                fed = true;
                result?;
            }
            if !out_ended && let Poll::Ready(result) = stdout.as_mut().poll(cx) {
                out_ended = true;
                output.stdout = result?;
            }
            if !err_ended && let Poll::Ready(result) = stderr.as_mut().poll(cx) {
                err_ended = true;
                output.stderr = result?;
            }
            if fed && out_ended && err_ended {
                return Poll::Ready(io::Result::Ok(()));
            }
            Poll::Pending
        })
        .await?;
        child.wait().await;
        Ok(output)
    }
}

/// Writes everything and closes. That the child does not want it is its own affair.
async fn feed(stdin: Option<StreamWriter>, input: &[u8]) -> io::Result<()> {
    let Some(mut stdin) = stdin else {
        return Ok(());
    };
    let mut rest = input;
    let result = async {
        while !rest.is_empty() {
            let written = poll_fn(|cx| Pin::new(&mut stdin).poll_write(cx, rest)).await?;
            rest = &rest[written..];
        }
        poll_fn(|cx| Pin::new(&mut stdin).poll_close(cx)).await
    }
    .await;
    match result {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

/// Reads to the end.
async fn read(
    reader: Option<&mut StreamReader>,
    limit: Option<usize>,
    name: &str,
) -> io::Result<Option<Bytes>> {
    let Some(reader) = reader else {
        return Ok(None);
    };
    let Some(limit) = limit else {
        return reader.read_to_end().await.map(Some);
    };
    let mut all = BytesMut::new();
    loop {
        // One byte more than allowed tells that it is too much.
        let room = (limit - all.len()).saturating_add(1);
        let piece = reader.read(room).await?;
        if piece.is_empty() {
            return Ok(Some(all.freeze()));
        }
        if piece.len() >= room {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "the child wrote more than {limit} bytes to its {name}: raise the limit, or read the pipe piece by piece"
                ),
            ));
        }
        all.extend_from_slice(&piece);
    }
}
