//! Papers: what is to be printed, durable until the printer confirmed it.
use crate::outcome::Outcome;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which paper of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaperKind {
    /// 商户存根
    MerchantCopy,
    /// 持卡人存根
    CustomerCopy,
    /// "Do not take the money again".
    UnknownSlip,
    /// An obligation is Stuck: for a person.
    StuckSlip,
    /// 余额
    BalanceSlip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PaperState {
    /// Waits for the printer; `attempts` = 0 means that no byte of it was ever sent.
    Waiting,
    /// Bytes may have left.
    Printing,
    /// Confirmed by the printer (or sent, for a printer without a back-channel).
    Done,
    /// Unconfirmed; offered to the cashier because the config says `duplicate = "ask"`.
    Held,
}

/// One paper. A job that may have reached the paper is printed again only from its start, headed 重打印 / DUPLICATE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaperJob {
    pub id: u64,
    pub kind: PaperKind,
    pub state: PaperState,
    pub attempts: u32,
    /// Why it is not printed yet.
    pub problem: Option<String>,
    pub outcome: Box<Outcome>,
}

/// What a printer driver answers for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrintResult {
    /// The printer said that the paper is out of it (process id answered, or good status after the job).
    Confirmed,
    /// All bytes were taken by a printer that cannot answer.
    SentUnconfirmable,
    /// No byte of the job was sent (no paper, cover open, not reachable).
    NotStarted(String),
    /// Bytes were sent and no confirmation came.
    Unconfirmed(String),
}
