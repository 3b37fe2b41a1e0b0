//! All integration tests of this crate, one program.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod card;
mod chip;
mod common;
mod download;
mod kinds;
mod mishaps;
mod model;
mod program;
mod protocol;
mod settlement;
mod spoilt;
mod tms;
