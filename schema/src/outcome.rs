//! Outcome of a request: the answer to the app, the content of result screen and slip.
use crate::{
    account::{AccountId, Batch, Stan},
    host::{EntryMode, Wallet},
    kind::Kind,
    money::{Currency, Money, decimal},
    request::RequestKey,
    settlement::Settlement,
    time::Time,
};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Status of an outcome. All but `Running` and `Unknown` are final: they never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The request is under way.
    Running,
    /// The money moved, or the question was answered.
    Approved,
    /// The host refused, or the reversal is confirmed: nothing is charged in the end. With reason
    /// `written-off` that is not known.
    Declined,
    /// The request ended before a frame left, by customer, cashier, caller or time-out; nothing was charged.
    Cancelled,
    /// The request ended before a frame left, by a fault of terminal or line; nothing was charged.
    Failed,
    /// A frame left and no valid answer came: do not take the money again; final by `answer_by`.
    Unknown,
}
impl Status {
    pub const fn is_final(self) -> bool {
        match self {
            Status::Running | Status::Unknown => false,
            Status::Approved | Status::Declined | Status::Cancelled | Status::Failed => true,
        }
    }
    /// Name in JSON, SQL and D-Bus.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Approved => "approved",
            Status::Declined => "declined",
            Status::Cancelled => "cancelled",
            Status::Failed => "failed",
            Status::Unknown => "unknown",
        }
    }
}

/// Authority of an approval: who said yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Authority {
    /// The host.
    Host,
    /// The chip card, by itself (TC).
    Card,
    /// The merchant: at its own risk, while the host could not be reached; or in taking back what the host
    /// was never told of ([`Forwarding::Withdrawn`]).
    Merchant,
    /// The issuer, whose authorisation code was given by telephone.
    Voice,
}

/// Forwarding of an advice 上送: how far the acquirer has been told of what was already decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forwarding {
    /// The advice is kept, and repeated until it is answered.
    Pending,
    /// The acquirer has accepted the advice.
    Forwarded,
    /// The acquirer refused the advice with this code (F39): a person must look.
    Refused(String),
    /// The supervisor gave the advice up: nothing more is sent, and it does not count in the totals.
    WrittenOff { by: String, why: String },
    /// The advice was taken out of the queue before anything of it had left, by a void or a cancel. Both bear
    /// this word, the payment and what took it back: the acquirer never hears of either, so neither counts in
    /// the totals, and the shop loses nothing.
    Withdrawn,
}
impl Forwarding {
    /// Tells whether it counts in the totals of its batch.
    pub const fn counts(&self) -> bool {
        match self {
            Forwarding::Pending | Forwarding::Forwarded => true,
            Forwarding::Refused(_) | Forwarding::WrittenOff { .. } | Forwarding::Withdrawn => false,
        }
    }
    /// Tells whether the shop bears it: the customer has the goods, and the acquirer will not pay.
    pub const fn is_lost(&self) -> bool {
        match self {
            Forwarding::Refused(_) | Forwarding::WrittenOff { .. } => true,
            Forwarding::Pending | Forwarding::Forwarded | Forwarding::Withdrawn => false,
        }
    }
}

/// Class of a response code (host-protocol §9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Class {
    /// Success.
    A,
    /// May be retried by the customer.
    B,
    /// Failed.
    C,
    /// The operator must act.
    D,
    /// System fault.
    E,
    /// Pending.
    P,
}

impl Class {
    /// Class of a failure although the code was a success (bad keys in a good reply).
    pub const fn max_failure(self) -> Class {
        match self {
            Class::A => Class::E,
            Class::B | Class::C | Class::D | Class::E | Class::P => self,
        }
    }
}

/// Reason why a request was not approved, and what to do next. Texts are in `crates/texts` under
/// `reason-<code>` and `next-<code>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// Code: `host-51` for a host's F39, else a word of the terminal's own such as `cancelled-by-customer`.
    pub code: String,
    pub class: Class,
    /// What exactly, where the code is not enough: a field of a message and the rule that it breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Text in the terminal's language, filled in by the faces; empty in records.
    #[serde(default)]
    pub text: String,
    /// Advice what to do next, in the terminal's language; empty in records.
    #[serde(default)]
    pub next: String,
}
impl Reason {
    /// Reason without its texts.
    pub fn new(code: impl Into<String>, class: Class) -> Self {
        Self { code: code.into(), class, detail: None, text: String::new(), next: String::new() }
    }
    /// Reason that names what exactly.
    pub fn with(code: impl Into<String>, class: Class, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(code, class) }
    }
}

/// Sums of an outcome, all in one currency. Serialised as decimal texts: `"currency":"CNY","amount":"12.34"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    pub currency: Currency,
    /// Amount that was approved, or is asked for; minor units.
    pub amount: Option<u64>,
    /// Merchant's fee, minor units.
    pub fee: Option<u64>,
    /// Available balance of a balance inquiry, minor units; negative when overdrawn.
    pub balance: Option<i64>,
    /// Tip, minor units. Of a tip adjustment: the part of `amount` that is the tip. Of a sale: what an
    /// adjustment added to `amount`.
    pub tip: Option<u64>,
    /// Amount that was asked for, minor units, where the host approved another one.
    pub asked: Option<u64>,
    /// Sum that refunds have taken, minor units, including refunds whose frame may have left.
    pub refunded: Option<u64>,
}
#[derive(Serialize, Deserialize, JsonSchema)]
struct SumsWire {
    currency: Currency,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fee: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    balance: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refunded: Option<String>,
}
impl Sums {
    pub const fn new(currency: Currency, amount: Option<u64>) -> Self {
        Sums { currency, amount, fee: None, balance: None, tip: None, asked: None, refunded: None }
    }
    /// Sum that is left of a payment to refund, minor units.
    pub fn left(&self) -> u64 {
        self.amount
            .unwrap_or(0)
            .saturating_add(self.tip.unwrap_or(0))
            .saturating_sub(self.refunded.unwrap_or(0))
    }
    /// Amount with its currency.
    pub fn amount_money(&self) -> Option<Money> {
        self.amount.and_then(|m| Money::new(m, self.currency).ok())
    }
    /// Balance as a signed decimal text: `-12.34`.
    pub fn balance_text(&self) -> Option<String> {
        self.balance
            .map(|b| format!("{}{}", if b < 0 { "-" } else { "" }, decimal(b.unsigned_abs(), self.currency)))
    }
    /// Fee as a decimal text.
    pub fn fee_text(&self) -> Option<String> {
        self.fee.map(|f| decimal(f, self.currency))
    }
}
impl Serialize for Sums {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let text = |minor: Option<u64>| minor.map(|m| decimal(m, self.currency));
        SumsWire {
            currency: self.currency,
            amount: text(self.amount),
            fee: self.fee_text(),
            balance: self.balance_text(),
            tip: text(self.tip),
            asked: text(self.asked),
            refunded: text(self.refunded),
        }
        .serialize(s)
    }
}
impl<'de> Deserialize<'de> for Sums {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let w = SumsWire::deserialize(d)?;
        let minor = |t: Option<String>| {
            t.map(|t| Money::parse(&t, w.currency).map(Money::minor)).transpose().map_err(D::Error::custom)
        };
        let (amount, fee) = (minor(w.amount)?, minor(w.fee)?);
        let (tip, asked, refunded) = (minor(w.tip)?, minor(w.asked)?, minor(w.refunded)?);
        let negative = w.balance.as_deref().is_some_and(|b| b.starts_with('-'));
        let balance = minor(w.balance.map(|b| b.trim_start_matches('-').to_owned()))?
            .map(|b| if negative { -(b as i64) } else { b as i64 });
        Ok(Sums { currency: w.currency, amount, fee, balance, tip, asked, refunded })
    }
}
impl JsonSchema for Sums {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sums".into()
    }
    fn json_schema(g: &mut schemars::SchemaGenerator) -> schemars::Schema {
        SumsWire::json_schema(g)
    }
}

/// Place of a transaction, as slips show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    pub shop: String,
    pub address: String,
    pub city: String,
}

/// Outcome of a request: its state while it runs, and its end. All times are UTC milliseconds; `host_date`
/// and `host_time` are as the host gave them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    #[serde(flatten)]
    pub key: RequestKey,
    /// Number that the terminal gave the transaction: 1, 2, 3 ...
    pub txn: u64,
    pub kind: Kind,
    pub status: Status,
    /// Authority of an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Authority>,
    /// Reason why it is not approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    #[serde(flatten)]
    pub sums: Sums,
    pub started: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Time>,
    /// Time by which the outcome is final, as far as the terminal can tell; only of `Unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_by: Option<Time>,
    pub place: Place,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// Merchant number (F42).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
    /// Terminal number (F41).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tid: Option<String>,
    /// Nature of its line to the acquirer, where that is plain TCP that leaves this machine: it could be read
    /// and its answer be forged on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<crate::config::PlainLine>,
    /// Operator on duty, two digits.
    pub operator: String,
    /// Supervisor who allowed it, where the operator alone may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// Entry mode of the card or code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wallet: Option<Wallet>,
    /// Masked number: first six and last four digits of a card, first two and last four of a payment code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_pan: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stan: Option<Stan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// Reference number of the host (F37).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrn: Option<String>,
    /// Authorisation code (F38).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_code: Option<String>,
    /// Date of the host (F13), MMDD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_date: Option<String>,
    /// Time of the host (F12), hhmmss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_time: Option<String>,
    /// Card scheme (F63).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// Issuer of the card (F44).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Acquirer (F44).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquirer: Option<String>,
    /// Texts of issuer, UnionPay and acquirer (F63).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_texts: Vec<String>,
    /// The customer's PIN was sent.
    #[serde(default)]
    pub pin: bool,
    /// The stripe was taken since the chip could not be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fallback: bool,
    /// Chip of the card that paid, of a refused payment too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chip: Option<Box<Chip>>,
    /// Original of a void, refund, completion ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<OriginalShown>,
    /// A sale was voided, or a pre-authorisation or completion cancelled.
    #[serde(default)]
    pub voided: bool,
    /// A pre-authorisation was completed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub completed: bool,
    /// A tip was added to a sale.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adjusted: bool,
    /// Forwarding of an advice; of a void or cancel, that it took one out of the queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarding: Option<Forwarding>,
    /// Authority by which it was accepted without the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_authority: Option<crate::offline::OfflineAuthority>,
    /// Decision of the merchant's offline policy: the rule, its limit, and the exposure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline: Option<crate::offline::Judgement>,
    /// Limit, minor units, up to which neither PIN nor signature was asked for 免密免签; none: it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_cvm: Option<u64>,
    /// Note of the app, from the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Totals and verdicts of a settlement, from the moment when it is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<Box<Settlement>>,
    /// Head of the journal's hash chain at the record of this outcome, `17:9f…`: filled in by the faces and
    /// on the settlement's report, empty in records. Whoever keeps it can have it proved that the journal
    /// still holds this outcome and all before it (`paytermctl journal verify`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<String>,
    /// A virtual device is configured, or the terminal is a laboratory's.
    pub test: bool,
}

impl Outcome {
    /// Reads the stored form: its JSON.
    pub fn decode(json: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(json)
    }
    /// Outcome of a request that was just started: nothing more is known of it.
    pub fn running(key: RequestKey, txn: u64, kind: Kind, sums: Sums, started: Time) -> Self {
        Self {
            key,
            txn,
            kind,
            status: Status::Running,
            authority: None,
            reason: None,
            sums,
            started,
            ended: None,
            answer_by: None,
            place: Place::default(),
            account: None,
            mid: None,
            tid: None,
            line: None,
            operator: String::new(),
            approved_by: None,
            entry: None,
            wallet: None,
            masked_pan: None,
            stan: None,
            batch: None,
            rrn: None,
            auth_code: None,
            host_date: None,
            host_time: None,
            scheme: None,
            issuer: None,
            acquirer: None,
            host_texts: Vec::new(),
            pin: false,
            chip: None,
            original: None,
            voided: false,
            completed: false,
            adjusted: false,
            forwarding: None,
            offline_authority: None,
            offline: None,
            fallback: false,
            no_cvm: None,
            note: None,
            settlement: None,
            journal: None,
            test: false,
        }
    }

    /// Reference that customer service asks for: `R`, the last four characters of the terminal number (F41)
    /// when an account is known, `-`, and the transaction's number: `R0001-17`.
    pub fn reference(&self) -> String {
        let tid = self.tid.as_deref().unwrap_or_default();
        let last4: String = tid.chars().skip(tid.chars().count().saturating_sub(4)).collect();
        format!("R{last4}-{}", self.txn)
    }
    /// Tells whether it is a failure, with which the service number and the reference are shown.
    pub fn needs_service(&self) -> bool {
        match self.status {
            Status::Declined | Status::Failed | Status::Unknown => true,
            Status::Running | Status::Approved | Status::Cancelled => false,
        }
    }
    /// Tells whether the supervisor gave it up: an advice, or the reversal of a payment, which the acquirer
    /// may then hold.
    pub fn written_off(&self) -> bool {
        matches!(self.forwarding, Some(Forwarding::WrittenOff { .. }))
            || self.reason.as_ref().is_some_and(|r| r.code == "written-off")
    }
    /// Number of the transaction in a reference; none when the text is no reference.
    pub fn txn_of(reference: &str) -> Option<u64> {
        let (_, txn) = reference.strip_prefix(['R', 'r'])?.rsplit_once('-')?;
        txn.parse().ok().filter(|_| !txn.starts_with('+'))
    }
}

/// Chip of a card, as slips and disputes need it: what it is, and the last cryptogram that it gave. Binary
/// data are hex digits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Chip {
    /// Name of the application (tag 84).
    pub aid: String,
    /// Label of the application (tag 50, or 9F12), as the customer reads it.
    pub label: String,
    /// Card sequence number (tag 5F34).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u8>,
    /// Application cryptogram (tag 9F26); none where the card gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cryptogram: Option<String>,
    /// Kind of the cryptogram (tag 9F27).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cryptogram_kind: Option<Cryptogram>,
    /// Application transaction counter (tag 9F36).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atc: Option<u16>,
    /// Terminal verification results (tag 95).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tvr: Option<String>,
    /// Transaction status information (tag 9B).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tsi: Option<String>,
    /// The slip is to be signed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sign: bool,
    /// The card has found its holder's PIN right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pin: bool,
}

/// Kind of an application cryptogram (EMV 4.3 Book 3 §6.5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cryptogram {
    /// AAC: the card declines.
    Aac,
    /// TC: the card approves.
    Tc,
    /// ARQC: the issuer is to be asked.
    Arqc,
}

/// Original of a void, refund, completion ..., as shown. One that is not in this journal has neither number
/// nor key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OriginalShown {
    /// Number of the original transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub txn: Option<u64>,
    /// Number of the transaction to which the original itself belongs: a completion's pre-authorisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<u64>,
    #[serde(flatten)]
    pub key: Option<RequestKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stan: Option<Stan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rrn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_code: Option<String>,
    /// Date of the host (F13), MMDD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
}
