//! All integration tests of this crate, one program.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
mod chain;
mod damage;
mod format;
mod group_commit;
mod recovery;
mod rig;
mod store;
