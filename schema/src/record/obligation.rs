//! Obligations: what a frame that left owes until it is answered, and the records of it.
use crate::{
    account::{AccountId, Stan},
    host::{FrameTrace, Plan, ReversalReason},
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How an obligation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The host answered with this code (00, 12, 25 for a reversal).
    Answered(String),
    /// Nothing had left after all (NotSent).
    NothingLeft,
    /// A valid answer to the request itself came.
    RequestAnswered,
    /// Resolved by a person, with their reference.
    ByPerson(String),
}

/// What is done about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// A reversal 冲正.
    #[default]
    Reverse,
    /// The same message again: an advice.
    Repeat,
    /// Nothing by itself: a person asks the acquirer.
    ManualResolution,
}

/// A payment by code that its payer has not confirmed yet: it is asked for until then (host-protocol §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asking {
    pub next: Time,
    /// Then it is reversed.
    pub until: Time,
}

/// What a frame that left owes until it is answered (architecture §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Obligation {
    /// The transaction that owes it; with `plan.stan` its identity.
    pub txn: u64,
    pub account: AccountId,
    pub state: ObligationState,
    /// The frame to reverse.
    pub plan: Plan,
    pub reason: ReversalReason,
    pub duty: Duty,
    /// While `state` is armed: the wallet is being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asking: Option<Asking>,
    /// A byte of it has left, or may have. An advice that waits for the line has not: it holds nobody up.
    pub left: bool,
    /// The same before the try under way.
    pub had_left: bool,
    /// Under which transaction the PAN is sealed that the reversal needs; none for payment codes.
    pub sealed: Option<u64>,
    /// Tries that left.
    pub tries: u32,
    /// Not sent before then.
    pub next_try: Time,
    pub last_code: Option<String>,
    pub since: Time,
    /// The card, where one was presented: its advices go one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<crate::account::CardToken>,
    /// Who keeps it back; it goes when that person releases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// When it is Stuck at the latest, if every try leaves and none is answered. Worked out when it is shown,
    /// not on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
}

impl Obligation {
    /// Of a frame that may leave from now on.
    pub fn new(txn: u64, account: AccountId, plan: Plan, duty: Duty, sealed: Option<u64>, at: Time) -> Self {
        Self {
            txn,
            account,
            state: ObligationState::Armed,
            plan,
            reason: ReversalReason::NoReply,
            duty,
            asking: None,
            left: true,
            had_left: true,
            sealed,
            tries: 0,
            next_try: at,
            last_code: None,
            since: at,
            card: None,
            held: None,
            deadline: None,
        }
    }
    /// Accepted at the merchant's risk, and not yet the acquirer's word on it.
    pub fn at_risk(&self) -> bool {
        self.plan.offline_authority == Some(crate::offline::OfflineAuthority::Merchant)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObligationState {
    /// The request may still be answered.
    Armed,
    /// No valid answer came: being driven.
    Due,
    /// Tries exhausted: kept, shown and printed for a person.
    Stuck,
}

/// What becomes of an obligation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObligationRecord {
    /// A query is about to leave; it has a STAN of its own.
    Queried { txn: u64, stan: Stan, plan: Box<Plan>, next: Time },
    /// The time of a wallet that is asked counts from a restart.
    AskedAnew { txn: u64, stan: Stan, asking: Asking },
    /// An armed obligation is due now: the wallet's time is over, a provisional answer is not taken.
    Due { txn: u64, stan: Stan, reason: ReversalReason, not_before: Time },
    /// A frame of the obligation is about to leave (again).
    Tried { txn: u64, stan: Stan },
    /// A try was not answered, or with a code that does not end the obligation. `left` = false: no byte left,
    /// the try does not count.
    Failed {
        txn: u64,
        stan: Stan,
        code: Option<String>,
        why: String,
        next_try: Time,
        left: bool,
        trace: FrameTrace,
    },
    /// Nothing is owed any more.
    Ended { txn: u64, stan: Stan, how: Ending, trace: FrameTrace },
    /// Its tries are exhausted, or none can help: a person must see to it.
    Stuck { txn: u64, stan: Stan },
    /// A person has a Stuck obligation tried again.
    Retried { txn: u64, stan: Stan, by: String },
    /// A person has an obligation tried now, whatever its wait.
    Hurried { txn: u64, stan: Stan, by: String },
    /// A person keeps an advice back, or lets it go again.
    Held { txn: u64, stan: Stan, hold: bool, by: String },
    /// The supervisor gives an obligation up: nothing more is sent. The transaction's outcome says so.
    WrittenOff { txn: u64, stan: Stan, by: String, why: String },
    /// An obligation that is not the request's own frame: the result of an issuer script, a completed chip
    /// transaction's advice. Its STAN is used from here on.
    Opened { obligation: Box<Obligation> },
}
