//! Obligations: what a frame that left owes until it is answered, and the records of it.
use crate::{
    account::{AccountId, Stan},
    host::{FrameTrace, Plan, ReversalReason},
    icc::Icc,
    offline::OfflineAuthority,
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ending of an obligation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The host answered with this code (00, 12, 25 end a reversal).
    Answered(String),
    /// No byte of the frame had left (NotSent): nothing is owed. Or an advice was withdrawn.
    NothingLeft,
    /// A valid answer to the request itself came.
    RequestAnswered,
    /// A person resolved it, with this reference of the acquirer.
    ByPerson(String),
}

/// Duty of an obligation: what the terminal does about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Duty {
    /// A reversal 冲正 is sent.
    #[default]
    Reverse,
    /// The same message is sent again: an advice.
    Repeat,
    /// The terminal does nothing by itself: a person asks the acquirer.
    ManualResolution,
    /// A message of its own is sent again: the results of an issuer's script (0620). No payment stands or
    /// falls with it.
    Notify,
}

impl Duty {
    /// Tells whether the acquirer is told something, in its turn and beside the customer; no authorisation
    /// waits for it.
    pub const fn is_told(self) -> bool {
        matches!(self, Duty::Repeat | Duty::Notify)
    }
}

/// Asking of a wallet whose payer has not confirmed the payment yet (host-protocol §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asking {
    /// Time of the next query.
    pub next: Time,
    /// Time after which the payment is reversed.
    pub until: Time,
}

/// Obligation: what a frame that left owes until it is answered (architecture §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Obligation {
    /// Transaction that owes it; with `plan.stan` the obligation's identity.
    pub txn: u64,
    pub account: AccountId,
    pub state: ObligationState,
    /// Message that is to be reversed or repeated.
    pub plan: Plan,
    /// F39 of its reversal.
    pub reason: ReversalReason,
    pub duty: Duty,
    /// Times of the wallet that is being asked, while `state` is armed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asking: Option<Asking>,
    /// A byte of it has left, or may have. An advice that waits for the line has not left: it holds up no
    /// other payment.
    pub left: bool,
    /// Value of `left` before the try under way.
    pub had_left: bool,
    /// Transaction under which the card number is sealed that the message needs; none for payment codes.
    pub sealed: Option<u64>,
    /// Number of tries that left.
    pub tries: u32,
    /// Time before which it is not tried.
    pub next_try: Time,
    /// Response code (F39) of the last try; none when no try was answered.
    pub last_code: Option<String>,
    /// Time at which it was opened.
    pub since: Time,
    /// Card, where one was presented: the advices of a card are sent one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<crate::account::CardToken>,
    /// App of the person who keeps it back, until a person releases it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// Time at which it is Stuck at the latest, if every try leaves and none is answered. Computed when it is
    /// shown, not on record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
}

impl Obligation {
    /// Obligation of a frame that may leave from now on.
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
    /// Authority in whose exposure it counts: it is the advice of a payment without the host, which the
    /// acquirer has not answered yet. What the issuer approved by telephone is no risk.
    pub fn at_risk(&self) -> Option<OfflineAuthority> {
        self.plan.offline_authority.filter(|by| *by != OfflineAuthority::Voice)
    }
}

/// State of an obligation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ObligationState {
    /// Armed: the request may still be answered; of a notice: the scripts may still run.
    Armed,
    /// Due: no valid answer came; tried with growing waits.
    Due,
    /// Stuck: tries are used up; kept, shown and printed for a person.
    Stuck,
}

/// Record of an obligation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObligationRecord {
    /// A query of a wallet is about to leave; it has a STAN of its own.
    Queried { txn: u64, stan: Stan, plan: Box<Plan>, next: Time },
    /// The times of a wallet that is being asked begin again, after a restart.
    AskedAnew { txn: u64, stan: Stan, asking: Asking },
    /// An armed obligation is due: the wallet's time is over, or a provisional answer is not taken.
    Due { txn: u64, stan: Stan, reason: ReversalReason, not_before: Time },
    /// A frame of the obligation is about to leave.
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
    /// The obligation has ended: nothing is owed any more.
    Ended { txn: u64, stan: Stan, how: Ending, trace: FrameTrace },
    /// The answer to its message was another payment's: it is never reversed, a person asks the acquirer.
    OfAnother { txn: u64, stan: Stan },
    /// The obligation is Stuck: its tries are used up, or none can help.
    Stuck { txn: u64, stan: Stan },
    /// A person has a Stuck obligation tried again.
    Retried { txn: u64, stan: Stan, by: String },
    /// A person has an obligation tried now, without waiting for `next_try`.
    Hurried { txn: u64, stan: Stan, by: String },
    /// A person keeps an advice back (`hold`), or releases it.
    Held { txn: u64, stan: Stan, hold: bool, by: String },
    /// The supervisor gives an obligation up: nothing more is sent. The outcome of its transaction says so.
    WrittenOff { txn: u64, stan: Stan, by: String, why: String },
    /// The issuer's scripts behind a card's approval are through, and their notice, armed until then, is due:
    /// with their results in `icc`, or, where nobody knows these, as not performed.
    ScriptsEnded { txn: u64, stan: Stan, icc: Option<Icc> },
    /// An obligation is opened that is not of the request's own frame: the result of an issuer script, the
    /// advice of a completed chip transaction. Its STAN is used from here on.
    Opened { obligation: Box<Obligation> },
}
