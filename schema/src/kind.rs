//! The kind sheet: one row per transaction kind. Flow, tests and documentation come from it; the acquirer's profile
//! fills in message values.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of transaction that an app may request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 消费
    Sale,
    /// 消费撤销: takes back a sale of the open batch.
    Void,
    /// 余额查询
    Balance,
    /// 签到
    SignIn,
    /// 签退
    SignOff,
    /// 回响
    Echo,
}

/// What a frame that left owes when no answer came (host-protocol §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// Send a reversal until 00, 12 or 25.
    Reverse,
    /// Nothing is owed: ask again.
    AskAgain,
}

/// Which side of the settlement totals an approval counts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Debit,
    Credit,
    None,
}

/// How the original transaction is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OriginalBy {
    None,
    /// By the original's request id, or by STAN or RRN in the open batch.
    OpenBatch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KindRow {
    pub kind: Kind,
    pub amount: bool,
    pub original: OriginalBy,
    /// A card or a payment code is presented by the customer.
    pub card: bool,
    pub code: bool,
    pub pin: bool,
    pub recovery: Recovery,
    pub side: Side,
    pub slip: bool,
    /// An authorisation: waits for the account's obligations and a sign-in.
    pub authorisation: bool,
}

const fn row(kind: Kind) -> KindRow {
    KindRow {
        kind,
        amount: false,
        original: OriginalBy::None,
        card: false,
        code: false,
        pin: false,
        recovery: Recovery::AskAgain,
        side: Side::None,
        slip: false,
        authorisation: false,
    }
}

impl Kind {
    pub const ALL: [Kind; 6] = [Kind::Sale, Kind::Void, Kind::Balance, Kind::SignIn, Kind::SignOff, Kind::Echo];

    pub const fn row(self) -> KindRow {
        match self {
            Kind::Sale => KindRow {
                amount: true,
                card: true,
                code: true,
                pin: true,
                recovery: Recovery::Reverse,
                side: Side::Debit,
                slip: true,
                authorisation: true,
                ..row(self)
            },
            Kind::Void => {
                KindRow { original: OriginalBy::OpenBatch, recovery: Recovery::Reverse, side: Side::Credit, slip: true, authorisation: true, ..row(self) }
            }
            Kind::Balance => KindRow { card: true, pin: true, authorisation: true, ..row(self) },
            Kind::SignIn | Kind::SignOff | Kind::Echo => row(self),
        }
    }
    /// The name in config, JSON, SQL and D-Bus.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Sale => "sale",
            Kind::Void => "void",
            Kind::Balance => "balance",
            Kind::SignIn => "sign_in",
            Kind::SignOff => "sign_off",
            Kind::Echo => "echo",
        }
    }
}
