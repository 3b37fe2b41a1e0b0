//! All integration tests of this crate, one program.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod chip;
mod example;
mod hostlink;
mod papers;
mod reload;
mod renew;
mod requests;
mod rig;
mod store;
mod supervision;
mod tms;
mod vendor;
