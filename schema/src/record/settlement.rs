//! Records of a settlement.
use super::Ending;
use crate::{
    account::{AccountId, Batch, Stan},
    host::{FrameTrace, HostAnswer, Plan},
    outcome::Outcome,
    settlement::{UploadGroup, Verdict},
    time::Time,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The closing of a batch (host-protocol §7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementRecord {
    /// The totals of the batch may leave (0500): from here on no authorisation of the account does, until the
    /// batch is closed or nothing had left. `view` is the settlement's outcome as far as it is known, with
    /// its totals.
    Asked { txn: u64, account: AccountId, plan: Box<Plan>, view: Arc<Outcome> },
    /// The acquirer's word on both halves.
    Judged {
        txn: u64,
        account: AccountId,
        stan: Stan,
        domestic: Verdict,
        foreign: Verdict,
        answer: Box<HostAnswer>,
        trace: FrameTrace,
    },
    /// Records of the batch, or its end, may leave.
    UploadAllowed {
        txn: u64,
        account: AccountId,
        plan: Box<Plan>,
        group: UploadGroup,
        /// The last transaction in it.
        after: u64,
    },
    /// The acquirer has the records.
    Uploaded { txn: u64, account: AccountId, stan: Stan, code: String, trace: FrameTrace },
    /// A message of the settlement was not answered, or not as it must be; the same one leaves again, not
    /// before `next_try`. `hold`: not by itself, a person has it tried again.
    Failed {
        txn: u64,
        account: AccountId,
        stan: Stan,
        code: Option<String>,
        why: String,
        next_try: Time,
        left: bool,
        hold: bool,
        trace: FrameTrace,
    },
    /// A person had the settlement tried again.
    Retried { txn: u64, account: AccountId, by: String },
    /// The settlement came to nothing; the batch stays open.
    Dropped { txn: u64, account: AccountId, how: Ending },
    /// The batch is closed at the acquirer; `next` is open, and empty.
    BatchClosed { txn: u64, account: AccountId, next: Batch, how: Ending, trace: FrameTrace },
}
