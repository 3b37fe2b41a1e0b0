//! The terminal's machine: every transaction flow, sans-IO. No clock, no randomness, no runtime, no files, no
//! sockets: the time is an argument, what it wants done comes out as [`Effect`]s.
//!
//! Five rooms, each with what it holds in memory, its timers and a file a thing: [`counter`] (who is served),
//! [`line`] (one an account), [`keypad`] (operators), [`papers`], [`onboarding`]. They stand on [`context`]
//! and speak through [`signal`]; [`machine`] is their router.
//!
//! Invariant: the durable [`State`] changes only by [`State::apply`] of a record, so the live machine and
//! `replay(snapshot, tail)` cannot differ.
mod batch;
mod belief;
mod clock;
mod context;
mod counter;
pub mod fees;
mod inhibit;
pub mod instrument;
mod io;
mod keypad;
mod ledger;
mod line;
mod machine;
mod obligations;
mod onboarding;
mod outcome;
mod owed;
mod papers;
pub mod reconciliation;
mod recovery;
mod reports;
mod schedule;
mod screen;
mod sealed;
mod self_test;
mod sign_in;
mod signal;
mod state;
mod view;

pub use counter::offline;
pub use io::*;
pub use keypad::{Operator, Staff, VaultAnswer, VaultAsk};
pub use ledger::{Ledger, Settling};
pub use machine::Machine;
pub use obligations::Obligations;
pub use onboarding::{Apply, TmsAsk, TmsEvent, TmsSettings};
pub use reports::ReportHead;
pub use sealed::sealed_needs;
pub use state::{Running, State};
