//! The journal against a real disk.
#![allow(clippy::unwrap_used)] // a test may stop anywhere
mod recovery;
mod store;
