//! Settlement 批结算 of an account's batch (host-protocol §7): what is told to the acquirer, and what came of
//! it.
use crate::{
    account::{Batch, Stan},
    host::Wallet,
    kind::{CardRule, Kind, Side},
    outcome::{Forwarding, Outcome, Status},
    time::Time,
    totals::Total,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Sums of the cards of one side; the two sides are judged apart. Minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Half {
    pub debit_minor: u64,
    pub debit_count: u32,
    pub credit_minor: u64,
    pub credit_count: u32,
}
impl Half {
    /// Greatest count and sum that F48 has digits for.
    pub const COUNT_MAX: u32 = 999;

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
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

/// Domestic cards 内卡 (scheme CUP, wallets, and what named none) and foreign ones 外卡.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Halves {
    pub domestic: Half,
    pub foreign: Half,
}

/// What no row of totals of its own could be kept for, by half.
pub const OTHER: &str = "*";
pub const OTHER_FOREIGN: &str = "**";

/// A card scheme as the host names it (F63), or a wallet, counts on the foreign half.
pub fn is_foreign(scheme: &str) -> bool {
    let wallet = [Wallet::Wechat, Wallet::Alipay, Wallet::Unionpay].map(Wallet::name);
    !(scheme.is_empty() || scheme == "CUP" || scheme == OTHER || wallet.contains(&scheme))
}

impl Halves {
    /// Of a batch's rows. A tip is a part of its sale: its sum counts, it is no record of its own.
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
    pub fn records(&self) -> u32 {
        self.domestic.records().saturating_add(self.foreign.records())
    }
}

/// The half of an outcome.
pub fn foreign(o: &Outcome) -> bool {
    is_foreign(o.scheme.as_deref().or(o.wallet.map(Wallet::name)).unwrap_or_default())
}

/// The acquirer's word on a half 对账应答 (last digit of each half of F48).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// 1 平
    Balanced,
    /// 2 不平
    NotBalanced,
    /// 3: it could not compare.
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
    pub fn of_digit(digit: u8) -> Option<Self> {
        [Verdict::Balanced, Verdict::NotBalanced, Verdict::Error].into_iter().find(|v| v.digit() == digit)
    }
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Balanced => "balanced",
            Verdict::NotBalanced => "not_balanced",
            Verdict::Error => "error",
        }
    }
}

/// F48 of the answer: the two halves as the acquirer has them, each with its result digit as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettlementReply {
    pub domestic: (Half, u8),
    pub foreign: (Half, u8),
}

/// What a message of a settlement says in F48.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BatchPart {
    /// 0500: the totals.
    Totals(Halves),
    /// 0320/201: up to [`LIST_MAX`] records.
    List(Vec<UploadRecord>),
    /// 0320 of one refund, offline or voice sale, tip or completion advice; the plan says the rest.
    One { kind: Kind, record: UploadRecord },
    /// 207 or 202: so many records were uploaded.
    End { records: u32, balanced: bool },
}

/// Records in one list.
pub const LIST_MAX: usize = 8;

/// One record of an upload, 40 digits: card type, STAN, PAN, amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UploadRecord {
    pub txn: u64,
    pub stan: Stan,
    pub foreign: bool,
    /// Minor units; with a tip the new total.
    pub minor: u64,
    /// Under which transaction its PAN is sealed; none for wallets.
    pub sealed: Option<u64>,
}

/// In which order records are uploaded (host-protocol §7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UploadGroup {
    #[default]
    Offline,
    Magnetic,
    Refunds,
    Advices,
}
impl UploadGroup {
    pub const fn next(self) -> Option<Self> {
        match self {
            UploadGroup::Offline => Some(UploadGroup::Magnetic),
            UploadGroup::Magnetic => Some(UploadGroup::Refunds),
            UploadGroup::Refunds => Some(UploadGroup::Advices),
            UploadGroup::Advices => None,
        }
    }
    /// What may be of this group; [`UploadGroup::has`] says whether a record is.
    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            UploadGroup::Offline => &[Kind::Sale, Kind::VoiceSale, Kind::TipAdjust],
            UploadGroup::Magnetic => &[Kind::Sale, Kind::Void, Kind::Completion, Kind::CompletionCancel],
            UploadGroup::Refunds => &[Kind::Refund],
            UploadGroup::Advices => &[Kind::CompletionAdvice],
        }
    }
    /// A sale that was accepted offline went to the acquirer as an advice: it goes alone, like them.
    pub fn has(self, o: &Outcome) -> bool {
        self.kinds().contains(&o.kind)
            && (o.kind != Kind::Sale || (self == UploadGroup::Offline) == o.forwarding.is_some())
    }
    /// Records of one message.
    pub const fn many(self) -> usize {
        match self {
            UploadGroup::Magnetic => LIST_MAX,
            UploadGroup::Offline | UploadGroup::Refunds | UploadGroup::Advices => 1,
        }
    }
}

/// Records of a batch that stand in its totals, in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchQuery {
    pub account: crate::AccountId,
    pub batch: Batch,
    pub group: UploadGroup,
    pub domestic: bool,
    pub foreign: bool,
    /// Sales that are uploaded without their tip.
    pub untipped: BTreeSet<u64>,
    /// Transactions after this one.
    pub after: u64,
    pub limit: usize,
}
impl BatchQuery {
    /// A sale with a tip is uploaded by its tip's record, which has the new total.
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
            && !(o.kind == Kind::Sale && o.adjusted && !self.untipped.contains(&o.txn))
    }
}

/// Under which transaction the PAN of this one is sealed while its batch is open.
pub fn sealed_under(o: &Outcome) -> Option<u64> {
    if o.wallet.is_some() {
        return None;
    }
    // Nothing was presented: the PAN is the original's.
    if o.kind.row().card == CardRule::None { o.original.as_ref().and_then(|x| x.txn) } else { Some(o.txn) }
}

/// What a settlement came to; on its outcome and its report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Settlement {
    pub domestic: Half,
    pub foreign: Half,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domestic_verdict: Option<Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_verdict: Option<Verdict>,
    /// Records told to the acquirer one by one, because a half did not balance.
    #[serde(default)]
    pub uploaded: u32,
    /// When the first of the batch was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// By card scheme or wallet, at most [`Settlement::ROWS`]; what is beyond is put together under
    /// `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemes: Vec<Scheme>,
    /// What is Stuck: not in the totals, it keeps its own batch and STAN. At most [`Settlement::ROWS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<StuckLine>,
    /// Further ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stuck_more: u32,
    /// What was refused or written off since the settlement before; at most [`Settlement::ROWS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unpaid: Vec<UnpaidLine>,
    /// Further ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unpaid_more: u32,
}
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Sums of a card scheme or a wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scheme {
    pub scheme: String,
    #[serde(flatten)]
    pub sums: Half,
}

/// A Stuck obligation as the report lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StuckLine {
    pub txn: u64,
    pub kind: Kind,
    pub batch: Batch,
    pub stan: Stan,
    /// Minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<u64>,
}

/// An advice that is in no totals any more, as the report lists it: the acquirer refused it, or the
/// supervisor wrote it off.
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
    /// Minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<u64>,
    /// Refused, with the acquirer's code, or written off, by whom and why.
    pub forwarding: Forwarding,
}
impl UnpaidLine {
    /// None: it was neither refused nor written off.
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
    pub const ROWS: usize = 32;

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
    /// Both halves balance.
    pub fn balanced(&self) -> bool {
        [self.domestic_verdict, self.foreign_verdict] == [Some(Verdict::Balanced); 2]
    }
    /// The worse of the two words; none while there is none.
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
