//! Where a process can be asked: a socket in a folder that only its user may enter.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use rustix::process::geteuid;

/// The folder, made if it is not there; an error if it is not this user's alone.
fn folder() -> io::Result<PathBuf> {
    let user = geteuid().as_raw();
    let folder = std::env::temp_dir().join(format!("asyncio-inspect-{user}"));
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(&folder)?;
    if found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0 {
        return Ok(folder);
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "{} must be a folder of yours that nobody else may enter",
            folder.display()
        ),
    ))
}

fn path(pid: u32) -> io::Result<PathBuf> {
    Ok(folder()?.join(format!("{pid}.sock")))
}

pub(crate) fn listen(pid: u32) -> io::Result<UnixListener> {
    let path = path(pid)?;
    // Left behind by an earlier process of this number.
    let _ = fs::remove_file(&path);
    UnixListener::bind(path)
}

pub(crate) fn connect(pid: u32) -> io::Result<UnixStream> {
    UnixStream::connect(path(pid)?)
}

/// Who could enter the folder may look.
pub(crate) fn may_look(_stream: &UnixStream) -> bool {
    true
}

/// Who could enter the folder may answer.
pub(crate) fn is_answered_by(_stream: &UnixStream, _pid: u32) -> bool {
    true
}
