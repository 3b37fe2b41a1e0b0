//! What a person says of what is Stuck, or has tried again: obligations and settlements.
use super::{Lines, queue::refuse};
use crate::{Call, context::Context, outcome::advice_authority, recovery::recovery_first, view};
use payterm_schema::{
    AccountId, Fault, ObligationRecord, Outcome, SettlementRecord, Status,
    account::Stan,
    host::FrameTrace,
    outcome::{Authority, Class, Forwarding},
    record::{Duty, Ending, Obligation, ObligationState},
};

impl Lines {
    /// May a person say so of what is Stuck? The frame that stands then.
    fn may_resolve(
        &self,
        cx: &Context,
        txn: u64,
        executed: bool,
        stan: Option<Stan>,
    ) -> Result<Option<Obligation>, Fault> {
        let wrong = |rule: &str| Err(Fault::WrongState { rule: rule.into() });
        let which =
            || Err(Fault::invalid("stan", "the STAN of a stuck frame of it, and that it was executed"));
        let (frames, told): (Vec<&Obligation>, _) =
            (cx.state.obligations.of(txn).collect(), cx.state.owes(txn));
        // It ran when the journal was damaged, and no frame of it is on record: without a STAN it cannot
        // stand in a batch.
        if frames.is_empty() && told.is_some_and(|o| o.status == Status::Unknown) {
            return match (executed, stan) {
                (true, _) => wrong(
                    "no frame of it is on record: have the acquirer take it back, then \
                     say that it was not executed",
                ),
                (false, None) => Ok(None),
                (false, Some(_)) => which(),
            };
        }
        if frames.iter().all(|o| o.state != ObligationState::Stuck) {
            return Err(refuse(cx, txn, |_| "it is not stuck: it ends by itself"));
        }
        // What is said of the request is its end: not before its last frame is a person's.
        if cx.runs(txn) {
            return wrong("its request is still under way");
        }
        if frames.iter().any(|o| o.state != ObligationState::Stuck) {
            return wrong("another frame of it is still being driven: wait for its end");
        }
        // Its last try may be answered yet, when an answer to the one before has made it Stuck.
        if self.has_exchange_for(txn) {
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
    pub fn resolve(&mut self, cx: &mut Context, call: Call, txn: u64, word: &Word) {
        let done = self.resolved(cx, txn, word);
        cx.answer(call, done);
    }

    fn resolved(&mut self, cx: &mut Context, txn: u64, word: &Word) -> Result<(), Fault> {
        let Word { executed, stan, reference, by } = word;
        if !(1..=40).contains(&reference.chars().count()) || reference.chars().any(char::is_control) {
            return Err(Fault::invalid("reference", "1 to 40 printable characters"));
        }
        let how = Ending::ByPerson(format!("{reference} ({by})"));
        match (cx.state.settlement_of(txn), stan) {
            (Some(account), None) => self.resolve_settlement(cx, &account, txn, *executed, how),
            (Some(_), Some(_)) => Err(Fault::invalid("stan", "of a settlement none is named")),
            (None, _) => {
                let standing = self.may_resolve(cx, txn, *executed, *stan)?;
                end_by_person(cx, txn, standing.as_ref(), *executed, &how);
                Ok(())
            }
        }
    }

    /// A person asked the acquirer: the batch is settled there, or nothing of the kind was heard of. In a
    /// recovery too.
    fn resolve_settlement(
        &mut self,
        cx: &mut Context,
        id: &AccountId,
        txn: u64,
        executed: bool,
        how: Ending,
    ) -> Result<(), Fault> {
        let wrong = |rule: &str| Err(Fault::WrongState { rule: rule.into() });
        if cx.state.ledger(id).settling.as_ref().is_some_and(|s| !s.hold) {
            return wrong("the settlement is being driven on");
        }
        if self.of(id).is_some_and(|l| l.exchanges.foreground().is_some()) {
            return wrong("a message of its account is under way: wait for its answer");
        }
        if executed {
            cx.close_batch(id, txn, how, FrameTrace::default());
        } else {
            cx.drop_settlement(id, txn, how, Status::Declined, "resolved-not-executed", Class::C);
        }
        Ok(())
    }

    /// What is Stuck, or a settlement that waits for a person, is tried again.
    pub fn retry(&mut self, cx: &mut Context, call: Call, txn: u64, by: String) {
        let done = match cx.state.settlement_of(txn) {
            Some(account) => retry_settlement(cx, account, by),
            None => retry_obligations(cx, txn, by),
        };
        cx.answer(call, done);
    }
}

/// What a person heard from the acquirer.
pub(crate) struct Word {
    /// It was executed (and stands).
    pub executed: bool,
    /// Which of its frames stands, where several are Stuck; the others do not.
    pub stan: Option<Stan>,
    /// The acquirer's reference, 1 to 40 printable characters.
    pub reference: String,
    pub by: String,
}

/// `standing`: the frame that the acquirer executed.
fn end_by_person(cx: &mut Context, txn: u64, standing: Option<&Obligation>, executed: bool, how: &Ending) {
    let stuck: Vec<Obligation> = cx.state.obligations.of(txn).cloned().collect();
    let told = cx.state.owes(txn).cloned();
    let voidable: Vec<bool> = stuck.iter().map(|o| cx.pan_still_needed(o)).collect();
    let ended = |cx: &mut Context, o: &Obligation| {
        let (stan, how, trace) = (o.plan.stan, how.clone(), FrameTrace::default());
        cx.record(Some(txn), ObligationRecord::Ended { txn, stan, how, trace });
    };
    if let Some(mut outcome) = told.clone().filter(|o| o.status == Status::Unknown) {
        if let Some(o) = standing {
            let advice = o.duty == Duty::Repeat;
            view::of_frame(&mut outcome, &o.plan);
            outcome.forwarding = advice.then_some(Forwarding::Forwarded).or(outcome.forwarding.take());
            let authority = if advice { advice_authority(outcome.kind) } else { Authority::Host };
            cx.approve(&mut outcome, authority);
        } else {
            view::ended(&mut outcome, Status::Declined, "resolved-not-executed", Class::C, cx.now);
        }
        stuck.iter().for_each(|o| ended(cx, o));
        cx.finish(outcome);
    } else {
        for o in &stuck {
            if let (Duty::Repeat, Some(mut outcome)) = (o.duty, told.clone()) {
                if !executed {
                    cx.release_original(&outcome);
                }
                outcome.forwarding =
                    Some(if executed { Forwarding::Forwarded } else { Forwarding::Refused("--".into()) });
                cx.announce(outcome, false);
            }
            ended(cx, o);
        }
    }
    let accepted = told.is_some_and(|t| matches!(t.status, Status::Unknown | Status::Approved));
    for (o, voidable) in stuck.into_iter().zip(voidable) {
        if let Some(sealed) = o.sealed {
            // Of the frame that stands, whichever of them is looked at: they have one PAN.
            let upload = |s: &Obligation| {
                s.sealed == o.sealed
                    && s.plan.kind.keeps_pan()
                    && cx.state.ledger(&s.account).batch == s.plan.batch
            };
            let needed = voidable || (accepted && standing.is_some_and(upload));
            cx.erase_when_done(sealed, needed);
        }
    }
}

fn retry_settlement(cx: &mut Context, account: AccountId, by: String) -> Result<(), Fault> {
    if cx.state.recovering.is_some() {
        return Err(recovery_first());
    }
    let Some(txn) = cx.settling(&account).map(|s| s.txn) else {
        return Err(Fault::not_found("settlement", account.as_str()));
    };
    cx.record(Some(txn), SettlementRecord::Retried { txn, account, by });
    Ok(())
}

fn retry_obligations(cx: &mut Context, txn: u64, by: String) -> Result<(), Fault> {
    let stuck: Vec<Obligation> =
        cx.state.obligations.of(txn).filter(|o| o.state == ObligationState::Stuck).cloned().collect();
    if stuck.is_empty() {
        return Err(refuse(cx, txn, |_| "it is not stuck: forward has it tried now"));
    }
    if cx.state.recovering.is_some() {
        return Err(recovery_first());
    }
    if let Some(o) = stuck.iter().find(|o| !cx.drivable(o)) {
        return Err(Fault::not_found("account", o.account.as_str()));
    }
    if stuck.iter().any(|o| o.duty == Duty::ManualResolution) {
        let rule = "never sent again: ask the acquirer, then resolve it with their reference";
        return Err(Fault::WrongState { rule: rule.into() });
    }
    for o in stuck {
        let (stan, by) = (o.plan.stan, by.clone());
        cx.record(Some(txn), ObligationRecord::Retried { txn, stan, by });
    }
    Ok(())
}
