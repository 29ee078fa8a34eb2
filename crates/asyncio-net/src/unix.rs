//! Unix sockets: names, connecting, and the files that listening ones leave behind.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::SocketAddr as UnixSocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

#[cfg(any(target_os = "linux", target_os = "android"))]
use asyncio_reactor::PeerCred;
use asyncio_reactor::Source;
use asyncio_timers::sleep;
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

use crate::accept::Outcome;
use crate::connect::{ConnectOptions, within};
use crate::server::Server;
use crate::server_options::ServerOptions;
use crate::socket;
use crate::socket_ref::SocketRef;
use crate::stream_reader::StreamReader;
use crate::stream_writer::StreamWriter;

/// How long a name may be; the system's structure has one byte more, for the NUL.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LONGEST: usize = 107;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const LONGEST: usize = 103;

/// Connects to a Unix socket and gives the two ends of the connection; asyncio: `open_unix_connection`.
///
/// A path that begins with a NUL byte is an abstract name, which lies in no file system (Linux only). A server whose backlog is
/// full is waited for, as a blocking `connect` would; [`ConnectOptions::timeout`] limits that.
///
/// # Cancel safety
/// Dropping the future gives the attempt up; no socket is left.
///
/// # Errors
/// They name the path and what to do: `NotFound`, `ConnectionRefused` where nobody listens, `PermissionDenied`,
/// `InvalidInput` for a path that is too long (107 bytes on Linux).
///
/// ```
/// use asyncio_net::{open_unix_connection, start_unix_server};
///
/// asyncio_runtime::run(async {
///     let path = std::env::temp_dir().join(format!("asyncio-doc-{}.sock", std::process::id()));
///     let server = start_unix_server(|_reader, writer| async move { writer.write(b"hello") }, &path).await?;
///     let (mut reader, _writer) = open_unix_connection(&path).await?;
///     assert_eq!(reader.read_to_end().await?, "hello");
///     server.close();
///     assert!(!path.exists());
///     std::io::Result::Ok(())
/// })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn open_unix_connection(
    path: impl AsRef<Path>,
) -> io::Result<(StreamReader, StreamWriter)> {
    ConnectOptions::new().connect_unix(path).await
}

/// Listens on a Unix socket and runs `callback` as a task of its own for each client; asyncio: `start_unix_server`.
///
/// - A socket file that a server left behind when it died is removed first (S224). One behind which somebody listens is not:
///   that is an error. (asyncio takes the path away from the other server.)
/// - When the server closes it removes its file, if that is still its own.
/// - A path that begins with a NUL byte is an abstract name, which needs none of this (Linux only).
///
/// Everything else is as for [`start_server`](crate::start_server), and [`ServerOptions`] has the rest.
///
/// # Cancel safety
/// Dropping the future before it is ready leaves nothing behind.
///
/// # Errors
/// They name the path and what to do: `AddrInUse` for a path where somebody listens or that is no socket, `NotFound` for a
/// missing directory, `PermissionDenied`, `InvalidInput` for a path that is too long (107 bytes on Linux).
///
/// # Panics
/// Outside a running loop.
///
/// ```
/// # use asyncio_net::{open_unix_connection, start_unix_server};
/// # asyncio_runtime::run(async {
/// // An abstract name: nothing to clean up. (Linux only.)
/// # if cfg!(target_os = "linux") {
/// # let name = format!("\0asyncio-doc-{}", std::process::id());
/// let server = start_unix_server(|_reader, writer| async move { writer.write(b"hello") }, &name).await?;
/// let (mut reader, _writer) = open_unix_connection(&name).await?;
/// assert_eq!(reader.read_to_end().await?, "hello");
/// # }
/// # std::io::Result::Ok(()) })?;
/// # std::io::Result::Ok(())
/// ```
pub async fn start_unix_server<C, F>(callback: C, path: impl AsRef<Path>) -> io::Result<Server>
where
    C: FnMut(StreamReader, StreamWriter) -> F + 'static,
    F: Future + 'static,
    F::Output: Outcome,
{
    ServerOptions::new().start_unix(callback, path).await
}

impl ConnectOptions {
    /// Connects to a Unix socket, see [`open_unix_connection`]. What concerns names, addresses and TCP has no effect.
    ///
    /// # Cancel safety
    /// As [`open_unix_connection`].
    ///
    /// # Errors
    /// As [`open_unix_connection`]; `TimedOut` when the [`timeout`](ConnectOptions::timeout) is over.
    pub async fn connect_unix(
        &self,
        path: impl AsRef<Path>,
    ) -> io::Result<(StreamReader, StreamWriter)> {
        let name = UnixName::new(path.as_ref())?;
        let address = name.std_address()?;
        let connecting = async {
            let mut pause = Duration::from_millis(1);
            loop {
                let source = Source::assume_stream(socket::unix_stream()?);
                match source.connect_unix(&address).await {
                    Ok(()) => return Ok(source),
                    // The backlog is full. There is nothing to wait for: the kernel tells nobody when it is not.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        drop(source);
                        sleep(pause).await;
                        pause = (pause * 2).min(Duration::from_millis(50));
                    }
                    Err(error) => return Err(cannot_connect(&name, &error)),
                }
            }
        };
        let mut time = self.time();
        let source = match within(&mut time, pin!(connecting)).await {
            Some(connected) => connected?,
            None => {
                let text = format_args!("cannot connect to {name}: no answer");
                return Err(self.too_late(text));
            }
        };
        self.streams(&mut time, source, None, None, &name).await
    }
}

/// What only Unix sockets can be asked.
impl SocketRef<'_> {
    /// The path the peer is bound to, or its abstract name behind a NUL byte; `None` for one without a name, as clients usually
    /// are, and for an IP socket.
    ///
    /// # Errors
    /// `NotConnected` when the connection is gone.
    pub fn unix_peer(&self) -> io::Result<Option<PathBuf>> {
        let peer = rustix::net::getpeername(self)?;
        let peer = peer.and_then(|peer| SocketAddrUnix::try_from(peer).ok());
        Ok(peer.as_ref().and_then(UnixName::of).map(|name| name.0))
    }

    /// Who connected a Unix socket, as the kernel knows it and nobody can forge it (`SO_PEERCRED`). Linux only.
    ///
    /// # Errors
    /// `InvalidInput` for other sockets.
    ///
    /// ```
    /// # use asyncio_net::ConnectOptions;
    /// # asyncio_runtime::run(async {
    /// let (one, other) = std::os::unix::net::UnixStream::pair()?;
    /// let (_reader, writer) = ConnectOptions::new().adopt(one).await?;
    /// let peer = writer.socket().unwrap().peer_cred()?;
    /// assert_eq!(peer.pid, Some(std::process::id()));
    /// # std::io::Result::Ok(()) })?;
    /// # std::io::Result::Ok(())
    /// ```
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn peer_cred(&self) -> io::Result<PeerCred> {
        PeerCred::of_peer(self)
    }
}

fn cannot_connect(name: &UnixName, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::NotFound => "; has the server been started?",
        io::ErrorKind::ConnectionRefused => "; nobody listens there: has the server ended?",
        io::ErrorKind::PermissionDenied => {
            "; it takes the right to write to the socket, and to search the directories above it"
        }
        _ if error.raw_os_error() == Some(Errno::PROTOTYPE.raw_os_error()) => {
            "; what listens there is no stream socket"
        }
        _ => "",
    };
    let text = format!("cannot connect to {name}: {error}{advice}");
    io::Error::new(error.kind(), text)
}

/// A path, or an abstract name, that a Unix socket may have.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UnixName(PathBuf);

impl UnixName {
    pub(crate) fn new(path: &Path) -> io::Result<UnixName> {
        let refuse = |why: &str| {
            let text = format!(
                "{:?} cannot be the path of a Unix socket: {why}",
                Shown(path)
            );
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        };
        let bytes = path.as_os_str().as_bytes();
        match bytes {
            [] => return refuse("it is empty"),
            [0, name @ ..] => {
                if !cfg!(any(target_os = "linux", target_os = "android")) {
                    return refuse(
                        "abstract names, which begin with a NUL byte, exist on Linux only",
                    );
                }
                if name.is_empty() {
                    return refuse("the abstract name behind the NUL byte is empty");
                }
                if name.len() > LONGEST {
                    return refuse(&format!(
                        "an abstract name may have {LONGEST} bytes, it has {}",
                        name.len()
                    ));
                }
            }
            _ if bytes.contains(&0) => return refuse("it has a NUL byte in it"),
            _ if bytes.len() > LONGEST => {
                return refuse(&format!(
                    "it has {} bytes, and may have {LONGEST}: choose a shorter one, or one relative to the current directory",
                    bytes.len()
                ));
            }
            _ => {}
        }
        Ok(UnixName(path.to_owned()))
    }

    /// The name of a socket, if it has one.
    pub(crate) fn of(address: &SocketAddrUnix) -> Option<UnixName> {
        if let Some(path) = address.path() {
            return Some(UnixName(OsStr::from_bytes(path.to_bytes()).into()));
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = address.abstract_name() {
            return Some(UnixName(OsStr::from_bytes(&[b"\0", name].concat()).into()));
        }
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn is_abstract(&self) -> bool {
        self.0.as_os_str().as_bytes().first() == Some(&0)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn std_address(&self) -> io::Result<UnixSocketAddr> {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        match self.0.as_os_str().as_bytes() {
            [0, name @ ..] => UnixSocketAddr::from_abstract_name(name),
            _ => UnixSocketAddr::from_pathname(&self.0),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn std_address(&self) -> io::Result<UnixSocketAddr> {
        UnixSocketAddr::from_pathname(&self.0)
    }

    fn rustix_address(&self) -> io::Result<SocketAddrUnix> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let [0, name @ ..] = self.0.as_os_str().as_bytes() {
            return Ok(SocketAddrUnix::new_abstract_name(name)?);
        }
        Ok(SocketAddrUnix::new(&self.0)?)
    }
}

/// An abstract name as `ss` and `lsof` write it, with `@` for the NUL byte.
impl fmt::Display for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Shown(&self.0))
    }
}

impl fmt::Debug for UnixName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Shown<'a>(&'a Path);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_os_str().as_bytes() {
            [0, name @ ..] => write!(f, "\"@{}\"", name.escape_ascii()),
            _ => fmt::Debug::fmt(self.0, f),
        }
    }
}

/// A socket that is bound to a name, and does not listen yet; and its file.
pub(crate) fn listener(
    name: &UnixName,
    mode: Option<u32>,
) -> io::Result<(OwnedFd, Option<SocketFile>)> {
    let bound = || {
        let address = name.rustix_address()?;
        if name.is_abstract() {
            let socket = socket::unix_stream()?;
            rustix::net::bind(&socket, &address)?;
            return Ok((socket, None));
        }
        remove_if_stale(name, &address)?;
        let socket = socket::unix_stream()?;
        rustix::net::bind(&socket, &address)?;
        let file = SocketFile::at(name.path())?;
        if let Some(mode) = mode {
            // Nobody can have connected: it does not listen yet.
            fs::set_permissions(name.path(), fs::Permissions::from_mode(mode))?;
        }
        Ok((socket, Some(file)))
    };
    bound().map_err(|error: io::Error| cannot_listen(name, &error))
}

pub(crate) fn cannot_listen(name: &UnixName, error: &io::Error) -> io::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse if name.is_abstract() => {
            "; another server has this name: stop it, or choose another"
        }
        io::ErrorKind::NotFound => "; the directory must exist",
        io::ErrorKind::PermissionDenied => "; it takes the right to write to the directory",
        _ => "",
    };
    let text = format!("cannot listen on {name}: {error}{advice}");
    io::Error::new(error.kind(), text)
}

/// Removes the file of a server that is gone (S224).
fn remove_if_stale(name: &UnixName, address: &SocketAddrUnix) -> io::Result<()> {
    let in_use = |text| Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    match fs::symlink_metadata(name.path()) {
        Err(_) => return Ok(()), // `bind` will say what is wrong, if anything is
        Ok(found) if found.file_type().is_socket() => {}
        Ok(_) => {
            return in_use(
                "there is something that is not a socket: remove it, or choose another path",
            );
        }
    }
    // A datagram socket finds out whether anybody is behind the file without disturbing him: a stream socket is of the
    // wrong type for it.
    let question = socket::unix_datagram()?;
    match rustix::net::connect(&question, address) {
        Err(Errno::CONNREFUSED) => match fs::remove_file(name.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        Err(Errno::NOENT) => Ok(()),
        Ok(()) | Err(Errno::PROTOTYPE) => in_use(
            "another program, or another server of this one, listens there: stop it, or choose another path",
        ),
        Err(error) => Err(error.into()),
    }
}

/// The file of a listening socket. Dropping it removes the file if it is still the same (S224).
///
/// It must be dropped before the socket: as long as that is open nobody else's file can have the same number.
#[derive(Debug)]
pub(crate) struct SocketFile {
    /// Absolute: the current directory may change.
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// The file that has just been made, or that is found to be there.
    pub(crate) fn at(path: &Path) -> io::Result<SocketFile> {
        let path = std::path::absolute(path)?;
        let identity = Some(identity(&path)?);
        Ok(SocketFile { path, identity })
    }

    /// Leaves the file where it is.
    pub(crate) fn keep(mut self) {
        self.identity = None;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path).ok() == self.identity {
            // Where that is not allowed the file stays; the next server finds that it is stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let file = fs::symlink_metadata(path)?;
    Ok((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_are_refused_with_the_reason() {
        let long = "x".repeat(LONGEST + 1);
        for (path, why) in [
            ("", "it is empty"),
            ("a\0b", "a NUL byte in it"),
            (&*long, "choose a shorter one"),
        ] {
            let error = UnixName::new(Path::new(path)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(UnixName::new(Path::new(&long[1..])).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn abstract_names_are_shown_with_an_at_sign() {
        let name = UnixName::new(Path::new("\0control")).unwrap();
        assert!(name.is_abstract());
        assert_eq!(name.to_string(), "\"@control\"");
        assert!(UnixName::new(Path::new("\0")).is_err());
        let long = format!("\0{}", "x".repeat(LONGEST + 1));
        assert!(UnixName::new(Path::new(&long)).is_err());
        assert!(UnixName::new(Path::new(&long[..=LONGEST])).is_ok());
    }
}
