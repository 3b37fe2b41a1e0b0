//! All integration tests of this crate, one program.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod engine;
mod example;
mod hostlink;
mod tms;
mod vendor;
