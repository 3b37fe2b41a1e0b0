//! What a request does to its original, and what a person found out about one that is in doubt.
use crate::{Machine, advice, view};
use payterm_schema::{
    Fault, Kind, Notice, Outcome, Record, Status,
    account::Stan,
    host::FrameTrace,
    outcome::{Authority, Class, Forwarding},
    paper::PaperKind,
    record::{Duty, Ending, Obligation, ObligationState},
};

impl Machine {
    /// The original of a request that has an outcome.
    pub(crate) fn settle_original(&mut self, original: u64, outcome: &Outcome) {
        let (txn, approved) = (outcome.txn, outcome.status == Status::Approved);
        match outcome.kind {
            Kind::Void | Kind::CompletionCancel | Kind::PreAuthCancel if approved => {
                self.record(Some(original), Record::Voided { txn: original, by: txn });
                self.erase_when_done(original, outcome.kind != Kind::PreAuthCancel && self.state.in_open_batch(outcome));
                // A completion that is taken back gives its hold free again.
                if let Some(hold) = outcome.original.as_ref().and_then(|o| o.of).filter(|_| outcome.kind == Kind::CompletionCancel) {
                    self.record(Some(hold), Record::Released { txn: hold, by: original });
                }
            }
            Kind::Completion | Kind::CompletionAdvice if approved => self.record(Some(original), Record::Completed { txn: original, by: txn }),
            Kind::TipAdjust if approved => self.record(Some(original), Record::Adjusted { txn: original, by: txn, tip: outcome.sums.tip.unwrap_or(0) }),
            // Held since before its frame left.
            Kind::Refund if matches!(outcome.status, Status::Declined | Status::Cancelled | Status::Failed) && outcome.stan.is_some() => {
                let minor = outcome.sums.amount.unwrap_or(0);
                self.record(Some(original), Record::RefundFreed { txn: original, by: txn, minor });
            }
            Kind::Sale
            | Kind::Void
            | Kind::Refund
            | Kind::Balance
            | Kind::PreAuth
            | Kind::PreAuthCancel
            | Kind::Completion
            | Kind::CompletionAdvice
            | Kind::CompletionCancel
            | Kind::TipAdjust
            | Kind::VoiceSale
            | Kind::Parameters
            | Kind::StatusUpload
            | Kind::Settlement
            | Kind::SignIn
            | Kind::SignOff
            | Kind::Echo => {}
        }
    }

    /// An outcome that was told gains something: recorded, told, printed where a person must look.
    pub(crate) fn announce(&mut self, outcome: Outcome, look: bool) {
        self.record(Some(outcome.txn), Record::Outcome { outcome: Box::new(outcome.clone()) });
        if look {
            self.queue_paper(PaperKind::StuckSlip, &outcome, 0);
        }
        self.tell(Notice::Outcome { outcome: Box::new(outcome) });
    }

    /// A person settles what is Stuck against the acquirer's record. The machine only writes down what they say. Of several frames of the
    /// request (it was asked anew) at most one stands, that of `stan`.
    pub(crate) fn resolve(&mut self, call: u64, txn: u64, executed: bool, stan: Option<Stan>, reference: String, by: String) {
        if let Some(account) = self.state.settlement_of(txn).filter(|_| stan.is_none()) {
            return self.resolve_settlement(call, &account, txn, executed, &reference, &by);
        }
        let stuck: Vec<Obligation> = self.state.obligations.of(txn).filter(|o| o.state == ObligationState::Stuck).cloned().collect();
        let fine = (1..=40).contains(&reference.chars().count()) && !reference.chars().any(char::is_control);
        // It ran when the journal was damaged, and no frame of it is on record: without a STAN it cannot stand in a batch.
        let unnamed = self.state.obligations.of(txn).next().is_none() && self.state.owes(txn).is_some_and(|o| o.status == Status::Unknown);
        let standing = match stan {
            Some(stan) => stuck.iter().find(|o| o.plan.stan == stan).filter(|_| executed).cloned(),
            None => stuck.first().filter(|_| executed).cloned(),
        };
        let fault = match (stuck.as_slice(), fine) {
            _ if stan.is_some() && standing.is_none() => Some(Fault::invalid("stan", "the STAN of a stuck frame of it, and that it was executed")),
            (_, false) => Some(Fault::invalid("reference", "1 to 40 printable characters")),
            ([], true) if unnamed => executed
                .then(|| Fault::WrongState { rule: "no frame of it is on record: have the acquirer take it back, then say that it was not executed".into() }),
            ([], true) => Some(self.not_so(txn, |_| "it is not stuck: it ends by itself")),
            ([_, _, ..], true) if executed && stan.is_none() => {
                Some(Fault::WrongState { rule: "several frames of it are stuck: name the STAN of the one that stands".into() })
            }
            (_, true) => None,
        };
        if let Some(fault) = fault {
            return self.answer(call, Err(fault));
        }
        let told = self.state.owes(txn).cloned();
        let voidable: Vec<bool> = stuck.iter().map(|o| self.outlives(o)).collect();
        let how = Ending::ByPerson(format!("{reference} ({by})"));
        // While the obligation is there, the fold knows what was counted.
        if let Some(mut outcome) = told.clone().filter(|o| o.status == Status::Unknown) {
            if let Some(o) = &standing {
                let advice = o.duty == Duty::Repeat;
                view::of_frame(&mut outcome, &o.plan);
                outcome.forwarding = advice.then_some(Forwarding::Forwarded).or(outcome.forwarding.take());
                let authority = if advice { advice::authority(outcome.kind) } else { Authority::Host };
                self.approve(&mut outcome, authority);
            } else {
                view::ended(&mut outcome, Status::Declined, "resolved-not-executed", Class::C, self.now);
            }
            for o in &stuck {
                self.record(Some(txn), Record::ObligationEnded { txn, stan: o.plan.stan, how: how.clone(), trace: FrameTrace::default() });
            }
            self.finish(outcome);
        } else {
            for o in &stuck {
                if o.duty == Duty::Repeat
                    && let Some(mut outcome) = told.clone()
                {
                    if !executed && let Some(original) = outcome.original.as_ref().and_then(|x| x.txn) {
                        self.record(Some(original), Record::Released { txn: original, by: txn });
                    }
                    outcome.forwarding = Some(if executed { Forwarding::Forwarded } else { Forwarding::Refused("--".into()) });
                    self.announce(outcome, false);
                }
                self.record(Some(txn), Record::ObligationEnded { txn, stan: o.plan.stan, how: how.clone(), trace: FrameTrace::default() });
            }
        }
        for (o, voidable) in stuck.into_iter().zip(voidable) {
            if let Some(sealed) = o.sealed {
                let stands = executed && told.as_ref().is_some_and(|t| matches!(t.status, Status::Unknown | Status::Approved));
                let needed = voidable || (stands && o.plan.kind.keeps_pan() && self.state.ledger(&o.account).batch == o.plan.batch);
                self.erase_when_done(sealed, needed);
            }
        }
        self.answer(call, Ok(()));
    }
}
