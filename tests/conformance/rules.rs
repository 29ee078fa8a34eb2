//! The account: which rules the tests of this folder name.

use std::collections::BTreeSet;
use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use crate::harness::say;

/// The rules that this account covers.
const RANGES: [RangeInclusive<u32>; 4] = [1..=61, 62..=138, 182..=193, 233..=250];

/// Rules that have no counterpart in Rust, each with the reason. Everything else is named by a test.
const INEXPRESSIBLE: [(u32, &str); 3] = [
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
];

/// Rules that wait for names which are not there yet. A test that names one makes its entry here wrong.
const OPEN: [(u32, &str); 3] = [
    (248, "the await graph is not kept yet"),
    (
        249,
        "`capture_call_graph` and `format_call_graph` are not there yet",
    ),
    (250, "`ps` and `pstree` are not there yet"),
];

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

#[test]
fn every_rule_is_tested_or_cannot_exist_in_rust_or_is_listed_as_open() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let mut covered = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        covered.extend(source.lines().flat_map(rules_named_by));
    }
    let excused = |rule: &u32| INEXPRESSIBLE.iter().chain(&OPEN).any(|(n, _)| n == rule);
    let missing: Vec<u32> = RANGES
        .into_iter()
        .flatten()
        .filter(|rule| !covered.contains(rule) && !excused(rule))
        .collect();
    assert!(missing.is_empty(), "rules without a test: {missing:?}");
    for (rule, reason) in INEXPRESSIBLE.iter().chain(&OPEN) {
        assert!(
            !covered.contains(rule),
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
    say(&format!(
        "{all} rules tested, {} inexpressible in Rust, {} open; {} others touched",
        INEXPRESSIBLE.len(),
        OPEN.len(),
        further.count()
    ));
    for (rule, reason) in OPEN {
        say(&format!("open: S{rule}: {reason}"));
    }
}

#[test]
fn a_marker_names_one_rule_or_several() {
    assert_eq!(rules_named_by("    // S5"), [5]);
    assert_eq!(rules_named_by("// S13, S2: in that order"), [13, 2]);
    assert!(rules_named_by("// So it goes").is_empty());
    assert!(rules_named_by("let s = 1; // S5").is_empty());
}
