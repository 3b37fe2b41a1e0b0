//! Records of a settlement.
use super::Ending;
use crate::{
    account::{AccountId, Batch, Stan},
    host::{FrameTrace, HostAnswer, Plan},
    outcome::Outcome,
    settlement::{StuckLine, UploadGroup, Verdict},
    time::Time,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Record of the settlement of a batch (host-protocol §7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementRecord {
    /// The totals of the batch may leave (0500). No authorisation of the account leaves from here on until
    /// the batch is closed, or no byte had left. `view` is the settlement's outcome as far as it is known,
    /// with its totals.
    Asked { txn: u64, account: AccountId, plan: Box<Plan>, view: Arc<Outcome> },
    /// The acquirer has judged both halves.
    Judged {
        txn: u64,
        account: AccountId,
        stan: Stan,
        domestic: Verdict,
        foreign: Verdict,
        answer: Box<HostAnswer>,
        trace: FrameTrace,
    },
    /// Records of the batch, or the end of the upload, may leave.
    UploadAllowed {
        txn: u64,
        account: AccountId,
        plan: Box<Plan>,
        group: UploadGroup,
        /// Last transaction in the message.
        after: u64,
    },
    /// The TC of this sale cannot be read: its upload is a person's, the totals hold. The upload goes on
    /// after transaction `line.txn` of `group`.
    CertificateLost { txn: u64, account: AccountId, group: UploadGroup, line: StuckLine },
    /// The acquirer has these records.
    Uploaded { txn: u64, account: AccountId, stan: Stan, code: String, trace: FrameTrace },
    /// A message of the settlement was not answered, or not as it must be. The same message leaves again, not
    /// before `next_try`; `hold`: only when a person has it tried again.
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
    /// A person has the settlement tried again.
    Retried { txn: u64, account: AccountId, by: String },
    /// The settlement has ended without closing the batch, which stays open.
    Dropped { txn: u64, account: AccountId, how: Ending },
    /// The batch is closed at the acquirer; the empty batch `next` is open.
    BatchClosed { txn: u64, account: AccountId, next: Batch, how: Ending, trace: FrameTrace },
}
