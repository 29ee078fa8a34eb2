use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{fetch_everything, files};

#[test]
fn runs() {
    asyncio::run(fetch_everything()).unwrap();
}

#[test]
fn a_url_leads_back_to_its_file_and_never_out_of_the_root() {
    let odd = Path::new("a b/ü%/c.txt");
    assert_eq!(
        files::from_url_path(&files::url_path(odd)).as_deref(),
        Some(odd)
    );
    for outside in [
        "/../secret",
        "/a/%2e%2e/b",
        "//etc/passwd",
        "no-slash",
        "/%zz",
        "/%2",
    ] {
        assert_eq!(files::from_url_path(outside), None, "{outside}");
    }
}

/// A real peer: curl against `quickstart --serve`, which Ctrl-C then ends with the signal's status.
#[test]
fn curl_gets_the_same_bytes_and_ctrl_c_ends_it_with_the_signals_status() {
    use std::os::unix::process::ExitStatusExt;

    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: curl is not installed");
        return;
    }
    let Some(program) = example_program() else {
        println!("skipped: the example itself is not built beside its tests");
        return;
    };
    let mut server = Command::new(program)
        .args(["--serve", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let start = line.find("http://").unwrap();
    let base = line[start..].split("/;").next().unwrap();

    let fetched = Command::new("curl")
        .args(["--silent", "--fail", &format!("{base}/Cargo.toml")])
        .output()
        .unwrap();
    let missing = Command::new("curl")
        .args([
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            &format!("{base}/no/such/file"),
        ])
        .output()
        .unwrap();
    let interrupted = Command::new("sh")
        .args(["-c", &format!("kill -INT {}", server.id())])
        .status()
        .unwrap();
    let status = server.wait().unwrap();

    assert!(fetched.status.success());
    assert_eq!(
        fetched.stdout,
        std::fs::read(files::root().join("Cargo.toml")).unwrap()
    );
    assert_eq!(missing.stdout, b"404");
    assert!(interrupted.success());
    assert_eq!(status.signal(), Some(2), "{status}");
}

/// `cargo test` builds the example, too: `deps/quickstart-HASH` is this test, `examples/quickstart` the program.
fn example_program() -> Option<std::path::PathBuf> {
    let this = std::env::current_exe().ok()?;
    let folder = this.parent()?;
    [
        folder.join("quickstart"),
        folder.join("../examples/quickstart"),
    ]
    .into_iter()
    .find(|program| program.is_file())
}
