//! Records of the papers.
use crate::paper::{PaperJob, PrintResult};
use serde::{Deserialize, Serialize};

/// Record of a paper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaperRecord {
    /// A paper is queued for the printer.
    Queued { job: Box<PaperJob> },
    /// A print job starts: bytes of it may leave from here on.
    Started { job: u64 },
    /// A print job has ended. `hold`: it is unconfirmed, and offered to the cashier instead of printed again.
    /// `replaced`: characters that the printer lacks.
    Ended {
        job: u64,
        result: PrintResult,
        hold: bool,
        #[serde(default, skip_serializing_if = "crate::settlement::is_zero")]
        replaced: u32,
    },
    /// A person releases a held job: it is printed as a duplicate, or given up.
    Released { job: u64, print: bool, by: String },
}
