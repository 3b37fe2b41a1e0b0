//! Records of the terminal as a whole: starts, self-tests, its clock, a restored journal.
use super::{ClockEvent, Restored};
use serde::{Deserialize, Serialize};

/// Record of the terminal as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TerminalRecord {
    /// The daemon started on this journal.
    Booted { version: String },
    /// A self-test has ended; its report is kept for customer service.
    SelfTested { report: Box<crate::SelfTest> },
    /// The journal was restored: payments are stopped until the supervisor ends the recovery.
    Restored { restored: Box<Restored> },
    /// The supervisor has reconciled what the restored journal had lost.
    RecoveryEnded { by: String },
    /// The terminal's time is doubtful until a host confirms it at a sign-in.
    Clock { event: ClockEvent },
    /// A person chose the terminal's language; it stays until the next choice.
    LanguageSet { language: crate::config::Language, by: String },
}
