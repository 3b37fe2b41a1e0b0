//! All integration tests of this crate, one program.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may stop anywhere")]
mod chip;
mod control;
mod escpos;
mod options;
mod shared;
mod virtuals;
mod world;
