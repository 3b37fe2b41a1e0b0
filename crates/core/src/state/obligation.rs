//! Fold of the obligations' records.
use super::State;
use payterm_schema::{
    ObligationRecord, Time,
    account::Stan,
    record::{Due, Duty, Ending, ObligationState},
};

impl State {
    pub(super) fn apply_obligation(&mut self, at: Time, record: &ObligationRecord) {
        match record {
            ObligationRecord::Queried { txn, stan, plan, next } => {
                if let Some(account) = self.obligation(*txn, *stan).map(|o| o.account.clone()) {
                    self.accounts.entry(account).or_default().last_stan = Some(plan.stan);
                }
                self.obligations.change(*txn, *stan, |o| {
                    if let Some(a) = &mut o.asking {
                        a.next = *next;
                    }
                });
            }
            ObligationRecord::AskedAnew { txn, stan, asking } => {
                self.obligations.change(*txn, *stan, |o| o.asking = Some(*asking))
            }
            ObligationRecord::Due { txn, stan, reason, not_before } => {
                self.due(*txn, *stan, &Due { reason: *reason, not_before: *not_before })
            }
            ObligationRecord::Tried { txn, stan } => self.obligations.change(*txn, *stan, |o| {
                o.tries += 1;
                o.had_left = std::mem::replace(&mut o.left, true);
            }),
            ObligationRecord::Failed { txn, stan, code, next_try, left, .. } => {
                self.obligations.change(*txn, *stan, |o| {
                    o.next_try = *next_try;
                    if code.is_some() {
                        o.last_code.clone_from(code);
                    }
                    if !*left {
                        o.tries = o.tries.saturating_sub(1);
                        // An advice that has never left owes nothing to what comes after it.
                        o.left = o.had_left;
                    }
                })
            }
            ObligationRecord::Ended { txn, stan, how, .. } => {
                if matches!(how, Ending::Answered(_))
                    && let Some(account) = self.obligation(*txn, *stan).map(|o| o.account.clone())
                {
                    self.heard(&account, at);
                }
                self.drop_obligation(*txn, *stan);
            }
            ObligationRecord::WrittenOff { txn, stan, .. } => self.drop_obligation(*txn, *stan),
            ObligationRecord::Hurried { txn, stan, .. } => {
                self.obligations.change(*txn, *stan, |o| o.next_try = at)
            }
            ObligationRecord::Held { txn, stan, hold, by } => {
                self.obligations.change(*txn, *stan, |o| o.held = hold.then(|| by.clone()))
            }
            ObligationRecord::OfAnother { txn, stan } => self.obligations.change(*txn, *stan, |o| {
                if o.duty == Duty::Reverse {
                    o.duty = Duty::ManualResolution;
                }
            }),
            ObligationRecord::Stuck { txn, stan } => self.obligations.change(*txn, *stan, |o| {
                o.state = ObligationState::Stuck;
                o.asking = None;
            }),
            ObligationRecord::Retried { txn, stan, .. } => self.obligations.change(*txn, *stan, |o| {
                o.state = ObligationState::Due;
                o.tries = 0;
                o.next_try = at;
            }),
            ObligationRecord::ScriptsEnded { txn, stan, icc } => self.obligations.change(*txn, *stan, |o| {
                o.state = ObligationState::Due;
                if icc.is_some() {
                    o.plan.icc.clone_from(icc);
                }
            }),
            ObligationRecord::Opened { obligation: o } => {
                self.accounts.entry(o.account.clone()).or_default().last_stan = Some(o.plan.stan);
                self.obligations.insert((**o).clone());
            }
        }
    }

    pub(super) fn due(&mut self, txn: u64, stan: Stan, due: &Due) {
        self.obligations.change(txn, stan, |o| {
            o.state = ObligationState::Due;
            o.reason = due.reason;
            o.next_try = due.not_before;
            o.asking = None;
        });
    }

    pub(super) fn drop_obligation(&mut self, txn: u64, stan: Stan) {
        let Some(gone) = self.obligations.remove(txn, stan) else { return };
        if let Some(sealed) = gone.sealed.filter(|t| !self.obligations.seals(*t)) {
            self.voidable.remove(&sealed);
        }
        // `Unknown` ends with a record of its own.
        if self.owes(txn).is_some_and(|told| told.status.is_final())
            && self.obligations.of(txn).next().is_none()
        {
            self.owing.remove_mut(&txn);
        }
    }
}
