//! The account: which rules the tests of this folder name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::harness::say;

/// Rules that have no counterpart in Rust, each with the reason. Everything else is named by a test.
const INEXPRESSIBLE: [(u32, &str); 2] = [
    (
        7,
        "there are no interrupt-class exceptions: a panic in a callback stays there (S6), `std::process::exit` asks no \
         loop, and Ctrl-C cancels the main task (S181)",
    ),
    (
        38,
        "as S7: a panic that leaves a task is its outcome (S37), whatever its payload",
    ),
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
fn every_rule_from_s1_to_s61_is_tested_or_cannot_exist_in_rust() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance");
    let mut covered = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        covered.extend(source.lines().flat_map(rules_named_by));
    }
    let missing: Vec<u32> = (1..=61)
        .filter(|rule| !covered.contains(rule) && !INEXPRESSIBLE.iter().any(|(n, _)| n == rule))
        .collect();
    assert!(missing.is_empty(), "rules without a test: {missing:?}");
    for (rule, reason) in INEXPRESSIBLE {
        assert!(
            !covered.contains(&rule),
            "S{rule} has a test, so it can exist: {reason}"
        );
    }
    let tested = covered.range(1..=61).count();
    let further = covered.range(62..).count();
    say(&format!(
        "rules S1 to S61: {tested} tested, {} inexpressible in Rust; {further} later rules touched",
        INEXPRESSIBLE.len()
    ));
}

#[test]
fn a_marker_names_one_rule_or_several() {
    assert_eq!(rules_named_by("    // S5"), [5]);
    assert_eq!(rules_named_by("// S13, S2: in that order"), [13, 2]);
    assert!(rules_named_by("// So it goes").is_empty());
    assert!(rules_named_by("let s = 1; // S5").is_empty());
}
