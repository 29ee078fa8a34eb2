//! What a read may end with besides data.

use std::error::Error;
use std::fmt;
use std::io;
use std::rc::Rc;

use bytes::Bytes;

/// Why [`readexactly`](crate::StreamReader::readexactly), [`readuntil`](crate::StreamReader::readuntil) or
/// [`readline`](crate::StreamReader::readline) gave no data.
///
/// Converts into [`io::Error`], so that `?` works in functions that return one: `Incomplete` becomes `UnexpectedEof`,
/// `LimitOverrun` becomes `InvalidData`, and the original is the error within.
///
/// ```
/// use asyncio_net::{LimitOverrunError, StreamError};
/// # use std::io;
/// fn read() -> io::Result<()> {
///     Err(StreamError::LimitOverrun(LimitOverrunError { consumed: 65537, limit: 65536, found: false }))?
/// }
/// assert_eq!(read().unwrap_err().kind(), io::ErrorKind::InvalidData);
/// ```
#[derive(Debug)]
pub enum StreamError {
    /// The stream ended too early.
    Incomplete(IncompleteReadError),
    /// No separator within the limit.
    LimitOverrun(LimitOverrunError),
    /// The connection failed.
    Io(io::Error),
}

/// The stream ended before the requested data was complete; asyncio: `IncompleteReadError`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncompleteReadError {
    /// What came before the end. It has been taken from the stream.
    pub partial: Bytes,
    /// How many bytes were asked for; `None` where a separator was looked for.
    pub expected: Option<usize>,
}

/// A chunk is longer than the stream's limit allows; asyncio: `LimitOverrunError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitOverrunError {
    /// How many bytes, from the start of the buffered data, certainly come before the separator.
    pub consumed: usize,
    /// The limit.
    pub limit: usize,
    /// Whether the separator is in the buffer, only too far away.
    pub found: bool,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Incomplete(error) => error.fmt(f),
            StreamError::LimitOverrun(error) => error.fmt(f),
            StreamError::Io(error) => error.fmt(f),
        }
    }
}

impl Error for StreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StreamError::Incomplete(_) | StreamError::LimitOverrun(_) => None,
            // Displayed already, so what comes next is its source.
            StreamError::Io(error) => error.source(),
        }
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> io::Error {
        match error {
            StreamError::Incomplete(error) => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            StreamError::LimitOverrun(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            StreamError::Io(error) => error,
        }
    }
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> StreamError {
        StreamError::Io(error)
    }
}

impl fmt::Display for IncompleteReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let got = self.partial.len();
        match self.expected {
            Some(expected) => write!(
                f,
                "the stream ended after {got} of {expected} expected bytes"
            ),
            None => write!(
                f,
                "the stream ended after {got} bytes without the separator"
            ),
        }
    }
}

impl Error for IncompleteReadError {}

impl fmt::Display for LimitOverrunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (limit, consumed) = (self.limit, self.consumed);
        let advice =
            "raise it with `ConnectOptions::limit` or `ServerOptions::limit`, or use `read`";
        if self.found {
            write!(
                f,
                "the separator comes after {consumed} bytes, and the stream's limit is {limit}; {advice}"
            )
        } else {
            write!(
                f,
                "no separator within {consumed} bytes, and the stream's limit is {limit}; {advice}"
            )
        }
    }
}

impl Error for LimitOverrunError {}

/// An `io::Error` that can be raised many times (S212).
#[derive(Clone, Debug)]
pub(crate) enum Lost {
    Code(i32),
    Message(io::ErrorKind, Rc<str>),
}

impl Lost {
    pub(crate) fn new(error: &io::Error) -> Lost {
        match error.raw_os_error() {
            Some(code) => Lost::Code(code),
            None => Lost::Message(error.kind(), error.to_string().into()),
        }
    }

    pub(crate) fn message(kind: io::ErrorKind, text: &str) -> Lost {
        Lost::Message(kind, text.into())
    }

    pub(crate) fn to_error(&self) -> io::Error {
        match self {
            Lost::Code(code) => io::Error::from_raw_os_error(*code),
            Lost::Message(kind, text) => io::Error::new(*kind, &**text),
        }
    }
}
