//! Starting and ending the programs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

/// Whether the programs are there; says so if one is not.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs
        .iter()
        .filter(|name| find(name).is_none())
        .collect();
    for name in &missing {
        println!("skipped: `{name}` is not installed");
    }
    missing.is_empty()
}

/// Where a program is, on the path or in the places where some systems hide servers.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(program));
    on_path.chain(hidden(program)).find(|file| file.is_file())
}

/// Debian keeps each version of PostgreSQL in a folder of its own.
fn hidden(program: &str) -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    versions
        .map(|version| version.path().join("bin").join(program))
        .collect()
}

/// Runs a program to its end, in a thread of its own since it talks to this one, and gives its output.
pub(crate) async fn output(mut command: Command) -> std::process::Output {
    asyncio::to_thread(move || command.stdin(Stdio::null()).output().unwrap()).await
}

/// A program that runs until this is dropped.
pub(crate) struct Program(pub(crate) Child);

impl Program {
    pub(crate) fn start(command: &mut Command) -> Program {
        Program(command.spawn().unwrap())
    }

    pub(crate) fn stdout(&mut self) -> BufReader<ChildStdout> {
        BufReader::new(self.0.stdout.take().unwrap())
    }

    pub(crate) fn stderr(&mut self) -> BufReader<ChildStderr> {
        BufReader::new(self.0.stderr.take().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads up to the line that says `what`; `false` if the program ends without saying so. Whatever comes later must be read
/// by somebody if it is much.
pub(crate) fn says(lines: &mut impl BufRead, what: &str) -> bool {
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        if line.contains(what) {
            return true;
        }
        line.clear();
    }
    false
}

/// A port that was free a moment ago, for programs that cannot choose one. Somebody else may take it meanwhile, so whoever
/// uses it tries again with another.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// How often a program may fail to listen on a [`free_port`].
pub(crate) const TRIES: u32 = 5;

/// A folder that is removed when this is dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("asyncio-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
