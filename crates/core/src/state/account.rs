//! Fold of an account's records: its sign-in, and what its host said last.
use super::State;
use payterm_schema::{AccountId, AccountRecord, Time};

impl State {
    pub(super) fn apply_account(&mut self, at: Time, record: &AccountRecord) {
        match record {
            AccountRecord::ControlSent { account, plan } => {
                self.accounts.entry(account.clone()).or_default().last_stan = Some(plan.stan)
            }
            AccountRecord::SignedIn { account, batch, offset, answer } => {
                let ledger = self.accounts.entry(account.clone()).or_default();
                ledger.signed_in = true;
                ledger.offset = *offset;
                ledger.batch = *batch;
                ledger.requirement = 0;
                self.host_in_batch(at, account, answer.batch.filter(|b| b != batch));
                self.heard(account, at);
            }
            AccountRecord::SignInFailed { account, .. } | AccountRecord::SignedOut { account, .. } => {
                self.accounts.entry(account.clone()).or_default().signed_in = false
            }
            AccountRecord::Requirement { account, digit } => {
                self.accounts.entry(account.clone()).or_default().requirement = *digit
            }
            AccountRecord::EmvParameters { account, parameters } => {
                let ledger = self.accounts.entry(account.clone()).or_default();
                ledger.emv = Some(parameters.clone());
                if matches!(ledger.requirement, 4 | 5) {
                    ledger.requirement = 0;
                }
                self.heard(account, at);
            }
            AccountRecord::DownloadFailed { .. } => {}
        }
    }

    pub(super) fn heard(&mut self, account: &AccountId, at: Time) {
        self.accounts.entry(account.clone()).or_default().online = Some(at);
    }
}
