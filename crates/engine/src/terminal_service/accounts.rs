//! Accounts: their open batches, what they owe, the offline policy, reconciliation.
use super::{TerminalService, machine::store_fault};
use payterm_core::{AccountSettings, Machine, reconciliation};
use payterm_schema::{
    AccountId, Caller, Fault, Money, config::AccountConfig, offline::OfflineAnswer,
    reconciliation::Reconciliation, record::Obligation, terminal::BatchTotals,
};
use std::sync::Arc;

fn totals(machine: &Machine, account: &AccountConfig) -> BatchTotals {
    let state = machine.state();
    let ledger = state.ledger(&account.id);
    // Sums beyond N12 cannot be shown as an amount of a message; the minor units are given all the same.
    let text = |minor| Money::new(minor, account.currency).map(Money::value).unwrap_or_default();
    BatchTotals {
        account: account.id.clone(),
        currency: account.currency,
        batch: state.accounts.contains_key(&account.id).then_some(ledger.batch),
        signed_in: ledger.signed_in,
        debit_count: ledger.debit_count,
        debit_minor: ledger.debit_minor,
        credit_count: ledger.credit_count,
        credit_minor: ledger.credit_minor,
        open_obligations: u32::try_from(state.obligations.count(&account.id)).unwrap_or(u32::MAX),
        settling: ledger.settling.is_some(),
        debit: text(ledger.debit_minor),
        credit: text(ledger.credit_minor),
    }
}

impl TerminalService {
    pub(super) async fn batch_totals(&self) -> Result<Vec<BatchTotals>, Fault> {
        let config = Arc::clone(&self.config);
        self.look(move |m| config.accounts.iter().map(|a| totals(m, a)).collect()).await
    }

    /// Obligations of the caller's own requests; a manager's are all.
    pub(super) async fn owed(&self, caller: &Caller) -> Result<Vec<Obligation>, Fault> {
        let open = |m: &Machine| {
            let state = m.state();
            let app = |o: &Obligation| state.owes(o.txn).map(|told| told.key.app.clone());
            state.obligations.iter().map(|o| (o.clone(), app(o))).collect::<Vec<_>>()
        };
        let mut own = Vec::new();
        for (o, app) in self.look(open).await? {
            let mine = match app {
                _ if caller.manager => true,
                Some(app) => caller.sees(&app),
                None => self
                    .store
                    .by_txn(o.txn)
                    .await
                    .map_err(store_fault)?
                    .is_some_and(|f| caller.sees(&f.outcome.key.app)),
            };
            if mine {
                own.push(self.settings.shown(&o, self.clock.now()));
            }
        }
        Ok(own)
    }

    pub(super) async fn offline_answers(
        &self,
        amount: Money,
        account: Option<AccountId>,
    ) -> Result<Vec<OfflineAnswer>, Fault> {
        let fits = |a: &&AccountSettings| {
            a.config.currency == amount.currency && account.as_ref().is_none_or(|id| *id == a.config.id)
        };
        let of = self
            .settings
            .accounts
            .iter()
            .find(fits)
            .ok_or_else(|| Fault::NoAccount { currency: amount.currency.to_string() })?;
        let (of, now, minor) = (of.clone(), self.clock.now(), amount.minor());
        let beforehand = move |m: &Machine| {
            let heard = m.heard().get(&of.config.id);
            payterm_core::offline::beforehand(m.settings(), &of, m.state(), heard, now, minor)
        };
        self.look(beforehand).await
    }

    pub(super) async fn reconciled(
        &self,
        caller: &Caller,
        account: Option<AccountId>,
        file: String,
    ) -> Result<Reconciliation, Fault> {
        caller.manage()?;
        let config = match (&account, self.config.accounts.as_slice()) {
            (None, [only]) => only,
            (None, _) => return Err(Fault::invalid("account", "needed: there are several accounts")),
            (Some(id), all) => {
                all.iter().find(|a| a.id == *id).ok_or_else(|| Fault::not_found("account", id.as_str()))?
            }
        };
        let file = reconciliation::read(&file, config.currency)
            .map_err(|e| Fault::invalid("file", &e.to_string()))?;
        let id = config.id.clone();
        let open = self.look(move |m| (m.state().ledger(&id).batch, m.state().recovering.is_some())).await?;
        // In a restored journal it may have been settled in what was lost: the file is what a person
        // decides by.
        if open == (file.batch, false) {
            return Err(Fault::WrongState { rule: "this batch is open: settle it first".into() });
        }
        let ours = self.store.of_batch(&config.id, file.batch).await.map_err(store_fault)?;
        let mut result = reconciliation::compare(config.id.clone(), config.currency, &file, &ours);
        let texts = self.spoken.texts();
        result
            .differences
            .iter_mut()
            .for_each(|d| d.next = texts.get(&format!("next-reconcile-{}", d.differs.name()), &[]));
        Ok(result)
    }
}
