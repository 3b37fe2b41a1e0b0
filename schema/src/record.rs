//! Records: what happened, in order; together they are the journal. The machine's durable state is a fold
//! over them.
mod account;
mod obligation;
mod paper;
mod request;
mod settlement;
mod terminal;

pub use account::AccountRecord;
pub use obligation::{Asking, Duty, Ending, Obligation, ObligationRecord, ObligationState};
pub use paper::PaperRecord;
pub use request::{ProvisionalOf, RequestRecord};
pub use settlement::SettlementRecord;
pub use terminal::TerminalRecord;

use crate::{
    account::{AccountId, Stan},
    host::ReversalReason,
    onboarding::Onboarding,
    operator::OperatorEvent,
    outcome::Outcome,
    paper::{PaperContent, PaperJob, PaperKind},
    time::{Millis, Time},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Version of the record encoding. A journal with a newer one is refused by name, never guessed at; 3 is the
/// first that is read.
pub const RECORD_VERSION: u32 = 3;
const FIRST_VERSION: u32 = 3;

/// Record with its place in the journal. `seq` starts at 1 and has no gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub seq: u64,
    /// Time at which it was made.
    pub at: Time,
    /// Number of the transaction to which it belongs; none: to none.
    pub txn: Option<u64>,
    pub record: Record,
}

/// Error of a record that cannot be read; `seq` is its place in the journal.
#[derive(Debug, thiserror::Error)]
pub enum EncodingError {
    #[error("record {seq}: version {found} is newer than {RECORD_VERSION}, which this program knows")]
    Newer { seq: u64, found: u32 },
    #[error("record {seq}: version {found} is older than {FIRST_VERSION}, the first that is read")]
    Older { seq: u64, found: u32 },
    #[error("record {seq}: {cause}")]
    Malformed { seq: u64, cause: serde_json::Error },
}

/// Record of something that happened, by family. Each family has its fold beside its state in `core`. The
/// masked card number is the only form of a card number in a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    Request(RequestRecord),
    Obligation(ObligationRecord),
    Settlement(SettlementRecord),
    Account(AccountRecord),
    Paper(PaperRecord),
    /// Event of an operator. In a transaction: the supervisor was asked to allow it.
    Operator(OperatorEvent),
    /// Onboarding of the terminal, as it is from here on.
    Onboarding(Box<Onboarding>),
    Terminal(TerminalRecord),
}

impl Record {
    /// STAN that is used by the message which this record allows; without an account, that of its
    /// transaction.
    pub fn uses(&self) -> Option<(Option<&AccountId>, Stan)> {
        match self {
            Record::Request(
                RequestRecord::Allowed { account, plan, .. }
                | RequestRecord::OfflineAllowed { account, plan, .. },
            )
            | Record::Account(AccountRecord::ControlSent { account, plan })
            | Record::Settlement(
                SettlementRecord::Asked { account, plan, .. }
                | SettlementRecord::UploadAllowed { account, plan, .. },
            ) => Some((Some(account), plan.stan)),
            Record::Obligation(ObligationRecord::Opened { obligation: o }) => {
                Some((Some(&o.account), o.plan.stan))
            }
            Record::Obligation(ObligationRecord::Queried { plan, .. }) => Some((None, plan.stan)),
            Record::Request(_)
            | Record::Obligation(_)
            | Record::Settlement(_)
            | Record::Account(_)
            | Record::Paper(_)
            | Record::Operator(_)
            | Record::Onboarding(_)
            | Record::Terminal(_) => None,
        }
    }

    /// Papers that it queues, as they are printed.
    pub fn queues(&self) -> Vec<PaperJob> {
        match self {
            Record::Paper(PaperRecord::Queued { job }) => vec![(**job).clone()],
            Record::Request(RequestRecord::Outcome { outcome, papers }) => {
                papers.iter().map(|p| p.of(outcome)).collect()
            }
            Record::Request(_)
            | Record::Obligation(_)
            | Record::Settlement(_)
            | Record::Account(_)
            | Record::Paper(_)
            | Record::Operator(_)
            | Record::Onboarding(_)
            | Record::Terminal(_) => Vec::new(),
        }
    }

    /// Stored form: JSON `{"family":{"record":{..}}}`. The version is in a column of its own.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
    /// Reads the stored form; an error names the record.
    pub fn decode(seq: u64, version: u32, json: &str) -> Result<Self, EncodingError> {
        if version > RECORD_VERSION {
            return Err(EncodingError::Newer { seq, found: version });
        }
        if version < FIRST_VERSION {
            return Err(EncodingError::Older { seq, found: version });
        }
        serde_json::from_str(json).map_err(|cause| EncodingError::Malformed { seq, cause })
    }
}

macro_rules! families {
    ($($family:ident($record:ident)),*) => {
        $(impl From<$record> for Record {
            fn from(record: $record) -> Self {
                Record::$family(record)
            }
        })*
    };
}
families!(
    Request(RequestRecord),
    Obligation(ObligationRecord),
    Settlement(SettlementRecord),
    Account(AccountRecord),
    Paper(PaperRecord),
    Operator(OperatorEvent),
    Terminal(TerminalRecord)
);

/// Reversal that is due although the request was answered: when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    pub reason: ReversalReason,
    /// Time before which it is not sent.
    pub not_before: Time,
}

/// Paper that comes with an outcome; its content is the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutcomePaper {
    pub job: u64,
    pub kind: PaperKind,
}
impl OutcomePaper {
    /// Job that it queues.
    pub fn of(&self, outcome: &Arc<Outcome>) -> PaperJob {
        PaperJob::new(self.job, self.kind, 0, PaperContent::Outcome(Arc::clone(outcome)))
    }
}

/// RRN of an answer that is believed only when no other payment of the account has it. The store looks, in
/// the transaction that commits the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RrnClaim {
    pub account: AccountId,
    pub rrn: String,
    /// Payment that was answered.
    pub txn: u64,
    /// Records that are committed in place of the commit's own, where another payment has it.
    pub instead: Vec<Entry>,
}

/// Restoring of a journal that was damaged, torn or gone, or a finding that it is an old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// Damage that was found.
    pub why: String,
    /// Name of the damaged file, which is kept beside the journal; empty when there was none.
    pub kept: String,
    /// Last record of the backup that was taken; none: no backup verified.
    pub backup: Option<u64>,
    /// Number of records after the backup that the damaged file still proved.
    pub salvaged: u64,
    /// Number of requests that were started and are not in the journal any more.
    pub lost: u64,
    /// Greatest number of a transaction, the lost ones included.
    pub last_txn: u64,
    /// Greatest STAN of each account that may have been used; none: that is not known.
    pub stans: Option<BTreeMap<AccountId, Stan>>,
    /// Nothing was damaged: an acquirer knows of payments that are not in this journal, so it is an old copy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
}
impl Restored {
    /// Recovery of a journal that is older than what an acquirer knows.
    pub fn outdated(why: &str, last_txn: u64) -> Self {
        let (kept, backup, stans) = (String::new(), None, None);
        Self { why: why.into(), kept, backup, salvaged: 0, lost: 0, last_txn, stans, outdated: true }
    }
}

/// Event of the terminal's clock: its time is doubtful, or believed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum ClockEvent {
    /// The clock was set while the terminal ran, by so many milliseconds against the time that passed.
    Jumped { by: Millis },
    /// The clock was so many milliseconds behind the last record, or the day on which this program was made,
    /// at a start.
    Behind { by: Millis },
    /// The host's clock is so many milliseconds ahead of it (behind: negative), too many to be believed.
    HostDiffers { account: AccountId, by: Millis },
    /// The host's clock agrees with it: whatever made it doubtful is over.
    Agrees { account: AccountId },
}
