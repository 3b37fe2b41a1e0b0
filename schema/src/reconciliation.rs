//! Reconciliation 对账: how the acquirer's file of a batch differs from our journal.
use crate::{
    account::{AccountId, Batch, Stan},
    kind::Kind,
    money::Currency,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Difference between the two sides, by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Differs {
    /// The acquirer has the record, the terminal has not.
    MissingHere,
    /// The terminal has the record, the acquirer has not.
    MissingThere,
    /// The amounts differ.
    Amount,
    /// The record is approved on one side, taken back or refused on the other.
    Status,
    /// The record was written off here, and the acquirer counts it.
    WrittenOff,
    /// The record is unknown here, and the acquirer counts it.
    Unknown,
}
impl Differs {
    /// Name in JSON, D-Bus and text ids.
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

/// Record on which the two sides do not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    pub differs: Differs,
    pub stan: Stan,
    pub kind: Kind,
    /// Number of the transaction on the terminal, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrn: Option<String>,
    /// Amount on the terminal, minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<u64>,
    /// Amount at the acquirer, minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub there: Option<u64>,
    /// Advice to the person, in the terminal's language; filled in by the faces.
    #[serde(default)]
    pub next: String,
}

/// Result of comparing a batch with the acquirer's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reconciliation {
    pub account: AccountId,
    pub batch: Batch,
    pub currency: Currency,
    /// Number of records that both sides have, and agree on.
    pub agree: u32,
    pub differences: Vec<Difference>,
    /// Number of further differences, which are not listed.
    #[serde(default)]
    pub more: u32,
}
