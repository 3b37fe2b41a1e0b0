//! Records of a request: from its acceptance to its outcome.
use super::{Asking, Due, OutcomePaper};
use crate::{
    account::{AccountId, Stan},
    host::{FrameTrace, HostAnswer, Plan, ReversalReason},
    outcome::Outcome,
    request::{Request, RequestKey},
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whose word a provisional approval waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProvisionalOf {
    /// The host approved a part of the amount: the cashier decides.
    Part,
    /// The chip card has the last word (EMV 4.3 Book 3 §10.11).
    Card,
}

/// What became of a request, and of the original that it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestRecord {
    /// A request was accepted; `view` is its outcome as far as it is known.
    Started { txn: u64, key: RequestKey, hash: String, request: Box<Request>, view: Arc<Outcome> },
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
    /// The merchant's policy does not accept the sale that could not be sent.
    OfflineDenied { txn: u64, account: AccountId, judgement: crate::offline::Judgement },
    /// No byte left: the obligation of `stan` is void.
    NotSent { txn: u64, account: AccountId, stan: Stan, why: String },
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
    /// The payer has not confirmed yet (F39 of class P): the wallet is asked.
    Pending {
        txn: u64,
        account: AccountId,
        stan: Stan,
        answer: Box<HostAnswer>,
        asking: Asking,
        trace: FrameTrace,
    },
    /// The host said yes, and that is not ours yet: card or cashier must agree. The obligation stays armed
    /// until then; a restart reverses it.
    Provisional {
        txn: u64,
        account: AccountId,
        stan: Stan,
        of: ProvisionalOf,
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
    Voided { txn: u64, by: u64 },
    /// The pre-authorisation `txn` is taken up by the completion `by`.
    Completed { txn: u64, by: u64 },
    /// The sale `txn` has a tip by `by`, minor units.
    Adjusted { txn: u64, by: u64, tip: u64 },
    /// The refund `by` may take so much of `txn`: before its frame leaves.
    RefundHeld { txn: u64, by: u64, minor: u64 },
    /// Gives back what `RefundHeld` took: the refund was not executed.
    RefundFreed { txn: u64, by: u64, minor: u64 },
    /// The acquirer refused the advice `by`: what it did to `txn` does not hold.
    Released { txn: u64, by: u64 },
}
