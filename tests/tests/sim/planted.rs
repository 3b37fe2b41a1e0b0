//! The planted bugs can be planted: a patch that no longer applies would catch nothing. (`make prove` builds
//! and runs each.)
use payterm_tests::{
    extend,
    planted::{self, By},
};
use std::{collections::BTreeSet, process::Command};

#[test]
fn every_patch_applies_and_names_what_catches_it() {
    let bugs = planted::all().expect("patches");
    assert!(bugs.len() >= 12, "{}", bugs.len());
    let mut invariants = BTreeSet::new();
    for bug in &bugs {
        planted::applies(bug).expect("a patch that applies");
        assert!(bug.what.len() > 20, "{}: says too little", bug.name);
        match &bug.by {
            By::Invariant(n) => drop(invariants.insert(n)),
            By::Test { package, name, .. } => {
                let function = format!("fn {}()", name.rsplit("::").next().unwrap_or_default());
                let dir = if package == "payterm-tests" {
                    ":/tests".into()
                } else {
                    package.replacen("payterm-", ":/crates/", 1)
                };
                let found = Command::new("git").args(["grep", "-qF", &function, "--", &dir]).status();
                assert!(found.expect("git").success(), "{}: no {function} in {dir}", bug.name);
            }
        }
    }
    assert!(invariants.len() >= 6, "they try only the invariants {invariants:?}");
}

/// Each extension applies, adds one file, adds lines only, and touches the files that docs/extend.md lists
/// below its heading.
#[test]
fn every_extension_touches_what_its_page_lists() {
    let page = include_str!("../../../docs/extend.md");
    let all = extend::all().expect("patches");
    assert!(all.len() >= 3, "{}", all.len());
    for e in all {
        extend::applies(&e).expect("a patch that applies");
        assert_eq!(e.added.len(), 1, "{}: adds {:?}", e.name, e.added);
        let named = format!("`tests/extend/{}.patch`", e.name);
        let section = page.split("\n## ").find(|s| s.contains(&named)).expect("a heading");
        let rows = section.lines().filter(|l| l.starts_with("| ") && !l.starts_with("| table "));
        let listed: BTreeSet<String> =
            rows.map(|r| r.split('|').nth(2).expect("a file").trim().trim_matches('`').to_owned()).collect();
        assert_eq!(e.touched, listed, "{}", e.name);
        let patch = std::fs::read_to_string(&e.patch).expect("a patch");
        let lines = |sign: char| patch.lines().filter(|l| l.starts_with(sign)).count();
        assert!(lines('-') <= 2 * listed.len(), "{}: takes more than a row away", e.name);
    }
}
