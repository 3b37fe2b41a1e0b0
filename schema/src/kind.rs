//! Kind sheet: one row per transaction kind. Flow, tests and documentation come from it; the acquirer's
//! profile fills in message values.
use crate::card::Depth;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kind of transaction that an app may request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 消费: takes money.
    Sale,
    /// 消费撤销: takes back a sale of the open batch.
    Void,
    /// 退货: gives back a payment of any batch, the whole or a part.
    Refund,
    /// 余额查询: asks what is left on the card.
    Balance,
    /// 预授权: sets an amount of the card aside; nothing is paid.
    PreAuth,
    /// 预授权撤销: frees what a pre-authorisation set aside.
    PreAuthCancel,
    /// 预授权完成请求: pays out of a pre-authorisation.
    Completion,
    /// 预授权完成通知: the same, told afterwards as an advice.
    CompletionAdvice,
    /// 预授权完成撤销: takes back a completion of the open batch; its hold comes back.
    CompletionCancel,
    /// 小费调整: adds a tip to a sale of the open batch.
    TipAdjust,
    /// 离线结算: a sale that the issuer authorised by telephone.
    VoiceSale,
    /// 参数下载: the acquirer's parameters for this terminal.
    Parameters,
    /// 状态上送: tells the acquirer how the terminal is.
    StatusUpload,
    /// 批结算: closes the batch of an account with the acquirer.
    Settlement,
    /// 签到: gets working keys and the batch number.
    SignIn,
    /// 签退: gives the working keys up.
    SignOff,
    /// 回响: asks whether the host answers.
    Echo,
}

/// Rule for the amount of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AmountRule {
    /// No amount is given.
    None,
    /// An amount is needed.
    Needed,
    /// An amount may be given; without one: all that is left of the original. Needed where the original is
    /// not in our journal.
    Optional,
}

/// Rule for the way in which a request names its original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OriginalBy {
    /// No original is named.
    None,
    /// Original is named by its request id, or by STAN or RRN in the open batch.
    OpenBatch,
    /// Original is named by its request id, or by RRN and date; it need not be in our journal.
    AnyBatch,
    /// Pre-authorisation is named by its request id, or by authorisation code (F38) and date; it need not be
    /// in our journal.
    Authorisation,
}

/// Rule for the card: whether the customer presents one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CardRule {
    /// No card is asked for.
    None,
    /// A card (or, with [`KindRow::code`], a payment code) is asked for.
    Needed,
    /// The card is asked for again when the original was paid by card or is not known; nothing for a
    /// wallet's.
    AsOriginal,
}

/// Operator who may do it, from the least right on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    Cashier,
    Supervisor,
}

/// Recovery: what is owed after a frame that left and was not answered (host-protocol §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recovery {
    /// A reversal is sent until 00, 12 or 25.
    Reverse,
    /// The same message is sent again, with the same STAN, until 00 or 94.
    Repeat,
    /// The message is never reversed and never sent again: a person asks the acquirer.
    ManualResolution,
    /// Nothing is owed: whoever wants it asks again.
    AskAgain,
}

/// Side of the settlement totals on which an approval counts; a tip adjustment counts by its tip only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Debit,
    Credit,
    None,
}

/// Mark that an approval leaves on its original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    None,
    /// Original is taken back as a whole.
    Voided,
    /// Original is given back, in part or as a whole.
    Refunded,
    /// Pre-authorisation is paid out of.
    Completed,
    /// Original gets a tip.
    Adjusted,
}

/// Row of the kind sheet: the rules of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct KindRow {
    pub kind: Kind,
    /// Rule for the amount; of a tip adjustment it is the tip.
    pub amount: AmountRule,
    pub original: OriginalBy,
    /// Kinds of which the original may be.
    pub originals: &'static [Kind],
    pub marks_original: Mark,
    pub card: CardRule,
    /// How far a chip card's run goes; none where no card is presented.
    pub chip: Option<Depth>,
    /// A payment code may be presented in place of a card.
    pub code: bool,
    /// The customer's PIN is asked for, unless the profile has no place for one.
    pub pin: bool,
    /// The request names the authorisation code that the issuer gave by telephone.
    pub voice: bool,
    pub right: Right,
    pub recovery: Recovery,
    /// Acceptance without the host is possible, by the merchant's offline policy.
    pub offline: bool,
    pub side: Side,
    /// A slip is printed after an approval.
    pub slip: bool,
    /// Authorisation: waits until the account is signed in and owes nothing.
    pub authorisation: bool,
    /// Effect of a second try under a new request id, in words for docs/kinds.md.
    pub second: &'static str,
}

/// Column [`KindRow::chip`]: a message of the whole run must be one that can be taken back, or moves nothing.
const fn chip(kind: Kind) -> Option<Depth> {
    match kind {
        Kind::Sale | Kind::PreAuth | Kind::Balance => Some(Depth::Full),
        Kind::Refund | Kind::PreAuthCancel | Kind::Completion | Kind::CompletionAdvice | Kind::VoiceSale => {
            Some(Depth::Read)
        }
        Kind::Void
        | Kind::CompletionCancel
        | Kind::TipAdjust
        | Kind::Parameters
        | Kind::StatusUpload
        | Kind::Settlement
        | Kind::SignIn
        | Kind::SignOff
        | Kind::Echo => None,
    }
}

const fn row(kind: Kind) -> KindRow {
    KindRow {
        kind,
        amount: AmountRule::None,
        original: OriginalBy::None,
        originals: &[],
        marks_original: Mark::None,
        card: CardRule::None,
        chip: chip(kind),
        code: false,
        pin: false,
        voice: false,
        right: Right::Cashier,
        recovery: Recovery::AskAgain,
        offline: false,
        side: Side::None,
        slip: false,
        authorisation: false,
        second: "asks again",
    }
}

/// Row of a kind that is an authorisation and prints a slip.
const fn financial(kind: Kind) -> KindRow {
    KindRow { slip: true, authorisation: true, ..row(kind) }
}

impl Kind {
    pub const ALL: [Kind; 17] = [
        Kind::Sale,
        Kind::Void,
        Kind::Refund,
        Kind::Balance,
        Kind::PreAuth,
        Kind::PreAuthCancel,
        Kind::Completion,
        Kind::CompletionAdvice,
        Kind::CompletionCancel,
        Kind::TipAdjust,
        Kind::VoiceSale,
        Kind::Parameters,
        Kind::StatusUpload,
        Kind::Settlement,
        Kind::SignIn,
        Kind::SignOff,
        Kind::Echo,
    ];

    /// Row of this kind.
    pub const fn row(self) -> KindRow {
        match self {
            Kind::Sale => KindRow {
                amount: AmountRule::Needed,
                card: CardRule::Needed,
                code: true,
                pin: true,
                recovery: Recovery::Reverse,
                offline: true,
                side: Side::Debit,
                second: "is a new payment",
                ..financial(self)
            },
            Kind::Void => KindRow {
                original: OriginalBy::OpenBatch,
                originals: &[Kind::Sale],
                marks_original: Mark::Voided,
                right: Right::Supervisor,
                recovery: Recovery::Reverse,
                side: Side::Credit,
                second: "refused: original-voided",
                ..financial(self)
            },
            Kind::Refund => KindRow {
                amount: AmountRule::Optional,
                original: OriginalBy::AnyBatch,
                originals: &[Kind::Sale, Kind::Completion, Kind::CompletionAdvice, Kind::VoiceSale],
                marks_original: Mark::Refunded,
                card: CardRule::AsOriginal,
                right: Right::Supervisor,
                recovery: Recovery::ManualResolution,
                side: Side::Credit,
                second: "refunds a further part; refused above what is left of the original",
                ..financial(self)
            },
            Kind::Balance => KindRow { card: CardRule::Needed, pin: true, authorisation: true, ..row(self) },
            Kind::PreAuth => KindRow {
                amount: AmountRule::Needed,
                card: CardRule::Needed,
                pin: true,
                recovery: Recovery::Reverse,
                second: "sets a further amount aside",
                ..financial(self)
            },
            Kind::PreAuthCancel => KindRow {
                amount: AmountRule::Optional,
                original: OriginalBy::Authorisation,
                originals: &[Kind::PreAuth],
                marks_original: Mark::Voided,
                card: CardRule::Needed,
                pin: true,
                right: Right::Supervisor,
                recovery: Recovery::Reverse,
                second: "refused: original-cancelled",
                ..financial(self)
            },
            Kind::Completion => KindRow { pin: true, recovery: Recovery::Reverse, ..completion(self) },
            Kind::CompletionAdvice => KindRow { recovery: Recovery::Repeat, ..completion(self) },
            Kind::CompletionCancel => KindRow {
                original: OriginalBy::OpenBatch,
                originals: &[Kind::Completion, Kind::CompletionAdvice],
                marks_original: Mark::Voided,
                right: Right::Supervisor,
                recovery: Recovery::Reverse,
                side: Side::Credit,
                second: "refused: original-voided",
                ..financial(self)
            },
            Kind::TipAdjust => KindRow {
                amount: AmountRule::Needed,
                original: OriginalBy::OpenBatch,
                originals: &[Kind::Sale],
                marks_original: Mark::Adjusted,
                recovery: Recovery::Repeat,
                side: Side::Debit,
                second: "refused: original-adjusted",
                ..financial(self)
            },
            Kind::VoiceSale => KindRow {
                amount: AmountRule::Needed,
                card: CardRule::Needed,
                voice: true,
                recovery: Recovery::Repeat,
                side: Side::Debit,
                second: "is a new payment",
                ..financial(self)
            },
            Kind::Parameters => KindRow { right: Right::Supervisor, ..row(self) },
            Kind::Settlement => KindRow {
                recovery: Recovery::Repeat,
                second: "settles the next batch; refused while that is empty: batch-empty",
                ..row(self)
            },
            Kind::StatusUpload | Kind::SignIn | Kind::SignOff | Kind::Echo => row(self),
        }
    }
    /// Name in configuration, JSON, SQL and D-Bus.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Sale => "sale",
            Kind::Void => "void",
            Kind::Refund => "refund",
            Kind::Balance => "balance",
            Kind::PreAuth => "pre_auth",
            Kind::PreAuthCancel => "pre_auth_cancel",
            Kind::Completion => "completion",
            Kind::CompletionAdvice => "completion_advice",
            Kind::CompletionCancel => "completion_cancel",
            Kind::TipAdjust => "tip_adjust",
            Kind::VoiceSale => "voice_sale",
            Kind::Parameters => "parameters",
            Kind::StatusUpload => "status_upload",
            Kind::Settlement => "settlement",
            Kind::SignIn => "sign_in",
            Kind::SignOff => "sign_off",
            Kind::Echo => "echo",
        }
    }
    /// Tells whether the card number is kept, sealed, while the batch is open: a void or cancel needs it, and
    /// the upload of the batch.
    pub const fn keeps_pan(self) -> bool {
        matches!(
            self,
            Kind::Sale | Kind::Completion | Kind::CompletionAdvice | Kind::Refund | Kind::VoiceSale
        )
    }
    /// Kind of this name, or none.
    pub fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.name() == name)
    }
    /// Names of all kinds, for a fault's rule: `sale, void, ...`.
    pub fn names() -> String {
        Kind::ALL.map(Kind::name).join(", ")
    }
}

/// Row that both completions share.
const fn completion(kind: Kind) -> KindRow {
    KindRow {
        amount: AmountRule::Needed,
        original: OriginalBy::Authorisation,
        originals: &[Kind::PreAuth],
        marks_original: Mark::Completed,
        card: CardRule::Needed,
        side: Side::Debit,
        second: "refused: original-completed",
        ..financial(kind)
    }
}
