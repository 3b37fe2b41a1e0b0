//! All integration tests of this crate, one program.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod common;
mod escpos;
mod letters;
mod screens;
mod slips;
mod templates;
mod texts;
