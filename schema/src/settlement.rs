//! Settlement 批结算 of an account's batch (host-protocol §7): what the acquirer is told, and what it answers.
use crate::{
    account::{Batch, Stan},
    host::Wallet,
    icc::Icc,
    kind::{CardRule, Kind, Side},
    outcome::{Authority, Cryptogram, Forwarding, Outcome, Status},
    time::Time,
    totals::Total,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Totals of one half, domestic or foreign; the two are judged apart. Sums in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Half {
    pub debit_minor: u64,
    pub debit_count: u32,
    pub credit_minor: u64,
    pub credit_count: u32,
}
impl Half {
    /// Greatest count that F48 has digits for.
    pub const COUNT_MAX: u32 = 999;

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
    /// Number of its records.
    pub fn records(&self) -> u32 {
        self.debit_count.saturating_add(self.credit_count)
    }
    fn add(&mut self, side: Side, count: u64, minor: u64) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let (n, sum) = match side {
            Side::Debit => (&mut self.debit_count, &mut self.debit_minor),
            Side::Credit => (&mut self.credit_count, &mut self.credit_minor),
            Side::None => return,
        };
        (*n, *sum) = (n.saturating_add(count), sum.saturating_add(minor));
    }
}

/// Both halves: domestic cards 内卡 (scheme CUP, wallets, and what named none) and foreign ones 外卡.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Halves {
    pub domestic: Half,
    pub foreign: Half,
}

/// Scheme under which is counted what no row of totals of its own could be kept for.
pub const OTHER: &str = "*";
/// Scheme under which the same is counted of foreign cards.
pub const OTHER_FOREIGN: &str = "**";

/// Tells whether a scheme as the host names it (F63), or a wallet, counts on the foreign half.
pub fn is_foreign(scheme: &str) -> bool {
    let wallet = [Wallet::Wechat, Wallet::Alipay, Wallet::Unionpay].map(Wallet::name);
    !(scheme.is_empty() || scheme == "CUP" || scheme == OTHER || wallet.contains(&scheme))
}

impl Halves {
    /// Halves of a batch's rows. A tip is a part of its sale: its sum counts, it is no record of its own.
    pub fn of(rows: &[Total]) -> Self {
        let mut halves = Self::default();
        for t in rows {
            let count = if t.kind == Kind::TipAdjust { 0 } else { t.count };
            halves.of_mut(is_foreign(&t.scheme)).add(t.kind.row().side, count, t.minor);
        }
        halves
    }
    fn of_mut(&mut self, foreign: bool) -> &mut Half {
        if foreign { &mut self.foreign } else { &mut self.domestic }
    }
    /// Number of the records of both halves.
    pub fn records(&self) -> u32 {
        self.domestic.records().saturating_add(self.foreign.records())
    }
}

/// Tells whether an outcome counts on the foreign half.
pub fn foreign(o: &Outcome) -> bool {
    is_foreign(o.scheme.as_deref().or(o.wallet.map(Wallet::name)).unwrap_or_default())
}

/// Verdict of the acquirer on a half 对账应答 (last digit of each half of F48).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// 1 平: the totals agree.
    Balanced,
    /// 2 不平: the totals differ.
    NotBalanced,
    /// 3: the acquirer could not compare.
    Error,
}
impl Verdict {
    pub const fn digit(self) -> u8 {
        match self {
            Verdict::Balanced => 1,
            Verdict::NotBalanced => 2,
            Verdict::Error => 3,
        }
    }
    /// Verdict of this digit of F48, or none.
    pub fn of_digit(digit: u8) -> Option<Self> {
        [Verdict::Balanced, Verdict::NotBalanced, Verdict::Error].into_iter().find(|v| v.digit() == digit)
    }
    /// Name in JSON and D-Bus.
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Balanced => "balanced",
            Verdict::NotBalanced => "not_balanced",
            Verdict::Error => "error",
        }
    }
}

/// Totals of a settlement's answer (F48): the two halves as the acquirer has them, each with its verdict
/// digit as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettlementReply {
    pub domestic: (Half, u8),
    pub foreign: (Half, u8),
}

/// Content of a settlement's message (F48).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchPart {
    /// Totals (0500).
    Totals(Halves),
    /// Up to [`LIST_MAX`] records (0320/201).
    List(Vec<UploadRecord>),
    /// One refund, offline or voice sale, tip or completion advice (0320); the plan says the rest.
    One { kind: Kind, record: UploadRecord },
    /// TC of a chip card's sale, in the plan's EMV data (203 to 206). `balanced`: the half that it is of;
    /// `unauthenticated`: the card could not check its issuer.
    Certificate { record: UploadRecord, balanced: bool, unauthenticated: bool },
    /// End of the upload: so many records were told (207 or 202).
    End { records: u32, balanced: bool },
}

/// Greatest number of records of one list.
pub const LIST_MAX: usize = 8;

/// Record of an upload, 40 digits: card type, STAN, card number, amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadRecord {
    pub txn: u64,
    pub stan: Stan,
    pub foreign: bool,
    /// Amount, minor units; with a tip the new total.
    pub minor: u64,
    /// Transaction under which its card number is sealed; none for wallets.
    pub sealed: Option<u64>,
}

/// Group of records of an upload, in the order in which they are told (host-protocol §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadGroup {
    #[default]
    Offline,
    Magnetic,
    Refunds,
    Advices,
    /// TCs of chip cards that the host had approved (203, 205).
    Certificates,
    /// The same of cards that could not check their issuer (204, 206).
    Unauthenticated,
}
impl UploadGroup {
    /// Group after this one.
    pub const fn next(self) -> Option<Self> {
        match self {
            UploadGroup::Offline => Some(UploadGroup::Magnetic),
            UploadGroup::Magnetic => Some(UploadGroup::Refunds),
            UploadGroup::Refunds => Some(UploadGroup::Advices),
            UploadGroup::Advices => Some(UploadGroup::Certificates),
            UploadGroup::Certificates => Some(UploadGroup::Unauthenticated),
            UploadGroup::Unauthenticated => None,
        }
    }
    /// Tells whether its records are TCs, which are told whether the batch balances or not.
    pub const fn of_chips(self) -> bool {
        matches!(self, UploadGroup::Certificates | UploadGroup::Unauthenticated)
    }
    /// Kinds of which records of this group may be; [`UploadGroup::has`] says whether a record is.
    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            UploadGroup::Offline => &[Kind::Sale, Kind::VoiceSale, Kind::TipAdjust],
            UploadGroup::Magnetic => &[Kind::Sale, Kind::Void, Kind::Completion, Kind::CompletionCancel],
            UploadGroup::Refunds => &[Kind::Refund],
            UploadGroup::Advices => &[Kind::CompletionAdvice],
            UploadGroup::Certificates | UploadGroup::Unauthenticated => &[Kind::Sale],
        }
    }
    /// Tells whether a record is of this group. A sale that was accepted offline went to the acquirer as an
    /// advice: it is told alone, as they are; and with its TC, if it has one.
    pub fn has(self, o: &Outcome) -> bool {
        if self.of_chips() {
            let unauthenticated = self == UploadGroup::Unauthenticated;
            return self.kinds().contains(&o.kind) && certificate(o) == Some(unauthenticated);
        }
        self.kinds().contains(&o.kind)
            && (o.kind != Kind::Sale || (self == UploadGroup::Offline) == o.forwarding.is_some())
    }
    /// Number of records of one message.
    pub const fn many(self) -> usize {
        match self {
            UploadGroup::Magnetic => LIST_MAX,
            UploadGroup::Offline
            | UploadGroup::Refunds
            | UploadGroup::Advices
            | UploadGroup::Certificates
            | UploadGroup::Unauthenticated => 1,
        }
    }
}

/// Query for the records of a batch that are in its totals, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchQuery {
    pub account: crate::AccountId,
    pub batch: Batch,
    pub group: UploadGroup,
    pub domestic: bool,
    pub foreign: bool,
    /// Sales that are told without their tip.
    pub untipped: BTreeSet<u64>,
    /// Only transactions after this one.
    pub after: u64,
    pub limit: usize,
}
impl BatchQuery {
    /// Tells whether a record answers the query. A sale with a tip is told by its tip's record, which has the
    /// new total.
    pub fn wants(&self, o: &Outcome) -> bool {
        let settled = o.status == Status::Approved
            && matches!(o.forwarding, None | Some(Forwarding::Forwarded))
            && o.kind.row().side != Side::None;
        let half = if foreign(o) { self.foreign } else { self.domestic };
        let here =
            o.account.as_ref() == Some(&self.account) && o.batch == Some(self.batch) && o.txn > self.after;
        settled
            && half
            && here
            && self.group.has(o)
            && (self.group.of_chips()
                || !(o.kind == Kind::Sale && o.adjusted && !self.untipped.contains(&o.txn)))
    }
}

/// Record of a batch as the store finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRow {
    pub outcome: Outcome,
    /// The card's last EMV data; looked for in the groups of chips only, none where they cannot be read.
    pub icc: Option<Icc>,
}

/// Tells whether the card of a sale that the host had approved and nobody took back could not check its
/// issuer (TVR byte 5 bit 7); none: it has no TC.
fn certificate(o: &Outcome) -> Option<bool> {
    let chip = o.chip.as_ref().filter(|chip| chip.cryptogram_kind == Some(Cryptogram::Tc))?;
    let last = chip.tvr.as_ref().and_then(|tvr| u8::from_str_radix(tvr.get(8..10)?, 16).ok());
    (o.authority == Some(Authority::Host) && !o.voided).then(|| last.is_some_and(|byte| byte & 0x40 != 0))
}

/// Transaction under which the card number of this one is sealed while its batch is open; none for a
/// wallet's.
pub fn sealed_under(o: &Outcome) -> Option<u64> {
    if o.wallet.is_some() {
        return None;
    }
    // Nothing was presented: the PAN is the original's.
    if o.kind.row().card == CardRule::None { o.original.as_ref().and_then(|x| x.txn) } else { Some(o.txn) }
}

/// Settlement as its outcome and report have it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settlement {
    pub domestic: Half,
    pub foreign: Half,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domestic_verdict: Option<Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_verdict: Option<Verdict>,
    /// Number of records that were told to the acquirer one by one, because a half did not balance.
    #[serde(default)]
    pub uploaded: u32,
    /// Number of TCs of chip cards that were told to the acquirer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub certificates: u32,
    /// Time at which the first payment of the batch was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Totals by card scheme or wallet, at most [`Settlement::ROWS`]; further ones are put together under
    /// `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemes: Vec<Scheme>,
    /// Stuck obligations, at most [`Settlement::ROWS`]: they are not in the totals and keep their own batch
    /// and STAN.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<StuckLine>,
    /// Number of further Stuck obligations.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stuck_more: u32,
    /// Advices that were refused or written off since the previous settlement, at most [`Settlement::ROWS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpaid: Vec<UnpaidLine>,
    /// Number of further such advices.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unpaid_more: u32,
}
pub(crate) fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Totals of a card scheme or a wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scheme {
    pub scheme: String,
    #[serde(flatten)]
    pub sums: Half,
}

/// Stuck obligation as the report lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StuckLine {
    pub txn: u64,
    pub kind: Kind,
    pub batch: Batch,
    pub stan: Stan,
    /// Amount, minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<u64>,
}

/// Advice that is in no totals any more, as the report lists it: the acquirer refused it, or the supervisor
/// wrote it off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnpaidLine {
    pub txn: u64,
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stan: Option<Stan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked_pan: Option<String>,
    /// Amount, minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<u64>,
    /// Refusal, with the acquirer's code, or write-off, by whom and why.
    pub forwarding: Forwarding,
}
impl UnpaidLine {
    /// Line of an outcome; none: it was neither refused nor written off.
    pub fn of(o: &Outcome) -> Option<Self> {
        let forwarding = o.forwarding.clone().filter(Forwarding::is_lost)?;
        let minor = if o.kind == Kind::TipAdjust { o.sums.tip } else { o.sums.amount };
        Some(Self {
            txn: o.txn,
            kind: o.kind,
            batch: o.batch,
            stan: o.stan,
            masked_pan: o.masked_pan.clone(),
            minor,
            forwarding,
        })
    }
}

impl Settlement {
    /// Lists a Stuck obligation; where there is no room it is counted.
    pub fn list_stuck(&mut self, line: StuckLine) {
        if self.stuck.len() < Self::ROWS {
            self.stuck.push(line);
        } else {
            self.stuck_more = self.stuck_more.saturating_add(1);
        }
    }
    /// Greatest number of rows of each list.
    pub const ROWS: usize = 32;

    /// Settlement of these totals, before the acquirer has judged them.
    pub fn new(halves: Halves, rows: &[Total], since: Option<Time>) -> Self {
        let mut schemes: Vec<Scheme> = Vec::new();
        for t in rows {
            let one = Halves::of(std::slice::from_ref(t));
            let one = if is_foreign(&t.scheme) { one.foreign } else { one.domestic };
            let known = schemes.iter().position(|o| o.scheme == t.scheme);
            let at = known.or_else(|| {
                let name = if schemes.len() < Self::ROWS - 1 { &t.scheme } else { OTHER };
                schemes.iter().position(|o| o.scheme == name).or_else(|| {
                    schemes.push(Scheme { scheme: name.into(), sums: Half::default() });
                    Some(schemes.len() - 1)
                })
            });
            if let Some(o) = at.and_then(|at| schemes.get_mut(at)) {
                o.sums.add(Side::Debit, u64::from(one.debit_count), one.debit_minor);
                o.sums.add(Side::Credit, u64::from(one.credit_count), one.credit_minor);
            }
        }
        Self { domestic: halves.domestic, foreign: halves.foreign, since, schemes, ..Self::default() }
    }
    pub fn halves(&self) -> Halves {
        Halves { domestic: self.domestic, foreign: self.foreign }
    }
    /// Tells whether both halves balance.
    pub fn balanced(&self) -> bool {
        [self.domestic_verdict, self.foreign_verdict] == [Some(Verdict::Balanced); 2]
    }
    /// Worse of the two verdicts; none while one of them is missing.
    pub fn verdict(&self) -> Option<Verdict> {
        let (d, f) = self.domestic_verdict.zip(self.foreign_verdict)?;
        Some(if d.digit() > f.digit() { d } else { f })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scheme: &str, kind: Kind, count: u64, minor: u64) -> Total {
        Total { scheme: scheme.into(), kind, operator: "01".into(), count, minor }
    }

    #[test]
    fn halves_hold_every_row_once() {
        let rows = [
            row("CUP", Kind::Sale, 2, 300),
            row("CUP", Kind::TipAdjust, 1, 30),
            row("CUP", Kind::PreAuth, 1, 999),
            row("VIS", Kind::Sale, 1, 50),
            row("VIS", Kind::Refund, 1, 20),
            row("wechat", Kind::Sale, 1, 7),
            row(OTHER, Kind::Void, 1, 1),
            row(OTHER_FOREIGN, Kind::Sale, 1, 2),
        ];
        let h = Halves::of(&rows);
        assert_eq!(h.domestic, Half { debit_minor: 337, debit_count: 3, credit_minor: 1, credit_count: 1 });
        assert_eq!(h.foreign, Half { debit_minor: 52, debit_count: 2, credit_minor: 20, credit_count: 1 });
        let s = Settlement::new(h, &rows, None);
        assert_eq!(s.schemes.iter().map(|o| o.sums.debit_minor).sum::<u64>(), 337 + 52);
    }

    #[test]
    fn a_report_is_bounded_and_loses_no_money() {
        let rows: Vec<Total> = (0..200).map(|i| row(&format!("o{i}"), Kind::Sale, 1, i)).collect();
        let s = Settlement::new(Halves::of(&rows), &rows, None);
        assert!(s.schemes.len() <= Settlement::ROWS);
        assert_eq!(
            s.schemes
                .iter()
                .map(|o| (u64::from(o.sums.debit_count), o.sums.debit_minor))
                .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
            (200, 19_900)
        );
    }
}
