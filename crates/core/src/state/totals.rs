//! Fold of an outcome into what is owed and counted: the batch, the shift, what is not paid.
use super::State;
use crate::ledger::numbers;
use payterm_schema::{
    Kind, Outcome,
    host::Wallet,
    kind::Side,
    outcome::{Forwarding, Status},
    settlement::{Settlement, UnpaidLine},
    time::Time,
    totals::Total,
};
use std::sync::Arc;

impl State {
    pub(super) fn outcome(&mut self, at: Time, outcome: &Arc<Outcome>) {
        if self.running.as_ref().is_some_and(|r| r.txn == outcome.txn) {
            self.running = None;
        }
        // Once: it may be told again.
        let known = self.owes(outcome.txn).is_some_and(|o| UnpaidLine::of(o).is_none());
        if let Some((line, account)) = UnpaidLine::of(outcome).filter(|_| known).zip(outcome.account.as_ref())
        {
            let ledger = self.accounts.entry(account.clone()).or_default();
            if ledger.unpaid.len() < Settlement::ROWS {
                ledger.unpaid.push(line);
            } else {
                ledger.unpaid_more = ledger.unpaid_more.saturating_add(1);
            }
        }
        let counted =
            self.owes(outcome.txn).filter(|o| o.status == Status::Approved).map(|o| o.scheme.clone());
        if outcome.status == Status::Unknown || self.obligations.of(outcome.txn).next().is_some() {
            self.owing.insert_mut(outcome.txn, Arc::clone(outcome));
        } else {
            self.owing.remove_mut(&outcome.txn);
        }
        if outcome.status == Status::Approved {
            let counts = outcome.forwarding.as_ref().is_none_or(Forwarding::counts);
            match counted {
                None if counts => self.count(at, outcome, true),
                Some(_) if !counts => self.count(at, outcome, false),
                // The acquirer has named the card's scheme: its half of the settlement may be the other
                // one.
                Some(before) if before != outcome.scheme => {
                    self.count(at, &Outcome { scheme: before, ..(**outcome).clone() }, false);
                    self.count(at, outcome, true);
                }
                None | Some(_) => {}
            }
            if self.in_open_batch(outcome) && outcome.kind.keeps_pan() && self.obligations.seals(outcome.txn)
            {
                self.voidable.insert(outcome.txn);
            }
        }
    }

    /// The shift's totals begin at zero.
    pub(super) fn begin_shift(&mut self) {
        for ledger in self.accounts.values_mut() {
            ledger.shift_after = self.last_txn;
            ledger.shift.clear();
            ledger.shift_since = None;
        }
    }

    /// `add` = false: an advice that was counted counts no more.
    fn count(&mut self, at: Time, outcome: &Outcome, add: bool) {
        let (Some(account), Some(minor)) = (&outcome.account, outcome.sums.amount) else { return };
        let ledger = self.accounts.entry(account.clone()).or_default();
        // A tip is added to its sale, which is counted.
        let (one, minor) =
            if outcome.kind == Kind::TipAdjust { (0, outcome.sums.tip.unwrap_or(0)) } else { (1, minor) };
        // What became of a transaction of a closed batch is not of this one.
        let of_batch = outcome.batch.is_none_or(|b| b == ledger.batch) && ledger.of_this_terminal(outcome);
        if add && of_batch && !ledger.holds_records() {
            ledger.opened_as = numbers(outcome);
        }
        let side = match outcome.kind.row().side {
            Side::Debit | Side::Credit if !of_batch => None,
            Side::Debit => Some((&mut ledger.debit_count, &mut ledger.debit_minor)),
            Side::Credit => Some((&mut ledger.credit_count, &mut ledger.credit_minor)),
            Side::None => None,
        };
        match (side, add) {
            (Some((count, sum)), true) => (*count, *sum) = (*count + one, *sum + minor),
            (Some((count, sum)), false) => {
                (*count, *sum) = (count.saturating_sub(one), sum.saturating_sub(minor))
            }
            (None, _) => {}
        }
        if outcome.kind.row().slip {
            let scheme = outcome.scheme.as_deref().or(outcome.wallet.map(Wallet::name)).unwrap_or_default();
            // What was counted in an earlier shift is not taken out of this one.
            let of_shift = outcome.txn > ledger.shift_after;
            let batch = (&mut ledger.totals, &mut ledger.totals_since, of_batch, of_batch);
            for (rows, since, adds, takes) in
                [batch, (&mut ledger.shift, &mut ledger.shift_since, true, of_shift)]
            {
                if add && adds {
                    Total::add(rows, scheme, outcome.kind, &outcome.operator, minor);
                    since.get_or_insert(at);
                } else if !add && takes {
                    Total::take(rows, scheme, outcome.kind, &outcome.operator, minor);
                }
            }
        }
    }
}
