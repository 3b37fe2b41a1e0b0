//! The engine of a terminal: actors around the sans-IO machine of `core`, the commit rule, supervision, and
//! the front door [`Terminal`](payterm_schema::Terminal) that a program or an app serves.
//!
//! Invariant: nothing leaves (no frame, paper, answer, notice) before the records that allow it are on disk
//! (`commit`). No bus, no signals, no service manager: those are the program's.
mod assembly;
mod card_log;
pub mod clock;
pub mod commit;
pub mod connect;
pub mod demo;
pub mod device;
mod emv;
mod emv_lists;
mod engine;
pub mod files;
mod font;
mod front_door;
mod granted;
pub mod hostlink;
mod language;
mod look_turns;
mod maintenance;
pub mod mishap;
pub mod profiles;
mod recent;
mod reload;
mod selftest;
mod sparing;
pub mod spooler;
pub mod supervise;
mod support;
pub mod templates;
mod terminal;
mod terminal_service;
pub mod tms;

pub use engine::{Engine, EngineError, Opened, Options, Pulse};
pub use reload::{ReloadError, aside, taken};
