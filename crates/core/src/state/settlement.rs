//! Fold of a settlement's records, from its totals to the next batch.
use super::{State, broken};
use crate::{ReplayError, ledger::Settling};
use payterm_schema::{
    AccountId, Kind, SettlementRecord,
    account::Batch,
    outcome::Status,
    record::{Entry, Obligation},
    settlement::UploadGroup,
};
use std::{collections::BTreeSet, sync::Arc};

impl State {
    pub(super) fn apply_settlement(
        &mut self,
        entry: &Entry,
        record: &SettlementRecord,
    ) -> Result<(), ReplayError> {
        let (seq, at) = (entry.seq, entry.at);
        match record {
            SettlementRecord::Asked { txn, account, plan, view } => {
                let running = self
                    .running
                    .as_mut()
                    .filter(|r| r.txn == *txn)
                    .ok_or(broken(seq, "a settlement of a request that does not run"))?;
                running.view = Arc::clone(view);
                running.frames += 1;
                // Of an approved one only its own frame counts: an earlier try that is Stuck says nothing of
                // it.
                let own = |o: &&Obligation| {
                    self.owes(o.txn)
                        .is_none_or(|told| told.status != Status::Approved || told.stan == Some(o.plan.stan))
                };
                let excluded: BTreeSet<u64> = self
                    .obligations
                    .iter()
                    .filter(|o| o.account == *account)
                    .filter(own)
                    .map(|o| o.txn)
                    .collect();
                let tips =
                    excluded.iter().filter_map(|t| self.owes(*t)).filter(|o| o.kind == Kind::TipAdjust);
                let untipped = tips.filter_map(|o| o.original.as_ref()?.txn).collect();
                let ledger = self.accounts.entry(account.clone()).or_default();
                ledger.last_stan = Some(plan.stan);
                ledger.settling = Some(Box::new(Settling {
                    txn: *txn,
                    settlement: view.settlement.as_deref().cloned().unwrap_or_default(),
                    excluded,
                    untipped,
                    open: Some((**plan).clone()),
                    left: false,
                    group: UploadGroup::default(),
                    after: 0,
                    tries: 0,
                    next_try: at,
                    problem: None,
                    hold: false,
                }));
            }
            SettlementRecord::Judged { txn, account, domestic, foreign, .. } => {
                if let Some(s) = self.settling_mut(account, *txn) {
                    (s.settlement.domestic_verdict, s.settlement.foreign_verdict) =
                        (Some(*domestic), Some(*foreign));
                    s.answered(at);
                }
            }
            SettlementRecord::UploadAllowed { txn, account, plan, group, after } => {
                if let Some(s) = self.settling_mut(account, *txn) {
                    (s.group, s.after, s.open) = (*group, *after, Some((**plan).clone()));
                }
                self.accounts.entry(account.clone()).or_default().last_stan = Some(plan.stan);
            }
            SettlementRecord::CertificateLost { txn, account, group, line } => {
                if let Some(s) = self.settling_mut(account, *txn) {
                    (s.group, s.after) = (*group, line.txn);
                    s.settlement.list_stuck(line.clone());
                }
            }
            SettlementRecord::Uploaded { txn, account, .. } => {
                if let Some(s) = self.settling_mut(account, *txn) {
                    s.uploaded();
                    s.answered(at);
                }
            }
            SettlementRecord::Failed { txn, account, code, next_try, left, hold, .. } => {
                if let Some(s) = self.settling_mut(account, *txn) {
                    s.tries += 1;
                    s.left |= *left;
                    (s.next_try, s.hold) = (*next_try, *hold);
                    s.problem = code.clone().or(s.problem.take());
                }
            }
            SettlementRecord::Retried { txn, account, .. } => {
                if let Some(s) = self.settling_mut(account, *txn) {
                    (s.hold, s.tries, s.next_try) = (false, 0, at);
                }
            }
            SettlementRecord::Dropped { account, .. } => {
                self.accounts.entry(account.clone()).or_default().settling = None;
                if let Some(doubt) = self.recovering.as_mut().and_then(|r| r.batches.get_mut(account)) {
                    doubt.open = true;
                }
            }
            SettlementRecord::BatchClosed { txn, account, next, .. } => {
                self.batch_closed(*txn, account, *next)
            }
        }
        Ok(())
    }

    fn settling_mut(&mut self, account: &AccountId, txn: u64) -> Option<&mut Settling> {
        self.accounts.get_mut(account)?.settling.as_deref_mut().filter(|s| s.txn == txn)
    }

    fn batch_closed(&mut self, txn: u64, account: &AccountId, next: Batch) {
        // No void reaches into it any more: what an obligation still needs goes with the obligation.
        let sealed: BTreeSet<u64> =
            self.obligations.iter().filter(|o| o.account == *account).filter_map(|o| o.sealed).collect();
        self.voidable.retain(|t| !sealed.contains(t));
        if let Some(r) = self.recovering.as_mut() {
            r.batches.remove(account);
        }
        self.unheard.remove(account);
        let ledger = self.accounts.entry(account.clone()).or_default();
        (ledger.batch, ledger.batch_after, ledger.settling, ledger.auto_tries) = (next, txn, None, 0);
        (
            ledger.debit_count,
            ledger.debit_minor,
            ledger.credit_count,
            ledger.credit_minor,
            ledger.opened_as,
        ) = (0, 0, 0, 0, None);
        ledger.certificates = 0;
        ledger.totals.clear();
        ledger.totals_since = None;
        (ledger.unpaid, ledger.unpaid_more) = (Vec::new(), 0);
    }
}
