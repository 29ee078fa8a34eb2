//! The account: which rules the tests of this folder name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Rules that need no test, each with the reason.
const KEPT_BY_TYPES: [(u32, &str); 1] = [(
    144,
    "a loop-local lock cannot reach a second loop: `guard::Local` has the `compile_fail` examples",
)];

#[test]
fn every_rule_from_s139_to_s174_is_tested_or_kept_by_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/both");
    let mut covered = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        covered.extend(source.lines().flat_map(rules_named_by));
    }
    let missing: Vec<u32> = (139..=174)
        .filter(|rule| !covered.contains(rule) && !KEPT_BY_TYPES.iter().any(|(n, _)| n == rule))
        .collect();
    assert!(missing.is_empty(), "rules without a test: {missing:?}");
}

/// `// S139, S140: why` or `// S139` names rules; anything else does not.
fn rules_named_by(line: &str) -> Vec<u32> {
    let Some(comment) = line.trim_start().strip_prefix("// S") else {
        return Vec::new();
    };
    let list = comment.split([':', '.']).next().unwrap_or_default();
    list.split(", ")
        .map_while(|word| word.trim_start_matches('S').trim_end().parse().ok())
        .collect()
}
