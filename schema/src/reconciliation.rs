//! Words of a reconciliation 对账: how the acquirer's file of a batch differs from our journal.
use crate::{
    account::{AccountId, Batch, Stan},
    kind::Kind,
    money::Currency,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the two sides differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Differs {
    /// The acquirer has it, the terminal has not.
    MissingHere,
    /// The terminal has it, the acquirer has not.
    MissingThere,
    Amount,
    /// Approved on one side, taken back or refused on the other.
    Status,
    /// The acquirer counts what was written off here.
    WrittenOff,
    /// The acquirer counts what is unknown here.
    Unknown,
}
impl Differs {
    pub const fn name(self) -> &'static str {
        match self {
            Differs::MissingHere => "missing_here",
            Differs::MissingThere => "missing_there",
            Differs::Amount => "amount",
            Differs::Status => "status",
            Differs::WrittenOff => "written_off",
            Differs::Unknown => "unknown",
        }
    }
}

/// A record on which the two sides do not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    pub differs: Differs,
    pub stan: Stan,
    pub kind: Kind,
    /// The transaction on the terminal, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrn: Option<String>,
    /// Minor units on the terminal and at the acquirer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub there: Option<u64>,
    /// Advice to the person, in the terminal's language.
    #[serde(default)]
    pub next: String,
}

/// Result of comparing a batch with the acquirer's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reconciliation {
    pub account: AccountId,
    pub batch: Batch,
    pub currency: Currency,
    /// Records that both sides have, and agree on.
    pub agree: u32,
    pub differences: Vec<Difference>,
    /// Further differences that are not listed.
    #[serde(default)]
    pub more: u32,
}
