//! All integration tests of this crate, one program.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod emv_download;
mod golden;
mod icc;
mod messages;
mod random;
mod strict;
mod support;
