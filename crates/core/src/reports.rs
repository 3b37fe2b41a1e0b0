//! Reports of the totals.
use crate::State;
use payterm_schema::{
    Time,
    config::AccountConfig,
    totals::{AccountTotals, Scope, TotalsReport},
};

/// What a report says besides the totals.
pub struct ReportHead<'a> {
    pub scope: Scope,
    pub shop: &'a str,
    pub operator: &'a str,
    pub test: bool,
    pub now: Time,
}

impl State {
    /// The totals of these accounts, in their order.
    pub fn report<'a>(
        &self,
        head: &ReportHead<'_>,
        accounts: impl Iterator<Item = &'a AccountConfig>,
    ) -> TotalsReport {
        let account = |a: &AccountConfig| {
            let ledger = self.ledger(&a.id);
            let (rows, since) = match head.scope {
                Scope::Batch => (ledger.totals.clone(), ledger.totals_since),
                Scope::Shift => (ledger.shift.clone(), ledger.shift_since),
            };
            let side = |side| {
                let of = rows.iter().filter(|t| t.kind.row().side == side);
                of.fold((0, 0_u64), |(count, minor), t| (count + t.count, minor.saturating_add(t.minor)))
            };
            let (debit, credit) =
                (side(payterm_schema::kind::Side::Debit), side(payterm_schema::kind::Side::Credit));
            AccountTotals {
                account: a.id.clone(),
                currency: a.currency,
                mid: a.mid.to_string(),
                tid: a.tid.to_string(),
                batch: self.accounts.get(&a.id).map(|l| l.batch),
                since,
                rows,
                debit_count: debit.0,
                debit_minor: debit.1,
                credit_count: credit.0,
                credit_minor: credit.1,
            }
        };
        TotalsReport {
            scope: head.scope,
            shop: head.shop.into(),
            operator: head.operator.into(),
            until: head.now,
            accounts: accounts.map(account).collect(),
            test: head.test,
        }
    }
}
