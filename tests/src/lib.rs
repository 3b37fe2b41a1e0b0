//! Houses of tests: [`sim`], the deterministic world; [`real`], the harness of the real programs;
//! [`planted`], the bugs that prove that the checks of the first can fail; [`extend`], the dummies of
//! docs/extend.md.
#![allow(clippy::wildcard_enum_match_arm, reason = "checkers look at a few records of many")]
pub mod extend;
pub mod planted;
pub mod real;
pub mod sim;
