//! How a transaction ends: its outcome, what it does to its original, its papers, its sealed PAN.
use crate::{
    context::Context,
    fees::{Paid, fee},
    signal::Signal,
    view,
};
use payterm_schema::{
    AccountId, Kind, Notice, Outcome, PaperRecord, RequestRecord, Status,
    account::Stan,
    host::Wallet,
    kind::{Mark, Side},
    money::MAX_MINOR,
    outcome::{Authority, Class, Forwarding, Reason},
    paper::{PaperContent, PaperJob, PaperKind},
    record::{Duty, Obligation, ObligationState, OutcomePaper},
};
use std::sync::Arc;

/// Whose word an advice of this kind stands on: the issuer's by telephone, or the host's with its
/// pre-authorisation or sale.
pub(crate) const fn advice_authority(kind: Kind) -> Authority {
    if matches!(kind, Kind::VoiceSale) { Authority::Voice } else { Authority::Host }
}

impl Context {
    /// A transaction has an outcome: final or `Unknown`.
    pub fn finish(&mut self, mut outcome: Outcome) {
        self.not_taken_back(&mut outcome);
        let txn = outcome.txn;
        let approved = outcome.status == Status::Approved;
        let outcome = Arc::new(outcome);
        let papers = self.papers_of(&outcome);
        self.record(Some(txn), RequestRecord::Outcome { outcome: Arc::clone(&outcome), papers });
        if let Some(original) = outcome.original.as_ref().and_then(|o| o.txn) {
            self.apply_to_original(original, &outcome);
        }
        self.erase_when_done(txn, approved && outcome.kind.keeps_pan() && self.state.in_open_batch(&outcome));
        self.tell(Notice::Outcome { outcome: Arc::clone(&outcome) });
        self.signal(Signal::Finished { outcome });
    }

    /// What ends with its reversal open is unknown in a recovery: none leaves by itself, and it may stand
    /// with the acquirer until a person has asked.
    fn not_taken_back(&self, outcome: &mut Outcome) {
        let open = |o: &Obligation| o.duty == Duty::Reverse && o.state != ObligationState::Stuck;
        if self.state.recovering.is_some()
            && matches!(outcome.status, Status::Declined | Status::Cancelled | Status::Failed)
            && self.state.obligations.of(outcome.txn).any(open)
        {
            outcome.status = Status::Unknown;
            outcome.reason.iter_mut().for_each(|r| r.class = Class::D);
        }
    }

    /// The running request's fate is not known: "do not take the money again". The obligation drives it to a
    /// final outcome.
    pub fn end_unknown(&mut self, account: &AccountId, reason: Reason) {
        let mut outcome = (*self.running().view).clone();
        outcome.status = Status::Unknown;
        outcome.reason = Some(reason);
        outcome.answer_by = Some(self.now + self.patience(account));
        self.finish(outcome);
    }

    /// Nobody but the acquirer knows what became of the running request, and asking again could pay twice: a
    /// person must find out.
    pub fn end_in_doubt(&mut self, txn: u64, stan: Stan, reason: Reason) {
        let mut outcome = (*self.running().view).clone();
        outcome.status = Status::Unknown;
        outcome.reason = Some(reason);
        self.finish(outcome);
        if let Some(o) = self.state.obligation(txn, stan).cloned() {
            self.stuck(&o);
        }
    }

    /// The running request's advice stands on disk; the customer need not wait for the line.
    pub fn accept_advice(&mut self) {
        let running = self.running();
        let kind = running.request.kind;
        let mut outcome = (*running.view).clone();
        outcome.forwarding = Some(Forwarding::Pending);
        if kind == Kind::VoiceSale {
            outcome.auth_code.clone_from(&running.request.auth_code);
        }
        self.approve(&mut outcome, advice_authority(kind));
        self.finish(outcome);
    }

    /// The money moved: with the merchant's fee by the account's table, where the host names none.
    pub fn approve(&self, outcome: &mut Outcome, authority: Authority) {
        if outcome.kind.row().side == Side::Debit
            && outcome.kind != Kind::TipAdjust
            && outcome.sums.fee.is_none()
        {
            let table = outcome
                .account
                .as_ref()
                .and_then(|a| self.account(a))
                .map(|a| a.config.fees.as_slice())
                .unwrap_or_default();
            let paid =
                Paid { mode: outcome.entry, wallet: outcome.wallet, scheme: outcome.scheme.as_deref() };
            outcome.sums.fee =
                outcome.sums.amount.and_then(|amount| fee(table, paid, amount)).filter(|f| *f <= MAX_MINOR);
        }
        view::approved(outcome, authority, self.now);
    }

    /// An outcome that was told gains something: recorded, told, printed where a person must look.
    pub fn announce(&mut self, outcome: Outcome, look: bool) {
        let slip = OutcomePaper { job: self.state.last_job + 1, kind: PaperKind::StuckSlip };
        let papers = if look && self.settings.printer { vec![slip] } else { Vec::new() };
        let outcome = Arc::new(outcome);
        self.record(Some(outcome.txn), RequestRecord::Outcome { outcome: Arc::clone(&outcome), papers });
        self.tell(Notice::Outcome { outcome });
    }

    /// The outcome of this transaction as it stands: of the running request, or as it was told.
    pub fn told(&self, txn: u64) -> Option<Outcome> {
        let running = self.state.running.as_ref().filter(|r| r.txn == txn).map(|r| &*r.view);
        running.or(self.state.owes(txn)).cloned()
    }

    /// What this outcome does to its original (kind sheet, `marks_original`).
    fn apply_to_original(&mut self, original: u64, outcome: &Outcome) {
        let (txn, kind, approved) = (outcome.txn, outcome.kind, outcome.status == Status::Approved);
        match kind.row().marks_original {
            Mark::Voided if approved => {
                self.record(Some(original), RequestRecord::Voided { txn: original, by: txn });
                self.erase_when_done(
                    original,
                    kind != Kind::PreAuthCancel && self.state.in_open_batch(outcome),
                );
                // A completion that is taken back gives its hold free again.
                let hold = outcome.original.as_ref().and_then(|o| o.of);
                if let Some(hold) = hold.filter(|_| kind == Kind::CompletionCancel) {
                    self.record(Some(hold), RequestRecord::Released { txn: hold, by: original });
                }
            }
            Mark::Completed if approved => {
                self.record(Some(original), RequestRecord::Completed { txn: original, by: txn })
            }
            Mark::Adjusted if approved => {
                let tip = outcome.sums.tip.unwrap_or(0);
                self.record(Some(original), RequestRecord::Adjusted { txn: original, by: txn, tip });
            }
            // Its part is held since before its frame left.
            Mark::Refunded
                if matches!(outcome.status, Status::Declined | Status::Cancelled | Status::Failed)
                    && outcome.stan.is_some() =>
            {
                let minor = outcome.sums.amount.unwrap_or(0);
                self.record(Some(original), RequestRecord::RefundFreed { txn: original, by: txn, minor });
            }
            Mark::None | Mark::Voided | Mark::Completed | Mark::Adjusted | Mark::Refunded => {}
        }
    }

    /// Gives back what an advice that is not paid had taken of its original.
    pub fn release_original(&mut self, outcome: &Outcome) {
        if let Some(original) = outcome.original.as_ref().and_then(|x| x.txn) {
            self.record(Some(original), RequestRecord::Released { txn: original, by: outcome.txn });
        }
    }

    /// The papers that come with this outcome.
    pub fn papers_of(&self, outcome: &Outcome) -> Vec<OutcomePaper> {
        let paper = &self.settings.paper;
        let kinds = match outcome.status {
            _ if !self.settings.printer => [None, None],
            Status::Approved if outcome.kind.row().slip => [
                paper.merchant_copy.then_some(PaperKind::MerchantCopy),
                paper.customer_copy.then_some(PaperKind::CustomerCopy),
            ],
            // Nobody was to be charged: the account waits, and says so.
            Status::Unknown if outcome.kind == Kind::Settlement => [None, None],
            Status::Unknown => [Some(PaperKind::UnknownSlip), None],
            Status::Approved if outcome.kind == Kind::Settlement => [Some(PaperKind::SettlementReport), None],
            Status::Approved | Status::Running | Status::Declined | Status::Cancelled | Status::Failed => {
                [None, None]
            }
        };
        kinds
            .into_iter()
            .flatten()
            .zip(self.state.last_job + 1..)
            .map(|(kind, job)| OutcomePaper { job, kind })
            .collect()
    }

    /// Queues a paper that does not come with its outcome. `attempts` = 1 for a reprint: it is never headed
    /// as an original.
    pub fn queue_paper(&mut self, kind: PaperKind, outcome: Arc<Outcome>, attempts: u32) {
        let txn = outcome.txn;
        if let Some(queued) = self.paper(kind, outcome, attempts) {
            self.record(Some(txn), queued);
        }
    }

    /// Record of the next paper; none without a printer.
    pub fn paper(&self, kind: PaperKind, outcome: Arc<Outcome>, attempts: u32) -> Option<PaperRecord> {
        let content = PaperContent::Outcome(outcome);
        let job = PaperJob::new(self.state.last_job + 1, kind, attempts, content);
        self.settings.printer.then(|| PaperRecord::Queued { job: Box::new(job) })
    }

    /// A person ends this obligation, and a void or the upload needs its PAN still: its original's, or that
    /// of a payment of which another frame was approved.
    pub fn pan_still_needed(&self, o: &Obligation) -> bool {
        // Neither is the payment's own message: it stands without them.
        let beside = matches!(o.duty, Duty::Reverse | Duty::Notify);
        o.sealed.is_some_and(|t| (t != o.txn || beside) && self.state.voidable.contains(&t))
    }

    /// The sealed PAN goes when neither an obligation nor a later void needs it, nor the request itself while
    /// it runs.
    pub fn erase_when_done(&mut self, txn: u64, voidable: bool) {
        let owed = self.state.obligations.seals(txn);
        if !owed && !voidable && !self.runs(txn) {
            self.step.seal.retain(|(t, _)| *t != txn);
            self.step.erase.push(txn);
        }
    }

    /// Scheme under which an outcome counts in the totals: the host's word, else the wallet.
    pub fn counted_scheme(outcome: &Outcome) -> &str {
        outcome.scheme.as_deref().or(outcome.wallet.map(Wallet::name)).unwrap_or_default()
    }
}
