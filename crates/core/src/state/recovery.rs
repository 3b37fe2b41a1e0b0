//! The fold of a recovery: what was restored, what the hosts say of their batches, its end.
use super::{FAR, State};
use crate::recovery::{BatchInDoubt, Recovering};
use payterm_schema::{AccountId, Batch, Stan, Time, record::Restored};
use std::collections::{BTreeMap, BTreeSet};

impl State {
    /// Everything that was used may have been used further than this journal knows.
    pub(crate) fn restored(&mut self, at: Time, restored: &Restored) {
        self.last_txn = self.last_txn.max(restored.last_txn);
        self.doubted = self.last_txn;
        let marks = restored.stans.as_ref();
        for (account, stan) in marks.into_iter().flatten() {
            self.accounts.entry(account.clone()).or_default().last_stan = Some(*stan);
        }
        for (account, ledger) in &mut self.accounts {
            if marks.is_none_or(|m| !m.contains_key(account)) {
                ledger.last_stan =
                    ledger.last_stan.and_then(|s| Stan::new((s.get() + FAR - 1) % 999_999 + 1));
            }
            // What the host says of its batch is asked for anew.
            ledger.signed_in = false;
            // It may have ended long ago: not driven on before a person has said so.
            if let Some(s) = &mut ledger.settling {
                s.hold = true;
                s.problem = Some("journal-restored".into());
            }
        }
        self.stans_lost |= marks.is_none();
        self.recovering = Some(Recovering {
            since: at,
            restored: restored.clone(),
            batches: BTreeMap::new(),
            heard: BTreeSet::new(),
        });
    }

    /// It has signed in; `theirs`: to another batch than ours, which has records.
    pub(crate) fn host_in_batch(&mut self, at: Time, account: &AccountId, theirs: Option<Batch>) {
        if let (Some(restored), Some(_), None) = (self.unheard.remove(account), theirs, &self.recovering) {
            let heard = self.accounts.keys().filter(|id| !self.unheard.contains_key(*id)).cloned().collect();
            self.recovering = Some(Recovering { since: at, restored, batches: BTreeMap::new(), heard });
        }
        let settling = self.ledger(account).settling.as_ref().map(|s| s.txn);
        let Some(r) = &mut self.recovering else { return };
        r.heard.insert(account.clone());
        // The same word again is answered already.
        if let Some(theirs) = theirs.filter(|b| r.batches.get(account).is_none_or(|d| d.theirs != *b)) {
            let asked = r.batches.get(account).filter(|d| !d.open).and_then(|d| d.txn);
            r.batches.insert(account.clone(), BatchInDoubt { theirs, txn: asked.or(settling), open: false });
        }
    }

    /// Nothing is settled by itself in a recovery: this transaction is the question about the batch.
    pub(crate) fn asked_about(&mut self, account: &AccountId, txn: u64) {
        let theirs = self.ledger(account).batch.next();
        let Some(r) = &mut self.recovering else { return };
        r.batches
            .entry(account.clone())
            .or_insert(BatchInDoubt { theirs, txn: None, open: false })
            .txn
            .get_or_insert(txn);
    }

    /// Accounts that are not configured may be again: what is not known of their batches is asked then.
    pub(crate) fn recovery_ended(&mut self) {
        let Some(r) = self.recovering.take() else { return };
        for (id, d) in r.batches.iter().filter(|(_, d)| d.open) {
            self.accounts.entry(id.clone()).or_default().agreed = Some(d.theirs);
        }
        let known = |id: &AccountId| r.heard.contains(id) && r.batches.get(id).is_none_or(|d| d.open);
        let unheard: Vec<AccountId> =
            self.accounts.keys().filter(|id| !known(id) && self.keeps_batch(id)).cloned().collect();
        for id in unheard {
            self.accounts.entry(id.clone()).or_default().signed_in = false;
            self.unheard.insert(id, r.restored.clone());
        }
    }
}
