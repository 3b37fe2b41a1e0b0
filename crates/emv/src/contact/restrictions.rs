//! Processing restrictions (EMV 4.4 Book 3 §10.4): version, usage control, dates. They decide nothing by
//! themselves: bits of the TVR do, in the action analysis.
use super::Run;
use crate::{Tag, terminal::day, verification::Tvr};

pub(super) fn check(run: &mut Run) {
    let differs = |tag| run.tags.get(Tag(tag)).is_some_and(|v| Some(v) != run.tags.get(Tag(0x9F09)));
    if differs(0x9F08) {
        run.tvr(Tvr::Versions);
    }
    if !may_use(run) {
        run.tvr(Tvr::NotAllowed);
    }
    let date = |tag| run.tags.get(Tag(tag)).and_then(day);
    let today = day(&run.transaction.date);
    let (from, to) = (date(0x5F25), date(0x5F24));
    if from.is_some() && from > today {
        run.tvr(Tvr::NotYetEffective);
    }
    if to < today {
        run.tvr(Tvr::Expired);
    }
}

/// Usage control (9F07): kind of terminal, then kind of payment at home or abroad, where the card says its
/// country. Money that goes to the customer's account and questions have no bit of their own.
fn may_use(run: &Run) -> bool {
    let Some(&[first, second]) = run.tags.get(Tag(0x9F07)) else { return true };
    let place = if run.terminal.is_atm() { 0x02 } else { 0x01 };
    if first & place == 0 {
        return false;
    }
    let Some(country) = run.tags.get(Tag(0x5F28)) else { return true };
    let home = Some(country) == run.tags.get(Tag(0x9F1A));
    let (cash, goods, services, back) =
        if home { (0x80, 0x20, 0x08, 0x80) } else { (0x40, 0x10, 0x04, 0x40) };
    let x = run.transaction;
    let kind = match x.kind {
        0x01 => first & cash != 0,
        0x00..=0x19 => first & (goods | services) != 0,
        _ => true,
    };
    kind && (!run.cash_back() || second & back != 0)
}

impl Run {
    /// Cash beside a purchase.
    pub(super) fn cash_back(&self) -> bool {
        self.transaction.kind == 0x09 || self.transaction.other > 0
    }
}
