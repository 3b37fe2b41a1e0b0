//! All integration tests of this crate, one program.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod apply;
mod common;
mod emv;
mod emv_words;
mod offline;
mod pages;
mod requests;
