//! The journal: what happened, in order. The machine's durable state is a fold over these.
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

/// Version of the record encoding; a journal with a newer one is refused by name, never guessed at.
/// 3 is the first that is read.
pub const RECORD_VERSION: u32 = 3;
const FIRST_VERSION: u32 = 3;

/// A record with its place in the journal. `seq` starts at 1 and has no gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub seq: u64,
    pub at: Time,
    /// The transaction it belongs to, if any.
    pub txn: Option<u64>,
    pub record: Record,
}

#[derive(Debug, thiserror::Error)]
pub enum EncodingError {
    #[error("record {seq}: version {found} is newer than {RECORD_VERSION}, which this program knows")]
    Newer { seq: u64, found: u32 },
    #[error("record {seq}: version {found} is older than {FIRST_VERSION}, the first that is read")]
    Older { seq: u64, found: u32 },
    #[error("record {seq}: {cause}")]
    Malformed { seq: u64, cause: serde_json::Error },
}

/// What happened, by family: each has its fold beside its state in `core`. The masked PAN is the only form of
/// a card number in here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    Request(RequestRecord),
    Obligation(ObligationRecord),
    Settlement(SettlementRecord),
    Account(AccountRecord),
    Paper(PaperRecord),
    /// With a transaction, the supervisor was asked to allow it.
    Operator(OperatorEvent),
    /// The onboarding for a terminal, as it stands from here on.
    Onboarding(Box<Onboarding>),
    Terminal(TerminalRecord),
}

impl Record {
    /// The STAN that a message uses which this record allows; without an account, that of its transaction.
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

    /// The papers that it queues, as they are printed.
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

    /// The stored form: JSON of the record, `{"family":{"record":{..}}}`. Its version stands in a column of
    /// its own.
    pub fn encode(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
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

/// When and why an answered request is reversed all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    pub reason: ReversalReason,
    pub not_before: Time,
}

/// A paper of an outcome; what is on it is the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutcomePaper {
    pub job: u64,
    pub kind: PaperKind,
}
impl OutcomePaper {
    /// The job that it queues.
    pub fn of(&self, outcome: &Arc<Outcome>) -> PaperJob {
        PaperJob::new(self.job, self.kind, 0, PaperContent::Outcome(Arc::clone(outcome)))
    }
}

/// The journal was damaged, torn or gone, and was put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// What was wrong with it.
    pub why: String,
    /// The damaged file beside the journal; empty when there was none.
    pub kept: String,
    /// The last record of the backup that was taken; none: there was no backup that holds.
    pub backup: Option<u64>,
    /// Records behind it that the damaged file still proved.
    pub salvaged: u64,
    /// Requests that were started and are not in the journal any more.
    pub lost: u64,
    /// No transaction has a greater number, the lost ones included.
    pub last_txn: u64,
    /// STANs up to and including these may have been used; none: that is not known.
    pub stans: Option<BTreeMap<AccountId, Stan>>,
}

/// Something about the terminal's clock that makes its time doubtful.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum ClockEvent {
    /// It was set while the terminal ran: against the time that passed by so many milliseconds.
    Jumped { by: Millis },
    /// At a start it was so many milliseconds behind the last record.
    Behind { by: Millis },
    /// The host's is so many milliseconds ahead of it (behind: negative), too much to be believed.
    HostDiffers { account: AccountId, by: Millis },
}
