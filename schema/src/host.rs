//! Messages that the core asks a host link to send, and their answers. The clear message is made by `hosts`,
//! keys by `vault`.
use crate::{
    account::{AccountId, Batch, Stan},
    device::DeviceKind,
    icc::Icc,
    kind::Kind,
    money::Money,
    secret::{Pan, PaymentCode, PinBlock, Tracks},
    settlement::{BatchPart, SettlementReply},
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// EntryMode in which an instrument comes in; the digits of F22 for each are in the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryMode {
    /// Number and expiry typed on the keypad.
    Manual,
    /// Magnetic stripe.
    Swipe,
    /// Payment code, scanned.
    Code,
    /// Chip card, inserted.
    Chip,
    /// Card held to the reader.
    Contactless,
}

/// Row of an entry mode.
pub struct EntryModeRow {
    pub mode: EntryMode,
    pub name: &'static str,
    /// Kind of the device that it comes from.
    pub device: DeviceKind,
    /// Comes from a card; else from a payment code.
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
    pub const fn row(self) -> &'static EntryModeRow {
        &ENTRY_MODES[match self {
            EntryMode::Swipe => 0,
            EntryMode::Chip => 1,
            EntryMode::Contactless => 2,
            EntryMode::Code => 3,
            EntryMode::Manual => 4,
        }]
    }
    /// Mode of what a device of this kind reads; none of a device that reads no instrument.
    pub fn of(device: DeviceKind) -> Option<EntryMode> {
        ENTRY_MODES.iter().find(|r| r.device == device).map(|r| r.mode)
    }
    /// Modes of cards (true) or of payment codes.
    pub fn of_cards(card: bool) -> Vec<EntryMode> {
        ENTRY_MODES.iter().filter(|r| r.card == card).map(|r| r.mode).collect()
    }
}

/// Which wallet a payment code belongs to (host-protocol §8).
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

/// Which message of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// The request itself.
    Request,
    /// An advice once more: the same message with the same STAN (MTI xxx1 where the profile's `repeat_mti`
    /// says so).
    Repeat,
    /// Query for the result of a payment by code (host-protocol §8): `plan.stan` is the query's own,
    /// `plan.original` names the payment.
    Query,
    /// Its reversal 冲正 (0400), with F39 of [`ReversalReason`].
    Reversal(ReversalReason),
}

/// F39 of a reversal (host-protocol §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReversalReason {
    /// 98: no reply.
    NoReply,
    /// A0: reply with a bad MAC.
    BadMac,
    /// 06: other.
    Other,
    /// 96: terminal fault.
    TerminalFault,
}
impl ReversalReason {
    pub const fn code(self) -> &'static str {
        match self {
            ReversalReason::NoReply => "98",
            ReversalReason::BadMac => "A0",
            ReversalReason::Other => "06",
            ReversalReason::TerminalFault => "96",
        }
    }
}

/// The part of a message that is no secret: it stands in the record that allows the frame to leave, so that a
/// reversal can be rebuilt from disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    pub kind: Kind,
    pub stan: Stan,
    pub batch: Batch,
    pub amount: Option<Money>,
    /// None without an instrument (sign-in, echo).
    pub mode: Option<EntryMode>,
    /// A PIN block is in the request (third digit of F22, F26, F53).
    pub pin: bool,
    /// F53's "a track is present".
    pub track: bool,
    pub wallet: Option<Wallet>,
    /// F14 YYMM when it was typed or comes from the chip.
    pub expiry: Option<String>,
    /// F23.
    pub card_sequence: Option<u8>,
    pub original: Option<OriginalRef>,
    /// Two digits, F63 用户号 "01".
    pub operator: String,
    /// When the plan was made (F12, F13 where the terminal sends them).
    pub at: Time,
    /// F38 when known (reversal of an answered request); of a voice sale the issuer's code.
    pub auth_code: Option<String>,
    /// F48 of a tip adjustment, minor units; `amount` is the new total then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<u64>,
    /// F63 of a refund: the card scheme of the original, "000" when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Of a settlement: which of its messages this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<Box<BatchPart>>,
    /// The advice of a payment that was accepted without the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_authority: Option<crate::offline::OfflineAuthority>,
    /// F55 of a chip's payment; without card data, so that a reversal from disk has it too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icc: Option<Icc>,
}

/// Names of an original in a message (F37, F38, F61).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OriginalRef {
    /// Batch and STAN; none (zeros in F61) when the original is not in our journal.
    pub batch: Option<Batch>,
    pub stan: Option<Stan>,
    /// MMDD as the host gave it (F13).
    pub date: Option<String>,
    pub rrn: Option<String>,
    pub auth_code: Option<String>,
}

/// The secret part; lives in memory only, but for the PAN, which the store keeps sealed while an obligation
/// or an open batch needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CardSecrets {
    pub pan: Option<Pan>,
    pub tracks: Option<Tracks>,
    pub pin_block: Option<PinBlock>,
    pub code: Option<PaymentCode>,
    /// Of an upload, in the order of its records; none where there is none any more.
    pub pans: Vec<Option<Pan>>,
}

/// Where the host link takes the secret part from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretsFrom {
    Memory(CardSecrets),
    /// The sealed PAN of this transaction.
    Sealed(u64),
    /// Those of an upload; one that is not there is no reason not to upload the rest.
    SealedMany(Vec<Option<u64>>),
    None,
}

/// Message that the core asks a host link to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMessage {
    pub account: AccountId,
    /// Correlates the [`HostEvent`]; unique for each message of this run of the daemon.
    pub tag: u64,
    pub message_kind: MessageKind,
    pub plan: Plan,
    pub secrets: SecretsFrom,
    /// The answer must be there by then, else [`HostEvent::NoReply`] (or `NotSent`).
    pub deadline: Time,
    /// Request id for the log, none for messages of the terminal itself.
    pub log: Option<String>,
}

/// Exactly one of `NotSent`, `Unbuildable`, `NoReply`, `Reply` follows each message; `Late` may follow
/// `NoReply`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostEvent {
    /// No byte of the frame was handed to the socket.
    NotSent {
        why: String,
    },
    /// No byte left, and none ever can: the message cannot be built (its sealed PAN is gone, the profile
    /// refuses it).
    Unbuildable {
        why: String,
    },
    /// The frame, or a part of it, may have left; no valid answer came.
    NoReply {
        why: String,
        trace: FrameTrace,
    },
    Reply {
        answer: Box<HostAnswer>,
        trace: FrameTrace,
    },
    Late {
        answer: Box<HostAnswer>,
        trace: FrameTrace,
    },
}

/// The verdict on F64 of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MacVerdict {
    Good,
    Wrong,
    /// The reply carries none.
    Absent,
    /// This message type carries none by the profile.
    NotUsed,
}

/// Verdict on the working keys of a sign-in reply (host-protocol §4); the keys themselves went into the
/// vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeysVerdict {
    /// The reply held none.
    None,
    Loaded,
    /// A check value failed or the form was refused; none of the message's keys is kept.
    Refused(String),
}

/// A matched reply, decoded; holds no card data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostAnswer {
    /// F39.
    pub code: String,
    pub mac: MacVerdict,
    pub keys: KeysVerdict,
    /// F4 of the reply, minor units.
    pub amount: Option<u64>,
    /// F12 hhmmss and F13 MMDD, host time.
    pub time: Option<String>,
    pub date: Option<String>,
    /// F15 MMDD.
    pub settlement_date: Option<String>,
    /// F32.
    pub acquirer: Option<String>,
    /// F37.
    pub rrn: Option<String>,
    /// F38.
    pub auth_code: Option<String>,
    /// F44: issuer 11 + acquirer 11, trimmed.
    pub issuer_id: Option<String>,
    pub acquirer_id: Option<String>,
    /// F54: amount type 02 available balance; minor units, negative for D.
    pub balance: Option<i64>,
    /// F60.2.
    pub batch: Option<Batch>,
    /// F63: card scheme (CUP = domestic) and the texts of issuer, UnionPay and acquirer, trimmed.
    pub scheme: Option<String>,
    pub texts: Vec<String>,
    /// Merchant's fee in minor units, where the profile says where it is.
    pub fee: Option<u64>,
    /// F62 of a parameters reply: `key=value` pairs, at most [`HostAnswer::MAX_PARAMETERS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
    /// F48 of a settlement's reply; none when it is not there or is not made of 62 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<SettlementReply>,
    /// F55 for the chip: the issuer's authentication (91) and scripts (71, 72).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub icc: Option<Icc>,
    /// Processing requirement of the header (0 none, 3 sign in again ...).
    pub requirement: u8,
}

impl HostAnswer {
    /// Greatest number of parameters in one reply; F62 holds 512 bytes.
    pub const MAX_PARAMETERS: usize = 64;
}

/// A frame as the dispute page shows it; masked when made, never holds a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrameTrace {
    pub sent: Arc<[FieldView]>,
    pub received: Vec<FieldView>,
}

/// One line of a masked frame: `F2 PAN 623456******1234`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldView {
    /// `MTI`, `TPDU`, `HEADER`, `F2` ... Shared with the profile, as the name is.
    pub field: Arc<str>,
    pub name: Arc<str>,
    pub value: String,
}

/// Further try that the terminal may make by itself in the same request after a code (host-protocol §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryRule {
    Never,
    /// Nothing reached the issuer: a new try with a new STAN.
    Now,
    /// Ask the PIN again.
    Pin,
    /// Sign in, then again.
    SignIn,
    /// 94: ends advices and reversals; stops authorisations.
    Done,
}

/// One row of a profile's response code table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeRule {
    pub class: crate::outcome::Class,
    pub retry: RetryRule,
    /// The issuer may have debited: reverse although it was answered (`reverse_on`).
    #[serde(default)]
    pub reverse: bool,
}

/// When a pending payment by code is asked for (host-protocol §8), counted from its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletQuery {
    /// The first query.
    pub first: crate::time::Millis,
    /// From one query to the next.
    pub every: crate::time::Millis,
    /// Then the payment is reversed.
    pub until: crate::time::Millis,
}

/// Rules of an acquirer's profile that the core needs; made by `hosts` from the profile's TOML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRules {
    /// By F39; a code that is not here is a failure of class C, `Never`.
    pub codes: std::collections::BTreeMap<String, CodeRule>,
    /// Codes that end a reversal (00, 12, 25).
    pub reversal_ends: Vec<String>,
    /// The account must be signed in before financial messages.
    pub sign_in: bool,
    /// A class A reply of a financial message must carry a good MAC.
    pub mac_on_replies: bool,
    /// Time after the request before which an undo of a wallet payment is not sent (WeChat 15 s).
    pub wallet_undo_after: std::collections::BTreeMap<Wallet, crate::time::Millis>,
    /// Wallets this profile can take.
    pub wallets: Vec<Wallet>,
    /// Codes that end an advice (00, 94).
    pub advice_ends: Vec<String>,
    /// The profile has a query message ([`MessageKind::Query`]).
    pub query: bool,
    /// When to query, by wallet; a wallet that is not here is not queried.
    pub wallet_query: std::collections::BTreeMap<Wallet, WalletQuery>,
    /// Codes of a success by another amount (10): F4 of the answer is what was approved.
    pub partial: Vec<String>,
    /// Greatest completion in percent of its pre-authorisation (115).
    pub completion_percent: u32,
    /// Kinds that this profile has a message for.
    pub kinds: Vec<Kind>,
    /// Advices that may be under way at the same time, beside what is under way for a customer; 0 stands for
    /// 1.
    pub advices_in_flight: u32,
    /// Ways of accepting a payment without the host that the acquirer knows.
    pub offline_authorities: Vec<crate::offline::OfflineAuthority>,
    /// Kinds whose message has no place for a PIN: none is asked for.
    pub no_pin: Vec<Kind>,
}
