//! What a request does to its original, and what a person found out about one that is in doubt.
use crate::{Machine, advice, view};
use payterm_schema::{
    Fault, Kind, Notice, ObligationRecord, Outcome, RequestRecord, Status,
    account::Stan,
    host::FrameTrace,
    outcome::{Authority, Class, Forwarding},
    paper::PaperKind,
    record::{Duty, Ending, Obligation, ObligationState, OutcomePaper},
};
use std::sync::Arc;

impl Machine {
    /// The original of a request that has an outcome.
    pub(crate) fn settle_original(&mut self, original: u64, outcome: &Outcome) {
        let (txn, approved) = (outcome.txn, outcome.status == Status::Approved);
        match outcome.kind {
            Kind::Void | Kind::CompletionCancel | Kind::PreAuthCancel if approved => {
                self.record(Some(original), RequestRecord::Voided { txn: original, by: txn });
                self.erase_when_done(
                    original,
                    outcome.kind != Kind::PreAuthCancel && self.state.in_open_batch(outcome),
                );
                // A completion that is taken back gives its hold free again.
                if let Some(hold) = outcome
                    .original
                    .as_ref()
                    .and_then(|o| o.of)
                    .filter(|_| outcome.kind == Kind::CompletionCancel)
                {
                    self.record(Some(hold), RequestRecord::Released { txn: hold, by: original });
                }
            }
            Kind::Completion | Kind::CompletionAdvice if approved => {
                self.record(Some(original), RequestRecord::Completed { txn: original, by: txn })
            }
            Kind::TipAdjust if approved => self.record(
                Some(original),
                RequestRecord::Adjusted { txn: original, by: txn, tip: outcome.sums.tip.unwrap_or(0) },
            ),
            // Held since before its frame left.
            Kind::Refund
                if matches!(outcome.status, Status::Declined | Status::Cancelled | Status::Failed)
                    && outcome.stan.is_some() =>
            {
                let minor = outcome.sums.amount.unwrap_or(0);
                self.record(Some(original), RequestRecord::RefundFreed { txn: original, by: txn, minor });
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
        let slip = OutcomePaper { job: self.state.last_job + 1, kind: PaperKind::StuckSlip };
        let papers = if look && self.settings.printer { vec![slip] } else { Vec::new() };
        let outcome = Arc::new(outcome);
        self.record(Some(outcome.txn), RequestRecord::Outcome { outcome: Arc::clone(&outcome), papers });
        self.tell(Notice::Outcome { outcome });
    }

    /// May a person say so of what is Stuck? The frame that stands then.
    fn may_resolve(&self, txn: u64, executed: bool, stan: Option<Stan>) -> Result<Option<Obligation>, Fault> {
        let wrong = |rule: &str| Err(Fault::WrongState { rule: rule.into() });
        let which =
            || Err(Fault::invalid("stan", "the STAN of a stuck frame of it, and that it was executed"));
        let (frames, told): (Vec<&Obligation>, _) =
            (self.state.obligations.of(txn).collect(), self.state.owes(txn));
        // It ran when the journal was damaged, and no frame of it is on record: without a STAN it cannot
        // stand in a batch.
        if frames.is_empty() && told.is_some_and(|o| o.status == Status::Unknown) {
            return match (executed, stan) {
                (true, _) => wrong(
                    "no frame of it is on record: have the acquirer take it back, then say that it was not executed",
                ),
                (false, None) => Ok(None),
                (false, Some(_)) => which(),
            };
        }
        if frames.iter().all(|o| o.state != ObligationState::Stuck) {
            return Err(self.not_so(txn, |_| "it is not stuck: it ends by itself"));
        }
        // What is said of the request is its end: not before its last frame is a person's.
        if self.state.running.as_ref().is_some_and(|r| r.txn == txn) {
            return wrong("its request is still under way");
        }
        if frames.iter().any(|o| o.state != ObligationState::Stuck) {
            return wrong("another frame of it is still being driven: wait for its end");
        }
        // Its last try may be answered yet, when an answer to the one before has made it Stuck.
        if self.speaks_of(txn) {
            return wrong("a message of its account is under way: wait for its answer");
        }
        let standing = match (executed, stan, frames.as_slice()) {
            (false, None, _) => return Ok(None),
            (false, Some(_), _) => return which(),
            (true, None, [one]) => *one,
            (true, None, _) => {
                return wrong("several frames of it are stuck: name the STAN of the one that stands");
            }
            (true, Some(stan), _) => match frames.into_iter().find(|o| o.plan.stan == stan) {
                Some(o) => o,
                None => return which(),
            },
        };
        // The app and the customer were told otherwise, and it does not change.
        let otherwise = |told: &Outcome| {
            told.status.is_final()
                && (told.status != Status::Approved || told.stan != Some(standing.plan.stan))
        };
        if standing.duty == Duty::Reverse && told.is_some_and(otherwise) {
            return wrong(
                "it was told otherwise: have the acquirer take it back, then say that it was not executed",
            );
        }
        Ok(Some(standing.clone()))
    }

    /// A person settles what is Stuck against the acquirer's record. The machine only writes down what they
    /// say. Of several frames of the request (it was asked anew) at most one stands, that of `stan`.
    pub(crate) fn resolve(
        &mut self,
        call: u64,
        txn: u64,
        executed: bool,
        stan: Option<Stan>,
        reference: String,
        by: String,
    ) {
        if !(1..=40).contains(&reference.chars().count()) || reference.chars().any(char::is_control) {
            return self.answer(call, Err(Fault::invalid("reference", "1 to 40 printable characters")));
        }
        match (self.state.settlement_of(txn), stan) {
            (Some(account), None) => {
                return self.resolve_settlement(call, &account, txn, executed, &reference, &by);
            }
            (Some(_), Some(_)) => {
                return self.answer(call, Err(Fault::invalid("stan", "of a settlement none is named")));
            }
            (None, _) => {}
        }
        let standing = match self.may_resolve(txn, executed, stan) {
            Ok(standing) => standing,
            Err(fault) => return self.answer(call, Err(fault)),
        };
        let stuck: Vec<Obligation> = self.state.obligations.of(txn).cloned().collect();
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
                self.record(
                    Some(txn),
                    ObligationRecord::Ended {
                        txn,
                        stan: o.plan.stan,
                        how: how.clone(),
                        trace: FrameTrace::default(),
                    },
                );
            }
            self.finish(outcome);
        } else {
            for o in &stuck {
                if o.duty == Duty::Repeat
                    && let Some(mut outcome) = told.clone()
                {
                    if !executed && let Some(original) = outcome.original.as_ref().and_then(|x| x.txn) {
                        self.record(Some(original), RequestRecord::Released { txn: original, by: txn });
                    }
                    outcome.forwarding =
                        Some(if executed { Forwarding::Forwarded } else { Forwarding::Refused("--".into()) });
                    self.announce(outcome, false);
                }
                self.record(
                    Some(txn),
                    ObligationRecord::Ended {
                        txn,
                        stan: o.plan.stan,
                        how: how.clone(),
                        trace: FrameTrace::default(),
                    },
                );
            }
        }
        for (o, voidable) in stuck.into_iter().zip(voidable) {
            if let Some(sealed) = o.sealed {
                let accepted =
                    told.as_ref().is_some_and(|t| matches!(t.status, Status::Unknown | Status::Approved));
                // Of the frame that stands, whichever of them is looked at: they have one PAN.
                let upload = |s: &Obligation| {
                    s.sealed == o.sealed
                        && s.plan.kind.keeps_pan()
                        && self.state.ledger(&s.account).batch == s.plan.batch
                };
                let needed = voidable || (accepted && standing.as_ref().is_some_and(upload));
                self.erase_when_done(sealed, needed);
            }
        }
        self.answer(call, Ok(()));
    }
}
