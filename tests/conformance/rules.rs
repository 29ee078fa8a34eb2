//! The account: which rules the tests of this folder, and of the crates that stand on sockets, signals and processes,
//! name.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use crate::harness::say;
use crate::layering::{rust_files, workspace};

/// The rules that this account covers.
const RANGES: [RangeInclusive<u32>; 5] = [1..=61, 62..=138, 182..=193, 194..=232, 233..=250];

/// The crates whose own tests count, too.
const CRATES: [&str; 5] = [
    "asyncio-inspect",
    "asyncio-net",
    "asyncio-process",
    "asyncio-runtime",
    "asyncio-signal",
];

/// Rules that have no counterpart in Rust, each with the reason. Everything else is named by a test.
const INEXPRESSIBLE: [(u32, &str); 4] = [
    (
        7,
        "there are no interrupt-class exceptions: a panic in a callback stays there (S6), `std::process::exit` asks no \
         loop, and Ctrl-C cancels the main task (S181)",
    ),
    (
        38,
        "as S7: a panic that leaves a task is its outcome (S37), whatever its payload",
    ),
    (
        131,
        "as S7: a child's panic is a failure like another (S138), the body's unwinds through the group (S123)",
    ),
    (
        211,
        "reads take `&mut self`: two tasks cannot read one stream at once, the compiler sees to it",
    ),
];

/// Rules that have no test yet. One that has got one is told of, to be taken off.
const OPEN: &[u32] = &[];

/// `// S1, S5: why` or `// S1` names rules; anything else does not.
fn rules_named_by(line: &str) -> Vec<u32> {
    let Some(comment) = line.trim_start().strip_prefix("// S") else {
        return Vec::new();
    };
    let list = comment.split(':').next().unwrap_or_default();
    list.split(", S")
        .map_while(|number| number.trim_end().parse().ok())
        .collect()
}

/// The files whose markers count.
fn test_files() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let tests_of = |name| workspace().join("crates").join(name).join("tests");
    let folders = CRATES.into_iter().map(tests_of);
    let existing = folders.filter(|folder| folder.is_dir());
    existing
        .chain([here])
        .flat_map(|folder| rust_files(&folder))
        .collect()
}

#[test]
fn every_rule_is_tested_or_cannot_exist_in_rust_or_is_listed_as_open() {
    let mut covered = BTreeSet::new();
    for path in test_files() {
        let source = fs::read_to_string(path).unwrap();
        covered.extend(source.lines().flat_map(rules_named_by));
    }
    let excused =
        |rule: &u32| OPEN.contains(rule) || INEXPRESSIBLE.iter().any(|(known, _)| known == rule);
    let missing: Vec<u32> = RANGES
        .into_iter()
        .flatten()
        .filter(|rule| !covered.contains(rule) && !excused(rule))
        .collect();
    assert!(missing.is_empty(), "rules without a test: {missing:?}");
    for (rule, reason) in INEXPRESSIBLE {
        assert!(
            !covered.contains(&rule),
            "S{rule} has a test, so take it off the list that says: {reason}"
        );
    }
    let mut all = 0;
    for range in RANGES {
        let tested = range.clone().filter(|rule| covered.contains(rule)).count();
        all += tested;
        let (first, last, count) = (*range.start(), *range.end(), range.count());
        say(&format!(
            "rules S{first} to S{last}: {tested} tested of {count}"
        ));
    }
    let further = covered
        .iter()
        .filter(|rule| !RANGES.iter().any(|range| range.contains(rule)));
    let (done, open): (Vec<u32>, Vec<u32>) = OPEN.iter().partition(|rule| covered.contains(rule));
    say(&format!(
        "{all} rules tested, {} inexpressible in Rust, {} open; {} others touched",
        INEXPRESSIBLE.len(),
        open.len(),
        further.count()
    ));
    for (rules, what) in [
        (open, "open"),
        (done, "no longer open, to be taken off the list"),
    ] {
        if !rules.is_empty() {
            let rules: Vec<String> = rules.iter().map(|rule| format!("S{rule}")).collect();
            say(&format!("{what}: {}", rules.join(", ")));
        }
    }
}

#[test]
fn a_marker_names_one_rule_or_several() {
    assert_eq!(rules_named_by("    // S5"), [5]);
    assert_eq!(rules_named_by("// S13, S2: in that order"), [13, 2]);
    assert!(rules_named_by("// So it goes").is_empty());
    assert!(rules_named_by("let s = 1; // S5").is_empty());
}
