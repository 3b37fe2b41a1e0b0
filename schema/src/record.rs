//! The journal: what happened, in order. The machine's durable state is a fold over these.
use crate::{
    account::{AccountId, Batch, Stan},
    host::{FrameTrace, HostAnswer, Plan, ReversalReason},
    onboarding::Onboarding,
    operator::OperatorEvent,
    outcome::Outcome,
    paper::{PaperContent, PaperJob, PaperKind, PrintResult},
    request::{Request, RequestKey},
    settlement::{UploadGroup, Verdict},
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

impl Record {
    /// The STAN that a message uses which this record allows; without an account, that of its transaction.
    pub fn uses(&self) -> Option<(Option<&AccountId>, Stan)> {
        match self {
            Record::Allowed { account, plan, .. }
            | Record::OfflineAllowed { account, plan, .. }
            | Record::ControlSent { account, plan }
            | Record::SettlementAsked { account, plan, .. }
            | Record::UploadAllowed { account, plan, .. } => Some((Some(account), plan.stan)),
            Record::Queried { plan, .. } => Some((None, plan.stan)),
            Record::Booted { .. }
            | Record::Started { .. }
            | Record::NotSent { .. }
            | Record::NoReply { .. }
            | Record::Answered { .. }
            | Record::Disregarded { .. }
            | Record::Outcome { .. }
            | Record::Voided { .. }
            | Record::Completed { .. }
            | Record::Adjusted { .. }
            | Record::RefundHeld { .. }
            | Record::RefundFreed { .. }
            | Record::Released { .. }
            | Record::Pending { .. }
            | Record::AskedAnew { .. }
            | Record::Partial { .. }
            | Record::ObligationDue { .. }
            | Record::ObligationTried { .. }
            | Record::ObligationFailed { .. }
            | Record::ObligationEnded { .. }
            | Record::ObligationStuck { .. }
            | Record::ObligationRetried { .. }
            | Record::OfflineDenied { .. }
            | Record::ObligationHurried { .. }
            | Record::ObligationHeld { .. }
            | Record::WrittenOff { .. }
            | Record::SettlementJudged { .. }
            | Record::Uploaded { .. }
            | Record::SettlementFailed { .. }
            | Record::SettlementRetried { .. }
            | Record::SettlementDropped { .. }
            | Record::BatchClosed { .. }
            | Record::SignedIn { .. }
            | Record::SignInFailed { .. }
            | Record::SignedOut { .. }
            | Record::Requirement { .. }
            | Record::Onboarding { .. }
            | Record::PaperQueued { .. }
            | Record::PaperStarted { .. }
            | Record::PaperEnded { .. }
            | Record::PaperReleased { .. }
            | Record::SelfTested { .. }
            | Record::Restored { .. }
            | Record::RecoveryEnded { .. }
            | Record::Clock { .. }
            | Record::LanguageSet { .. }
            | Record::Operator { .. } => None,
        }
    }

    /// The papers that it queues, as they are printed.
    pub fn queues(&self) -> Vec<PaperJob> {
        if let Record::PaperQueued { job } = self {
            return vec![(**job).clone()];
        }
        let Record::Outcome { outcome, papers } = self else { return Vec::new() };
        papers.iter().map(|p| p.of(outcome)).collect()
    }

    /// The stored form: JSON of the record. Its version stands in a column of its own.
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
    #[serde(default)]
    pub duty: Duty,
    /// While `state` is armed: the wallet is being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asking: Option<Asking>,
    /// A byte of it has left, or may have. An advice that waits for the line has not: it holds nobody up.
    #[serde(default = "yes")]
    pub left: bool,
    /// The same before the try under way.
    #[serde(default = "yes")]
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

fn yes() -> bool {
    true
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

/// What happened. The masked PAN is the only form of a card number in here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Record {
    /// The daemon started on this journal.
    Booted {
        version: String,
    },
    /// A request was accepted; `view` is its outcome as far as it is known.
    Started {
        txn: u64,
        key: RequestKey,
        hash: String,
        request: Box<Request>,
        view: Arc<Outcome>,
    },
    /// The frame may leave: the STAN is used, its obligation (if the kind has one) stands. `view` is the
    /// outcome as far as it is known (card, account, STAN).
    Allowed {
        txn: u64,
        account: AccountId,
        plan: Box<Plan>,
        view: Arc<Outcome>,
        owes: bool,
        /// The card that was presented.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        card: Option<crate::account::CardToken>,
    },
    /// Nothing left, the line is down, and the merchant's policy accepts the sale: `plan` is its advice,
    /// which is owed from here on.
    OfflineAllowed {
        txn: u64,
        account: AccountId,
        plan: Box<Plan>,
        view: Arc<Outcome>,
        card: Option<crate::account::CardToken>,
        judgement: crate::offline::Judgement,
    },
    /// ... or does not.
    OfflineDenied {
        txn: u64,
        account: AccountId,
        judgement: crate::offline::Judgement,
    },
    /// No byte left: the obligation of `stan` is void.
    NotSent {
        txn: u64,
        account: AccountId,
        stan: Stan,
        why: String,
    },
    /// A frame left and no valid answer came in time; the obligation is due.
    NoReply {
        txn: u64,
        account: AccountId,
        stan: Stan,
        why: String,
        reason: ReversalReason,
        not_before: Time,
        trace: FrameTrace,
    },
    /// A valid answer came. `due`: it must be reversed all the same (refusal without F64, partial approval,
    /// `reverse` of the code table, a wallet's pending).
    Answered {
        txn: u64,
        account: AccountId,
        stan: Stan,
        answer: Box<HostAnswer>,
        due: Option<Due>,
        trace: FrameTrace,
    },
    /// An answer was discarded (MAC) or came late; kept for the dispute page.
    Disregarded {
        txn: u64,
        account: AccountId,
        stan: Stan,
        why: String,
        answer: Box<HostAnswer>,
        trace: FrameTrace,
    },
    /// The request has this outcome: final, or `Unknown`. `papers`: its own, which are queued with it.
    Outcome {
        outcome: Arc<Outcome>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        papers: Vec<OutcomePaper>,
    },
    /// The sale `txn` is undone by the void `by`; a completion by its cancel, a pre-authorisation by its
    /// cancel.
    Voided {
        txn: u64,
        by: u64,
    },
    /// The pre-authorisation `txn` is taken up by the completion `by`.
    Completed {
        txn: u64,
        by: u64,
    },
    /// The sale `txn` has a tip by `by`, minor units.
    Adjusted {
        txn: u64,
        by: u64,
        tip: u64,
    },
    /// The refund `by` may take so much of `txn`: before its frame leaves.
    RefundHeld {
        txn: u64,
        by: u64,
        minor: u64,
    },
    /// ... and did not.
    RefundFreed {
        txn: u64,
        by: u64,
        minor: u64,
    },
    /// The acquirer refused the advice `by`: what it did to `txn` does not hold.
    Released {
        txn: u64,
        by: u64,
    },
    /// The payer has not confirmed yet (F39 of class P): the wallet is asked.
    Pending {
        txn: u64,
        account: AccountId,
        stan: Stan,
        answer: Box<HostAnswer>,
        asking: Asking,
        trace: FrameTrace,
    },
    /// A query is about to leave; it has a STAN of its own.
    Queried {
        txn: u64,
        stan: Stan,
        plan: Box<Plan>,
        next: Time,
    },
    /// After a restart the wallet's time counts from its start.
    AskedAnew {
        txn: u64,
        stan: Stan,
        asking: Asking,
    },
    /// The host approved a part of the amount: a person decides. Its reversal stands until then.
    Partial {
        txn: u64,
        account: AccountId,
        stan: Stan,
        answer: Box<HostAnswer>,
        trace: FrameTrace,
    },
    /// What stood is due now: the wallet's time is over, a partial approval is not taken.
    ObligationDue {
        txn: u64,
        stan: Stan,
        reason: ReversalReason,
        not_before: Time,
    },
    /// An obligation is about to be sent (again).
    ObligationTried {
        txn: u64,
        stan: Stan,
    },
    /// ... and was not answered, or with a code that does not end it. `left` = false: no byte left, the try
    /// does not count.
    ObligationFailed {
        txn: u64,
        stan: Stan,
        code: Option<String>,
        why: String,
        next_try: Time,
        left: bool,
        trace: FrameTrace,
    },
    ObligationEnded {
        txn: u64,
        stan: Stan,
        how: Ending,
        trace: FrameTrace,
    },
    ObligationStuck {
        txn: u64,
        stan: Stan,
    },
    /// A person had a Stuck obligation tried again.
    ObligationRetried {
        txn: u64,
        stan: Stan,
        by: String,
    },
    /// A person has it tried now, whatever its wait.
    ObligationHurried {
        txn: u64,
        stan: Stan,
        by: String,
    },
    /// A person keeps an advice back, or lets it go again.
    ObligationHeld {
        txn: u64,
        stan: Stan,
        hold: bool,
        by: String,
    },
    /// The supervisor gives it up: nothing more is sent. The transaction's outcome says so.
    WrittenOff {
        txn: u64,
        stan: Stan,
        by: String,
        why: String,
    },
    /// Control messages of the terminal itself (automatic sign-in) take STANs too.
    ControlSent {
        account: AccountId,
        plan: Box<Plan>,
    },
    /// The totals of the batch may leave (0500): from here on no authorisation of the account does, until the
    /// batch is closed or nothing had left. `view` is the settlement's outcome as far as it is known, with
    /// its totals.
    SettlementAsked {
        txn: u64,
        account: AccountId,
        plan: Box<Plan>,
        view: Arc<Outcome>,
    },
    /// The acquirer's word on both halves.
    SettlementJudged {
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
    /// The acquirer has them.
    Uploaded {
        txn: u64,
        account: AccountId,
        stan: Stan,
        code: String,
        trace: FrameTrace,
    },
    /// A message of the settlement was not answered, or not as it must be; the same one leaves again, not
    /// before `next_try`. `hold`: not by itself, a person has it tried again.
    SettlementFailed {
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
    /// A person had it tried again.
    SettlementRetried {
        txn: u64,
        account: AccountId,
        by: String,
    },
    /// It came to nothing; the batch stays open.
    SettlementDropped {
        txn: u64,
        account: AccountId,
        how: Ending,
    },
    /// The batch is closed at the acquirer; `next` is open, and empty.
    BatchClosed {
        txn: u64,
        account: AccountId,
        next: Batch,
        how: Ending,
        trace: FrameTrace,
    },
    SignedIn {
        account: AccountId,
        batch: Batch,
        offset: crate::time::Millis,
        answer: Box<HostAnswer>,
    },
    SignInFailed {
        account: AccountId,
        why: String,
    },
    SignedOut {
        account: AccountId,
        why: String,
    },
    Requirement {
        account: AccountId,
        digit: u8,
    },
    /// The onboarding for a terminal, as it stands from here on.
    Onboarding {
        onboarding: Box<Onboarding>,
    },
    PaperQueued {
        job: Box<PaperJob>,
    },
    /// Bytes of the job may leave from here on.
    PaperStarted {
        job: u64,
    },
    /// `hold`: unconfirmed, and offered to the cashier instead of printed again.
    PaperEnded {
        job: u64,
        result: PrintResult,
        hold: bool,
    },
    /// A held job is released by a person: print again as a duplicate, or give it up.
    PaperReleased {
        job: u64,
        print: bool,
        by: String,
    },
    /// What a self-test found; for customer service.
    SelfTested {
        report: Box<crate::SelfTest>,
    },
    /// The journal was restored: payments are stopped until the supervisor ends the recovery.
    Restored {
        restored: Box<Restored>,
    },
    /// The supervisor has reconciled what was lost.
    RecoveryEnded {
        by: String,
    },
    /// The terminal's time is doubtful until a host confirms it at a sign-in.
    Clock {
        event: ClockEvent,
    },
    /// A person chose the terminal's language; it stays until the next choice.
    LanguageSet {
        language: crate::config::Language,
        by: String,
    },
    /// Something happened to an operator; with a transaction, the supervisor was asked to allow it.
    Operator {
        event: OperatorEvent,
    },
}
