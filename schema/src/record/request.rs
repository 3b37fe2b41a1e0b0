//! Records of a request: from its acceptance to its outcome.
use super::{Asking, Due, OutcomePaper};
use crate::{
    account::{AccountId, Stan},
    host::{FrameTrace, HostAnswer, Plan, ReversalReason},
    icc::Icc,
    outcome::Outcome,
    request::{Request, RequestKey},
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Party whose word a provisional approval waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProvisionalOf {
    /// The cashier: the host approved a part of the amount.
    Part,
    /// The chip card, which has the last word (EMV 4.3 Book 3 §10.11).
    Card,
}

/// Record of a request, or of an original that a request changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestRecord {
    /// A request was accepted: from here on it is on disk. `view` is its outcome as far as it is known.
    Started { txn: u64, key: RequestKey, hash: String, request: Box<Request>, view: Arc<Outcome> },
    /// The frame may leave: its STAN is used, and (`owes`) its obligation exists. `view` is the outcome as
    /// far as it is known (card, account, STAN).
    Allowed {
        txn: u64,
        account: AccountId,
        plan: Box<Plan>,
        view: Arc<Outcome>,
        owes: bool,
        /// Card that was presented.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        card: Option<crate::account::CardToken>,
    },
    /// A sale is accepted without the host, by the merchant or by the card: `plan` is its advice, which is
    /// owed from here on.
    OfflineAllowed {
        txn: u64,
        account: AccountId,
        plan: Box<Plan>,
        view: Arc<Outcome>,
        card: Option<crate::account::CardToken>,
        judgement: crate::offline::Judgement,
    },
    /// A sale is not accepted without the host.
    OfflineDenied { txn: u64, account: AccountId, judgement: crate::offline::Judgement },
    /// No byte of the frame left: the obligation of `stan` is void.
    NotSent { txn: u64, account: AccountId, stan: Stan, why: String },
    /// A frame left and no valid answer came in time: its obligation is due.
    NoReply {
        txn: u64,
        account: AccountId,
        stan: Stan,
        why: String,
        reason: ReversalReason,
        not_before: Time,
        trace: FrameTrace,
    },
    /// A valid answer came. `due`: the request is reversed all the same (refusal without F64, partial
    /// approval, `reverse` in the code table, a wallet's pending payment).
    Answered {
        txn: u64,
        account: AccountId,
        stan: Stan,
        answer: Box<HostAnswer>,
        due: Option<Due>,
        trace: FrameTrace,
    },
    /// An answer was discarded because of its MAC, or came late; it is kept for the dispute page.
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
    /// The host said yes, and card or cashier must agree. The obligation stays armed until then; a restart
    /// reverses it.
    Provisional {
        txn: u64,
        account: AccountId,
        stan: Stan,
        of: ProvisionalOf,
        answer: Box<HostAnswer>,
        trace: FrameTrace,
    },
    /// The host's decision stands, and the chip card is still to hear of it: whatever the card makes of it,
    /// and at a restart, this is the outcome.
    CardHears { txn: u64, outcome: Arc<Outcome> },
    /// The chip card has ended with a decision: `approved` by a TC, or not. `icc`: EMV data elements of its
    /// end, for the reversal of the frame `stan` and for the settlement.
    CardEnded { txn: u64, stan: Stan, approved: bool, icc: Icc },
    /// The request has this outcome: final, or `Unknown`. `papers`: its papers, which are queued with it.
    Outcome {
        outcome: Arc<Outcome>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        papers: Vec<OutcomePaper>,
    },
    /// The sale `txn` is voided by `by`; or the completion or pre-authorisation `txn` is cancelled by `by`.
    Voided { txn: u64, by: u64 },
    /// The pre-authorisation `txn` is paid out of by the completion `by`.
    Completed { txn: u64, by: u64 },
    /// The sale `txn` has a tip by the adjustment `by`, minor units.
    Adjusted { txn: u64, by: u64, tip: u64 },
    /// The refund `by` may take this sum of `txn`, minor units; written before its frame leaves.
    RefundHeld { txn: u64, by: u64, minor: u64 },
    /// Gives back what `RefundHeld` took: the refund was not executed.
    RefundFreed { txn: u64, by: u64, minor: u64 },
    /// The acquirer refused the advice `by`, or the completion `by` was cancelled: its effect on `txn` is
    /// taken back.
    Released { txn: u64, by: u64 },
}
