//! What the journal keeps of obligations, whoever finds it out: a try that failed, one that is a person's,
//! what is taken back.
use crate::{context::Context, signal::Signal};
use payterm_schema::{
    AccountId, HostAnswer, Notice, ObligationRecord, Outcome, Record,
    account::Stan,
    config::AccountConfig,
    host::{FrameTrace, HostRules, RetryRule, ReversalReason},
    outcome::{Class, Reason},
    paper::PaperKind,
    record::{Obligation, ObligationState},
};
use std::sync::Arc;

/// A try of an obligation that was not answered as it should be.
pub(crate) struct FailedTry {
    /// F39, where there was an answer.
    pub code: Option<String>,
    pub why: String,
    /// A byte of it left, or may have.
    pub left: bool,
    pub trace: FrameTrace,
}
impl FailedTry {
    pub fn not_sent(why: String) -> Self {
        Self { code: None, why, left: false, trace: FrameTrace::default() }
    }
}

/// This code says nothing about the advice: the host or the line is in trouble, or wants a sign-in.
pub(crate) fn advice_waits(rules: &HostRules, answer: &HostAnswer) -> bool {
    let Some(rule) = rules.codes.get(&answer.code) else { return false };
    rule.class == Class::E
        || rule.class == Class::P
        || rule.reverse
        || matches!(rule.retry, RetryRule::SignIn | RetryRule::Now)
}

impl Context {
    pub fn obligation_failed(&mut self, account: &AccountId, txn: u64, stan: Stan, failed: FailedTry) {
        let Some(o) = self.state.obligation(txn, stan).cloned() else { return };
        let FailedTry { code, why, left, trace } = failed;
        // What never left is tried for as long as it takes: as long again as it has waited, within the same
        // bounds.
        let (first, waited, max) =
            (self.backoff(account, 1, txn), self.now.since(o.since), self.longest_wait(account));
        let next_try =
            self.now + if left { self.backoff(account, o.tries, txn) } else { waited.clamp(first, max) };
        self.record(Some(txn), ObligationRecord::Failed { txn, stan, code, why, next_try, left, trace });
        let max = self.account(account).map_or(1, |a| a.config.obligation_tries);
        if left && o.tries >= max && o.state == ObligationState::Due {
            return self.stuck(&o);
        }
        self.tell_obligation(txn, stan);
    }

    pub fn tell_obligation(&mut self, txn: u64, stan: Stan) {
        if let Some(o) = self.state.obligation(txn, stan).map(|o| self.settings.shown(o, self.now)) {
            let account = o.account.clone();
            self.tell(Notice::Obligation { obligation: Box::new(o) });
            self.signal(Signal::OwedChanged { account });
        }
    }

    /// For a person: kept, shown, printed and told.
    pub fn stuck(&mut self, o: &Obligation) {
        self.stuck_records(o).into_iter().for_each(|record| self.record(Some(o.txn), record));
        self.tell_obligation(o.txn, o.plan.stan);
    }

    /// What becomes a person's on record, with the slip that tells of it.
    pub fn stuck_records(&self, o: &Obligation) -> Vec<Record> {
        let (txn, stan) = (o.txn, o.plan.stan);
        let running = self.state.running.as_ref().filter(|r| r.txn == txn).map(|r| &*r.view);
        let told = self.state.owes(txn).or(running).cloned();
        // The numbers of the message itself: another try of the same request has others.
        let slip = told.map(|told| Outcome { stan: Some(stan), batch: Some(o.plan.batch), ..told });
        let slip = slip.and_then(|of| self.paper(PaperKind::StuckSlip, Arc::new(of), 0));
        [Record::from(ObligationRecord::Stuck { txn, stan })]
            .into_iter()
            .chain(slip.map(Into::into))
            .collect()
    }

    /// The account is configured, and still speaks as the merchant and terminal that sent the frame.
    pub fn drivable(&self, o: &Obligation) -> bool {
        let told = self.state.owes(o.txn);
        let same = |c: &AccountConfig| {
            told.is_none_or(|t| {
                t.mid.as_deref() == Some(c.mid.as_str()) && t.tid.as_deref() == Some(c.tid.as_str())
            })
        };
        self.account(&o.account).is_some_and(|a| same(&a.config))
    }

    /// Obligations of accounts that the configuration no longer has, or that have another merchant or
    /// terminal number by now: nobody can drive them, the host would not know whose frame is taken back.
    pub fn mark_undrivable_stuck(&mut self) {
        let lost: Vec<Obligation> = self
            .state
            .obligations
            .iter()
            .filter(|o| o.state != ObligationState::Stuck && !self.drivable(o))
            .cloned()
            .collect();
        lost.iter().for_each(|o| self.stuck(o));
    }

    /// The reversal of what the host approved is due.
    pub fn take_back(&mut self, txn: u64, stan: Stan, reason: ReversalReason) {
        let not_before = self.undo_time(txn, stan);
        self.record(Some(txn), ObligationRecord::Due { txn, stan, reason, not_before });
    }

    /// A wallet's time is over, or its word is none: reversed, not sooner than the wallet allows. Its
    /// request, if it still runs, has waited for nothing else.
    pub fn wallet_unclear(&mut self, txn: u64, stan: Stan) {
        self.take_back(txn, stan, ReversalReason::NoReply);
        let account = self.state.obligation(txn, stan).map(|o| o.account.clone());
        if let Some(account) = account.filter(|_| self.runs(txn)) {
            self.end_unknown(&account, Reason::new("pending", Class::P));
        }
    }

    /// After a restart the wallets are asked on; their time counts from its start.
    pub fn ask_wallets_again(&mut self) {
        let asked = |o: &&Obligation| o.asking.is_some() && o.state == ObligationState::Armed;
        let open: Vec<Obligation> = self.state.obligations.iter().filter(asked).cloned().collect();
        for o in open {
            let (txn, stan) = (o.txn, o.plan.stan);
            match self.query_rule(&o) {
                Some(rule) => self
                    .record(Some(txn), ObligationRecord::AskedAnew { txn, stan, asking: self.asking(rule) }),
                None => self.wallet_unclear(txn, stan),
            }
        }
    }
}
