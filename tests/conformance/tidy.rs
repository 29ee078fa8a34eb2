//! Small promises of the tree itself.

use std::fs;

use crate::harness::say;
use crate::layering::{crates, read_toml, rust_files, source_folder, workspace};

/// The longest file of code that one sitting can take in.
const LONGEST_FILE: usize = 900;

#[test]
fn each_crate_opens_with_the_sentence_of_its_manifest() {
    for (name, manifest) in crates() {
        let description = manifest["package"]["description"].as_str().unwrap();
        assert!(
            description.ends_with('.'),
            "`{name}`: a sentence ends with a full stop"
        );
        let source = fs::read_to_string(source_folder(&name).join("lib.rs")).unwrap();
        let opening: Vec<&str> = source
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(str::trim)
            .take_while(|line| !line.is_empty())
            .collect();
        let opening = opening.join(" ");
        let rest = opening.strip_prefix(description);
        assert!(
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')),
            "`{name}`: lib.rs opens with {opening:?}, Cargo.toml says {description:?}"
        );
    }
}

/// Says why a check was not made.
fn skip(check: &str, reason: &str) {
    say(&format!("skipped: {check}: {reason}"));
}

#[test]
fn the_readme_has_every_crate_in_its_table() {
    let Ok(readme) = fs::read_to_string(workspace().join("README.md")) else {
        return skip("crates in the README", "there is no README.md");
    };
    let rows: Vec<&str> = readme
        .lines()
        .filter(|line| line.starts_with('|') && line.contains("`asyncio"))
        .collect();
    if rows.is_empty() {
        return skip("crates in the README", "README.md has no table of crates");
    }
    for name in crates().into_keys() {
        assert!(
            rows.iter().any(|row| names(row, &name)),
            "`{name}` is not in the table of README.md"
        );
    }
}

/// Whether a row names a crate, as code or as a link, and not one whose name only begins so.
fn names(row: &str, name: &str) -> bool {
    row.contains(&format!("`{name}`")) || row.contains(&format!("[{name}]"))
}

#[test]
fn the_changelog_knows_the_version() {
    let manifest = read_toml(&workspace().join("Cargo.toml"));
    let version = manifest["workspace"]["package"]["version"]
        .as_str()
        .unwrap();
    match fs::read_to_string(workspace().join("CHANGELOG.md")) {
        Ok(changelog) => assert!(
            changelog.contains(version),
            "CHANGELOG.md does not mention {version}"
        ),
        Err(_) => skip("version in the changelog", "there is no CHANGELOG.md"),
    }
}

#[test]
fn no_file_is_too_long_for_one_sitting() {
    for name in crates().into_keys() {
        for path in rust_files(&source_folder(&name)) {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            assert!(
                lines <= LONGEST_FILE,
                "{} has {lines} lines: it is more than one thought",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_is_left_to_be_done() {
    // In pieces, so that this file does not find itself.
    let placeholders = [["todo", "!("].concat(), ["unimplemented", "!("].concat()];
    for path in rust_files(&workspace().join("crates")) {
        let source = fs::read_to_string(&path).unwrap();
        for (at, line) in source.lines().enumerate() {
            let is_comment = line.trim_start().starts_with("//");
            assert!(
                is_comment || !placeholders.iter().any(|word| line.contains(word)),
                "{}:{}: {line}",
                path.display(),
                at + 1
            );
        }
    }
}
