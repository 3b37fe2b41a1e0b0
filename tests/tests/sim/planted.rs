//! The planted bugs can be planted: a patch that no longer applies would catch nothing. (`make prove` builds
//! and runs each.)
use payterm_tests::planted;

#[test]
fn every_patch_applies_and_names_its_invariant() {
    let bugs = planted::all().expect("patches");
    assert!(bugs.len() >= 12, "{}", bugs.len());
    for bug in &bugs {
        planted::applies(bug).expect("a patch that applies");
        assert!(bug.what.len() > 20, "{}: says too little", bug.name);
    }
    let mut invariants: Vec<u8> = bugs.iter().map(|b| b.invariant).collect();
    invariants.sort_unstable();
    invariants.dedup();
    assert!(invariants.len() >= 6, "they try only the invariants {invariants:?}");
}
