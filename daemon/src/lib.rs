//! The payterm daemon: the only crate with a runtime. Actors around the sans-IO machine of `core`, the store,
//! supervision.
//!
//! Invariant: nothing leaves (no frame, paper, answer, notice) before the records that allow it are on disk
//! (`commit`).
pub mod clock;
pub mod commit;
pub mod config;
mod demo;
pub mod device;
pub mod front;
pub mod hostlink;
mod house;
mod keeper;
pub mod language;
pub mod logging;
pub mod mishap;
pub mod recent;
mod selftest;
pub mod spooler;
pub mod supervise;
mod support;
mod systemd;
pub mod templates;
pub mod terminal;
pub mod tms;

pub use demo::prepare as prepare_demo;
pub use house::{Daemon, Ended, Options, RunError, run};
