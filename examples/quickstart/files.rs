//! The checkout's files: which there are, and what they are called in a URL.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The checkout this example was built in, or the current directory where that is gone.
pub(crate) fn root() -> PathBuf {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    match built_in.canonicalize() {
        Ok(root) => root,
        Err(_) => PathBuf::from("."),
    }
}

/// Every regular file below `root`, relative to it, without what is built and what is hidden.
pub(crate) fn list(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name();
            if name == "target" || name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = folder.join(name);
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The path part of a URL, percent-encoded (RFC 3986, section 2.3 says what need not be).
pub(crate) fn url_path(path: &Path) -> String {
    let mut url = String::new();
    for component in path.components() {
        url.push('/');
        for byte in component.as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    url.push(char::from(*byte))
                }
                other => url.push_str(&format!("%{other:02X}")),
            }
        }
    }
    url
}

/// The relative path behind the path part of a URL; `None` for one that is malformed or leads out of the root.
pub(crate) fn from_url_path(url: &str) -> Option<PathBuf> {
    let url = url.split(['?', '#']).next()?.strip_prefix('/')?;
    let mut bytes = Vec::with_capacity(url.len());
    let mut rest = url.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    let path = PathBuf::from(String::from_utf8(bytes).ok()?);
    path.components()
        .all(|component| matches!(component, Component::Normal(_)))
        .then_some(path)
}
