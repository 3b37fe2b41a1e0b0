//! Fold of a request's records: what runs, what its frames owe, what became of it.
use super::{Running, State, broken};
use crate::{ReplayError, ledger::numbers};
use payterm_schema::{
    AccountId, CardToken, HostAnswer, Outcome, Request, RequestKey, RequestRecord, Time,
    account::Stan,
    caller::TERMINAL,
    host::{MacVerdict, Plan},
    icc::Icc,
    kind::{CardRule, Recovery},
    record::{Due, Duty, Entry, Obligation, ObligationState, ProvisionalOf},
};
use std::sync::Arc;

impl State {
    pub(super) fn apply_request(&mut self, entry: &Entry, record: &RequestRecord) -> Result<(), ReplayError> {
        let (seq, at) = (entry.seq, entry.at);
        match record {
            RequestRecord::Started { txn, key, hash, request, view } => {
                self.started(entry, *txn, key, hash, request, view)?;
            }
            RequestRecord::Allowed { txn, account, plan, view, owes, card } => {
                let running = self.runs(*txn).ok_or(broken(seq, "a frame of a request that does not run"))?;
                running.in_flight = Some((account.clone(), plan.stan));
                running.frames += 1;
                self.made(*txn, account, plan, view);
                if *owes {
                    self.owe(at, *txn, account, plan, view, card.as_ref());
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
                self.runs(*txn).ok_or(broken(seq, "an offline payment of a request that does not run"))?;
                self.made(*txn, account, plan, view);
                self.obligations.insert(Obligation {
                    card: card.clone(),
                    state: ObligationState::Due,
                    left: false,
                    had_left: false,
                    ..Obligation::new(*txn, account.clone(), (**plan).clone(), Duty::Repeat, Some(*txn), at)
                });
            }
            RequestRecord::OfflineDenied { txn, judgement, .. } => {
                if let Some(r) = self.runs(*txn) {
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
            RequestRecord::CardHears { txn, outcome } => {
                let running = self.runs(*txn).ok_or(broken(seq, "a card hears of a request that ended"))?;
                running.decided = Some(Arc::clone(outcome));
            }
            RequestRecord::CardEnded { txn, stan, approved, icc } => {
                self.card_ended(*txn, *stan, *approved, icc)
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
                self.provisional(*txn, *stan, *of, answer);
            }
        }
        Ok(())
    }

    /// F38 of its reversal is known, and who has the last word.
    fn provisional(&mut self, txn: u64, stan: Stan, of: ProvisionalOf, answer: &HostAnswer) {
        self.clear_in_flight(txn);
        self.obligations.change(txn, stan, |o| o.plan.auth_code.clone_from(&answer.auth_code));
        if let Some(r) = self.runs(txn) {
            r.provisional = Some((of, Box::new(answer.clone())));
        }
    }
    /// Its reversal bears what the card said last.
    fn card_ended(&mut self, txn: u64, stan: Stan, approved: bool, icc: &Icc) {
        let account = self.runs(txn).and_then(|r| r.view.account.clone()).filter(|_| approved);
        if let Some(account) = account {
            let ledger = self.accounts.entry(account).or_default();
            ledger.certificates = ledger.certificates.saturating_add(1);
        }
        self.obligations.change(txn, stan, |o| o.plan.icc = Some(icc.clone()));
    }

    fn started(
        &mut self,
        entry: &Entry,
        txn: u64,
        key: &RequestKey,
        hash: &str,
        request: &Request,
        view: &Arc<Outcome>,
    ) -> Result<(), ReplayError> {
        if self.running.is_some() {
            return Err(broken(entry.seq, "a request starts while another runs"));
        }
        self.last_txn = txn;
        if key.app == TERMINAL
            && let Some(account) = &request.account
        {
            let ledger = self.accounts.entry(account.clone()).or_default();
            ledger.auto_settled = Some(entry.at);
            ledger.auto_tries = ledger.auto_tries.saturating_add(1);
            self.asked_about(account, txn);
        }
        self.running = Some(Running {
            txn,
            key: key.clone(),
            hash: hash.to_owned(),
            request: request.clone(),
            view: Arc::clone(view),
            in_flight: None,
            provisional: None,
            decided: None,
            frames: 0,
        });
        Ok(())
    }

    fn runs(&mut self, txn: u64) -> Option<&mut Running> {
        self.running.as_mut().filter(|r| r.txn == txn)
    }

    /// A message of the running request may leave, or is accepted in place of one.
    fn made(&mut self, txn: u64, account: &AccountId, plan: &Plan, view: &Arc<Outcome>) {
        if let Some(running) = self.runs(txn) {
            running.view = Arc::clone(view);
        }
        let ledger = self.accounts.entry(account.clone()).or_default();
        ledger.last_stan = Some(plan.stan);
        ledger.made_as = numbers(view).or(ledger.made_as.take());
    }

    /// The obligation of a request's own message.
    fn owe(
        &mut self,
        at: Time,
        txn: u64,
        account: &AccountId,
        plan: &Plan,
        view: &Outcome,
        card: Option<&CardToken>,
    ) {
        let row = plan.kind.row();
        // Nothing was presented: the PAN is the original's.
        let original = view.original.as_ref().and_then(|o| o.txn);
        let of_original = original.filter(|_| plan.wallet.is_none() && row.card == CardRule::None);
        self.voidable.extend(of_original);
        let duty = match row.recovery {
            Recovery::Reverse | Recovery::AskAgain => Duty::Reverse,
            Recovery::Repeat => Duty::Repeat,
            Recovery::ManualResolution => Duty::ManualResolution,
        };
        let sealed = plan.wallet.is_none().then(|| of_original.unwrap_or(txn));
        self.obligations.insert(Obligation {
            card: card.cloned(),
            ..Obligation::new(txn, account.clone(), plan.clone(), duty, sealed, at)
        });
    }

    fn clear_in_flight(&mut self, txn: u64) {
        if let Some(r) = self.runs(txn) {
            r.in_flight = None;
        }
    }
}
