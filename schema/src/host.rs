//! Messages that the core asks a host link to send, and their answers. The clear message is made by `hosts`,
//! keys by `vault`.
use crate::{
    account::{AccountId, Batch, Stan},
    device::DeviceKind,
    download::{EmvAnswer, EmvAsk},
    icc::Icc,
    kind::Kind,
    money::Money,
    secret::{Pan, PaymentCode, PinBlock, Tracks},
    settlement::{BatchPart, SettlementReply},
    time::{Millis, Time},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Entry mode: how a card or payment code is presented. The digits of F22 for each are in the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryMode {
    /// Number and expiry typed on the keypad.
    Manual,
    /// Magnetic stripe.
    Swipe,
    /// Payment code of a wallet, scanned.
    Code,
    /// Chip card, inserted.
    Chip,
    /// Contactless card, held to the reader.
    Contactless,
}

/// Row of [`ENTRY_MODES`].
pub struct EntryModeRow {
    pub mode: EntryMode,
    /// Name in configuration, JSON and D-Bus.
    pub name: &'static str,
    /// Kind of device that reads it.
    pub device: DeviceKind,
    /// Card (true) or payment code.
    pub card: bool,
}

/// Entry modes in the order in which they are offered.
pub const ENTRY_MODES: [EntryModeRow; 5] = [
    EntryModeRow { mode: EntryMode::Swipe, name: "swipe", device: DeviceKind::MagneticReader, card: true },
    EntryModeRow { mode: EntryMode::Chip, name: "chip", device: DeviceKind::ChipReader, card: true },
    EntryModeRow {
        mode: EntryMode::Contactless,
        name: "contactless",
        device: DeviceKind::ContactlessReader,
        card: true,
    },
    EntryModeRow { mode: EntryMode::Code, name: "code", device: DeviceKind::Scanner, card: false },
    EntryModeRow { mode: EntryMode::Manual, name: "manual", device: DeviceKind::Keypad, card: true },
];

impl EntryMode {
    /// Row of this mode.
    pub const fn row(self) -> &'static EntryModeRow {
        &ENTRY_MODES[match self {
            EntryMode::Swipe => 0,
            EntryMode::Chip => 1,
            EntryMode::Contactless => 2,
            EntryMode::Code => 3,
            EntryMode::Manual => 4,
        }]
    }
    /// Mode of what devices of this kind read; none of a device that reads no card and no code.
    pub fn of(device: DeviceKind) -> Option<EntryMode> {
        ENTRY_MODES.iter().find(|r| r.device == device).map(|r| r.mode)
    }
    /// Modes of cards (true) or of payment codes (false).
    pub fn of_cards(card: bool) -> Vec<EntryMode> {
        ENTRY_MODES.iter().filter(|r| r.card == card).map(|r| r.mode).collect()
    }
}

/// Wallet to which a payment code belongs (host-protocol §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wallet {
    Wechat,
    Alipay,
    Unionpay,
}
impl Wallet {
    pub const fn name(self) -> &'static str {
        match self {
            Wallet::Wechat => "wechat",
            Wallet::Alipay => "alipay",
            Wallet::Unionpay => "unionpay",
        }
    }
}

/// Message of a kind: the request, or one about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// The request itself.
    Request,
    /// An advice again: the same message with the same STAN (MTI xxx1 where the profile's `repeat_mti` says
    /// so).
    Repeat,
    /// Query for the result of a payment by code (host-protocol §8): `plan.stan` is the query's own,
    /// `plan.original` names the payment.
    Query,
    /// Results of an issuer's script on a chip card (0620): `plan.stan` is its own, `plan.original` names the
    /// payment.
    ScriptResult,
    /// Reversal 冲正 of the request (0400), with F39 of [`ReversalReason`].
    Reversal(ReversalReason),
}

/// Reason of a reversal: its F39 (host-protocol §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReversalReason {
    /// 98: no reply came.
    NoReply,
    /// A0: the reply had a bad MAC.
    BadMac,
    /// 06: another reason.
    Other,
    /// 96: a fault of the terminal.
    TerminalFault,
}
impl ReversalReason {
    /// F39, two characters.
    pub const fn code(self) -> &'static str {
        match self {
            ReversalReason::NoReply => "98",
            ReversalReason::BadMac => "A0",
            ReversalReason::Other => "06",
            ReversalReason::TerminalFault => "96",
        }
    }
}

/// Part of a message that is no secret. It is in the record that allows the frame to leave, so that a
/// reversal can be built from disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    pub kind: Kind,
    pub stan: Stan,
    pub batch: Batch,
    /// F4, and F49 for its currency.
    pub amount: Option<Money>,
    /// Entry mode (F22); none without card or code (sign-in, echo).
    pub mode: Option<EntryMode>,
    /// A PIN block goes with the request (third digit of F22, F26, F53).
    pub pin: bool,
    /// A track goes with the request (F53).
    pub track: bool,
    /// The card was swiped since its chip could not be read (F22, F60.5).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
    pub wallet: Option<Wallet>,
    /// Expiry (F14), YYMM, when it was typed or comes from the chip.
    pub expiry: Option<String>,
    /// Card sequence number (F23).
    pub card_sequence: Option<u8>,
    /// Original of a void, refund, completion ...
    pub original: Option<OriginalRef>,
    /// Operator number, two digits (F63 用户号).
    pub operator: String,
    /// Time at which the plan was made (F12, F13 where the terminal sends them).
    pub at: Time,
    /// Host's clock minus the terminal's, as the last sign-in showed it: F12, F13 and dates in F61 that the
    /// terminal makes itself are of the host's clock.
    #[serde(default, skip_serializing_if = "Millis::is_zero")]
    pub offset: Millis,
    /// Authorisation code (F38) where it is known: of the answered request that is reversed; of a voice sale
    /// the issuer's code.
    pub auth_code: Option<String>,
    /// Tip of a tip adjustment (F48), minor units; `amount` is the new total then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<u64>,
    /// Card scheme of the original of a refund (F63), "000" when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Content of a settlement's message (F48).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<Box<BatchPart>>,
    /// Authority of a payment that was accepted without the host; the message is its advice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_authority: Option<crate::offline::OfflineAuthority>,
    /// EMV data elements of a chip's payment (F55); without card data, so that a reversal from disk has them
    /// too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icc: Option<Icc>,
    /// Message of a download of CA keys or applications; the kind is the parameters then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<EmvAsk>,
}

/// Original as a message names it (F37, F38, F61).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OriginalRef {
    /// Batch, with `stan`; none (zeros in F61) when the original is not in our journal.
    pub batch: Option<Batch>,
    pub stan: Option<Stan>,
    /// Date as the host gave it (F13), MMDD.
    pub date: Option<String>,
    pub rrn: Option<String>,
    pub auth_code: Option<String>,
}

/// Secret part of a message. It is in memory only, but for the card number, which the journal keeps sealed
/// while an obligation or an open batch needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardSecrets {
    pub pan: Option<Pan>,
    pub tracks: Option<Tracks>,
    pub pin_block: Option<PinBlock>,
    pub code: Option<PaymentCode>,
    /// Card numbers of an upload, in the order of its records; none for a record without one.
    pub pans: Vec<Option<Pan>>,
}

/// Source of the secret part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretsFrom {
    /// Secrets are given with the message.
    Memory(CardSecrets),
    /// The sealed card number of this transaction.
    Sealed(u64),
    /// The sealed card numbers of these transactions, for an upload; one that is not there is no reason not
    /// to upload the rest.
    SealedMany(Vec<Option<u64>>),
    None,
}

/// Message that the core asks a host link to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMessage {
    pub account: AccountId,
    /// Number that the [`HostEvent`]s of this message carry; unique in this run of the terminal.
    pub tag: u64,
    pub message_kind: MessageKind,
    pub plan: Plan,
    pub secrets: SecretsFrom,
    /// Time until which the answer must be there, else [`HostEvent::NoReply`] (or `NotSent`).
    pub deadline: Time,
    /// Request id for the log; none for messages of the terminal itself.
    pub log: Option<String>,
}

/// Event of a message. Exactly one of `NotSent`, `Untrusted`, `Unbuildable`, `NoReply`, `Unusable`, `Reply`
/// follows each message; `Late` may follow `NoReply` and `Unusable`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// No byte of the frame was handed to the socket.
    NotSent { why: String },
    /// No byte of the frame was handed to the socket: the certificate of the host, or of the terminal, is not
    /// taken. `why` says so in words and dates.
    Untrusted { why: String },
    /// No byte left, and none ever can: the message cannot be built (its sealed card number is gone, the
    /// profile refuses it).
    Unbuildable { why: String },
    /// The frame or a part of it may have left, and no valid answer came.
    NoReply { why: String, trace: FrameTrace },
    /// The frame left, and the answer to it cannot be read, or what decides in it is malformed: it says
    /// nothing. `why` names the field and the rule that it breaks.
    Unusable { why: String, trace: FrameTrace },
    /// A valid answer came in time.
    Reply { answer: Box<HostAnswer>, trace: FrameTrace },
    /// A valid answer came after `NoReply` or `Unusable` was told.
    Late { answer: Box<HostAnswer>, trace: FrameTrace },
}

/// Verdict on the MAC (F64) of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MacVerdict {
    Good,
    Wrong,
    /// The reply carries no MAC.
    Absent,
    /// Replies of this type carry no MAC by the profile.
    NotUsed,
}

/// Verdict on the working keys of a sign-in reply (host-protocol §4); the keys themselves went into the
/// vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeysVerdict {
    /// The reply held no keys.
    None,
    /// All keys are in the vault, their check values are right.
    Loaded,
    /// A check value is wrong or the form was refused; none of the message's keys is kept. The text holds no
    /// key.
    Refused(String),
}

/// Reply that belongs to its message, decoded; holds no card data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostAnswer {
    /// Response code (F39), two characters.
    pub code: String,
    pub mac: MacVerdict,
    pub keys: KeysVerdict,
    /// Amount of the reply (F4), minor units.
    pub amount: Option<u64>,
    /// Host time (F12), hhmmss.
    pub time: Option<String>,
    /// Host date (F13), MMDD.
    pub date: Option<String>,
    /// Settlement date (F15), MMDD.
    pub settlement_date: Option<String>,
    /// Acquirer (F32).
    pub acquirer: Option<String>,
    /// Reference number of the host, RRN (F37), 12 characters.
    pub rrn: Option<String>,
    /// Authorisation code (F38), 6 characters.
    pub auth_code: Option<String>,
    /// Issuer of the card (first 11 characters of F44), trimmed.
    pub issuer_id: Option<String>,
    /// Acquirer (last 11 characters of F44), trimmed.
    pub acquirer_id: Option<String>,
    /// Available balance (F54, amount type 02), minor units; negative when the account is overdrawn.
    pub balance: Option<i64>,
    /// Settlement batch of the host (F60.2).
    pub batch: Option<Batch>,
    /// Card scheme (F63): `CUP` = domestic.
    pub scheme: Option<String>,
    /// Texts of issuer, UnionPay and acquirer (F63), trimmed.
    pub texts: Vec<String>,
    /// Merchant's fee, minor units, where the profile says where it is.
    pub fee: Option<u64>,
    /// Parameters of a parameters reply (F62): pairs of `key=value`, at most [`HostAnswer::MAX_PARAMETERS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
    /// Totals of a settlement's reply (F48); none when they are absent or not made of 62 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<SettlementReply>,
    /// EMV data elements for the chip (F55): the issuer's authentication data (91) and scripts (71, 72).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icc: Option<Icc>,
    /// Content of an answer to a message of a download (F62).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub download: Option<EmvAnswer>,
    /// Processing requirement of the header (0 none, 3 sign in again ...; host-protocol §1).
    pub requirement: u8,
}

impl HostAnswer {
    /// Greatest number of parameters in one reply; F62 holds 512 bytes.
    pub const MAX_PARAMETERS: usize = 64;
}

/// Frames of an exchange as the dispute page shows them; masked when made, never hold a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrameTrace {
    pub sent: Arc<[FieldView]>,
    pub received: Vec<FieldView>,
}

/// Line of a masked frame: `F2 PAN 623456******1234`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldView {
    /// Field: `MTI`, `TPDU`, `HEADER`, `F2` ... Shared with the profile, as the name is.
    pub field: Arc<str>,
    pub name: Arc<str>,
    pub value: String,
}

/// Further try that the terminal may make by itself in the same request, after a response code (host-protocol
/// §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryRule {
    Never,
    /// Try again with a new STAN: nothing reached the issuer.
    Now,
    /// Ask for the PIN again.
    Pin,
    /// Sign in, then try again.
    SignIn,
    /// Ask for the card's chip in place of its stripe.
    Insert,
    /// No further try, the host has had the message (94): ends advices and reversals, stops authorisations.
    Done,
}

/// Row of a profile's table of response codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeRule {
    /// Class of the code, for texts and advice.
    pub class: crate::outcome::Class,
    /// Further try that the terminal makes by itself.
    pub retry: RetryRule,
    /// The request is reversed although it was answered: the issuer may have debited.
    #[serde(default)]
    pub reverse: bool,
}

/// Times at which the wallet of a pending payment by code is asked (host-protocol §8), counted from the
/// pending answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletQuery {
    /// Time of the first query.
    pub first: crate::time::Millis,
    /// Time from one query to the next.
    pub every: crate::time::Millis,
    /// Time after which the payment is reversed.
    pub until: crate::time::Millis,
}

/// Rules of an acquirer's profile that the core needs; made by `hosts` from the profile's TOML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRules {
    /// Rules by response code; a code that is not here is a failure of class C, `Never`.
    pub codes: std::collections::BTreeMap<String, CodeRule>,
    /// Response codes that end a reversal (00, 12, 25).
    pub reversal_ends: Vec<String>,
    /// The account must be signed in before financial messages.
    pub sign_in: bool,
    /// A class A reply of a financial message must carry a good MAC.
    pub mac_on_replies: bool,
    /// Time after a wallet payment before which it is not undone, by wallet (WeChat 15 s). Absent: the wallet
    /// takes an undo at once.
    pub wallet_undo_after: std::collections::BTreeMap<Wallet, crate::time::Millis>,
    /// Wallets that the acquirer takes.
    pub wallets: Vec<Wallet>,
    /// Response codes that end an advice (00, 94).
    pub advice_ends: Vec<String>,
    /// A duplicate (94) to a repeated advice bears the numbers that its first sending was given.
    pub duplicate_names_first: bool,
    /// Kinds whose messages have a place for EMV data (F55): others are not paid with a chip.
    pub icc: Vec<Kind>,
    /// The profile has a message for the results of issuer scripts ([`MessageKind::ScriptResult`]).
    pub script_results: bool,
    /// The profile has a query message ([`MessageKind::Query`]).
    pub query: bool,
    /// Times of the queries by wallet; a wallet that is not here is not queried.
    pub wallet_query: std::collections::BTreeMap<Wallet, WalletQuery>,
    /// Response codes of a success by another amount (10): F4 of the answer is what was approved.
    pub partial: Vec<String>,
    /// Response codes to the totals of a settlement that say that they do not balance (95).
    pub not_balanced: Vec<String>,
    /// Greatest completion of a pre-authorisation, in percent of it (115).
    pub completion_percent: crate::config::Percent,
    /// Kinds that this profile has a message for.
    pub kinds: Vec<Kind>,
    /// Advices that may be under way at the same time, beside what is under way for a customer; 0 means 1.
    pub advices_in_flight: u32,
    /// The terminal downloads CA keys and applications: the profile has messages for it, and a card kernel is
    /// there.
    pub downloads: bool,
    /// Authorities without the host that the acquirer has messages for.
    pub offline_authorities: Vec<crate::offline::OfflineAuthority>,
    /// A settlement tells the TCs of chip cards.
    pub certificates: bool,
    /// Kinds whose message has no place for a PIN: the customer is not asked for one.
    pub no_pin: Vec<Kind>,
}
