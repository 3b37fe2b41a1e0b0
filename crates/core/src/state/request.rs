//! Fold of a request's records: what runs, what its frames owe, what became of it.
use super::{Running, State, broken};
use crate::{ReplayError, ledger::numbers};
use payterm_schema::{
    RequestRecord,
    caller::TERMINAL,
    host::MacVerdict,
    kind::{CardRule, Recovery},
    record::{Due, Duty, Entry, Obligation, ObligationState},
};
use std::sync::Arc;

impl State {
    pub(super) fn apply_request(&mut self, entry: &Entry, record: &RequestRecord) -> Result<(), ReplayError> {
        let (seq, at) = (entry.seq, entry.at);
        match record {
            RequestRecord::Started { txn, key, hash, request, view } => {
                if self.running.is_some() {
                    return Err(broken(seq, "a request starts while another runs"));
                }
                self.last_txn = *txn;
                if key.app == TERMINAL
                    && let Some(account) = &request.account
                {
                    let ledger = self.accounts.entry(account.clone()).or_default();
                    ledger.auto_settled = Some(at);
                    ledger.auto_tries = ledger.auto_tries.saturating_add(1);
                    self.asked_about(account, *txn);
                }
                self.running = Some(Running {
                    txn: *txn,
                    key: key.clone(),
                    hash: hash.clone(),
                    request: (**request).clone(),
                    view: Arc::clone(view),
                    in_flight: None,
                    provisional: None,
                    frames: 0,
                });
            }
            RequestRecord::Allowed { txn, account, plan, view, owes, card } => {
                let running = self
                    .running
                    .as_mut()
                    .filter(|r| r.txn == *txn)
                    .ok_or(broken(seq, "a frame of a request that does not run"))?;
                running.view = Arc::clone(view);
                running.in_flight = Some((account.clone(), plan.stan));
                running.frames += 1;
                let ledger = self.accounts.entry(account.clone()).or_default();
                ledger.last_stan = Some(plan.stan);
                ledger.made_as = numbers(view).or(ledger.made_as.take());
                if *owes {
                    let row = plan.kind.row();
                    // Nothing was presented: the PAN is the original's.
                    let of_original = view
                        .original
                        .as_ref()
                        .and_then(|o| o.txn)
                        .filter(|_| plan.wallet.is_none() && row.card == CardRule::None);
                    self.voidable.extend(of_original);
                    let duty = match row.recovery {
                        Recovery::Reverse | Recovery::AskAgain => Duty::Reverse,
                        Recovery::Repeat => Duty::Repeat,
                        Recovery::ManualResolution => Duty::ManualResolution,
                    };
                    let sealed = plan.wallet.is_none().then(|| of_original.unwrap_or(*txn));
                    self.obligations.insert(Obligation {
                        card: card.clone(),
                        ..Obligation::new(*txn, account.clone(), (**plan).clone(), duty, sealed, at)
                    });
                }
            }
            RequestRecord::NotSent { txn, stan, .. } => {
                self.clear_in_flight(*txn);
                if self.obligation(*txn, *stan).is_some_and(|o| o.duty == Duty::Repeat) {
                    self.obligations.change(*txn, *stan, |o| {
                        (o.state, o.left, o.had_left) = (ObligationState::Due, false, false)
                    });
                } else {
                    self.drop_obligation(*txn, *stan);
                }
            }
            RequestRecord::OfflineAllowed { txn, account, plan, view, card, .. } => {
                if self.ledger(account).settling.is_some() {
                    return Err(broken(seq, "an offline payment enters a batch that is being settled"));
                }
                let running = self
                    .running
                    .as_mut()
                    .filter(|r| r.txn == *txn)
                    .ok_or(broken(seq, "an offline payment of a request that does not run"))?;
                running.view = Arc::clone(view);
                let ledger = self.accounts.entry(account.clone()).or_default();
                ledger.last_stan = Some(plan.stan);
                ledger.made_as = numbers(view).or(ledger.made_as.take());
                self.obligations.insert(Obligation {
                    card: card.clone(),
                    state: ObligationState::Due,
                    left: false,
                    had_left: false,
                    ..Obligation::new(*txn, account.clone(), (**plan).clone(), Duty::Repeat, Some(*txn), at)
                });
            }
            RequestRecord::OfflineDenied { txn, judgement, .. } => {
                if let Some(r) = self.running.as_mut().filter(|r| r.txn == *txn) {
                    Arc::make_mut(&mut r.view).offline = Some(*judgement);
                }
            }
            RequestRecord::Answered { txn, account, stan, due: None, .. } => {
                self.heard(account, at);
                self.clear_in_flight(*txn);
                self.drop_obligation(*txn, *stan);
            }
            RequestRecord::Answered { txn, account, stan, due: Some(due), answer, .. } => {
                self.heard(account, at);
                self.clear_in_flight(*txn);
                self.due(*txn, *stan, due);
                // F38 of the reversal, "when known" (host-protocol §6).
                self.obligations.change(*txn, *stan, |o| o.plan.auth_code.clone_from(&answer.auth_code));
            }
            RequestRecord::NoReply { txn, stan, reason, not_before, .. } => {
                self.clear_in_flight(*txn);
                self.due(*txn, *stan, &Due { reason: *reason, not_before: *not_before });
            }
            RequestRecord::Disregarded { account, answer, .. } => {
                if matches!(answer.mac, MacVerdict::Wrong | MacVerdict::Absent) {
                    self.accounts.entry(account.clone()).or_default().mac_failures += 1;
                }
            }
            RequestRecord::Outcome { outcome, papers } => {
                self.outcome(at, outcome);
                for p in papers {
                    self.last_job = p.job;
                    self.papers.insert(p.job, p.of(outcome));
                }
            }
            RequestRecord::Voided { .. }
            | RequestRecord::Completed { .. }
            | RequestRecord::Adjusted { .. }
            | RequestRecord::RefundHeld { .. }
            | RequestRecord::RefundFreed { .. }
            | RequestRecord::Released { .. } => {}
            RequestRecord::Pending { txn, account, stan, asking, .. } => {
                self.heard(account, at);
                self.clear_in_flight(*txn);
                self.obligations.change(*txn, *stan, |o| o.asking = Some(*asking));
            }
            RequestRecord::Provisional { txn, account, stan, of, answer, .. } => {
                self.heard(account, at);
                self.clear_in_flight(*txn);
                self.obligations.change(*txn, *stan, |o| o.plan.auth_code.clone_from(&answer.auth_code));
                if let Some(r) = self.running.as_mut().filter(|r| r.txn == *txn) {
                    r.provisional = Some((*of, answer.clone()));
                }
            }
        }
        Ok(())
    }

    fn clear_in_flight(&mut self, txn: u64) {
        if let Some(r) = self.running.as_mut().filter(|r| r.txn == txn) {
            r.in_flight = None;
        }
    }
}
