//! The durable state: a fold over the journal's records, and nothing else. Each family's fold has a file.
mod account;
mod obligation;
mod paper;
mod read;
mod recovery;
mod request;
mod settlement;
mod terminal;
mod totals;

use crate::{Obligations, ReplayError, Staff, ledger::Ledger, recovery::Recovering};
use payterm_schema::{
    AccountId, HostAnswer, Outcome, Record, Request, RequestKey,
    account::Stan,
    onboarding::Onboarding,
    paper::PaperJob,
    record::{ClockEvent, Entry, ProvisionalOf, Restored},
    time::Time,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Everything that a restart must know. Bounded: the running request, what it owes, open papers, totals per
/// account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Sequence number of the last record.
    pub seq: u64,
    pub last_txn: u64,
    pub last_job: u64,
    /// Times the daemon started on this journal; makes the tags of each run its own.
    pub boots: u64,
    pub accounts: BTreeMap<AccountId, Ledger>,
    pub running: Option<Running>,
    pub obligations: Obligations,
    /// Outcomes told while an obligation of theirs is open (`Unknown`, or refused with a reversal on disk),
    /// by txn.
    #[serde(alias = "unknown")]
    pub owing: Owing,
    /// Payments of the open batch that an open obligation names: their sealed PAN outlives it.
    #[serde(default)]
    pub voidable: BTreeSet<u64>,
    /// Papers that are not done, by job.
    pub papers: BTreeMap<u64, PaperJob>,
    /// The onboarding for a terminal; shared, because who looks at the state takes a copy of it.
    #[serde(default)]
    pub onboarding: Option<Arc<Onboarding>>,
    /// `seq` of the last snapshot.
    pub snapshot_seq: u64,
    /// Chosen at run time; none = the configuration's.
    #[serde(default)]
    pub language: Option<payterm_schema::config::Language>,
    #[serde(default)]
    pub staff: Staff,
    /// What the clock must have reached before it is believed: at a start it was behind that. True: it was
    /// set forward since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_behind: Option<(Time, bool)>,
    /// The journal was restored, and the supervisor has not ended the recovery: no payments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovering: Option<Recovering>,
    /// Accounts that were not configured when the recovery ended, and of whose batches nothing is known: it
    /// begins again when one of them comes back and its host is in another batch than ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unheard: BTreeMap<AccountId, Restored>,
    /// The marks were lost with a journal: an account of which no number is known begins far away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stans_lost: bool,
    /// Last transaction that a journal knew of when it was put back: it may lack what came of it and of those
    /// before.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub doubted: u64,
    /// Why the terminal's time is doubtful, since when; a host's word ends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_doubt: Option<(Time, ClockEvent)>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Shared like the obligations, and as many.
pub type Owing = rpds::RedBlackTreeMapSync<u64, Arc<Outcome>>;

/// Distance from the STANs used before to those used next, where nothing is known of the numbers between.
/// The golden section of all 999,999, and without a common divisor with them: after any number of recoveries
/// the next STANs begin far from where each earlier one did, after 20 of them 30,000 away at least. Half of
/// all would be back after two.
pub(crate) const FAR: u32 = 618_034;

/// The request in the foreground.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    pub txn: u64,
    pub key: RequestKey,
    pub hash: String,
    pub request: Request,
    /// The outcome as far as it is known.
    pub view: Arc<Outcome>,
    /// The frame that may have left and is not answered yet.
    pub in_flight: Option<(AccountId, Stan)>,
    /// The host said yes, and card or cashier has not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisional: Option<(ProvisionalOf, Box<HostAnswer>)>,
    /// The host's decision, of which its chip card is still to hear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Arc<Outcome>>,
    /// Frames sent for this request.
    pub frames: u32,
}

/// A journal that this program did not write.
fn broken(seq: u64, rule: &'static str) -> ReplayError {
    ReplayError::Inconsistent { seq, rule }
}

impl State {
    /// Folds one record in. Errors are journals that this program did not write.
    pub fn apply(&mut self, entry: &Entry) -> Result<(), ReplayError> {
        if entry.seq != self.seq + 1 {
            return Err(ReplayError::Gap { after: self.seq, found: entry.seq });
        }
        self.seq = entry.seq;
        self.staff.seen = entry.at;
        match &entry.record {
            Record::Request(record) => self.apply_request(entry, record)?,
            Record::Obligation(record) => self.apply_obligation(entry.at, record),
            Record::Settlement(record) => self.apply_settlement(entry, record)?,
            Record::Account(record) => self.apply_account(entry.at, record),
            Record::Paper(record) => self.apply_paper(record),
            Record::Operator(event) => self.apply_operator(entry, event),
            Record::Onboarding(onboarding) => self.onboarding = Some(Arc::new((**onboarding).clone())),
            Record::Terminal(record) => self.apply_terminal(entry.at, record),
        }
        Ok(())
    }

    /// Reads a snapshot; without one nothing is known. Not generic, like all that reads stored JSON: a copy
    /// of the code in each crate that calls it would be a megabyte of memory.
    pub(crate) fn decode(snapshot: Option<&str>) -> Result<Self, serde_json::Error> {
        snapshot.map_or_else(|| Ok(Self::default()), serde_json::from_str)
    }

    /// The onboarding as the journal has it: the settings of a machine are made with what it was granted,
    /// before it is replayed.
    pub fn onboarding_in(snapshot: Option<&str>, tail: &[Entry]) -> Result<Option<Onboarding>, ReplayError> {
        #[derive(Deserialize)]
        struct Kept {
            #[serde(default)]
            onboarding: Option<Onboarding>,
        }
        let in_tail = tail.iter().rev().find_map(|e| {
            if let Record::Onboarding(onboarding) = &e.record { Some((**onboarding).clone()) } else { None }
        });
        match (in_tail, snapshot) {
            (Some(a), _) => Ok(Some(a)),
            (None, Some(json)) => Ok(serde_json::from_str::<Kept>(json)?.onboarding),
            (None, None) => Ok(None),
        }
    }
}
