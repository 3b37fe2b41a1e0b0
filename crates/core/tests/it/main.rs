//! All integration tests of this crate, one program.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod belief;
mod chip;
mod chip_again;
mod download;
mod exact;
mod keys;
mod onboarding;
mod profile_codes;
mod recovery;
mod resolve;
mod screens;
mod till;
mod undo;
mod upkeep;
