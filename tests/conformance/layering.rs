//! Who may use whom: the arrows of docs/architecture.md, read from the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// What each crate may use of ours. A crate that is not here must be given its place first.
const ARROWS: &[(&str, &[&str])] = &[
    ("asyncio-executor", &[]),
    ("asyncio-timers", &[]),
    ("asyncio-reactor", &[]),
    ("asyncio-sync", &[]),
    ("asyncio-blocking", &[]),
    ("asyncio-macros", &[]),
    ("asyncio-signal", &["asyncio-reactor"]),
    ("asyncio-inspect", &["asyncio-executor"]),
    (
        "asyncio-runtime",
        &[
            "asyncio-inspect",
            "asyncio-executor",
            "asyncio-timers",
            "asyncio-reactor",
            "asyncio-signal",
            "asyncio-blocking",
        ],
    ),
    (
        "asyncio-tasks",
        &[
            "asyncio-executor",
            "asyncio-sync",
            "asyncio-timers",
            "asyncio-blocking",
        ],
    ),
    (
        "asyncio-net",
        &[
            "asyncio-reactor",
            "asyncio-executor",
            "asyncio-timers",
            "asyncio-sync",
            "asyncio-blocking",
        ],
    ),
    (
        "asyncio-process",
        &[
            "asyncio-reactor",
            "asyncio-executor",
            "asyncio-timers",
            "asyncio-sync",
            "asyncio-signal",
            "asyncio-net",
        ],
    ),
    (
        "asyncio",
        &[
            "asyncio-executor",
            "asyncio-timers",
            "asyncio-reactor",
            "asyncio-sync",
            "asyncio-blocking",
            "asyncio-macros",
            "asyncio-inspect",
            "asyncio-runtime",
            "asyncio-tasks",
            "asyncio-signal",
            "asyncio-net",
            "asyncio-process",
        ],
    ),
];

/// Foreign foundations, and the crates that may name them.
const FOUNDATIONS: &[(&str, &[&str])] = &[
    ("polling", &["asyncio-reactor"]),
    ("concurrent-queue", &["asyncio-executor"]),
    ("async-task", &["asyncio-executor", "asyncio-blocking"]),
    (
        "rustix",
        &[
            "asyncio-timers",
            "asyncio-reactor",
            "asyncio-net",
            "asyncio-inspect",
            "asyncio-runtime",
            "asyncio-signal",
            "asyncio-process",
        ],
    ),
    (
        "libc",
        &["asyncio-reactor", "asyncio-net", "asyncio-signal"],
    ),
    ("rustls", &["asyncio-net"]),
];

/// Crates whose job needs unsafe code.
const MAY_BE_UNSAFE: [&str; 2] = ["asyncio-executor", "asyncio-reactor"];

/// Crates that need it in one file, and deny it everywhere else; docs/architecture.md says why.
const UNSAFE_IN_ONE_FILE: [(&str, &str); 2] = [
    ("asyncio-signal", "action.rs"),
    ("asyncio-process", "pre_exec.rs"),
];

pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

pub(crate) fn read_toml(path: &Path) -> Table {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The crates of the workspace, by the name of their folder, which is also theirs.
pub(crate) fn crates() -> BTreeMap<String, Table> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(workspace().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        let manifest = read_toml(&folder.join("Cargo.toml"));
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            manifest["package"]["name"].as_str(),
            Some(name.as_str()),
            "a crate has the name of its folder"
        );
        found.insert(name, manifest);
    }
    found
}

/// The names in every table called one of `kinds`, those of `[target.….dependencies]` included. A renamed dependency
/// counts under its real name.
fn dependencies(manifest: &Table, kinds: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let targets = manifest.get("target").and_then(Value::as_table);
    let tables = targets.into_iter().flat_map(Table::values);
    for table in tables.filter_map(Value::as_table).chain([manifest]) {
        for kind in kinds {
            let Some(entries) = table.get(*kind).and_then(Value::as_table) else {
                continue;
            };
            for (key, value) in entries {
                let renamed = value.get("package").and_then(Value::as_str);
                found.insert(renamed.unwrap_or(key).to_owned());
            }
        }
    }
    found
}

const SHIPPED: [&str; 2] = ["dependencies", "build-dependencies"];

#[test]
fn no_crate_uses_another_against_the_arrows() {
    let crates = crates();
    for (name, manifest) in &crates {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| known == name) else {
            panic!(
                "`{name}` has no place in the layers: give it one in `ARROWS` and in docs/architecture.md"
            )
        };
        for used in dependencies(manifest, &SHIPPED) {
            assert!(
                !crates.contains_key(&used) || allowed.contains(&used.as_str()),
                "`{name}` must not use `{used}`; it may use {allowed:?}"
            );
        }
    }
}

#[test]
fn nothing_below_uses_the_facade_not_even_in_tests() {
    for (name, manifest) in crates() {
        let all = dependencies(
            &manifest,
            &["dependencies", "build-dependencies", "dev-dependencies"],
        );
        assert!(
            !all.contains("asyncio"),
            "`{name}` uses the facade: only examples, tests and bench may"
        );
    }
}

#[test]
fn each_foreign_foundation_is_named_where_it_belongs_and_nowhere_else() {
    for (name, manifest) in crates() {
        let used = dependencies(&manifest, &SHIPPED);
        for (foundation, owners) in FOUNDATIONS {
            assert!(
                !used.contains(*foundation) || owners.contains(&name.as_str()),
                "`{name}` names `{foundation}`, which belongs to {owners:?}"
            );
        }
    }
}

/// Crates that show in their documentation that they run under tokio, too.
const SHOWN_UNDER_TOKIO: &[&str] = &["asyncio-sync"];

/// Ours that have tokio's traits for reading and writing behind a feature.
const SPEAKS_TOKIO: &[&str] = &["asyncio-net"];

/// Of others, behind features of ours: they use channels and traits of tokio's, which need no runtime.
const BUILT_ON_TOKIO: &[&str] = &["hyper", "h2", "tokio-util"];

/// The tests of this workspace talk to PostgreSQL through it.
const TESTED_WITH_TOKIO: &[&str] = &["conformance", "tokio-postgres"];

/// What of tokio may be switched on in what we ship; its runtime, network and timers are not among it, nor anything that
/// would switch them on.
const HARMLESS: &[&str] = &["bytes", "default", "io-util", "sync"];

#[test]
fn tokio_is_named_by_few_and_of_ours_only_behind_a_feature() {
    let lock = read_toml(&workspace().join("Cargo.lock"));
    let known = [
        SHOWN_UNDER_TOKIO,
        SPEAKS_TOKIO,
        BUILT_ON_TOKIO,
        TESTED_WITH_TOKIO,
    ]
    .concat();
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let dependencies = package.get("dependencies").and_then(|list| list.as_array());
        for dependency in dependencies.into_iter().flatten() {
            let dependency = dependency.as_str().unwrap().split(' ').next().unwrap();
            assert!(
                !dependency.starts_with("tokio") || known.contains(&name),
                "`{name}` depends on `{dependency}`; `cargo tree -i tokio` says how it got there"
            );
        }
    }
    for (name, manifest) in crates() {
        let shipped = dependencies(&manifest, &SHIPPED).contains("tokio");
        assert!(
            !shipped || SPEAKS_TOKIO.contains(&&*name),
            "tokio is a dev-dependency of `{name}` at most"
        );
        if shipped {
            let tokio = &manifest["dependencies"]["tokio"];
            assert_eq!(tokio.get("optional").and_then(Value::as_bool), Some(true));
            assert_eq!(tokio.get("features"), None, "of `{name}`: traits need none");
        }
    }
    let shared = &read_toml(&workspace().join("Cargo.toml"))["workspace"]["dependencies"]["tokio"];
    let by_default = shared.get("default-features").and_then(Value::as_bool);
    assert_eq!((by_default, shared.get("features")), (Some(false), None));
}

#[test]
fn no_feature_of_ours_switches_on_a_runtime_of_tokio() {
    for name in crates().keys() {
        let tree = std::process::Command::new(env!("CARGO"))
            .current_dir(workspace())
            .args([
                "tree",
                "--offline",
                "--locked",
                "--all-features",
                "--package",
                name,
            ])
            .args([
                "--edges",
                "normal,build",
                "--prefix",
                "none",
                "--format",
                "{p}|{f}",
            ])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&tree.stderr);
        assert!(tree.status.success(), "cargo tree for `{name}`: {errors}");
        for line in String::from_utf8(tree.stdout).unwrap().lines() {
            let Some((package, features)) = line.split_once('|') else {
                continue;
            };
            if !package.starts_with("tokio ") {
                continue;
            }
            let features = features.trim_end_matches(" (*)");
            for feature in features.split(',').filter(|feature| !feature.is_empty()) {
                assert!(
                    HARMLESS.contains(&feature),
                    "`{name}` switches on `{feature}` of tokio; `cargo tree -e features -i tokio` says how"
                );
            }
        }
    }
}

#[test]
fn every_crate_but_two_forbids_unsafe_code_or_has_it_in_one_named_file() {
    for name in crates().into_keys() {
        let source = fs::read_to_string(source_folder(&name).join("lib.rs")).unwrap();
        let opens_with = |attribute: &str| source.lines().any(|line| line.trim() == attribute);
        if let Some((_, file)) = UNSAFE_IN_ONE_FILE.iter().find(|(known, _)| *known == name) {
            assert!(
                opens_with("#![deny(unsafe_code)]"),
                "`{name}` must open with `#![deny(unsafe_code)]`"
            );
            for path in rust_files(&source_folder(&name)) {
                let allows = fs::read_to_string(&path)
                    .unwrap()
                    .contains("allow(unsafe_code)");
                assert!(
                    !allows || path.file_name().unwrap() == *file,
                    "{}: unsafe code of `{name}` belongs into {file}",
                    path.display()
                );
            }
            continue;
        }
        assert!(
            opens_with("#![forbid(unsafe_code)]") || MAY_BE_UNSAFE.contains(&name.as_str()),
            "`{name}` must open with `#![forbid(unsafe_code)]`"
        );
    }
}

pub(crate) fn source_folder(name: &str) -> PathBuf {
    workspace().join("crates").join(name).join("src")
}

/// Every Rust file below a folder.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn the_facade_only_re_exports() {
    const DEFINITIONS: [&str; 11] = [
        "struct ",
        "enum ",
        "union ",
        "trait ",
        "type ",
        "fn ",
        "impl ",
        "impl<",
        "static ",
        "const ",
        "macro_rules!",
    ];
    for path in rust_files(&source_folder("asyncio")) {
        let source = fs::read_to_string(&path).unwrap();
        for (at, line) in source.lines().enumerate() {
            let code = line.trim_start();
            let code = code
                .strip_prefix("pub(crate) ")
                .or(code.strip_prefix("pub "))
                .unwrap_or(code);
            let code = code.strip_prefix("async ").unwrap_or(code);
            assert!(
                !DEFINITIONS.iter().any(|word| code.starts_with(word)),
                "{}:{}: the facade defines nothing: {line}",
                path.display(),
                at + 1
            );
        }
    }
}
