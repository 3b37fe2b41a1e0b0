//! Records of the papers.
use crate::paper::{PaperJob, PrintResult};
use serde::{Deserialize, Serialize};

/// What becomes of a paper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaperRecord {
    /// A paper waits for the printer.
    Queued { job: Box<PaperJob> },
    /// Bytes of the job may leave from here on.
    Started { job: u64 },
    /// A print job is over. `hold`: unconfirmed, and offered to the cashier instead of printed again.
    Ended { job: u64, result: PrintResult, hold: bool },
    /// A held job is released by a person: print again as a duplicate, or give it up.
    Released { job: u64, print: bool, by: String },
}
