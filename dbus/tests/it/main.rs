//! All integration tests of this crate, one program.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod common;
mod data;
mod examples;
mod hostile;
mod methods;
mod objects;
mod onboarding;
