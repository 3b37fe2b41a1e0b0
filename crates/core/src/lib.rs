//! The terminal's machine: every transaction flow, sans-IO. No clock, no randomness, no runtime, no files, no
//! sockets: the time is an argument, what it wants done comes out as [`Effect`]s.
//!
//! Invariant: the durable [`State`] changes only by [`State::apply`] of a record, so the live machine and
//! `replay(snapshot, tail)` cannot differ.
mod advice;
mod again;
mod allow;
mod answer;
pub mod fees;
mod flow;
mod forward;
mod inhibit;
pub mod instrument;
mod io;
mod ledger;
mod links;
mod machine;
mod obligations;
pub mod offline;
mod onboarding;
mod open;
mod operators;
mod original;
mod papers;
mod present;
mod queue;
pub mod reconciliation;
mod recovery;
mod reports;
mod resolve;
mod screen;
mod sealed;
mod settlement;
mod state;
mod upkeep;
mod view;
mod wallet;

pub use io::*;
pub use ledger::{Ledger, Settling};
pub use machine::Machine;
pub use onboarding::{Apply, TmsAsk, TmsEvent, TmsSettings};
pub use open::Obligations;
pub use operators::{Operator, Staff, VaultAnswer, VaultAsk};
pub use reports::ReportHead;
pub use sealed::sealed_needs;
pub use state::{Running, State};
